//! The configuration from outside: files that load, files that do not and the exact text of what is said about them,
//! every name in the environment, and the annotated example against the defaults.

#![expect(clippy::unwrap_used, reason = "what sets a test up may panic as the test itself may")]

mod alerting;
mod environment;
mod example;
mod files;
mod secrets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use usherd::config::{Config, ConfigError, Entry, Loaded, Sources};

/// A folder beside this file.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

/// Sources of a file and variables, and nothing of this process.
fn sources(file: Option<&Path>, env: &[(&str, &str)]) -> Sources {
    let env: BTreeMap<_, _> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Sources { file: file.map(Path::to_owned), env, credentials: None }
}

/// Loads what must load.
#[track_caller]
fn load(sources: &Sources) -> Loaded {
    Config::load(sources).unwrap_or_else(|errors| panic!("should load, but:\n{}", text(&errors)))
}

/// Loads what must not.
#[track_caller]
fn refuse(sources: &Sources) -> String {
    text(&Config::load(sources).expect_err("should be refused"))
}

fn text(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| error.to_string() + "\n").collect()
}

/// The entry of a key.
#[track_caller]
fn entry<'l>(loaded: &'l Loaded, key: &str) -> &'l Entry {
    loaded.entries.iter().find(|entry| entry.key.as_str() == key).unwrap_or_else(|| panic!("no entry for {key}"))
}
