//! What the system has to carry, each figure beside the one that is wanted: a thousand at once, minutes on end, a provider that
//! breaks in the midst of it, long letters, and the limits of a tier to the message.
//!
//! `docs/load.md` holds the table. What misses its figure is an error, in the table and in the exit code; of few of
//! everything only what was lost, came twice, or went over a limit.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use usher_common::model::Channel;
use usher_common::protocol::Request;
use usher_demo::{Desk, Plan, Stage};

use crate::failover;
use crate::messages::{self, CROWD, LATENCY};
use crate::process::Sink;
use crate::run::{self, USUAL};
use crate::sustained::{self, Sustained};
use crate::table::{self, Line, median};

/// Between these lines of the page stands the table.
const BEGIN: &str = "<!-- table: written by `usher-bench load --table`, not by hand -->";
const END: &str = "<!-- end of the table -->";
/// A thousand at once should be through within this.
const WITHIN: Duration = Duration::from_mins(1);
/// Percent of them that should be accepted at the first attempt.
const AT_FIRST: usize = 95;
/// Messages a second.
const RATE: f64 = 1_200.0;
/// What the last third of a sustained load has to keep of the first.
const KEPT: f64 = 0.9;
/// Memory may grow by less than this, in MiB.
const GROWTH: u64 = 500;
/// Messages of a campaign in the sustained load, in the failover, and of each length of letter.
const MANY: usize = 20_000;
const LETTERS: usize = 10_000;
const FEW: usize = 200;
/// An organisation of the tier `STARTER`, which may begin so many an hour, and a list that goes over it.
const STARTER: &str = "starters";
const AN_HOUR: u64 = 200;
const OVER: usize = 250;
/// How long nothing more may come once the limit is reached.
const STILL: Duration = Duration::from_secs(3);

/// What is to be measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Order {
    /// How long the sustained load lasts: `90s` or `5m`
    #[arg(long = "for", default_value = "5m", value_parser = crate::span)]
    span: Duration,
    /// A page of the documentation that the table is written into, between its marks; a release build only
    #[arg(long)]
    table: Option<PathBuf>,
}

impl Order {
    /// Few of everything.
    pub(crate) fn small() -> Self {
        Self { span: crate::SMALL_SPAN, table: None }
    }
}

/// The table.
pub(crate) async fn measure(order: &Order, small: bool) -> anyhow::Result<Vec<Line>> {
    if order.table.is_some() && (small || cfg!(debug_assertions)) {
        bail!("only the figures of a release build, and of a whole run, belong into a page");
    }
    let (many, letters) = if small { (FEW, FEW) } else { (MANY, LETTERS) };
    let mut lines = at_once(small).await?;
    let span = if small { crate::SMALL_SPAN } else { order.span };
    lines.extend(sustained(&sustained::run(many, span).await?, span, small));
    lines.extend(failover::measure(many, !small).await?);
    lines.extend(messages::templates(letters).await?);
    lines.push(limit().await?);
    if let Some(page) = &order.table {
        table::into_page(page, (BEGIN, END), &table::markdown(&lines))?;
    }
    Ok(lines)
}

/// A thousand messages, a thousand at once, after one campaign that finds everything cold.
async fn at_once(small: bool) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::slow(LATENCY).await?;
    let stage = run::stage(run::texts(sink.url(), CROWD)).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(CROWD).await?;
    let to = (list, CROWD);
    run::measure(&stage, &desk, &sink, to, (Channel::Sms, USUAL)).await?;
    let run = run::measure(&stage, &desk, &sink, to, (Channel::Sms, USUAL)).await?;
    let at_first = messages::at_first(&desk, run.campaign).await?;
    let took = Duration::from_secs_f64(run.seconds);
    let late = (!small && took >= WITHIN).then(|| "too late".to_owned());
    let slow = (!small && run.rate() < RATE).then(|| "too slow".to_owned());
    Ok(vec![
        Line::new(format!("{} SMS at once, all accepted after", table::count(CROWD)), table::time(took))
            .beside(format!("< {} s wanted", WITHIN.as_secs()))
            .remark(format!("at most {} under way at the sink, which waits 20 ms", run.tally.most_at_once))
            .wrong(run.fault().or(late)),
        Line::new("  that is", table::rate(CROWD, run.seconds))
            .beside(format!("{}/s wanted", table::whole(RATE)))
            .wrong(slow),
        Line::new("  accepted at the first attempt", format!("{:.2} %", at_first as f64 * 100.0 / CROWD as f64))
            .beside(format!("{AT_FIRST} % wanted"))
            .wrong((at_first * 100 < CROWD * AT_FIRST).then(|| format!("only {at_first} of {CROWD}"))),
    ])
}

