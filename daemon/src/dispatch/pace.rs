//! Pace: how fast one provider may be sent to.
//!
//! A token bucket of requests, since that is what providers count: a batch is one, however many messages it carries. It
//! promises never more than `burst + rate × time` requests in any stretch of time. What the provider says comes first: it can stop the flow until a time, and each throttling halves the rate, which then comes
//! back over two minutes, so that a limit that nobody told us is found and kept near.

use std::time::Duration;

/// One of these follows one throttling; a hundred answers to requests that were already under way count once.
const REACTION: Duration = Duration::from_secs(1);

/// How long the rate takes from nothing to all; from half, half as long.
const RECOVERY: Duration = Duration::from_mins(4);

/// The rate never falls below this share of the configured one.
const FLOOR: f64 = 1.0 / 64.0;

/// Without a configured rate, halving begins from here, in requests a second.
const UNTOLD_RATE: f64 = 1000.0;

/// So much short of a request is rounding, and would be waited for in vain.
const ROUNDING: f64 = 1e-9;

/// The pace of one provider.
#[derive(Debug, Clone)]
pub struct Pace {
    rate: f64,
    limited: bool,
    burst: f64,
    /// May be below zero: what was more than asked for is paid for afterwards.
    tokens: f64,
    /// Share of the rate in force, `FLOOR..=1`.
    share: f64,
    counted_to: Duration,
    paused_until: Duration,
    throttled_at: Option<Duration>,
}

