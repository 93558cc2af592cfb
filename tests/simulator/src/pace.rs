//! A provider's own request limit: so many in each second, then "too many".
//! Promises: pure, the time is handed in; a second's allowance is never exceeded.

use std::collections::HashMap;
use std::time::Duration;

/// Counts requests in windows of one second.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: u32,
    window: u64,
    used: u32,
}

/// What is left after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Requests a second.
    pub(crate) limit: u32,
    /// Left in this second.
    pub(crate) remaining: u32,
    /// Whether this request was within the limit.
    pub(crate) granted: bool,
}

impl Pace {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, window: 0, used: 0 }
    }

    /// Counts one request at `now`, measured since any fixed moment.
    pub(crate) fn take(&mut self, now: Duration) -> Allowance {
        if now.as_secs() != self.window {
            self.window = now.as_secs();
            self.used = 0;
        }
        let granted = self.used < self.limit;
        self.used += u32::from(granted);
        Allowance { limit: self.limit, remaining: self.limit - self.used, granted }
    }
}

/// The same limit for each of many: channels, numbers. Remembers only whom it met in this second.
#[derive(Debug)]
pub(crate) struct PaceEach {
    limit: u32,
    window: u64,
    used: HashMap<String, u32>,
}

impl PaceEach {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, window: 0, used: HashMap::new() }
    }

    /// Counts one request of `whom` at `now`, measured since any fixed moment, and says whether it was within the limit.
    pub(crate) fn take(&mut self, whom: &str, now: Duration) -> bool {
        if now.as_secs() != self.window {
            self.window = now.as_secs();
            self.used.clear();
        }
        let used = self.used.entry(whom.to_owned()).or_default();
        let granted = *used < self.limit;
        *used += u32::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_the_limit_then_refuses_until_the_next_second() {
        let mut pace = Pace::new(2);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(pace.take(at(100)), Allowance { limit: 2, remaining: 1, granted: true });
        assert_eq!(pace.take(at(200)), Allowance { limit: 2, remaining: 0, granted: true });
        assert!(!pace.take(at(999)).granted);
        assert!(pace.take(at(1_000)).granted);
    }

    #[test]
    fn each_has_an_allowance_of_its_own() {
        let mut pace = PaceEach::new(1);
        let at = |ms| Duration::from_millis(ms);
        assert!(pace.take("a", at(100)) && pace.take("b", at(100)));
        assert!(!pace.take("a", at(900)) && !pace.take("b", at(999)));
        assert!(pace.take("a", at(1_000)));
        assert_eq!(pace.used.len(), 1, "whoever was quiet is forgotten");
    }
}
