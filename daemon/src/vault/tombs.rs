//! Tombstones: who was erased, in a file of its own that only grows.
//!
//! A tombstone is durable before anything else is done about an erasure, so that one that was cut short is finished at
//! the next start, and a restore of older data and keys erases the same people again.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::VaultError;
use super::root;

/// Subject, checksum.
const RECORD: usize = 8 + 4;

pub(super) struct Tombs {
    file: File,
    path: PathBuf,
    erased: BTreeSet<u64>,
}

impl Tombs {
    /// Opens the file, or makes it. A last record that a crash tore is cut off: its erasure was never confirmed.
    pub(super) fn open(state: &Path) -> Result<Self, VaultError> {
        let path = state.join("subjects.tombs");
        let new = !path.exists();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&path).map_err(VaultError::io("opening the tombstones", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(VaultError::io("reading the tombstones", &path))?;
        let records = bytes.chunks(RECORD).map(parse).collect::<Vec<_>>();
        let sound = records.iter().position(Option::is_none).unwrap_or(records.len());
        if records[sound..].iter().any(Option::is_some) {
            return Err(VaultError::BadKeyFile { path, why: "a tombstone in the middle of it is damaged" });
        }
        if sound < records.len() {
            file.set_len((sound * RECORD) as u64).map_err(VaultError::io("cutting the torn end off", &path))?;
        }
        file.sync_all().map_err(VaultError::io("syncing", &path))?;
        if new {
            root::sync_dir(state)?;
        }
        Ok(Self { file, path, erased: records.into_iter().flatten().collect() })
    }

    /// Everyone who was erased, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = u64> + '_ {
        self.erased.iter().copied()
    }

    pub(super) fn contains(&self, subject: u64) -> bool {
        self.erased.contains(&subject)
    }

    /// Notes `subjects` as erased, durably, in one write and one sync; those that were already are left out.
    pub(super) fn add(&mut self, subjects: &[u64]) -> Result<Vec<u64>, VaultError> {
        let fresh: BTreeSet<u64> = subjects.iter().copied().filter(|subject| !self.contains(*subject)).collect();
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: Vec<u8> = fresh.iter().flat_map(|subject| record(*subject)).collect();
        let before = self.file.seek(SeekFrom::End(0)).map_err(VaultError::io("looking at", &self.path))?;
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a record in front of the next would be damage in the middle.
            self.file.set_len(before).map_err(VaultError::io("taking back what was written to", &self.path))?;
            return Err(VaultError::io("writing the tombstones", &self.path)(error));
        }
        let fresh: Vec<u64> = fresh.into_iter().collect();
        self.erased.extend(&fresh);
        Ok(fresh)
    }
}

fn record(subject: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&subject.to_le_bytes());
    let crc = crc32c::crc32c(&record[..8]);
    record[8..].copy_from_slice(&crc.to_le_bytes());
    record
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let subject = u64::from_le_bytes(*bytes.first_chunk()?);
    (bytes == record(subject)).then_some(subject)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tombstones_stay_and_a_torn_one_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut tombs = Tombs::open(dir.path()).unwrap();
        assert_eq!(tombs.add(&[5, 3, 5]).unwrap(), [3, 5]);
        assert_eq!(tombs.add(&[3, 9]).unwrap(), [9]);
        let path = dir.path().join("subjects.tombs");
        let whole = fs::read(&path).unwrap();
        for cut in 2 * RECORD + 1..3 * RECORD {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(Tombs::open(dir.path()).unwrap().all().collect::<Vec<_>>(), [3, 5], "cut at {cut}");
            assert_eq!(fs::metadata(&path).unwrap().len(), 2 * RECORD as u64);
        }
        let mut bad = whole;
        bad[RECORD + 1] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(matches!(Tombs::open(dir.path()), Err(VaultError::BadKeyFile { .. })));
    }
}
