//! Resend's idempotency keys: same key and payload, same answer; other payload or still in flight, 409; 24 hours.
//! Promises: pure but for the lock, the time is handed in; a request that ends without an answer frees or fulfils its key,
//! never leaves it "in flight".

use super::KEY_LIFE;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What was answered, in as few bytes as it can be written again from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Single(u64),
    Batch { sequences: Vec<u64>, errors: Option<Vec<(usize, String)>> },
}

#[derive(Debug)]
struct Entry {
    payload: u64,
    begun: Instant,
    kept: Option<Kept>,
    in_flight: bool,
}

/// All keys seen.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    entries: Mutex<HashMap<Box<str>, Entry>>,
}

/// What a request with a key is to do.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Process it.
    Fresh(InFlight),
    /// Answer as before, send nothing.
    Replay(Kept),
    /// 409: the key belongs to another payload.
    OtherPayload,
    /// 409: the first request is not answered yet.
    Busy,
}

/// The time between a request and its answer; ends when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    ring: Arc<KeyRing>,
    key: Box<str>,
    begun: Instant,
}

impl KeyRing {
    pub(crate) fn begin(ring: &Arc<Self>, key: &str, payload: u64, now: Instant) -> Begin {
        let mut entries = ring.lock();
        match entries.get(key) {
            Some(entry) if now.saturating_duration_since(entry.begun) < KEY_LIFE => {
                if entry.payload != payload {
                    return Begin::OtherPayload;
                }
                match &entry.kept {
                    Some(kept) if !entry.in_flight => Begin::Replay(kept.clone()),
                    _ => Begin::Busy,
                }
            }
            _ => {
                entries.insert(key.into(), Entry { payload, begun: now, kept: None, in_flight: true });
                Begin::Fresh(InFlight { ring: Arc::clone(ring), key: key.into(), begun: now })
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Notes what was accepted; from now on the key cannot be processed again.
    pub(crate) fn fulfil(self, kept: Kept) -> Self {
        if let Some(entry) = self.ring.lock().get_mut(&self.key).filter(|entry| entry.begun == self.begun) {
            entry.kept = Some(kept);
        }
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut entries = self.ring.lock();
        // Expired and begun anew, or cleared meanwhile: then the entry is another's.
        let Some(entry) = entries.get_mut(&self.key).filter(|entry| entry.begun == self.begun) else { return };
        if entry.kept.is_some() {
            entry.in_flight = false;
        } else {
            entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fresh(begin: Begin) -> InFlight {
        match begin {
            Begin::Fresh(in_flight) => in_flight,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_busy_then_replays_then_expires() {
        let (ring, now) = (Arc::new(KeyRing::default()), Instant::now());
        let in_flight = fresh(KeyRing::begin(&ring, "k", 1, now));
        assert!(matches!(KeyRing::begin(&ring, "k", 1, now), Begin::Busy));
        let in_flight = in_flight.fulfil(Kept::Single(9));
        assert!(matches!(KeyRing::begin(&ring, "k", 1, now), Begin::Busy));
        drop(in_flight);
        let last = now + Duration::from_secs(24 * 3_600 - 1);
        assert!(matches!(KeyRing::begin(&ring, "k", 1, last), Begin::Replay(Kept::Single(9))));
        assert!(matches!(KeyRing::begin(&ring, "k", 2, last), Begin::OtherPayload));
        drop(fresh(KeyRing::begin(&ring, "k", 2, now + KEY_LIFE)));
    }

    #[test]
    fn a_request_that_was_refused_frees_its_key() {
        let (ring, now) = (Arc::new(KeyRing::default()), Instant::now());
        drop(fresh(KeyRing::begin(&ring, "k", 1, now)));
        drop(fresh(KeyRing::begin(&ring, "k", 2, now)));
    }

    #[test]
    fn a_late_end_does_not_touch_the_next_holder() {
        let (ring, now) = (Arc::new(KeyRing::default()), Instant::now());
        let old = fresh(KeyRing::begin(&ring, "k", 1, now));
        let new = fresh(KeyRing::begin(&ring, "k", 1, now + KEY_LIFE)).fulfil(Kept::Single(2));
        drop(old);
        assert!(matches!(KeyRing::begin(&ring, "k", 1, now + KEY_LIFE), Begin::Busy));
        drop(new);
        assert!(matches!(KeyRing::begin(&ring, "k", 1, now + KEY_LIFE), Begin::Replay(Kept::Single(2))));
    }
}
