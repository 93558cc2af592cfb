//! A service level indicator: events that were good or bad, by when they were due, over eight windows at once.
//!
//! Each window is a ring of counters with running sums, so that an event costs the same whatever the load, and an indicator the
//! same memory whatever its age. A window is exact but for its oldest bucket, which leaves it as a whole. Without a clock: seconds
//! are handed in, and never go back here.

use serde::{Deserialize, Serialize};

/// A window, by what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the span that its name says")]
pub enum Window {
    Minutes5,
    Minutes30,
    Hour1,
    Hours2,
    Hours6,
    Hours24,
    Days3,
    Days30,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 8] = [
        Self::Minutes5,
        Self::Minutes30,
        Self::Hour1,
        Self::Hours2,
        Self::Hours6,
        Self::Hours24,
        Self::Days3,
        Self::Days30,
    ];

    /// Seconds of a bucket, and how many there are.
    const fn shape(self) -> (u64, usize) {
        match self {
            Self::Minutes5 => (5, 60),
            Self::Minutes30 => (30, 60),
            Self::Hour1 => (60, 60),
            Self::Hours2 => (60, 120),
            Self::Hours6 => (300, 72),
            Self::Hours24 => (900, 96),
            Self::Days3 => (3_600, 72),
            Self::Days30 => (21_600, 120),
        }
    }

    /// Its length in seconds.
    pub const fn seconds(self) -> u64 {
        let (width, buckets) = self.shape();
        width * buckets as u64
    }

    /// The name in metrics and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minutes5 => "5m",
            Self::Minutes30 => "30m",
            Self::Hour1 => "1h",
            Self::Hours2 => "2h",
            Self::Hours6 => "6h",
            Self::Hours24 => "24h",
            Self::Days3 => "3d",
            Self::Days30 => "30d",
        }
    }
}

/// Events of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// As promised.
    pub good: u64,
    /// Not as promised, or not known to be.
    pub bad: u64,
}

impl Counts {
    /// All of them.
    pub fn all(self) -> u64 {
        self.good + self.bad
    }

    /// The bad ones' share, 0 to 1; `None` of none.
    pub fn bad_share(self) -> Option<f64> {
        (self.all() > 0).then(|| self.bad as f64 / self.all() as f64)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ring {
    slots: Box<[(u32, u32)]>,
    /// The newest bucket, by its number since 1970.
    head: u64,
    sum: Counts,
}

impl Ring {
    fn new(buckets: usize) -> Self {
        Self { slots: vec![(0, 0); buckets].into(), head: 0, sum: Counts::default() }
    }

    fn place(&self, bucket: u64) -> usize {
        (bucket % self.slots.len() as u64) as usize
    }

    /// Makes `bucket` the newest, and lets go of what is too old then.
    fn advance(&mut self, bucket: u64) {
        if bucket <= self.head {
            return;
        }
        if bucket - self.head >= self.slots.len() as u64 {
            self.slots.fill((0, 0));
            self.sum = Counts::default();
        } else {
            for old in self.head + 1..=bucket {
                let place = self.place(old);
                let (good, bad) = std::mem::take(&mut self.slots[place]);
                self.sum.good -= u64::from(good);
                self.sum.bad -= u64::from(bad);
            }
        }
        self.head = bucket;
    }

    /// Adds to the bucket of an event; one that is too old for the window is in it no longer.
    fn add(&mut self, bucket: u64, good: i64, bad: i64) {
        // What is due later than now is due now.
        let bucket = bucket.min(self.head);
        if self.head - bucket >= self.slots.len() as u64 {
            return;
        }
        let place = self.place(bucket);
        let slot = &mut self.slots[place];
        let moved = |from: u32, by: i64| u32::try_from((i64::from(from) + by).max(0)).unwrap_or(u32::MAX);
        let next = (moved(slot.0, good), moved(slot.1, bad));
        self.sum.good = self.sum.good - u64::from(slot.0) + u64::from(next.0);
        self.sum.bad = self.sum.bad - u64::from(slot.1) + u64::from(next.1);
        *slot = next;
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// As promised.
    Good,
    /// Not as promised, or not known to be.
    Bad,
    /// It was counted bad, and is good after all.
    Cleared,
    /// It was counted bad, and is told of anew.
    Dropped,
    /// It does not count: it was not ours to deliver.
    Excluded,
}

/// A service level indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sli {
    rings: [Ring; 8],
    /// What does not count, over a day: shown, so that nothing hides there.
    excluded: Ring,
    now: u64,
}

impl Default for Sli {
    fn default() -> Self {
        let ring = |window: Window| Ring::new(window.shape().1);
        Self { rings: Window::ALL.map(ring), excluded: Ring::new(24), now: 0 }
    }
}

/// An hour, in which exclusions are counted.
const HOUR: u64 = 3_600;

impl Sli {
    /// Lets time pass until `now`, in seconds since 1970; time that goes back stands still.
    pub fn advance(&mut self, now: u64) {
        if now <= self.now {
            return;
        }
        self.now = now;
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            ring.advance(now / window.shape().0);
        }
        self.excluded.advance(now / HOUR);
    }

    /// Counts an event that was due at `due`, in seconds since 1970.
    pub fn record(&mut self, due: u64, mark: Mark) {
        let (good, bad) = match mark {
            Mark::Good => (1, 0),
            Mark::Bad => (0, 1),
            Mark::Cleared => (1, -1),
            Mark::Dropped => (0, -1),
            Mark::Excluded => (0, 0),
        };
        if mark == Mark::Excluded {
            self.excluded.add(due / HOUR, 1, 0);
        }
        if (good, bad) == (0, 0) {
            return;
        }
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            ring.add(due / window.shape().0, good, bad);
        }
    }

