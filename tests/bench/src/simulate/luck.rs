//! Luck that follows from a seed: one stream for each thing that is left to it, so that one does not shift another.

use usherd::dispatch::Dice;

/// A stream of luck.
pub(super) struct Luck(Dice);

impl Luck {
    /// The stream of a seed for one thing.
    pub(super) fn of(seed: u64, thing: &str) -> Self {
        let mut mixed = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in thing.bytes() {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        let mut dice = Dice::seeded(mixed);
        dice.unit();
        Self(dice)
    }

    /// A number in `0.0..1.0`.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// A number of `least..=most`.
    pub(super) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + (self.unit() * (most - least + 1) as f64) as u64
    }

    /// Milliseconds of `least..=most`.
    pub(super) fn ms(&mut self, least: u64, most: u64) -> i64 {
        self.within(least, most) as i64
    }

    /// Whether something happens that happens so often.
    pub(super) fn has(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of them.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.within(0, of.len() as u64 - 1) as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_stays_within_its_bounds_and_is_nobody_elses() {
        let draw = |seed, thing| {
            let mut luck = Luck::of(seed, thing);
            (0..200).map(|_| luck.within(3, 7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "disk"), draw(7, "disk"));
        assert_ne!(draw(7, "disk"), draw(7, "post"));
        assert_ne!(draw(7, "disk"), draw(8, "disk"));
        assert!((3..=7).all(|n| draw(7, "disk").contains(&n)) && draw(7, "disk").iter().all(|n| (3..=7).contains(n)));
    }
}
