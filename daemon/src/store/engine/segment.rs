//! Segments, the files of the commit log: how they begin, what they are called, how they are read.
//!
//! A segment begins with what is needed to start reading at it: timeline, first LSN, time so far and the set-hash of
//! every keyspace. It gets its name only once that is on the disk, so a segment without a whole header is damage. A closed one
//! is compressed and then called `.log.zst`; its offsets always mean the bytes before compression.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Take, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::disk;
use super::error::StoreError;
use super::frame::{self, Frame, Read1};
use super::sethash::SetSums;
use crate::{codec, failpoint};

const MAGIC: &[u8; 8] = b"USHERLOG";
const FORMAT: u8 = 1;
const MAX_HEADER: usize = 64 * 1024;

/// What a segment begins with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) timeline: u64,
    pub(super) first_lsn: u64,
    /// Commit time of the last frame before it: the clock of this one may not be earlier.
    pub(super) time: Timestamp,
    /// Tells which set-hash key the sums are made with.
    pub(super) key: [u8; 8],
    /// The set-hash of everything before it.
    pub(super) sums: SetSums,
}

/// A segment in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first_lsn: u64,
    pub(super) path: PathBuf,
    pub(super) compressed: bool,
    /// On disk.
    pub(super) bytes: u64,
}

/// Begins a segment: durable, header and name, when this returns. Gives the length of the header too.
pub(super) fn create(dir: &Path, header: &Header) -> Result<Segment, StoreError> {
    let path = dir.join(format!("{:04}-{:016x}.log", header.timeline, header.first_lsn));
    let temp = path.with_extension("tmp");
    let body = codec::encode_within::<_, MAX_HEADER>(FORMAT, header)
        .map_err(|error| StoreError::BadSegment { file: path.clone(), why: error.to_string() })?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    failpoint::hit("store.segment.before-create");
    let mut file = disk::create(&temp)?;
    file.write_all(&bytes).map_err(StoreError::io("writing", &temp))?;
    failpoint::hit("store.segment.before-publish");
    disk::publish(&file, &temp, &path)?;
    failpoint::hit("store.segment.after-publish");
    Ok(Segment { first_lsn: header.first_lsn, path, compressed: false, bytes: bytes.len() as u64 })
}

/// The segments of a folder, in order. What a crash left half made is removed.
pub(super) fn list(dir: &Path) -> Result<Vec<Segment>, StoreError> {
    let mut segments: Vec<Segment> = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let path = entry.map_err(StoreError::io("listing", dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if disk::unfinished(&path) {
            fs::remove_file(&path).map_err(StoreError::io("removing the unfinished", &path))?;
            continue;
        }
        let compressed = name.ends_with(".log.zst");
        let stem = name.strip_suffix(".log.zst").or_else(|| name.strip_suffix(".log"));
        let Some(lsn) =
            stem.and_then(|stem| stem.split_once('-')).and_then(|(_, lsn)| u64::from_str_radix(lsn, 16).ok())
        else {
            continue;
        };
        let bytes = fs::metadata(&path).map_err(StoreError::io("looking at", &path))?.len();
        segments.push(Segment { first_lsn: lsn, path, compressed, bytes });
    }
    segments.sort_by_key(|segment| (segment.first_lsn, segment.compressed));
    // A compressed segment got its name when it was whole, so the one it was made from is only left over.
    let mut kept: Vec<Segment> = Vec::new();
    for segment in segments {
        match kept.pop() {
            Some(before) if before.first_lsn == segment.first_lsn && segment.compressed && !before.compressed => {
                fs::remove_file(&before.path).map_err(StoreError::io("removing the left-over", &before.path))?;
            }
            Some(before) => kept.push(before),
            None => {}
        }
        kept.push(segment);
    }
    Ok(kept)
}

/// A segment that is being read.
pub(super) struct SegmentStream {
    pub(super) header: Header,
    path: PathBuf,
    source: Source,
    offset: u64,
    limit: u64,
    scratch: Vec<u8>,
}

enum Source {
    Plain(BufReader<Take<File>>),
    Packed(zstd::Decoder<'static, BufReader<File>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(stream) => stream.read(buffer),
        }
    }
}

