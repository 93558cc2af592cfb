//! One campaign after another for minutes, and the rate in each window of it: what is as fast at the end as at the
//! beginning holds.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use usher_common::model::{Channel, ListId};
use usher_demo::Desk;

use crate::messages::SINGLE;
use crate::process::{self, Sink};
use crate::run::{self, USUAL};
use crate::table::{self, Line};

/// How long a window is, of a run of some length.
const WINDOW: Duration = Duration::from_secs(10);
/// Campaigns under way at once: while one is approved the other is sent.
const FEEDERS: usize = 2;

/// What came of it.
pub(crate) struct Sustained {
    /// Messages a second in each window.
    pub(crate) rates: Vec<f64>,
    /// Messages sent, all together.
    pub(crate) sent: usize,
    /// Memory of the daemon before, after and at its peak, in MiB.
    pub(crate) memory: (u64, u64, u64),
    /// What should not have happened.
    pub(crate) fault: Option<String>,
}

/// The table of it: a line for each window.
pub(crate) async fn measure(count: usize, span: Duration) -> anyhow::Result<Vec<Line>> {
    Ok(summary(&run(count, span).await?, span))
}

/// Sends campaigns of `count` for so long.
pub(crate) async fn run(count: usize, span: Duration) -> anyhow::Result<Sustained> {
    let sink = Sink::start().await?;
    let room = "[store]\nlog_cap_mib = 1048576\n";
    let stage = run::stage(format!("{room}{}", run::texts(sink.url(), SINGLE))).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    // The first campaign finds everything cold.
    run::measure(&stage, &desk, &sink, (list, count), (Channel::Sms, USUAL)).await?;
    sink.take_tally().await?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let (before, _) = process::memory_mib(daemon)?;
    let begun = Instant::now();
    let mut feeders = tokio::task::JoinSet::new();
    for _ in 0..FEEDERS {
        feeders.spawn(feed(stage.desk().await?, list, count, begun + span));
    }
    let rates = watch(&sink, begun, span).await?;
    let mut sent = 0;
    while let Some(ended) = feeders.join_next().await {
        sent += ended.context("a feeder panicked")??;
    }
    let fault = sink.take_tally().await?.fault(sent);
    let (now, peak) = process::memory_mib(daemon)?;
    Ok(Sustained { rates, sent, memory: (before, now, peak), fault })
}

fn summary(found: &Sustained, span: Duration) -> Vec<Line> {
    let Sustained { rates, sent, memory: (before, now, peak), fault } = found;
    let (first, last) = (rates.first().copied().unwrap_or_default(), rates.last().copied().unwrap_or_default());
    let window = window(span);
    let mut lines: Vec<Line> = rates
        .iter()
        .zip(1..)
        .map(|(rate, n)| {
            Line::new(format!("  until {} s", (window * n).as_secs()), format!("{}/s", table::whole(*rate)))
                .beside(format!("{:.2} of the first window", rate / first))
        })
        .collect();
    lines.push(
        Line::new(format!("sustained for {} s, last window", span.as_secs()), format!("{}/s", table::whole(last)))
            .beside(format!("first window {}/s: {:.2} of it", table::whole(first), last / first))
            .remark(format!("{} sent; memory {before} MiB before, {now} after, peak {peak}", table::count(*sent)))
            .wrong(fault.clone()),
    );
    lines
}

fn window(span: Duration) -> Duration {
    WINDOW.min(span / 3)
}

/// Sends campaigns until the time is over; how many messages that made.
async fn feed(desk: Desk, list: ListId, count: usize, until: Instant) -> anyhow::Result<usize> {
    let mut sent = 0;
    while Instant::now() < until {
        let campaign = run::send(&desk, list, Channel::Sms, USUAL).await?;
        run::ended(&desk, campaign, count).await?;
        sent += count;
    }
    Ok(sent)
}

/// Messages a second that came to the sink, in each window.
async fn watch(sink: &Sink, begun: Instant, span: Duration) -> anyhow::Result<Vec<f64>> {
    let mut rates = Vec::new();
    let (mut came, mut at) = (0, begun);
    let mut next = begun + window(span);
    while next <= begun + span {
        tokio::time::sleep_until(next.into()).await;
        let (messages, now) = (sink.tally().await?.messages, Instant::now());
        rates.push((messages - came) as f64 / (now - at).as_secs_f64());
        (came, at) = (messages, now);
        next += window(span);
    }
    Ok(rates)
}
