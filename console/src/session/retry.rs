//! When to try again after the line broke: at once, then quickly for ten seconds, then ever more slowly to a ceiling.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(10);
/// A daemon that restarts is back within seconds: so long the waits stay short.
const QUICK_FOR: Duration = Duration::from_secs(10);
/// Waits during that time.
const QUICK: Duration = Duration::from_millis(500);
/// A line that held so long starts the schedule anew.
const PROVED_AFTER: Duration = Duration::from_secs(30);

/// The schedule of one line. Pure: it is told the time and a random number.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    tries: u32,
    lost_at: Option<Duration>,
    live_since: Option<Duration>,
}

impl Retry {
    /// The line is up.
    pub fn live(&mut self, now: Duration) {
        self.live_since = Some(now);
    }

    /// The line broke or could not be had: how long to wait before the next try.
    ///
    /// `random` is between 0 and 1; a tenth of the wait, up or down, hangs on it, so that a hundred consoles do not
    /// come back in the same instant.
    pub fn failed(&mut self, now: Duration, random: f64) -> Duration {
        if let Some(since) = self.live_since.take() {
            if now.saturating_sub(since) >= PROVED_AFTER {
                *self = Self::default();
            }
            // It was live until now, so whatever broke it broke just now.
            self.lost_at = Some(now);
            if self.tries == 0 {
                self.tries = 1;
                return Duration::ZERO;
            }
        }
        let lost_at = *self.lost_at.get_or_insert(now);
        let doubled = FIRST.saturating_mul(1u32.checked_shl(self.tries.saturating_sub(1)).unwrap_or(u32::MAX));
        self.tries = self.tries.saturating_add(1).min(16);
        let quick = now.saturating_sub(lost_at) < QUICK_FOR;
        let wait = doubled.min(if quick { QUICK } else { LONGEST });
        let ceiling = if quick { QUICK } else { LONGEST };
        wait.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0)).min(ceiling)
    }

    /// Which try comes next, from 1.
    pub fn tries(&self) -> u32 {
        self.tries.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_try_after_a_loss_is_immediate_and_the_next_ones_are_quick() {
        let mut retry = Retry::default();
        retry.live(ms(0));
        let mut now = ms(60_000);
        assert_eq!(retry.failed(now, 0.5), Duration::ZERO);
        let mut waits = Vec::new();
        while now < ms(69_000) {
            let wait = retry.failed(now, 1.0);
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits[0], ms(275));
        assert!(waits.iter().all(|w| *w <= ms(500) && *w > Duration::ZERO), "{waits:?}");
    }

    #[test]
    fn waits_grow_to_ten_seconds_and_no_further() {
        let mut retry = Retry::default();
        let mut now = ms(0);
        let mut last = Duration::ZERO;
        for _ in 0..60 {
            last = retry.failed(now, 1.0);
            now += last;
        }
        assert_eq!(last, LONGEST);
        assert_eq!(retry.failed(now, 0.0), ms(9_000));
    }

    #[test]
    fn only_a_line_that_held_for_half_a_minute_starts_the_schedule_anew() {
        let mut retry = Retry::default();
        retry.live(ms(0));
        assert_eq!(retry.failed(ms(40_000), 0.5), Duration::ZERO);
        retry.live(ms(41_000));
        assert!(retry.failed(ms(42_000), 0.5) > Duration::ZERO, "it flaps");
        retry.live(ms(43_000));
        assert_eq!(retry.failed(ms(73_000), 0.5), Duration::ZERO);
    }
}