impl SegmentStream {
    /// Opens a segment and reads its header. Of one that is not compressed, no more than `limit` bytes are looked at:
    /// what follows is not durable yet.
    pub(super) fn open(path: &Path, compressed: bool, limit: u64) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("opening the segment", path))?;
        let mut source = if compressed {
            Source::Packed(zstd::Decoder::new(file).map_err(StoreError::io("unpacking", path))?)
        } else {
            Source::Plain(BufReader::with_capacity(64 * 1024, file.take(limit)))
        };
        let bad = |why: String| StoreError::BadSegment { file: path.to_owned(), why };
        let mut lead = [0; 16];
        source.read_exact(&mut lead).map_err(|error| bad(format!("reading its header: {error}")))?;
        if lead[..8] != *MAGIC {
            return Err(bad("it does not begin as one".into()));
        }
        let number = |at: usize| u32::from_le_bytes([lead[at], lead[at + 1], lead[at + 2], lead[at + 3]]);
        let length = number(8) as usize;
        if length > MAX_HEADER {
            return Err(bad(format!("its header claims {length} bytes")));
        }
        let mut body = vec![0; length];
        source.read_exact(&mut body).map_err(|error| bad(format!("reading its header: {error}")))?;
        if crc32c::crc32c(&body) != number(12) {
            return Err(bad("the checksum of its header does not agree".into()));
        }
        let header: Header =
            codec::decode_within::<_, { 4 * MAX_HEADER }>(FORMAT, &body).map_err(|error| bad(error.to_string()))?;
        let offset = 16 + length as u64;
        Ok(Self { header, path: path.to_owned(), source, offset, limit, scratch: Vec::new() })
    }

    /// Allows reading up to `limit`, which has become durable since.
    pub(super) fn extend(&mut self, limit: u64) {
        if let Source::Plain(file) = &mut self.source
            && limit > self.limit
        {
            let file = file.get_mut();
            file.set_limit(file.limit() + (limit - self.limit));
            self.limit = limit;
        }
    }

    /// Where the next frame begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame, the end, or what stands there instead. Whether that is a torn end is for the caller to say.
    pub(super) fn next(&mut self) -> Result<Read1, StoreError> {
        let read = frame::read(&mut self.source, &mut self.scratch);
        let read = match read {
            // What does not unpack is a bad frame like any other.
            Err(error) if matches!(self.source, Source::Packed(_)) => Read1::Bad(format!("unpacking it: {error}")),
            other => other.map_err(StoreError::io("reading", &self.path))?,
        };
        if let Read1::Frame(_, size) = &read {
            self.offset += size;
        }
        Ok(read)
    }

    /// The next frame of a segment in which every frame must be good.
    pub(super) fn next_sound(&mut self) -> Result<Option<Frame>, StoreError> {
        match self.next()? {
            Read1::Frame(frame, _) => Ok(Some(*frame)),
            Read1::End => Ok(None),
            Read1::Bad(why) => Err(StoreError::BadFrame { file: self.path.clone(), offset: self.offset, why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_there_twice_is_kept_compressed_and_half_made_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0001-0000000000000001.log", "0001-0000000000000001.log.zst", "0001-000000000000000a.log", "x.tmp"]
        {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let found: Vec<_> = list(dir.path()).unwrap().into_iter().map(|s| (s.first_lsn, s.compressed)).collect();
        assert_eq!(found, [(1, true), (10, false)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_header_is_read_back_and_a_flipped_byte_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut header = Header { timeline: 3, first_lsn: 42, time: Timestamp(9), ..Header::default() };
        header.sums.set(4, 5);
        let segment = create(dir.path(), &header).unwrap();
        let stream = SegmentStream::open(&segment.path, false, u64::MAX).unwrap();
        assert_eq!((stream.header.timeline, stream.header.first_lsn, stream.header.sums.of(4)), (3, 42, 5));
        assert_eq!(stream.offset(), segment.bytes);
        let good = fs::read(&segment.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&segment.path, bad).unwrap();
            assert!(SegmentStream::open(&segment.path, false, u64::MAX).is_err(), "byte {at}");
        }
    }
}
