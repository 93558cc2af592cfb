//! The subject keys, in a file of their own: `header | slot 0 | slot 1 | …`, a slot for each subject.
//!
//! Promised: a key is on the disk before [`KeyFile::ensure`] returns, hence before its first use; an erased subject's key
//! is gone from this file, and the epoch key that older copies of its slot were sealed under is gone too; what a
//! crash interrupts is finished or undone at the next start.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::cache::Cache;
use super::cipher;
use super::error::VaultError;
use super::root::{self, SecretKey};
use super::slot::{self, EMPTY, ERASED, Epoch, SLOT, Slot};
use super::tombs::Tombs;
use crate::failpoint;

/// Subjects are numbered below this.
pub const MAX_SUBJECTS: u64 = 1 << 28;

const MAGIC: &[u8; 8] = b"USHERKEY";
const FORMAT: u8 = 1;
/// Magic, format, epoch id; then the sealed epoch key; then room.
const HEADER: usize = 128;
const OPEN_PART: usize = 8 + 1 + 8;
const SEALED_PART: usize = cipher::OVERHEAD + 32;
/// Slots that are read or written at a time.
const CHUNK: usize = 4096;
/// Keys kept in memory.
const CACHED: usize = 16 * 1024;

/// Whether there is a key file in the state folder.
pub(super) fn exists(state: &Path) -> bool {
    path_in(state).exists()
}

fn path_in(state: &Path) -> PathBuf {
    state.join("subjects.keys")
}

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Who was erased now, without those who had been before.
    pub erased: Vec<u64>,
    /// The epoch that the remaining keys are sealed under since.
    pub epoch: u64,
    /// How many keys were sealed anew.
    pub kept: u64,
    /// How many slots are damaged and were carried along as they are.
    pub damaged: u64,
}

pub(super) struct KeyFile {
    state: PathBuf,
    kek: SecretKey,
    /// Readers share it; it is replaced whole when the epoch is.
    current: RwLock<Current>,
    /// Whoever changes the file.
    writing: Mutex<Writing>,
    cache: Mutex<Cache>,
}

struct Current {
    file: File,
    epoch: Epoch,
}

struct Writing {
    tombs: Tombs,
    /// After a sync that failed nobody knows which slots are on the disk.
    failed: bool,
}

impl KeyFile {
    /// Opens the key file in `state`, or makes an empty one, and finishes what an erasure left open; how many
    /// subjects that concerned comes with it. `kek` seals the epoch key.
    pub(super) fn open(state: &Path, kek: SecretKey) -> Result<(Self, u64), VaultError> {
        let path = path_in(state);
        if !path.exists() {
            let epoch = Epoch { id: 1, key: SecretKey::random()? };
            let (temp, file) = begin(state, &kek, &epoch)?;
            publish(state, &temp, &file)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).map_err(VaultError::io("opening the key file", &path))?;
        let epoch = read_header(&file, &path, &kek)?;
        // A process that was killed may have written slots and not synced them: from here on they count as durable.
        file.sync_all().map_err(VaultError::io("syncing the key file", &path))?;
        let writing = Mutex::new(Writing { tombs: Tombs::open(state)?, failed: false });
        let current = RwLock::new(Current { file, epoch });
        let keys = Self { state: state.to_owned(), kek, current, writing, cache: Mutex::new(Cache::new(CACHED)) };
        let unfinished = keys.unfinished()?;
        if !unfinished.is_empty() {
            let mut writing = keys.writing();
            keys.bury(&unfinished)?;
            keys.rotate(&mut writing)?;
        }
        Ok((keys, unfinished.len() as u64))
    }

    /// The key of a subject.
    pub(super) fn get(&self, subject: u64) -> Result<SecretKey, VaultError> {
        // Held over the look at the file: erasing overwrites the slot first and takes the key out of the cache second, so
        // that no key stays there behind its own erasure.
        let mut cache = self.cache();
        if let Some(key) = cache.get(subject) {
            return Ok(key);
        }
        match self.look(subject)? {
            Slot::Empty => Err(VaultError::NoKey { subject }),
            Slot::Erased => Err(VaultError::Erased { subject }),
            Slot::Damaged => Err(VaultError::DamagedKey { subject }),
            Slot::Key(key) => {
                cache.put(subject, key.clone());
                Ok(key)
            }
        }
    }