fn sustained(found: &Sustained, span: Duration, small: bool) -> [Line; 2] {
    let rates = &found.rates;
    let third = rates.len().div_ceil(3);
    let (first, last) = (median(&rates[..third]), median(&rates[rates.len() - third..]));
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let (before, now, peak) = found.memory;
    let growth = peak.saturating_sub(before);
    let declined = (!small && last < KEPT * first).then(|| format!("declined to {:.2}", last / first));
    [
        Line::new(format!("sustained for {} s, last third", span.as_secs()), format!("{}/s", table::whole(last)))
            .beside(format!("first third {}/s: {:.2} of it, {KEPT} wanted", table::whole(first), last / first))
            .remark(format!("{} sent; slowest window {}/s", table::count(found.sent), table::whole(slowest)))
            .wrong(found.fault.clone().or(declined)),
        Line::new("  memory grows meanwhile by", format!("{growth} MiB"))
            .beside(format!("< {GROWTH} MiB wanted"))
            .remark(format!("{before} MiB before, {now} after, {peak} at the peak"))
            .wrong((growth >= GROWTH).then(|| "too much".to_owned())),
    ]
}

/// A campaign to more than an hour allows: as many begin as it allows, and not one more.
async fn limit() -> anyhow::Result<Line> {
    loop {
        let hour = hour();
        let came = begun_in_an_hour().await?;
        if hour == self::hour() {
            let wrong = (came != AN_HOUR).then(|| format!("{came} began"));
            let what = format!("{OVER} SMS of an organisation that may begin {AN_HOUR} an hour: begun");
            return Ok(Line::new(what, came.to_string()).beside(format!("{AN_HOUR} wanted")).wrong(wrong));
        }
        // The next hour allows as many again: what was counted belongs to two of them.
    }
}

/// The clock hour in UTC, which limits go by.
fn hour() -> i64 {
    jiff::Timestamp::now().as_second().div_euclid(3_600)
}

async fn begun_in_an_hour() -> anyhow::Result<u64> {
    let sink = Sink::start().await?;
    let organisation = format!(
        "[[organisation]]\nname = \"{STARTER}\"\ndisplay_name = \"Starters\"\ntier = \"STARTER\"\n\
         postal_address = \"1 Mill Lane, Bath BA1 1AA\"\nsms_sender = \"+14155550100\"\n\
         unsubscribe_base = \"https://rsvp.starters.example\"\n[organisation.values]\nwedding_date = \"12 June 2027\"\n\
         venue_name = \"The Old Mill\"\nceremony_time = \"14:00\"\nrsvp_deadline = \"1 May 2027\"\n\
         couple_names = \"Ada & Ben\"\nrsvp_link = \"https://rsvp.starters.example\"\nreception_venue = \"The Barn\"\n"
    );
    let extra = format!("{organisation}{}", run::texts(sink.url(), 100));
    let stage = Stage::set(Plan { providers: Vec::new(), extra, ..Plan::default() }).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(OVER).await?;
    let mut spec = Desk::invitation("Over the limit", list, &[Channel::Sms]);
    STARTER.clone_into(&mut spec.organisation);
    let id = desk.write(spec).await?;
    desk.on_campaign(Request::CampaignApprove { id }).await.context("approving the campaign")?;
    run::start(&desk, id).await?;
    let reached = desk.until(id, |detail| detail.row.expanded && detail.row.counts.taken() >= AN_HOUR);
    tokio::time::timeout(usher_demo::PATIENCE, reached).await.context("the limit was never reached")??;
    tokio::time::sleep(STILL).await;
    Ok(sink.tally().await?.messages)
}
