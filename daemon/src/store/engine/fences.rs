//! Fences: who holds the newest claim on what, so that a holder that was given up for dead cannot write any more.
//!
//! In memory only: whoever holds a claim in this engine lives in the same process and dies with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The current fence of every claimed resource.
#[derive(Debug, Default)]
pub struct FenceTable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    current: HashMap<u64, u64>,
}

impl FenceTable {
    /// Claims `resource` anew. Tokens given out for it before are worth nothing from here on; tokens never repeat.
    pub fn raise(&self, resource: u64) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        let token = inner.last;
        inner.current.insert(resource, token);
        token
    }

    /// The token that holds `resource` now.
    pub fn current(&self, resource: u64) -> Option<u64> {
        self.lock().current.get(&resource).copied()
    }

    /// Gives `resource` back, if `token` still holds it; whether it did.
    pub fn release(&self, resource: u64, token: u64) -> bool {
        let mut inner = self.lock();
        let held = inner.current.get(&resource) == Some(&token);
        if held {
            inner.current.remove(&resource);
        }
        held
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_claim_ends_an_older_one_and_only_its_holder_gives_it_back() {
        let fences = FenceTable::default();
        let old = fences.raise(7);
        let new = fences.raise(7);
        assert!(new > old);
        assert!(!fences.release(7, old));
        assert_eq!(fences.current(7), Some(new));
        assert!(fences.release(7, new));
        assert_eq!(fences.current(7), None);
        assert!(fences.raise(7) > new);
    }
}
