//! The committer: the one thread that writes.
//!
//! It takes what waits, judges it, appends one frame, fsyncs once for all, applies that to the index and answers everyone.
//! A commit that is alone does not wait for company; where the last gathering had several, the next waits for as many,
//! at most `gather`. Any failure that leaves a doubt about the disk ends it for good: what waits and all that comes is
//! answered `Stopped`, and only a restart, which looks at what is there, goes on.
//!
//! In a simulation it is a task instead of a thread, does the same in the same order, and lets time pass between its steps.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use usher_common::model::Timestamp;

use super::error::{CommitError, StoreError};
use super::index::Index;
use super::judge::{Accepted, Gathering};
use super::keeper::{self, Nudge};
use super::lock::Lock;
use super::log::{AppendError, LogEnd, Writer, Written};
use super::session::Session;
use super::sethash::SetHash;
use super::shared::Shared;
use super::stage::{Stage, Step};
use super::types::{Commit, Committed, MAX_COMMIT};
use crate::failpoint;

/// How many commits may wait.
pub(super) const QUEUE: usize = 4096;
/// The most commits in one frame.
const MAX_GATHERED: usize = 1024;

/// What the committer is asked.
pub(super) enum Request {
    Commit(Box<Pending>),
    /// Where the log and the index stand, exactly.
    Mark(oneshot::Sender<LogEnd>),
    /// Flush, leave the stop marker, end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A commit that waits.
pub(super) struct Pending {
    pub(super) commit: Commit,
    /// In bytes; bounded before it was queued.
    pub(super) size: usize,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
    /// Its place in the queue.
    pub(super) permit: OwnedSemaphorePermit,
}

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) index: Arc<Index>,
    pub(super) writer: Writer,
    pub(super) hash: SetHash,
    pub(super) requests: Receiver<Request>,
    pub(super) gather: Duration,
    pub(super) flush_every: Duration,
    pub(super) nudge: Nudge,
    pub(super) keeper: Keeper,
    pub(super) dir: PathBuf,
    pub(super) boot_id: String,
    pub(super) lock: Lock,
}

/// Who looks after closed segments, and ends with the committer.
pub(super) enum Keeper {
    /// A thread, which `stop` ends.
    Thread { thread: thread::JoinHandle<()>, stop: Arc<AtomicBool> },
    /// The committer itself, whenever this was nudged.
    Committer(Receiver<()>),
}

/// A gathering under way: what it does to the index, and who waits for it.
struct Begun {
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    time: Timestamp,
    since: Instant,
    waiting: Vec<(Accepted, Answer)>,
    /// What was refused beside it: told no sooner, so that whoever reads again sees what stood in the way.
    refused: Vec<(CommitError, Answer)>,
}

impl Begun {
    fn answer(self) {
        for (Accepted { lsn, merged }, answer) in self.waiting {
            let _ = answer.send(Ok(Committed { lsn, time: self.time, merged }));
        }
        for (error, answer) in self.refused {
            refuse(answer, &error);
        }
        failpoint::hit("store.commit.answered");
    }

    fn refuse(self, error: &CommitError) {
        // What stood in the way of the others is not there either.
        let refused = self.refused.into_iter().map(|(_, answer)| answer);
        refuse_all(self.waiting.into_iter().map(|(_, answer)| answer).chain(refused), error);
    }
}

