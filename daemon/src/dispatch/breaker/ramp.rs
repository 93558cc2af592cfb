//! The way back: how many messages a half-open breaker lets through at once, and what share a recovering one takes.

use std::time::Duration;

/// Shares of its usual weight that a recovering provider takes, a step each.
const SHARES: [f64; 4] = [0.10, 0.25, 0.50, 1.0];

/// Half-open: a probe first, then 1, 2, 4, … messages at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp {
    /// When its probe began.
    pub(super) began: Duration,
    /// Messages at once in this step; 0 while the probe has not passed.
    limit: u32,
    /// Of them under way.
    out: u32,
    /// Of them accepted.
    passed: u32,
}

impl Ramp {
    pub(super) fn new(began: Duration) -> Self {
        Self { began, limit: 0, out: 0, passed: 0 }
    }

    /// Whether it still waits for its probe.
    pub(super) fn probing(&self) -> bool {
        self.limit == 0
    }

    /// The probe has passed: one message may go.
    pub(super) fn on_probe_passed(&mut self) {
        self.limit = 1;
    }

    /// Messages that may go now.
    pub(super) fn free(&self) -> u32 {
        self.limit.saturating_sub(self.out)
    }

    /// So many go.
    pub(super) fn take(&mut self, n: u32) {
        self.out = self.out.saturating_add(n);
    }

    /// So many are through, or did not go after all.
    pub(super) fn give_back(&mut self, n: u32) {
        self.out = self.out.saturating_sub(n);
    }

    /// One was accepted; whether that was the last step's last.
    pub(super) fn on_accepted(&mut self, most: u32) -> bool {
        self.passed += 1;
        if self.passed >= self.limit {
            if self.limit >= most {
                return true;
            }
            self.limit = (self.limit * 2).min(most);
            self.passed = 0;
        }
        false
    }
}

/// The share of its weight that a provider takes so long after it began to recover; `None` when it has recovered.
pub(super) fn share(after: Duration, step: Duration) -> Option<f64> {
    let steps = after.as_nanos() / step.as_nanos().max(1);
    SHARES.get(usize::try_from(steps).unwrap_or(usize::MAX)).copied()
}
