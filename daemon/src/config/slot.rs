//! One key being asked for: where to look, what its value must be, what stands when nobody set it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::document::Raw;
use super::error::{ConfigError, Key, Source, nearest};
use super::reader::Reader;
use super::report::{Entry, Shown};

/// What a check found wrong with a value: the problem, then the remedy.
pub(super) struct Fault(pub(super) String, pub(super) String);

impl Fault {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(problem.into(), remedy.into())
    }
}

/// A value that is one of a few words.
pub(super) trait Word: Copy + 'static {
    /// Every word there is.
    const ALL: &'static [Self];
    /// As it is written.
    fn word(self) -> &'static str;
}

/// A key that is being asked for; a call that names the type wanted ends it.
pub(super) struct Slot<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) key: Key,
    pub(super) path: Option<String>,
    pub(super) variables: Vec<String>,
    pub(super) fallbacks: Vec<&'static str>,
    pub(super) credential: Option<String>,
    pub(super) live: bool,
    pub(super) needed: Option<String>,
    pub(super) absent_at: Source,
    /// A variable that would fill the gap of a provider, and not of this entry.
    not_lent: Option<&'static str>,
}

impl<'r, 'a> Slot<'r, 'a> {
    /// `path` is the place in the file; without one, only the environment is asked.
    pub(super) fn new(reader: &'r mut Reader<'a>, key: Key, path: Option<String>) -> Self {
        let own = format!("USHER_{}", key.as_str().replace(['.', '-'], "_").to_ascii_uppercase());
        Self {
            reader,
            key,
            path,
            variables: vec![own],
            fallbacks: Vec::new(),
            credential: None,
            live: false,
            needed: None,
            absent_at: Source::Default,
            not_lent: None,
        }
    }

    /// What an error about its absence points at.
    pub(super) fn absent_at(mut self, origin: Source) -> Self {
        self.absent_at = origin;
        self
    }

    /// A second name in the environment, as strong as `USHER_…`.
    pub(super) fn variable(mut self, name: &str) -> Self {
        self.variables.push(name.to_owned());
        self
    }

    /// A name in the environment that only fills a gap the file left.
    pub(super) fn fallback(mut self, name: Option<&'static str>) -> Self {
        if self.reader.lends {
            self.fallbacks.extend(name);
        } else {
            self.not_lent = name.or(self.not_lent);
        }
        self
    }

    /// The name of the credential that holds it.
    pub(super) fn credential(mut self, name: impl Into<String>) -> Self {
        self.credential = Some(name.into());
        self
    }

    /// A change takes effect at a reload, without a restart.
    pub(super) fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Its absence is an error, with this remedy.
    pub(super) fn needed(mut self, remedy: impl Into<String>) -> Self {
        let mut remedy = remedy.into();
        if let Some(name) = self.not_lent {
            // Some remedies speak of the variable.
            remedy = format!("{remedy} ({name} is the providers' alone: an alert channel has credentials of its own)");
        }
        self.needed = Some(remedy);
        self
    }

