//! Alerts: what is wrong, how much it matters, and where it stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
