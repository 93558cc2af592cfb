//! Durable commits of the store, by one and by many at once, beside the least that durability costs on this disk: an
//! append and an fdatasync.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use usherd::clock::Clock;
use usherd::store::engine::{By, Change, Commit, Engine, Options, Space};

use crate::table::{self, Line};

/// About what a message's outcome takes.
const SIZE: usize = 300;
const ROWS: Space = Space::new(200);
/// Committers at once.
const CROWDS: [usize; 3] = [1, 16, 256];

/// Measures `count` appends, and `count` commits for each crowd (a few dozen more where they do not divide).
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir().context("making a temporary folder")?;
    let mut lines = Vec::new();
    for crowd in CROWDS {
        // Each time anew: a disk that others write to is not equally fast for long.
        let path = folder.path().join(format!("plain-{crowd}"));
        let plain = tokio::task::spawn_blocking(move || plain(&path, count)).await.context("appending")??;
        let clock = Clock::system();
        let dir = folder.path().join(format!("store-{crowd}"));
        let options = Options::new(dir, [7; 32], "bench".to_owned(), Arc::new(move || clock.now()));
        let (engine, _) = tokio::task::spawn_blocking(move || Engine::open(options)).await.context("opening")??;
        let each = (count * crowd.min(16)).div_ceil(crowd);
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
        let rate = (crowd * each) as f64 / seconds;
        let line = Line::new(
            format!("{} commits, {crowd} at once", table::count(crowd * each)),
            table::rate(crowd * each, seconds),
        )
        .beside(format!("append and fdatasync {}/s: {:.2} times", table::whole(plain), rate / plain))
        .remark(format!("{SIZE} bytes each"));
        lines.push(line);
    }
    Ok(lines)
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
