//! Figures over the last seconds and minutes, in constant memory and without a clock: rings of one-second slots.

use std::time::Duration;

/// Seconds that are kept: five minutes.
const SECONDS: usize = 300;
/// Latency buckets, four to a doubling, from 1 ms to 70 minutes.
const BUCKETS: usize = 88;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The second that this slot is of, plus one; 0 for never used.
    second: u64,
    accepted: u32,
    failed: u32,
}

/// Counts of accepted and failed attempts and their latencies.
#[derive(Debug, Clone)]
pub struct Window {
    slots: Vec<Slot>,
    /// Latencies of this minute and of the last, so that the figures never rest on less than a minute.
    latencies: [(u64, [u32; BUCKETS]); 2],
}

/// What a window says at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Accepted a second over the last ten whole seconds.
    pub rate: f64,
    /// Share accepted of the last minute's attempts, 0 to 1; `None` without attempts.
    pub success: Option<f64>,
    /// Failed attempts in percent of the last five minutes'.
    pub error_rate_percent: f64,
    /// Median latency in milliseconds over one to two minutes.
    pub p50_ms: Option<u32>,
    /// 95th percentile.
    pub p95_ms: Option<u32>,
    /// 99th percentile.
    pub p99_ms: Option<u32>,
    /// Accepted in each of the last 60 whole seconds, oldest first.
    pub history: Vec<u32>,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); SECONDS], latencies: [(0, [0; BUCKETS]); 2] }
    }
}

impl Window {
    /// Counts attempts that came to an end at `now` (monotonic): `accepted` of them well, `failed` by the provider's
    /// fault, each after `latency`.
    pub fn record(&mut self, now: Duration, accepted: u32, failed: u32, latency: Duration) {
        let slot = self.slot(now);
        slot.accepted = slot.accepted.saturating_add(accepted);
        slot.failed = slot.failed.saturating_add(failed);
        let minute = now.as_secs() / 60 + 1;
        let place = (minute % 2) as usize;
        if self.latencies[place].0 != minute {
            self.latencies[place] = (minute, [0; BUCKETS]);
        }
        let bucket = &mut self.latencies[place].1[bucket_of(latency)];
        *bucket = bucket.saturating_add(accepted + failed);
    }

    fn slot(&mut self, now: Duration) -> &mut Slot {
        let second = now.as_secs() + 1;
        let slot = &mut self.slots[(second % SECONDS as u64) as usize];
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot
    }

    /// Accepted and failed in the second that began `ago` whole seconds before `now`.
    fn at(&self, now: Duration, ago: u64) -> (u32, u32) {
        let Some(second) = (now.as_secs() + 1).checked_sub(ago) else { return (0, 0) };
        let slot = &self.slots[(second % SECONDS as u64) as usize];
        if slot.second == second { (slot.accepted, slot.failed) } else { (0, 0) }
    }

    /// What it says at `now`.
    pub fn figures(&self, now: Duration) -> Figures {
        let sum = |from: u64, to: u64| {
            (from..to)
                .map(|ago| self.at(now, ago))
                .fold((0u64, 0u64), |(a, f), (accepted, failed)| (a + u64::from(accepted), f + u64::from(failed)))
        };
        let (accepted, failed) = sum(0, 60);
        let (accepted5, failed5) = sum(0, SECONDS as u64);
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        let merged = self.recent_latencies(now);
        Figures {
            rate: sum(1, 11).0 as f64 / 10.0,
            success: share(accepted, accepted + failed),
            error_rate_percent: share(failed5, accepted5 + failed5).unwrap_or(0.0) * 100.0,
            p50_ms: percentile(&merged, 50),
            p95_ms: percentile(&merged, 95),
            p99_ms: percentile(&merged, 99),
            history: (1..=60).rev().map(|ago| self.at(now, ago).0).collect(),
        }
    }

    fn recent_latencies(&self, now: Duration) -> [u64; BUCKETS] {
        let minute = now.as_secs() / 60 + 1;
        let mut merged = [0u64; BUCKETS];
        for (of, counts) in &self.latencies {
            if *of + 1 >= minute && *of != 0 {
                for (sum, n) in merged.iter_mut().zip(counts) {
                    *sum += u64::from(*n);
                }
            }
        }
        merged
    }
}

fn bucket_of(latency: Duration) -> usize {
    let ms = latency.as_secs_f64() * 1000.0;
    if ms <= 1.0 { 0 } else { ((ms.log2() * 4.0).ceil() as usize).min(BUCKETS - 1) }
}

/// The upper edge of the bucket in which the percentile falls, in milliseconds.
fn percentile(counts: &[u64; BUCKETS], percent: u64) -> Option<u32> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = (total * percent).div_ceil(100).max(1);
    let mut seen = 0;
    for (n, count) in counts.iter().enumerate() {
        seen += count;
        if seen >= wanted {
            return Some(2f64.powf(n as f64 / 4.0).round() as u32);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rates_come_from_whole_seconds_and_old_ones_are_forgotten() {
        let mut window = Window::default();
        for second in 0..20 {
            window.record(s(second), 30, 0, Duration::from_millis(40));
        }
        let figures = window.figures(s(20));
        assert!((figures.rate - 30.0).abs() < f64::EPSILON);
        assert_eq!(figures.history.len(), 60);
        assert_eq!(figures.history.iter().sum::<u32>(), 600);
        assert_eq!(figures.success, Some(1.0));
        let later = window.figures(s(20 + 300));
        assert_eq!((later.rate, later.success, later.p50_ms), (0.0, None, None));
    }

    #[test]
    fn a_slot_is_not_counted_again_when_the_ring_comes_round() {
        let mut window = Window::default();
        window.record(s(5), 7, 0, Duration::ZERO);
        window.record(s(5 + 300), 1, 1, Duration::ZERO);
        assert_eq!(window.figures(s(306)).success, Some(0.5));
    }

    #[test]
    fn percentiles_are_within_a_fifth_of_the_truth() {
        let mut window = Window::default();
        for n in 1..=1000u64 {
            window.record(s(1), 1, 0, Duration::from_millis(n));
        }
        let figures = window.figures(s(2));
        for (found, truth) in [(figures.p50_ms, 500.0), (figures.p95_ms, 950.0), (figures.p99_ms, 990.0)] {
            let found = f64::from(found.expect("there were latencies"));
            assert!((found / truth - 1.0).abs() < 0.2, "{found} for {truth}");
        }
    }
}