    /// Reads the keys of several subjects, in order, into the memory from which [`get`](Self::get) takes them. Whoever has none
    /// is left out.
    pub(super) fn warm(&self, subjects: &[u64]) -> Result<(), VaultError> {
        let mut cache = self.cache();
        let unknown: Vec<u64> = subjects.iter().copied().filter(|subject| cache.get(*subject).is_none()).collect();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        for run in runs(&unknown) {
            let (bytes, present) = read_slots(&current.file, &path_in(&self.state), run[0], run.len())?;
            for (at, subject) in run.iter().enumerate() {
                let here = present.saturating_sub(at * SLOT).min(SLOT);
                let slot = as_slot(&bytes[at * SLOT..(at + 1) * SLOT]);
                if let Slot::Key(key) = slot::read(&current.epoch, *subject, &slot, offset(*subject)?, here) {
                    cache.put(*subject, key);
                }
            }
        }
        Ok(())
    }

    /// Makes a key for each subject that has none, durable with one sync for all; how many were made.
    pub(super) fn ensure(&self, subjects: &[u64]) -> Result<u64, VaultError> {
        let mut subjects = subjects.to_vec();
        subjects.sort_unstable();
        subjects.dedup();
        let mut writing = self.writing();
        if writing.failed {
            return Err(VaultError::BadKeyFile { path: path_in(&self.state), why: "a sync of it failed before" });
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let path = path_in(&self.state);
        let mut made = 0;
        for run in runs(&subjects) {
            if let Some(subject) = run.iter().copied().find(|subject| writing.tombs.contains(*subject)) {
                return Err(VaultError::Erased { subject });
            }
            let (mut bytes, present) = read_slots(&current.file, &path, run[0], run.len())?;
            let before = made;
            for (at, subject) in run.iter().enumerate() {
                let place = &mut bytes[at * SLOT..(at + 1) * SLOT];
                let here = present.saturating_sub(at * SLOT).min(SLOT);
                match slot::read(&current.epoch, *subject, &as_slot(place), offset(*subject)?, here) {
                    Slot::Key(_) => {}
                    Slot::Erased => return Err(VaultError::Erased { subject: *subject }),
                    Slot::Damaged => return Err(VaultError::DamagedKey { subject: *subject }),
                    Slot::Empty => {
                        place.copy_from_slice(&slot::seal(&current.epoch, *subject, &SecretKey::random()?)?);
                        made += 1;
                    }
                }
            }
            if made > before {
                failpoint::hit("vault.keys.before-write");
                let written = current.file.write_all_at(&bytes, offset(run[0])?);
                written.map_err(VaultError::io("writing new keys to", &path))?;
            }
        }
        if made > 0 {
            failpoint::hit("vault.keys.before-sync");
            if let Err(error) = current.file.sync_data() {
                writing.failed = true;
                return Err(VaultError::io("syncing new keys to", &path)(error));
            }
            failpoint::hit("vault.keys.after-sync");
        }
        Ok(made)
    }

    /// Erases subjects for good: tombstones first, then their slots, then the epoch key under which copies of those
    /// slots may still lie somewhere. Takes about a second for each 300,000 subjects; the keys are out of use at once.
    pub(super) fn erase(&self, subjects: &[u64]) -> Result<Erasure, VaultError> {
        for subject in subjects {
            offset(*subject)?;
        }
        let mut writing = self.writing();
        let erased = writing.tombs.add(subjects)?;
        self.bury(&erased)?;
        let (epoch, kept, damaged) = self.rotate(&mut writing)?;
        Ok(Erasure { erased, epoch, kept, damaged })
    }

    /// Everyone who was erased.
    pub(super) fn erased(&self) -> Vec<u64> {
        self.writing().tombs.all().collect()
    }

    /// Subjects with a tombstone whose slot is still what it was.
    fn unfinished(&self) -> Result<Vec<u64>, VaultError> {
        let writing = self.writing();
        let mut left = Vec::new();
        for subject in writing.tombs.all() {
            if !matches!(self.look(subject)?, Slot::Erased) {
                left.push(subject);
            }
        }
        Ok(left)
    }

    /// Overwrites slots, durably, and forgets their keys: in this order, on which `get` relies.
    fn bury(&self, subjects: &[u64]) -> Result<(), VaultError> {
        let path = path_in(&self.state);
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            for subject in subjects {
                let written = current.file.write_all_at(&ERASED, offset(*subject)?);
                written.map_err(VaultError::io("erasing a key in", &path))?;
            }
        }
        let mut cache = self.cache();
        for subject in subjects {
            cache.remove(*subject);
        }
        drop(cache);
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.file.sync_data().map_err(VaultError::io("syncing an erasure to", &path))
    }

