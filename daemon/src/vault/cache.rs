//! Keys that were used lately: a bounded table with a clock hand, which gives a second chance to what was used since
//! the hand last came by.

use std::collections::HashMap;

use super::root::SecretKey;

pub(super) struct Cache {
    places: HashMap<u64, usize>,
    entries: Vec<Entry>,
    hand: usize,
    capacity: usize,
}

struct Entry {
    subject: u64,
    key: SecretKey,
    used: bool,
}

impl Cache {
    /// A table for at most `capacity` keys, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), hand: 0, capacity: capacity.max(1) }
    }

    pub(super) fn get(&mut self, subject: u64) -> Option<SecretKey> {
        let entry = &mut self.entries[*self.places.get(&subject)?];
        entry.used = true;
        Some(entry.key.clone())
    }

    pub(super) fn put(&mut self, subject: u64, key: SecretKey) {
        if let Some(place) = self.places.get(&subject) {
            self.entries[*place].key = key;
            return;
        }
        let entry = Entry { subject, key, used: false };
        if self.entries.len() < self.capacity {
            self.places.insert(subject, self.entries.len());
            self.entries.push(entry);
            return;
        }
        while std::mem::take(&mut self.entries[self.hand].used) {
            self.hand = (self.hand + 1) % self.capacity;
        }
        let old = std::mem::replace(&mut self.entries[self.hand], entry);
        self.places.remove(&old.subject);
        self.places.insert(subject, self.hand);
        self.hand = (self.hand + 1) % self.capacity;
    }

    /// Forgets a key, and wipes it.
    pub(super) fn remove(&mut self, subject: u64) {
        let Some(place) = self.places.remove(&subject) else { return };
        self.entries.swap_remove(place);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.subject, place);
        }
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> SecretKey {
        SecretKey::new([n as u8; 32])
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let mut cache = Cache::new(4);
        for n in 0..4 {
            cache.put(n, key(n));
        }
        for n in 4..40 {
            assert!(cache.get(0).is_some(), "0 was used before each eviction");
            cache.put(n, key(n));
            assert_eq!((cache.entries.len(), cache.places.len()), (4, 4));
        }
        assert_eq!(cache.get(39).unwrap().expose(), key(39).expose());
        assert!(cache.get(4).is_none());
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_is_still_found() {
        let mut cache = Cache::new(4);
        for n in 0..4 {
            cache.put(n, key(n));
        }
        cache.remove(1);
        cache.remove(1);
        assert!(cache.get(1).is_none());
        for n in [0, 2, 3] {
            assert_eq!(cache.get(n).unwrap().expose(), key(n).expose());
        }
        for n in 10..20 {
            cache.put(n, key(n));
        }
        assert_eq!(cache.get(19).unwrap().expose(), key(19).expose());
    }
}
