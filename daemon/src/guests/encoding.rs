//! Bytes of a file made into UTF-8: which encoding a list was saved in, and the text in it.
//!
//! Promises that a byte sequence which is no text stays visible: it comes out as the byte 0xFF, which UTF-8 never has,
//! so that the cell it stands in can be named. A file of plain ASCII stays undecided until its first other byte, however
//! late that comes, and is then read as what that byte shows it to be.

use encoding_rs::{DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::import_error::ImportError;

/// What stands in the text for bytes that could not be decoded.
const UNDECODABLE: u8 = 0xff;

/// How a file was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Nothing but ASCII so far.
    Ascii,
    Utf8,
    Utf8WithMark,
    Utf16Le,
    Utf16Be,
    /// Also stands for Latin-1, of which it is a superset in all that is printed.
    Windows1252,
}

impl Encoding {
    /// Looks at the first bytes of a file (`whole`: at all of it) and says how it is encoded and how many bytes its mark
    /// takes, or what it is instead of text.
    pub(super) fn of(prefix: &[u8], whole: bool) -> Result<(Self, usize), ImportError> {
        if let Some(what) = other_file(prefix) {
            return Err(ImportError::NotCsv { what });
        }
        match prefix {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
                return Err(ImportError::Encoding { encoding: "UTF-32" });
            }
            [0xff, 0xfe, ..] => return Ok((Self::Utf16Le, 2)),
            [0xfe, 0xff, ..] => return Ok((Self::Utf16Be, 2)),
            [0xef, 0xbb, 0xbf, ..] => return not_binary(prefix).map(|()| (Self::Utf8WithMark, 3)),
            _ => {}
        }
        if let Some(encoding) = by_zero_bytes(prefix) {
            return Ok((encoding, 0));
        }
        not_binary(prefix)?;
        Ok((by_validity(prefix, whole), 0))
    }

    /// As it is shown to people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ascii | Self::Utf8 => "UTF-8",
            Self::Utf8WithMark => "UTF-8 with byte order mark",
            Self::Utf16Le => "UTF-16 LE",
            Self::Utf16Be => "UTF-16 BE",
            Self::Windows1252 => "Windows-1252",
        }
    }
}

/// Files that people pick in place of a CSV, by their first bytes.
fn other_file(prefix: &[u8]) -> Option<&'static str> {
    let has = |needle: &[u8]| prefix.windows(needle.len()).any(|w| w == needle);
    Some(match prefix {
        [b'P', b'K', 3 | 5 | 7, ..] if has(b"xl/") || has(b"[Content_Types].xml") => "an Excel workbook",
        [b'P', b'K', 3 | 5 | 7, ..] if has(b"opendocument.spreadsheet") => "an OpenDocument spreadsheet",
        [b'P', b'K', 3 | 5 | 7, ..] => "a ZIP archive",
        [0xd0, 0xcf, 0x11, 0xe0, ..] => "an old Excel workbook",
        [0x89, b'P', b'N', b'G', ..] => "a PNG image",
        [0xff, 0xd8, 0xff, ..] => "a JPEG image",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ => return None,
    })
}

/// UTF-16 without a mark: text of Latin letters has a zero in every other byte, and always the same one.
fn by_zero_bytes(prefix: &[u8]) -> Option<Encoding> {
    let head = &prefix[..prefix.len().min(4096)];
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    let mostly = |most: usize, few: usize| pairs >= 4 && most * 10 >= pairs * 4 && few * 8 <= pairs;
    if mostly(odd, even) {
        Some(Encoding::Utf16Le)
    } else if mostly(even, odd) {
        Some(Encoding::Utf16Be)
    } else {
        None
    }
}

/// Lists have stray zero bytes and control characters; a file in which one byte in fifty is such is something else.
fn not_binary(prefix: &[u8]) -> Result<(), ImportError> {
    let odd = |b: &u8| *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0x1b);
    let count = prefix.iter().filter(|b| odd(b)).count();
    if count > 1 && count * 50 > prefix.len() {
        let offset = prefix.iter().position(odd).unwrap_or(0) as u64;
        return Err(ImportError::Binary { offset });
    }
    Ok(())
}

/// UTF-8 where what lies outside ASCII is at least as often valid UTF-8 as not: text in a single-byte encoding hardly
/// ever is, and a UTF-8 file with one broken name is still a UTF-8 file.
fn by_validity(prefix: &[u8], whole: bool) -> Encoding {
    let (mut valid, mut invalid, mut end) = (0_usize, 0_usize, 0_usize);
    for chunk in prefix.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        end += chunk.valid().len() + chunk.invalid().len();
        // The prefix may end within a character.
        let cut = !whole && end == prefix.len();
        invalid += usize::from(!chunk.invalid().is_empty() && !cut);
    }
    match (valid, invalid) {
        (0, 0) => Encoding::Ascii,
        (valid, invalid) if valid >= invalid => Encoding::Utf8,
        _ => Encoding::Windows1252,
    }
}

/// Decodes a file piece by piece.
pub(super) struct Decoder {
    encoding: Encoding,
    inner: Option<encoding_rs::Decoder>,
    /// The first bytes outside ASCII, until there are enough of them to tell what they are.
    undecided: Vec<u8>,
    finished: bool,
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        let inner = match encoding {
            Encoding::Ascii | Encoding::Utf8 | Encoding::Utf8WithMark => None,
            Encoding::Utf16Le => Some(UTF_16LE.new_decoder_without_bom_handling()),
            Encoding::Utf16Be => Some(UTF_16BE.new_decoder_without_bom_handling()),
            Encoding::Windows1252 => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
        };
        Self { encoding, inner, undecided: Vec::new(), finished: false }
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Appends the text of `bytes` to `text`; `last` when no more will come, after which nothing more is decoded.
    pub(super) fn decode(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        if self.finished {
            return;
        }
        self.finished = last;
        if self.encoding == Encoding::Ascii {
            self.decode_ascii(bytes, last, text);
        } else if let Some(decoder) = &mut self.inner {
            transcode(decoder, bytes, last, text);
        } else {
            text.extend_from_slice(bytes);
        }
    }

