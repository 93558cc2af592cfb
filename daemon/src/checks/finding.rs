//! What a check found, before it is named and timed: one line of fact, and one of advice where it is wanted.

use usher_common::model::Grade;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub grade: Grade,
    /// What was seen, with the figures.
    pub reason: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    pub fn pass(reason: impl Into<String>) -> Self {
        Self { grade: Grade::Pass, reason: reason.into(), remedy: String::new() }
    }

    /// Not looked at, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { grade: Grade::Skip, reason: reason.into(), remedy: String::new() }
    }

    /// Works, but somebody should look.
    pub fn warn(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, reason: reason.into(), remedy: remedy.into() }
    }

    /// Does not work.
    pub fn fail(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, reason: reason.into(), remedy: remedy.into() }
    }
}
