//! The engine under the store: a commit log, and sled as an index that can be made again from it.
//!
//! - A commit is answered when one fsync of the log has made it durable and the index shows it. Many that wait share
//!   that fsync.
//! - A commit is all or nothing over any keyspaces, and is made only if its preconditions hold at that very moment.
//! - After an fsync that failed nothing is accepted until a restart.
//! - Opening is recovery: torn ends are cut off, the index is trusted, proved or rebuilt, damage is refused with its
//!   place. What was done is in the [`StartReport`].
//! - Nothing of the log is deleted to make room.
//!
//! Reading one row is consistent; reading several is not a snapshot. What must hold between what was read and
//! what is written goes into the commit as [`Precondition`]s.
//!
//! ```text
//! lock              who works here               checkpoints/  F-T.ckpt: all rows, from commit F, exact at T
//! session           boot, stop marker            index/        sled
//! log/              TTTT-<first LSN>.log[.zst]   index.damaged-N/  the last one that was not good enough
//! ```

mod checkpoint;
mod committer;
mod disk;
mod error;
mod fences;
mod frame;
mod index;
mod judge;
mod keeper;
mod lock;
mod log;
mod reader;
mod recover;
mod segment;
mod session;
mod sethash;
mod shared;
mod stage;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, oneshot, watch};

pub use error::{CommitError, StoreError};
pub use fences::FenceTable;
pub use frame::{LoggedChange, Survey, survey};
pub use reader::{LogEntry, LogReader};
pub use stage::{LogFile, Stage, Step};
pub use types::{
    By, Change, CheckpointReport, Clock, Commit, Committed, EngineHealth, IndexStart, MAX_CHANGES, MAX_COMMIT, Options,
    Precondition, StartReport, TornTail,
};
pub use value::{MAX_KEY, MAX_ROW, MAX_VALUE, Row, Space};

use committer::{Committer, Keeper, Pending, QUEUE, Request};
use disk::OpenLog;
use index::Index;
use lock::Lock;
use log::{Limits, LogEnd, Writer};
use recover::Places;
use session::Session;
use sethash::SetHash;
use shared::{Shared, Vital};

use crate::aside::aside;

/// A handle on the store's engine; cheap to clone, usable from everywhere.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    index: Arc<Index>,
    requests: SyncSender<Request>,
    /// One permit for each place in the queue: whoever waits for one waits without a thread.
    places: Arc<Semaphore>,
    hash: SetHash,
    nudge: keeper::Nudge,
    checkpointing: Arc<tokio::sync::Mutex<()>>,
}

impl Engine {
    /// Opens the store, recovering whatever the last process left. Blocks on the disk: seconds where the index must be
    /// proved or rebuilt.
    pub fn open(options: Options) -> Result<(Self, StartReport), StoreError> {
        Self::open_on(options, disk::open_log())
    }

    fn open_on(options: Options, open_log: OpenLog) -> Result<(Self, StartReport), StoreError> {
        let dir = options.dir.clone();
        let (engine, report, committer) = Self::recover(options, open_log, |shared, woken| {
            let stop = Arc::new(AtomicBool::new(false));
            let thread = keeper::start(shared, woken, Arc::clone(&stop));
            Ok(Keeper::Thread { thread: thread.map_err(StoreError::io("starting a thread for", &dir))?, stop })
        })?;
        committer.start().map_err(StoreError::io("starting a thread for", &dir))?;
        engine.nudge.send();
        Ok((engine, report))
    }

    /// Opens the store for a simulation, within its runtime: no thread is started, and the log lies on `stage`'s disk.
    pub fn play(options: Options, stage: Arc<dyn Stage>) -> Result<(Self, StartReport), StoreError> {
        let disk = Arc::clone(&stage);
        let open_log: OpenLog = Arc::new(move |path| disk.open_log(path));
        let (engine, report, committer) = Self::recover(options, open_log, |_, woken| Ok(Keeper::Committer(woken)))?;
        tokio::spawn(committer.play(stage));
        engine.nudge.send();
        Ok((engine, report))
    }

