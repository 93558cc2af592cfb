//! Start-up, which is recovery: there is no second way.
//!
//! The end of the log is found and a torn frame cut off; the index is trusted, proved or rebuilt; what the log has more is
//! applied. Nothing is deleted that could not be made again, and whatever does not add up stops the start with the place
//! and what to do.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint};
use super::disk;
use super::error::StoreError;
use super::frame::{self, Frame, Read1};
use super::index::{self, Index};
use super::log::{Catalog, LogEnd};
use super::segment::{self, Header, Segment, SegmentStream};
use super::session::Session;
use super::sethash::{SetHash, SetSums};
use super::types::{IndexStart, Options, StartReport, TornTail};
use crate::failpoint;

/// How many rows are applied to the index at a time.
const BATCH: usize = 1000;

/// A store that is ready.
pub(super) struct Recovered {
    pub(super) catalog: Arc<Catalog>,
    pub(super) end: LogEnd,
    pub(super) index: Index,
    pub(super) report: StartReport,
}

/// The folders inside the state folder.
pub(super) struct Places {
    pub(super) dir: PathBuf,
    pub(super) log: PathBuf,
    pub(super) checkpoints: PathBuf,
}

impl Places {
    pub(super) fn make(dir: &Path) -> Result<Self, StoreError> {
        let places = Self { dir: dir.to_owned(), log: dir.join("log"), checkpoints: dir.join("checkpoints") };
        for dir in [&places.dir, &places.log, &places.checkpoints] {
            disk::make_dir(dir)?;
        }
        Ok(places)
    }
}

/// What is known of the index that was found.
enum Found {
    Sound(Index, u64, IndexStart),
    Unfit(String),
}

/// Brings the store in `options.dir`, whose lock is held, to where its log ends.
pub(super) fn recover(options: &Options, places: &Places, hash: &mut SetHash) -> Result<Recovered, StoreError> {
    let mut segments = segment::list(&places.log)?;
    let new = segments.is_empty();
    if new {
        let header = Header { timeline: 1, first_lsn: 1, key: hash.fingerprint(), ..Header::default() };
        segments.push(segment::create(&places.log, &header)?);
    }
    let log = Log { places, segments };
    let (end, torn) = log.survey(hash)?;
    let session = Session::read(&places.dir)?;
    log.refuse_short(&end, session.as_ref())?;

    let found = log.examine(options, &end, session.as_ref(), hash)?;
    failpoint::hit("store.recovery.before-cut");
    let (sealed_bytes, torn) = log.cut(torn)?;
    let (index, report) = match found {
        Found::Sound(index, applied, how) => {
            let replayed = log.replay(applied + 1, |rows, lsn| index.apply(rows, Some(lsn)))?;
            (index, (how, replayed))
        }
        Found::Unfit(why) => log.rebuild(options, &end, why, hash)?,
    };
    index.flush()?;
    failpoint::hit("store.recovery.after-replay");
    let Log { mut segments, .. } = log;
    if segments.last().is_none_or(|last| last.compressed) {
        // A restore brings compressed segments; the writer needs one of its own behind them.
        let LogEnd { timeline, lsn, time, sums } = end.clone();
        let header = Header { timeline, first_lsn: lsn + 1, time, key: hash.fingerprint(), sums };
        segments.push(segment::create(&places.log, &header)?);
    } else if let Some(last) = segments.last_mut() {
        last.bytes = sealed_bytes;
    }
    let durable_bytes = segments.last().map_or(0, |last| last.bytes);
    let catalog = Catalog::new(places.log.clone(), segments, end.lsn, durable_bytes);
    if let Some(oldest) = checkpoint::list(&places.checkpoints)?.last() {
        catalog.lock().checkpointed = oldest.from + 1;
    }
    let (index_start, replayed) = report;
    let report = StartReport { timeline: end.timeline, lsn: end.lsn, index: index_start, replayed, torn };
    Ok(Recovered { catalog: Arc::new(catalog), end, index, report })
}

