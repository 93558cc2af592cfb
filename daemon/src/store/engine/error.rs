//! What can go wrong under the store, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::value::{RowError, Space};

/// Why the store does not start, cannot be read, or cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon works in this folder.
    #[error("opening the store in {}: process {pid} already works there; stop it, or give this one another folder", dir.display())]
    Locked {
        /// The state folder.
        dir: PathBuf,
        /// The other's process id, as it wrote it; `unknown` where it did not get that far.
        pid: String,
    },
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A frame is damaged where no crash can have damaged it.
    #[error(
        "reading the commit log: {} has a bad frame at byte {offset} ({why}), and it is not the torn end of a crash. \
         Nothing was changed. Restore this segment from a backup; or restore the whole store to a moment before it",
        file.display()
    )]
    BadFrame {
        /// The segment.
        file: PathBuf,
        /// Where the frame begins; in a compressed segment, in the bytes that it unpacks to.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A segment does not begin as one.
    #[error(
        "reading the commit log: {} is no segment that this build can read ({why}). Nothing was changed. Restore it \
         from a backup, or run the build that wrote it",
        file.display()
    )]
    BadSegment {
        /// The segment.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Commits are missing between two frames, or in front of the first.
    #[error(
        "reading the commit log in {}: commit {wanted} is not there, the next one found is {found}. Nothing was \
         changed. A segment was removed by hand or lost: bring it back, or restore from a backup", dir.display()
    )]
    LogGap {
        /// The log's folder.
        dir: PathBuf,
        /// The LSN that should have come.
        wanted: u64,
        /// The LSN that came instead, 0 for none.
        found: u64,
    },
    /// Commits that were acknowledged are not in the log any more.
    #[error(
        "opening the store in {}: {what} knows commits up to {known}, the log ends at {log}. The end of the log was \
         lost after it had been acknowledged: a segment is missing, or the disk does not keep what it confirms. Nothing \
         was changed. Bring the segment back or restore from a backup; to accept the loss, move {what} away and start \
         again", dir.display()
    )]
    LogShort {
        /// The state folder.
        dir: PathBuf,
        /// What tells: the index, the stop marker, a checkpoint.
        what: String,
        /// The last LSN it knows.
        known: u64,
        /// Last LSN in the log.
        log: u64,
    },
    /// The set-hash key is not the one that this store was written with.
    #[error(
        "opening the store in {}: it was written under another root key. Nothing was changed. Give the daemon the key \
         that belongs to this folder", dir.display()
    )]
    WrongKey {
        /// The state folder.
        dir: PathBuf,
    },
    /// The index failed while it was in use.
    #[error("{doing} the index: {why}; restart the daemon, it rebuilds the index from the log if that is needed")]
    Index {
        /// What was being done.
        doing: &'static str,
        /// What sled said.
        why: String,
    },
    /// A row in the index is no row.
    #[error(
        "reading a row of keyspace {}: {why}; restart the daemon after moving the folder `index` away, it is rebuilt",
        space.prefix()
    )]
    BadRow {
        /// Whose row.
        space: Space,
        /// What is wrong.
        why: String,
    },
    /// The index is gone and there is nothing to rebuild it from.
    #[error(
        "rebuilding the index in {}: the log begins at commit {log_from} and no checkpoint reaches that far \
         ({checkpoints}). Nothing was deleted. Restore from a backup", dir.display()
    )]
    Irreparable {
        /// The state folder.
        dir: PathBuf,
        /// First LSN that the log still has.
        log_from: u64,
        /// What was found of checkpoints.
        checkpoints: String,
    },
    /// What was rebuilt, or walked, is not what the log proves.
    #[error(
        "proving {what} at commit {lsn}: the rows of keyspace {spaces} are not those that the log proves. Nothing was \
         deleted. Restore from a backup, and keep the folder for whoever looks into it"
    )]
    Disproved {
        /// What was being proved.
        what: String,
        /// At which LSN.
        lsn: u64,
        /// The keyspaces that differ.
        spaces: String,
    },
    /// A checkpoint file is damaged.
    #[error("reading the checkpoint {}: {why}; the next one replaces it", file.display())]
    BadCheckpoint {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The engine has stopped for good.
    #[error("the store has stopped: {why}; nothing is accepted until the daemon is restarted")]
    Stopped {
        /// Why.
        why: String,
    },
}

impl StoreError {
    /// For `map_err`: what was being done to which path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(super) fn row(key: &[u8], error: RowError) -> Self {
        let prefix = key.first().copied().filter(|prefix| *prefix != 0).unwrap_or(u8::MAX);
        Self::BadRow { space: Space::new(prefix), why: error.to_string() }
    }
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold (any more). Nothing of the commit was logged; read again and decide again: what stood in
    /// its way is seen by then, also where that was committed at the same moment.
    #[error("precondition {which} does not hold: {why}")]
    Conflict {
        /// Its place in [`Commit::expect`](super::Commit::expect).
        which: usize,
        /// What was found instead.
        why: String,
    },
    /// A key, a value or the whole is over its bound. Nothing was logged; split it.
    #[error("{what} takes {size}, at most {limit} is allowed; split the commit")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes or rows.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The change makes no sense for the row that is there. Nothing was logged; this is a mistake in the program.
    #[error("change {which} cannot be made: {why}")]
    Unfit {
        /// Its place in [`Commit::changes`](super::Commit::changes).
        which: usize,
        /// Why not.
        why: &'static str,
    },
    /// The log has reached its cap. Nothing was logged; make room, or raise the cap.
    #[error(
        "the commit log holds {bytes} bytes and its cap is {cap}: take a checkpoint, let its readers catch up, or raise the cap"
    )]
    LogFull {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        cap: u64,
    },
    /// The disk is full. Nothing was logged, and the engine goes on once there is room.
    #[error("the disk under the commit log is full ({why}): make room")]
    DiskFull {
        /// What the operating system said.
        why: String,
    },
    /// The engine has stopped for good. Whether this commit is there is known after the restart, not before.
    #[error("the store has stopped: {why}; restart the daemon")]
    Stopped {
        /// Why.
        why: String,
    },
}
