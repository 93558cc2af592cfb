//! How many requests one provider may have under way: what was configured at most, less while it has trouble.
//!
//! One more for each success while at least half are in use; a tenth less after a failure, half after a throttling, each at
//! most once a second, since what was under way together fails together. Never below one. The time is handed in.

use std::time::Duration;

/// One reduction follows one trouble.
const REACTION: Duration = Duration::from_secs(1);

/// The limit of one provider.
#[derive(Debug, Clone)]
pub struct Concurrency {
    most: f64,
    limit: f64,
    cut_at: Option<Duration>,
}

impl Concurrency {
    /// At most `most` requests, at first as many.
    pub fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self { most, limit: most, cut_at: None }
    }

    /// Requests that may be under way.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// A request was accepted while so many were under way.
    pub fn on_accepted(&mut self, in_flight: u32) {
        if self.limit < self.most && in_flight.saturating_mul(2) >= self.limit() {
            self.limit = (self.limit + 1.0).min(self.most);
        }
    }

    /// A request failed by the provider's fault.
    pub fn on_failure(&mut self, now: Duration) {
        self.cut(0.9, now);
    }

    /// The provider asked us to slow down.
    pub fn on_throttle(&mut self, now: Duration) {
        self.cut(0.5, now);
    }

    fn cut(&mut self, to: f64, now: Duration) {
        if self.cut_at.is_none_or(|last| now >= last + REACTION) {
            self.cut_at = Some(now);
            self.limit = (self.limit * to).max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn trouble_cuts_once_a_second_and_success_in_use_brings_it_back() {
        let mut concurrency = Concurrency::new(100);
        for _ in 0..50 {
            concurrency.on_throttle(s(1));
        }
        assert_eq!(concurrency.limit(), 50);
        concurrency.on_failure(s(2));
        assert_eq!(concurrency.limit(), 45);
        concurrency.on_accepted(3);
        assert_eq!(concurrency.limit(), 45, "nobody needs more");
        for _ in 0..500 {
            concurrency.on_accepted(100);
        }
        assert_eq!(concurrency.limit(), 100, "never more than configured");
    }

    #[test]
    fn one_request_always_may() {
        let mut concurrency = Concurrency::new(2);
        for second in 0..100 {
            concurrency.on_throttle(s(second));
        }
        assert_eq!(concurrency.limit(), 1);
        concurrency.on_accepted(1);
        assert_eq!(concurrency.limit(), 2);
    }
}
