//! Why a file as a whole is no guest list: what it is, where that shows, and what to do.

use thiserror::Error;

use super::header::Field;

/// A file that cannot be imported. Problems of single records are not among these.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
    /// Nothing but white space.
    #[error("the file is empty: export the guest list again, as CSV with a header row")]
    Empty,
    /// Some other kind of file, by its first bytes.
    #[error("this is {what}, not a CSV file: open it in a spreadsheet and save it as CSV")]
    NotCsv {
        /// What it is, with its article.
        what: &'static str,
    },
    /// Zero bytes or control characters throughout.
    #[error("this is a binary file: byte {offset} begins something that is no text. Export the guest list as CSV")]
    Binary {
        /// Where that shows, from 0.
        offset: u64,
    },
    /// An encoding that is not read.
    #[error("the file is encoded in {encoding}, which is not read here: save it as UTF-8")]
    Encoding {
        /// Its name.
        encoding: &'static str,
    },
    /// No line ends within the first 64 KiB.
    #[error("the first {bytes} bytes have no complete line, so there is no header row: export the list as CSV")]
    NoLines {
        /// How many bytes were looked at.
        bytes: usize,
    },
    /// The header opens a quote and never closes it.
    #[error("line {line} should name the columns but opens a quote that is never closed: mend the header row")]
    HeaderQuote {
        /// The line.
        line: u64,
    },
    /// The first row is a guest.
    #[error(
        "line {line} should name the columns but looks like a guest (\"{example}\"): put a header row above it, \
         such as email,name,phone"
    )]
    NoHeader {
        /// The line.
        line: u64,
        /// The cell that gave it away.
        example: String,
    },
    /// No column by which a guest could be reached.
    #[error(
        "no column holds an address: the header has {found}. Name one of them email, phone or slack; the names \
         understood are {}",
        Field::known_names().collect::<Vec<_>>().join(", ")
    )]
    NoAddressColumn {
        /// The columns, as the file writes them.
        found: String,
    },
    /// Two columns for one field.
    #[error(
        "columns {first_at} (\"{first}\") and {second_at} (\"{second}\") would both be read as {field}: rename or \
         remove one of them"
    )]
    TwoColumns {
        /// Title of the earlier one.
        first: String,
        /// Its place, from 1.
        first_at: usize,
        /// Title of the later one.
        second: String,
        /// Its place, from 1.
        second_at: usize,
        /// What both would be.
        field: String,
    },
    /// More columns than any guest list has.
    #[error("line {line} has {found} columns and {most} are the most: is this the guest list?")]
    TooManyColumns {
        /// The line of the header.
        line: u64,
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// Quotes that do not pair, over and over.
    #[error(
        "by line {line}, {quotes} cells open a quote that is never closed: the file does not quote as CSV does. \
         Export it again with double quotes around cells and doubled quotes inside them"
    )]
    Quotes {
        /// The line of the last one.
        line: u64,
        /// How many there were.
        quotes: u64,
    },
    /// The importer was used after it had failed.
    #[error("this import has already failed: start it anew with the file mended")]
    Failed,
}
