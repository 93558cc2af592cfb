//! One fault, once: a daemon, a campaign under way at a pace, a provider that breaks, and a standby with room.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use usher_common::model::{CampaignId, CampaignState, Channel};
use usher_common::protocol::Request;
use usher_demo::{Desk, PATIENCE, Plan, Stage, free_port};
use usher_sim::{Config, Latency, NAME, Relay};
use usherd::dispatch::Dice;

use super::kind::Kind;
use super::moments::Moments;
use super::names::Names;
use crate::balance::balance;
use crate::run::{self, USUAL};

/// Messages that go at once at the beginning, whatever the pace: as many answers as the breaker needs to know what is usual.
const AT_FIRST: usize = 40;
/// The breaker takes the answers of the last ten seconds for no measure yet, and a second more until it looks.
const WARM: Duration = Duration::from_secs(14);
/// A fault begins at any moment between two probes.
const PHASE: Duration = Duration::from_secs(5);
/// Requests that may be under way at the provider that breaks: half of what the daemon has for all.
const IN_FLIGHT: u32 = 500;
/// What a provider takes for an answer, as in `breaker`: 99 % below 0.4 s.
const USUAL_LATENCY: Latency = Latency::LogNormal { median_ms: 120.0, sigma: 0.52 };
/// How often log and record are looked at; what they say is exact all the same.
const LOOK: Duration = Duration::from_millis(50);

/// What came of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Injection {
    pub(crate) kind: Kind,
    /// Messages a second.
    pub(crate) rate: f64,
    /// From the fault to the breaker's opening, in microseconds; `None` if it did not open in time.
    pub(crate) detect_us: Option<u64>,
    /// From there to the first messages that were handed to the standby.
    pub(crate) decide_us: Option<u64>,
    /// From the fault to the standby's first acceptance.
    pub(crate) elsewhere_us: Option<u64>,
    /// From the fault to the moment at which the plan was caught up with.
    pub(crate) caught_up_us: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) unknown: u64,
    /// Given up with a reason.
    pub(crate) failed: u64,
    /// Why the breaker opened; empty if it did not.
    pub(crate) why: String,
}

/// What an injection needs to be left alone with.
struct Scene {
    stage: Stage,
    relay: Relay,
    names: Option<Names>,
    /// The relay's certificate.
    _trust: TempDir,
}

impl Scene {
    async fn set(kind: Kind, rate: f64, seed: u64) -> anyhow::Result<Self> {
        let (broken, standby) = (own_port()?, own_port()?);
        let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], broken))).await.context("starting the relay")?;
        let trust = tempfile::Builder::new().prefix("usher-trust-").tempdir().context("making a temporary folder")?;
        let ca = trust.path().join("ca.pem");
        std::fs::write(&ca, relay.ca_pem()).context("writing the relay's certificate")?;
        let names = if kind == Kind::Dns { Some(Names::new()?) } else { None };
        let host = if names.is_some() { NAME } else { "localhost" };
        let url = format!("https://{host}:{}", relay.address().port());
        let mut simulator = Config { seed, ..Config::default() };
        (simulator.sendgrid.port, simulator.sendgrid.latency) = (broken, USUAL_LATENCY);
        (simulator.resend.port, simulator.resend.latency) = (standby, USUAL_LATENCY);
        let plan = Plan {
            simulator,
            providers: Vec::new(),
            extra: providers(&url, &ca, rate, standby),
            through: names.as_ref().map(Names::through).unwrap_or_default(),
            ..Plan::default()
        };
        let stage = Stage::set(plan).await?;
        Ok(Self { stage, relay, names, _trust: trust })
    }
}

/// A port that no other injection of this process has: a free one is taken by whoever listens first.
fn own_port() -> anyhow::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = free_port()?;
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
}

