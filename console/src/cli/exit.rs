//! Exit codes, and failures that carry theirs.

use std::io;
use std::process::ExitCode;

use usher_common::protocol::{Problem, ProblemCode};

use crate::session::{CallError, SessionError, TargetError};

/// What the program ends with; `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done; for `campaign watch`, finished.
    Done = 0,
    /// The daemon refused, or something failed.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The daemon cannot be reached.
    NotReachable = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// It changed meanwhile, or its state does not allow the act.
    Conflict = 5,
    /// `campaign watch`: ended with some failed, expired or in doubt.
    Partial = 6,
    /// `campaign watch`: cancelled.
    Cancelled = 7,
    /// Ctrl-C, while it told how far it was.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should: what, where, what to do, and the code to end with.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) remedy: String,
    /// Whoever read the output has gone; there is nobody to tell.
    pub(super) silent: bool,
}

impl Failure {
    /// A failure; what follows the first line break of the message is its remedy.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        let (message, remedy) = match message.split_once('\n') {
            Some((first, rest)) => (first.to_owned(), rest.trim().to_owned()),
            None => (message, String::new()),
        };
        let code = match exit {
            Exit::Usage => "usage",
            Exit::NotReachable => "not_reachable",
            Exit::NotFound => "not_found",
            Exit::Conflict => "conflict",
            Exit::Interrupted => "interrupted",
            _ => "failed",
        };
        Self { exit, code, message, remedy, silent: false }
    }

    /// The command line asks for what cannot be.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The daemon answered something else than what was asked.
    pub(super) fn unexpected() -> Self {
        Self::new(
            Exit::Failed,
            "the daemon answered something that this console does not know\nCompare `usher --version` with `usherd --version`.",
        )
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (exit, code) = match problem.code {
            ProblemCode::NotFound => (Exit::NotFound, "not_found"),
            ProblemCode::Conflict => (Exit::Conflict, "conflict"),
            ProblemCode::Invalid => (Exit::Failed, "invalid"),
            ProblemCode::Refused => (Exit::Failed, "refused"),
            ProblemCode::Denied => (Exit::Failed, "denied"),
            ProblemCode::Unavailable => (Exit::Failed, "unavailable"),
            ProblemCode::Internal => (Exit::Failed, "internal"),
            ProblemCode::Unknown => (Exit::Failed, "unknown"),
        };
        Self { exit, code, message: problem.message, remedy: problem.remedy, silent: false }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(problem) => problem.into(),
            CallError::Lost(_) => Self::new(Exit::NotReachable, error.to_string()),
            CallError::OtherTypes { .. } | CallError::TooLarge { .. } => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let exit = match error {
            SessionError::Denied { .. } | SessionError::Incompatible { .. } | SessionError::Frame(_) => Exit::Failed,
            SessionError::PathTooLong { .. } => Exit::Usage,
            _ => Exit::NotReachable,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::new(Exit::Failed, format!("cannot write the output: {error}")) }
    }
}
