//! `usher-bench crash`: kills the daemon at every failpoint and at moments that none names, under load and with faults at the
//! providers, starts it again, and holds its books against the simulator's record. `docs/crash.md` says what is proved.
//!
//! Everything that is drawn comes from the seed; threads and disk do not, so a seed repeats the deaths and not the
//! interleavings.

mod books;
mod episode;
mod load;
mod schedule;
mod totals;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use usherd::failpoint::TABLE;

use totals::Totals;

/// Deaths of one store.
const EPISODE: u64 = 20;

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wanted {
    /// How often the daemon dies
    #[arg(long, default_value_t = 200, conflicts_with = "span")]
    kills: u64,
    /// Seed of the first 20 deaths; the next 20 have the next one. 1, or the first that was not played for --totals
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on for so long instead, and ends with the episode: `90s` or `30m`
    #[arg(long = "for", value_parser = crate::span)]
    span: Option<Duration>,
    /// A page to whose totals each episode is added, such as docs/crash.md
    #[arg(long, value_name = "FILE")]
    totals: Option<PathBuf>,
    /// Dies at this failpoint alone
    #[arg(long, value_name = "FAILPOINT")]
    only: Option<String>,
}

/// Kills, and compares; an error is a promise that was broken.
pub(crate) fn run(wanted: &Wanted) -> anyhow::Result<()> {
    if !cfg!(debug_assertions) {
        bail!("a release build has no failpoints: run it without --release");
    }
    let only = wanted.only.as_deref().map(point).transpose()?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(episodes(wanted, only))
}

fn point(name: &str) -> anyhow::Result<&'static str> {
    let found = TABLE.iter().map(|(point, _)| *point).find(|point| *point == name);
    found.ok_or_else(|| anyhow!("there is no failpoint `{name}`: see the table in daemon/src/failpoint.rs"))
}

async fn episodes(wanted: &Wanted, only: Option<&'static str>) -> anyhow::Result<()> {
    let kept = wanted.totals.as_deref().map(Totals::read).transpose()?;
    let mut seed = wanted.seed.unwrap_or_else(|| kept.map_or(1, |totals| totals.seed + 1));
    let mut here = Totals::from_seed(seed);
    let begun = Instant::now();
    let mut left = wanted.kills;
    while wanted.span.map_or(left > 0, |span| begun.elapsed() < span) {
        let kills = if wanted.span.is_some() { EPISODE } else { left.min(EPISODE) };
        say(&format!("seed {seed}"));
        let since = Instant::now();
        let deaths = schedule::deaths(seed, kills, only);
        let outcome = episode::play(seed, &deaths).await.with_context(|| {
            let only = only.map_or_else(String::new, |point| format!(" --only {point}"));
            format!("run again with: cargo run -p usher-bench -- crash --kills {kills} --seed {seed}{only}")
        })?;
        here.add(seed, &outcome);
        say(&format!(
            "     {} messages, {} accepted, none twice, none lost; {} were in doubt, {} still are; {:.1} s",
            outcome.messages,
            outcome.accepted,
            outcome.doubted,
            outcome.left,
            since.elapsed().as_secs_f64()
        ));
        if let Some(page) = &wanted.totals {
            Totals::add_to(page, seed, &outcome)?;
        }
        left = left.saturating_sub(kills);
        seed += 1;
    }
    say(&format!("\n{}\n{} kills in {:.1} s", here.table(), here.kills(), begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Nobody is left to tell when standard output is closed; the exit code still tells.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
