//! How many requests each provider saw, and how it answered.
//! Promises: plain counters, never a lock; each is right by itself, not against the others while requests run.

use crate::provider::Provider;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one provider.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    succeeded: AtomicU64,
    refused: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
    replayed: AtomicU64,
    faults: AtomicU64,
}

/// Counts of one provider, as they are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries in the record.
    pub accepted: u64,
    /// HTTP requests, or SMTP transactions.
    pub requests: u64,
    /// Answered with success.
    pub succeeded: u64,
    /// Answered with 4xx (HTTP) or 5yz (SMTP): the client's fault.
    pub refused: u64,
    /// Answered with 429 (HTTP) or 4yz (SMTP): come later.
    pub throttled: u64,
    /// Answered with 5xx (HTTP).
    pub failed: u64,
    /// Answered from an idempotency key, nothing sent again.
    pub replayed: u64,
    /// Struck by a fault.
    pub faults: u64,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Tally([Counters; Provider::ALL.len()]);

impl Tally {
    pub(crate) fn of(&self, provider: Provider) -> &Counters {
        &self.0[provider.index()]
    }
}

impl Counters {
    /// Counts a request and says which it is, from 0.
    pub(crate) fn request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed)
    }

    pub(crate) fn answer(&self, status: u16) {
        let counter = match status {
            429 => &self.throttled,
            400..=499 => &self.refused,
            500.. => &self.failed,
            _ => &self.succeeded,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn reply(&self, code: u16) {
        let counter = match code {
            400..=499 => &self.throttled,
            500.. => &self.refused,
            _ => &self.succeeded,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn replay(&self) {
        self.replayed.fetch_add(1, Relaxed);
    }

    pub(crate) fn fault(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    pub(crate) fn counts(&self, accepted: u64) -> Counts {
        Counts {
            accepted,
            requests: self.requests.load(Relaxed),
            succeeded: self.succeeded.load(Relaxed),
            refused: self.refused.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            failed: self.failed.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            faults: self.faults.load(Relaxed),
        }
    }

    pub(crate) fn reset(&self) {
        let all = [
            &self.requests,
            &self.succeeded,
            &self.refused,
            &self.throttled,
            &self.failed,
            &self.replayed,
            &self.faults,
        ];
        for counter in all {
            counter.store(0, Relaxed);
        }
    }
}
