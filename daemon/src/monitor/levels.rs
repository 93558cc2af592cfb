//! Service levels as the commit log tells them: one indicator for everything, each channel, each provider and each campaign.
//!
//! Pure: a story goes in, figures come out, so that the same story gives the same figures, and a restart goes on where it was kept.
//!
//! A message is **good** when a provider took it within five minutes of when it was free to go. What keeps it from being free does
//! not count against anybody: its schedule, quiet hours, quotas, holds, and the pace that a provider allows. What does count is time in
//! which no provider of its channel could be used, and time between its first attempt and the one that was taken. It is **bad**
//! when it was late, failed, expired, or is in doubt; one that is settled for the better is corrected where it was counted. What
//! was suppressed, cancelled, or refused for its own recipient or words is **excluded**, and counted as such. For a provider the
//! events are attempts; being asked to wait is none.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use usher_common::model::{CampaignId, CampaignState, Channel, MessageState, OutcomeClass, Timestamp};

use super::sla::ON_TIME;
use super::sli::{Mark, Sli, Window};
use crate::store::{BreakerRecord, Chapter, Told, ToldMessage};

/// Campaigns that have an indicator of their own: the last that did anything.
const CAMPAIGNS: usize = 64;
/// Messages in doubt that are remembered; one that is forgotten stays bad.
const DOUBTS: usize = 4_096;
/// Outages that are remembered for a channel.
const OUTAGES: usize = 32;

/// What an indicator is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Object {
    /// All messages.
    All,
    /// Those of a channel.
    Channel(Channel),
    /// Attempts by a provider.
    Provider(String),
    /// Messages of a campaign.
    Campaign(CampaignId),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Channel(channel) => write!(f, "channel {channel}"),
            Self::Provider(name) => write!(f, "provider {name}"),
            Self::Campaign(id) => write!(f, "campaign {id}"),
        }
    }
}

/// A time in which something could not be used; without an end while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outage {
    from: Timestamp,
    to: Option<Timestamp>,
}

/// Outages one after the other, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Outages(VecDeque<Outage>);

impl Outages {
    fn turn(&mut self, out: bool, at: Timestamp) {
        match (self.0.back_mut(), out) {
            (Some(last), false) if last.to.is_none() => last.to = Some(at),
            (Some(last), true) if last.to.is_none() => {}
            (_, true) => {
                self.0.push_back(Outage { from: at, to: None });
                if self.0.len() > OUTAGES {
                    self.0.pop_front();
                }
            }
            (_, false) => {}
        }
    }

    /// Milliseconds of outage between two moments.
    fn within(&self, from: Timestamp, to: Timestamp) -> i64 {
        let part = |outage: &Outage| {
            let end = outage.to.map_or(to, |end| end.min(to));
            end.millis_since(outage.from.max(from)).max(0)
        };
        self.0.iter().map(part).sum()
    }
}

/// A message whose outcome was counted bad since nobody knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    due: u64,
    provider: String,
    late: bool,
}

/// Everything beside the indicators that a story is understood by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    doubts: BTreeMap<u64, Doubt>,
    /// When each campaign began to run, those that are over left out.
    begun: BTreeMap<CampaignId, Timestamp>,
    providers: BTreeMap<String, Outages>,
    channels: BTreeMap<Channel, Outages>,
    open: BTreeMap<String, bool>,
}

/// Service levels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Levels {
    slis: BTreeMap<Object, Sli>,
    memory: Memory,
    carries: BTreeMap<String, Channel>,
    /// The last commit that is in here.
    lsn: u64,
}

impl Levels {
    /// Empty ones, for providers that carry these channels.
    pub fn new(carries: BTreeMap<String, Channel>) -> Self {
        Self { carries, ..Self::default() }
    }

    /// Goes on from what was kept at a commit.
    pub fn resume(&mut self, lsn: u64, memory: Memory, slis: impl IntoIterator<Item = (Object, Sli)>) {
        (self.lsn, self.memory) = (lsn, memory);
        self.slis.extend(slis);
    }

    /// The last commit that is in here.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// What is to be kept beside the indicators.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// All indicators.
    pub fn all(&self) -> impl Iterator<Item = (&Object, &Sli)> {
        self.slis.iter()
    }

