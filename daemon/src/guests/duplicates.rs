//! Which guest stood on which line of a file: the only thing that grows while a list is read.
//!
//! Twelve bytes a guest (a keyed 64-bit hash of the address, and the line) in open-addressed tables filled to between
//! 53 and 80 %: at most 22.5 bytes a guest, at any size. The table is cut into 256 parts that grow one at a time, so that
//! growing never holds more than a fraction of it twice. That two of a million addresses share a hash, and one guest
//! is taken for another, has a chance of 1 in 37 million.

use std::hash::{BuildHasher, RandomState};

const PARTS: usize = 256;
const SMALLEST: usize = 8;

/// Keys seen so far, each with the line on which it was first seen.
pub(super) struct Duplicates {
    hasher: RandomState,
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    used: usize,
}

/// The hash in two halves, so that a slot takes 12 bytes and not 16. Line 0 is an empty slot.
#[derive(Clone, Copy, Default)]
struct Slot {
    high: u32,
    low: u32,
    line: u32,
}

impl Duplicates {
    /// A table without keys. The hash is keyed at random, so that no file can be made to collide.
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), parts: (0..PARTS).map(|_| Part::default()).collect() }
    }

    /// Notes `key` for `line` (from 1), unless it was noted before: then its earlier line.
    pub(super) fn note(&mut self, key: &str, line: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        let line = u32::try_from(line).unwrap_or(u32::MAX).max(1);
        let slot = Slot { high: (hash >> 32) as u32, low: hash as u32, line };
        self.parts[(hash >> 56) as usize].note(slot)
    }
}

impl Part {
    fn note(&mut self, new: Slot) -> Option<u64> {
        if self.used * 5 >= self.slots.len() * 4 {
            self.grow();
        }
        match self.find(new) {
            Ok(known) => Some(u64::from(known)),
            Err(place) => {
                self.slots[place] = new;
                self.used += 1;
                None
            }
        }
    }

    /// The line of a key that is there, or the place for one that is not. There is always an empty slot to end at.
    fn find(&self, key: Slot) -> Result<u32, usize> {
        let mut place = key.low as usize % self.slots.len();
        loop {
            let slot = self.slots[place];
            if slot.line == 0 {
                return Err(place);
            }
            if (slot.high, slot.low) == (key.high, key.low) {
                return Ok(slot.line);
            }
            place = (place + 1) % self.slots.len();
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 3 / 2).max(SMALLEST);
        let mut larger = Vec::new();
        larger.reserve_exact(size);
        larger.resize(size, Slot::default());
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.line != 0
                && let Err(place) = self.find(slot)
            {
                self.slots[place] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_from_its_first_line_on() {
        let mut seen = Duplicates::new();
        for n in 1..=50_000_u64 {
            assert_eq!(seen.note(&format!("guest{n}@example.com"), n + 1), None);
        }
        for n in (1..=50_000_u64).step_by(7) {
            assert_eq!(seen.note(&format!("guest{n}@example.com"), 99), Some(n + 1));
        }
    }

    #[test]
    fn a_guest_takes_no_more_than_twenty_four_bytes() {
        let mut seen = Duplicates::new();
        for n in 1..=200_000_u64 {
            seen.note(&n.to_string(), n);
            if n >= 20_000 && n % 1000 == 0 {
                let bytes: usize = seen.parts.iter().map(|p| p.slots.capacity() * size_of::<Slot>()).sum();
                assert!(bytes as u64 <= 24 * n, "{bytes} bytes for {n} guests");
            }
        }
    }
}
