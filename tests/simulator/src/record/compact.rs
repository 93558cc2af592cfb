//! How the record fits in memory: fixed parts in one vector, texts in chunks beside it.
//! Promises: nothing moves more than once a few thousand entries; no allocation per entry; texts come back as they went in,
//! cut at 65,535 bytes each.

use super::Arrival;
use crate::provider::Provider;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Texts are appended to chunks of this size; a text never spans two.
const CHUNK: usize = 1 << 20;
/// The vector of fixed parts grows by this many, rather than doubling: half of 80 MB would be empty.
const GROWTH: usize = 1 << 16;
/// "No earlier entry".
const NONE: u32 = u32::MAX;

/// 40 bytes.
#[derive(Debug)]
struct Fixed {
    at_us: u64,
    body_hash: u64,
    chunk: u32,
    offset: u32,
    /// Lengths of message, recipient, idempotency key and Message-ID, which stand in that order.
    lengths: [u16; 4],
    /// The entry before this one with the same recipient (Twilio only: the only one asked for it).
    previous: u32,
    provider: Provider,
    joined: bool,
}

#[derive(Debug, Default)]
pub(super) struct Compact {
    fixed: Vec<Fixed>,
    texts: Vec<Vec<u8>>,
    /// Latest entry for the hash of a number. Hashes may collide; readers compare the text.
    latest: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Compact {
    pub(super) fn len(&self) -> usize {
        self.fixed.len()
    }

    pub(super) fn push(&mut self, arrival: &Arrival<'_>, at_us: u64) {
        let texts = [arrival.message, arrival.recipient, arrival.idempotency_key, arrival.message_id].map(cut);
        let (chunk, offset) = self.room(texts.iter().map(|text| text.len()).sum());
        for text in texts {
            self.texts[chunk].extend_from_slice(text.as_bytes());
        }
        if self.fixed.len() == self.fixed.capacity() {
            self.fixed.reserve_exact(GROWTH);
        }
        let previous = if arrival.provider == Provider::Twilio {
            let index = self.fixed.len() as u32;
            self.latest.insert(self.hasher.hash_one(texts[1]), index).unwrap_or(NONE)
        } else {
            NONE
        };
        self.fixed.push(Fixed {
            at_us,
            body_hash: arrival.body_hash,
            chunk: chunk as u32,
            offset: offset as u32,
            lengths: texts.map(|text| text.len() as u16),
            previous,
            provider: arrival.provider,
            joined: arrival.joined,
        });
    }

    /// The chunk with room for `bytes` more, and where they will start.
    fn room(&mut self, bytes: usize) -> (usize, usize) {
        if self.texts.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < bytes) {
            self.texts.push(Vec::with_capacity(CHUNK.max(bytes)));
        }
        let chunk = self.texts.len() - 1;
        (chunk, self.texts[chunk].len())
    }

    fn text(&self, index: usize, which: usize) -> &str {
        let fixed = &self.fixed[index];
        let skip: usize = fixed.lengths[..which].iter().map(|&length| usize::from(length)).sum();
        let start = fixed.offset as usize + skip;
        let bytes = &self.texts[fixed.chunk as usize][start..start + usize::from(fixed.lengths[which])];
        std::str::from_utf8(bytes).expect("whole texts go in, so whole texts come out")
    }

    pub(super) fn message(&self, index: usize) -> &str {
        self.text(index, 0)
    }

    pub(super) fn recipient(&self, index: usize) -> &str {
        self.text(index, 1)
    }

    pub(super) fn idempotency_key(&self, index: usize) -> &str {
        self.text(index, 2)
    }

    pub(super) fn message_id(&self, index: usize) -> &str {
        self.text(index, 3)
    }

    pub(super) fn provider(&self, index: usize) -> Provider {
        self.fixed[index].provider
    }

    pub(super) fn joined(&self, index: usize) -> bool {
        self.fixed[index].joined
    }

    pub(super) fn body_hash(&self, index: usize) -> u64 {
        self.fixed[index].body_hash
    }

    pub(super) fn at_us(&self, index: usize) -> u64 {
        self.fixed[index].at_us
    }

    /// Twilio's entries for a recipient, newest first.
    pub(super) fn chain(&self, recipient: &str) -> impl Iterator<Item = usize> {
        let newest = self.latest.get(&self.hasher.hash_one(recipient)).copied();
        let links = std::iter::successors(newest, |&index| {
            let previous = self.fixed[index as usize].previous;
            (previous != NONE).then_some(previous)
        });
        links.map(|index| index as usize).filter(move |&index| self.recipient(index) == recipient)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(Vec::capacity).sum();
        // A slot of the hash table: the pair, one control byte, and one free slot in eight.
        let index = self.latest.capacity() * (size_of::<(u64, u32)>() + 1) * 8 / 7;
        self.fixed.capacity() * size_of::<Fixed>() + texts + index
    }
}

/// The longest start of `text` that fits a 16-bit length.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(usize::from(u16::MAX))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character_and_chunks_are_crossed_safely() {
        let mut compact = Compact::default();
        let long = "ü".repeat(40_000);
        for i in 0..40 {
            let recipient = format!("+44{i}");
            let arrival = Arrival {
                provider: Provider::Twilio,
                message: &long,
                recipient: &recipient,
                idempotency_key: "",
                message_id: "<x@y>",
                body_hash: i,
                joined: false,
            };
            compact.push(&arrival, i);
        }
        assert!(compact.texts.len() > 2);
        for i in 0..40 {
            assert_eq!(compact.message(i).len(), 65_534);
            assert_eq!(compact.recipient(i), format!("+44{i}"));
            assert_eq!(compact.message_id(i), "<x@y>");
            assert_eq!(compact.body_hash(i), i as u64);
        }
        assert_eq!(size_of::<Fixed>(), 40);
    }
}
