//! Reading the log while it grows: for the audit writer, for shipping, for recovery to a point in time.
//!
//! A reader sees what is durable and nothing else, commit by commit, without gaps. It does no harm to the writer; what
//! keeps its segments from going is [`Engine::retain`](super::Engine::retain).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use usher_common::model::Timestamp;

use super::error::StoreError;
use super::frame::{Frame, LoggedChange};
use super::log::Catalog;
use super::segment::SegmentStream;
use super::types::By;

/// A commit as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its position.
    pub lsn: u64,
    /// The timeline it was made on.
    pub timeline: u64,
    /// Its time; never earlier than that of the one before.
    pub time: Timestamp,
    /// Who and why.
    pub by: By,
    /// The audit entries that came with it.
    pub audit: Vec<Vec<u8>>,
    /// What it changed, as final values.
    pub changes: Vec<LoggedChange>,
}

/// Goes through the log from one LSN on. Its calls block on the disk.
pub struct LogReader {
    catalog: Arc<Catalog>,
    /// The LSN that comes next.
    next: u64,
    open: Option<Open>,
    ready: VecDeque<LogEntry>,
}

struct Open {
    stream: SegmentStream,
    first_lsn: u64,
}

impl LogReader {
    pub(super) fn new(catalog: Arc<Catalog>, from_lsn: u64) -> Self {
        Self { catalog, next: from_lsn.max(1), open: None, ready: VecDeque::new() }
    }

    /// The LSN of the commit that [`read`](Self::read) gives next.
    pub fn position(&self) -> u64 {
        self.ready.front().map_or(self.next, |entry| entry.lsn)
    }

    /// The next commit; none once everything durable was read. Ask again when [`Engine::watch`](super::Engine::watch)
    /// tells of more.
    pub fn read(&mut self) -> Result<Option<LogEntry>, StoreError> {
        while self.ready.is_empty() {
            let Some(frame) = self.frame()? else { return Ok(None) };
            let (timeline, time, next) = (frame.timeline, frame.time, self.next);
            let last = frame.last();
            let commits = (frame.lsn..).zip(frame.body.commits).filter(|(lsn, _)| *lsn >= next);
            self.ready.extend(commits.map(|(lsn, commit)| LogEntry {
                lsn,
                timeline,
                time,
                by: commit.by,
                audit: commit.audit.into_iter().map(|blob| blob.0).collect(),
                changes: commit.changes,
            }));
            self.next = last + 1;
        }
        Ok(self.ready.pop_front())
    }

    /// The next frame with anything at or after `self.next` in it.
    fn frame(&mut self) -> Result<Option<Frame>, StoreError> {
        loop {
            let (durable, durable_bytes, holding) = {
                let inner = self.catalog.lock();
                (inner.durable, inner.durable_bytes, inner.holding(self.next))
            };
            if self.next > durable {
                return Ok(None);
            }
            let Some((segment, last)) = holding else { return Err(self.gap(0)) };
            let limit = if last { durable_bytes } else { u64::MAX };
            let open = match self.open.take() {
                Some(mut open) if open.first_lsn == segment.first_lsn => {
                    open.stream.extend(limit);
                    open
                }
                _ => match SegmentStream::open(&segment.path, segment.compressed, limit) {
                    Ok(stream) => Open { stream, first_lsn: segment.first_lsn },
                    // Compressed since we looked? The catalog has the new name before the old file goes.
                    Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                        if self.catalog.lock().holding(self.next) == Some((segment, last)) {
                            return Err(self.gap(0));
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let stream = &mut self.open.insert(open).stream;
            while let Some(frame) = stream.next_sound()? {
                if frame.last() < self.next {
                    continue;
                }
                if frame.lsn > self.next {
                    return Err(self.gap(frame.lsn));
                }
                return Ok(Some(frame));
            }
            // It is durable, so it must be in the segment that holds it.
            return Err(self.gap(0));
        }
    }

    fn gap(&self, found: u64) -> StoreError {
        StoreError::LogGap { dir: self.catalog.dir().to_owned(), wanted: self.next, found }
    }
}
