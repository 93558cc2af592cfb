//! Guest lists read from CSV, as people really export it, piece by piece and in constant memory.
//!
//! Promises that nothing is lost silently: each record becomes a guest, a duplicate or a rejection, each with its line,
//! and all that was not taken as it stands is named with its column. One bad record costs no other. Pushing a file in
//! pieces says the same as pushing it whole. Memory grows by the table of duplicates alone, under 24 bytes a guest.

use usher_common::model::{Guest, ImportProblem, ProblemKind, Severity};

use super::cell::{self, Defaults};
use super::duplicates::Duplicates;
use super::encoding::{Decoder, Encoding};
use super::fold::{clean, unguard};
use super::header::{Field, Header};
use super::import_error::ImportError;
use super::record::{Cell, Content, Record, Records};

/// Bytes from which encoding and separator are told; a shorter file is told from all of it.
const PREFIX: usize = 64 * 1024;
/// Records that are looked at to tell the separator.
const SAMPLE: usize = 20;
/// Quotes that may stay open before the file counts as broken; it bounds the work that a hostile file can make.
const UNCLOSED_MAX: u64 = 1000;
/// Separators, most usual first.
const SEPARATORS: [(u8, &str); 4] = [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab"), (b'|', "pipe")];

/// What an import is told beside the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// What holds where a row says nothing.
    pub defaults: Defaults,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Guest, duplicate or rejection.
    pub outcome: Outcome,
    /// Everything that was not taken as it stands, at most one a column and three for the whole record.
    pub problems: Vec<ImportProblem>,
    /// What the row itself says about where its data came from, as an export writes it; empty where it says nothing.
    pub source: String,
    /// Who, by the row itself, answers for it; empty where it says nothing.
    pub vouched_by: String,
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A guest with at least one address.
    Guest(Box<Guest>),
    /// The same guest as on an earlier line.
    Duplicate {
        /// That line.
        of_line: u64,
    },
    /// Nothing that could be imported.
    Rejected,
}

/// What an import has seen. `records = imported + duplicates + rejected` at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Bytes pushed.
    pub bytes: u64,
    /// Records after the header, blank rows left out.
    pub records: u64,
    /// Guests.
    pub imported: u64,
    /// Guests with at least one problem.
    pub warned: u64,
    /// Repetitions of an earlier record.
    pub duplicates: u64,
    /// Records that could not be imported.
    pub rejected: u64,
    /// Rows of nothing but separators.
    pub blank: u64,
    /// How the file was read, such as `UTF-8 with byte order mark, comma`; empty until that is known.
    pub format: String,
    /// Each column's title with the name of the field that it was read as.
    pub columns: Vec<(String, String)>,
}

/// Reads one file. After an error it reads nothing more.
pub struct Importer {
    options: ImportOptions,
    summary: Summary,
    stage: Stage,
    unclosed: u64,
}

enum Stage {
    /// Too little has come to tell the format.
    Prefix(Vec<u8>),
    Reading(Box<Reading>),
    Failed,
}

struct Reading {
    decoder: Decoder,
    separator: &'static str,
    records: Records,
    header: Header,
    seen: Duplicates,
}

impl Importer {
    /// An importer for one file.
    pub fn new(options: ImportOptions) -> Self {
        Self { options, summary: Summary::default(), stage: Stage::Prefix(Vec::new()), unclosed: 0 }
    }

