//! Frames, the unit of the commit log: what one fsync makes durable, whole or not at all.
//!
//! `length u32 | crc32c u32 | format u8 | timeline u64 | lsn u64 | commit time i64 | payload`, little-endian; `length`
//! counts what follows the checksum, and the checksum covers it. A frame holds all commits of one gathering, numbered
//! from `lsn` on: were each a frame of its own, a power cut in the middle of one write could leave a bad frame in front
//! of a good one, which must mean damage and nothing else.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::sethash::SetSums;
use super::types::By;
use super::value::{self, Space};
use crate::codec;

/// The largest payload, in bytes: several times what one gathering may hold.
pub(super) const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// What stands in front of a payload.
pub(super) const HEADER: usize = LEAD + HEAD;

/// Length and checksum.
const LEAD: usize = 4 + 4;
/// Format, timeline, LSN, time.
const HEAD: usize = 1 + 8 + 8 + 8;
const FORMAT: u8 = 1;

/// A gathering as it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) timeline: u64,
    /// LSN of its first commit.
    pub(super) lsn: u64,
    pub(super) time: Timestamp,
    pub(super) body: Body,
}

/// The payload of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) commits: Vec<LoggedCommit>,
    /// The set-hash of every keyspace that it changed, after it.
    pub(super) sums: Vec<(u8, u128)>,
}

/// A commit as it is logged: without its preconditions, which held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoggedCommit {
    pub(super) by: By,
    pub(super) audit: Vec<Blob>,
    pub(super) changes: Vec<LoggedChange>,
}

/// Bytes that are copied, not walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob(#[serde(with = "codec::bytes")] pub(super) Vec<u8>);

/// A change as it is logged: final values only, so that applying it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoggedChange {
    /// The row has this content from here on.
    Put {
        /// Keyspace.
        space: Space,
        /// Key.
        #[serde(with = "codec::bytes")]
        key: Vec<u8>,
        /// State.
        state: u8,
        /// Content.
        #[serde(with = "codec::bytes")]
        value: Vec<u8>,
    },
    /// The row is gone from here on.
    Delete {
        /// Keyspace.
        space: Space,
        /// Key.
        #[serde(with = "codec::bytes")]
        key: Vec<u8>,
    },
    /// The counter has this total from here on.
    Count {
        /// Keyspace.
        space: Space,
        /// Key.
        #[serde(with = "codec::bytes")]
        key: Vec<u8>,
        /// The total.
        total: i64,
    },
}

impl LoggedChange {
    /// The row's full key and, where it is there afterwards, its bytes in the index.
    pub(super) fn row(&self, lsn: u64) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Put { space, key, state, value } => (space.key(key), Some(value::encode_row(lsn, *state, value))),
            Self::Delete { space, key } => (space.key(key), None),
            Self::Count { space, key, total } => (space.key(key), Some(value::encode_counter(lsn, *total))),
        }
    }
}

