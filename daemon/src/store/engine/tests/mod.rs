//! The engine as a whole, on real files.

mod commits;
mod crash;
mod faults;
mod log;
mod measure;
mod recovery;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use usher_common::model::Timestamp;

const ROWS: Space = Space::new(1);
const COUNTS: Space = Space::new(2);
const BOOT: &str = "boot-1";

type Contents = BTreeMap<(u8, Vec<u8>), Row>;

fn options(dir: &Path) -> Options {
    let clock = Arc::new(|| Timestamp(1_000));
    let mut options = Options::new(dir.to_owned(), [9; 32], BOOT.into(), clock);
    options.cache_bytes = 8 << 20;
    options
}

/// A clock that tests move.
fn moved_clock(at: i64) -> (Arc<AtomicI64>, Clock) {
    let time = Arc::new(AtomicI64::new(at));
    let read = Arc::clone(&time);
    (time, Arc::new(move || Timestamp(read.load(Ordering::SeqCst))))
}

fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Change {
    Change::Put { space: ROWS, key: key.as_ref().to_vec(), state: 1, value: value.as_ref().to_vec() }
}

fn delete(key: impl AsRef<[u8]>) -> Change {
    Change::Delete { space: ROWS, key: key.as_ref().to_vec() }
}

fn merge(key: impl AsRef<[u8]>, delta: i64) -> Change {
    Change::Merge { space: COUNTS, key: key.as_ref().to_vec(), delta }
}

fn changing(changes: Vec<Change>) -> Commit {
    let by = By { actor: "ana".into(), reason: "a test".into(), request_id: "r1".into() };
    Commit { by, changes, ..Commit::default() }
}

fn contents(engine: &Engine) -> Contents {
    let mut all = Contents::new();
    for space in [ROWS, COUNTS] {
        for row in engine.scan(space, Bound::Unbounded, Bound::Unbounded) {
            let (key, row) = row.unwrap();
            all.insert((space.prefix(), key), row);
        }
    }
    all
}

/// What a crash leaves: the files as they are at this moment.
fn image(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy(from, to.path());
    to
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Waits for a state that a background thread brings about.
fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if reached() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("waited in vain for {what}");
}
