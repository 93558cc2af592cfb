//! The world that daemons die in: three providers with faults, and reports of a part of what they took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::sync::watch;
use usher_demo::{Plan, Reports, SVIX, Stage, resend_event};
use usher_sim::{Accepted, Dot, Fault, FaultKind, Latency, Provider, Record, Scope, When};
use usherd::failpoint::HURRY;

/// Requests under way and messages in them, at most: what a kill may put in doubt.
pub(crate) const IN_FLIGHT: u64 = 4 * 10 + 16 + 8;
/// Messages in a request, at most.
pub(crate) const BATCH: u64 = 10;
/// One in so many messages is reported of.
const REPORTED: u64 = 4;
/// One in so many of Twilio's reports says that the message was lost.
const LOST: u64 = 9;
/// One in so many reports comes twice.
const TWICE: u64 = 8;
/// A report that was not taken is told again after this.
const AGAIN: Duration = Duration::from_millis(20);

/// Sets the stage. Both e-mail providers share the letters, so that each is always on its way.
pub(crate) async fn set(seed: u64) -> anyhow::Result<(Stage, Reports)> {
    let mut plan = Plan::default();
    let latency = Latency::Uniform { min_ms: 5.0, max_ms: 60.0 };
    plan.simulator.seed = seed;
    // Twilio's list shows the texts.
    plan.simulator.keep_bodies = 8_192;
    plan.simulator.resend.latency = latency;
    plan.simulator.twilio.latency = latency;
    plan.simulator.smtp.latency = latency;
    plan.extra += "[store]\ncompact_after_hours = 0\n[dispatch]\nfailover_threshold = 20\nabsent_after_seconds = 3\n";
    let limits = [
        ("resend", "max_in_flight = 4\nbatch_size = 10\nrate_per_second = 1000\nweight = 4\n"),
        ("smtp", "rate_per_second = 1000\nweight = 1\n"),
        ("twilio", "max_in_flight = 16\nrate_per_second = 1000\n"),
    ];
    plan.settings = limits.map(|(name, lines)| (name.to_owned(), lines.to_owned())).into();
    plan.environment = BTreeMap::from([(HURRY.to_owned(), "1".to_owned())]);
    let reports = Reports::plan(&mut plan)?;
    Ok((Stage::set(plan).await?, reports))
}

/// What goes wrong at the providers, each with the share of the requests that it strikes.
pub(crate) async fn break_providers(stage: &Stage, seed: u64) -> anyhow::Result<()> {
    let status = |accepted| FaultKind::Status { status: 500, accepted, code: None };
    let reset = |when| FaultKind::Reset { when };
    let throttle = || FaultKind::Throttle { retry_after: Some(1) };
    let faults = [
        (Provider::Resend, status(true), 2.0),
        (Provider::Resend, status(false), 1.0),
        (Provider::Resend, reset(When::BeforeAccept), 1.0),
        (Provider::Resend, reset(When::AfterAccept), 2.0),
        (Provider::Resend, throttle(), 1.0),
        (Provider::Twilio, status(true), 1.0),
        (Provider::Twilio, status(false), 0.5),
        (Provider::Twilio, reset(When::BeforeAccept), 0.5),
        (Provider::Twilio, reset(When::AfterAccept), 1.0),
        (Provider::Twilio, throttle(), 0.5),
        (Provider::Smtp, FaultKind::Drop { when: Dot::Before }, 2.0),
        (Provider::Smtp, FaultKind::Drop { when: Dot::After }, 2.0),
    ];
    for (n, (provider, kind, percent)) in faults.into_iter().enumerate() {
        let fault = Fault::from(kind).percent(percent, seed.wrapping_add(n as u64)).only(Scope::Sends);
        stage.simulator.fault(provider, fault).await.context("breaking a provider")?;
    }
    Ok(())
}

/// Mends every provider; how many requests the faults struck.
pub(crate) async fn mend_providers(stage: &Stage) -> anyhow::Result<u64> {
    let mut struck = 0;
    for provider in [Provider::Resend, Provider::Twilio, Provider::Smtp] {
        stage.simulator.clear(provider).await.context("mending a provider")?;
        struck += stage.simulator.counts(provider).faults;
    }
    Ok(struck)
}

/// What a provider said of a message, and the daemon has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Delivered,
    Lost,
}

/// What was reported so far.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    told: Arc<Mutex<BTreeMap<u64, Told>>>,
    far: watch::Receiver<u64>,
}

impl Telling {
    /// By message.
    pub(crate) fn told(&self) -> BTreeMap<u64, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many entries of the record were gone through.
    pub(crate) fn far(&self) -> u64 {
        *self.far.borrow()
    }
}

/// Reports of what is accepted, as it comes, in a task of its own; ends only by an error.
pub(crate) fn tell(
    record: Arc<Record>,
    reports: Reports,
    seed: u64,
) -> (Telling, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let (far_sender, far) = watch::channel(0);
    let telling = Telling { told: Arc::default(), far };
    let told = Arc::clone(&telling.told);
    let task = tokio::spawn(async move {
        let mut next = 0;
        loop {
            record.wait_for_count(next + 1).await;
            for entry in record.entries(next, 64) {
                if let Some((message, says)) = due(&entry, seed) {
                    let times = if entry.sequence.is_multiple_of(TWICE) { 2 } else { 1 };
                    for _ in 0..times {
                        report(&reports, &entry, says).await?;
                    }
                    told.lock().unwrap_or_else(PoisonError::into_inner).insert(message, says);
                }
                next = entry.sequence + 1;
                far_sender.send_replace(next);
            }
        }
    });
    (telling, task)
}

/// Whether an entry is reported of, and what is said. A request of Resend's is reported of whole or not at all: while one of
/// its messages is in doubt the others are, and only all together can be asked for again.
fn due(entry: &Accepted, seed: u64) -> Option<(u64, Told)> {
    let message: u64 = entry.message.as_deref()?.trim_start_matches('m').parse().ok()?;
    match entry.provider {
        Provider::Resend => {
            let key = entry.idempotency_key.as_deref()?;
            let sum = key.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
            sum.is_multiple_of(REPORTED).then_some((message, Told::Delivered))
        }
        Provider::Twilio if message.is_multiple_of(REPORTED) => {
            Some((message, if message.is_multiple_of(LOST) { Told::Lost } else { Told::Delivered }))
        }
        _ => None,
    }
}

/// Reports until the daemon has taken it: a provider that is not answered, or with a 503, tells it again.
async fn report(reports: &Reports, entry: &Accepted, says: Told) -> anyhow::Result<()> {
    loop {
        let answer = match (entry.provider, says) {
            (Provider::Twilio, Told::Delivered) => reports.twilio(entry, "delivered", "").await,
            (Provider::Twilio, Told::Lost) => reports.twilio(entry, "undelivered", "30003").await,
            _ => {
                let body = resend_event("email.delivered", entry, json!({}));
                reports.resend(SVIX, &format!("msg_{}", entry.sequence), &body).await
            }
        };
        match answer {
            Ok(200) => return Ok(()),
            Err(_) | Ok(503) => tokio::time::sleep(AGAIN).await,
            Ok(other) => bail!("a report of {entry:?} was answered with {other}"),
        }
    }
}
