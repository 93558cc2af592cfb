//! Trying again: when, and how often at all.
//!
//! The wait is drawn evenly between nothing and a ceiling that doubles (full jitter), because equal waits make retries
//! arrive together. A budget bounds what retries may add to a provider in trouble: a tenth of what is sent, and one a
//! second.

use std::time::Duration;

use super::Dice;

/// How the ceiling of the wait grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling after the first attempt.
    pub base: Duration,
    /// The highest it gets.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_mins(15) }
    }
}

impl Backoff {
    /// The ceiling of the wait after `attempts` attempts.
    pub fn ceiling(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// When to try again after `attempts` attempts, not before `retry_after` from now is over; `None` if that is not
    /// before the message expires.
    pub fn again_at(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        now: Duration,
        expires: Duration,
        dice: &mut Dice,
    ) -> Option<Duration> {
        let drawn = self.ceiling(attempts).mul_f64(dice.unit());
        // The draw comes on top of what was asked for, so that those who were told the same do not come together.
        let at = now.saturating_add(retry_after.unwrap_or_default()).saturating_add(drawn);
        (at < expires).then_some(at)
    }
}

/// How many retries a provider may still be given.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    share: f64,
    per_second: f64,
    balance: f64,
    counted_to: Duration,
}

impl RetryBudget {
    /// Retries that can be saved up, so that a quiet day does not buy a storm.
    const MOST: f64 = 60.0;

    /// `share` of first attempts and `per_second` besides.
    pub fn new(share: f64, per_second: f64, now: Duration) -> Self {
        Self { share, per_second, balance: per_second.clamp(1.0, Self::MOST), counted_to: now }
    }

    /// A tenth of what is sent, and one a second.
    pub fn usual(now: Duration) -> Self {
        Self::new(0.1, 1.0, now)
    }

    /// A message's first attempt was made.
    pub fn on_first_attempt(&mut self) {
        self.balance = (self.balance + self.share).min(Self::MOST);
    }

    /// Takes one retry out of the budget; `false` if there is none left.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.counted_to).as_secs_f64();
        self.counted_to = self.counted_to.max(now);
        self.balance = (self.balance + passed * self.per_second).min(Self::MOST);
        let enough = self.balance >= 1.0 - 1e-9;
        if enough {
            self.balance -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn the_ceiling_doubles_from_a_second_to_a_quarter_of_an_hour() {
        let seconds: Vec<_> = [1, 2, 3, 10, 11, 400].map(|n| Backoff::default().ceiling(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 512, 900, 900]);
    }

    proptest! {
        #[test]
        fn a_retry_is_after_what_was_asked_and_before_the_end(
            seed: u64, attempts in 0..50_u32, asked in prop::option::of(0..7200_u64), left in 0..7200_u64,
        ) {
            let asked = asked.map(Duration::from_secs);
            let expires = HOUR + Duration::from_secs(left);
            let at = Backoff::default().again_at(attempts, asked, HOUR, expires, &mut Dice::seeded(seed));
            let earliest = HOUR + asked.unwrap_or_default();
            match at {
                Some(at) => {
                    prop_assert!(at >= earliest && at < expires);
                    prop_assert!(at <= earliest + Backoff::default().ceiling(attempts));
                }
                None => prop_assert!(earliest + Backoff::default().ceiling(attempts) >= expires),
            }
        }

        #[test]
        fn retries_stay_within_a_tenth_and_one_a_second(
            events in prop::collection::vec((any::<bool>(), 0..2000_u64), 1..400),
        ) {
            let mut budget = RetryBudget::usual(Duration::ZERO);
            let (mut now, mut firsts, mut retries) = (0, 0.0, 0.0);
            for (first, step) in events {
                now += step;
                if first {
                    budget.on_first_attempt();
                    firsts += 1.0;
                } else if budget.take(Duration::from_millis(now)) {
                    retries += 1.0;
                }
                prop_assert!(retries <= 1.0 + firsts * 0.1 + now as f64 / 1000.0 + 1e-6);
            }
        }
    }

    #[test]
    fn an_empty_budget_fills_again_with_time_and_with_sends() {
        let mut budget = RetryBudget::usual(Duration::ZERO);
        while budget.take(Duration::ZERO) {}
        assert!(budget.take(Duration::from_secs(1)) && !budget.take(Duration::from_secs(1)));
        for _ in 0..10 {
            budget.on_first_attempt();
        }
        assert!(budget.take(Duration::from_secs(1)));
    }

    #[test]
    fn draws_differ_so_that_retries_do_not_come_together() {
        let mut dice = Dice::seeded(3);
        let mut at: Vec<_> =
            (0..100).map(|_| Backoff::default().again_at(6, None, HOUR, HOUR * 9, &mut dice).unwrap()).collect();
        at.sort();
        assert!(at[10] < HOUR + Duration::from_secs(8) && at[89] > HOUR + Duration::from_secs(24));
    }
}
