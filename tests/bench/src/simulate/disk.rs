//! The disk under the commit log: what was not synced may be lost with the power.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use usherd::store::engine::{LogFile, Stage, Step};

use super::luck::Luck;
use super::plan::{How, IndexLeft, Setting, When};
use super::world::World;

/// The disk of one life.
pub(super) struct Disk {
    world: Arc<World>,
    dir: PathBuf,
    setting: Setting,
    end: Option<(When, How)>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// How much of each segment is safe, in bytes.
    synced: BTreeMap<PathBuf, u64>,
    passed: u64,
    /// Whether writing fails from now on, and how.
    fails: Option<How>,
    luck: Luck,
}

impl Disk {
    /// The disk of a life whose store is in `dir` and that ends as it does.
    pub(super) fn new(world: &Arc<World>, dir: &Path, life: usize, end: Option<(When, How)>) -> Arc<Self> {
        let luck = Luck::of(world.plan.seed, &format!("disk {life}"));
        let state = Arc::new(Mutex::new(State { synced: BTreeMap::new(), passed: 0, fails: None, luck }));
        Arc::new(Self { world: Arc::clone(world), dir: dir.to_owned(), setting: world.plan.setting, end, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end that was chosen has come.
    pub(super) fn strike(&self, how: How) {
        match how {
            // The daemon finds out by itself.
            How::DiskFails | How::DiskFull => self.state().fails = Some(how),
            How::Asked => self.world.ask(format_args!("the daemon is asked to stop")),
            How::Kill | How::Power => self.world.end(format_args!("the daemon ends: {how:?}")),
        }
    }

    /// Whether it refuses to work.
    pub(super) fn fails(&self) -> bool {
        self.state().fails.is_some()
    }

    /// Makes of the folder what the end of its life has left of it.
    pub(super) fn leave(&self, how: How, index: IndexLeft) -> io::Result<()> {
        let mut state = self.state();
        let State { synced, luck, .. } = &mut *state;
        for (path, safe) in synced.iter().filter(|(path, _)| path.exists()) {
            let length = fs::metadata(path)?.len();
            if how == How::Kill || how == How::Asked || length <= *safe {
                continue;
            }
            let left = luck.within(0, length - safe);
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(safe + left)?;
            if luck.has(0.2) {
                // The file's length is on the disk sooner than its last bytes.
                file.set_len(safe + left / 2)?;
                file.set_len(safe + left)?;
            }
        }
        let (kept, flushed) = (self.dir.join("index"), self.flushed());
        match index {
            IndexLeft::Kept => {}
            IndexLeft::Flushed if flushed.exists() => {
                fs::remove_dir_all(&kept)?;
                copy(&flushed, &kept)?;
            }
            // Never flushed, or gone.
            IndexLeft::Flushed | IndexLeft::Lost => fs::remove_dir_all(&kept)?,
        }
        Ok(())
    }

    fn flushed(&self) -> PathBuf {
        self.dir.with_extension("flushed")
    }

    /// What a step takes, in milliseconds.
    fn takes(&self, step: Step) -> i64 {
        let luck = &mut self.state().luck;
        match step {
            Step::Asked => luck.ms(0, 1),
            Step::Written if luck.has(self.setting.stalls) => luck.ms(100, 4_000),
            Step::Written => luck.ms(0, self.setting.sync),
            Step::Synced | Step::Applied | Step::Flushed => 0,
        }
    }
}

impl Stage for Disk {
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        // A segment has its name only once it is on the disk.
        self.state().synced.insert(path.to_owned(), file.metadata()?.len());
        Ok(Box::new(Segment { file, path: path.to_owned(), state: Arc::clone(&self.state) }))
    }

    fn pass(&self, step: Step) -> BoxFuture<'_, ()> {
        async move {
            if let Some((When::At(wanted, times), how)) = self.end
                && wanted == step
            {
                let reached = {
                    let mut state = self.state();
                    state.passed += 1;
                    state.passed == times
                };
                if reached {
                    self.strike(how);
                    if !self.world.now().is_alive() {
                        return std::future::pending().await;
                    }
                }
            }
            if step == Step::Flushed {
                let to = self.flushed();
                let _ = fs::remove_dir_all(&to);
                copy(&self.dir.join("index"), &to).expect("a folder in memory can be copied");
            }
            let takes = self.takes(step);
            if takes > 0 {
                tokio::time::sleep(Duration::from_millis(takes.unsigned_abs())).await;
            }
        }
        .boxed()
    }
}

/// The segment at the log's end.
struct Segment {
    file: File,
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Segment {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogFile for Segment {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.state().fails == Some(How::DiskFull) {
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.state().fails == Some(How::DiskFails) {
            return Err(io::Error::other("the disk gave up"));
        }
        let length = self.file.metadata()?.len();
        self.state().synced.insert(self.path.clone(), length);
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
