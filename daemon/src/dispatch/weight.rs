//! How much of its set a provider carries now: its configured weight, times how well it does.
//!
//! Success counts to the fourth power, slowness in proportion, both as averages over about 30 s by time. Once a second the
//! weight moves towards that by a quarter at most, so that two providers do not throw their load to and fro, and never below
//! a twentieth of what was configured, so that one that is better again is seen. The time is handed in.

use std::time::Duration;

/// Over how long the averages reach.
const REACH_SECS: f64 = 30.0;
/// Answers that take longer than this cost weight.
const TARGET_P95: Duration = Duration::from_secs(2);
/// The least share of the configured weight.
const FLOOR: f64 = 0.05;
/// The most that the weight changes in a second.
const CHANGE: f64 = 0.25;

/// The weight of one provider.
#[derive(Debug, Clone)]
pub struct Weight {
    configured: f64,
    success: f64,
    p95_secs: f64,
    /// Share of the configured weight, `FLOOR..=1`.
    factor: f64,
    accepted: u32,
    failed: u32,
    counted_to: Duration,
}

impl Weight {
    /// One that nothing is known against.
    pub fn new(configured: f64, now: Duration) -> Self {
        Self { configured, success: 1.0, p95_secs: 0.0, factor: 1.0, accepted: 0, failed: 0, counted_to: now }
    }

    /// Another configured weight; how well it does is known as before.
    pub fn configure(&mut self, configured: f64) {
        self.configured = configured;
    }

    /// Counts messages that were accepted, and that failed by the provider's fault.
    pub fn count(&mut self, accepted: u32, failed: u32) {
        self.accepted = self.accepted.saturating_add(accepted);
        self.failed = self.failed.saturating_add(failed);
    }

    /// The weight at `now`; `p95` is that of the last seconds, where there were answers.
    pub fn at(&mut self, p95: Option<Duration>, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.counted_to).as_secs_f64();
        if passed >= 1.0 {
            self.counted_to = now;
            let part = 1.0 - (-passed / REACH_SECS).exp();
            let all = self.accepted.saturating_add(self.failed);
            if all > 0 {
                self.success += part * (f64::from(self.accepted) / f64::from(all) - self.success);
            }
            if let Some(p95) = p95 {
                self.p95_secs += part * (p95.as_secs_f64() - self.p95_secs);
            }
            (self.accepted, self.failed) = (0, 0);
            let speed = (TARGET_P95.as_secs_f64() / self.p95_secs.max(1e-9)).min(1.0);
            let wanted = (self.success.powi(4) * speed).max(FLOOR);
            self.factor =
                wanted.clamp(self.factor * (1.0 - CHANGE).powf(passed), self.factor * (1.0 + CHANGE).powf(passed));
        }
        self.configured * self.factor
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_and_slowness_cost_weight_and_health_brings_it_back() {
        let mut weight = Weight::new(10.0, s(0));
        for second in 1..=120 {
            weight.count(50, 50);
            weight.at(None, s(second));
        }
        let half = weight.at(None, s(121));
        assert!((0.6..0.8).contains(&half), "half of it succeeds: a sixteenth, and a bit for the beginning; {half}");
        for second in 122..400 {
            weight.count(100, 0);
            weight.at(Some(Duration::from_millis(300)), s(second));
        }
        assert!(weight.at(None, s(400)) > 9.9);
        for second in 401..700 {
            weight.count(100, 0);
            weight.at(Some(s(8)), s(second));
        }
        assert!((2.4..2.7).contains(&weight.at(None, s(700))), "four times the target: a quarter");
    }

    proptest! {
        #[test]
        fn it_moves_by_a_quarter_a_second_at_most_and_keeps_a_twentieth(
            seconds in prop::collection::vec((0..50_u32, 0..50_u32, 0..20_000_u64), 1..200),
        ) {
            let mut weight = Weight::new(4.0, s(0));
            let mut last = 4.0;
            for (second, (accepted, failed, ms)) in (1..).zip(seconds) {
                weight.count(accepted, failed);
                let next = weight.at(Some(Duration::from_millis(ms)), s(second));
                prop_assert!(next >= last * 0.75 - 1e-9 && next <= last * 1.25 + 1e-9, "{last} to {next}");
                prop_assert!((0.2 - 1e-9..=4.0).contains(&next), "{next}");
                last = next;
            }
        }
    }
}
