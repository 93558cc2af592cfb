//! The commit log as a story in the store's words: who keeps figures follows it, and can go on after a crash exactly where its own
//! figures end, since a story that is read from the same place is the same.

use std::collections::BTreeMap;

use usher_common::model::{CampaignId, CampaignState, MessageId, MessageState, OutcomeClass, Timestamp};

use super::engine::{By, LogReader, LoggedChange};
use super::records::{AuditEntry, CampaignRecord, MessageRecord};
use super::{BreakerRecord, Error, Store, decode, space};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// An attempt came to its end, or was settled.
    Outcome {
        /// By which provider.
        provider: String,
        /// What came of it.
        class: OutcomeClass,
        /// The message after it.
        message: ToldMessage,
    },
    /// A message moved without an attempt: suppressed, expired, cancelled, put back.
    Moved(ToldMessage),
    /// A provider reported of a message.
    Report {
        /// Which provider.
        provider: String,
        /// The message after it.
        message: ToldMessage,
    },
    /// A breaker turned.
    Breaker {
        /// Of which provider.
        provider: String,
        /// How it is kept.
        record: BreakerRecord,
    },
    /// A campaign changed.
    Campaign {
        /// Which.
        id: CampaignId,
        /// Where it stands.
        state: CampaignState,
    },
    /// An operator acted.
    Act {
        /// Who and why.
        by: By,
        /// What was done, e.g. `provider.drain`.
        act: String,
        /// To what.
        object: String,
        /// More, never personal.
        detail: String,
    },
}

/// A message as a commit left it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldMessage {
    /// Which.
    pub id: MessageId,
    /// Whose.
    pub campaign: CampaignId,
    /// Its row.
    pub record: MessageRecord,
}

/// What one commit tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Chapter {
    /// Its position in the log.
    pub lsn: u64,
    /// Its time; never earlier than that of the one before.
    pub time: Timestamp,
    /// What happened, in order.
    pub told: Vec<Told>,
}

/// Follows the log.
pub struct Tail(LogReader);

impl Store {
    /// The story from a commit on. Reading blocks on the disk.
    pub fn tail(&self, from_lsn: u64) -> Tail {
        Tail(self.engine.log_reader(from_lsn))
    }
}

impl Tail {
    /// The commit that comes next.
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// The next commit; `None` once everything durable was read.
    pub fn read(&mut self) -> Result<Option<Chapter>, Error> {
        let Some(entry) = self.0.read().map_err(Error::from)? else { return Ok(None) };
        let mut told = Vec::new();
        let mut messages: BTreeMap<u64, ToldMessage> = BTreeMap::new();
        for change in entry.changes {
            let LoggedChange::Put { space: of, key, value, .. } = change else { continue };
            if of == space::MESSAGE {
                if let Some((campaign, id)) = two(&key) {
                    let record: MessageRecord = decode(&value, "a message")?;
                    messages.insert(id, ToldMessage { id: MessageId(id), campaign: CampaignId(campaign), record });
                }
            } else if of == space::BREAKER {
                let provider = String::from_utf8_lossy(&key).into_owned();
                told.push(Told::Breaker { provider, record: decode(&value, "a breaker")? });
            } else if of == space::CAMPAIGN
                && let Some(id) = key.first_chunk().copied().map(u64::from_be_bytes)
            {
                let record: CampaignRecord = decode(&value, "a campaign")?;
                told.push(Told::Campaign { id: CampaignId(id), state: record.state });
            }
        }
        for blob in &entry.audit {
            match decode(blob, "an audit entry")? {
                AuditEntry::Outcome { provider, outcomes } => {
                    for (id, _, class) in outcomes {
                        if let Some(message) = messages.remove(&id) {
                            told.push(Told::Outcome { provider: provider.clone(), class, message });
                        }
                    }
                }
                AuditEntry::Receipt { provider, messages: moved } => {
                    for (id, _) in moved {
                        if let Some(message) = messages.remove(&id) {
                            told.push(Told::Report { provider: provider.clone(), message });
                        }
                    }
                }
                AuditEntry::Act { act, object, detail } => {
                    told.push(Told::Act { by: entry.by.clone(), act, object, detail });
                }
                _ => {}
            }
        }
        // What is new waits in its queue and has not moved.
        let moved = messages.into_values().filter(|message| message.record.state != MessageState::Queued);
        told.extend(moved.map(Told::Moved));
        Ok(Some(Chapter { lsn: entry.lsn, time: entry.time, told }))
    }
}

fn two(key: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*rest.first_chunk()?)))
}
