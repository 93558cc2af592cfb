//! Chance without state: the n-th draw of a seed is a pure function of both.
//! Promises: same seed, same draws, on every machine and however many tasks draw at once; only who gets which n differs.

/// The finaliser of splitmix64: every bit of the answer depends on every bit of `z`.
pub(crate) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 2^64 divided by the golden ratio, the step of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seed as it is used: [`mix`] leaves 0 as it is, and 0 is everybody's first seed.
const fn spread(seed: u64) -> u64 {
    mix(seed.wrapping_add(GOLDEN))
}

/// The `n`-th draw of `seed`, in `0.0..1.0`.
pub(crate) fn unit(seed: u64, n: u64) -> f64 {
    let draw = mix(spread(seed).wrapping_add(n.wrapping_mul(GOLDEN)));
    // 53 bits: as many as an f64 holds exactly.
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// Ids that providers hand out: they look random, and still say which entry of the record they belong to.
///
/// The first four bytes carry the sequence, scrambled; the other twelve prove that the id was made here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    seed: u64,
}

/// Odd, so multiplication by it is undone by multiplication with its inverse modulo 2^32.
const SPREAD: u32 = 0x9e37_79b1;
const GATHER: u32 = inverse(SPREAD);

/// Newton's iteration: each step doubles the number of correct low bits, from 3 to over 32.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut step = 0;
    while step < 4 {
        x = x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

impl Identity {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed: spread(seed) }
    }

    /// The id of the entry `sequence`, as raw bytes. Sequences above 2^32 would repeat ids; memory ends long before.
    pub(crate) fn of(self, sequence: u64) -> [u8; 16] {
        let head = (sequence as u32).wrapping_mul(SPREAD) ^ (self.seed as u32);
        let tail = mix(self.seed ^ sequence.rotate_left(32));
        let mut id = [0; 16];
        id[..4].copy_from_slice(&head.to_be_bytes());
        id[4..12].copy_from_slice(&tail.to_be_bytes());
        id[12..].copy_from_slice(&mix(tail).to_be_bytes()[..4]);
        id
    }

    /// The entry that an id may belong to. The caller makes the id of that entry again and compares.
    pub(crate) fn sequence(self, id: [u8; 16]) -> u64 {
        let head = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        u64::from((head ^ (self.seed as u32)).wrapping_mul(GATHER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_sequence_under_any_seed() {
        for seed in [0, 1, u64::MAX, 0x5eed] {
            let identity = Identity::new(seed);
            for sequence in (0..5_000).chain([u64::from(u32::MAX)]) {
                assert_eq!(identity.sequence(identity.of(sequence)), sequence);
            }
        }
    }

    #[test]
    fn the_seed_and_sequence_zero_give_an_id_like_any_other() {
        assert_ne!(Identity::new(0).of(0)[..4], [0; 4]);
        assert_ne!(Identity::new(0).of(0)[4..], [0; 12]);
        assert!(unit(0, 0) > 0.0);
    }

    #[test]
    fn ids_of_different_seeds_and_sequences_differ() {
        let ids: std::collections::HashSet<_> =
            (0..1_000).flat_map(|n| [Identity::new(1).of(n), Identity::new(2).of(n)]).collect();
        assert_eq!(ids.len(), 2_000);
    }

    #[test]
    fn draws_repeat_for_a_seed_and_are_spread_evenly() {
        let draws: Vec<f64> = (0..10_000).map(|n| unit(7, n)).collect();
        assert_eq!(draws, (0..10_000).map(|n| unit(7, n)).collect::<Vec<_>>());
        assert_ne!(draws[0].to_bits(), unit(8, 0).to_bits());
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
    }
}
