//! Checkpoints: all rows in one compressed file, from which, with the log, the index is made again.
//!
//! The walk is fuzzy: writers go on, so a row may be of any moment between the commit that was applied when the walk
//! began (`from`) and the last durable one when it ended (`to`). Since the log holds final values only, the commits after `from`
//! applied to it give the exact state at `to`; and that is proved by the set-hash, from the file as it was read
//! back, before it gets its name.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::disk;
use super::error::StoreError;
use super::index::{Index, RawRow};
use super::log::LogEnd;
use super::reader::LogReader;
use super::sethash::{SetHash, SetSums};
use super::types::CheckpointReport;
use super::value::{MAX_KEY, MAX_ROW, Space};
use crate::{codec, failpoint};

const MAGIC: &[u8; 8] = b"USHERCKP";
const FORMAT: u8 = 1;
const MAX_PART: usize = 64 * 1024;
/// How many are kept: should the newest be damaged, the one before and a longer piece of log do as well.
const KEPT: usize = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Head {
    timeline: u64,
    from: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tail {
    to: u64,
    time: Timestamp,
    rows: u64,
    sums: SetSums,
}

/// A checkpoint in the folder, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) path: PathBuf,
}

/// The checkpoints of a folder, the newest first. Unfinished ones are removed.
pub(super) fn list(dir: &Path) -> Result<Vec<Known>, StoreError> {
    let mut known = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let path = entry.map_err(StoreError::io("listing", dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if disk::unfinished(&path) {
            fs::remove_file(&path).map_err(StoreError::io("removing the unfinished", &path))?;
            continue;
        }
        let Some((from, to)) = name.strip_suffix(".ckpt").and_then(|name| name.split_once('-')) else { continue };
        if let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)) {
            known.push(Known { from, to, path });
        }
    }
    known.sort_by_key(|known| std::cmp::Reverse((known.to, known.from)));
    Ok(known)
}

/// A walk that is done, whose end is not known yet.
pub(super) struct Walked {
    out: Out,
    temp: PathBuf,
    from: u64,
    rows: u64,
}

/// Writes, compresses, and hashes what went in.
struct Out {
    stream: zstd::Encoder<'static, BufWriter<File>>,
    hash: blake3::Hasher,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.stream.write_all(bytes)
    }

    fn part(&mut self, part: &impl Serialize) -> io::Result<()> {
        let bytes = codec::encode_within::<_, MAX_PART>(FORMAT, part).map_err(io::Error::other)?;
        self.put(&(bytes.len() as u32).to_le_bytes())?;
        self.put(&bytes)
    }
}

