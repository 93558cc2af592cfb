//! `usher-bench simulate`: the daemon's dispatch and store, as they are, in a simulated world.
//!
//! A seed chooses guests, campaigns, providers and their faults, what operators do, and when the daemon dies; the time is
//! simulated, the disk loses what was not synced, and providers keep books of their own. When all is quiet, what the daemon
//! says is held against these books. A seed tells the same story each time: whatever fails once can be looked at again.

mod books;
mod command;
mod disk;
mod life;
mod luck;
mod operator;
mod plan;
mod post;
mod provider;
mod story;
mod totals;
mod verdict;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

pub(crate) use command::{Flags, command};
use life::Place;
use plan::Plan;
use world::World;

/// What came of one seed.
struct Outcome {
    seed: u64,
    /// Tells its story from any other.
    story: u64,
    events: u64,
    lives: u64,
    requests: u64,
    /// What was broken; empty where all promises were kept.
    wrong: Vec<String>,
    last: Vec<String>,
}

/// Runs one seed in a folder of its own below `below`.
fn run(seed: u64, below: &Path, aloud: bool) -> anyhow::Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("usher-seed-").tempdir_in(below).context("making a folder")?;
    let root_key = folder.path().join("root.key");
    fs::write(&root_key, [7; 32])?;
    fs::set_permissions(&root_key, fs::Permissions::from_mode(0o600))?;
    let place = Place { dir: folder.path().to_owned(), root_key };
    let plan = Arc::new(Plan::of(seed));
    let world = World::new(Arc::clone(&plan), aloud);
    let mut lives = 0;
    for end in &plan.ends {
        if world.now().at() >= plan.calm_at || !world.now().books.wrong.is_empty() {
            break;
        }
        if let Err(error) = life::live(&world, &place, lives, Some(*end)) {
            world.now().wrong(format!("{error:#}"));
        }
        lives += 1;
    }
    if world.now().books.wrong.is_empty() {
        if let Err(error) = life::live(&world, &place, lives, None) {
            world.now().wrong(format!("{error:#}"));
        }
        lives += 1;
    }
    let inner = world.now();
    Ok(Outcome {
        seed,
        story: inner.story.number(),
        events: inner.story.events(),
        lives: lives as u64,
        requests: inner.books.requests(),
        wrong: inner.books.wrong.clone(),
        last: inner.story.last(),
    })
}

/// Where stores are fastest: in memory, if there is a file system for that.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Runs seeds from `first` on, `count` of them at most and for `span` at most, on two threads.
fn many(first: u64, count: u64, span: Option<Duration>, mut each: impl FnMut(&Outcome)) -> anyhow::Result<u64> {
    let next = AtomicU64::new(first);
    let end = first.saturating_add(count);
    let begun = Instant::now();
    let (told, outcomes) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (next, told) = (&next, told.clone());
            scope.spawn(move || {
                while span.is_none_or(|span| begun.elapsed() < span) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || told.send(run(seed, &scratch(), false)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        let mut done = 0;
        for outcome in outcomes {
            each(&outcome?);
            done += 1;
        }
        Ok(done)
    })
}

/// Prints one seed's story.
fn aloud(seed: u64) -> anyhow::Result<Outcome> {
    run(seed, &scratch(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_keeps_all_promises_and_tells_the_same_story_again() {
        for seed in 1..=4 {
            let [one, other] = [0, 1].map(|_| run(seed, &scratch(), false).unwrap());
            assert_eq!((one.story, one.events, one.lives), (other.story, other.events, other.lives), "seed {seed}");
            assert_eq!(one.wrong, Vec::<String>::new(), "seed {seed}");
            assert!(one.events > 20 && one.lives > 0, "seed {seed} tells nothing");
        }
    }

    #[test]
    fn seeds_are_run_once_each_and_tell_different_stories() {
        let mut stories = Vec::new();
        let done = many(11, 6, None, |outcome| stories.push((outcome.seed, outcome.story))).unwrap();
        stories.sort_unstable();
        assert_eq!((done, stories.iter().map(|(seed, _)| *seed).collect::<Vec<_>>()), (6, (11..17).collect()));
        let mut different: Vec<u64> = stories.iter().map(|(_, story)| *story).collect();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 6);
    }
}
