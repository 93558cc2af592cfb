//! Errors on their way out: each room's error with the code that a program branches on.

use usher_common::protocol::{Problem, ProblemCode};

use crate::campaigns::CampaignError;
use crate::dispatch::{SteerError, TrialError};
use crate::guests::BookError;
use crate::store;

/// An error as it travels.
pub(super) trait ToProblem {
    /// With its code and its remedy.
    fn problem(&self) -> Problem;
}

impl ToProblem for store::Error {
    fn problem(&self) -> Problem {
        let (code, remedy) = match self {
            Self::Missing { .. } => (ProblemCode::NotFound, ""),
            Self::Taken { .. } | Self::Changed { .. } => (ProblemCode::Conflict, ""),
            Self::Commit(_) => (ProblemCode::Unavailable, "see the daemon's log, and the findings of `usher status`"),
            Self::Read(_) | Self::Record { .. } => (ProblemCode::Internal, "see the daemon's log"),
        };
        Problem::new(code, self.to_string(), remedy)
    }
}

impl ToProblem for BookError {
    fn problem(&self) -> Problem {
        match self {
            Self::Store(error) => error.problem(),
            Self::NoGuest { .. } => Problem::new(ProblemCode::NotFound, self.to_string(), ""),
            Self::Known { .. } | Self::InUse { .. } => Problem::new(ProblemCode::Conflict, self.to_string(), ""),
            Self::Vault(_) => Problem::new(ProblemCode::Internal, self.to_string(), "see the daemon's log"),
            Self::GivenUp { .. } => Problem::new(ProblemCode::Unavailable, self.to_string(), ""),
            Self::Segment(_) | Self::Edit(_) | Self::Import(_) => {
                Problem::new(ProblemCode::Invalid, self.to_string(), "")
            }
        }
    }
}

impl ToProblem for CampaignError {
    fn problem(&self) -> Problem {
        match self {
            Self::Store(error) => error.problem(),
            Self::Book(error) => error.problem(),
            Self::Vault(_) => Problem::new(ProblemCode::Internal, self.to_string(), "see the daemon's log"),
            Self::Unknown { .. } => Problem::new(ProblemCode::NotFound, self.to_string(), ""),
            Self::State(_) | Self::Seen { .. } | Self::NameTaken { .. } => {
                Problem::new(ProblemCode::Conflict, self.to_string(), "")
            }
            Self::GivenUp => Problem::new(ProblemCode::Unavailable, self.to_string(), ""),
            Self::NotReady(_) => Problem::new(ProblemCode::Refused, self.to_string(), ""),
            Self::Template(_) | Self::Spec { .. } => Problem::new(ProblemCode::Invalid, self.to_string(), ""),
        }
    }
}

impl ToProblem for SteerError {
    fn problem(&self) -> Problem {
        let (code, remedy) = match self {
            Self::Store(error) => return error.problem(),
            Self::Provider { .. } | Self::Organisation { .. } => (ProblemCode::NotFound, ""),
            Self::Reason => (ProblemCode::Invalid, "say why with --reason"),
            Self::Span | Self::Weight | Self::Unknown => (ProblemCode::Invalid, ""),
            Self::Alone { .. }
            | Self::Drained(_)
            | Self::NoTakeOver { .. }
            | Self::NoOther { .. }
            | Self::NotHeld { .. } => (ProblemCode::Conflict, ""),
            Self::NotRecorded { .. } => {
                (ProblemCode::Unavailable, "see the daemon's log, and the findings of `usher status`")
            }
        };
        Problem::new(code, self.to_string(), remedy)
    }
}

impl ToProblem for TrialError {
    fn problem(&self) -> Problem {
        match self {
            Self::Campaign(error) => error.problem(),
            Self::Which(error) => error.problem(),
            Self::Address { .. } | Self::WhoseName(_) => Problem::new(ProblemCode::Invalid, self.to_string(), ""),
            Self::Gate(_) => Problem::new(ProblemCode::Refused, self.to_string(), ""),
            Self::NoProvider(_) | Self::NotTaken { .. } => Problem::new(ProblemCode::Unavailable, self.to_string(), ""),
        }
    }
}