    /// Recovers what is there, and puts together what works on it.
    fn recover(
        options: Options,
        open_log: OpenLog,
        keeper: impl FnOnce(Arc<Shared>, Receiver<()>) -> Result<Keeper, StoreError>,
    ) -> Result<(Self, StartReport, Committer), StoreError> {
        let places = Places::make(&options.dir)?;
        let lock = Lock::take(&options.dir)?;
        let mut hash = SetHash::new(options.set_hash_key);
        let recovered = recover::recover(&options, &places, &mut hash)?;
        Session { boot_id: options.boot_id.clone(), closed_at: None }.write(&options.dir)?;
        let limits = Limits { segment: options.segment_bytes, total: options.log_cap_bytes };
        let catalog = recovered.catalog;
        let writer = Writer::new(Arc::clone(&catalog), open_log, limits, hash.fingerprint(), recovered.end)?;
        let newest = checkpoint::list(&places.checkpoints)?.first().map_or(0, |known| known.to);
        let shared = Arc::new(Shared {
            catalog,
            fences: FenceTable::default(),
            readers: options.readers,
            keep_log: options.keep_log,
            log_cap: options.log_cap_bytes,
            clock: options.clock,
            checkpoints: places.checkpoints,
            waiting: AtomicUsize::new(0),
            asked: Notify::new(),
            vital: Mutex::new(Vital { checkpointed: newest, ..Vital::default() }),
        });
        let index = Arc::new(recovered.index);
        let (nudge, woken) = keeper::channel();
        let (requests, queue) = sync_channel(QUEUE + 8);
        let committer = Committer {
            shared: Arc::clone(&shared),
            index: Arc::clone(&index),
            writer,
            hash: hash.clone(),
            requests: queue,
            gather: options.gather,
            flush_every: options.sled_flush_every,
            nudge: nudge.clone(),
            keeper: keeper(Arc::clone(&shared), woken)?,
            dir: options.dir,
            boot_id: options.boot_id,
            lock,
        };
        let engine = Self {
            shared,
            index,
            requests,
            places: Arc::new(Semaphore::new(QUEUE)),
            hash,
            nudge,
            checkpointing: Arc::default(),
        };
        Ok((engine, recovered.report, committer))
    }

