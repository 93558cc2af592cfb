//! The daemon at a glance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Channel, Control, StateCounts, Timestamp};

/// One word for how something is. Always shown as word, glyph and colour together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Works.
    #[default]
    Ok,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Critical,
    /// Not known.
    #[serde(other)]
    Unknown,
}

impl Health {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The daemon at a glance; live.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Overview {
    /// `production`, `staging` or whatever the configuration calls it.
    pub environment: String,
    /// The daemon's version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// One word for the whole.
    pub health: Health,
    /// What is wrong, worst first, each a line that says what to do; empty when nothing is.
    pub findings: Vec<(Health, String)>,
    /// Messages of all campaigns that are not deleted, by state.
    pub counts: StateCounts,
    /// Messages accepted since midnight UTC.
    pub accepted_today: u64,
    /// Messages accepted a second, over the last ten seconds.
    pub rate: f64,
    /// Failed attempts in percent of all, over the last five minutes.
    pub error_rate_percent: f64,
    /// From claim to outcome, 95th percentile over the last minute, in milliseconds.
    pub processing_p95_ms: Option<u32>,
    /// Campaigns that run, wait, or are paused.
    pub campaigns_open: u32,
    /// What operators keep in force: holds, and how providers are steered; oldest first.
    pub controls: Vec<Control>,
    /// Channels that have one provider only, so that nothing takes over when it breaks.
    pub no_standby: Vec<Channel>,
    /// Consoles and other clients attached.
    pub clients: u32,
    /// Memory of the daemon in bytes (resident set).
    pub memory_bytes: u64,
    /// Accepted messages a second, one figure each for the last 60 seconds, oldest first.
    pub history: Vec<u32>,
}