    /// Seals every key anew under a new epoch key, in a new file, and destroys the old epoch key. Readers go on.
    fn rotate(&self, writing: &mut Writing) -> Result<(u64, u64, u64), VaultError> {
        let path = path_in(&self.state);
        let (next, temp, kept, damaged) = {
            let old = self.current.read().unwrap_or_else(PoisonError::into_inner);
            let epoch = Epoch { id: old.epoch.id + 1, key: SecretKey::random()? };
            let (temp, file) = begin(&self.state, &self.kek, &epoch)?;
            let length = old.file.metadata().map_err(VaultError::io("looking at", &path))?.len();
            let slots = length.saturating_sub(HEADER as u64).div_ceil(SLOT as u64);
            let (mut kept, mut damaged) = (0, 0);
            for first in (0..slots).step_by(CHUNK) {
                let count = CHUNK.min((slots - first) as usize);
                let (mut bytes, present) = read_slots(&old.file, &path, first, count)?;
                for at in 0..count {
                    let subject = first + at as u64;
                    let place = &mut bytes[at * SLOT..(at + 1) * SLOT];
                    let here = present.saturating_sub(at * SLOT).min(SLOT);
                    let fresh = match slot::read(&old.epoch, subject, &as_slot(place), offset(subject)?, here) {
                        _ if writing.tombs.contains(subject) => ERASED,
                        Slot::Erased => ERASED,
                        Slot::Empty => EMPTY,
                        Slot::Key(key) => {
                            kept += 1;
                            slot::seal(&epoch, subject, &key)?
                        }
                        Slot::Damaged => {
                            damaged += 1;
                            as_slot(place)
                        }
                    };
                    place.copy_from_slice(&fresh);
                }
                let written = file.write_all_at(&bytes, offset(first)?);
                written.map_err(VaultError::io("writing keys anew to", &temp))?;
            }
            (Current { file, epoch }, temp, kept, damaged)
        };
        publish(&self.state, &temp, &next.file)?;
        let id = next.epoch.id;
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        // The old file has no name any more; its header goes too, should its blocks be looked at one day.
        let wiped = old.file.write_all_at(&[0; HEADER], 0).and_then(|()| old.file.sync_data());
        wiped.map_err(VaultError::io("wiping the old epoch key of", &path))?;
        Ok((id, kept, damaged))
    }

    fn look(&self, subject: u64) -> Result<Slot, VaultError> {
        let offset = offset(subject)?;
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (bytes, present) = read_slots(&current.file, &path_in(&self.state), subject, 1)?;
        Ok(slot::read(&current.epoch, subject, &as_slot(&bytes), offset, present))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs of subjects that follow each other, none longer than what is read at a time.
fn runs(subjects: &[u64]) -> impl Iterator<Item = &[u64]> {
    subjects.chunk_by(|one, next| one + 1 == *next).flat_map(|run| run.chunks(CHUNK))
}

fn offset(subject: u64) -> Result<u64, VaultError> {
    if subject >= MAX_SUBJECTS {
        return Err(VaultError::OutOfRange { subject, limit: MAX_SUBJECTS });
    }
    Ok(HEADER as u64 + subject * SLOT as u64)
}

fn as_slot(bytes: &[u8]) -> [u8; SLOT] {
    bytes.try_into().expect("slots are cut to their size")
}

/// `count` slots, and how many of their bytes the file has; what it does not have is zero.
fn read_slots(file: &File, path: &Path, first: u64, count: usize) -> Result<(Vec<u8>, usize), VaultError> {
    let mut bytes = vec![0; count * SLOT];
    let from = offset(first)?;
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], from + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(VaultError::io("reading keys from", path)(error)),
        }
    }
    Ok((bytes, got))
}

