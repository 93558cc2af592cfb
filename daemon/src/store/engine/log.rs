//! The commit log: which segments there are, how far it is durable, and the one writer at its end.
//!
//! Promised: what [`Writer::sync`] has returned from is on the disk; what [`Writer::write`] refused for want of room has left no
//! trace; and after an fsync that failed nothing is ever written again, since nobody can say what is on the disk then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use usher_common::model::Timestamp;

use super::disk::{LogFile, OpenLog};
use super::error::StoreError;
use super::frame::{Body, Frame};
use super::segment::{self, Header, Segment};
use super::sethash::SetSums;
use crate::failpoint;

/// What everybody may know of the log.
pub(super) struct Catalog {
    dir: PathBuf,
    inner: Mutex<Inner>,
    durable: watch::Sender<u64>,
}

pub(super) struct Inner {
    /// In order; the last one is being written.
    pub(super) segments: Vec<Segment>,
    /// Last LSN that is on the disk.
    pub(super) durable: u64,
    /// How much of the last segment is on the disk, in bytes.
    pub(super) durable_bytes: u64,
    /// From which LSN on each reader still needs the log.
    pub(super) retained: BTreeMap<String, u64>,
    /// From which LSN on the oldest checkpoint kept needs the log; 0 while there is none.
    pub(super) checkpointed: u64,
}

impl Inner {
    /// On disk, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The segment in which commit `lsn` is or will be, and whether it is the one being written.
    pub(super) fn holding(&self, lsn: u64) -> Option<(Segment, bool)> {
        let after = self.segments.partition_point(|segment| segment.first_lsn <= lsn);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        Some((segment.clone(), after == self.segments.len()))
    }
}

impl Catalog {
    pub(super) fn new(dir: PathBuf, segments: Vec<Segment>, durable: u64, durable_bytes: u64) -> Self {
        let inner = Inner { segments, durable, durable_bytes, retained: BTreeMap::new(), checkpointed: 0 };
        Self { dir, inner: Mutex::new(inner), durable: watch::Sender::new(durable) }
    }

    /// The log's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below is a single assignment, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever more of the log is durable.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }
}

/// Why a frame was not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The cap is reached; nothing was written.
    Cap { bytes: u64, cap: u64 },
    /// The disk is full; what was written is off again.
    DiskFull(String),
    /// Nobody knows what is on the disk. Nothing may be written any more.
    Fatal(String),
}

/// The end of the log.
pub(super) struct Writer {
    catalog: Arc<Catalog>,
    open: OpenLog,
    file: Box<dyn LogFile>,
    limits: Limits,
    key: [u8; 8],
    timeline: u64,
    next: u64,
    time: Timestamp,
    sums: SetSums,
    buffer: Vec<u8>,
}

/// A gathering that is in the file, and not yet known to be on the disk.
pub(super) struct Written {
    /// The LSN of its last commit.
    last: u64,
    time: Timestamp,
    sums: SetSums,
    /// Where it ends in its segment, in bytes.
    end: u64,
}

/// How large things may become, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) segment: u64,
    pub(super) total: u64,
}

/// Where the log ends and what it proves there.
#[derive(Debug, Clone)]
pub(super) struct LogEnd {
    pub(super) timeline: u64,
    pub(super) lsn: u64,
    pub(super) time: Timestamp,
    pub(super) sums: SetSums,
}

impl Writer {
    /// Goes on where the log ends. The last segment of the catalog must be open for writing, not compressed.
    pub(super) fn new(
        catalog: Arc<Catalog>,
        open: OpenLog,
        limits: Limits,
        key: [u8; 8],
        end: LogEnd,
    ) -> Result<Self, StoreError> {
        let last = catalog.lock().segments.last().map(|segment| segment.path.clone());
        let path = last.ok_or_else(|| StoreError::LogGap { dir: catalog.dir.clone(), wanted: 1, found: 0 })?;
        let file = open(&path).map_err(StoreError::io("opening for writing", &path))?;
        let LogEnd { timeline, lsn, time, sums } = end;
        Ok(Self { catalog, open, file, limits, key, timeline, next: lsn + 1, time, sums, buffer: Vec::new() })
    }

