//! An episode: one store, under load and faults, through so many deaths; then everything settles and the books are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use usher_common::model::{BreakerState, ProviderRow};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, Stage};
use usherd::failpoint::ARM;

use super::books::{self, Books};
use super::load::{self, Wedding, Wish};
use super::schedule::{Death, is_in_the_start};
use super::world::{self, BATCH, IN_FLIGHT, Telling};
use crate::crash::say;

/// A failpoint that is not passed within this is a failure.
const PATIENCE: Duration = Duration::from_secs(30);
/// Everything has settled within this after the last death and the last breaker that stood open, and within this in all.
const REST: Duration = Duration::from_mins(1);
const REST_AT_MOST: Duration = Duration::from_mins(7);
/// The operator looks again after this.
const LOOK: Duration = Duration::from_millis(60);
/// Starts in which a failpoint of the start may have nothing to do.
const STARTS: u32 = 12;

/// The death of a daemon that a kill from outside ended.
pub(crate) const OUTSIDE: &str = "any moment";

/// What an episode came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Deaths by failpoint, or by [`OUTSIDE`].
    pub(crate) deaths: BTreeMap<String, u64>,
    /// Messages in the daemon's books.
    pub(crate) messages: u64,
    /// Messages in the simulator's record.
    pub(crate) accepted: u64,
    /// Reports that the daemon took.
    pub(crate) reported: u64,
    /// Requests that a fault struck.
    pub(crate) struck: u64,
    /// Messages that were in doubt at some start or at the end, and those of them that still are.
    pub(crate) doubted: u64,
    pub(crate) left: u64,
}

struct Episode {
    stage: Stage,
    wedding: Wedding,
    telling: Telling,
    doubted: BTreeSet<u64>,
    deaths: BTreeMap<String, u64>,
}

/// Plays one. When it fails, the error says at which death, and where everything stands.
pub(crate) async fn play(seed: u64, deaths: &[Death]) -> anyhow::Result<Outcome> {
    let (stage, reports) = world::set(seed).await?;
    world::break_providers(&stage, seed).await?;
    let (telling, teller) = world::tell(stage.simulator.record(), reports, seed);
    let mut episode =
        Episode { stage, wedding: Wedding::new(), telling, doubted: BTreeSet::new(), deaths: BTreeMap::new() };
    let ended = tokio::select! {
        ended = episode.live(deaths) => ended,
        told = teller => match told {
            Ok(Ok(())) => unreachable!("who reports goes on for ever"),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        },
    };
    let folder = episode.stage.folder().display().to_string();
    ended.map_err(|error| {
        episode.stage.keep();
        error.context(format!("everything stands in {folder}"))
    })
}

impl Episode {
    async fn live(&mut self, deaths: &[Death]) -> anyhow::Result<Outcome> {
        let desk = self.stage.desk().await?;
        self.wedding.carry_on(&desk, Wish::Usual).await.context("the first campaign")?;
        drop(desk);
        self.stage.kill().await?;
        for (n, death) in deaths.iter().enumerate() {
            let begun = Instant::now();
            self.die(*death).await.with_context(|| format!("death {}, {death}", n + 1))?;
            say(&format!("{:>4} {death}, {:.1} s", n + 1, begun.elapsed().as_secs_f64()));
        }
        self.settle().await
    }

