//! One daemon to a folder: an advisory lock with the holder's process id in it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::error::StoreError;

/// Held as long as the engine works; the operating system takes it back from a process that dies.
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of `dir`, or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(StoreError::io("opening the lock", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                let pid = if pid.is_empty() { "unknown".to_owned() } else { pid };
                return Err(StoreError::Locked { dir: dir.to_owned(), pid });
            }
            Err(error) => return Err(StoreError::io("locking", &path)(error.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(StoreError::io("writing the process id to", &path))?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a child that is just being started has a copy of the descriptor, and closing ours would not do.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_the_pid_of_the_first_and_gets_in_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let Err(StoreError::Locked { pid, .. }) = Lock::take(dir.path()) else { panic!("two got in") };
        assert_eq!(pid, std::process::id().to_string());
        // As a child has it that is just being started.
        let _copy = first.0.try_clone().unwrap();
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