    /// What has been seen so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes the next bytes of the file and returns the records that they complete. Nothing comes back until the first
    /// 64 KiB, or [`finish`](Self::finish), have shown how the file is written.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Parsed>, ImportError> {
        let result = self.take(bytes, false);
        if result.is_err() {
            self.stage = Stage::Failed;
        }
        result
    }

    /// Says that the file ends here; returns the last records and what was seen in all.
    pub fn finish(mut self) -> Result<(Vec<Parsed>, Summary), ImportError> {
        let parsed = self.take(&[], true)?;
        Ok((parsed, self.summary))
    }

    fn take(&mut self, bytes: &[u8], last: bool) -> Result<Vec<Parsed>, ImportError> {
        self.summary.bytes += bytes.len() as u64;
        let mut rest = bytes;
        if let Stage::Prefix(prefix) = &mut self.stage {
            let (head, tail) = bytes.split_at(bytes.len().min(PREFIX - prefix.len()));
            prefix.extend_from_slice(head);
            rest = tail;
            if prefix.len() < PREFIX && !last {
                return Ok(Vec::new());
            }
            let prefix = std::mem::take(prefix);
            self.stage = Stage::Reading(Box::new(self.begin(&prefix, last)?));
        }
        let Stage::Reading(reading) = &mut self.stage else { return Err(ImportError::Failed) };
        reading.decoder.decode(rest, last, reading.records.text());
        if last {
            reading.records.finish();
        }
        self.summary.format = format!("{}, {}", reading.decoder.encoding().name(), reading.separator);
        let mut parsed = Vec::new();
        while let Some(record) = reading.records.next() {
            if let Content::Unclosed { opened } = record.content {
                self.unclosed += 1;
                if self.unclosed > UNCLOSED_MAX {
                    return Err(ImportError::Quotes { line: opened, quotes: self.unclosed });
                }
            }
            match reading.parse(record, &self.options.defaults) {
                Some(one) => {
                    self.summary.count(&one);
                    parsed.push(one);
                }
                None => self.summary.blank += 1,
            }
        }
        Ok(parsed)
    }

    /// Tells the format from the first bytes and understands the header.
    fn begin(&mut self, prefix: &[u8], whole: bool) -> Result<Reading, ImportError> {
        if whole && prefix.iter().all(u8::is_ascii_whitespace) {
            return Err(ImportError::Empty);
        }
        let (encoding, mark) = Encoding::of(prefix, whole)?;
        let mut decoder = Decoder::new(encoding);
        let mut text = Vec::new();
        decoder.decode(&prefix[mark..], false, &mut text);
        let (declared, skip) = declared_separator(&text);
        let text = &text[skip..];
        let first_line = if skip == 0 { 1 } else { 2 };
        let (separator, name) = declared.unwrap_or_else(|| likely_separator(text));
        let mut records = Records::new(separator, first_line);
        records.text().extend_from_slice(text);
        if whole {
            // Whatever the decoder still holds back belongs to the text, too.
            decoder.decode(&[], true, records.text());
            records.finish();
        }
        let header = loop {
            let record = records.next().ok_or(if whole {
                ImportError::Empty
            } else {
                ImportError::NoLines { bytes: PREFIX }
            })?;
            match record.content {
                Content::Cells(cells) if is_blank(&cells) => self.summary.blank += 1,
                Content::Cells(cells) => {
                    let cells: Vec<String> = cells.into_iter().map(|cell| cell.text).collect();
                    break Header::read(&cells, record.line)?;
                }
                Content::Unclosed { opened } => return Err(ImportError::HeaderQuote { line: opened }),
                Content::TooLong => return Err(ImportError::NoLines { bytes: PREFIX }),
            }
        };
        self.summary.columns = header.columns.iter().map(|c| (c.title.clone(), c.field.name().to_owned())).collect();
        Ok(Reading { decoder, separator: name, records, header, seen: Duplicates::new() })
    }
}

impl Summary {
    fn count(&mut self, parsed: &Parsed) {
        self.records += 1;
        match parsed.outcome {
            Outcome::Guest(_) => {
                self.imported += 1;
                self.warned += u64::from(!parsed.problems.is_empty());
            }
            Outcome::Duplicate { .. } => self.duplicates += 1,
            Outcome::Rejected => self.rejected += 1,
        }
    }
}