/// The provider that breaks, at the pace that is the load, and a standby that takes whatever comes. The log tells of each
/// load that goes out.
fn providers(url: &str, ca: &Path, rate: f64, standby: u16) -> String {
    format!(
        "[log]\nlevel = \"debug\"\nformat = \"json\"\n\
         [[provider]]\nname = \"sendgrid\"\nkind = \"sendgrid\"\nbase_url = \"{url}\"\napi_key = \"SG.simulator\"\n\
         ca_file = \"{}\"\nrate_per_second = {rate}\nburst = {AT_FIRST}\nmax_in_flight = {IN_FLIGHT}\n\
         [[provider]]\nname = \"resend\"\nkind = \"resend\"\nbase_url = \"http://127.0.0.1:{standby}\"\n\
         api_key = \"re_simulator\"\nrate_per_second = 100000\nburst = 10000\n",
        ca.display()
    )
}

/// Breaks a provider and tells what came of it. `small`: at once, with nothing known of what is usual.
pub(crate) async fn inject(kind: Kind, rate: f64, seed: u64, small: bool) -> anyhow::Result<Injection> {
    let mut dice = Dice::seeded(seed);
    let warm = if small { Duration::ZERO } else { WARM + PHASE.mul_f64(dice.unit()) };
    let guests = AT_FIRST + (rate * (warm + kind.patience(rate)).as_secs_f64()).ceil() as usize;
    let scene = Scene::set(kind, rate, seed).await?;
    let (stage, record) = (&scene.stage, scene.stage.simulator.record());
    let desk = stage.desk().await?;
    let list = desk.guests(guests).await?;
    let campaign = run::send(&desk, list, Channel::Email, USUAL).await?;
    let begun = tokio::time::timeout(PATIENCE, record.wait_for_count(AT_FIRST as u64)).await;
    begun.context("the first messages did not arrive")?;
    tokio::time::sleep(warm).await;

    let mut moments = Moments::begin(stage.folder().join("usherd.log"), &record)?;
    kind.begin(&stage.simulator, &scene.relay, scene.names.as_ref(), seed).await?;
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        moments.look(&record)?;
        // Whoever waits for the plan to be caught up with knows what is in doubt only when all is over.
        let counts = desk.campaign(campaign).await?.row.counts;
        let caught_up = moments.caught_up(rate, counts.unknown).is_some();
        let all_is_seen = moments.turned.is_some() && caught_up;
        if all_is_seen || moments.elapsed(&record) > kind.patience(rate) {
            break;
        }
    }
    // The rest need not be sent; what is under way is waited for.
    stop(&desk, campaign).await?;
    desk.sent(campaign).await.context("waiting for the last outcome")?;
    moments.look(&record)?;
    if kind.hangs() {
        moments.opened_by_the_planner();
    }
    let books = balance(&desk, campaign, &record, guests).await?;
    if books.accepted == 0 {
        bail!("nothing was accepted at all:\n{}", stage.log());
    }
    let us = |at: Option<Duration>| at.map(|at| at.as_micros() as u64);
    Ok(Injection {
        kind,
        rate,
        detect_us: us(moments.opened),
        decide_us: us(moments.opened.zip(moments.turned).map(|(opened, turned)| turned.saturating_sub(opened))),
        elsewhere_us: us(moments.first),
        caught_up_us: us(moments.caught_up(rate, books.unknown)),
        lost: books.lost,
        twice: books.twice,
        unknown: books.unknown,
        failed: books.failed,
        why: moments.why,
    })
}

/// Cancels a campaign, unless everything was sent meanwhile.
async fn stop(desk: &Desk, campaign: CampaignId) -> anyhow::Result<()> {
    let Err(error) = desk.on_campaign(Request::CampaignCancel { id: campaign }).await else { return Ok(()) };
    let state = desk.campaign(campaign).await?.row.state;
    if state.is_ended() || state == CampaignState::Settling {
        return Ok(());
    }
    Err(error.context(format!("cancelling a campaign that is {}", state.as_str())))
}
