//! Looking after closed segments, in the background: compressing them, and letting them go when nobody needs them.
//!
//! A segment goes when every commit in it is in the oldest checkpoint kept, every reader of the log is past it, and it is
//! older than the log is kept. What fails here is told in the engine's health and tried again at the next occasion.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use usher_common::model::Timestamp;

use super::disk;
use super::error::StoreError;
use super::log::{Catalog, Inner};
use super::segment::{Segment, SegmentStream};
use super::shared::Shared;
use crate::failpoint;

/// Wakes the keeper. Cheap, never blocks; one that is awake already has seen it.
#[derive(Clone)]
pub(super) struct Nudge(SyncSender<()>);

impl Nudge {
    pub(super) fn send(&self) {
        match self.0.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// The channel that wakes a keeper.
pub(super) fn channel() -> (Nudge, Receiver<()>) {
    let (send, receive) = sync_channel(1);
    (Nudge(send), receive)
}

/// Starts the keeper's thread; it ends when `stop` is set and it is nudged, or the last nudge is dropped.
pub(super) fn start(
    shared: Arc<Shared>,
    woken: Receiver<()>,
    stop: Arc<AtomicBool>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("store-keeper".into()).spawn(move || {
        while woken.recv().is_ok() && !stop.load(Ordering::Acquire) {
            look_after(&shared, &stop);
        }
    })
}

/// Compresses what is closed and lets go of what nobody needs, until there is nothing more to do, or `stop` is set.
pub(super) fn look_after(shared: &Shared, stop: &AtomicBool) {
    let done = compress_all(&shared.catalog, stop).and_then(|()| sweep(shared));
    if let Err(error) = &done {
        tracing::error!(%error, "looking after the segments of the commit log");
    }
    shared.vital().upkeep = done.err().map(|error| error.to_string());
}

fn compress_all(catalog: &Catalog, stop: &AtomicBool) -> Result<(), StoreError> {
    loop {
        let next = {
            let inner = catalog.lock();
            let mut closed = inner.segments.windows(2);
            closed.find(|pair| !pair[0].compressed).map(|pair| (pair[0].clone(), pair[1].first_lsn))
        };
        let Some((segment, end)) = next else { return Ok(()) };
        let Some(compressed) = compress(&segment, end, stop)? else { return Ok(()) };
        if let Some(entry) = catalog.lock().segments.iter_mut().find(|entry| entry.first_lsn == segment.first_lsn) {
            *entry = compressed;
        }
        failpoint::hit("store.segment.after-replace");
        fs::remove_file(&segment.path).map_err(StoreError::io("removing the compressed", &segment.path))?;
        disk::sync_dir(catalog.dir())?;
    }
}

/// Compresses a closed segment that ends before commit `end`; none if it was told to stop. The result is read back,
/// frame by frame, before it counts: this is also where damage to a closed segment is found early.
fn compress(segment: &Segment, end: u64, stop: &AtomicBool) -> Result<Option<Segment>, StoreError> {
    let path = segment.path.with_extension("log.zst");
    let temp = segment.path.with_extension("tmp");
    let file = disk::create(&temp)?;
    let writing = || StoreError::io("compressing into", &temp);
    let mut out = zstd::Encoder::new(file, 1).map_err(writing())?;
    let mut source = File::open(&segment.path).map_err(StoreError::io("opening", &segment.path))?;
    let mut chunk = vec![0; 1 << 18];
    loop {
        if stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        match source.read(&mut chunk).map_err(StoreError::io("reading", &segment.path))? {
            0 => break,
            n => out.write_all(&chunk[..n]).map_err(writing())?,
        }
    }
    let file = out.finish().map_err(writing())?;
    verify(&temp, segment, end)?;
    failpoint::hit("store.segment.before-replace");
    disk::publish(&file, &temp, &path)?;
    let bytes = fs::metadata(&path).map_err(StoreError::io("looking at", &path))?.len();
    Ok(Some(Segment { first_lsn: segment.first_lsn, path, compressed: true, bytes }))
}

fn verify(temp: &Path, segment: &Segment, end: u64) -> Result<(), StoreError> {
    let mut stream = SegmentStream::open(temp, true, u64::MAX)?;
    let mut next = segment.first_lsn;
    while let Some(frame) = stream.next_sound()? {
        if frame.lsn != next {
            break;
        }
        next = frame.last() + 1;
    }
    if next != end {
        let why = format!("it ends before commit {next}, the next segment begins with {end}");
        return Err(StoreError::BadFrame { file: segment.path.clone(), offset: stream.offset(), why });
    }
    Ok(())
}

/// Lets segments go, the oldest first, until one is still needed.
fn sweep(shared: &Shared) -> Result<(), StoreError> {
    loop {
        let Some((oldest, next)) = candidate(&shared.catalog.lock(), &shared.readers) else { return Ok(()) };
        let last_commit = SegmentStream::open(&next.path, next.compressed, u64::MAX)?.header.time;
        if !old_enough((shared.clock)(), last_commit, shared.keep_log) {
            return Ok(());
        }
        shared.catalog.lock().segments.remove(0);
        fs::remove_file(&oldest.path).map_err(StoreError::io("removing the old segment", &oldest.path))?;
        disk::sync_dir(shared.catalog.dir())?;
        tracing::info!(segment = %oldest.path.display(), "a segment of the commit log has gone");
    }
}

/// Whether what was last committed then is kept long enough; after a clock set back it is kept longer.
fn old_enough(now: Timestamp, last_commit: Timestamp, keep: Duration) -> bool {
    u128::try_from(now.millis_since(last_commit)).is_ok_and(|age| age >= keep.as_millis())
}

/// The oldest segment, if checkpoints and readers are past it, and the one after it.
fn candidate(inner: &Inner, readers: &[String]) -> Option<(Segment, Segment)> {
    let [oldest, next, ..] = inner.segments.as_slice() else { return None };
    let end = next.first_lsn;
    let read = readers.iter().all(|name| inner.retained.contains_key(name))
        && inner.retained.values().all(|from| *from >= end);
    (oldest.compressed && inner.checkpointed >= end && read).then(|| (oldest.clone(), next.clone()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn catalog() -> Catalog {
        let segment = |first_lsn| Segment { first_lsn, path: PathBuf::from("s"), compressed: true, bytes: 1 };
        Catalog::new(PathBuf::from("d"), vec![segment(1), segment(10)], 12, 1)
    }

    #[test]
    fn a_segment_goes_only_when_everybody_is_past_it() {
        let readers = ["audit".to_owned(), "backup".to_owned()];
        for (checkpointed, audit, backup, goes) in [
            (10, Some(10), Some(10), true),
            (0, Some(10), Some(10), false),
            (9, Some(10), Some(10), false),
            (10, Some(9), Some(10), false),
            (10, Some(10), None, false),
        ] {
            let catalog = catalog();
            let mut inner = catalog.lock();
            inner.checkpointed = checkpointed;
            for (name, from) in readers.iter().zip([audit, backup]) {
                if let Some(from) = from {
                    inner.retained.insert(name.clone(), from);
                }
            }
            assert_eq!(candidate(&inner, &readers).is_some(), goes, "{checkpointed} {audit:?} {backup:?}");
        }
    }

    #[test]
    fn age_counts_from_the_last_commit() {
        let keep = Duration::from_secs(7);
        for (now, old) in [(7_000, false), (7_999, false), (8_000, true), (0, false), (-9_000, false)] {
            assert_eq!(old_enough(Timestamp(now), Timestamp(1_000), keep), old, "{now}");
        }
    }

    #[test]
    fn a_reader_that_nobody_announced_holds_the_log_too_and_the_last_segment_never_goes() {
        let catalog = catalog();
        let mut inner = catalog.lock();
        inner.checkpointed = 100;
        assert!(candidate(&inner, &[]).is_some());
        inner.retained.insert("debug".into(), 3);
        assert!(candidate(&inner, &[]).is_none());
        inner.retained.clear();
        inner.segments.remove(0);
        assert!(candidate(&inner, &[]).is_none());
    }
}