impl Reading {
    /// Makes a guest of a record, or says why not; `None` for a row of nothing but separators.
    fn parse(&mut self, record: Record, defaults: &Defaults) -> Option<Parsed> {
        let line = record.line;
        match record.content {
            Content::Cells(cells) if is_blank(&cells) => None,
            Content::Cells(cells) => Some(self.parse_cells(line, &cells, defaults)),
            Content::Unclosed { opened } => Some(Parsed::rejected(
                line,
                ProblemKind::UnclosedQuote,
                format!(
                    "a quote opens on line {opened} and is never closed: close it, or double it where it belongs to \
                     the text. Reading went on with the next line"
                ),
            )),
            Content::TooLong => Some(Parsed::rejected(
                line,
                ProblemKind::TooLong,
                "the line has more than 262144 bytes, so it cannot be a guest: look at it in a text editor".to_owned(),
            )),
        }
    }

    fn parse_cells(&mut self, line: u64, cells: &[Cell], defaults: &Defaults) -> Parsed {
        let mut parsed = Parsed::rejected(line, ProblemKind::Unknown, String::new());
        parsed.problems.clear();
        self.check_width(cells, &mut parsed);
        let mut guest = Guest::default();
        let (mut first, mut last) = (String::new(), String::new());
        // The country tells how a national telephone number is meant, wherever its column stands.
        let is_country = |field: &Field| *field == Field::Country;
        for countries in [true, false] {
            for (column, cell) in self.header.columns.iter().zip(cells) {
                if is_country(&column.field) != countries {
                    continue;
                }
                if let Some(text) = readable(cell, &column.title, &column.field, &mut parsed) {
                    match column.field {
                        Field::FirstName => first = clean(text),
                        Field::LastName => last = clean(text),
                        Field::Source => parsed.source = clean(unguard(text.trim())),
                        Field::VouchedBy => parsed.vouched_by = clean(unguard(text.trim())),
                        ref field => {
                            if let Some(finding) = cell::set(&mut guest, field, text, defaults) {
                                parsed.say(&column.title, finding.kind, finding.told());
                            }
                        }
                    }
                }
            }
        }
        join_names(&mut guest.name, &first, &last);
        self.judge(guest, &mut parsed);
        parsed
    }

    fn check_width(&self, cells: &[Cell], parsed: &mut Parsed) {
        let (columns, found) = (self.header.columns.len(), cells.len());
        if found < columns {
            let message = format!("the row has {found} of {columns} cells: the missing ones were read as empty");
            parsed.say("", ProblemKind::Columns, message);
        } else if !is_blank(&cells[columns..]) {
            let message = format!(
                "the row has {found} cells and the header {columns}: the surplus was left out. If a cell has the \
                 separator in it, put it in double quotes"
            );
            parsed.say("", ProblemKind::Columns, message);
        }
    }

    /// Decides what becomes of a guest whose cells are read.
    fn judge(&mut self, guest: Guest, parsed: &mut Parsed) {
        let (key, what) = match (&guest.email, &guest.phone, &guest.slack) {
            (Some(email), _, _) => (format!("e{}", email.to_lowercase()), "e-mail address"),
            // Families share telephones, and each of them is invited.
            (None, Some(phone), _) => (format!("p{phone} {}", guest.name.to_lowercase()), "telephone number and name"),
            (None, None, Some(slack)) => (format!("s{slack}"), "Slack id"),
            (None, None, None) => {
                let message = "there is no address left by which this guest could be reached: add an e-mail address \
                               or a telephone number";
                parsed.say("", ProblemKind::NoAddress, message.to_owned());
                for problem in &mut parsed.problems {
                    problem.severity = Severity::Rejected;
                }
                return;
            }
        };
        if let Some(of_line) = self.seen.note(&key, parsed.line) {
            parsed.problems.clear();
            parsed.say(
                "",
                ProblemKind::Duplicate,
                format!("the same {what} stands on line {of_line}: this row was left out"),
            );
            for problem in &mut parsed.problems {
                problem.severity = Severity::Duplicate;
            }
            parsed.outcome = Outcome::Duplicate { of_line };
            return;
        }
        parsed.outcome = Outcome::Guest(Box::new(guest));
    }
}