impl Pace {
    /// At most `rate` requests a second (`None`: as many as come), and `burst` at once after a pause.
    pub fn new(rate: Option<f64>, burst: u32, now: Duration) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            rate: rate.unwrap_or(UNTOLD_RATE),
            limited: rate.is_some(),
            burst,
            tokens: burst,
            share: 1.0,
            counted_to: now,
            paused_until: Duration::ZERO,
            throttled_at: None,
        }
    }

    /// Takes leave to make `n` requests now, or says how long to wait before asking again.
    ///
    /// More than the burst at once needs a full bucket, and leaves it in debt.
    pub fn take(&mut self, n: u32, now: Duration) -> Result<(), Duration> {
        self.wait(n, now).map_or(Ok(()), Err)?;
        if self.bound() {
            self.tokens -= f64::from(n);
        }
        Ok(())
    }

    /// Whole requests that [`Self::take`] agrees to now without going into debt.
    pub fn room(&mut self, now: Duration) -> u32 {
        if self.paused(now).is_some() {
            return 0;
        }
        self.refill(now);
        if self.bound() { (self.tokens + ROUNDING).max(0.0) as u32 } else { u32::MAX }
    }

    /// Of `taken` requests, `made` were made after all: what is left comes back, what is more is owed.
    pub fn settle(&mut self, taken: u32, made: u32) {
        if self.bound() {
            self.tokens = (self.tokens + f64::from(taken) - f64::from(made)).min(self.burst);
        }
    }

    /// How long until [`Self::take`] would agree; `None` if it would now.
    pub fn wait(&mut self, n: u32, now: Duration) -> Option<Duration> {
        if let Some(until) = self.paused(now) {
            return Some(until.saturating_sub(now));
        }
        self.refill(now);
        let missing = f64::from(n).min(self.burst) - self.tokens;
        if !self.bound() || missing <= ROUNDING {
            return None;
        }
        // One nanosecond more, lest rounding wake the caller just too early.
        Some(Duration::from_secs_f64(missing / self.rate_now()) + Duration::from_nanos(1))
    }

    /// Nothing goes before `until`. An earlier end never shortens a later one.
    pub fn pause_until(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Until when the provider asked us to wait; `None` if it does not.
    pub fn paused(&self, now: Duration) -> Option<Duration> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    /// The provider throttled: half the rate from now on.
    pub fn on_throttle(&mut self, now: Duration) {
        if self.throttled_at.is_some_and(|last| now < last + REACTION) {
            return;
        }
        self.refill(now);
        self.throttled_at = Some(now);
        self.share = (self.share / 2.0).max(FLOOR);
        self.tokens = self.tokens.min(0.0);
    }

    /// Requests a second in force; infinite without a limit.
    pub fn rate_in_force(&self) -> f64 {
        if self.bound() { self.rate_now() } else { f64::INFINITY }
    }

    fn bound(&self) -> bool {
        self.limited || self.share < 1.0
    }

    fn rate_now(&self) -> f64 {
        self.rate * self.share
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.counted_to).as_secs_f64();
        self.counted_to = self.counted_to.max(now);
        self.tokens = (self.tokens + passed * self.rate_now()).min(self.burst);
        self.share = (self.share + passed / RECOVERY.as_secs_f64()).min(1.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut pace = Pace::new(Some(10.0), 5, at(0));
        for _ in 0..5 {
            assert_eq!(pace.take(1, at(0)), Ok(()));
        }
        let wait = pace.take(1, at(0)).unwrap_err();
        assert!(wait.as_millis().abs_diff(100) <= 1, "{wait:?}");
        assert_eq!(pace.take(1, wait), Ok(()));
    }

    #[test]
    fn more_than_the_burst_goes_and_is_paid_for() {
        let mut pace = Pace::new(Some(10.0), 5, at(0));
        assert_eq!(pace.take(25, at(0)), Ok(()));
        let wait = pace.take(1, at(0)).unwrap_err();
        assert!(wait.as_millis().abs_diff(2_100) <= 1, "{wait:?}");
    }

    #[test]
    fn what_was_not_needed_comes_back_and_what_was_more_is_owed() {
        let mut pace = Pace::new(Some(10.0), 5, at(0));
        assert_eq!(pace.take(5, at(0)), Ok(()));
        pace.settle(5, 3);
        assert_eq!((pace.take(2, at(0)), pace.take(1, at(0)).is_err()), (Ok(()), true));
        pace.settle(1, 11);
        let wait = pace.take(1, at(0)).unwrap_err();
        assert!(wait.as_millis().abs_diff(1_100) <= 1, "{wait:?}");
        pace.settle(500, 0);
        assert_eq!((pace.take(5, at(0)), pace.take(1, at(0)).is_err()), (Ok(()), true), "never more than the burst");
    }

    #[test]
    fn a_pause_stops_everything_and_is_never_shortened() {
        let mut pace = Pace::new(None, 1, at(0));
        pace.pause_until(at(5_000));
        pace.pause_until(at(2_000));
        assert_eq!(pace.take(1, at(1_000)), Err(at(4_000)));
        assert_eq!(pace.paused(at(1_000)), Some(at(5_000)));
        assert_eq!((pace.take(1, at(5_000)), pace.paused(at(5_000))), (Ok(()), None));
    }

    #[test]
    fn throttling_halves_once_a_second_and_the_rate_comes_back() {
        let mut pace = Pace::new(Some(100.0), 10, at(0));
        for _ in 0..50 {
            pace.on_throttle(at(100));
        }
        assert!((pace.rate_in_force() - 50.0).abs() < 0.1);
        pace.on_throttle(at(1_100));
        assert!((pace.rate_in_force() - 25.0).abs() < 1.0);
        for second in 2..60 {
            pace.on_throttle(at(second * 1_000 + 200));
        }
        assert!(pace.rate_in_force() >= 100.0 * FLOOR, "never to nothing");
        let _ = pace.take(1, at(400_000));
        assert!((pace.rate_in_force() - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_provider_without_a_configured_rate_is_slowed_too() {
        let mut pace = Pace::new(None, 1, at(0));
        for _ in 0..5_000 {
            assert_eq!(pace.take(1, at(0)), Ok(()));
        }
        pace.on_throttle(at(0));
        assert!(pace.take(1, at(0)).is_err());
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_holds_more_than_burst_and_rate_allow(
            rate in 0.5..200.0_f64,
            burst in 1..50_u32,
            steps in prop::collection::vec((1..5_u32, 0..400_u64), 1..200),
        ) {
            let mut pace = Pace::new(Some(rate), burst, at(0));
            let mut now = 0;
            let mut granted = Vec::new();
            for (n, step) in steps {
                now += step;
                if pace.take(n.min(burst), at(now)).is_ok() {
                    granted.push((now, f64::from(n.min(burst))));
                }
            }
            for (first, (start, _)) in granted.iter().enumerate() {
                let mut sum = 0.0;
                for (end, n) in &granted[first..] {
                    sum += n;
                    let allowed = f64::from(burst) + rate * (end - start) as f64 / 1000.0;
                    prop_assert!(sum <= allowed + 1e-6, "{sum} within {} ms, {allowed} allowed", end - start);
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_told_is_let_through(
            rate in 0.01..500.0_f64,
            burst in 1..50_u32,
            taken in prop::collection::vec(1..80_u32, 1..50),
        ) {
            let mut pace = Pace::new(Some(rate), burst, at(0));
            let mut now = at(0);
            for n in taken {
                if let Err(wait) = pace.take(n, now) {
                    now += wait;
                    prop_assert_eq!(pace.take(n, now), Ok(()));
                }
            }
        }
    }
}
