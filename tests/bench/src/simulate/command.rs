//! The command: which seeds are run, what is printed of them, and what is checked of the simulation itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::story::say;
use super::totals::{Day, Totals};
use super::{Outcome, aloud, many, run, scratch};

/// Every so many seeds one is run again: its story must be the same.
const AGAIN: u64 = 50;
/// Seeds whose end is told when they fail; of the others only what is wrong.
const TOLD: usize = 3;

/// What to simulate.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Flags {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This one seed, with its whole story
    #[arg(long, conflicts_with_all = ["seeds", "from", "span"])]
    seed: Option<u64>,
    /// As many as there is time for, `90s` or `5m`, from where the totals stand, and added to them
    #[arg(long = "for", value_parser = crate::span, conflicts_with_all = ["seeds", "from"])]
    span: Option<Duration>,
    /// The page with the totals
    #[arg(long, default_value = "docs/simulation.md")]
    totals: PathBuf,
}

/// What came of many seeds.
#[derive(Default)]
struct Sum {
    seeds: u64,
    last: u64,
    lives: u64,
    requests: u64,
    events: u64,
    failed: Vec<u64>,
    /// Stories that are told again.
    again: Vec<(u64, u64)>,
}

/// Simulates, prints what came of it, and fails where a promise was broken.
pub(crate) fn command(flags: &Flags) -> anyhow::Result<()> {
    if let Some(seed) = flags.seed {
        return one(seed);
    }
    let Some(span) = flags.span else {
        let sum = several(flags.from, flags.seeds, None)?;
        return verdict(&sum);
    };
    let mut totals = Totals::read(&flags.totals)?;
    let first = totals.next();
    let sum = several(first, u64::MAX, Some(span))?;
    let today = jiff::Timestamp::now().to_string();
    totals.add(Day {
        date: today.chars().take(10).collect(),
        seeds: sum.seeds,
        last: sum.last,
        lives: sum.lives,
        requests: sum.requests,
        broken: sum.failed.len() as u64,
    });
    totals.write(&flags.totals)?;
    say!("added to {}: seeds {first} to {}", flags.totals.display(), sum.last);
    verdict(&sum)
}

fn one(seed: u64) -> anyhow::Result<()> {
    let outcome = aloud(seed)?;
    let Outcome { story, events, lives, requests, wrong, .. } = &outcome;
    say!("seed {seed}: {lives} lives, {requests} requests, {events} events; its story is {story:016x}");
    if wrong.is_empty() { Ok(()) } else { bail!("seed {seed}: {}", wrong.join("; ")) }
}

fn several(first: u64, count: u64, span: Option<Duration>) -> anyhow::Result<Sum> {
    let begun = Instant::now();
    let mut sum = Sum::default();
    many(first, count, span, |outcome| {
        sum.seeds += 1;
        sum.last = sum.last.max(outcome.seed);
        sum.lives += outcome.lives;
        sum.requests += outcome.requests;
        sum.events += outcome.events;
        if outcome.seed.is_multiple_of(AGAIN) {
            sum.again.push((outcome.seed, outcome.story));
        }
        if !outcome.wrong.is_empty() {
            sum.failed.push(outcome.seed);
            if sum.failed.len() <= TOLD {
                tell(outcome);
            } else {
                say!("seed {}: {}", outcome.seed, outcome.wrong.join("; "));
            }
        }
    })?;
    for (seed, story) in &sum.again {
        if run(*seed, &scratch(), false)?.story != *story {
            say!("seed {seed} tells another story the second time");
            sum.failed.push(*seed);
        }
    }
    say!(
        "{} seeds in {:.1} s: {} lives of the daemon, {} requests, {} events; {} told twice; {} failed",
        sum.seeds,
        begun.elapsed().as_secs_f64(),
        sum.lives,
        sum.requests,
        sum.events,
        sum.again.len(),
        sum.failed.len()
    );
    Ok(sum)
}

fn verdict(sum: &Sum) -> anyhow::Result<()> {
    let mut failed = sum.failed.clone();
    failed.sort_unstable();
    failed.dedup();
    if failed.is_empty() { Ok(()) } else { bail!("these seeds failed: {failed:?}") }
}

fn tell(outcome: &Outcome) {
    say!("seed {} breaks a promise:", outcome.seed);
    for wrong in &outcome.wrong {
        say!("  {wrong}");
    }
    say!("what came before:");
    for event in &outcome.last {
        say!("  {event}");
    }
    say!("see it again: cargo run -p usher-bench -- simulate --seed {}", outcome.seed);
}
