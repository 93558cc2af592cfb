//! Text cut into records and cells, by RFC 4180 as spreadsheets understand it.
//!
//! Promises that every line is accounted for, that pushing a text in pieces cuts it as pushing it whole, that a record
//! never takes more than 256 KiB, and that a quote which is never closed costs no line but its own. A quote counts as
//! never closed at the end of the file, at 256 KiB, and where it closes on a later line in the middle of a cell: there it
//! met the opening quote of another guest.

use std::borrow::Cow;

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

/// Most bytes that a record may take; beyond, a quote counts as not closed and a line as no record.
pub(super) const RECORD_MAX: usize = 256 * 1024;

/// One record, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    pub(super) content: Content,
}

/// What a record turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Cells(Vec<Cell>),
    /// A quote that opens on line `opened` and is never closed.
    Unclosed {
        opened: u64,
    },
    /// A single line of more than [`RECORD_MAX`] bytes.
    TooLong,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cell {
    /// Its text, with U+FFFD where bytes could not be decoded.
    pub(super) text: String,
    /// Whether it had such bytes; what the decoder leaves for them is no UTF-8 either.
    pub(super) undecodable: bool,
}

/// Cuts text into records.
pub(super) struct Records {
    separator: u8,
    reader: Reader,
    /// Text that is not yet cut, from `start` on.
    text: Vec<u8>,
    /// Where the record in hand begins.
    start: usize,
    /// How far the reader has read.
    read: usize,
    /// Where the cell in hand begins.
    cell_start: usize,
    /// Unescaped cells of the record in hand, one after the other, and their ends.
    cells: Vec<u8>,
    filled: usize,
    ends: Vec<usize>,
    /// The line at `start`, and whether a carriage return stands right before it.
    line: u64,
    after_cr: bool,
    /// Within a line that is too long, which is left out up to its end.
    skipping: bool,
    finished: bool,
}

impl Records {
    /// A cutter for cells separated by `separator`; the text begins on line `line`.
    pub(super) fn new(separator: u8, line: u64) -> Self {
        Self {
            separator,
            reader: fresh_reader(separator),
            text: Vec::new(),
            start: 0,
            read: 0,
            cell_start: 0,
            cells: vec![0; RECORD_MAX + 1],
            filled: 0,
            ends: Vec::new(),
            line,
            after_cr: false,
            skipping: false,
            finished: false,
        }
    }

