//! What an import says of a guest list while it reads it.

use serde::{Deserialize, Serialize};

/// Whether a record was lost to its problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The record was imported; what the problem names was dropped or read with a grain of salt.
    Warning,
    /// The record was not imported.
    Rejected,
    /// The record repeats an earlier one of the same file and was left out.
    Duplicate,
}

/// What is wrong, for programs; the sentence is in [`ImportProblem::message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The e-mail address cannot be used.
    Email,
    /// The telephone number cannot be used, or not for text messages.
    Phone,
    /// The RSVP status is none of the three.
    Rsvp,
    /// A yes-or-no cell says neither.
    YesNo,
    /// The country is no ISO 3166-1 code.
    Country,
    /// The time zone is not known.
    Timezone,
    /// A channel in the order of preference is not known.
    Preference,
    /// The language tag is none.
    Locale,
    /// The Slack id cannot be used.
    Slack,
    /// More or fewer cells than the header has.
    Columns,
    /// No address by which the guest could be reached.
    NoAddress,
    /// A quote that is never closed.
    UnclosedQuote,
    /// A cell longer than the cap.
    TooLong,
    /// A byte sequence that is not valid in the file's encoding.
    Encoding,
    /// The same guest stood earlier in the file.
    Duplicate,
    /// Something this console does not know yet.
    #[serde(other)]
    Unknown,
}

/// One problem of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProblem {
    /// The line on which the record begins, from 1; the header is line 1.
    pub line: u64,
    /// The header of the column, as the file writes it; empty when it concerns the whole record.
    pub column: String,
    /// Whether the record was lost.
    pub severity: Severity,
    /// What kind of problem it is.
    pub kind: ProblemKind,
    /// What is wrong and what to do, in a sentence. Never the cell's own text beyond what is needed to find it.
    pub message: String,
}

/// How far an import has come. Counts only grow while one import runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Bytes of the file taken so far.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Guests that are new.
    pub added: u64,
    /// Guests that were known and changed.
    pub updated: u64,
    /// Guests that were known and are the same.
    pub unchanged: u64,
    /// Records that repeat an earlier one of the same file.
    pub duplicates: u64,
    /// Records that were not imported.
    pub rejected: u64,
    /// Records imported with at least one warning.
    pub warned: u64,
    /// How the file was read, e.g. `UTF-8 with byte order mark, comma`; empty until known.
    pub format: String,
    /// Problems found since the last report, at most a few hundred at a time.
    pub problems: Vec<ImportProblem>,
    /// Problems beyond those that were reported, so that nothing is left out silently.
    pub problems_left_out: u64,
}