    /// A whole number within bounds.
    pub(super) fn integer<T>(self, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + Copy + PartialOrd + Display,
    {
        let bounds = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |raw: &Raw| {
            let number = match raw {
                Raw::Integer(number) => Some(*number),
                Raw::Untyped(text) => text.parse().ok(),
                Raw::Huge(_) => None,
                _ => return Err(Fault::new("is not a whole number", format!("write {bounds}, without quotes"))),
            };
            number
                .and_then(|number| T::try_from(number).ok())
                .filter(|number| range.contains(number))
                .ok_or_else(|| Fault::new("is out of bounds", format!("set {bounds}")))
        };
        self.plain(Some(default), parse, ToString::to_string).unwrap_or(default)
    }

    /// A number within bounds; `None` when not set and without default.
    pub(super) fn number(self, default: Option<f64>, range: RangeInclusive<f64>) -> Option<f64> {
        let parse = |raw: &Raw| {
            let number = match raw {
                Raw::Integer(number) => *number as f64,
                Raw::Float(number) => *number,
                Raw::Untyped(text) => text.parse().unwrap_or(f64::NAN),
                _ => f64::NAN,
            };
            // Not a number is in no range.
            if range.contains(&number) {
                Ok(number)
            } else {
                Err(Fault::new("is out of bounds", format!("set a number from {} to {}", range.start(), range.end())))
            }
        };
        self.plain(default, parse, ToString::to_string)
    }

    /// One of a few words; case does not matter.
    pub(super) fn word<W: Word>(self, default: Option<W>) -> Option<W> {
        let parse = |raw: &Raw| {
            let text = text_of(raw)?;
            W::ALL.iter().copied().find(|word| word.word().eq_ignore_ascii_case(text)).ok_or_else(|| {
                let words: Vec<&str> = W::ALL.iter().map(|word| word.word()).collect();
                let near =
                    words.iter().copied().find(|word| nearest(&text.to_lowercase(), [&*word.to_lowercase()]).is_some());
                let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Fault::new("is not one of the words allowed here", format!("use {}{meant}", words.join(", ")))
            })
        };
        self.plain(default, parse, |word| word.word().to_owned())
    }

    /// A text, judged by `check`; `None` when not set and without default.
    pub(super) fn text(self, default: Option<&str>, check: impl Fn(&str) -> Result<(), Fault>) -> Option<String> {
        let parse = |raw: &Raw| {
            let text = text_of(raw)?;
            if text.trim().is_empty() {
                return Err(Fault::new("is empty", "set it, or remove the line"));
            }
            if text.chars().any(|sign| sign.is_control() && sign != '\n') {
                return Err(Fault::new("holds a control character", "remove it"));
            }
            check(text).map(|()| text.to_owned())
        };
        self.plain(default.map(str::to_owned), parse, Clone::clone)
    }

    /// A value of any type that a text can be read as.
    pub(super) fn parsed<T: Display>(self, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        self.plain(None, |raw| parse(text_of(raw)?), ToString::to_string)
    }

    /// An absolute path that need not exist.
    pub(super) fn path(self, default: &Path) -> PathBuf {
        let text = self.text(default.to_str(), absolute);
        text.map_or_else(|| default.to_owned(), PathBuf::from)
    }

    /// Environment, then file, then the names that fill gaps.
    pub(super) fn search(&mut self) -> Option<(Raw, Source)> {
        let mut found: Option<(Raw, Source)> = None;
        for name in self.variables.clone() {
            let Some(text) = self.reader.variable(&name) else { continue };
            match &found {
                Some((Raw::Untyped(used), origin)) if *used != text => {
                    let text = format!("{origin} is used; {name}, which also sets it, is not: unset one");
                    self.reader.warn(self.key.as_str(), text);
                }
                Some(_) => {}
                None => found = Some((Raw::Untyped(text), Source::Variable(name))),
            }
        }
        if found.is_none()
            && let Some(node) = self.path.as_ref().and_then(|path| self.reader.document.get(path))
        {
            found = Some((node.raw.clone(), Source::File(node.value_at.clone())));
        }
        for name in self.fallbacks.clone() {
            let value = self.reader.variable(name);
            found = found.or_else(|| Some((Raw::Untyped(value?), Source::Variable(name.to_owned()))));
        }
        found
    }

    fn plain<T>(
        mut self,
        default: Option<T>,
        parse: impl Fn(&Raw) -> Result<T, Fault>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let found = self.search();
        let Slot { reader, key, path, live, needed, absent_at, .. } = self;
        if let Some(path) = &path {
            reader.known(path.clone());
        }
        let (value, origin) = match found {
            None => {
                if let (None, Some(remedy)) = (&default, needed) {
                    reader.errors.push(ConfigError::Missing { origin: absent_at, key: key.clone(), remedy });
                }
                (default, Source::Default)
            }
            Some((raw, origin)) => match parse(&raw) {
                Ok(value) => (Some(value), origin),
                Err(Fault(problem, remedy)) => {
                    if let Some(path) = path.filter(|_| raw == Raw::Table) {
                        reader.accept_all(&path);
                    }
                    let value = Some(raw.shown());
                    reader.errors.push(ConfigError::Invalid { origin, key, value, problem, remedy });
                    return default;
                }
            },
        };
        let shown = value.as_ref().map_or(Shown::Unset, |value| Shown::Plain(show(value)));
        reader.record(Entry { key, value: shown, origin, live });
        value
    }
}

pub(super) fn text_of(raw: &Raw) -> Result<&str, Fault> {
    match raw {
        Raw::Text(text) | Raw::Untyped(text) => Ok(text),
        _ => Err(Fault::new("is not a text", "write one text, in quotes")),
    }
}

/// A relative path would depend on the folder in which the daemon was started.
pub(super) fn absolute(text: &str) -> Result<(), Fault> {
    if Path::new(text).is_absolute() { Ok(()) } else { Err(Fault::new("is not an absolute path", "begin it with /")) }
}
