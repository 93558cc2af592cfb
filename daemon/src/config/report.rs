//! What was read, key by key: the table of `usherd --check-config`, and what a reload changes.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::Loaded;
use super::error::{Key, Source, quoted};

/// The value of a key, as far as it may be shown.
#[derive(Debug, Clone)]
pub enum Shown {
    /// Anybody may see it.
    Plain(String),
    /// Nobody set it, and it has no default.
    Unset,
    /// A secret; the table says only whether it is set.
    Secret(Option<SecretString>),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) if text.is_empty() || text.contains(char::is_control) => f.write_str(&quoted(text)),
            Self::Plain(text) => f.write_str(text),
            Self::Secret(Some(_)) => f.write_str("set"),
            Self::Unset | Self::Secret(None) => f.write_str("not set"),
        }
    }
}

impl PartialEq for Shown {
    /// Compares secrets too: both came from the operator, so the time it takes tells nobody anything.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(left), Self::Plain(right)) => left == right,
            (Self::Unset, Self::Unset) => true,
            (Self::Secret(left), Self::Secret(right)) => {
                left.as_ref().map(ExposeSecret::expose_secret) == right.as_ref().map(ExposeSecret::expose_secret)
            }
            _ => false,
        }
    }
}

/// One key, as it was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its full path.
    pub key: Key,
    /// Its value.
    pub value: Shown,
    /// Where the value came from.
    pub origin: Source,
    /// Whether a change takes effect without a restart.
    pub live: bool,
}

/// The table of every key with its value and source, for a terminal; a secret is `set` or `not set`.
#[derive(Debug)]
pub struct Table<'l>(pub &'l Loaded);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One very long value must not push the sources off the screen.
        const WIDEST: usize = 48;
        let rows: Vec<(String, String, String)> = self
            .0
            .entries
            .iter()
            .map(|entry| (entry.key.to_string(), entry.value.to_string(), entry.origin.to_string()))
            .collect();
        let width = |column: fn(&(String, String, String)) -> &String, head: &str| {
            rows.iter().map(|row| column(row).chars().count()).chain([head.len()]).max().unwrap_or(0).min(WIDEST)
        };
        let (keys, values) = (width(|row| &row.0, "KEY"), width(|row| &row.1, "VALUE"));
        writeln!(f, "{:keys$}  {:values$}  SOURCE", "KEY", "VALUE")?;
        for (key, value, source) in &rows {
            writeln!(f, "{key:keys$}  {value:values$}  {source}")?;
        }
        Ok(())
    }
}

/// What differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reload {
    /// Keys whose new value takes effect at once, sorted.
    pub applied: Vec<Key>,
    /// Keys whose new value waits for a restart, sorted.
    pub needs_restart: Vec<Key>,
}

impl Reload {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty()
    }
}

/// Compares the running configuration with one read anew. Moving a value to another source is no change.
pub fn reload(old: &Loaded, new: &Loaded) -> Reload {
    let index = |loaded: &'_ Loaded| -> BTreeMap<Key, (Shown, bool)> {
        loaded.entries.iter().map(|entry| (entry.key.clone(), (entry.value.clone(), entry.live))).collect()
    };
    let (before, after) = (index(old), index(new));
    let mut difference = Reload::default();
    let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let changed = after.iter().filter(|(key, (value, _))| before.get(*key).is_none_or(|(old, _)| old != value));
    for (key, (_, live)) in gone.chain(changed) {
        if *live { difference.applied.push(key.clone()) } else { difference.needs_restart.push(key.clone()) }
    }
    difference.applied.sort();
    difference.needs_restart.sort();
    // The order of providers is their rank, and no key of its own.
    if old.config.providers.iter().map(|provider| &provider.name).ne(new.config.providers.iter().map(|p| &p.name)) {
        let key = Key::new("provider");
        if !difference.needs_restart.iter().any(|changed| changed.as_str().starts_with("provider.")) {
            difference.needs_restart.push(key);
        }
    }
    difference
}