    /// The LSN of the next commit.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Where the log stands.
    pub(super) fn end(&self) -> LogEnd {
        LogEnd { timeline: self.timeline, lsn: self.next - 1, time: self.time, sums: self.sums.clone() }
    }

    /// The commit time for something that happens when the wall clock shows `now`: never before an earlier commit's.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        self.time.max(now)
    }

    /// Appends one gathering. It counts when [`Self::sync`] has returned. `sums` is the set-hash after it.
    pub(super) fn write(&mut self, time: Timestamp, body: Body, sums: SetSums) -> Result<Written, AppendError> {
        let frame = Frame { timeline: self.timeline, lsn: self.next, time, body };
        // Commits are bounded before they get here, so this is a mistake in the program; stopping is the safe answer.
        frame.encode(&mut self.buffer).map_err(|error| AppendError::Fatal(error.to_string()))?;
        let total = self.catalog.lock().bytes();
        if total + self.buffer.len() as u64 > self.limits.total {
            return Err(AppendError::Cap { bytes: total, cap: self.limits.total });
        }
        if self.catalog.lock().durable_bytes >= self.limits.segment {
            self.rotate()?;
        }
        let before = self.catalog.lock().durable_bytes;
        failpoint::hit("store.log.before-write");
        failpoint::hit_after("store.log.torn-write", || {
            let _ = self.file.append(&self.buffer[..self.buffer.len() / 2]);
        });
        if let Err(error) = self.file.append(&self.buffer) {
            return Err(self.undo(before, &error));
        }
        Ok(Written { last: frame.last(), time, sums, end: before + self.buffer.len() as u64 })
    }

    /// Returns when what was written is on the disk.
    pub(super) fn sync(&mut self, written: Written) -> Result<(), AppendError> {
        failpoint::hit("store.log.before-sync");
        failpoint::hit_after("store.log.power-cut", || {
            let _ = self.file.cut(written.end - self.buffer.len() as u64);
        });
        self.file.sync().map_err(|error| AppendError::Fatal(format!("fsync of the commit log failed: {error}")))?;
        failpoint::hit("store.log.after-sync");
        self.next = written.last + 1;
        self.time = written.time;
        self.sums = written.sums;
        let mut inner = self.catalog.lock();
        inner.durable = written.last;
        inner.durable_bytes = written.end;
        if let Some(segment) = inner.segments.last_mut() {
            segment.bytes = written.end;
        }
        drop(inner);
        self.catalog.durable.send_replace(written.last);
        Ok(())
    }

    /// A write that failed, before any fsync: what is of it in the file is taken off.
    fn undo(&mut self, before: u64, error: &io::Error) -> AppendError {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self.file.cut(before) {
            Ok(()) if full => AppendError::DiskFull(error.to_string()),
            Ok(()) => AppendError::Fatal(format!("writing the commit log failed: {error}")),
            Err(cut) => {
                AppendError::Fatal(format!("writing the commit log failed: {error}; and taking it back: {cut}"))
            }
        }
    }

    /// Begins the next segment. The one before is complete on the disk already.
    fn rotate(&mut self) -> Result<(), AppendError> {
        let header = Header {
            timeline: self.timeline,
            first_lsn: self.next,
            time: self.time,
            key: self.key,
            sums: self.sums.clone(),
        };
        let segment = segment::create(&self.catalog.dir, &header).map_err(|error| match &error {
            // Nothing hangs on a segment that has no name yet: there may be room again later.
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                AppendError::DiskFull(error.to_string())
            }
            _ => AppendError::Fatal(error.to_string()),
        })?;
        self.file = (self.open)(&segment.path)
            .map_err(|error| AppendError::Fatal(format!("opening the new segment failed: {error}")))?;
        let mut inner = self.catalog.lock();
        inner.durable_bytes = segment.bytes;
        inner.segments.push(segment);
        drop(inner);
        failpoint::hit("store.segment.turned");
        Ok(())
    }
}
