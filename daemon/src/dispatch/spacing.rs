//! Spacing: the least time between two messages to one address, where a provider asks for it. Pure: the time is handed in.
//!
//! Whoever comes too early is told when to come again, each a gap after the one before, so that those who wait do not all
//! come at once; messages to other addresses never wait. Addresses are kept as hashes of this process alone.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Addresses that are remembered before those are dropped whose turn is over.
const ADDRESSES: usize = 4096;

/// Added to every wait: clocks of two kinds are compared on the way, and a message that comes too early queues up again.
const MARGIN: Duration = Duration::from_millis(5);

/// Turns at the addresses of one provider.
#[derive(Debug)]
pub struct Spacing {
    gap: Duration,
    hasher: RandomState,
    turns: HashMap<u64, Turns>,
}

#[derive(Debug, Clone, Copy)]
struct Turns {
    /// From when on the next message may go.
    free: Duration,
    /// The end of the last turn that somebody was told to come at.
    told: Duration,
}

impl Spacing {
    /// At least `gap` between two messages to one address.
    pub fn new(gap: Duration) -> Self {
        Self { gap, hasher: RandomState::new(), turns: HashMap::new() }
    }

    /// Takes the turn at `address`, or says how long to wait before asking again.
    pub fn take(&mut self, address: &str, now: Duration) -> Result<(), Duration> {
        if self.turns.len() >= ADDRESSES {
            self.turns.retain(|_, turns| turns.free.max(turns.told) > now);
        }
        let turns = self.turns.entry(self.hasher.hash_one(address)).or_insert(Turns { free: now, told: now });
        if now >= turns.free {
            turns.free = now + self.gap;
            turns.told = turns.told.max(turns.free);
            return Ok(());
        }
        let turn = turns.told.max(turns.free);
        turns.told = turn + self.gap;
        Err(turn.saturating_sub(now) + MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_address_waits_and_the_others_do_not() {
        let mut spacing = Spacing::new(GAP);
        assert_eq!(spacing.take("C1", at(0)), Ok(()));
        assert_eq!(spacing.take("C1", at(0)), Err(GAP + MARGIN));
        assert_eq!(spacing.take("C1", at(0)), Err(2 * GAP + MARGIN), "the second in line comes a gap after the first");
        for other in 0..100 {
            assert_eq!(spacing.take(&format!("U{other}"), at(0)), Ok(()));
        }
        assert_eq!(spacing.take("C1", at(999)), Err(at(2_001) + MARGIN));
        assert_eq!(spacing.take("C1", at(1_005)), Ok(()));
    }

    #[test]
    fn addresses_whose_turn_is_over_are_forgotten() {
        let mut spacing = Spacing::new(GAP);
        for n in 0..20_000_u64 {
            assert_eq!(spacing.take(&format!("U{n}"), at(n)), Ok(()));
        }
        assert!(spacing.turns.len() <= ADDRESSES, "{}", spacing.turns.len());
    }

    proptest! {
        #[test]
        fn no_two_go_within_the_gap_and_whoever_comes_when_told_goes(
            arrivals in prop::collection::vec((0..3_usize, 0..400_u64), 1..60),
        ) {
            let mut spacing = Spacing::new(GAP);
            let mut now = 0;
            let mut line: Vec<(Duration, usize)> = Vec::new();
            for (address, step) in arrivals {
                now += step;
                line.push((at(now), address));
            }
            let mut gone: Vec<Vec<Duration>> = vec![Vec::new(); 3];
            let mut asked = 0;
            while let Some(first) = (0..line.len()).min_by_key(|&n| line[n].0) {
                let (time, address) = line.swap_remove(first);
                asked += 1;
                match spacing.take(&address.to_string(), time) {
                    Ok(()) => gone[address].push(time),
                    Err(wait) => line.push((time + wait, address)),
                }
                prop_assert!(asked < 10_000, "somebody is never let through");
            }
            for times in gone {
                prop_assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + GAP), "{times:?}");
            }
        }
    }
}