    /// Makes a commit; returns when it is durable and every read shows it. Dropping the future does not take it back.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let size = judge::size(&commit)?;
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| self.stopped())?;
        let (answer, committed) = oneshot::channel();
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let pending = Box::new(Pending { commit, size, answer, permit });
        if self.requests.try_send(Request::Commit(pending)).is_err() {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.stopped());
        }
        self.shared.asked.notify_one();
        committed.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// The row, if it is there.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let key = space.key(key);
        let raw = self.index.get(&key)?;
        raw.map(|raw| Row::decode(&raw).map_err(|error| StoreError::row(&key, error))).transpose()
    }

    /// The counter's total, 0 if it was never moved.
    pub fn counter(&self, space: Space, key: &[u8]) -> Result<i64, StoreError> {
        let Some(row) = self.get(space, key)? else { return Ok(0) };
        row.total().ok_or_else(|| StoreError::BadRow { space, why: "it is no counter".into() })
    }

    /// The rows of a keyspace between two keys, in order; `rev()` gives them from the end. Each row is as it is when it
    /// is come to. Blocks on the disk.
    pub fn scan(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Row), StoreError>> + use<> {
        let from = match from {
            Bound::Unbounded => Bound::Included(space.key(b"")),
            other => other.map(|key| space.key(key)),
        };
        let to = match to {
            Bound::Unbounded => after_prefix(space.key(b"")),
            other => other.map(|key| space.key(key)),
        };
        self.rows(from, to)
    }

    /// The rows of a keyspace whose keys begin with `prefix`, as [`scan`](Self::scan) gives them.
    pub fn scan_prefix(
        &self,
        space: Space,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Row), StoreError>> + use<> {
        let from = space.key(prefix);
        self.rows(Bound::Included(from.clone()), after_prefix(from))
    }

    fn rows(
        &self,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Row), StoreError>> + use<> {
        self.index.range(from, to).map(|row| {
            let (mut key, raw) = row?;
            let row = Row::decode(&raw).map_err(|error| StoreError::row(&key, error))?;
            key.remove(0);
            Ok((key, row))
        })
    }

    /// Who holds what; in memory.
    pub fn fences(&self) -> &FenceTable {
        &self.shared.fences
    }

    /// Writes a checkpoint while writers go on, proves it and lets older ones go. One at a time; the next waits.
    pub async fn checkpoint(&self) -> Result<CheckpointReport, StoreError> {
        let _one_at_a_time = self.checkpointing.lock().await;
        let timeline = self.mark().await?.timeline;
        let (index, shared) = (Arc::clone(&self.index), Arc::clone(&self.shared));
        let walked = blocking(move || checkpoint::walk(&shared.checkpoints, &index, timeline)).await?;
        let end = self.mark().await?;
        let (shared, mut hash) = (Arc::clone(&self.shared), self.hash.clone());
        let report = blocking(move || {
            let log = |from| LogReader::new(Arc::clone(&shared.catalog), from);
            let report = checkpoint::finish(&shared.checkpoints, walked, &end, log, &mut hash)?;
            let oldest = checkpoint::list(&shared.checkpoints)?.last().map_or(0, |known| known.from + 1);
            shared.catalog.lock().checkpointed = oldest;
            shared.vital().checkpointed = report.to_lsn;
            Ok(report)
        })
        .await?;
        self.nudge.send();
        Ok(report)
    }

    /// Reads the log from a commit on.
    pub fn log_reader(&self, from_lsn: u64) -> LogReader {
        LogReader::new(Arc::clone(&self.shared.catalog), from_lsn)
    }

    /// Changes to the LSN of the last durable commit, whenever there is a later one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.catalog.watch()
    }

    /// Notes that the reader `name` still needs the log from commit `from_lsn` on, and nothing before. In memory: each
    /// reader named in [`Options::readers`] says it again after a start.
    pub fn retain(&self, name: &str, from_lsn: u64) {
        self.shared.catalog.lock().retained.insert(name.to_owned(), from_lsn);
        self.nudge.send();
    }

    /// How the engine is.
    pub fn health(&self) -> EngineHealth {
        self.shared.health()
    }

    /// Closes the store: what was queued before is committed, the index flushed, the stop marker written, the folder
    /// given back. Other handles answer `Stopped` from then on.
    pub async fn close(self) -> Result<(), StoreError> {
        let (answer, closed) = oneshot::channel();
        self.ask(Request::Close(answer)).await?;
        closed.await.unwrap_or_else(|_| Err(self.stopped_store()))
    }

    /// Where the committer stands.
    async fn mark(&self) -> Result<LogEnd, StoreError> {
        let (answer, mark) = oneshot::channel();
        self.ask(Request::Mark(answer)).await?;
        mark.await.map_err(|_| self.stopped_store())
    }

    async fn ask(&self, mut request: Request) -> Result<(), StoreError> {
        // Commits hold permits and never fill the queue; the few places left over are for these.
        loop {
            match self.requests.try_send(request) {
                Ok(()) => {
                    self.shared.asked.notify_one();
                    return Ok(());
                }
                Err(TrySendError::Disconnected(_)) => return Err(self.stopped_store()),
                Err(TrySendError::Full(back)) => request = back,
            }
            tokio::task::yield_now().await;
        }
    }

    fn why(&self) -> String {
        self.shared.vital().failed.clone().unwrap_or_else(|| "its committer has ended".into())
    }

    fn stopped(&self) -> CommitError {
        CommitError::Stopped { why: self.why() }
    }

    fn stopped_store(&self) -> StoreError {
        StoreError::Stopped { why: self.why() }
    }
}

/// The bound behind every key that begins with `prefix`.
fn after_prefix(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return Bound::Excluded(prefix);
        }
    }
    Bound::Unbounded
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match aside(async move { work() }).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Index { doing: "walking", why: error.to_string() }),
    }
}
