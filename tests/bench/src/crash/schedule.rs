//! Which deaths a daemon dies, and when: drawn from a seed, so that a seed can be run again.

use std::time::Duration;

use usherd::failpoint::TABLE;

/// Every fourth kill comes from outside, at a moment that no failpoint names.
const OUTSIDE: u64 = 4;
/// Longest life until such a kill, from the start of the program: recovery is part of what it may fall into.
const LONGEST: u64 = 600;

/// How a daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// By itself, when it passes a failpoint for the nth time.
    At {
        /// The failpoint.
        point: &'static str,
        /// The passing, from 1.
        nth: u64,
    },
    /// By a kill from outside, so long after it was started.
    After(Duration),
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At { point, nth } => write!(f, "{point}:{nth}"),
            Self::After(life) => write!(f, "any moment, {} ms", life.as_millis()),
        }
    }
}

/// Splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// The deaths of one episode. Seeds that follow each other walk the table of failpoints round and round; with `only`,
/// every death is at that one.
pub(crate) fn deaths(seed: u64, kills: u64, only: Option<&'static str>) -> Vec<Death> {
    let mut dice = Dice::new(seed);
    let points = kills - kills / OUTSIDE;
    let mut next = (seed.wrapping_mul(points) % TABLE.len() as u64) as usize;
    let mut deaths = Vec::new();
    for kill in 1..=kills {
        if let Some(point) = only {
            deaths.push(Death::At { point, nth: 1 + dice.below(often(point)) });
        } else if kill.is_multiple_of(OUTSIDE) {
            deaths.push(Death::After(Duration::from_millis(dice.below(LONGEST))));
        } else {
            let (point, _) = TABLE[next % TABLE.len()];
            next += 1;
            deaths.push(Death::At { point, nth: 1 + dice.below(often(point)) });
        }
    }
    deaths
}

/// How many passings of a failpoint may be waited for: one that is passed once in a while is died at the first time.
fn often(point: &str) -> u64 {
    match point {
        "store.index.before-flush" | "store.index.after-flush" => 2,
        "providers.smtp.body-written" => 4,
        _ if point.starts_with("store.file.") || point.starts_with("receipts.") => 4,
        "providers.http.body-written" | "dispatch.outcome.before-commit" | "dispatch.outcome.after-commit" => 15,
        _ if point.starts_with("store.segment.") || point.starts_with("store.checkpoint.") => 2,
        _ if point.starts_with("dispatch.intent.") || point.starts_with("dispatch.request.") => 25,
        _ if point.starts_with("store.log.") || point.starts_with("store.index.") => 60,
        "store.commit.answered" => 60,
        // Starts, imports, expansion, settling, ends, compaction.
        _ => 1,
    }
}

/// Whether a failpoint stands in the start of the daemon: it is passed before it answers, or in this life not at all.
pub(crate) fn is_in_the_start(point: &str) -> bool {
    point.starts_with("store.recovery.") || point.starts_with("dispatch.recovery.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_one_schedule_and_two_hundred_kills_reach_every_failpoint() {
        assert_eq!(deaths(7, 20, None), deaths(7, 20, None));
        assert_ne!(deaths(7, 20, None), deaths(8, 20, None));
        let all: Vec<Death> = (1..=10).flat_map(|seed| deaths(seed, 20, None)).collect();
        let reached: BTreeSet<&str> = all
            .iter()
            .filter_map(|death| match death {
                Death::At { point, .. } => Some(*point),
                Death::After(_) => None,
            })
            .collect();
        assert_eq!(reached.len(), TABLE.len());
        assert_eq!(all.iter().filter(|death| matches!(death, Death::After(_))).count(), 50);
    }
}