    /// One indicator.
    pub fn of(&self, object: &Object) -> Option<&Sli> {
        self.slis.get(object)
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Timestamp) {
        let now = seconds(now);
        for sli in self.slis.values_mut() {
            sli.advance(now);
        }
    }

    /// Share of the last day in which a provider could be used, 0 to 1.
    pub fn uptime(&self, provider: &str, now: Timestamp) -> f64 {
        const DAY: i64 = 86_400_000;
        let out = self.memory.providers.get(provider).map_or(0, |outages| outages.within(now.plus_millis(-DAY), now));
        1.0 - out as f64 / DAY as f64
    }

    /// Hears what a commit tells.
    pub fn hear(&mut self, chapter: &Chapter) {
        if chapter.lsn <= self.lsn {
            return;
        }
        self.lsn = chapter.lsn;
        for told in &chapter.told {
            match told {
                Told::Outcome { provider, class, message } => self.outcome(provider, *class, message, chapter.time),
                Told::Moved(message) => self.moved(message, chapter.time),
                Told::Report { message, .. } => self.report(message, chapter.time),
                Told::Breaker { provider, record } => self.breaker(provider, record, chapter.time),
                Told::Campaign { id, state } => self.campaign(*id, *state, chapter.time),
                Told::Act { .. } => {}
            }
        }
    }

    fn outcome(&mut self, provider: &str, class: OutcomeClass, message: &ToldMessage, now: Timestamp) {
        let record = &message.record;
        let started = record.attempts.last().map_or(now, |attempt| attempt.started);
        if let Some(doubt) = self.memory.doubts.remove(&message.id.0) {
            return self.settled(&doubt, class, message, now);
        }
        let due = seconds(started);
        let attempt = match class {
            OutcomeClass::Accepted => Some(Mark::Good),
            OutcomeClass::NotSent | OutcomeClass::Unknown | OutcomeClass::Unusable => Some(Mark::Bad),
            OutcomeClass::Recipient | OutcomeClass::Refused => Some(Mark::Excluded),
            OutcomeClass::Throttled => None,
        };
        // Kept back at the last moment by ourselves: the provider was not asked.
        let own = record.attempts.last().is_some_and(|last| matches!(last.code.as_str(), "stale" | "held"));
        if let Some(mark) = attempt.filter(|_| !own) {
            self.mark(Object::Provider(provider.to_owned()), due, mark, now);
        }
        let late = self.is_late(message, now);
        match record.state {
            MessageState::Accepted | MessageState::Delivered => {
                self.mark_message(message, due, if late { Mark::Bad } else { Mark::Good }, now);
            }
            MessageState::Failed if matches!(class, OutcomeClass::Recipient | OutcomeClass::Refused) => {
                self.mark_message(message, due, Mark::Excluded, now);
            }
            MessageState::Failed | MessageState::Expired => self.mark_message(message, due, Mark::Bad, now),
            MessageState::Unknown => {
                self.mark_message(message, due, Mark::Bad, now);
                let doubt = Doubt { due, provider: provider.to_owned(), late };
                self.memory.doubts.insert(message.id.0, doubt);
                if self.memory.doubts.len() > DOUBTS {
                    self.memory.doubts.pop_first();
                }
            }
            _ => {}
        }
    }

    /// What was in doubt is known now, or is sent again and will be told of anew.
    fn settled(&mut self, doubt: &Doubt, class: OutcomeClass, message: &ToldMessage, now: Timestamp) {
        let provider = Object::Provider(doubt.provider.clone());
        match message.record.state {
            MessageState::Accepted | MessageState::Delivered => {
                self.mark(provider, doubt.due, Mark::Cleared, now);
                if !doubt.late {
                    self.mark_message(message, doubt.due, Mark::Cleared, now);
                }
            }
            MessageState::Queued => self.mark_message(message, doubt.due, Mark::Dropped, now),
            MessageState::Unknown => {
                self.memory.doubts.insert(message.id.0, doubt.clone());
            }
            MessageState::Failed if class == OutcomeClass::Recipient => {
                self.mark_message(message, doubt.due, Mark::Dropped, now);
                self.mark_message(message, doubt.due, Mark::Excluded, now);
            }
            _ => {}
        }
    }

