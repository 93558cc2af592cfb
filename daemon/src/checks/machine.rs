//! The machine: disk, what its fsync takes, open files, memory, and the clock.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use usher_common::model::Timestamp;

use super::finding::Finding;
use super::{List, Surroundings};
use crate::aside::aside;

/// Messages under way, consoles and the store's files together need about this many open files.
const OPEN_FILES: u64 = 4_096;
/// A commit waits for one fsync: above this the queue is the disk's.
const SYNC_WARN: Duration = Duration::from_millis(50);
const SYNC_FAIL: Duration = Duration::from_millis(500);
const SYNCS: u32 = 8;
/// No build of this daemon is older.
const BUILT: Timestamp = Timestamp(1_767_225_600_000);

impl Surroundings {
    pub(super) fn machine<'s>(&'s self, list: &mut List<'s>) {
        let config = &self.loaded.config;
        let folder = config.state_dir.as_path();
        list.know("disk.free", free(folder, config.store.min_free_bytes));
        list.know("disk.inodes", inodes(folder));
        list.add("disk.sync", async move {
            let folder = folder.to_owned();
            match aside(async move { syncs(&folder) }).await {
                Ok(Ok(took)) => sync(&took),
                Ok(Err(error)) => Finding::fail(
                    format!("nothing can be written to {}: {error}", self.loaded.config.state_dir.display()),
                    "run this as the daemon's user; see whether the disk is there and writable",
                ),
                Err(error) => Finding::fail(format!("the check was broken off: {error}"), "see the log"),
            }
        });
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        list.know("limits.open-files", open_files(files));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        list.know("memory.available", memory(&meminfo));
        list.know("clock.sane", sane(self.clock.now()));
    }
}

fn free(folder: &Path, least: u64) -> Finding {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => room(stat.f_bavail * stat.f_frsize, least),
        Err(error) => Finding::fail(
            format!("{} cannot be looked at: {error}", folder.display()),
            "make it, as the daemon's user, or correct state_dir",
        ),
    }
}

fn room(free: u64, least: u64) -> Finding {
    let seen = format!("{} MiB free; below {} MiB nothing new is taken in", free >> 20, least >> 20);
    if free < least {
        Finding::fail(seen, "make room on the disk of state_dir")
    } else if free < least.saturating_mul(4) {
        Finding::warn(seen, "make room before it comes to that")
    } else {
        Finding::pass(seen)
    }
}

fn inodes(folder: &Path) -> Finding {
    match rustix::fs::statvfs(folder) {
        // Some file systems make them as they are needed, and say 0.
        Ok(stat) if stat.f_files == 0 => Finding::pass("as many as are needed"),
        Ok(stat) if stat.f_favail * 100 < stat.f_files => Finding::fail(
            format!("{} of {} inodes are free", stat.f_favail, stat.f_files),
            "remove small files from that disk",
        ),
        Ok(stat) => Finding::pass(format!("{} of {} inodes are free", stat.f_favail, stat.f_files)),
        Err(error) => Finding::skip(format!("{} cannot be looked at: {error}", folder.display())),
    }
}

/// How long some appends with an fdatasync took, the longest first.
fn syncs(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let path = folder.join(format!(".check-{}", std::process::id()));
    let mut file = std::fs::File::options().create_new(true).append(true).open(&path)?;
    let mut took = Vec::new();
    let written = (0..SYNCS).try_for_each(|_| {
        let begun = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        took.push(begun.elapsed());
        Ok(())
    });
    let removed = std::fs::remove_file(&path);
    took.sort_by(|left, right| right.cmp(left));
    written.and(removed).map(|()| took)
}

fn sync(took: &[Duration]) -> Finding {
    let longest = took.first().copied().unwrap_or_default();
    let half = took.get(took.len() / 2).copied().unwrap_or_default();
    let seen = format!(
        "4 KiB are on the disk in {:.1} ms, {:.1} ms at worst",
        half.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3
    );
    let remedy = "see what else writes to that disk; every answer of the daemon waits for one of these";
    if longest > SYNC_FAIL {
        Finding::fail(seen, remedy)
    } else if half > SYNC_WARN {
        Finding::warn(seen, remedy)
    } else {
        Finding::pass(seen)
    }
}

fn open_files(most: Option<u64>) -> Finding {
    match most {
        Some(most) if most < OPEN_FILES => Finding::warn(
            format!("{most} files may be open, {OPEN_FILES} may be needed"),
            "raise LimitNOFILE in the unit, or ulimit -n",
        ),
        Some(most) => Finding::pass(format!("{most} files may be open")),
        None => Finding::pass("no limit"),
    }
}

fn memory(meminfo: &str) -> Finding {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let Some(available) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) else {
        return Finding::skip("the kernel does not tell");
    };
    let seen = format!("{} MiB available", available >> 10);
    // The daemon's own bound with a thousand under way and a million queued is about this.
    if available < 256 << 10 {
        Finding::warn(seen, "give the machine more memory, or find what takes it")
    } else {
        Finding::pass(seen)
    }
}

fn sane(now: Timestamp) -> Finding {
    if now < BUILT {
        Finding::fail("the clock is before 2026", "set it: schedules, quotas and signatures hang on it")
    } else {
        Finding::pass(crate::clock::utc(now, Timestamp(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::Grade;

    #[test]
    fn room_is_told_before_it_is_gone() {
        let mib = 1 << 20;
        for (free, grade) in [(511, Grade::Fail), (512, Grade::Warn), (2_047, Grade::Warn), (2_048, Grade::Pass)] {
            assert_eq!(room(free * mib, 512 * mib).grade, grade, "{free}");
        }
    }

    #[test]
    fn a_disk_is_judged_by_the_usual_sync_and_by_the_worst() {
        let ms = Duration::from_millis;
        assert_eq!(sync(&[ms(60), ms(2), ms(1)]).grade, Grade::Pass);
        assert_eq!(sync(&[ms(60), ms(55), ms(1)]).grade, Grade::Warn);
        assert_eq!(sync(&[ms(501), ms(2), ms(1)]).grade, Grade::Fail);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(syncs(dir.path()).unwrap().len(), SYNCS as usize);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
        assert!(syncs(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(memory("MemTotal: 8 kB\nMemAvailable:    1048576 kB\n").reason, "1024 MiB available");
        assert_eq!(memory("MemAvailable: 1024 kB\n").grade, Grade::Warn);
        assert_eq!(memory("").grade, Grade::Skip);
    }

    #[test]
    fn few_open_files_and_an_old_clock_are_told() {
        assert_eq!(open_files(Some(1_024)).grade, Grade::Warn);
        assert_eq!(open_files(None).grade, Grade::Pass);
        assert_eq!(sane(Timestamp(0)).grade, Grade::Fail);
    }
}