/// The log as it lies there, before anybody writes.
struct Log<'a> {
    places: &'a Places,
    segments: Vec<Segment>,
}

/// Where the last segment ends, and what stands behind that.
#[derive(Clone, Copy)]
struct LastEnd {
    offset: u64,
    torn: bool,
}

impl Log<'_> {
    fn last(&self) -> &Segment {
        self.segments.last().expect("one is made before anything is asked")
    }

    fn first_lsn(&self) -> u64 {
        self.segments[0].first_lsn
    }

    /// Reads the last segment to its end.
    fn survey(&self, hash: &SetHash) -> Result<(LogEnd, LastEnd), StoreError> {
        let segment = self.last();
        let mut stream = SegmentStream::open(&segment.path, segment.compressed, u64::MAX)?;
        let Header { timeline, first_lsn, time, key, sums } = stream.header.clone();
        if key != hash.fingerprint() {
            return Err(StoreError::WrongKey { dir: self.places.dir.clone() });
        }
        let mut end = LogEnd { timeline, lsn: first_lsn - 1, time, sums };
        loop {
            match stream.next()? {
                Read1::Frame(frame, _) => advance(&mut end, &frame, segment, stream.offset())?,
                Read1::End => return Ok((end, LastEnd { offset: stream.offset(), torn: false })),
                Read1::Bad(why) => {
                    let offset = stream.offset();
                    if segment.compressed || frame_follows(segment, offset, &end)? {
                        return Err(StoreError::BadFrame { file: segment.path.clone(), offset, why });
                    }
                    return Ok((end, LastEnd { offset, torn: true }));
                }
            }
        }
    }

    /// Refuses a log that ends before something that was confirmed.
    fn refuse_short(&self, end: &LogEnd, session: Option<&Session>) -> Result<(), StoreError> {
        let short = |what: &Path, known| {
            let what = what.display().to_string();
            Err(StoreError::LogShort { dir: self.places.dir.clone(), what, known, log: end.lsn })
        };
        if let Some(closed) = session.and_then(|session| session.closed_at)
            && closed > end.lsn
        {
            return short(&self.places.dir.join("session"), closed);
        }
        match checkpoint::list(&self.places.checkpoints)?.first() {
            Some(newest) if newest.to > end.lsn => short(&newest.path, newest.to),
            _ => Ok(()),
        }
    }

    /// Cuts off what is torn, and makes durable what a process that was killed had written but not synced.
    fn cut(&self, last: LastEnd) -> Result<(u64, Option<TornTail>), StoreError> {
        let Segment { path, compressed, bytes, .. } = self.last();
        if *compressed {
            return Ok((*bytes, None));
        }
        let file = OpenOptions::new().write(true).open(path).map_err(StoreError::io("opening", path))?;
        let mut torn = None;
        if last.torn {
            file.set_len(last.offset).map_err(StoreError::io("cutting the torn end off", path))?;
            torn = Some(TornTail { file: path.clone(), offset: last.offset, bytes: bytes.saturating_sub(last.offset) });
        }
        file.sync_all().map_err(StoreError::io("syncing", path))?;
        Ok((last.offset, torn))
    }

    /// Finds out whether the index can be used.
    fn examine(
        &self,
        options: &Options,
        end: &LogEnd,
        session: Option<&Session>,
        hash: &mut SetHash,
    ) -> Result<Found, StoreError> {
        let empty = end.lsn == 0;
        if !Index::exists(&self.places.dir) && !empty {
            return Ok(Found::Unfit("it is missing".into()));
        }
        let index = match Index::open(&self.places.dir, options.cache_bytes) {
            Ok(index) => index,
            Err(error) => return Ok(Found::Unfit(format!("it does not open: {error}"))),
        };
        let applied = match index.applied() {
            Ok(Some(applied)) => applied,
            Ok(None) if empty => {
                index.apply([], Some(0))?;
                return Ok(Found::Sound(index, 0, IndexStart::Created));
            }
            Ok(None) => return Ok(Found::Unfit("it was never finished".into())),
            Err(error) => return Ok(Found::Unfit(error.to_string())),
        };
        if applied > end.lsn {
            let what = self.places.dir.join("index").display().to_string();
            return Err(StoreError::LogShort { dir: self.places.dir.clone(), what, known: applied, log: end.lsn });
        }
        if applied + 1 < self.first_lsn() {
            return Ok(Found::Unfit(format!("it ends at commit {applied}, the log begins at {}", self.first_lsn())));
        }
        let trusted = session.is_some_and(|session| match session.closed_at {
            Some(closed) => closed == applied,
            None => session.boot_id == options.boot_id,
        });
        if trusted {
            return Ok(Found::Sound(index, applied, IndexStart::Trusted));
        }
        let expected = self.sums_at(applied)?;
        match index.sums(hash) {
            Ok(sums) if expected.differing(&sums).is_empty() => Ok(Found::Sound(index, applied, IndexStart::Proved)),
            Ok(_) => Ok(Found::Unfit(format!("its rows are not those that the log proves at commit {applied}"))),
            Err(error) => Ok(Found::Unfit(error.to_string())),
        }
    }

    /// What the log proves at `lsn`.
    fn sums_at(&self, lsn: u64) -> Result<SetSums, StoreError> {
        let after = self.segments.partition_point(|segment| segment.first_lsn <= lsn + 1);
        let segment = &self.segments[after.saturating_sub(1)];
        let mut stream = SegmentStream::open(&segment.path, segment.compressed, u64::MAX)?;
        let mut sums = stream.header.sums.clone();
        // The end of the last segment was looked at already: what is no frame there is the torn end.
        while let Read1::Frame(frame, _) = stream.next()? {
            if frame.lsn > lsn {
                break;
            }
            frame.update(&mut sums);
        }
        Ok(sums)
    }

    /// Hands every row of the commits from `from` on to `apply`, in order; how many commits that were.
    fn replay(
        &self,
        from: u64,
        mut apply: impl FnMut(Vec<(Vec<u8>, Option<Vec<u8>>)>, u64) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let after = self.segments.partition_point(|segment| segment.first_lsn <= from);
        let mut next = from;
        let mut rows = Vec::new();
        for (at, segment) in self.segments.iter().enumerate().skip(after.saturating_sub(1)) {
            let mut stream = SegmentStream::open(&segment.path, segment.compressed, u64::MAX)?;
            let last = at + 1 == self.segments.len();
            loop {
                let frame = match stream.next()? {
                    Read1::Frame(frame, _) => frame,
                    Read1::End => break,
                    Read1::Bad(_) if last => break,
                    Read1::Bad(why) => {
                        return Err(StoreError::BadFrame { file: segment.path.clone(), offset: stream.offset(), why });
                    }
                };
                if frame.last() < next {
                    continue;
                }
                if frame.lsn != next {
                    return Err(self.gap(next, frame.lsn));
                }
                rows.extend(frame.rows());
                next = frame.last() + 1;
                if rows.len() >= BATCH {
                    apply(std::mem::take(&mut rows), next - 1)?;
                }
            }
            match self.segments.get(at + 1) {
                Some(following) if following.first_lsn != next => return Err(self.gap(next, following.first_lsn)),
                _ => {}
            }
        }
        if !rows.is_empty() {
            apply(rows, next - 1)?;
        }
        Ok(next - from)
    }

    /// Makes a new index from the newest checkpoint that will do, and the log.
    fn rebuild(
        &self,
        options: &Options,
        end: &LogEnd,
        why: String,
        hash: &mut SetHash,
    ) -> Result<(Index, (IndexStart, u64)), StoreError> {
        tracing::warn!(%why, lsn = end.lsn, "rebuilding the index from checkpoint and log");
        let mut tried = Vec::new();
        let mut sources: Vec<Option<PathBuf>> = Vec::new();
        for known in checkpoint::list(&self.places.checkpoints)? {
            if known.from + 1 >= self.first_lsn() {
                sources.push(Some(known.path));
            } else {
                tried.push(format!("{}: the log begins later", known.path.display()));
            }
        }
        if self.first_lsn() == 1 {
            sources.push(None);
        }
        // Proved to be there before the old index is touched.
        if sources.is_empty() {
            if tried.is_empty() {
                tried.push("there is no checkpoint".into());
            }
            return Err(StoreError::Irreparable {
                dir: self.places.dir.clone(),
                log_from: self.first_lsn(),
                checkpoints: tried.join("; "),
            });
        }
        let damaged = index::put_aside(&self.places.dir)?;
        let mut last_error = None;
        for source in sources {
            match self.fill(options, end, source.as_deref(), hash) {
                Ok((index, replayed)) => {
                    let how = IndexStart::Rebuilt { why, checkpoint: source, damaged };
                    tracing::warn!(?how, replayed, "the index was rebuilt and proved");
                    return Ok((index, (how, replayed)));
                }
                Err(error) => {
                    tracing::error!(%error, ?source, "this does not rebuild the index");
                    last_error = Some(error);
                    let half = self.places.dir.join("index");
                    if half.exists() {
                        fs::remove_dir_all(&half).map_err(StoreError::io("removing the half-built", &half))?;
                    }
                }
            }
        }
        Err(last_error.expect("there was a source, and each that failed left its error"))
    }

    /// Fills an empty index and proves it. Only then does it say how far it is: a half-filled one is never taken for
    /// whole.
    fn fill(
        &self,
        options: &Options,
        end: &LogEnd,
        source: Option<&Path>,
        hash: &mut SetHash,
    ) -> Result<(Index, u64), StoreError> {
        let index = Index::open(&self.places.dir, options.cache_bytes)?;
        let mut from = 0;
        if let Some(path) = source {
            let mut file = Checkpoint::open(path)?;
            from = file.from;
            let mut rows = Vec::with_capacity(BATCH);
            while let Some((key, raw)) = file.next_row()? {
                rows.push((key, Some(raw)));
                if rows.len() == BATCH {
                    index.apply(std::mem::take(&mut rows), None)?;
                }
            }
            index.apply(rows, None)?;
        }
        let replayed = self.replay(from + 1, |rows, _| index.apply(rows, None))?;
        checkpoint::agree("the rebuilt index", end, &index.sums(hash)?)?;
        index.apply([], Some(end.lsn))?;
        Ok((index, replayed))
    }

    fn gap(&self, wanted: u64, found: u64) -> StoreError {
        StoreError::LogGap { dir: self.places.log.clone(), wanted, found }
    }
}

/// Takes a frame over into the end, if it is the one that must come.
fn advance(end: &mut LogEnd, frame: &Frame, segment: &Segment, offset: u64) -> Result<(), StoreError> {
    let why = if frame.lsn != end.lsn + 1 {
        format!("it holds commit {}, {} should come here", frame.lsn, end.lsn + 1)
    } else if frame.timeline != end.timeline {
        format!("it is of timeline {}, the segment of {}", frame.timeline, end.timeline)
    } else if frame.time < end.time {
        "its time is earlier than that of the frame before".to_owned()
    } else {
        end.lsn = frame.last();
        end.time = frame.time;
        frame.update(&mut end.sums);
        return Ok(());
    };
    Err(StoreError::BadFrame { file: segment.path.clone(), offset, why })
}

/// Whether a good frame stands anywhere behind a bad one: then it is damage, and no torn end.
fn frame_follows(segment: &Segment, offset: u64, end: &LogEnd) -> Result<bool, StoreError> {
    let path = &segment.path;
    let mut rest = Vec::new();
    fs::File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(offset + 1))?;
            file.read_to_end(&mut rest)
        })
        .map_err(StoreError::io("reading", path))?;
    Ok(frame::any_within(&rest, end.timeline, end.lsn))
}
