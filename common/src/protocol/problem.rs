//! Errors as they travel: a code for programs, a sentence and a remedy for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// What was asked for does not exist.
    NotFound,
    /// It changed since the client saw it, or its state does not allow the act.
    Conflict,
    /// The input cannot be used.
    Invalid,
    /// A rule forbids it.
    Refused,
    /// The caller may not.
    Denied,
    /// The daemon cannot do it now; it may later.
    Unavailable,
    /// The daemon failed in a way that is its own fault.
    Internal,
    /// A code that this client does not know.
    #[serde(other)]
    Unknown,
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub code: ProblemCode,
    /// What is wrong, and with what, in a sentence.
    pub message: String,
    /// What to do about it, in a sentence; empty when the message says it.
    pub remedy: String,
}

impl Problem {
    /// A problem with a remedy.
    pub fn new(code: ProblemCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
