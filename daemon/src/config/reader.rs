//! Reads keys one by one and remembers what was asked for.
//!
//! The reading is the schema: a key exists because some line asks for it with its default, its bounds and its names in the
//! environment. What nobody asked for is unknown. A faulty key yields its default and leaves an error behind, so that
//! one pass finds all of them.
//!
//! Which source wins: environment over file over default; for secrets, credential over `*_file` over environment over a
//! value written into the file.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::document::{Document, Raw};
use super::error::{ConfigError, FileFault, Key, Source, Warning, nearest, quoted};
use super::report::{Entry, Shown};
use super::slot::{Fault, Slot};
use super::sources::Sources;

/// One entry of a list of tables: how it is called in messages, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// `provider.resend-eu`.
    pub(super) shown: String,
    /// `provider[0]`; `None` when only the environment speaks of it.
    pub(super) path: Option<String>,
    /// What an error about a missing key points at.
    pub(super) origin: Source,
}

/// See the head of this file.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources,
    pub(super) document: Document,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
    entries: Vec<Entry>,
    asked: BTreeSet<String>,
    variables: BTreeSet<String>,
    inline_secret: bool,
    /// Entries of lists by their path, with what they are called.
    sections: BTreeMap<String, String>,
    /// Whether the well-known variables of providers fill what an entry leaves out. Not those of an alert channel: what stops campaigns
    /// must not stop it.
    pub(super) lends: bool,
}