impl Frame {
    /// Every row that the frame leaves behind or takes away, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + '_ {
        (self.lsn..).zip(&self.body.commits).flat_map(|(lsn, commit)| commit.changes.iter().map(move |c| c.row(lsn)))
    }

    /// LSN of its last commit.
    pub(super) fn last(&self) -> u64 {
        self.lsn + (self.body.commits.len() as u64).saturating_sub(1)
    }

    /// Takes over the sums that it carries.
    pub(super) fn update(&self, sums: &mut SetSums) {
        for (prefix, sum) in &self.body.sums {
            sums.set(*prefix, *sum);
        }
    }

    /// Its bytes, into `out`, which is cleared first.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), codec::CodecError> {
        let payload = codec::encode_within::<_, MAX_PAYLOAD>(FORMAT, &self.body)?;
        // The codec's version byte is the frame's format byte: it moves in front of the head's other fields.
        let payload = &payload[1..];
        out.clear();
        out.extend_from_slice(&((HEAD + payload.len()) as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(FORMAT);
        out.extend_from_slice(&self.timeline.to_le_bytes());
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(payload);
        let crc = crc32c::crc32c(&out[LEAD..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        Ok(())
    }
}

/// What stands at a place in a segment.
#[derive(Debug)]
pub(super) enum Read1 {
    /// A frame, and its size in bytes.
    Frame(Box<Frame>, u64),
    /// Nothing: the segment ends here.
    End,
    /// Something that is no frame.
    Bad(String),
}

/// Reads one frame; `scratch` is room that is used again.
pub(super) fn read(from: &mut impl Read, scratch: &mut Vec<u8>) -> io::Result<Read1> {
    let mut lead = [0; LEAD];
    match read_up_to(from, &mut lead)? {
        0 => return Ok(Read1::End),
        LEAD => {}
        short => return Ok(Read1::Bad(format!("only {short} bytes of a header"))),
    }
    let Some(length) = length(lead) else { return Ok(Read1::Bad("its length is out of bounds".into())) };
    scratch.resize(length, 0);
    let got = read_up_to(from, scratch)?;
    if got < length {
        return Ok(Read1::Bad(format!("it ends after {got} of {length} bytes")));
    }
    Ok(match open(lead, scratch) {
        Ok(frame) => Read1::Frame(Box::new(frame), (LEAD + length) as u64),
        Err(why) => Read1::Bad(why),
    })
}

/// What stands in a segment of the log, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Whole frames.
    pub frames: u64,
    /// Commits in them.
    pub commits: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Whether they are all there is.
    pub whole: bool,
}

/// Reads frame after frame, as a start does, up to the end or to the first that is none. Takes any bytes.
pub fn survey(bytes: &[u8]) -> Survey {
    let mut survey = Survey { frames: 0, commits: 0, bytes: 0, whole: true };
    let (mut rest, mut scratch) = (bytes, Vec::new());
    // Reading from memory does not fail; if it did, what follows would count as no frame.
    while let Ok(found) = read(&mut rest, &mut scratch) {
        match found {
            Read1::Frame(frame, size) => {
                survey.frames += 1;
                survey.commits += frame.body.commits.len() as u64;
                survey.bytes += size;
            }
            Read1::End => return survey,
            Read1::Bad(_) => break,
        }
    }
    survey.whole = false;
    survey
}

/// Whether a valid frame of `timeline`, later than commit `after`, begins anywhere in `bytes`.
pub(super) fn any_within(bytes: &[u8], timeline: u64, after: u64) -> bool {
    (0..bytes.len().saturating_sub(HEADER)).any(|at| {
        let here = &bytes[at..];
        // The cheap questions first: this is asked of every byte of a segment's end.
        here[LEAD] == FORMAT
            && here[LEAD + 1..LEAD + 9] == timeline.to_le_bytes()
            && here[LEAD + 9..].first_chunk().is_some_and(|lsn| u64::from_le_bytes(*lsn) > after)
            && here.first_chunk::<LEAD>().is_some_and(|&lead| {
                length(lead)
                    .and_then(|length| here.get(LEAD..LEAD + length))
                    .is_some_and(|rest| open(lead, rest).is_ok())
            })
    })
}

fn length(lead: [u8; LEAD]) -> Option<usize> {
    let [a, b, c, d, ..] = lead;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (HEAD..=HEAD + MAX_PAYLOAD).contains(&length).then_some(length)
}

fn open(lead: [u8; LEAD], rest: &[u8]) -> Result<Frame, String> {
    let [.., a, b, c, d] = lead;
    if crc32c::crc32c(rest) != u32::from_le_bytes([a, b, c, d]) {
        return Err("its checksum does not agree".into());
    }
    let (head, payload) = rest.split_first_chunk::<HEAD>().ok_or("it is shorter than a header")?;
    let [format, numbers @ ..] = *head;
    if format != FORMAT {
        return Err(format!("it has format {format}, this build reads {FORMAT}"));
    }
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&numbers[at..at + 8]);
        bytes
    };
    // Four times the payload: the decoder counts some bytes twice while it is inside a list.
    let body = codec::decode_body::<Body, { 4 * MAX_PAYLOAD }>(format, payload).map_err(|e| e.to_string())?;
    Ok(Frame {
        timeline: u64::from_le_bytes(number(0)),
        lsn: u64::from_le_bytes(number(8)),
        time: Timestamp(i64::from_le_bytes(number(16))),
        body,
    })
}

fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match from.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let space = Space::new(1);
        let commit = LoggedCommit {
            by: By { actor: "ana".into(), reason: "late guests".into(), request_id: "r7".into() },
            audit: vec![Blob(b"entry".to_vec())],
            changes: vec![
                LoggedChange::Put { space, key: b"k".to_vec(), state: 2, value: b"v".to_vec() },
                LoggedChange::Delete { space, key: b"gone".to_vec() },
                LoggedChange::Count { space, key: b"n".to_vec(), total: -3 },
            ],
        };
        let body = Body { commits: vec![commit.clone(), commit], sums: vec![(1, 77)] };
        Frame { timeline: 1, lsn: 41, time: Timestamp(1_795_000_000_000), body }
    }

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        frame().encode(&mut out).unwrap();
        out
    }

    #[test]
    fn a_frame_is_read_back_and_its_bytes_do_not_change_between_builds() {
        let bytes = bytes();
        let Read1::Frame(read, size) = read(&mut bytes.as_slice(), &mut Vec::new()).unwrap() else {
            panic!("no frame")
        };
        assert_eq!((*read, size), (frame(), bytes.len() as u64));
        assert_eq!(frame().last(), 42);
        let golden = include_str!("../../../tests/data/frame-v1.hex").trim();
        assert_eq!(hex::encode(bytes), golden, "format 1 changed: give the new one a number of its own");
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_noticed() {
        let good = bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let found = read(&mut bad.as_slice(), &mut Vec::new()).unwrap();
                assert!(matches!(found, Read1::Bad(_)), "byte {at}, bit {bit}");
            }
            let found = read(&mut &good[..at], &mut Vec::new()).unwrap();
            assert!(matches!((at, found), (0, Read1::End) | (1.., Read1::Bad(_))), "cut at {at}");
        }
    }

    #[test]
    fn a_length_out_of_bounds_allocates_nothing() {
        let mut scratch = Vec::new();
        let huge = [0xff; 64];
        assert!(matches!(read(&mut huge.as_slice(), &mut scratch).unwrap(), Read1::Bad(_)));
        assert_eq!(scratch.capacity(), 0);
    }

    #[test]
    fn a_frame_is_found_behind_noise_but_not_one_from_before() {
        let mut noise = vec![1; 100];
        noise.extend_from_slice(&bytes());
        assert!(any_within(&noise, 1, 40));
        assert!(!any_within(&noise, 1, 41));
        assert!(!any_within(&noise, 2, 40));
        assert!(!any_within(&noise[..noise.len() - 1], 1, 40));
    }
}
