//! The set-hash: sixteen bytes per keyspace that say which rows it holds, whatever the order they came in.
//!
//! Each row is hashed under a secret key and the hashes are added, wrapping, in 128 bits; a row that goes is taken off
//! again. So the sum is kept for the price of the rows that a commit touches, and a walk over everything must give the
//! same sum: that is how the index, a checkpoint and a restore are proved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::value::Space;

/// The key under which rows are hashed.
#[derive(Clone)]
pub(super) struct SetHash {
    key: [u8; 32],
    scratch: Vec<u8>,
}

/// The sums of all keyspaces at one LSN.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct SetSums(BTreeMap<u8, u128>);

impl SetHash {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, scratch: Vec::new() }
    }

    /// Tells one key from another without telling the key: kept in every segment, so that a changed key is noticed
    /// as that and not taken for damage everywhere.
    pub(super) fn fingerprint(&self) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.key, b"usher set-hash key, version 1");
        let mut print = [0; 8];
        print.copy_from_slice(&hash.as_bytes()[..8]);
        print
    }

    /// What one row adds to the sum of its keyspace. `key` is the full key, with the keyspace's byte.
    pub(super) fn element(&mut self, key: &[u8], raw: &[u8]) -> u128 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.scratch.extend_from_slice(key);
        self.scratch.extend_from_slice(raw);
        let hash = blake3::keyed_hash(&self.key, &self.scratch);
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(half)
    }
}

impl SetSums {
    /// Counts a row of the keyspace that begins `key` in.
    pub(super) fn add(&mut self, key: &[u8], element: u128) {
        let sum = self.0.entry(prefix(key)).or_default();
        *sum = sum.wrapping_add(element);
    }

    /// Takes such a row off again.
    pub(super) fn remove(&mut self, key: &[u8], element: u128) {
        let sum = self.0.entry(prefix(key)).or_default();
        *sum = sum.wrapping_sub(element);
    }

    /// The sum of one keyspace, as a frame carries it.
    pub(super) fn of(&self, prefix: u8) -> u128 {
        self.0.get(&prefix).copied().unwrap_or_default()
    }

    /// Takes over what a frame says of one keyspace.
    pub(super) fn set(&mut self, prefix: u8, sum: u128) {
        self.0.insert(prefix, sum);
    }

    /// The keyspaces in which two states differ; a keyspace without rows is the same as none.
    pub(super) fn differing(&self, other: &Self) -> Vec<Space> {
        let mut prefixes: Vec<u8> =
            self.0.keys().chain(other.0.keys()).copied().filter(|prefix| *prefix != 0).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.into_iter().filter(|prefix| self.of(*prefix) != other.of(*prefix)).map(Space::new).collect()
    }
}

fn prefix(key: &[u8]) -> u8 {
    key.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: &[(&[u8], &[u8])]) -> SetSums {
        let mut hash = SetHash::new([7; 32]);
        let mut sums = SetSums::default();
        for (key, raw) in rows {
            sums.add(key, hash.element(key, raw));
        }
        sums
    }

    #[test]
    fn order_does_not_matter_and_content_does() {
        let one = sums(&[(b"\x01a", b"1"), (b"\x01b", b"2")]);
        assert!(one.differing(&sums(&[(b"\x01b", b"2"), (b"\x01a", b"1")])).is_empty());
        assert_eq!(one.differing(&sums(&[(b"\x01b", b"1"), (b"\x01a", b"2")])), [Space::new(1)]);
        assert_eq!(one.differing(&sums(&[(b"\x01a", b"1")])), [Space::new(1)]);
        assert_ne!(sums(&[(b"\x01a", b"b")]).of(1), sums(&[(b"\x01ab", b"")]).of(1));
    }

    #[test]
    fn a_row_taken_off_leaves_nothing_behind() {
        let mut hash = SetHash::new([7; 32]);
        let mut left = sums(&[(b"\x01a", b"1"), (b"\x02b", b"2")]);
        let element = hash.element(b"\x02b", b"2");
        left.remove(b"\x02b", element);
        assert!(left.differing(&sums(&[(b"\x01a", b"1")])).is_empty());
    }

    #[test]
    fn another_key_gives_another_sum() {
        let one = SetHash::new([7; 32]).element(b"\x01a", b"1");
        assert_ne!(one, SetHash::new([8; 32]).element(b"\x01a", b"1"));
        assert_ne!(SetHash::new([7; 32]).fingerprint(), SetHash::new([8; 32]).fingerprint());
    }
}
