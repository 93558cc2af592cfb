//! Where values come from: the file, the environment and the folder of credentials.
//!
//! Everything is handed in, so tests run side by side; [`Sources::of_process`] is the only place that looks at globals.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::FileFault;

/// Most bytes read of a configuration file; the annotated example is a hundredth of it.
const FILE_LIMIT: u64 = 1 << 20;
/// Most bytes read of a secret's file.
const SECRET_LIMIT: u64 = 64 << 10;

/// What a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file; `None` reads environment and credentials alone.
    pub file: Option<PathBuf>,
    /// Environment variables by name. Empty ones count as not set, as in an `EnvironmentFile=` with a blank right side.
    pub env: BTreeMap<String, OsString>,
    /// The folder in which systemd hands over credentials.
    pub credentials: Option<PathBuf>,
}

impl Sources {
    /// The environment of this process, and the credentials that it was given.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let env: BTreeMap<String, OsString> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let credentials = env.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { file, env, credentials }
    }

    /// The path of a credential, if it was handed over.
    pub(super) fn credential(&self, name: &str) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

/// What a file holds, with its permission bits.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) mode: u32,
}

/// Reads the configuration file.
pub(super) fn read_configuration(path: &Path) -> Result<Content, FileFault> {
    read(path, FILE_LIMIT)
}

/// Reads a secret from a file that a `*_file` key names; its owner alone may read it.
pub(super) fn read_secret(path: &Path) -> Result<String, FileFault> {
    let content = read(path, SECRET_LIMIT)?;
    guard(path, content.mode)?;
    secret_text(&content.text)
}

/// Reads a secret that systemd handed over. Its mode is not judged: systemd gives access by an ACL, whose mask shows
/// as group bits, inside a folder that nobody else can enter.
pub(super) fn read_credential(path: &Path) -> Result<String, FileFault> {
    secret_text(&read(path, SECRET_LIMIT)?.text)
}

/// Checks a file of which only the path is kept.
pub(super) fn check_file(path: &Path, secret: bool) -> Result<(), FileFault> {
    let mut file = open(path)?;
    let mode = mode(&file)?;
    if file.read(&mut [0; 1]).map_err(|error| unreadable(&error))? == 0 {
        return Err(FileFault::Empty);
    }
    if secret { guard(path, mode) } else { Ok(()) }
}

fn guard(path: &Path, mode: u32) -> Result<(), FileFault> {
    let others = mode & 0o077;
    if others == 0 { Ok(()) } else { Err(FileFault::Exposed { mode, remedy: "600", path: path.to_owned() }) }
}

/// Editors end a file with a line break, which is no part of the secret.
fn secret_text(text: &str) -> Result<String, FileFault> {
    let secret = text.trim();
    if secret.is_empty() { Err(FileFault::Empty) } else { Ok(secret.to_owned()) }
}

fn read(path: &Path, limit: u64) -> Result<Content, FileFault> {
    let file = open(path)?;
    let mode = mode(&file)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > limit {
        return Err(FileFault::TooLarge { limit });
    }
    let text =
        String::from_utf8(bytes).map_err(|error| FileFault::NotText { offset: error.utf8_error().valid_up_to() })?;
    Ok(Content { text, mode })
}

fn open(path: &Path) -> Result<File, FileFault> {
    // Asked first, because a FIFO would hold the start for ever and a directory opens without complaint.
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileFault::Missing,
        _ => unreadable(&error),
    })?;
    if meta.is_dir() {
        return Err(FileFault::Directory);
    }
    if !meta.is_file() {
        return Err(FileFault::Unreadable { reason: "it is not a regular file".to_owned() });
    }
    File::open(path).map_err(|error| unreadable(&error))
}

fn mode(file: &File) -> Result<u32, FileFault> {
    let meta = file.metadata().map_err(|error| unreadable(&error))?;
    Ok(meta.permissions().mode() & 0o7777)
}

fn unreadable(error: &std::io::Error) -> FileFault {
    FileFault::Unreadable { reason: error.to_string() }
}
