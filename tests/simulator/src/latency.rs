//! How long a provider takes to answer: distributions, drawn with a seed.
//! Promises: pure; the n-th answer under a seed takes the same time in every run.

use crate::dice;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest delay that is ever drawn: a log-normal has no upper end of its own.
pub const LONGEST: Duration = Duration::from_mins(10);

/// A distribution of delays, in milliseconds, between a request's acceptance and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Answer at once.
    #[default]
    None,
    /// Always the same.
    Fixed {
        /// The delay.
        ms: f64,
    },
    /// Anything between two bounds, each as likely.
    Uniform {
        /// Shortest.
        min_ms: f64,
        /// Longest.
        max_ms: f64,
    },
    /// What real services look like: most answers near the median, and a long tail.
    LogNormal {
        /// Half of the answers are faster.
        median_ms: f64,
        /// Width of the tail: the p95 is median × e^(1.645 × sigma), so 0.5 gives 2.3 × the median.
        sigma: f64,
    },
}

impl Latency {
    /// The `n`-th delay under `seed`, never above [`LONGEST`]. Negative and non-finite parameters count as zero.
    pub fn sample(&self, seed: u64, n: u64) -> Duration {
        let ms = match *self {
            Self::None => return Duration::ZERO,
            Self::Fixed { ms } => ms,
            Self::Uniform { min_ms, max_ms } => min_ms + (max_ms - min_ms) * dice::unit(seed, n),
            Self::LogNormal { median_ms, sigma } => median_ms * (sigma * normal(seed, n)).exp(),
        };
        if ms > 0.0 { Duration::from_secs_f64((ms / 1_000.0).min(LONGEST.as_secs_f64())) } else { Duration::ZERO }
    }
}

/// A standard normal draw, by Box and Muller, from two draws that no other `n` uses.
fn normal(seed: u64, n: u64) -> f64 {
    let radius = (-2.0 * (1.0 - dice::unit(seed, 2 * n)).ln()).sqrt();
    radius * (std::f64::consts::TAU * dice::unit(seed, 2 * n + 1)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_and_none_do_not_vary() {
        assert_eq!(Latency::Fixed { ms: 12.5 }.sample(1, 9), Duration::from_micros(12_500));
        assert_eq!(Latency::None.sample(1, 9), Duration::ZERO);
    }

    #[test]
    fn uniform_stays_between_its_bounds_and_uses_both_ends() {
        let latency = Latency::Uniform { min_ms: 10.0, max_ms: 20.0 };
        let all: Vec<_> = (0..2_000).map(|n| latency.sample(3, n)).collect();
        assert!(all.iter().all(|d| (Duration::from_millis(10)..=Duration::from_millis(20)).contains(d)));
        assert!(all.iter().any(|d| *d < Duration::from_millis(11)));
        assert!(all.iter().any(|d| *d > Duration::from_millis(19)));
    }

    #[test]
    fn log_normal_has_its_median_and_its_tail() {
        let latency = Latency::LogNormal { median_ms: 100.0, sigma: 0.5 };
        let mut all: Vec<_> = (0..20_001).map(|n| latency.sample(5, n)).collect();
        assert_eq!(all[17], latency.sample(5, 17));
        all.sort();
        let (median, p95) = (all[10_000].as_secs_f64(), all[19_000].as_secs_f64());
        assert!((0.097..0.103).contains(&median), "{median}");
        assert!((0.215..0.240).contains(&p95), "{p95}");
    }

    #[test]
    fn nonsense_parameters_give_a_delay_within_bounds() {
        assert_eq!(Latency::Fixed { ms: -3.0 }.sample(0, 0), Duration::ZERO);
        assert_eq!(Latency::Fixed { ms: f64::NAN }.sample(0, 0), Duration::ZERO);
        assert_eq!(Latency::Fixed { ms: f64::INFINITY }.sample(0, 0), LONGEST);
    }
}
