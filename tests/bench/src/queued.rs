//! A provider that is down, and a queue that grows: memory, and how long the daemon takes to be there again after it
//! was killed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpSocket;
use usher_common::model::{CampaignId, Channel};
use usher_demo::{Desk, Stage};

use crate::messages::SINGLE;
use crate::process;
use crate::run::{self, USUAL};
use crate::table::{self, Line};

/// Messages of one campaign; more are queued by several.
const CAMPAIGN: usize = 100_000;
/// What memory may grow by, in MiB.
const GROWTH: u64 = 500;
const PATIENCE: Duration = Duration::from_mins(5);

/// Queues `count` messages, for which there is nobody.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    // Bound and never listened at: connecting is refused, and nobody else can have the port.
    let closed = TcpSocket::new_v4().context("making a socket")?;
    closed.bind(([127, 0, 0, 1], 0).into()).context("keeping a port that nobody listens at")?;
    let url = format!("http://{}", closed.local_addr()?);
    let room = "[store]\nlog_cap_mib = 65536\n";
    let mut stage = run::stage(format!("{room}{}", run::texts(&url, SINGLE))).await?;
    let empty_start = restart(&mut stage).await?;
    let empty = process::memory_mib(stage.pid().context("the daemon has ended")?)?;
    let desk = stage.desk().await?;
    let size = count.min(CAMPAIGN);
    let list = desk.guests(size).await?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let mut lines = Vec::new();
    let mut queued = 0;
    while queued < count {
        let campaign = run::send(&desk, list, Channel::Sms, USUAL).await?;
        expanded(&desk, campaign, size as u64).await?;
        queued += size;
        if queued == size || queued >= count {
            lines.push(memory(format!("memory with {} queued", table::count(queued)), daemon, empty)?);
        }
    }
    drop(desk);
    let taken = restart(&mut stage).await?;
    lines.push(
        Line::new(format!("ready after kill -9 with {} queued", table::count(queued)), table::time(taken))
            .beside(format!("with an empty store {}", table::time(empty_start)))
            .remark("from exec to the first answered Status, to 20 ms"),
    );
    let daemon = stage.pid().context("the daemon has ended")?;
    lines.push(memory("memory after that start".to_owned(), daemon, empty)?);
    Ok(lines)
}

fn memory(what: String, daemon: u32, (empty, _): (u64, u64)) -> anyhow::Result<Line> {
    let (now, peak) = process::memory_mib(daemon)?;
    let grown = peak.saturating_sub(empty);
    Ok(Line::new(what, format!("{now} MiB"))
        .beside(format!("with an empty store {empty} MiB"))
        .remark(format!("peak {peak} MiB; growth under {GROWTH} MiB wanted"))
        .wrong((grown >= GROWTH).then(|| format!("it grew by {grown} MiB"))))
}

/// Kills the daemon and starts it again; how long the start took.
async fn restart(stage: &mut Stage) -> anyhow::Result<Duration> {
    stage.kill().await?;
    let begun = Instant::now();
    stage.start().await?;
    Ok(begun.elapsed())
}

/// Waits until every guest has become a message that waits.
async fn expanded(desk: &Desk, campaign: CampaignId, count: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let row = desk.campaign(campaign).await?.row;
        if row.expanded {
            if row.counts.open() != count {
                bail!("of {count} messages not all wait: {:?}", row.counts);
            }
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{campaign} is still not expanded: {row:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