    /// One life, to its end.
    async fn die(&mut self, death: Death) -> anyhow::Result<()> {
        match death {
            Death::At { point, nth } => {
                for _ in 0..STARTS {
                    self.stage.tell(ARM, Some(&format!("{point}:{nth}")));
                    let died = self.life(point).await;
                    self.stage.tell(ARM, None);
                    if died? {
                        *self.deaths.entry(point.to_owned()).or_default() += 1;
                        return Ok(());
                    }
                }
                bail!("{point} was armed in {STARTS} starts and never hit");
            }
            Death::After(life) => {
                let begun = Instant::now();
                self.stage.launch()?;
                let lived = async {
                    self.rise().await?;
                    self.work(Wish::Usual).await
                };
                match tokio::time::timeout(life.saturating_sub(begun.elapsed()), lived).await {
                    Err(_) => {}
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(never)) => match never {},
                }
                self.stage.kill().await?;
                *self.deaths.entry(OUTSIDE.to_owned()).or_default() += 1;
                Ok(())
            }
        }
    }

    /// A life that ends at a failpoint: whether it did. One whose failpoint stands in its start, and had nothing to do there,
    /// is ended from outside as soon as something is under way again.
    async fn life(&mut self, point: &'static str) -> anyhow::Result<bool> {
        self.stage.launch()?;
        if !self.stage.ready().await? {
            return self.killed_itself().await;
        }
        let record = self.stage.simulator.record();
        if is_in_the_start(point) {
            let more = record.total() + BATCH;
            tokio::select! {
                () = record.wait_for_count(more) => {}
                ended = self.work(Wish::Usual) => { let Err(error) = ended; return Err(error); }
            }
            self.stage.kill().await?;
            *self.deaths.entry(OUTSIDE.to_owned()).or_default() += 1;
            return Ok(false);
        }
        let worked = {
            let lived = async {
                self.look().await?;
                self.work(Wish::of(point)).await
            };
            tokio::time::timeout(PATIENCE, lived).await
        };
        match worked {
            Err(_) => bail!("{point} was armed and not hit within {PATIENCE:?}"),
            Ok(Ok(never)) => match never {},
            // The line broke because the daemon is dead, or the daemon is alive and said something wrong.
            Ok(Err(error)) => match tokio::time::timeout(Duration::from_secs(1), self.killed_itself()).await {
                Ok(killed) => killed,
                Err(_) => Err(error),
            },
        }
    }

    async fn killed_itself(&mut self) -> anyhow::Result<bool> {
        let status = self.stage.ended().await?;
        if status.signal() == Some(rustix::process::Signal::KILL.as_raw()) {
            return Ok(true);
        }
        bail!("usherd ended with {status} instead of dying:\n{}", tail(&self.stage.log()));
    }

    /// Waits until the daemon answers, and looks.
    async fn rise(&mut self) -> anyhow::Result<()> {
        if !self.stage.ready().await? {
            let status = self.stage.ended().await?;
            bail!("usherd ended with {status} instead of starting:\n{}", tail(&self.stage.log()));
        }
        self.look().await
    }

    /// What can be seen at once after a start: nothing that was answered is lost, and nobody was told twice so far.
    async fn look(&mut self) -> anyhow::Result<()> {
        let desk = self.stage.desk().await?;
        let rows = load::campaigns(&desk).await?;
        let mut wrong = self.wedding.lost(&rows, &load::lists(&desk).await?);
        self.doubted.extend(books::doubts(&desk).await?.iter().map(|doubt| doubt.message.id.0));
        let taken: u64 = rows.iter().map(|row| row.counts.taken()).sum();
        let record = self.stage.simulator.record();
        if taken > record.total() {
            wrong.push(format!(
                "LOST {taken} messages were accepted, says the daemon, {} in the record",
                record.total()
            ));
        }
        wrong.extend(record.duplicates().iter().map(|twice| format!("TWICE {twice:?}")));
        if wrong.is_empty() { Ok(()) } else { bail!("after the start before: {}", wrong.join("\n")) }
    }

    /// Keeps the daemon busy; ends only by an error.
    async fn work(&mut self, wish: Wish) -> anyhow::Result<std::convert::Infallible> {
        let desk: Desk = self.stage.desk().await?;
        loop {
            self.wedding.carry_on(&desk, wish).await?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// One more life, with everything mended, in which all has to come to rest; then the books are compared.
    async fn settle(&mut self) -> anyhow::Result<Outcome> {
        let struck = world::mend_providers(&self.stage).await?;
        self.stage.launch()?;
        self.rise().await?;
        let desk = self.stage.desk().await?;
        self.wedding.finish(&desk).await?;
        let record = self.stage.simulator.record();
        let begun = Instant::now();
        let mut well_since = begun;
        let books = loop {
            let (total, told) = (record.total(), self.telling.told());
            let reported = self.telling.far() == total;
            let books = Books::read(&desk).await?;
            let unrest = books.unrest(&told);
            if unrest.is_none() && reported && record.total() == total {
                // The last message may have moved between two pages of these books; now nothing moves any more.
                break Books::read(&desk).await?;
            }
            let Reply::Providers(providers) = desk.ask(Request::Providers).await? else { bail!("no providers") };
            let shut = |row: &ProviderRow| matches!(row.breaker, BreakerState::Open | BreakerState::HalfOpen);
            if providers.iter().any(shut) {
                // What the deaths brought about must pass first, and takes minutes after several in a row.
                well_since = Instant::now();
            }
            if well_since.elapsed() > REST || begun.elapsed() > REST_AT_MOST {
                let why = unrest.unwrap_or_else(|| "reports are not taken".to_owned());
                let doubts = books::doubts(&desk).await?;
                let first = doubts.first().map_or_else(String::new, |doubt| format!("\nthe first in doubt: {doubt:?}"));
                // What it is about comes last: the ends of long logs are what is kept of them.
                let log = tail(&self.stage.log());
                let waited = begun.elapsed();
                bail!("{log}\n{providers:?}{first}\nnot at rest {waited:.1?} after the last death: {why}");
            }
            tokio::time::sleep(LOOK).await;
        };
        let told = self.telling.told();
        let left = books.unknown();
        self.doubted.extend(&left);
        let mut wrong = books.contradictions(&self.wedding, &record, &told);
        let kills: u64 = self.deaths.values().sum();
        let most = (kills + 1) * IN_FLIGHT + struck * BATCH;
        if self.doubted.len() as u64 > most {
            wrong.push(format!("{} messages were in doubt, and {most} can have been", self.doubted.len()));
        }
        if !wrong.is_empty() {
            bail!("the books do not agree:\n{}", wrong.join("\n"));
        }
        self.stage.kill().await?;
        Ok(Outcome {
            deaths: std::mem::take(&mut self.deaths),
            messages: books.count(),
            accepted: record.total(),
            reported: told.len() as u64,
            struck,
            doubted: self.doubted.len() as u64,
            left: left.len() as u64,
        })
    }
}

/// The end of what a daemon said.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
