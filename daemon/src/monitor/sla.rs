//! What indicators say about a promise: met, breached, or not to be shown either way; how much of the budget is left, how fast it
//! burns, and when it would be gone. Plain arithmetic.

use usher_common::model::SlaStatus;

use super::sli::{Counts, Sli, Window};

/// Of 10,000 messages 5 may miss.
pub const TARGET: f64 = 0.9995;
/// Accepted within this of when it was due, in seconds.
pub const ON_TIME: u64 = 300;
/// How sure somebody has to be.
const DOUBT: f64 = 0.05;
/// Above so many bad ones the normal distribution is as good as the sum.
const SUMMED: u64 = 2_000;

/// How many times faster than the promise allows the budget is spent: 1 spends all of it in the window.
pub fn burn(counts: Counts, target: f64) -> Option<f64> {
    counts.bad_share().map(|share| share / (1.0 - target))
}

/// Whether the promise was kept over these events, as far as they can show it: with 95 % certainty, or not at all.
pub fn status(counts: Counts, target: f64) -> SlaStatus {
    let allowed = 1.0 - target;
    let (n, bad) = (counts.all(), counts.bad);
    if n == 0 {
        return SlaStatus::NotProvable;
    }
    // As few as these would be rare if the promise were just not kept.
    if at_most(n, bad, allowed) <= DOUBT {
        return SlaStatus::Met;
    }
    // As many as these would be rare if it were just kept.
    let as_many = if bad == 0 { 1.0 } else { 1.0 - at_most(n, bad - 1, allowed) };
    if as_many <= DOUBT { SlaStatus::Breached } else { SlaStatus::NotProvable }
}

/// The chance of at most `bad` among `n`, each with the chance `p` (binomial).
fn at_most(n: u64, bad: u64, p: f64) -> f64 {
    if bad >= n {
        return 1.0;
    }
    if bad > SUMMED {
        let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        return normal((bad as f64 + 0.5 - mean) / deviation);
    }
    let mut log = n as f64 * (1.0 - p).ln();
    let odds = (p / (1.0 - p)).ln();
    let mut sum = log.exp();
    for k in 1..=bad {
        log += ((n - k + 1) as f64).ln() - (k as f64).ln() + odds;
        sum += log.exp();
    }
    sum.min(1.0)
}

/// The normal distribution, to four digits (Abramowitz and Stegun 26.2.17).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// What is left of the budget of 30 days, in percent: below 0 where more was spent. `None` without events.
pub fn budget_left(counts: Counts, target: f64) -> Option<f64> {
    let allowed = counts.all() as f64 * (1.0 - target);
    (allowed > 0.0).then(|| 100.0 * (1.0 - counts.bad as f64 / allowed))
}

/// In how many seconds the budget of 30 days would be gone at the speed of the last hour; `None` where it never would.
pub fn exhausted_in(sli: &Sli, target: f64) -> Option<u64> {
    let left = budget_left(sli.counts(Window::Days30), target)?;
    let burn = burn(sli.counts(Window::Hour1), target).filter(|burn| *burn > 0.0)?;
    Some((left.max(0.0) / 100.0 * Window::Days30.seconds() as f64 / burn) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::sli::Mark;
    use super::*;

    fn counts(all: u64, bad: u64) -> Counts {
        Counts { good: all - bad, bad }
    }

    #[test]
    fn what_cannot_be_shown_is_not_claimed() {
        // From the exact binomial bound: so many are needed with 0, 1, 2, 3 and 5 bad ones.
        for (bad, needed) in [(0, 5_990), (1, 9_486), (2, 12_590), (3, 15_505), (5, 21_024)] {
            assert_eq!(status(counts(needed, bad), TARGET), SlaStatus::Met, "{bad} of {needed}");
            assert_eq!(status(counts(needed - 1, bad), TARGET), SlaStatus::NotProvable, "{bad} of {}", needed - 1);
        }
        assert_eq!(status(counts(0, 0), TARGET), SlaStatus::NotProvable);
        assert_eq!(status(counts(1_000, 1), TARGET), SlaStatus::NotProvable, "one of a thousand may be chance");
        assert_eq!(status(counts(1_000, 3), TARGET), SlaStatus::Breached);
        assert_eq!(status(counts(3, 3), TARGET), SlaStatus::Breached);
        assert_eq!(status(counts(10_000_000, 5_200), TARGET), SlaStatus::Breached);
        assert_eq!(status(counts(10_000_000, 4_800), TARGET), SlaStatus::Met);
    }

    #[test]
    fn the_two_ways_to_sum_agree_where_they_meet() {
        let (n, p) = (4_000_000, 0.0005);
        let sum = at_most(n, SUMMED, p);
        let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        let near = normal((SUMMED as f64 + 0.5 - mean) / deviation);
        assert!((sum - near).abs() < 0.005, "{sum} {near}");
    }

    #[test]
    fn burning_at_one_spends_the_budget_in_the_window() {
        let close = |left: Option<f64>, right: f64| (left.unwrap() - right).abs() < 1e-6;
        assert!(close(burn(counts(10_000, 5), TARGET), 1.0));
        assert!(close(burn(counts(1_000, 1_000), TARGET), 2_000.0));
        assert_eq!(burn(counts(0, 0), TARGET), None);
        assert!(close(budget_left(counts(10_000, 5), TARGET), 0.0));
        assert!(close(budget_left(counts(10_000, 10), TARGET), -100.0));
        let mut sli = Sli::default();
        sli.advance(10_000_000);
        for n in 0..100_000_u32 {
            sli.record(10_000_000, if n < 25 { Mark::Bad } else { Mark::Good });
        }
        // Half of the budget is left, and it burns half as fast as is allowed: 30 days more.
        assert!(exhausted_in(&sli, TARGET).unwrap().abs_diff(2_592_000) < 60);
    }
}
