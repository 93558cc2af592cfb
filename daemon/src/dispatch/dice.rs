//! Chance that can be repeated: jitter from a seed.
//!
//! SplitMix64: enough to spread retries, useless for secrets.

/// A source of chance. The same seed gives the same throws.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Throws that follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits are as many as a float holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A factor within `spread` of one: `0.2` gives `0.8..1.2`.
    pub fn around_one(&mut self, spread: f64) -> f64 {
        1.0 + spread * (2.0 * self.unit() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_repeat_and_fill_their_range_evenly() {
        let throws = |seed| {
            let mut dice = Dice::seeded(seed);
            (0..4000).map(|_| dice.unit()).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        let mut tenths = [0; 10];
        for throw in throws(7) {
            tenths[(throw * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|&n| (300..500).contains(&n)), "{tenths:?}");
    }
}
