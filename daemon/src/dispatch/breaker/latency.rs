//! How long a provider takes: over the last ten seconds, and over the day.
//!
//! Histograms of fixed size, four buckets to a doubling. What happened in the last ten seconds is no part of the day, so
//! that a provider that has just become slow is measured against how it was.

use std::time::Duration;

/// From 1 ms to four minutes.
const BUCKETS: usize = 73;
/// The last ten seconds, in parts of two.
const PARTS: usize = 5;
const PART_SECS: u64 = 2;
/// The day is this half-day and the last.
const HALF_DAY_SECS: u64 = 12 * 3600;

type Counts = [u32; BUCKETS];

/// Latencies of answers.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    parts: [Counts; PARTS],
    part: u64,
    day: Box<[Counts; 2]>,
    half: u64,
}

impl Latencies {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            parts: [[0; BUCKETS]; PARTS],
            part: now.as_secs() / PART_SECS,
            day: Box::new([[0; BUCKETS]; 2]),
            half: now.as_secs() / HALF_DAY_SECS,
        }
    }

    /// Counts one answer.
    pub(super) fn record(&mut self, latency: Duration, now: Duration) {
        self.turn_to(now);
        let count = &mut self.parts[(self.part % PARTS as u64) as usize][bucket(latency)];
        *count = count.saturating_add(1);
    }

    /// Answers of the last ten seconds, and their 95th percentile.
    pub(super) fn recent(&mut self, now: Duration) -> (u64, Option<Duration>) {
        self.turn_to(now);
        let sums = sum(&self.parts);
        (sums.iter().sum(), percentile(&sums, 95))
    }

    /// A percentile of the day up to ten seconds ago; `None` while it had fewer than `least` answers.
    pub(super) fn of_day(&self, percent: u64, least: u64) -> Option<Duration> {
        let sums = sum(self.day.as_slice());
        if sums.iter().sum::<u64>() < least { None } else { percentile(&sums, percent) }
    }

    /// Forgets the last ten seconds: they are no measure of how it is when it is well.
    pub(super) fn drop_recent(&mut self) {
        self.parts = [[0; BUCKETS]; PARTS];
    }

    fn turn_to(&mut self, now: Duration) {
        let part = (now.as_secs() / PART_SECS).max(self.part);
        let half = now.as_secs() / HALF_DAY_SECS;
        if half > self.half {
            self.day[(half % 2) as usize] = [0; BUCKETS];
            if half > self.half + 1 {
                self.day[((half + 1) % 2) as usize] = [0; BUCKETS];
            }
            self.half = half;
        }
        for next in self.part + 1..=part.min(self.part + PARTS as u64) {
            let gone = std::mem::replace(&mut self.parts[(next % PARTS as u64) as usize], [0; BUCKETS]);
            let day = &mut self.day[(self.half % 2) as usize];
            for (sum, count) in day.iter_mut().zip(gone) {
                *sum = sum.saturating_add(count);
            }
        }
        self.part = part;
    }
}

fn bucket(latency: Duration) -> usize {
    let ms = latency.as_secs_f64() * 1000.0;
    if ms <= 1.0 { 0 } else { ((ms.log2() * 4.0).ceil() as usize).min(BUCKETS - 1) }
}

fn sum(many: &[Counts]) -> [u64; BUCKETS] {
    let mut sums = [0; BUCKETS];
    for counts in many {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += u64::from(*count);
        }
    }
    sums
}

/// The upper edge of the bucket in which the percentile falls.
fn percentile(counts: &[u64; BUCKETS], percent: u64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    let wanted = (total * percent).div_ceil(100).max(1);
    let mut seen = 0;
    let place = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(Duration::from_secs_f64(2f64.powf(place as f64 / 4.0) / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_ten_seconds_are_no_part_of_the_day_until_they_are_over() {
        let mut latencies = Latencies::new(s(0));
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms), s(5));
        }
        let (count, p95) = latencies.recent(s(9));
        let p95 = p95.expect("there were answers").as_secs_f64();
        assert!(count == 100 && (0.095..0.115).contains(&p95), "{count} {p95}");
        assert_eq!(latencies.of_day(95, 1), None);
        assert_eq!(latencies.recent(s(20)), (0, None));
        assert!(latencies.of_day(95, 100).is_some() && latencies.of_day(95, 101).is_none());
    }

    #[test]
    fn a_day_is_forgotten_after_a_day() {
        let mut latencies = Latencies::new(s(0));
        latencies.record(s(1), s(0));
        let _ = latencies.recent(s(HALF_DAY_SECS + 60));
        assert!(latencies.of_day(50, 1).is_some(), "this half-day and the last");
        let _ = latencies.recent(s(3 * HALF_DAY_SECS));
        assert_eq!(latencies.of_day(50, 1), None);
    }

    #[test]
    fn what_was_dropped_does_not_become_the_day() {
        let mut latencies = Latencies::new(s(0));
        latencies.record(s(8), s(1));
        latencies.drop_recent();
        let _ = latencies.recent(s(60));
        assert_eq!(latencies.of_day(50, 1), None);
    }
}