/// Variables with our prefix that are no keys: where the configuration itself is, and what the console reads in the same
/// shell.
const OWN_VARIABLES: [&str; 3] = ["USHER_CONFIG", "USHER_SOCKET", "USHER_PLAIN"];

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources, document: Document) -> Self {
        Self {
            sources,
            document,
            errors: Vec::new(),
            warnings: Vec::new(),
            entries: Vec::new(),
            asked: BTreeSet::new(),
            variables: BTreeSet::new(),
            inline_secret: false,
            sections: BTreeMap::new(),
            lends: true,
        }
    }

    /// Asks for a key by its path from the top.
    pub(super) fn at(&mut self, path: &str) -> Slot<'_, 'a> {
        self.slot(path.to_owned(), Some(path.to_owned()))
    }

    /// Asks for a key of one entry of a list.
    pub(super) fn within(&mut self, section: &Section, name: &str) -> Slot<'_, 'a> {
        let path = section.path.as_ref().map(|path| format!("{path}.{name}"));
        self.slot(format!("{}.{name}", section.shown), path).absent_at(section.origin.clone())
    }

    /// Whether the file sets a secret of one entry, itself or by naming its file.
    pub(super) fn is_written(&self, section: &Section, name: &str) -> bool {
        let written = |key: String| self.document.get(&key).is_some();
        section
            .path
            .as_ref()
            .is_some_and(|path| written(format!("{path}.{name}")) || written(format!("{path}.{name}_file")))
    }

    fn slot(&mut self, key: String, path: Option<String>) -> Slot<'_, 'a> {
        Slot::new(self, Key::new(key), path)
    }

    /// Notes that a path of the file is known.
    pub(super) fn known(&mut self, path: String) {
        self.asked.insert(path);
    }

    /// Notes the outcome of a reading.
    pub(super) fn record(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Notes that a secret stands in the configuration file itself, so that its mode matters.
    pub(super) fn secret_in_file(&mut self) {
        self.inline_secret = true;
    }

    /// The value of a variable, if it is set and not blank.
    pub(super) fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.insert(name.to_owned());
        let value = self.sources.env.get(name)?;
        let Some(text) = value.to_str() else {
            self.errors.push(ConfigError::Invalid {
                origin: Source::Variable(name.to_owned()),
                key: Key::new(name),
                value: None,
                problem: "is not UTF-8 text".to_owned(),
                remedy: "set it anew, as UTF-8".to_owned(),
            });
            return None;
        };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Accepts everything below a path, known or not: an error about it was already said.
    pub(super) fn accept_all(&mut self, path: &str) {
        let prefix = format!("{path}.");
        let below: Vec<String> = self
            .document
            .nodes()
            .filter(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| name.to_owned())
            .collect();
        self.asked.extend(below);
    }

    /// The entries of a `[[list]]`, as paths with their places; none when it is not there.
    pub(super) fn list(&mut self, name: &str) -> Vec<(String, Source)> {
        self.asked.insert(name.to_owned());
        let Some(node) = self.document.get(name) else { return Vec::new() };
        let origin = Source::File(node.key_at.clone());
        let Raw::Tables(length) = node.raw else {
            let problem = format!("is {}, not a list of tables", node.raw.shown());
            let remedy = format!("begin each entry with [[{name}]]");
            self.errors.push(ConfigError::Invalid { origin, key: Key::new(name), value: None, problem, remedy });
            self.accept_all(name);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for index in 0..length {
            let path = format!("{name}[{index}]");
            let place = self.document.get(&path).map(|node| Source::File(node.key_at.clone()));
            self.asked.insert(path.clone());
            entries.push((path, place.unwrap_or_else(|| origin.clone())));
        }
        entries
    }

    /// A table whose keys are free, such as token values. A name is judged by `check`.
    pub(super) fn free_table(
        &mut self,
        section: &Section,
        name: &str,
        check: fn(&str) -> Result<(), Fault>,
    ) -> Vec<(String, String)> {
        let Some(path) = section.path.as_ref().map(|path| format!("{path}.{name}")) else { return Vec::new() };
        self.asked.insert(path.clone());
        let shown = format!("{}.{name}", section.shown);
        match self.document.get(&path) {
            None => return Vec::new(),
            Some(node) if node.raw == Raw::Table => {}
            Some(node) => {
                self.errors.push(ConfigError::Invalid {
                    origin: Source::File(node.value_at.clone()),
                    key: Key::new(shown),
                    value: Some(node.raw.shown()),
                    problem: "is not a table".to_owned(),
                    remedy: format!("write {name} = {{ venue_name = \"…\" }}"),
                });
                return Vec::new();
            }
        }
        let names: Vec<String> = self.document.children(&path).map(|(name, _)| name.to_owned()).collect();
        let mut values = Vec::new();
        for name in names {
            if let Err(Fault(problem, remedy)) = check(&name) {
                let origin = self.document.get(&format!("{path}.{name}")).map(|node| Source::File(node.key_at.clone()));
                self.asked.insert(format!("{path}.{name}"));
                self.errors.push(ConfigError::Invalid {
                    origin: origin.unwrap_or(Source::Default),
                    key: Key::new(format!("{shown}.{name}")),
                    value: None,
                    problem,
                    remedy,
                });
                continue;
            }
            let below = Section { shown: shown.clone(), path: Some(path.clone()), origin: section.origin.clone() };
            if let Some(value) = self.within(&below, &name).live().text(None, check::anything) {
                values.push((name, value));
            }
        }
        values
    }

    /// Puts a value that was changed after reading into the table, with the reason.
    pub(super) fn amend(&mut self, key: &str, value: String, text: String) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key.as_str() == key) {
            entry.value = Shown::Plain(value);
        }
        self.warn(key, text);
    }

    /// Where a key that was read well came from.
    pub(super) fn origin(&self, key: &str) -> Source {
        let entry = self.entries.iter().find(|entry| entry.key.as_str() == key);
        entry.map_or(Source::Default, |entry| entry.origin.clone())
    }

    /// Refuses a value that was read well but does not go with another one.
    pub(super) fn reject(&mut self, key: &str, problem: &str, remedy: String) {
        let entry = self.entries.iter().find(|entry| entry.key.as_str() == key);
        let (origin, value) = entry.map_or((Source::Default, None), |entry| match &entry.value {
            Shown::Plain(text) => (entry.origin.clone(), Some(quoted_unless_number(text))),
            Shown::Unset | Shown::Secret(_) => (entry.origin.clone(), None),
        });
        self.errors.push(ConfigError::Invalid {
            origin,
            key: Key::new(key),
            value,
            problem: problem.to_owned(),
            remedy,
        });
    }

    /// Asks for a key that another one makes necessary.
    pub(super) fn missing(&mut self, key: &str, section: &Section, remedy: &str) {
        let origin = section.origin.clone();
        self.errors.push(ConfigError::Missing { origin, key: Key::new(key), remedy: remedy.to_owned() });
    }

    /// The section of one entry, called by its name where it has a usable one: `provider.resend-eu`.
    pub(super) fn named_section(&mut self, list: &str, path: &str, origin: Source) -> Section {
        let name = self.document.get(&format!("{path}.name")).and_then(|node| match &node.raw {
            Raw::Text(text) if check::name(text).is_ok() => Some(text),
            _ => None,
        });
        let shown = name.map_or_else(|| path.to_owned(), |name| format!("{list}.{name}"));
        self.sections.insert(path.to_owned(), shown.clone());
        Section { shown, path: Some(path.to_owned()), origin }
    }

    pub(super) fn warn(&mut self, key: &str, text: String) {
        self.warnings.push(Warning { key: Key::new(key), text });
    }

    /// What was read, after looking for what nobody asked for.
    pub(super) fn finish(mut self, mode: u32) -> Result<(Vec<Entry>, Vec<Warning>), Vec<ConfigError>> {
        self.unknown_keys();
        self.unknown_variables();
        if let Some(path) = self.sources.file.as_ref().filter(|_| self.inline_secret && mode & 0o007 != 0) {
            let fault = FileFault::Exposed { mode, remedy: "640", path: path.clone() };
            self.errors.push(ConfigError::File { path: path.clone(), fault });
        }
        if self.errors.is_empty() {
            self.entries.sort_by_key(|entry| section_order(&entry.key));
            return Ok((self.entries, self.warnings));
        }
        self.errors.sort_by_cached_key(ConfigError::rank);
        Err(self.errors)
    }

    fn unknown_keys(&mut self) {
        let mut reported: Vec<String> = Vec::new();
        for (path, node) in self.document.nodes() {
            let inside =
                |parent: &String| path.strip_prefix(parent.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']));
            let is_parent = |asked: &String| asked.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
            let known = self.asked.contains(path) || (node.raw == Raw::Table && self.asked.iter().any(is_parent));
            if known || reported.iter().any(inside) {
                continue;
            }
            reported.push(path.to_owned());
            if !matches!(node.raw, Raw::Table) && self.asked.iter().any(is_parent) {
                self.errors.push(ConfigError::Invalid {
                    origin: Source::File(node.value_at.clone()),
                    key: Key::new(path),
                    value: Some(node.raw.shown()),
                    problem: "is not a section".to_owned(),
                    remedy: format!("write [{path}], and its keys below it"),
                });
                continue;
            }
            let nearest = self.nearest_key(path).map(|path| self.called(&path));
            self.errors.push(ConfigError::UnknownKey { place: node.key_at.clone(), key: self.called(path), nearest });
        }
    }

    /// A path with the entry's name in place of its number.
    fn called(&self, path: &str) -> Key {
        let (section, rest) = path.split_at(path.find("].").map_or(0, |at| at + 1));
        Key::new(self.sections.get(section).map_or_else(|| path.to_owned(), |shown| format!("{shown}{rest}")))
    }

    /// First a neighbour with a similar name, then the same name in another section, then a section.
    fn nearest_key(&self, path: &str) -> Option<String> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let split = |asked: &'_ String| {
            asked.rsplit_once('.').map_or((String::new(), asked.clone()), |(p, n)| (p.to_owned(), n.to_owned()))
        };
        let siblings: Vec<String> =
            self.asked.iter().map(split).filter(|(p, _)| p == parent).map(|(_, name)| name).collect();
        let join = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        if let Some(found) = nearest(name, siblings.iter().map(String::as_str)) {
            return Some(join(found));
        }
        if let Some(found) =
            self.asked.iter().find(|asked| asked.rsplit_once('.').is_some_and(|(p, n)| n == name && !p.contains('[')))
        {
            return Some(found.clone());
        }
        let top = path.split(['.', '[']).next().unwrap_or(path);
        let sections: BTreeSet<&str> = self.asked.iter().filter_map(|asked| asked.split(['.', '[']).next()).collect();
        nearest(top, sections.iter().copied())
            .filter(|found| *found != top)
            .map(|found| format!("{found}{}", &path[top.len()..]))
    }

    fn unknown_variables(&mut self) {
        let unknown: Vec<&String> = self
            .sources
            .env
            .keys()
            .filter(|name| name.starts_with("USHER_") && !OWN_VARIABLES.contains(&name.as_str()))
            .filter(|name| !self.variables.contains(*name))
            .collect();
        for name in unknown {
            let hint = nearest(name, self.variables.iter().map(String::as_str))
                .map_or_else(|| "unset it".to_owned(), |found| format!("did you mean {found}?"));
            self.warnings.push(Warning {
                key: Key::new(name.clone()),
                text: format!("this environment variable is no key of the configuration and was ignored; {hint}"),
            });
        }
    }
}

/// Lists keep the order in which they were read; the rest too. Only free values would interleave.
fn section_order(key: &Key) -> u8 {
    match key.as_str() {
        key if key.starts_with("organisation.") => 1,
        key if key.starts_with("provider.") => 2,
        _ => 0,
    }
}

fn quoted_unless_number(text: &str) -> String {
    if text.parse::<f64>().is_ok() { text.to_owned() } else { quoted(text) }
}
