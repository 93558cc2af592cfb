//! The stage of a simulation: what it puts in the place of the log's disk and of the committer's thread.

use std::io;
use std::path::Path;

use futures_util::future::BoxFuture;

pub use super::disk::LogFile;

/// Where the committer stands when it lets time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Commits wait, and none was looked at.
    Asked,
    /// They are judged and written to the log, and not synced.
    Written,
    /// They are on the disk, and no read shows them.
    Synced,
    /// The index shows them, and nobody was answered.
    Applied,
    /// The index is on the disk up to here.
    Flushed,
}

/// What [`Engine::play`](super::Engine::play) stands on.
pub trait Stage: Send + Sync + 'static {
    /// Opens a segment, which is there, for appending.
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Lets time pass at a step. One that never ends is where the power went.
    fn pass(&self, step: Step) -> BoxFuture<'_, ()>;
}