    /// The room into which more text is appended.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.start > 64 * 1024 {
            self.text.drain(..self.start);
            self.read -= self.start;
            self.cell_start -= self.start;
            self.start = 0;
        }
        &mut self.text
    }

    /// Says that no more text will come.
    pub(super) fn finish(&mut self) {
        if !self.finished {
            // A line end closes the last record, and does nothing inside a quote that is still open.
            self.text.push(b'\n');
            self.finished = true;
        }
    }

    /// The next record that is complete. Blank lines are passed over.
    pub(super) fn next(&mut self) -> Option<Record> {
        if self.skipping && !self.skip_line() {
            return None;
        }
        if self.read == self.start {
            self.pass_line_ends();
        }
        loop {
            let end = self.text.len().min(self.start + RECORD_MAX);
            if self.read == end {
                return if self.read - self.start >= RECORD_MAX {
                    Some(self.over_long())
                } else if self.finished && self.read > self.start {
                    // The closing line end was eaten by a quote.
                    Some(self.unclosed())
                } else {
                    None
                };
            }
            let (result, taken, put) =
                self.reader.read_field(&self.text[self.read..end], &mut self.cells[self.filled..]);
            self.read += taken;
            self.filled += put;
            if let ReadFieldResult::Field { record_end } = result {
                self.ends.push(self.filled);
                if record_end {
                    return Some(self.complete());
                }
                self.cell_start = self.read;
            }
        }
    }

    /// Passes over line ends between records, counting them.
    fn pass_line_ends(&mut self) {
        while let Some(&byte) = self.text.get(self.start)
            && matches!(byte, b'\r' | b'\n')
        {
            self.advance(self.start + 1);
        }
        (self.read, self.cell_start) = (self.start, self.start);
    }

    /// Moves the beginning of the record in hand to `to`, counting the lines between: CR LF, LF and CR end one each.
    fn advance(&mut self, to: usize) {
        for &byte in &self.text[self.start..to] {
            self.line += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
            self.after_cr = byte == b'\r';
        }
        self.start = to;
    }

    fn complete(&mut self) -> Record {
        if let Some(quote) = self.quote_that_met_another() {
            self.cell_start = quote;
            return self.unclosed();
        }
        let mut from = 0;
        let cells = self.ends.iter().map(|&end| cell(&self.cells[std::mem::replace(&mut from, end)..end])).collect();
        let line = self.line;
        self.restart_at(self.read);
        Record { line, content: Content::Cells(cells) }
    }

    /// Rejects the record in hand and goes on with the line after the one on which its last cell opened a quote.
    fn unclosed(&mut self) -> Record {
        let line = self.line;
        self.advance(self.cell_start);
        let opened = self.line;
        let rest = &self.text[self.start..];
        let ends = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).map_or(rest.len(), |at| at + 1);
        self.restart_at(self.start + ends);
        self.reader = fresh_reader(self.separator);
        Record { line, content: Content::Unclosed { opened } }
    }

    fn over_long(&mut self) -> Record {
        // A line end that belongs to the cell ends nothing. The reader is asked itself, not a clone of it (`Clone` of
        // csv-core 0.1.13 copies its tables in part); both ways on take a fresh one.
        let in_quotes = self.reader.read_field(b"\n", &mut [0; 4]).0 == ReadFieldResult::InputEmpty;
        if in_quotes {
            return self.unclosed();
        }
        let line = self.line;
        self.restart_at(self.read);
        self.reader = fresh_reader(self.separator);
        self.skipping = true;
        Record { line, content: Content::TooLong }
    }

    /// Leaves out text up to the end of its line; whether that was found.
    fn skip_line(&mut self) -> bool {
        let rest = &self.text[self.start..];
        let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
        self.skipping = end.is_none();
        self.restart_at(self.start + end.unwrap_or(rest.len()));
        end.is_some()
    }

    fn restart_at(&mut self, place: usize) {
        self.advance(place);
        (self.read, self.cell_start, self.filled) = (place, place, 0);
        self.ends.clear();
    }

    /// In a record of several lines: where a quoted cell begins that spans lines and whose closing quote is followed by
    /// something else than a separator or a line end.
    fn quote_that_met_another(&self) -> Option<usize> {
        let raw = &self.text[self.start..self.read];
        let body = raw.strip_suffix(b"\n").unwrap_or(raw);
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        if !body.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            return None;
        }
        let mut at = 0;
        while at < body.len() {
            let begin = at;
            if body[at] == b'"' {
                let mut spans = false;
                at += 1;
                loop {
                    match body.get(at)? {
                        b'"' if body.get(at + 1) == Some(&b'"') => at += 1,
                        b'"' => break,
                        byte => spans |= matches!(byte, b'\r' | b'\n'),
                    }
                    at += 1;
                }
                at += 1;
                let padding = body[at..].iter().take_while(|&&b| b == b' ').count();
                let closes = body.get(at + padding).is_none_or(|b| *b == self.separator || matches!(b, b'\r' | b'\n'));
                if spans && !closes {
                    return Some(self.start + begin);
                }
            }
            at = body[at..].iter().position(|b| *b == self.separator).map_or(body.len(), |offset| at + offset + 1);
        }
        None
    }
}

/// A reader that takes a byte order mark for text: the file's own is gone by now, and looking for another would make
/// the cut depend on how the text came in pieces.
fn fresh_reader(separator: u8) -> Reader {
    let mut reader = ReaderBuilder::new().delimiter(separator).build();
    reader.read_field(b"\n", &mut [0; 4]);
    reader
}

