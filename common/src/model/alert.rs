//! Alerts: what is wrong, how much it matters, and where it stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// How much an alert or an incident matters, and how soon somebody has to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Nothing goes out, or the store has stopped: answered within 15 minutes.
    P0,
    /// A channel or a promise is about to break: answered within an hour.
    P1,
    /// Something is worse than it should be: answered within four hours.
    P2,
    /// Somebody should look: answered on the next business day.
    P3,
    /// A priority that this console does not know.
    #[serde(other)]
    Unknown,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::P0, Self::P1, Self::P2, Self::P3];

    /// The word in configuration, JSON and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::Unknown => "P?",
        }
    }

    /// Whether somebody is woken for it.
    pub fn pages(self) -> bool {
        matches!(self, Self::P0 | Self::P1)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a priority: write P0, P1, P2 or P3")]
pub struct ParsePriorityError(pub String);

impl FromStr for Priority {
    type Err = ParsePriorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| ParsePriorityError(text.to_owned()))
    }
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Its condition does not hold.
    #[default]
    Inactive,
    /// It holds, but not long enough yet.
    Pending,
    /// It holds.
    Firing,
    /// It holds no longer, but not for long enough yet.
    Recovering,
    /// It is over.
    Resolved,
    /// A state that this console does not know.
    #[serde(other)]
    Unknown,
}

impl AlertState {
    /// The word in JSON and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
            Self::Resolved => "resolved",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is told to somebody as being so.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering)
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An alert; live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// The rule's name.
    pub rule: String,
    /// What it concerns, in the words of the log; empty for the daemon.
    pub object: String,
    /// Where it stands.
    pub state: AlertState,
    /// How much it matters.
    pub priority: Priority,
    /// What is wrong, in a line.
    pub summary: String,
    /// What is behind it.
    pub detail: String,
    /// What to do first.
    pub action: String,
    /// The figure.
    pub value: f64,
    /// What it is compared with.
    pub threshold: f64,
    /// Since when.
    pub since: Timestamp,
    /// Whether somebody was told.
    pub told: bool,
    /// Why nobody is: a silence, a maintenance window, or something worse that speaks for it; empty where somebody is.
    pub quiet: String,
    /// Until when somebody has taken it over.
    pub acknowledged_until: Option<Timestamp>,
}

impl AlertRow {
    /// What names it.
    pub fn key(&self) -> String {
        format!("{}\u{0}{}", self.rule, self.object)
    }
}

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceRow {
    /// Names it.
    pub id: u64,
    /// The rules that it is over: a name, or one with `*`.
    pub rule: String,
    /// The objects that it is over, likewise.
    pub object: String,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRow {
    /// Its name.
    pub name: String,
    /// Until when it lasts, if it does now.
    pub until: Option<Timestamp>,
    /// When it begins next.
    pub next: Option<Timestamp>,
}

/// A channel by which somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertChannelRow {
    /// Its name.
    pub name: String,
    /// When it last took something, since the daemon started.
    pub taken: Option<Timestamp>,
    /// What it said when it last did not; empty where it never did not.
    pub said: String,
    /// Notices that wait for it.
    pub waiting: u32,
    /// Whether it wakes somebody.
    pub pages: bool,
}

/// Everything about alerts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AlertPage {
    /// Alerts that are pending, firing or recovering, the most urgent and oldest first.
    pub alerts: Vec<AlertRow>,
    /// Silences in force.
    pub silences: Vec<SilenceRow>,
    /// Maintenance windows.
    pub windows: Vec<MaintenanceRow>,
    /// Channels.
    pub channels: Vec<AlertChannelRow>,
}

/// What came of a trial of an alert channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertTrial {
    /// The channel.
    pub channel: String,
    /// Whether it took it.
    pub taken: bool,
    /// What it said where it did not.
    pub said: String,
    /// How long that took, in milliseconds.
    pub took_ms: u32,
}
