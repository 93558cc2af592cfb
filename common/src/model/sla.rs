//! Service levels: what was promised, and how it stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Whether a promise was kept, as far as the events can show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlaStatus {
    /// It was, with 95 % certainty.
    Met,
    /// It was not, with 95 % certainty.
    Breached,
    /// There are too few events to say: under 5,990, 99.95 % cannot be shown.
    #[default]
    NotProvable,
    /// A word that this console does not know.
    #[serde(other)]
    Unknown,
}

impl SlaStatus {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Breached => "breached",
            Self::NotProvable => "not provable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for SlaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Events of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaWindow {
    /// `5m`, `30m`, `1h`, `2h`, `6h`, `24h`, `3d` or `30d`.
    pub window: String,
    /// Events as promised.
    pub good: u64,
    /// Events that were not, or are not known to be.
    pub bad: u64,
    /// How many times faster than allowed the budget is spent; `None` without events.
    pub burn: Option<f64>,
}

/// A promise that is being broken, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaViolation {
    /// Names it; counts up.
    pub id: u64,
    /// What it is of: `all`, `channel email`, `provider resend`, `campaign c12`.
    pub object: String,
    /// When it began.
    pub opened: Timestamp,
    /// When it was over; `None` while it goes on.
    pub ended: Option<Timestamp>,
    /// The fastest that the budget burned, over the short window of the rule that opened it.
    pub peak_burn: f64,
    /// Bad events at the peak, in an hour.
    pub bad: u64,
    /// What was behind it, as far as it is known.
    pub cause: String,
    /// Who has seen it; empty for nobody.
    pub acknowledged_by: String,
}

/// How one promise stands; live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaRow {
    /// What it is of: `all`, `channel email`, `provider resend`, `campaign c12`.
    pub object: String,
    /// What share is promised, 0 to 1.
    pub target: f64,
    /// Over 30 days.
    pub status: SlaStatus,
    /// What is left of the budget of 30 days, in percent; below 0 where more was spent; `None` without events.
    pub budget_left_percent: Option<f64>,
    /// In how many seconds it would be gone at the speed of the last hour.
    pub exhausted_in_seconds: Option<u64>,
    /// Eight windows, the shortest first.
    pub windows: Vec<SlaWindow>,
    /// Events of the last day that do not count: suppressed, cancelled, refused for their recipient.
    pub excluded: u64,
    /// 95th percentile of the answer time over one to two minutes, in milliseconds; of providers and of all.
    pub p95_ms: Option<u32>,
    /// Share of the last 24 hours in which it could be used, 0 to 1; of providers.
    pub uptime: Option<f64>,
    /// Accepted a second, over the last ten seconds.
    pub throughput: f64,
    /// The violation under way.
    pub violation: Option<SlaViolation>,
}
