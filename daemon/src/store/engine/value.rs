//! What a row looks like inside the index: `format | version | state | value`, and which keys belong to whom.
//!
//! The header is written by the committer alone, so that a version is always the LSN of the commit that made the row.

use serde::{Deserialize, Serialize};

/// The most that a row takes in the index, header included, in bytes. sled moves larger values to files of their own
/// and does not delete all of those again.
pub const MAX_ROW: usize = 8 * 1024;
/// The longest key, in bytes, without the byte of its keyspace.
pub const MAX_KEY: usize = 512;
/// The longest value, in bytes: a row without its header.
pub const MAX_VALUE: usize = MAX_ROW - HEADER;

/// Format byte, version, state.
const HEADER: usize = 1 + 8 + 1;
const FORMAT_ROW: u8 = 1;
const FORMAT_COUNTER: u8 = 2;

/// A keyspace: one prefix byte in the index's only tree, so that a commit over several keyspaces is atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Space(u8);

impl Space {
    /// The keyspace behind `prefix`. Zero belongs to the engine itself: asking for it is a mistake in the program, and
    /// in a constant it does not compile.
    pub const fn new(prefix: u8) -> Self {
        assert!(prefix != 0, "prefix 0 holds the engine's own rows");
        Self(prefix)
    }

    /// Its prefix byte.
    pub const fn prefix(self) -> u8 {
        self.0
    }

    /// `key` of this keyspace, as the index knows it.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(1 + key.len());
        full.push(self.0);
        full.extend_from_slice(key);
        full
    }
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// LSN of the commit that wrote it: never the same for two contents of a row.
    pub version: u64,
    /// The state that it was put with, below 32, so that a precondition can name a set of states. 0 for counters.
    pub state: u8,
    /// What was put; for a counter its total, eight bytes, little-endian.
    pub value: Vec<u8>,
    counter: bool,
}

/// Why the bytes of a row are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    #[error("the row has only {0} bytes, less than a header")]
    Short(usize),
    #[error("the row has format {0}, which this build does not know")]
    Format(u8),
}

impl Row {
    /// The total, where the row is a counter.
    pub fn total(&self) -> Option<i64> {
        let bytes: [u8; 8] = self.value.as_slice().try_into().ok()?;
        self.counter.then(|| i64::from_le_bytes(bytes))
    }

    /// The bits, where the row is one of 64 of them.
    pub fn bits(&self) -> Option<u64> {
        let bytes: [u8; 8] = self.value.as_slice().try_into().ok()?;
        (!self.counter).then(|| u64::from_le_bytes(bytes))
    }

    pub(super) fn decode(raw: &[u8]) -> Result<Self, RowError> {
        let Some((header, value)) = raw.split_first_chunk::<HEADER>() else { return Err(RowError::Short(raw.len())) };
        let [format, version @ .., state] = *header;
        let counter = match format {
            FORMAT_ROW => false,
            FORMAT_COUNTER => true,
            other => return Err(RowError::Format(other)),
        };
        Ok(Self { version: u64::from_le_bytes(version), state, value: value.to_vec(), counter })
    }
}

/// The bytes of a row that the commit `lsn` puts.
pub(super) fn encode_row(lsn: u64, state: u8, value: &[u8]) -> Vec<u8> {
    encode(FORMAT_ROW, lsn, state, value)
}

/// The bytes of a counter that the commit `lsn` brings to `total`.
pub(super) fn encode_counter(lsn: u64, total: i64) -> Vec<u8> {
    encode(FORMAT_COUNTER, lsn, 0, &total.to_le_bytes())
}

fn encode(format: u8, lsn: u64, state: u8, value: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(HEADER + value.len());
    raw.push(format);
    raw.extend_from_slice(&lsn.to_le_bytes());
    raw.push(state);
    raw.extend_from_slice(value);
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_a_counter_are_told_apart() {
        let row = Row::decode(&encode_row(9, 3, b"12345678")).unwrap();
        assert_eq!((row.version, row.state, row.value.as_slice(), row.total()), (9, 3, b"12345678".as_slice(), None));
        let counter = Row::decode(&encode_counter(10, -4)).unwrap();
        assert_eq!((counter.version, counter.total()), (10, Some(-4)));
    }

    #[test]
    fn what_is_no_row_says_why() {
        assert_eq!(Row::decode(b"short"), Err(RowError::Short(5)));
        let mut raw = encode_row(1, 0, b"");
        raw[0] = 9;
        assert_eq!(Row::decode(&raw), Err(RowError::Format(9)));
    }

    #[test]
    fn keyspaces_do_not_share_keys() {
        assert_ne!(Space::new(1).key(b"\x02a"), Space::new(2).key(b"a"));
        assert_eq!(Space::new(7).key(b"a"), b"\x07a");
    }
}
