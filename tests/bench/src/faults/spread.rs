//! A figure of several injections as its middle, the last but one in a hundred, and the longest.

use std::time::Duration;

/// A figure of several injections, smallest first; those that have none come last.
pub(super) struct Spread {
    values: Vec<u64>,
    of: usize,
}

impl Spread {
    /// Of all injections, also of those that have none.
    pub(super) fn of(values: impl Iterator<Item = Option<u64>>) -> Self {
        let all: Vec<Option<u64>> = values.collect();
        let of = all.len();
        let mut values: Vec<u64> = all.into_iter().flatten().collect();
        values.sort_unstable();
        Self { values, of }
    }

    /// The value that so many of a hundred do not exceed; `None` where it is one that is not there.
    fn part(&self, percent: usize) -> Option<u64> {
        self.values.get((self.of * percent).div_ceil(100).clamp(1, self.of.max(1)) - 1).copied()
    }

    /// Whether nobody has any.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the 99th percentile, in microseconds, is not below `aim`; one that is not there is late.
    pub(super) fn exceeds(&self, aim: Duration) -> bool {
        self.part(99).is_none_or(|us| Duration::from_micros(us) >= aim)
    }

    /// p50 / p99 / longest; `-` for one that is not there, and how many have any.
    pub(super) fn told(&self, told: impl Fn(u64) -> String) -> String {
        if self.values.is_empty() {
            return "never".to_owned();
        }
        let parts = [self.part(50), self.part(99), self.part(100)].map(|part| part.map_or("-".to_owned(), &told));
        let all = if self.values.len() < self.of {
            format!(" ({} of {})", self.values.len(), self.of)
        } else {
            String::new()
        };
        format!("{}{all}", parts.join(" / "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_tells_the_middle_the_last_but_one_in_a_hundred_and_the_longest() {
        let spread = Spread::of((1..=200).map(|n| Some(n * 1_000)));
        assert_eq!(spread.told(|us| us.to_string()), "100000 / 198000 / 200000");
        assert!(spread.exceeds(Duration::from_millis(198)) && !spread.exceeds(Duration::from_millis(199)));
        let some = Spread::of([Some(5), None, Some(7)].into_iter());
        assert_eq!(some.told(|us| us.to_string()), "7 / - / - (2 of 3)");
        assert!(some.exceeds(Duration::from_secs(1)), "what is not there is late");
        assert!(Spread::of([None].into_iter()).exceeds(Duration::MAX), "and so is what nobody has");
        assert_eq!(Spread::of([None].into_iter()).told(|us| us.to_string()), "never");
    }
}