/// Answers whoever still waits when the thread ends by a panic.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the committer panicked; its message is in the log".into());
        }
    }
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<()> {
        thread::Builder::new().name("store-committer".into()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let _alive = Alive(Arc::clone(&self.shared));
        let mut carried = None;
        let mut company = 1;
        let mut unflushed: Option<Instant> = None;
        let close = loop {
            let request = match carried.take() {
                Some(request) => request,
                None => match self.next(unflushed) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => {
                        unflushed = None;
                        self.flush();
                        continue;
                    }
                    // All handles are gone without a close: the next start takes it for a crash, which it may be.
                    Err(RecvTimeoutError::Disconnected) => break None,
                },
            };
            match request {
                Request::Mark(answer) => {
                    let _ = answer.send(self.writer.end());
                }
                Request::Close(answer) => break Some(answer),
                Request::Commit(first) => {
                    let gathered = self.gather(*first, company, &mut carried);
                    company = gathered.len();
                    let written = self.write(gathered);
                    let synced = written.and_then(|(written, begun)| self.sync(written, begun));
                    if let Some(begun) = synced.and_then(|begun| self.apply(begun)) {
                        begun.answer();
                        unflushed.get_or_insert_with(Instant::now);
                    }
                    if unflushed.is_some_and(|since| since.elapsed() >= self.flush_every) {
                        unflushed = None;
                        self.flush();
                    }
                }
            }
        };
        self.end(close);
    }

    /// The same as a task, in a simulation: time passes between the steps, and at each of them it may be broken off.
    pub(super) async fn play(mut self, stage: Arc<dyn Stage>) {
        self.gather = Duration::ZERO;
        let mut carried = None;
        let mut unflushed: Option<tokio::time::Instant> = None;
        let close = loop {
            let request = match carried.take().map_or_else(|| self.requests.try_recv(), Ok) {
                Ok(request) => request,
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) => {
                    let asked = self.shared.asked.notified();
                    let Some(since) = unflushed else {
                        asked.await;
                        continue;
                    };
                    if tokio::time::timeout_at(since + self.flush_every, asked).await.is_err() {
                        unflushed = None;
                        self.flush();
                        stage.pass(Step::Flushed).await;
                    }
                    continue;
                }
            };
            match request {
                Request::Mark(answer) => {
                    let _ = answer.send(self.writer.end());
                }
                Request::Close(answer) => break Some(answer),
                Request::Commit(first) => {
                    stage.pass(Step::Asked).await;
                    let gathered = self.gather(*first, 1, &mut carried);
                    let Some((written, begun)) = self.write(gathered) else { continue };
                    stage.pass(Step::Written).await;
                    let Some(begun) = self.sync(written, begun) else { continue };
                    stage.pass(Step::Synced).await;
                    let Some(begun) = self.apply(begun) else { continue };
                    stage.pass(Step::Applied).await;
                    begun.answer();
                    unflushed.get_or_insert_with(tokio::time::Instant::now);
                    if let Keeper::Committer(nudged) = &self.keeper
                        && nudged.try_recv().is_ok()
                    {
                        keeper::look_after(&self.shared, &AtomicBool::new(false));
                    }
                }
            }
        };
        self.end(close);
    }

    /// Waits for a request, or until the index is to be flushed.
    fn next(&self, unflushed: Option<Instant>) -> Result<Request, RecvTimeoutError> {
        match unflushed {
            Some(since) => self.requests.recv_timeout(self.flush_every.saturating_sub(since.elapsed())),
            None => self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Collects what waits behind `first`.
    fn gather(&self, first: Pending, company: usize, carried: &mut Option<Request>) -> Vec<Pending> {
        let since = Instant::now();
        let mut bytes = first.size;
        let mut gathered = vec![first];
        while gathered.len() < MAX_GATHERED {
            let request = match self.requests.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    let left = self.gather.saturating_sub(since.elapsed());
                    if gathered.len() >= company || left.is_zero() {
                        break;
                    }
                    match self.requests.recv_timeout(left) {
                        Ok(request) => request,
                        Err(_) => break,
                    }
                }
            };
            match request {
                Request::Commit(pending) if bytes + pending.size <= MAX_COMMIT => {
                    bytes += pending.size;
                    gathered.push(*pending);
                }
                other => {
                    *carried = Some(other);
                    break;
                }
            }
        }
        gathered
    }

    /// Judges one gathering and writes it to the log; none if there was nothing to write, or it could not be.
    fn write(&mut self, gathered: Vec<Pending>) -> Option<(Written, Begun)> {
        self.shared.waiting.fetch_sub(gathered.len(), Ordering::Relaxed);
        let mut waiting = Vec::with_capacity(gathered.len());
        let mut refused = Vec::new();
        let stopped = self.shared.vital().failed.clone();
        if let Some(why) = stopped {
            refuse_all(gathered.into_iter().map(|pending| pending.answer), &CommitError::Stopped { why });
            return None;
        }
        let mut gathering = Gathering::new(&*self.index, &self.shared.fences, self.writer.next());
        for Pending { commit, answer, permit, .. } in gathered {
            drop(permit);
            match gathering.admit(commit) {
                Ok(Ok(accepted)) => waiting.push((accepted, answer)),
                Ok(Err(error)) => refused.push((error, answer)),
                Err(error) => {
                    // Nothing is logged yet, but an index that cannot be read cannot judge.
                    let error = CommitError::Stopped { why: self.shared.fail(error.to_string()) };
                    let refused = refused.into_iter().map(|(_, answer)| answer);
                    refuse_all(waiting.into_iter().map(|(_, answer)| answer).chain(refused).chain([answer]), &error);
                    return None;
                }
            }
        }
        let before = self.writer.end();
        let Some(judged) = gathering.finish(before.sums, &mut self.hash) else {
            for (error, answer) in refused {
                refuse(answer, &error);
            }
            return None;
        };
        let time = self.writer.time((self.shared.clock)());
        let begun = Begun { rows: judged.rows, time, since: Instant::now(), waiting, refused };
        let segments = self.shared.catalog.lock().segments.len();
        match self.writer.write(time, judged.body, judged.sums) {
            Ok(written) => {
                if self.shared.catalog.lock().segments.len() != segments {
                    self.nudge.send();
                }
                Some((written, begun))
            }
            Err(error) => self.took_nothing(error, begun),
        }
    }

    /// Makes it durable.
    fn sync(&mut self, written: Written, begun: Begun) -> Option<Begun> {
        if let Err(error) = self.writer.sync(written) {
            return self.took_nothing(error, begun);
        }
        let mut vital = self.shared.vital();
        vital.last_sync = Some(begun.time);
        vital.last_sync_took = begun.since.elapsed();
        drop(vital);
        Some(begun)
    }

    fn took_nothing<T>(&self, error: AppendError, begun: Begun) -> Option<T> {
        let error = match error {
            AppendError::Cap { bytes, cap } => CommitError::LogFull { bytes, cap },
            AppendError::DiskFull(why) => CommitError::DiskFull { why },
            AppendError::Fatal(why) => CommitError::Stopped { why: self.shared.fail(why) },
        };
        tracing::error!(%error, "the commit log took nothing");
        begun.refuse(&error);
        None
    }

    /// Lets every read see it.
    fn apply(&mut self, mut begun: Begun) -> Option<Begun> {
        let rows = std::mem::take(&mut begun.rows);
        failpoint::hit("store.index.before-apply");
        if let Err(error) = self.index.apply(rows, Some(self.writer.next() - 1)) {
            // Durable, but no read would show it: the caller must not go on as if it were seen.
            begun.refuse(&CommitError::Stopped { why: self.shared.fail(error.to_string()) });
            return None;
        }
        failpoint::hit("store.index.after-apply");
        Some(begun)
    }

    /// Brings the index to the disk. What fails here could be made again from the log, but a disk that fails an fsync
    /// is not one to go on with.
    fn flush(&mut self) {
        failpoint::hit("store.index.before-flush");
        match self.index.flush() {
            Ok(()) => {
                failpoint::hit("store.index.after-flush");
                self.shared.vital().index_synced = Some((self.shared.clock)());
            }
            Err(error) => {
                let why = self.shared.fail(error.to_string());
                tracing::error!(%why, "the index was not flushed; the store has stopped");
            }
        }
    }

    fn end(mut self, close: Option<oneshot::Sender<Result<(), StoreError>>>) {
        let flushed = self.flush_at_end();
        let done = match (&close, flushed) {
            (Some(_), Ok(())) => {
                let session = Session { boot_id: self.boot_id.clone(), closed_at: Some(self.writer.next() - 1) };
                session.write(&self.dir)
            }
            (_, other) => other,
        };
        self.shared.vital().failed.get_or_insert_with(|| "it was closed".into());
        // Whoever still waits is told before the folder is given back.
        while let Ok(request) = self.requests.try_recv() {
            if let Request::Commit(pending) = request {
                refuse(pending.answer, &CommitError::Stopped { why: "it was closed".into() });
            }
        }
        if let Keeper::Thread { thread, stop } = self.keeper {
            stop.store(true, Ordering::Release);
            self.nudge.send();
            if thread.join().is_err() {
                tracing::error!("the thread that looks after the commit log panicked");
            }
        }
        drop((self.index, self.writer, self.lock));
        if let Some(answer) = close {
            let _ = answer.send(done);
        }
    }

    fn flush_at_end(&mut self) -> Result<(), StoreError> {
        if let Some(why) = self.shared.vital().failed.clone() {
            return Err(StoreError::Stopped { why });
        }
        self.index.flush()
    }
}

type Answer = oneshot::Sender<Result<Committed, CommitError>>;

fn refuse(answer: Answer, error: &CommitError) {
    // Who does not wait any more does not need to know.
    let _ = answer.send(Err(error.clone()));
}

fn refuse_all(answers: impl Iterator<Item = Answer>, error: &CommitError) {
    for answer in answers {
        refuse(answer, error);
    }
}
