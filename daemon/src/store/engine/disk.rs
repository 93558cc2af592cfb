//! Files the way a store needs them: private, and durable together with their names.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use crate::failpoint;

/// The end of the log, as the committer sees it; a trait so that tests can be a disk that fails.
pub trait LogFile: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes everything after `len` off again.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl LogFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Opens a segment, which is there, for appending.
pub(super) type OpenLog = Arc<dyn Fn(&Path) -> io::Result<Box<dyn LogFile>> + Send + Sync>;

/// The real disk.
pub(super) fn open_log() -> OpenLog {
    Arc::new(|path| Ok(Box::new(OpenOptions::new().append(true).open(path)?)))
}

/// Makes a folder that only its owner may enter, with its parents, and makes its name durable.
pub(super) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::io("making the folder", dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Creates a file that only its owner may read; one that is there is emptied.
pub(super) fn create(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(StoreError::io("creating", path))
}

/// Whether a file's name says that it was never finished.
pub(super) fn unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tmp")
}

/// Gives a file its final name once it is whole on the disk, and makes the name durable too.
pub(super) fn publish(file: &File, from: &Path, to: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(StoreError::io("syncing", from))?;
    failpoint::hit("store.file.before-rename");
    fs::rename(from, to).map_err(StoreError::io("renaming to its final name", from))?;
    failpoint::hit("store.file.before-dir-sync");
    sync_dir(to.parent().unwrap_or(Path::new(".")))?;
    failpoint::hit("store.file.after-dir-sync");
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("syncing the folder", dir))
}

/// Makes every file in a folder private and durable, and the folder too.
pub(super) fn sync_tree(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let path = entry.map_err(StoreError::io("listing", dir))?.path();
        if path.is_dir() {
            fs::set_permissions(&path, PermissionsExt::from_mode(0o700))
                .map_err(StoreError::io("setting the mode of", &path))?;
            sync_tree(&path)?;
        } else {
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
                .map_err(StoreError::io("setting the mode of", &path))?;
            File::open(&path).and_then(|file| file.sync_all()).map_err(StoreError::io("syncing", &path))?;
        }
    }
    sync_dir(dir)
}
