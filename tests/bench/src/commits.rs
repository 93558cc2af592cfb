//! Durable commits of the store, by one and by many at once, beside the least that durability costs on this disk: an
//! append and an fdatasync.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use usherd::clock::Clock;
use usherd::store::engine::{By, Change, Commit, Engine, Options, Space};

use crate::table::{self, Line, median};

/// About what a message's outcome takes.
const SIZE: usize = 300;
const ROWS: Space = Space::new(200);
/// Committers at once.
const CROWDS: [usize; 3] = [1, 16, 256];

/// Commits and appends take turns so often: a disk that others write to is not equally fast for long.
const ROUNDS: usize = 5;

/// Measures about `count` appends for each crowd, and as many commits, or sixteen times as many by a crowd; in turns, and the
/// figures are medians.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir().context("making a temporary folder")?;
    let count = count.div_ceil(ROUNDS);
    let mut lines = Vec::new();
    for crowd in CROWDS {
        let each = (count * crowd.min(16)).div_ceil(crowd);
        let (mut plains, mut commits) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let path = folder.path().join(format!("plain-{crowd}-{round}"));
            let plain = tokio::task::spawn_blocking(move || plain(&path, count)).await.context("appending")??;
            plains.push(plain);
            let seconds = commit(folder.path().join(format!("store-{crowd}-{round}")), crowd, each).await?;
            commits.push((crowd * each) as f64 / seconds);
        }
        let (rate, plain) = (median(&commits), median(&plains));
        let what = format!("{} commits, {crowd} at once", table::count(crowd * each * ROUNDS));
        lines.push(
            Line::new(what, format!("{}/s", table::whole(rate)))
                .beside(format!("append and fdatasync {}/s: {:.2} times", table::whole(plain), rate / plain))
                .remark(format!("{SIZE} bytes each; medians of {ROUNDS}")),
        );
    }
    Ok(lines)
}

/// Commits `each` rows by each of a crowd to a new store; the seconds it took.
async fn commit(dir: PathBuf, crowd: usize, each: usize) -> anyhow::Result<f64> {
    let clock = Clock::system();
    let options = Options::new(dir, [7; 32], "bench".to_owned(), Arc::new(move || clock.now()));
    let (engine, _) = tokio::task::spawn_blocking(move || Engine::open(options)).await.context("opening")??;
    let begun = Instant::now();
    let mut committers = tokio::task::JoinSet::new();
    for who in 0..crowd {
        let engine = engine.clone();
        committers.spawn(async move {
            for n in 0..each {
                let key = ((who * each + n) as u64).to_be_bytes().to_vec();
                let change = Change::Put { space: ROWS, key, state: 0, value: vec![0x5a; SIZE] };
                engine.commit(Commit { by: By::default(), changes: vec![change], ..Commit::default() }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = committers.join_next().await {
        ended.context("a committer panicked")??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    engine.close().await.context("closing the store")?;
    Ok(seconds)
}

/// Appends a second, each durable before the next.
fn plain(path: &std::path::Path, count: usize) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(path).context("making the file to append to")?;
    let record = [0x5a; SIZE];
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&record).context("appending")?;
        file.sync_data().context("fdatasync")?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
