//! What a client has of each topic it follows: versions only, so that gaps are noticed and a new line resumes.

use std::collections::HashMap;

use usher_common::protocol::{Have, Topic};

/// What is to be done with what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hand it on.
    Take,
    /// Not followed any more, or already known.
    Drop,
    /// Something is missing: ask for the topic anew, with what is there.
    Resubscribe(Option<Have>),
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    have: Option<Have>,
    /// A new subscription is on its way, so that what still comes of the old one is not asked for twice.
    asked: bool,
}

/// The topics that are followed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    topics: HashMap<Topic, Entry>,
}

impl Ledger {
    /// Follows a topic.
    pub(super) fn follow(&mut self, topic: Topic) {
        self.topics.entry(topic).or_default();
    }

    /// Follows it no longer.
    pub(super) fn leave(&mut self, topic: Topic) {
        self.topics.remove(&topic);
    }

    /// What to ask for on a new line: each topic with what is there of it.
    pub(super) fn resume(&mut self) -> Vec<(Topic, Option<Have>)> {
        self.topics
            .iter_mut()
            .map(|(topic, entry)| {
                entry.asked = false;
                (*topic, entry.have)
            })
            .collect()
    }

    /// A snapshot came.
    pub(super) fn snapshot(&mut self, topic: Topic, epoch: u64, version: u64) -> Verdict {
        match self.topics.get_mut(&topic) {
            Some(entry) => {
                *entry = Entry { have: Some(Have { epoch, version }), asked: false };
                Verdict::Take
            }
            None => Verdict::Drop,
        }
    }

    /// A delta came.
    pub(super) fn delta(&mut self, topic: Topic, from: u64, to: u64) -> Verdict {
        let Some(entry) = self.topics.get_mut(&topic) else { return Verdict::Drop };
        match &mut entry.have {
            Some(have) if have.version == from => {
                have.version = to;
                entry.asked = false;
                Verdict::Take
            }
            Some(have) if to <= have.version => Verdict::Drop,
            _ if entry.asked => Verdict::Drop,
            _ => {
                entry.asked = true;
                Verdict::Resubscribe(entry.have)
            }
        }
    }

    /// The follower could not take what was handed to it: go back to what it has.
    pub(super) fn roll_back(&mut self, topic: Topic, have: Option<Have>) {
        if let Some(entry) = self.topics.get_mut(&topic) {
            *entry = Entry { have, asked: false };
        }
    }

    /// What is there of a topic.
    pub(super) fn have(&self, topic: Topic) -> Option<Have> {
        self.topics.get(&topic).and_then(|entry| entry.have)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Topic = Topic::Providers;

    #[test]
    fn deltas_follow_on_a_snapshot_and_a_gap_asks_once_for_what_is_missing() {
        let mut ledger = Ledger::default();
        ledger.follow(T);
        assert_eq!(ledger.snapshot(T, 7, 10), Verdict::Take);
        assert_eq!(ledger.delta(T, 10, 12), Verdict::Take);
        let have = Have { epoch: 7, version: 12 };
        assert_eq!(ledger.delta(T, 14, 15), Verdict::Resubscribe(Some(have)));
        assert_eq!(ledger.delta(T, 15, 16), Verdict::Drop, "it was asked for already");
        assert_eq!(ledger.delta(T, 12, 16), Verdict::Take, "the answer to the new subscription");
        assert_eq!(ledger.delta(T, 11, 13), Verdict::Drop, "old news");
    }

    #[test]
    fn a_topic_that_was_left_is_dropped_and_a_new_line_resumes_the_rest() {
        let mut ledger = Ledger::default();
        ledger.follow(T);
        ledger.follow(Topic::Overview);
        ledger.snapshot(T, 7, 10);
        ledger.leave(Topic::Overview);
        assert_eq!(ledger.snapshot(Topic::Overview, 7, 1), Verdict::Drop);
        assert_eq!(ledger.resume(), vec![(T, Some(Have { epoch: 7, version: 10 }))]);
    }
}
