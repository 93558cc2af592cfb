//! Named checks: before a deploy, after a start, after a deploy, and of a machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It is as it should be.
    Pass,
    /// It could not be looked at, or there is nothing to look at; the reason says which.
    Skip,
    /// It works, but somebody should look.
    Warn,
    /// It does not work, or soon will not.
    Fail,
    /// A word that this console does not know.
    #[serde(other)]
    Unknown,
}

impl Grade {
    /// The word in JSON and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which checks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckSet {
    /// Whether it is a good moment, and the world outside is ready.
    PreDeploy,
    /// Whether the daemon does its work at all; over within seconds.
    Smoke,
    /// Whether the daemon that was just started is the right one and does as well as the one before.
    PostDeploy,
    /// A word that this daemon does not know.
    #[serde(other)]
    Unknown,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRow {
    /// Its name, dotted, the same in every run, e.g. `dns.example.com.spf`.
    pub name: String,
    /// What it found.
    pub grade: Grade,
    /// What was seen, with the figures.
    pub reason: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}

impl CheckRow {
    /// The worst of these; `Pass` of none. What was skipped is no worse than what passed.
    pub fn worst(rows: &[Self]) -> Grade {
        rows.iter().map(|row| row.grade).max().unwrap_or(Grade::Pass)
    }
}
