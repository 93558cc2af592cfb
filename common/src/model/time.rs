//! One point in time, as every record and frame carries it.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, wall time, without leap seconds.
///
/// Zones belong to whoever shows it; intervals are measured with monotonic clocks, never by subtracting two of these
/// on a machine whose clock may have been set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time `ms` milliseconds later (earlier when negative), held at the ends of the range.
    #[must_use]
    pub fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this one; negative when `earlier` is in fact later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
