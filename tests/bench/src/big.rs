//! One campaign to a long list, acted upon while somebody looks on: how long the acts take, and how long anybody else
//! waits for an answer meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignDetail, CampaignId, Channel};
use usher_common::protocol::Request;
use usher_demo::{Desk, Stage};

use crate::messages::SINGLE;
use crate::process::{self, Sink};
use crate::run::{self, USUAL};
use crate::table::{self, Line};

/// `Status` is asked for this often.
const EVERY: Duration = Duration::from_millis(20);
/// Fewer messages than this would be gone before anybody could pause them, and go to a slow provider.
const FEW: usize = 10_000;
/// How long that one thinks: in the small run two rounds of a hundred take twice as long.
const SLOW: Duration = Duration::from_secs(1);
/// How long the campaign stays paused.
const PAUSED: Duration = Duration::from_secs(1);
/// A message takes no longer than this on the slowest machine; whoever waits for a campaign waits so long for each.
const EACH: Duration = Duration::from_millis(20);
/// And at least so long for all.
const PATIENCE: Duration = Duration::from_mins(3);

/// Sends a campaign to `count` guests, pauses it on its way and resumes it.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = if count < FEW { Sink::slow(SLOW).await? } else { Sink::start().await? };
    let room = "[store]\nlog_cap_mib = 1048576\ncompact_after_hours = 0\n";
    let stage = run::stage(format!("{room}{}", run::texts(sink.url(), SINGLE))).await?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let id = run::draft(&desk, list, Channel::Sms, USUAL).await?;
    let many = table::count(count);
    let mut lines = Vec::new();

    let looker = Looker::start(stage.desk().await?);
    let took = answered(&desk, Request::CampaignApprove { id }).await.context("approving")?;
    lines.push(looker.end().await?.line(&format!("{many} approved"), &format!("approved in {}", table::time(took))));

    let begun = Instant::now();
    let looker = Looker::start(stage.desk().await?);
    let start = answered(&desk, Request::CampaignSend { id, schedule: None }).await.context("sending")?;
    let patience = PATIENCE.max(EACH * u32::try_from(count).unwrap_or(u32::MAX));
    until(&desk, id, patience, |seen| seen.row.counts.taken() >= count as u64 / 4).await?;
    let pause = answered(&desk, Request::CampaignPause { id }).await.context("pausing")?;
    let still = until(&desk, id, patience, |seen| seen.row.counts.sending == 0).await?;
    tokio::time::sleep(PAUSED).await;
    let moved = desk.campaign(id).await?.row.counts.taken() - still.row.counts.taken();
    let resume = answered(&desk, Request::CampaignResume { id }).await.context("resuming")?;
    let ended = until(&desk, id, patience, |seen| seen.row.expanded && seen.row.counts.open() == 0).await?;
    let took = begun.elapsed().saturating_sub(PAUSED);
    let told = format!("sent in {}, the pause left out", table::time(took));
    let mut fault = sink.tally().await?.fault(count);
    if moved > 0 {
        fault = Some(format!("{moved} messages were sent while it was paused"));
    }
    if ended.row.counts.taken() != count as u64 {
        fault = Some(format!("of {count} messages not all were accepted: {:?}", ended.row.counts));
    }
    lines.push(looker.end().await?.line(&format!("{many} sent, paused, resumed"), &told).wrong(fault));

    let looker = Looker::start(stage.desk().await?);
    let (told, fault) = match compacted(&stage, patience).await? {
        Some((before, after)) => (format!("{after} bytes a message where a row of its own takes {before}"), None),
        None => (String::new(), Some(format!("its messages were not put together within {patience:?}"))),
    };
    lines.push(looker.end().await?.line(&format!("{many} put together"), &told).wrong(fault));

    let (_, peak) = process::memory_mib(daemon)?;
    lines.push(
        Line::new(format!("start, pause, resume of {many}: longest answer"), table::time(start.max(pause).max(resume)))
            .beside(format!(
                "start {}, pause {}, resume {}",
                table::time(start),
                table::time(pause),
                table::time(resume)
            ))
            .remark(format!("peak memory {peak} MiB")),
    );
    Ok(lines)
}

/// Waits until the campaign's messages are put together; what a message took before, and takes now, in bytes.
async fn compacted(stage: &Stage, patience: Duration) -> anyhow::Result<Option<(u64, u64)>> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let log = stage.log();
        let number = |name: &str| {
            let (_, behind) = log.split_once(name)?;
            behind.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
        };
        if let (Some(before), Some(after)) = (number("bytes_each_before="), number("bytes_each=")) {
            return Ok(Some((before, after)));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(None)
}

/// Acts, and tells how long the answer took.
async fn answered(desk: &Desk, request: Request) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    desk.on_campaign(request).await?;
    Ok(begun.elapsed())
}

/// Waits until `enough` holds of the campaign.
async fn until(
    desk: &Desk,
    id: CampaignId,
    patience: Duration,
    enough: impl Fn(&CampaignDetail) -> bool,
) -> anyhow::Result<CampaignDetail> {
    let begun = Instant::now();
    loop {
        let seen = desk.campaign(id).await?;
        if enough(&seen) {
            return Ok(seen);
        }
        if begun.elapsed() > patience {
            bail!("{id} did not get there within {patience:?}: {:?}", seen.row);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who asks for the status again and again, on a line of its own.
struct Looker {
    stop: CancellationToken,
    looks: JoinHandle<anyhow::Result<Vec<Duration>>>,
}

impl Looker {
    fn start(desk: Desk) -> Self {
        let stop = CancellationToken::new();
        let looks = tokio::spawn(look(desk, stop.clone()));
        Self { stop, looks }
    }

    async fn end(self) -> anyhow::Result<Waits> {
        self.stop.cancel();
        let mut waits = self.looks.await.context("asking for the status")??;
        waits.sort_unstable();
        Ok(Waits(waits))
    }
}

async fn look(desk: Desk, stop: CancellationToken) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    loop {
        let begun = Instant::now();
        desk.ask(Request::Status).await.context("asking for the status")?;
        waits.push(begun.elapsed());
        tokio::select! {
            () = stop.cancelled() => return Ok(waits),
            () = tokio::time::sleep_until((begun + EVERY).into()) => {}
        }
    }
}

/// How long answers took, shortest first.
struct Waits(Vec<Duration>);

impl Waits {
    fn line(&self, what: &str, told: &str) -> Line {
        let at = |share: usize| self.0.get((self.0.len() * share / 100).min(self.0.len() - 1)).copied();
        let (half, most) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
        let longest = self.0.last().copied().unwrap_or_default();
        Line::new(format!("{what}: longest Status"), table::time(longest))
            .beside(format!("half within {}, 99 % within {}", fine(half), fine(most)))
            .remark(format!("{told}; {} calls", table::count(self.0.len())))
    }
}

/// Milliseconds with a tenth.
fn fine(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
