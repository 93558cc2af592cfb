//! sled, used only in the way in which it lost nothing: one writer, `apply_batch`, `flush` and then `fdatasync`.
//!
//! An index and no more: everything in it can be made again from checkpoint and log. How far it is stands in a row of
//! its own, written in the same batch as what it speaks of. sled's own flush never reaches the disk on Linux, hence the
//! second call; and since it may panic on a damaged file, what opens or walks a suspect one catches that.

use std::fs::{self, File};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::disk;
use super::error::StoreError;
use super::sethash::{SetHash, SetSums};

/// The row that holds the LSN of the last commit applied; prefix 0 is no keyspace.
const APPLIED: &[u8] = b"\0applied";
/// Where the keyspaces begin.
const FIRST: &[u8] = b"\x01";
const FOLDER: &str = "index";

/// The index.
pub(super) struct Index {
    db: sled::Db,
    file: File,
    path: PathBuf,
}

/// A row as it lies in the index: full key, raw bytes.
pub(super) type RawRow = (Vec<u8>, Vec<u8>);

impl Index {
    /// Whether there is something to be opened.
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(FOLDER).exists()
    }

    /// Opens the index in `dir`, or makes an empty one, durable with its names. Damage is an error, never a panic.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let path = dir.join(FOLDER);
        let new = !path.exists();
        disk::make_dir(&path)?;
        let config = sled::Config::new().path(&path).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = guarded("opening", || open_patiently(&config))?;
        let file = path.join("db");
        let file = File::open(&file).map_err(StoreError::io("opening", &file))?;
        if new {
            db.flush().map_err(failed("flushing"))?;
            disk::sync_tree(&path)?;
        }
        Ok(Self { db, file, path })
    }

    /// The LSN of the last commit applied; none in an index that was never finished.
    pub(super) fn applied(&self) -> Result<Option<u64>, StoreError> {
        let row = self.get(APPLIED)?;
        Ok(row.and_then(|raw| raw.as_slice().try_into().ok()).map(u64::from_le_bytes))
    }

    /// The raw row of a full key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key).map_err(failed("reading"))?.map(|raw| raw.to_vec()))
    }

    /// Puts and removes rows in one batch, and with them notes `lsn` as applied.
    pub(super) fn apply(
        &self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        lsn: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, raw) in rows {
            match raw {
                Some(raw) => batch.insert(key, raw),
                None => batch.remove(key),
            }
        }
        if let Some(lsn) = lsn {
            batch.insert(APPLIED, &lsn.to_le_bytes());
        }
        self.db.apply_batch(batch).map_err(failed("writing"))
    }

    /// Returns when everything applied is on the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed("flushing"))?;
        self.file.sync_data().map_err(StoreError::io("syncing", &self.path))
    }

    /// The rows between two full keys, from both ends. One row is read whole; several may be of different moments.
    pub(super) fn range(
        &self,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Result<RawRow, StoreError>> + use<> {
        let rows = self.db.range::<Vec<u8>, _>((from, to));
        rows.map(|row| row.map(|(key, raw)| (key.to_vec(), raw.to_vec())).map_err(failed("walking")))
    }

    /// Every row of every keyspace, by key.
    pub(super) fn walk(&self) -> impl DoubleEndedIterator<Item = Result<RawRow, StoreError>> + use<> {
        self.range(Bound::Included(FIRST.to_vec()), Bound::Unbounded)
    }

    /// The set-hash of what is there, by reading all of it.
    pub(super) fn sums(&self, hash: &mut SetHash) -> Result<SetSums, StoreError> {
        guarded("walking", || {
            let mut sums = SetSums::default();
            for row in self.walk() {
                let (key, raw) = row?;
                sums.add(&key, hash.element(&key, &raw));
            }
            Ok(sums)
        })
    }
}

/// Puts the index aside, so that a new one can be made and the old one looked at. One such folder is kept: the last.
pub(super) fn put_aside(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = dir.join(FOLDER);
    if !path.exists() {
        return Ok(None);
    }
    let mut last = 0;
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let old = entry.map_err(StoreError::io("listing", dir))?.path();
        let name = old.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_prefix("index.damaged-") {
            last = last.max(number.parse().unwrap_or(0));
            fs::remove_dir_all(&old).map_err(StoreError::io("removing the older damaged", &old))?;
        }
    }
    let aside = dir.join(format!("index.damaged-{}", last + 1));
    fs::rename(&path, &aside).map_err(StoreError::io("putting aside", &path))?;
    disk::sync_dir(dir)?;
    Ok(Some(aside))
}

/// sled's own lock lies a moment longer than the handle that held it, where the same process opens it again.
fn open_patiently(config: &sled::Config) -> Result<sled::Db, StoreError> {
    for _ in 0..200 {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other.map_err(failed("opening")),
        }
    }
    config.open().map_err(failed("opening"))
}

/// Turns a panic of sled's into an error.
fn guarded<T>(doing: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(StoreError::Index { doing, why: format!("sled panicked: {}", said.unwrap_or_default()) })
    })
}

fn failed(doing: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |error| StoreError::Index { doing, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_is_in_the_files_and_comes_with_its_position() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let index = Index::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(index.applied().unwrap(), None);
        index.apply([(b"\x01a".to_vec(), Some(b"1".to_vec()))], Some(7)).unwrap();
        index.flush().unwrap();
        fs::create_dir(copy.path().join(FOLDER)).unwrap();
        for file in ["conf", "db"] {
            fs::copy(dir.path().join(FOLDER).join(file), copy.path().join(FOLDER).join(file)).unwrap();
        }
        let found = Index::open(copy.path(), 1 << 20).unwrap();
        assert_eq!(found.applied().unwrap(), Some(7));
        let rows: Vec<RawRow> = found.walk().map(Result::unwrap).collect();
        assert_eq!(rows, [(b"\x01a".to_vec(), b"1".to_vec())], "the position is no row");
    }

    #[test]
    fn a_panic_inside_is_an_error_outside() {
        let Err(error) = guarded::<()>("opening", || panic!("segment 3 is odd")) else { panic!("no error") };
        assert!(error.to_string().contains("segment 3 is odd"), "{error}");
    }
}