impl Parsed {
    fn rejected(line: u64, kind: ProblemKind, message: String) -> Self {
        let problem = ImportProblem { line, column: String::new(), severity: Severity::Rejected, kind, message };
        let (source, vouched_by) = (String::new(), String::new());
        Self { line, outcome: Outcome::Rejected, problems: vec![problem], source, vouched_by }
    }

    fn say(&mut self, column: &str, kind: ProblemKind, message: String) {
        let (line, column) = (self.line, column.to_owned());
        self.problems.push(ImportProblem { line, column, severity: Severity::Warning, kind, message });
    }
}

/// The text of a cell. Of one with bytes that could not be decoded, that is said; an address with such bytes is not the
/// guest's any more and is dropped, any other text is kept with U+FFFD in their place.
fn readable<'a>(cell: &'a Cell, title: &str, field: &Field, parsed: &mut Parsed) -> Option<&'a str> {
    if !cell.undecodable {
        return Some(&cell.text);
    }
    let address = matches!(field, Field::Email | Field::Phone | Field::Slack);
    let fate = if address { "it was left out" } else { "they show as \u{fffd}" };
    let message =
        format!("the cell has bytes that are not valid in the file's encoding; {fate}: save the file as UTF-8");
    parsed.say(title, ProblemKind::Encoding, message);
    (!address).then_some(&cell.text)
}

/// Joins the parts of a name, unless the list has whole names, too; then the given name goes before one without it.
fn join_names(name: &mut String, first: &str, last: &str) {
    if name.is_empty() {
        *name = clean(&format!("{first} {last}"));
    } else if !first.is_empty() && last.is_empty() && !name.split(' ').any(|word| word.eq_ignore_ascii_case(first)) {
        *name = format!("{first} {name}");
    }
}

fn is_blank(cells: &[Cell]) -> bool {
    cells.iter().all(|cell| cell.text.trim().is_empty())
}

/// A separator that the file declares itself, as Excel does with a first line `sep=;`, and how long that line is.
fn declared_separator(text: &[u8]) -> (Option<(u8, &'static str)>, usize) {
    let line_end = text.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(text.len());
    match &text[..line_end] {
        [s, e, p, b'=', separator] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            let known = SEPARATORS.into_iter().find(|(byte, _)| byte == separator);
            let ends = if text[line_end..].starts_with(b"\r\n") { 2 } else { 1 };
            (known, if known.is_some() { (line_end + ends).min(text.len()) } else { 0 })
        }
        _ => (None, 0),
    }
}

/// The separator by which most columns of the header have known names; between equals, the one by which most of the
/// first rows are as wide as the header; then the one that makes most columns.
fn likely_separator(text: &[u8]) -> (u8, &'static str) {
    let score = |separator: u8| {
        let mut records = Records::new(separator, 1);
        records.text().extend_from_slice(text);
        records.finish();
        let rows: Vec<Vec<Cell>> = std::iter::from_fn(|| records.next())
            .filter_map(|record| match record.content {
                Content::Cells(cells) if !is_blank(&cells) => Some(cells),
                _ => None,
            })
            .take(SAMPLE)
            .collect();
        let Some((header, rest)) = rows.split_first() else { return (0, 0, 0) };
        let titles: Vec<String> = header.iter().map(|cell| cell.text.clone()).collect();
        let as_wide = rest.iter().filter(|row| header.len() > 1 && row.len() == header.len()).count();
        (Header::recognised(&titles), as_wide, header.len())
    };
    let mut best = (SEPARATORS[0], score(SEPARATORS[0].0));
    for candidate in &SEPARATORS[1..] {
        let found = score(candidate.0);
        if found > best.1 {
            best = (*candidate, found);
        }
    }
    best.0
}