    /// Events of a window that ends now.
    pub fn counts(&self, window: Window) -> Counts {
        self.rings[window as usize].sum
    }

    /// Events of the last day that do not count.
    pub fn excluded(&self) -> u64 {
        self.excluded.sum.good
    }

    /// When it was last advanced, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Bytes that one takes.
    pub fn bytes(&self) -> usize {
        let rings = self.rings.iter().chain([&self.excluded]);
        size_of::<Self>() + rings.map(|ring| std::mem::size_of_val::<[(u32, u32)]>(&ring.slots)).sum::<usize>()
    }

    /// What is to be kept of it: only buckets that have something in them.
    pub fn kept(&self) -> Kept {
        let rings = self.rings.iter().chain([&self.excluded]);
        let filled = |ring: &Ring| {
            let slots = ring.slots.iter().enumerate();
            slots.filter(|(_, slot)| **slot != (0, 0)).map(|(n, slot)| (n as u8, slot.0, slot.1)).collect()
        };
        Kept { now: self.now, rings: rings.map(filled).collect() }
    }

    /// One that goes on from what was kept.
    pub fn resume(kept: &Kept) -> Self {
        let mut sli = Self::default();
        sli.advance(kept.now);
        let Self { rings, excluded, .. } = &mut sli;
        for (ring, slots) in rings.iter_mut().chain([excluded]).zip(&kept.rings) {
            for (n, good, bad) in slots {
                if let Some(slot) = ring.slots.get_mut(usize::from(*n)) {
                    *slot = (*good, *bad);
                    ring.sum.good += u64::from(*good);
                    ring.sum.bad += u64::from(*bad);
                }
            }
        }
        sli
    }
}

/// An indicator as it is kept: its time, and for each ring the buckets that have something in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When it was kept, in seconds since 1970.
    pub now: u64,
    /// Bucket, good, bad.
    pub rings: Vec<Vec<(u8, u32, u32)>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_windows_fit_into_six_kilobytes() {
        let bytes = Sli::default().bytes();
        assert!(bytes <= 6 * 1024, "{bytes} bytes");
    }

    #[test]
    fn what_is_settled_is_corrected_where_it_was_due() {
        let mut sli = Sli::default();
        sli.advance(100_000);
        sli.record(100_000, Mark::Bad);
        sli.advance(100_400);
        assert_eq!(sli.counts(Window::Minutes5), Counts::default(), "it left the shortest window");
        assert_eq!(sli.counts(Window::Minutes30), Counts { good: 0, bad: 1 });
        sli.record(100_000, Mark::Cleared);
        assert_eq!(sli.counts(Window::Minutes30), Counts { good: 1, bad: 0 });
        assert_eq!(sli.counts(Window::Minutes5), Counts::default(), "it does not come back into it");
        sli.record(100_400, Mark::Excluded);
        assert_eq!((sli.excluded(), sli.counts(Window::Days30).all()), (1, 1));
    }

    #[test]
    fn a_jump_beyond_the_window_clears_it_and_a_step_back_counts_now() {
        let mut sli = Sli::default();
        sli.advance(1_000_000);
        sli.record(1_000_000, Mark::Good);
        sli.advance(999_000);
        sli.record(1_000_500, Mark::Bad);
        assert_eq!(sli.counts(Window::Minutes5), Counts { good: 1, bad: 1 });
        sli.advance(1_000_000 + Window::Days30.seconds() + 21_600);
        for window in Window::ALL {
            assert_eq!(sli.counts(window), Counts::default(), "{}", window.as_str());
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Pass(u64),
        Mark { age: u64, bad: bool },
        Restart,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => (0..50_000_u64).prop_map(Act::Pass),
            3 => (0..600_u64).prop_map(Act::Pass),
            10 => (0..4_000_u64, any::<bool>()).prop_map(|(age, bad)| Act::Mark { age, bad }),
            1 => Just(Act::Restart),
        ]
    }

    proptest! {
        /// Equal to an exact recount of every event, but for the bucket that is leaving.
        #[test]
        fn each_window_is_an_exact_recount_to_one_bucket(acts in prop::collection::vec(act(), 1..400)) {
            let (mut sli, mut now) = (Sli::default(), 20_000_000_u64);
            let mut events: Vec<(u64, bool)> = Vec::new();
            sli.advance(now);
            for act in acts {
                match act {
                    Act::Pass(seconds) => {
                        now += seconds;
                        sli.advance(now);
                    }
                    Act::Mark { age, bad } => {
                        let due = now - age;
                        sli.record(due, if bad { Mark::Bad } else { Mark::Good });
                        // One that was older than the window when it was told never was in it.
                        events.push((due, bad));
                    }
                    Act::Restart => sli = Sli::resume(&sli.kept()),
                }
            }
            for window in Window::ALL {
                let (width, buckets) = window.shape();
                let count = |from: u64, bad: bool| events.iter().filter(|e| e.0 >= from && e.1 == bad).count() as u64;
                // The buckets that are in the window now begin here.
                let begin = (now / width + 1).saturating_sub(buckets as u64) * width;
                let found = sli.counts(window);
                prop_assert_eq!((found.good, found.bad), (count(begin, false), count(begin, true)), "{}", window.as_str());
                prop_assert!(now - begin < window.seconds() && now - begin >= window.seconds() - width);
            }
        }
    }
}