    fn decode_ascii(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        let mut rest = bytes;
        if self.undecided.is_empty() {
            let ascii = bytes.iter().position(|b| !b.is_ascii()).unwrap_or(bytes.len());
            text.extend_from_slice(&bytes[..ascii]);
            rest = &bytes[ascii..];
        }
        let wanted = 4 - self.undecided.len();
        let (head, rest) = rest.split_at(rest.len().min(wanted));
        self.undecided.extend_from_slice(head);
        let decidable = self.undecided.len() == 4 || (last && !self.undecided.is_empty());
        if !decidable {
            return;
        }
        let begins_with_a_character = match std::str::from_utf8(&self.undecided) {
            Ok(_) => true,
            Err(error) => error.valid_up_to() > 0,
        };
        let undecided = std::mem::take(&mut self.undecided);
        *self = Self::new(if begins_with_a_character { Encoding::Utf8 } else { Encoding::Windows1252 });
        self.decode(&undecided, false, text);
        self.decode(rest, last, text);
    }
}

fn transcode(decoder: &mut encoding_rs::Decoder, mut bytes: &[u8], last: bool, text: &mut Vec<u8>) {
    let mut out = [0_u8; 4096];
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut out, last);
        text.extend_from_slice(&out[..written]);
        bytes = &bytes[read..];
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(UNDECODABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], step: usize) -> (Encoding, Vec<u8>) {
        let (encoding, mark) = Encoding::of(bytes, true).unwrap();
        let mut decoder = Decoder::new(encoding);
        let mut text = Vec::new();
        for piece in bytes[mark..].chunks(step) {
            decoder.decode(piece, false, &mut text);
        }
        decoder.decode(&[], true, &mut text);
        (decoder.encoding(), text)
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn the_encodings_that_spreadsheets_write_are_told_apart() {
        let text = "email,name\njürgen@example.com,Jürgen 🎉\n";
        let latin: Vec<u8> =
            "email;name\nj@example.com;J".bytes().chain([0xfc]).chain("rgen €".bytes().take(5)).collect();
        let cases: [(Vec<u8>, Encoding, &str); 7] = [
            (text.into(), Encoding::Utf8, text),
            ([b"\xef\xbb\xbf", text.as_bytes()].concat(), Encoding::Utf8WithMark, text),
            ([&[0xff, 0xfe][..], &utf16(text, u16::to_le_bytes)].concat(), Encoding::Utf16Le, text),
            ([&[0xfe, 0xff][..], &utf16(text, u16::to_be_bytes)].concat(), Encoding::Utf16Be, text),
            (utf16(text, u16::to_le_bytes), Encoding::Utf16Le, text),
            (utf16(text, u16::to_be_bytes), Encoding::Utf16Be, text),
            (latin, Encoding::Windows1252, "email;name\nj@example.com;Jürgen "),
        ];
        for (bytes, encoding, expected) in cases {
            for step in [1, 3, 4096] {
                assert_eq!(decoded(&bytes, step), (encoding, expected.as_bytes().to_vec()), "{encoding:?} by {step}");
            }
        }
    }

    #[test]
    fn an_ascii_beginning_leaves_the_choice_open() {
        for (tail, encoding, text) in [
            (&b"\xfcber"[..], Encoding::Windows1252, "über"),
            ("über".as_bytes(), Encoding::Utf8, "über"),
            (b"\xfc", Encoding::Windows1252, "ü"),
            ("ü".as_bytes(), Encoding::Utf8, "ü"),
        ] {
            for step in [1, 2, 100] {
                let mut decoder = Decoder::new(Encoding::Ascii);
                let mut out = Vec::new();
                for piece in [b"abc", tail].concat().chunks(step) {
                    decoder.decode(piece, false, &mut out);
                }
                decoder.decode(&[], true, &mut out);
                assert_eq!((decoder.encoding(), out), (encoding, format!("abc{text}").into_bytes()));
            }
        }
    }

    #[test]
    fn what_cannot_be_decoded_stays_visible() {
        let mut bytes = utf16("email\n", u16::to_le_bytes);
        bytes.extend([0x00, 0xd8, b'x', 0]); // half a surrogate pair
        assert_eq!(decoded(&bytes, 1).1, b"email\n\xffx");
    }

    #[test]
    fn one_broken_name_makes_no_latin_file_of_a_utf8_file() {
        assert_eq!(Encoding::of("ü,é,".as_bytes(), true).unwrap().0, Encoding::Utf8);
        assert_eq!(Encoding::of(b"\xc3\xbc,\xc3\xa9,\xff", true).unwrap().0, Encoding::Utf8);
        assert_eq!(Encoding::of(b"a\xc3", false).unwrap().0, Encoding::Ascii);
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        for (bytes, said) in [
            (&b"PK\x03\x04....[Content_Types].xml"[..], "Excel workbook"),
            (b"PK\x03\x04....readme", "ZIP archive"),
            (b"\x89PNG\r\n\x1a\n", "PNG image"),
            (b"\xd0\xcf\x11\xe0\xa1", "old Excel workbook"),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07", "binary"),
            (b"\xff\xfe\x00\x00a\x00\x00\x00", "UTF-32"),
        ] {
            let error = Encoding::of(bytes, true).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
