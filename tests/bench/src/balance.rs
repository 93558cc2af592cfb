//! What the daemon says of a campaign, beside what the providers themselves recorded.

use std::collections::HashMap;

use usher_common::model::{CampaignId, MessageState};
use usher_demo::Desk;
use usher_sim::Record;

/// Entries of the record that are looked at together.
const PAGE: usize = 10_000;

/// What came of a campaign's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Taken by a provider, by the daemon's word.
    pub(crate) accepted: u64,
    /// In doubt.
    pub(crate) unknown: u64,
    /// Called taken that no provider took, taken by one and called something else, given up, or not there at all.
    pub(crate) lost: u64,
    /// Taken more than once.
    pub(crate) twice: u64,
}

/// Compares the books of a campaign to `expected` guests, whose messages are at rest, with the record of a simulator that
/// nobody else used.
pub(crate) async fn balance(
    desk: &Desk,
    campaign: CampaignId,
    record: &Record,
    expected: usize,
) -> anyhow::Result<Balance> {
    let rows = desk.messages(campaign).await?;
    let said: HashMap<String, MessageState> = rows.iter().map(|row| (row.id.to_string(), row.state)).collect();
    Ok(compare(&said, &taken(record), expected))
}

/// How often each message was taken, by whomever.
fn taken(record: &Record) -> HashMap<String, u64> {
    let mut taken = HashMap::new();
    let mut from = 0;
    loop {
        let entries = record.entries(from, PAGE);
        let Some(last) = entries.last() else { return taken };
        from = last.sequence + 1;
        for entry in entries {
            // An entry without our id belongs to no message: it counts as one that went astray.
            *taken.entry(entry.message.unwrap_or_default()).or_default() += 1;
        }
    }
}

fn compare(said: &HashMap<String, MessageState>, taken: &HashMap<String, u64>, expected: usize) -> Balance {
    let mut balance = Balance { lost: (expected as u64).saturating_sub(said.len() as u64), ..Balance::default() };
    for (id, state) in said {
        match state {
            MessageState::Accepted | MessageState::Delivered => {
                balance.accepted += 1;
                balance.lost += u64::from(!taken.contains_key(id));
            }
            MessageState::Unknown => balance.unknown += 1,
            MessageState::Failed | MessageState::Suppressed | MessageState::Expired => balance.lost += 1,
            MessageState::Held | MessageState::Queued | MessageState::Sending | MessageState::Cancelled => {}
        }
    }
    let known = |state: &MessageState| {
        matches!(state, MessageState::Accepted | MessageState::Delivered | MessageState::Unknown)
    };
    balance.lost += taken.keys().filter(|id| !said.get(*id).is_some_and(known)).count() as u64;
    balance.twice = taken.values().map(|times| times - 1).sum();
    balance
}

#[cfg(test)]
mod tests {
    use MessageState::{Accepted, Cancelled, Failed, Unknown};

    use super::*;

    fn judged(said: &[(&str, MessageState)], taken: &[(&str, u64)], expected: usize) -> (u64, u64, u64, u64) {
        let said = said.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect();
        let taken = taken.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
        let balance = compare(&said, &taken, expected);
        (balance.accepted, balance.unknown, balance.lost, balance.twice)
    }

    #[test]
    fn what_agrees_is_neither_lost_nor_twice() {
        let said = [("a", Accepted), ("b", Unknown), ("c", Unknown), ("d", Cancelled)];
        assert_eq!(judged(&said, &[("a", 1), ("b", 1)], 4), (1, 2, 0, 0));
    }

    #[test]
    fn each_way_to_be_lost_counts_and_so_does_each_time_too_often() {
        assert_eq!(judged(&[("a", Accepted)], &[], 1), (1, 0, 1, 0), "called taken");
        assert_eq!(judged(&[("a", Failed)], &[], 1), (0, 0, 1, 0), "given up");
        assert_eq!(judged(&[("a", Cancelled)], &[("a", 1)], 1), (0, 0, 1, 0), "called something else");
        assert_eq!(judged(&[], &[("x", 1)], 0), (0, 0, 1, 0), "nobody's");
        assert_eq!(judged(&[("a", Accepted)], &[("a", 3)], 2), (1, 0, 1, 2), "one is missing, one came three times");
    }
}
