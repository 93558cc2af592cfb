//! The store: what the daemon has answered "yes" to, and nothing else.
//!
//! The [`engine`] is the commit log with sled as its index; this room puts the daemon's own words on it. Rooms above see
//! operations such as [`Store::claim`] or [`Store::record_outcomes`], never keys, so that another engine can stand
//! beneath them. Reads are plain calls of a few microseconds; everything that changes something is one atomic commit
//! with an actor, a reason and its audit entries, and is durable when it returns.

pub mod engine;

mod again;
mod alerts;
mod archive;
mod breakers;
mod campaigns;
mod claims;
#[cfg(test)]
mod conformance;
mod controls;
mod counts;
mod deeds;
mod guests;
mod levels;
mod messages;
mod pages;
mod pieces;
mod queue;
mod quotas;
mod receipts;
mod records;
mod space;
mod sweep;
mod tail;

use std::sync::Arc;

pub use alerts::{WatchWrite, Watched};
pub use archive::Compaction;
pub use breakers::BreakerRecord;
pub use campaigns::{CampaignRow, MAX_TEXT, NewCampaign};
pub use claims::{Claim, ClaimId, Lane};
pub use counts::CampaignCounts;
pub use deeds::DeedWrite;
pub use engine::By;
pub use guests::{GuestUpsert, StoredGuest, Upserted};
pub use messages::{Expansion, IntentWrite, NewMessage, Next, OpenIntent, OutcomeWrite, StoredMessage};
pub use pages::Page;
pub use quotas::{Debit, Hour, Payer};
pub use receipts::{HeldMessage, Orphan, ReceiptMove, ReceiptWrite};
pub use records::{
    ALIKE, ActRecord, AddressRecord, AttemptRecord, AuditEntry, BY_RULE, CampaignRecord, IntentRecord, ListRecord,
    MAX_ATTEMPTS, MessageRecord, OrphanRecord, SuppressionRecord, TURNED_AWAY,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use tail::{Chapter, Tail, Told, ToldMessage};

use claims::Claims;
use engine::{Change, Commit, CommitError, Committed, Engine, Precondition, Row, Space, StoreError};

use crate::codec;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The engine did not commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A record that this program cannot read.
    #[error("a record of {what} cannot be read: {source}; it may come from a newer version of the daemon")]
    Record {
        /// What the record describes.
        what: &'static str,
        /// What is wrong with it.
        source: codec::CodecError,
    },
    /// A name that somebody else has.
    #[error("there is already a {what} called `{name}`: choose another name")]
    Taken {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something that is not there.
    #[error("there is no {what} {name}")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Its id or name.
        name: String,
    },
    /// Something changed between looking and acting.
    #[error("{what} {name} changed meanwhile: look again, then repeat the act")]
    Changed {
        /// What kind of thing.
        what: &'static str,
        /// Its id or name.
        name: String,
    },
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    claims: Arc<Claims>,
}

impl Store {
    /// Puts the daemon's words on an open engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine, claims: Arc::new(Claims::default()) }
    }

    /// The engine, for those that read the log or look after its health.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The next `count` ids of a sequence, from the first one on. Ids that are never used are lost, which does no harm.
    pub(crate) async fn reserve(&self, sequence: Sequence, count: u64, by: &By) -> Result<u64, Error> {
        let delta = i64::try_from(count).expect("blocks of ids are small");
        let change = Change::Merge { space: space::SEQUENCE, key: sequence.key().to_vec(), delta };
        let done = self.commit(by, Vec::new(), Vec::new(), vec![change]).await?;
        let end = done.merged.first().copied().expect("one merge was asked for, so one value is answered");
        Ok(u64::try_from(end).expect("sequences only grow") - count + 1)
    }

    /// The last id of a sequence; 0 before the first.
    pub(crate) fn last(&self, sequence: Sequence) -> Result<u64, Error> {
        Ok(u64::try_from(self.engine.counter(space::SEQUENCE, sequence.key())?).unwrap_or(0))
    }

    /// Writes audit entries that tell of something that changed no state, such as personal data that was shown.
    pub async fn audit(&self, by: &By, entries: &[AuditEntry]) -> Result<(), Error> {
        self.commit(by, entries.to_vec(), Vec::new(), Vec::new()).await?;
        Ok(())
    }

    /// What came of an act that was asked for before under the same key. Whoever commits an act remembers it in that commit.
    pub fn act(&self, key: &str) -> Result<Option<ActRecord>, Error> {
        self.read(space::ACT, key.as_bytes(), "an act").map(|row| row.map(|(record, _)| record))
    }

    async fn commit(
        &self,
        by: &By,
        audit: Vec<AuditEntry>,
        expect: Vec<Precondition>,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let audit = audit.iter().map(encode).collect();
        self.engine.commit(Commit { by: by.clone(), audit, expect, changes }).await
    }

    fn read<T: DeserializeOwned>(
        &self,
        space: Space,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<(T, Row)>, Error> {
        match self.engine.get(space, key)? {
            None => Ok(None),
            Some(row) => Ok(Some((decode(&row.value, what)?, row))),
        }
    }
}

/// Sequences that ids come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// Guest lists.
    List,
    /// Guests, which are the names of sealing keys too.
    Guest,
    /// Campaigns.
    Campaign,
    /// Messages.
    Message,
}

impl Sequence {
    fn key(self) -> &'static [u8] {
        match self {
            Self::List => b"list",
            Self::Guest => b"guest",
            Self::Campaign => b"campaign",
            Self::Message => b"message",
        }
    }
}

/// The version that records are written in.
const VERSION: u8 = 1;

/// Bytes that a value in pieces may take when it is decoded.
const LONG: usize = 1 << 20;

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    codec::decode(VERSION, bytes).map_err(|source| Error::Record { what, source })
}

fn decode_long<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    codec::decode_within::<T, LONG>(VERSION, bytes).map_err(|source| Error::Record { what, source })
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    codec::encode(VERSION, record).expect("whoever makes a record bounds its texts and lists")
}

fn encode_long<T: Serialize>(record: &T) -> Vec<u8> {
    codec::encode_within::<T, LONG>(VERSION, record).expect("whoever makes a text bounds it")
}

fn put<T: Serialize>(space: Space, key: Vec<u8>, state: u8, record: &T) -> Change {
    Change::Put { space, key, state, value: encode(record) }
}

fn merge(space: Space, key: Vec<u8>, delta: i64) -> Change {
    Change::Merge { space, key, delta }
}