    fn moved(&mut self, message: &ToldMessage, now: Timestamp) {
        let due = seconds(now);
        match message.record.state {
            MessageState::Suppressed | MessageState::Cancelled => self.mark_message(message, due, Mark::Excluded, now),
            MessageState::Expired | MessageState::Failed => self.mark_message(message, due, Mark::Bad, now),
            _ => {}
        }
    }

    fn report(&mut self, message: &ToldMessage, now: Timestamp) {
        let taken = matches!(message.record.state, MessageState::Accepted | MessageState::Delivered);
        if taken && let Some(doubt) = self.memory.doubts.remove(&message.id.0) {
            self.settled(&doubt, OutcomeClass::Accepted, message, now);
        }
    }

    fn breaker(&mut self, provider: &str, record: &BreakerRecord, now: Timestamp) {
        let out = record.open_until.is_some();
        self.memory.open.insert(provider.to_owned(), out);
        self.memory.providers.entry(provider.to_owned()).or_default().turn(out, now);
        let Some(channel) = self.carries.get(provider).copied() else { return };
        let all_out = self
            .carries
            .iter()
            .filter(|(_, of)| **of == channel)
            .all(|(name, _)| self.memory.open.get(name).copied().unwrap_or(false));
        self.memory.channels.entry(channel).or_default().turn(all_out, now);
    }

    fn campaign(&mut self, id: CampaignId, state: CampaignState, now: Timestamp) {
        if state == CampaignState::Running {
            self.memory.begun.entry(id).or_insert(now);
        } else if state.is_ended() {
            self.memory.begun.remove(&id);
        }
    }

    /// Whether a message that is taken now, or in doubt, went later than it could have by anybody's fault but its own.
    fn is_late(&self, message: &ToldMessage, now: Timestamp) -> bool {
        let attempts = &message.record.attempts;
        let limit = ON_TIME as i64 * 1_000;
        let first = attempts.first().map_or(now, |attempt| attempt.started);
        let free = self.memory.begun.get(&message.campaign).copied().unwrap_or(first);
        let out = self.memory.channels.get(&message.record.channel).map_or(0, |outages| outages.within(free, first));
        let last = attempts.last().map_or(now, |attempt| attempt.started.plus_millis(i64::from(attempt.latency_ms)));
        // A recipient that asks for time is not late by anybody's fault.
        let asked_to_wait = attempts.iter().any(|attempt| attempt.class == OutcomeClass::Throttled);
        out > limit || (!asked_to_wait && last.millis_since(first) > limit)
    }

    fn mark_message(&mut self, message: &ToldMessage, due: u64, mark: Mark, now: Timestamp) {
        self.mark(Object::All, due, mark, now);
        self.mark(Object::Channel(message.record.channel), due, mark, now);
        self.mark(Object::Campaign(message.campaign), due, mark, now);
    }

    fn mark(&mut self, object: Object, due: u64, mark: Mark, now: Timestamp) {
        if let Object::Campaign(_) = &object
            && !self.slis.contains_key(&object)
        {
            self.make_room();
        }
        let sli = self.slis.entry(object).or_default();
        sli.advance(seconds(now));
        sli.record(due, mark);
    }

    /// Lets the campaign go that is quiet for the longest.
    fn make_room(&mut self) {
        let of_campaigns = self.slis.iter().filter(|(object, _)| matches!(object, Object::Campaign(_)));
        if of_campaigns.clone().count() < CAMPAIGNS {
            return;
        }
        let quiet = |sli: &Sli| {
            (sli.counts(Window::Hour1).all(), sli.counts(Window::Hours24).all(), sli.counts(Window::Days30).all())
        };
        let oldest =
            of_campaigns.min_by_key(|(object, sli)| (quiet(sli), (*object).clone())).map(|(object, _)| object.clone());
        if let Some(oldest) = oldest {
            self.slis.remove(&oldest);
        }
    }
}

fn seconds(at: Timestamp) -> u64 {
    at.0.max(0).unsigned_abs() / 1_000
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
