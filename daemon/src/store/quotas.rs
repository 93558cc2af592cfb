//! What organisations and users have sent, by clock hour and day in UTC: one debit for each message, with its first intent,
//! given back if it comes to its end without ever having been sent.
//!
//! Counters, never a count over rows; the time stands first in their keys, so that what is old goes by the day.

use usher_common::model::{CampaignId, OutcomeClass, Timestamp};

use super::engine::{By, Change};
use super::records::{AttemptRecord, MessageRecord, TURNED_AWAY};
use super::{Error, Next, Store, merge, space};

const HOUR_MS: i64 = 3_600_000;
const HOURS_A_DAY: u32 = 24;

/// Whose messages are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payer {
    /// An organisation, by its name in the configuration.
    Organisation(String),
    /// A user, by the name under which the campaign was approved.
    User(String),
}

/// A clock hour, counted from 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Hour {
    /// The hour of a time; times before 1970 count as 1970.
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.0.max(0) / HOUR_MS).unwrap_or(u32::MAX))
    }

    /// The day it belongs to, counted from 1970.
    pub fn day(self) -> u32 {
        self.0 / HOURS_A_DAY
    }

    /// When the next one begins.
    pub fn end(self) -> Timestamp {
        Timestamp((i64::from(self.0) + 1) * HOUR_MS)
    }

    /// When the next day begins.
    pub fn end_of_day(self) -> Timestamp {
        Timestamp((i64::from(self.day()) + 1) * i64::from(HOURS_A_DAY) * HOUR_MS)
    }
}

/// Messages to be charged with their intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debit {
    /// To whom.
    pub payers: Vec<Payer>,
    /// In which hour.
    pub hour: Hour,
    /// How many.
    pub messages: u32,
}

impl Debit {
    /// The change of every counter that it moves.
    pub(super) fn write(&self, changes: &mut Vec<Change>) {
        if self.messages > 0 {
            charge(&self.payers, self.hour, i64::from(self.messages), changes);
        }
    }
}

fn charge(payers: &[Payer], hour: Hour, messages: i64, changes: &mut Vec<Change>) {
    for payer in payers {
        changes.push(merge(space::QUOTA, key(b'h', hour.0, payer), messages));
        changes.push(merge(space::QUOTA, key(b'd', hour.day(), payer), messages));
    }
}

fn key(window: u8, index: u32, payer: &Payer) -> Vec<u8> {
    let (kind, name) = match payer {
        Payer::Organisation(name) => (b'o', name),
        Payer::User(name) => (b'u', name),
    };
    let mut key = vec![window];
    key.extend(index.to_be_bytes());
    key.push(kind);
    key.extend(name.as_bytes());
    key
}

/// Whether a message has had an intent: what no adapter would write down has not.
pub(super) fn was_charged(record: &MessageRecord) -> bool {
    first_charged(record).is_some()
}

/// The attempt with whose intent a message was charged, or the oldest that is still known after it.
fn first_charged(record: &MessageRecord) -> Option<&AttemptRecord> {
    record.attempts.iter().find(|attempt| attempt.code != TURNED_AWAY)
}

/// Whether no provider can have acted on any of its attempts.
fn never_sent(record: &MessageRecord) -> bool {
    use OutcomeClass::{NotSent, Throttled, Unusable};
    record.attempts.iter().all(|attempt| matches!(attempt.class, NotSent | Throttled | Unusable))
}

impl Store {
    /// Messages charged in an hour.
    pub fn charged_in(&self, payer: &Payer, hour: Hour) -> Result<u64, Error> {
        Ok(u64::try_from(self.engine.counter(space::QUOTA, &key(b'h', hour.0, payer))?).unwrap_or(0))
    }

    /// Messages charged on the day of an hour.
    pub fn charged_on_day(&self, payer: &Payer, hour: Hour) -> Result<u64, Error> {
        Ok(u64::try_from(self.engine.counter(space::QUOTA, &key(b'd', hour.day(), payer))?).unwrap_or(0))
    }

    /// Charges messages by themselves, as the first intent of each does.
    #[cfg(test)]
    pub(crate) async fn charge(&self, by: &By, debit: &Debit) -> Result<(), Error> {
        let mut changes = Vec::new();
        debit.write(&mut changes);
        self.commit(by, Vec::new(), Vec::new(), changes).await?;
        Ok(())
    }

    /// Forgets hours and days before the day of this hour, at most 500 counters at once; how many were forgotten.
    pub async fn forget_charges(&self, by: &By, before: Hour) -> Result<usize, Error> {
        let mut changes = Vec::new();
        for (window, end) in [(b'h', before.day() * HOURS_A_DAY), (b'd', before.day())] {
            for row in self.engine.scan_prefix(space::QUOTA, &[window]) {
                let (key, _) = row?;
                let index = key.get(1..5).and_then(|bytes| bytes.try_into().ok()).map_or(u32::MAX, u32::from_be_bytes);
                if index >= end || changes.len() >= 500 {
                    break;
                }
                changes.push(Change::Delete { space: space::QUOTA, key });
            }
        }
        let forgotten = changes.len();
        if forgotten > 0 {
            self.commit(by, Vec::new(), Vec::new(), changes).await?;
        }
        Ok(forgotten)
    }

    /// Gives back what a message was charged with, if it ends here and was never sent. `record` is from before `next`, with
    /// the attempt that led to it.
    pub(super) fn give_back(
        &self,
        campaign: CampaignId,
        record: &MessageRecord,
        next: &Next,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let ends = matches!(next, Next::Failed { .. } | Next::Suppressed { .. } | Next::Expired);
        if ends { self.give_back_unsent(campaign, record, changes) } else { Ok(()) }
    }

    /// Gives back what a message was charged with, if it was never sent.
    pub(super) fn give_back_unsent(
        &self,
        campaign: CampaignId,
        record: &MessageRecord,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let Some(first) = first_charged(record).filter(|_| never_sent(record)) else { return Ok(()) };
        let hour = Hour::of(first.started);
        charge(&self.campaign(campaign)?.record.payers(), hour, -1, changes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::open;
    use super::*;

    #[test]
    fn hours_and_days_turn_where_utc_does() {
        let hour = Hour::of(Timestamp(1_795_689_000_000));
        assert_eq!(hour.end().0 - 1_795_689_000_000, 1_800_000);
        assert_eq!(Hour::of(hour.end()).0, hour.0 + 1);
        assert_eq!(Hour::of(hour.end_of_day()).day(), hour.day() + 1);
        assert_eq!(Hour::of(Timestamp(-5)), Hour(0));
    }

    #[tokio::test]
    async fn what_is_old_is_forgotten_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let by = By { actor: "usherd".into(), reason: String::new(), request_id: String::new() };
        let payers = vec![Payer::Organisation("ours".into()), Payer::User("ada".into())];
        for hour in [Hour(47), Hour(48), Hour(71)] {
            store.charge(&by, &Debit { payers: payers.clone(), hour, messages: 3 }).await.unwrap();
        }
        assert_eq!(store.charged_on_day(&payers[0], Hour(50)).unwrap(), 6);
        assert_eq!(store.forget_charges(&by, Hour(60)).await.unwrap(), 4);
        assert_eq!(store.charged_in(&payers[1], Hour(47)).unwrap(), 0);
        assert_eq!(store.charged_in(&payers[1], Hour(48)).unwrap(), 3);
        assert_eq!(store.charged_on_day(&payers[0], Hour(50)).unwrap(), 6);
    }
}