/// Walks the index into an unnamed file in `dir`.
pub(super) fn walk(dir: &Path, index: &Index, timeline: u64) -> Result<Walked, StoreError> {
    let temp = dir.join("walk.tmp");
    // Noted first: whatever the walk sees, it sees at least this.
    let from = index.applied()?.unwrap_or(0);
    let file = BufWriter::with_capacity(1 << 18, disk::create(&temp)?);
    let writing = || StoreError::io("writing the checkpoint", &temp);
    let stream = zstd::Encoder::new(file, 1).map_err(writing())?;
    let mut out = Out { stream, hash: blake3::Hasher::new() };
    out.put(MAGIC).and_then(|()| out.part(&Head { timeline, from })).map_err(writing())?;
    let mut rows = 0;
    let mut lead = [0; 6];
    for row in index.walk() {
        let (key, raw) = row?;
        lead[..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
        lead[2..].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        out.put(&lead).and_then(|()| out.put(&key)).and_then(|()| out.put(&raw)).map_err(writing())?;
        rows += 1;
    }
    out.put(&[0; 6]).map_err(writing())?;
    Ok(Walked { out, temp, from, rows })
}

/// Ends a walk at `end`, which is durable and was read after it; proves it and gives it its name. `log` reads from the
/// commit after the walk's beginning.
pub(super) fn finish(
    dir: &Path,
    walked: Walked,
    end: &LogEnd,
    log: impl FnOnce(u64) -> LogReader,
    hash: &mut SetHash,
) -> Result<CheckpointReport, StoreError> {
    let Walked { mut out, temp, from, rows } = walked;
    let tail = Tail { to: end.lsn, time: end.time, rows, sums: end.sums.clone() };
    let writing = || StoreError::io("writing the checkpoint", &temp);
    out.part(&tail).map_err(writing())?;
    let digest = *out.hash.finalize().as_bytes();
    out.stream.write_all(&digest).map_err(writing())?;
    let file = out.stream.finish().map_err(writing())?;
    let file = file.into_inner().map_err(|error| writing()(error.into_error()))?;
    prove(&temp, end, log(from + 1), hash)?;
    let path = dir.join(format!("{from:016x}-{:016x}.ckpt", end.lsn));
    failpoint::hit("store.checkpoint.before-publish");
    disk::publish(&file, &temp, &path)?;
    failpoint::hit("store.checkpoint.after-publish");
    let bytes = fs::metadata(&path).map_err(StoreError::io("looking at", &path))?.len();
    for old in list(dir)?.into_iter().skip(KEPT) {
        fs::remove_file(&old.path).map_err(StoreError::io("removing the old checkpoint", &old.path))?;
    }
    disk::sync_dir(dir)?;
    Ok(CheckpointReport { path, from_lsn: from, to_lsn: end.lsn, time: end.time, rows, bytes })
}

/// Whether the file, with the log, is the state that the log proves. Rows that changed while the walk went on
/// are counted as the log leaves them; there are no more of those in memory than commits during the walk.
fn prove(path: &Path, end: &LogEnd, mut log: LogReader, hash: &mut SetHash) -> Result<(), StoreError> {
    let mut changed: HashMap<Vec<u8>, Option<u128>> = HashMap::new();
    while log.position() <= end.lsn {
        let Some(entry) = log.read()? else { break };
        for change in &entry.changes {
            let (key, raw) = change.row(entry.lsn);
            let element = raw.map(|raw| hash.element(&key, &raw));
            changed.insert(key, element);
        }
    }
    let mut sums = SetSums::default();
    let mut file = Checkpoint::open(path)?;
    while let Some((key, raw)) = file.next_row()? {
        if !changed.contains_key(&key) {
            sums.add(&key, hash.element(&key, &raw));
        }
    }
    for (key, element) in &changed {
        if let Some(element) = element {
            sums.add(key, *element);
        }
    }
    agree("the checkpoint", end, &sums)
}

/// The error that says which keyspaces are not as the log proves them.
pub(super) fn agree(what: &str, end: &LogEnd, found: &SetSums) -> Result<(), StoreError> {
    let spaces = end.sums.differing(found);
    if spaces.is_empty() {
        return Ok(());
    }
    let spaces = spaces.into_iter().map(Space::prefix).map(|prefix| prefix.to_string()).collect::<Vec<_>>().join(", ");
    Err(StoreError::Disproved { what: what.to_owned(), lsn: end.lsn, spaces })
}

/// A checkpoint that is being read.
pub(super) struct Checkpoint {
    path: PathBuf,
    stream: zstd::Decoder<'static, BufReader<File>>,
    hash: blake3::Hasher,
    rows: u64,
    /// The index needs the log from the commit after this one.
    pub(super) from: u64,
}

impl Checkpoint {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("opening the checkpoint", path))?;
        let stream = zstd::Decoder::new(file).map_err(StoreError::io("unpacking", path))?;
        let mut open = Self { path: path.to_owned(), stream, hash: blake3::Hasher::new(), rows: 0, from: 0 };
        let mut magic = [0; 8];
        open.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(open.bad("it does not begin as one"));
        }
        let head: Head = open.part()?;
        open.from = head.from;
        Ok(open)
    }

    /// The next row; none at the end, when the whole file was read and its hash agreed.
    pub(super) fn next_row(&mut self) -> Result<Option<RawRow>, StoreError> {
        let mut lead = [0; 6];
        self.fill(&mut lead)?;
        let key = usize::from(u16::from_le_bytes([lead[0], lead[1]]));
        let raw = u32::from_le_bytes([lead[2], lead[3], lead[4], lead[5]]) as usize;
        if key == 0 {
            return self.end().map(|()| None);
        }
        if key > 1 + MAX_KEY || raw > MAX_ROW {
            return Err(self.bad("a row is larger than a row can be"));
        }
        let mut bytes = (vec![0; key], vec![0; raw]);
        self.fill(&mut bytes.0)?;
        self.fill(&mut bytes.1)?;
        self.rows += 1;
        Ok(Some(bytes))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let tail: Tail = self.part()?;
        let expected = *self.hash.finalize().as_bytes();
        let mut found = [0; 32];
        self.fill(&mut found)?;
        if found != expected || tail.rows != self.rows {
            return Err(self.bad("its hash does not agree"));
        }
        Ok(())
    }

    fn part<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_PART {
            return Err(self.bad("a part of it is too large"));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        codec::decode_within::<T, { 4 * MAX_PART }>(FORMAT, &bytes).map_err(|error| self.bad(&error.to_string()))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.stream.read_exact(bytes).map_err(|error| self.bad(&error.to_string()))?;
        self.hash.update(bytes);
        Ok(())
    }

    fn bad(&self, why: &str) -> StoreError {
        StoreError::BadCheckpoint { file: self.path.clone(), why: why.to_owned() }
    }
}
