//! What goes into the engine and what comes out of it: commits, their conditions and results, options, reports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::value::Space;

/// The most rows that one commit may change.
pub const MAX_CHANGES: usize = 4096;
/// The most that one commit may take: names, audit entries, keys and values together, in bytes.
pub const MAX_COMMIT: usize = 4 * 1024 * 1024;

/// Reads the wall clock; handed in so that tests move it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who commits, why, and by which request: carried in the log for the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// A person, or a part of the daemon.
    pub actor: String,
    /// Why, in the actor's words; empty where the act explains itself.
    pub reason: String,
    /// The request that asked for it; empty for the daemon's own.
    pub request_id: String,
}

/// One atomic change of state.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Who and why.
    pub by: By,
    /// Audit entries: not applied to the index, but read from the log by the audit writer, so that neither they nor
    /// what they tell of can exist without the other.
    pub audit: Vec<Vec<u8>>,
    /// What must hold for the changes to be made.
    pub expect: Vec<Precondition>,
    /// What changes, in order; a later change sees an earlier one.
    pub changes: Vec<Change>,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The row is there afterwards, with this content and the commit's LSN as version.
    Put {
        /// Keyspace.
        space: Space,
        /// Key, at most [`MAX_KEY`](super::MAX_KEY) bytes.
        key: Vec<u8>,
        /// Below 32.
        state: u8,
        /// At most [`MAX_VALUE`](super::MAX_VALUE) bytes.
        value: Vec<u8>,
    },
    /// The row is not there afterwards, whether it was or not.
    Delete {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
    },
    /// The counter is moved by `delta`, from 0 if it was not there.
    Merge {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
        /// By how much, up or down.
        delta: i64,
    },
    /// Bits of a row of 64 are cleared and then set; the row is there while any of them is set.
    Bits {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
        /// Those that are set.
        set: u64,
        /// Those that are cleared.
        clear: u64,
    },
}

/// What must hold for a commit to be made, judged against the index and everything accepted before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such row.
    Absent {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
    },
    /// The row is there with this version: nobody wrote it since it was read.
    Version {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
        /// The version that was read.
        version: u64,
    },
    /// The row is there and its state is one of a set.
    StateIn {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
        /// Bit `n` stands for state `n`.
        states: u32,
    },
    /// All of these bits of a row of 64 are set.
    Bits {
        /// Keyspace.
        space: Space,
        /// Key.
        key: Vec<u8>,
        /// The bits.
        all: u64,
    },
    /// The claim on this resource is still the one that this token was given for.
    Fence {
        /// What was claimed.
        resource: u64,
        /// The token, from [`FenceTable::raise`](super::FenceTable::raise).
        token: u64,
    },
}

/// What a commit came to. It is durable when this is handed out, and visible to every read that begins after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its position in the log, and the version of every row that it put.
    pub lsn: u64,
    /// Its time; never earlier than that of the commit before, also over restarts.
    pub time: Timestamp,
    /// The totals after each `Merge`, in the order of the changes.
    pub merged: Vec<i64>,
}

/// How an engine is opened.
#[derive(Clone)]
pub struct Options {
    /// The state folder; made if it is not there.
    pub dir: PathBuf,
    /// What sled may cache, in bytes as they lie on the disk; in memory they take about four times that.
    pub cache_bytes: u64,
    /// At what size a segment of the log is closed, in bytes.
    pub segment_bytes: u64,
    /// What all segments together may take, in bytes; from there on commits are refused.
    pub log_cap_bytes: u64,
    /// How long a commit waits at most for others to share its fsync, once there were others.
    pub gather: Duration,
    /// How often sled is flushed and fsynced. What is lost of it in a power cut is applied again from the log.
    pub sled_flush_every: Duration,
    /// How long a segment is kept at least, counted from its last commit.
    pub keep_log: Duration,
    /// The key of the set-hash, derived from the daemon's root key.
    pub set_hash_key: [u8; 32],
    /// Names this boot of the machine (`/proc/sys/kernel/random/boot_id`): on the same one the page cache has survived.
    pub boot_id: String,
    /// Names of the log's readers. Until each has said by [`Engine::retain`](super::Engine::retain) how far it is, no
    /// segment goes.
    pub readers: Vec<String>,
    /// Wall time.
    pub clock: Clock,
}

impl Options {
    /// The usual sizes and times for a store in `dir`: 4 MiB of cache, segments of 64 MiB, a log of at most 16 GiB
    /// that is kept 7 days.
    pub fn new(dir: PathBuf, set_hash_key: [u8; 32], boot_id: String, clock: Clock) -> Self {
        Self {
            dir,
            cache_bytes: 4 << 20,
            segment_bytes: 64 << 20,
            log_cap_bytes: 16 << 30,
            gather: Duration::from_millis(1),
            sled_flush_every: Duration::from_millis(500),
            keep_log: Duration::from_hours(7 * 24),
            set_hash_key,
            boot_id,
            readers: Vec::new(),
            clock,
        }
    }
}

/// What the start found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartReport {
    /// The log's timeline: 1, and one more with every restore.
    pub timeline: u64,
    /// The last commit.
    pub lsn: u64,
    /// What became of the index.
    pub index: IndexStart,
    /// How many commits of the log were applied to it.
    pub replayed: u64,
    /// What was cut off the end of the log.
    pub torn: Option<TornTail>,
}

/// How the index was come by at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexStart {
    /// The store is new.
    Created,
    /// Stopped cleanly, or the machine has not restarted since: taken as it stands.
    Trusted,
    /// The machine restarted without a clean stop: every row was read and the set-hash agreed.
    Proved,
    /// Rebuilt from checkpoint and log. Worth telling somebody.
    Rebuilt {
        /// Why the one that was there was not good enough.
        why: String,
        /// The checkpoint it was rebuilt from; none where the log was still whole.
        checkpoint: Option<PathBuf>,
        /// Where the old one was put.
        damaged: Option<PathBuf>,
    },
}

/// The end of a frame that a crash did not let finish: never acknowledged, and cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the frame began.
    pub offset: u64,
    /// How many bytes of it there were.
    pub bytes: u64,
}

/// What a checkpoint came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointReport {
    /// The file.
    pub path: PathBuf,
    /// The walk began with this commit applied: the log is needed from the next one on.
    pub from_lsn: u64,
    /// The walk ended with this commit durable: with the log up to here it is the exact state, and was proved to be.
    pub to_lsn: u64,
    /// Time of the commit `to_lsn`.
    pub time: Timestamp,
    /// How many rows it holds.
    pub rows: u64,
    /// Its size on disk, in bytes.
    pub bytes: u64,
}

/// How the engine is, for metrics and the overview.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineHealth {
    /// Why it stopped; while this is set nothing is accepted.
    pub failed: Option<String>,
    /// The last durable commit.
    pub lsn: u64,
    /// When the log was last fsynced.
    pub last_sync: Option<Timestamp>,
    /// How long that took.
    pub last_sync_took: Duration,
    /// When the index was last flushed and fsynced.
    pub index_synced: Option<Timestamp>,
    /// What the log takes, in bytes.
    pub log_bytes: u64,
    /// What it may take; refuse intake well before, so that what is under way can still be recorded.
    pub log_cap_bytes: u64,
    /// How many segments it has.
    pub segments: usize,
    /// The last commit that a checkpoint holds.
    pub checkpointed: u64,
    /// The last background work that failed (compressing or removing segments), until it succeeds.
    pub upkeep: Option<String>,
    /// How many commits wait at this moment.
    pub waiting: usize,
}
