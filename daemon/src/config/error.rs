//! What can be wrong with a configuration, each with its place, the key's full path, the value and the remedy.
//!
//! Promise: no text made here holds the value of a secret, and control characters never reach a terminal.

use std::fmt;
use std::path::{Path, PathBuf};

/// Full path of a key, as errors and tables show it: `store.cache_mib`, `provider.resend-eu.api_key`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Names a key by its full path.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A place in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was given.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Where a value came from. Ordered as errors are listed: the file first, from its top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The configuration file.
    File(Place),
    /// An environment variable, by name.
    Variable(String),
    /// A file that a `*_file` key names.
    SecretFile(PathBuf),
    /// A credential that systemd handed over, by name.
    Credential(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => place.fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::SecretFile(path) => write!(f, "file {}", path.display()),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why a file could not be used; each reads as the end of a sentence that begins with the file's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is nothing at that path.
    #[error("does not exist; create it, or correct the path")]
    Missing,
    /// A directory stands there.
    #[error("is a directory; name the file in it")]
    Directory,
    /// It holds nothing but white space.
    #[error("is empty; write the value into it")]
    Empty,
    /// Its bytes are no text.
    #[error("is not UTF-8 text (first bad byte at offset {offset}); save it as UTF-8")]
    NotText {
        /// Offset of the first byte that is not UTF-8, from 0.
        offset: usize,
    },
    /// More than the owner can read a secret.
    #[error("lets others read a secret (mode {mode:04o}); run: chmod {} {}", .remedy, .path.display())]
    Exposed {
        /// Permission bits found.
        mode: u32,
        /// Mode to set instead, as `chmod` takes it.
        remedy: &'static str,
        /// The file, for the command.
        path: PathBuf,
    },
    /// Too large to be what it should be.
    #[error("holds more than {limit} bytes; that is no configuration: correct the path")]
    TooLarge {
        /// Most bytes that are read.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot be read: {reason}; make it readable for the daemon's user, or hand it over with LoadCredential=")]
    Unreadable {
        /// What the operating system said.
        reason: String,
    },
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file itself could not be used.
    #[error("the configuration file {} {fault}", .path.display())]
    File {
        /// The configuration file.
        path: PathBuf,
        /// Why not.
        fault: FileFault,
    },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {message}; correct this line (further errors are looked for after that)")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser expected.
        message: String,
    },
    /// A key that nobody reads.
    #[error("{place}: `{key}` is not a key of the configuration; {}", suggestion(.nearest.as_ref()))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key as it was written.
        key: Key,
        /// The known key most like it.
        nearest: Option<Key>,
    },
    /// A value that cannot be used.
    #[error("{origin}: {key}{}: {problem}; {remedy}", shown(.value.as_deref()))]
    Invalid {
        /// Where the value came from.
        origin: Source,
        /// The key.
        key: Key,
        /// The value as it was written; `None` for a secret's.
        value: Option<String>,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A key that has to be set is not.
    #[error("{origin}: {key} is not set; {remedy}")]
    Missing {
        /// What asks for it.
        origin: Source,
        /// The key.
        key: Key,
        /// What to do.
        remedy: String,
    },
    /// A file that a key names cannot be used.
    #[error("{origin}: {key}: {} {fault}", .path.display())]
    NamedFile {
        /// Where the path came from.
        origin: Source,
        /// The key.
        key: Key,
        /// The file.
        path: PathBuf,
        /// Why not.
        fault: FileFault,
    },
}

impl ConfigError {
    /// Where it was found, for sorting.
    pub(super) fn rank(&self) -> (u8, Source) {
        match self {
            Self::File { .. } => (0, Source::Default),
            Self::Syntax { place, .. } | Self::UnknownKey { place, .. } => (1, Source::File(place.clone())),
            Self::Invalid { origin, .. } | Self::Missing { origin, .. } | Self::NamedFile { origin, .. } => {
                (1, origin.clone())
            }
        }
    }
}

/// Something that works, but not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct Warning {
    /// What it is about.
    pub key: Key,
    /// What was done, and what to do.
    pub text: String,
}

/// A text as it may be shown: quoted, control characters escaped, cut after 80 characters, without a URL's password.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    let stripped = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    let stripped = stripped.map(|(scheme, rest)| format!("{scheme}://…@{rest}"));
    let text = stripped.as_deref().unwrap_or(text);
    if text.chars().count() > MOST {
        let head: String = text.chars().take(MOST).collect();
        format!("{head:?}…")
    } else {
        format!("{text:?}")
    }
}

/// The candidate most like `word`, when one is near enough to be what was meant.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into the other.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

fn suggestion(nearest: Option<&Key>) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None => "remove it: the annotated usherd.toml lists every key".to_owned(),
    }
}

fn shown(value: Option<&str>) -> String {
    value.map(|value| format!(" = {value}")).unwrap_or_default()
}

/// Turns an offset in bytes into a place.
pub(super) fn place_of(file: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    Place { file: file.to_owned(), line: line as u32, column: before[start..].chars().count() as u32 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_or_dropped_letter_finds_the_key_and_nonsense_does_not() {
        let keys = ["cache_mib", "segment_mib", "log_cap_mib"];
        assert_eq!(nearest("cahce_mib", keys), Some("cache_mib"));
        assert_eq!(nearest("cache_mb", keys), Some("cache_mib"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("x", ["a"]), None, "replacing every letter is no likeness");
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let text = "a = 1\nü = 2\n";
        let place = place_of(Path::new("f"), text, text.find("= 2").unwrap());
        assert_eq!(place.to_string(), "f:2:3");
    }

    #[test]
    fn a_value_cannot_move_the_cursor_or_carry_a_password() {
        assert_eq!(quoted("https://user:pass@a.example/x"), "\"https://…@a.example/x\"");
        assert_eq!(quoted("\u{1b}[2Jx"), "\"\\u{1b}[2Jx\"");
    }
}
