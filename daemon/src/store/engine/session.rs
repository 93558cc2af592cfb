//! The stop marker: under which boot of the machine the store was last open, and whether it was closed.
//!
//! A few lines of text in the file `session`, replaced whole. It decides only how much is proved at start, never what
//! is true.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::disk;
use super::error::StoreError;

const FILE: &str = "session";

/// What the last process left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) boot_id: String,
    /// The last commit, where the store was closed and the index flushed up to it.
    pub(super) closed_at: Option<u64>,
}

impl Session {
    /// Reads the marker; one that is missing or makes no sense is none, which means more is proved.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(StoreError::io("reading", &path)(error)),
        }
    }

    /// Replaces the marker, durably.
    pub(super) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let temp = dir.join("session.tmp");
        let mut file = disk::create(&temp)?;
        let state = self.closed_at.map_or_else(|| "open".to_owned(), |lsn| format!("closed {lsn}"));
        write!(file, "boot {}\n{state}\n", self.boot_id).map_err(StoreError::io("writing", &temp))?;
        disk::publish(&file, &temp, &dir.join(FILE))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let boot_id = lines.next()?.strip_prefix("boot ")?.to_owned();
        let closed_at = match lines.next()? {
            "open" => None,
            closed => Some(closed.strip_prefix("closed ")?.parse().ok()?),
        };
        Some(Self { boot_id, closed_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_read_back_and_nonsense_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Session::read(dir.path()).unwrap(), None);
        for closed_at in [None, Some(42)] {
            let session = Session { boot_id: "b-1".into(), closed_at };
            session.write(dir.path()).unwrap();
            assert_eq!(Session::read(dir.path()).unwrap(), Some(session));
        }
        for nonsense in [b"boot b-1".as_slice(), b"", b"boot b\nclosed x\n", b"\xff\xfe"] {
            fs::write(dir.path().join(FILE), nonsense).unwrap();
            assert_eq!(Session::read(dir.path()).unwrap(), None);
        }
    }
}
