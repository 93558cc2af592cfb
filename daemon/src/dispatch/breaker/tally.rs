//! What the breaker counts: outcomes of the last 30 s, and requests under way by their age.
//!
//! Both are rings of fixed size. Counting is a step or two whatever the load; only questions walk a ring, and they are
//! asked a few times a second at most.

use std::time::Duration;

/// Seconds of outcomes.
const SECONDS: u64 = 30;

/// Outcomes of the last 30 seconds, with their sums at hand.
#[derive(Debug, Clone)]
pub(super) struct Outcomes {
    slots: [(u32, u32); SECONDS as usize],
    second: u64,
    taken: u32,
    failed: u32,
}

impl Outcomes {
    pub(super) fn new(now: Duration) -> Self {
        Self { slots: [(0, 0); SECONDS as usize], second: now.as_secs(), taken: 0, failed: 0 }
    }

    /// Counts one outcome.
    pub(super) fn count(&mut self, failed: bool, now: Duration) {
        self.forget(now);
        let slot = &mut self.slots[(self.second % SECONDS) as usize];
        if failed {
            slot.1 = slot.1.saturating_add(1);
            self.failed = self.failed.saturating_add(1);
        } else {
            slot.0 = slot.0.saturating_add(1);
            self.taken = self.taken.saturating_add(1);
        }
    }

    /// Outcomes that are counted, and how many of them failed.
    pub(super) fn sums(&self) -> (u32, u32) {
        (self.taken.saturating_add(self.failed), self.failed)
    }

    /// Drops what is older than 30 s.
    fn forget(&mut self, now: Duration) {
        let second = now.as_secs().max(self.second);
        for gone in self.second + 1..=second.min(self.second + SECONDS) {
            let (taken, failed) = std::mem::take(&mut self.slots[(gone % SECONDS) as usize]);
            self.taken = self.taken.saturating_sub(taken);
            self.failed = self.failed.saturating_sub(failed);
        }
        self.second = second;
    }
}

/// How finely the age of a request is known, in milliseconds.
const GRAIN: u64 = 25;
/// Grains that are kept: 16 s. What is older is only counted.
const GRAINS: u64 = 640;

/// Requests under way, by when they went out.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    slots: [u32; GRAINS as usize],
    grain: u64,
    older: u32,
    total: u32,
}

fn grain(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX) / GRAIN
}

impl UnderWay {
    /// The greatest age that is told apart from a greater one.
    pub(super) const OLDEST: Duration = Duration::from_millis(GRAIN * (GRAINS - 1));

    pub(super) fn new(now: Duration) -> Self {
        Self { slots: [0; GRAINS as usize], grain: grain(now), older: 0, total: 0 }
    }

    /// A request goes out.
    pub(super) fn start(&mut self, now: Duration) {
        self.turn_to(now);
        let slot = &mut self.slots[(self.grain % GRAINS) as usize];
        *slot = slot.saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// The request that went out at `started` has come back.
    pub(super) fn end(&mut self, started: Duration) {
        let born = grain(started);
        let place =
            if born + GRAINS > self.grain { &mut self.slots[(born % GRAINS) as usize] } else { &mut self.older };
        *place = place.saturating_sub(1);
        self.total = self.total.saturating_sub(1);
    }

    /// How many there are.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// How many of them are certainly as old as `age`, which is at most [`Self::OLDEST`].
    pub(super) fn as_old_as(&mut self, age: Duration, now: Duration) -> u32 {
        self.turn_to(now);
        let Some(latest) = now.checked_sub(age.min(Self::OLDEST)) else { return 0 };
        // The last grain that was over by then.
        let Some(last) = grain(latest).checked_sub(1) else { return 0 };
        let first = (self.grain + 1).saturating_sub(GRAINS);
        let kept: u32 = (first..=last).map(|grain| self.slots[(grain % GRAINS) as usize]).sum();
        kept + self.older
    }

    fn turn_to(&mut self, now: Duration) {
        let to = grain(now).max(self.grain);
        for next in self.grain + 1..=to.min(self.grain + GRAINS) {
            self.older += std::mem::take(&mut self.slots[(next % GRAINS) as usize]);
        }
        self.grain = to;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn outcomes_are_those_of_the_last_thirty_seconds(steps in prop::collection::vec((0..9_000_u64, any::<bool>()), 1..120)) {
            let mut outcomes = Outcomes::new(at(0));
            let (mut now, mut all) = (0, Vec::new());
            for (step, failed) in steps {
                now += step;
                outcomes.count(failed, at(now));
                all.push((now / 1_000, failed));
                let recent: Vec<_> = all.iter().filter(|(second, _)| second + SECONDS > now / 1_000).collect();
                let failed = recent.iter().filter(|(_, failed)| *failed).count() as u32;
                prop_assert_eq!(outcomes.sums(), (recent.len() as u32, failed));
            }
        }

        #[test]
        fn ages_are_right_to_a_grain_and_nothing_is_lost(
            steps in prop::collection::vec((0..3_000_u64, any::<bool>(), any::<prop::sample::Index>()), 1..150),
            age in 1_000..15_000_u64,
        ) {
            let mut under_way = UnderWay::new(at(0));
            let (mut now, mut all) = (0, Vec::new());
            for (step, starts, which) in steps {
                now += step;
                if starts || all.is_empty() {
                    under_way.start(at(now));
                    all.push(now);
                } else {
                    let started: u64 = all.swap_remove(which.index(all.len()));
                    under_way.end(at(started));
                }
                let old = |age: u64| all.iter().filter(|&&started| started + age <= now).count() as u32;
                let found = under_way.as_old_as(at(age), at(now));
                prop_assert!(old(age + 2 * GRAIN) <= found && found <= old(age), "{found}");
                prop_assert_eq!(under_way.total(), all.len() as u32);
            }
        }
    }
}
