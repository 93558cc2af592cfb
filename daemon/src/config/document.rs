//! The configuration file as a flat list: full path of each key, its value and its place.
//!
//! Knows TOML and nothing of Usher: which keys exist is said where they are read.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, place_of, quoted};

/// A value as the file gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// A quoted text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A whole number that no key can hold, as it was written.
    Huge(String),
    /// A number with a point.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A `[section]` or `{ … }`; its keys are nodes of their own.
    Table,
    /// A `[[section]]`, with the number of its entries.
    Tables(usize),
    /// What no key takes: the word for it.
    Other(&'static str),
    /// From the environment, where everything is text.
    Untyped(String),
}

impl Raw {
    /// How an error shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Untyped(text) => quoted(text),
            Self::Integer(number) => number.to_string(),
            Self::Huge(digits) => digits.clone(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(word) => word.to_string(),
            Self::Table => "a table".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
            Self::Other(word) => (*word).to_owned(),
        }
    }
}

/// One key of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// What it is set to.
    pub(super) raw: Raw,
    /// Where the key stands; for a `[section]`, its header.
    pub(super) key_at: Place,
    /// Where the value stands.
    pub(super) value_at: Place,
}

/// The file: paths such as `store.cache_mib` and `provider[0].name`.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: BTreeMap<String, Node>,
}

impl Document {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Every syntax error that the parser could find.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, Vec<ConfigError>> {
        let (table, faults) = DeTable::parse_recoverable(text);
        if !faults.is_empty() {
            let errors = faults.iter().map(|fault| ConfigError::Syntax {
                place: place_of(file, text, fault.span().map_or(0, |span| span.start)),
                message: fault.message().replace('\n', " "),
            });
            let mut errors: Vec<_> = errors.collect();
            errors.sort_by_cached_key(ConfigError::rank);
            return Err(errors);
        }
        let mut document = Self::default();
        let place = |offset| place_of(file, text, offset);
        document.flatten("", table.get_ref(), &place);
        Ok(document)
    }

    /// What stands at a path.
    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Every path, sorted.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The keys directly in the table at `path`.
    pub(super) fn children(&self, path: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = format!("{path}.");
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(name, _)| name.starts_with(&prefix))
            .map(move |(name, node)| (&name[path.len() + 1..], node))
    }

    fn flatten(&mut self, parent: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) {
        for (name, value) in table {
            let path =
                if parent.is_empty() { name.get_ref().to_string() } else { format!("{parent}.{}", name.get_ref()) };
            let key_at = place(name.span().start);
            let value_at = place(value.span().start);
            let raw = match value.get_ref() {
                DeValue::String(text) => Raw::Text(text.to_string()),
                DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Raw::Integer(number),
                    Err(_) => Raw::Huge(number.to_string()),
                },
                DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other("a number"), Raw::Float),
                DeValue::Boolean(word) => Raw::Boolean(*word),
                DeValue::Datetime(_) => Raw::Other("a date"),
                DeValue::Table(inner) => {
                    self.flatten(&path, inner, place);
                    Raw::Table
                }
                DeValue::Array(items) => {
                    let tables =
                        items.iter().filter_map(|item| item.get_ref().as_table().map(|inner| (item.span(), inner)));
                    let tables: Vec<_> = tables.collect();
                    if tables.is_empty() || tables.len() < items.len() {
                        Raw::Other("a list")
                    } else {
                        for (index, (span, inner)) in tables.iter().enumerate() {
                            let path = format!("{path}[{index}]");
                            let at = place(span.start);
                            let node = Node { raw: Raw::Table, key_at: at.clone(), value_at: at };
                            self.flatten(&path, inner, place);
                            self.nodes.insert(path, node);
                        }
                        Raw::Tables(tables.len())
                    }
                }
            };
            self.nodes.insert(path, Node { raw, key_at, value_at });
        }
    }
}
