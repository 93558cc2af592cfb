//! Service levels: what was promised, and how it stands.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// 99th percentile of the answer time over one to two minutes, in milliseconds; of providers.
    pub p99_ms: Option<u32>,
    /// Share of the last 24 hours in which it could be used, 0 to 1; of providers.
    pub uptime: Option<f64>,
    /// Accepted a second, over the last ten seconds.
    pub throughput: f64,
}