/// A new key file without a name yet, with nothing but its header.
fn begin(state: &Path, kek: &SecretKey, epoch: &Epoch) -> Result<(PathBuf, File), VaultError> {
    let temp = state.join("subjects.keys.tmp");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&temp).map_err(VaultError::io("creating", &temp))?;
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8] = FORMAT;
    header[9..OPEN_PART].copy_from_slice(&epoch.id.to_le_bytes());
    let sealed = cipher::seal(kek, &header[..OPEN_PART], &[], epoch.key.expose())?;
    header[OPEN_PART..OPEN_PART + SEALED_PART].copy_from_slice(&sealed);
    file.write_all_at(&header, 0).map_err(VaultError::io("writing", &temp))?;
    Ok((temp, file))
}

fn publish(state: &Path, temp: &Path, file: &File) -> Result<(), VaultError> {
    file.sync_all().map_err(VaultError::io("syncing", temp))?;
    let path = path_in(state);
    fs::rename(temp, &path).map_err(VaultError::io("renaming to its final name", temp))?;
    root::sync_dir(state)
}

fn read_header(file: &File, path: &Path, kek: &SecretKey) -> Result<Epoch, VaultError> {
    let bad = |why| VaultError::BadKeyFile { path: path.to_owned(), why };
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(|_| bad("it is shorter than its header"))?;
    if header[..8] != *MAGIC {
        return Err(bad("it does not begin as one"));
    }
    if header[8] != FORMAT {
        return Err(bad("it is of a format that this build does not know"));
    }
    let mut id = [0; 8];
    id.copy_from_slice(&header[9..OPEN_PART]);
    let plain = cipher::open(kek, &header[..OPEN_PART], &header[OPEN_PART..OPEN_PART + SEALED_PART])
        .map(Zeroizing::new)
        .map_err(|_| VaultError::WrongRoot { path: path.to_owned() })?;
    let key = plain.as_slice().try_into().map_err(|_| bad("its epoch key has the wrong length"))?;
    Ok(Epoch { id: u64::from_le_bytes(id), key: SecretKey::new(key) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_behind_the_tombstone_or_behind_the_slot_is_finished_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let open = || KeyFile::open(dir.path(), SecretKey::new([5; 32])).unwrap();
        let (keys, _) = open();
        keys.ensure(&[1, 2, 3]).unwrap();
        keys.get(1).unwrap();
        keys.writing().tombs.add(&[1, 2]).unwrap();
        keys.bury(&[1]).unwrap();
        assert!(matches!(keys.get(1), Err(VaultError::Erased { subject: 1 })), "before the epoch is replaced");
        drop(keys);
        let (keys, finished) = open();
        assert_eq!(finished, 1);
        assert!(matches!(keys.get(2), Err(VaultError::Erased { subject: 2 })));
        keys.get(3).unwrap();
        assert_eq!(open().1, 0);
    }

    #[test]
    fn keys_that_were_read_together_are_those_of_the_file_and_go_with_their_erasure() {
        let dir = tempfile::tempdir().unwrap();
        let open = || KeyFile::open(dir.path(), SecretKey::new([5; 32])).unwrap().0;
        open().ensure(&[1, 2, 3, 9]).unwrap();
        let (apart, together) = (open(), open());
        together.warm(&[1, 2, 3, 7, 9]).unwrap();
        for subject in [1, 2, 3, 9] {
            assert_eq!(together.cache().get(subject).unwrap().expose(), apart.get(subject).unwrap().expose());
        }
        assert!(matches!(together.get(7), Err(VaultError::NoKey { subject: 7 })));
        together.erase(&[2]).unwrap();
        together.warm(&[1, 2]).unwrap();
        assert!(matches!(together.get(2), Err(VaultError::Erased { subject: 2 })));
    }

    #[test]
    fn runs_are_what_follows_each_other() {
        assert_eq!(runs(&[1, 2, 4, 7, 8, 9]).collect::<Vec<_>>(), [&[1, 2][..], &[4], &[7, 8, 9]]);
        let long: Vec<u64> = (0..=CHUNK as u64).collect();
        assert_eq!(runs(&long).map(<[u64]>::len).collect::<Vec<_>>(), [CHUNK, 1]);
    }
}