fn cell(bytes: &[u8]) -> Cell {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cell { text: text.to_owned(), undecodable: false },
        Cow::Owned(text) => Cell { text, undecodable: true },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &[u8], step: usize) -> Vec<Record> {
        let mut records = Records::new(b',', 1);
        let mut all = Vec::new();
        for piece in text.chunks(step) {
            records.text().extend_from_slice(piece);
            all.extend(std::iter::from_fn(|| records.next()));
        }
        records.finish();
        all.extend(std::iter::from_fn(|| records.next()));
        all
    }

    /// Records as `line:a|b`, `line!opened` for a quote that is not closed and `line~` for a line too long.
    fn shown(text: &str, step: usize) -> Vec<String> {
        cut(text.as_bytes(), step)
            .into_iter()
            .map(|record| match record.content {
                Content::Cells(cells) => {
                    let cells: Vec<String> = cells.into_iter().map(|c| c.text).collect();
                    format!("{}:{}", record.line, cells.join("|"))
                }
                Content::Unclosed { opened } => format!("{}!{opened}", record.line),
                Content::TooLong => format!("{}~", record.line),
            })
            .collect()
    }

    #[test]
    fn records_are_cut_as_spreadsheets_write_them() {
        for (text, records) in [
            ("a,b\nc,d", vec!["1:a|b", "2:c|d"]),
            ("a,b\r\nc,d\r\n", vec!["1:a|b", "2:c|d"]),
            ("a,b\rc,d\r", vec!["1:a|b", "2:c|d"]),
            ("a\n\n\r\nb\n", vec!["1:a", "4:b"]),
            ("\"a,\"\"x\"\"\",b", vec!["1:a,\"x\"|b"]),
            ("\"a\nb\",c\r\nd,e", vec!["1:a\nb|c", "3:d|e"]),
            ("a\"b\",c", vec!["1:a\"b\"|c"]),
            ("a,\nb,,\n", vec!["1:a|", "2:b||"]),
            ("", vec![]),
        ] {
            for step in [1, 2, 7, 1000] {
                assert_eq!(shown(text, step), records, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_line_only() {
        for (text, records) in [
            ("a,b\n\"c,d\ne,f\ng,h", vec!["1:a|b", "2!2", "3:e|f", "4:g|h"]),
            ("a,b\n\"c\nd\",\"e\nf,g\n", vec!["1:a|b", "2!3", "4:f|g"]),
            // It closes where the next quoted cell opens: the lines between are records of their own.
            ("a,\"b\nc,d\ne,\"f, g\"\n", vec!["1!1", "2:c|d", "3:e|f, g"]),
            ("\"a\" ,\"b\nc\" \nd", vec!["1:a |b\nc ", "3:d"]),
            ("\"", vec!["1!1"]),
        ] {
            for step in [1, 3, 1000] {
                assert_eq!(shown(text, step), records, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_record_beyond_the_bound_is_given_up() {
        let long = "x".repeat(RECORD_MAX);
        assert_eq!(shown(&format!("a\n{long}yz\nb"), 50_000), ["1:a", "2~", "3:b"]);
        let lines = "y\n".repeat(RECORD_MAX / 2 + 10);
        let shown = shown(&format!("a\n\"{lines}z\n"), 50_000);
        assert_eq!((shown[1].as_str(), shown[2].as_str()), ("2!2", "3:y"));
        assert_eq!(shown.len(), 2 + RECORD_MAX / 2 + 9 + 1);
    }

    #[test]
    fn undecodable_bytes_mark_their_cell() {
        let records = cut(b"a\xff,b", 1);
        let Content::Cells(cells) = &records[0].content else { panic!("{records:?}") };
        assert_eq!((cells[0].undecodable, cells[1].undecodable), (true, false));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[a\",\r\n é]{0,60}", step in 1_usize..9) {
            prop_assert_eq!(cut(text.as_bytes(), step), cut(text.as_bytes(), 1000));
        }

        #[test]
        fn records_begin_on_lines_that_rise(text in "[a\",\r\n]{0,80}") {
            let lines: Vec<u64> = cut(text.as_bytes(), 5).iter().map(|record| record.line).collect();
            prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", lines);
        }
    }
}
