//! What a message costs when many are stored already, and what all of them take of the disk.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use usher_common::model::{Channel, ListId};
use usher_demo::{Desk, Stage};
use usherd::clock::Clock;
use usherd::store::engine::{Engine, Options};
use usherd::vault::Vault;

use crate::messages::SINGLE;
use crate::process::{Sink, on_disk};
use crate::run::{self, Run, USUAL};
use crate::table::{self, Line, median};

/// Messages of one campaign that only fills the store.
const CAMPAIGN: usize = 100_000;
/// Campaigns that are measured before, and after.
const ROUNDS: usize = 3;

/// Sends a campaign of `count` with nothing stored, and again with `stored` messages done.
pub(crate) async fn measure(count: usize, stored: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let room = "[store]\nlog_cap_mib = 1048576\n";
    let mut stage = run::stage(format!("{room}{}", run::texts(sink.url(), SINGLE))).await?;
    let desk = stage.desk().await?;
    let few = desk.guests(count).await?;
    let kind = (Channel::Sms, USUAL);
    // The first campaign finds everything cold.
    run::measure(&stage, &desk, &sink, (few, count), kind).await?;
    let before = rounds(&stage, &desk, &sink, (few, count)).await?;
    let size = stored.min(CAMPAIGN);
    let many = fill_list(&desk, size).await?;
    let mut done = (1 + ROUNDS) * count;
    while done < stored {
        let campaign = run::send(&desk, many, Channel::Sms, USUAL).await?;
        run::ended(&desk, campaign, size).await?;
        done += size;
    }
    let after = rounds(&stage, &desk, &sink, (few, count)).await?;
    let all = done + ROUNDS * count;
    drop(desk);
    stage.stop().await?;
    let folder = stage.state();
    let plain = on_disk(&folder)? as usize / all;
    let checkpointed = checkpointed(&folder).await? as usize / all;
    let what = format!("{} SMS, {} stored before: daemon, each", table::count(count), table::count(done));
    let ratio = after.daemon_us / before.daemon_us;
    Ok(vec![
        Line::new(what, format!("{:.0} us", after.daemon_us))
            .beside(format!("{} stored before {:.0} us: {ratio:.2} times", table::count(count), before.daemon_us))
            .remark(format!(
                "{}/s beside {}/s; medians of {ROUNDS}",
                table::whole(after.rate),
                table::whole(before.rate)
            ))
            .wrong(after.fault.or(before.fault)),
        Line::new(format!("disk with {} sent, each", table::count(all)), format!("{} bytes", table::count(plain)))
            .beside(format!("with a checkpoint {} bytes", table::count(checkpointed)))
            .remark(format!("the whole state folder, with {} guests", table::count(count + size))),
    ])
}

/// What campaigns of one kind came to: medians.
struct Figures {
    daemon_us: f64,
    rate: f64,
    fault: Option<String>,
}

async fn rounds(stage: &Stage, desk: &Desk, sink: &Sink, to: (ListId, usize)) -> anyhow::Result<Figures> {
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        runs.push(run::measure(stage, desk, sink, to, (Channel::Sms, USUAL)).await?);
    }
    let of = |figure: fn(&Run) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    Ok(Figures { daemon_us: of(|run| run.daemon_us), rate: of(Run::rate), fault: runs.iter().find_map(Run::fault) })
}

async fn fill_list(desk: &Desk, size: usize) -> anyhow::Result<ListId> {
    let mut csv = String::from("name,email,phone\n");
    for n in 0..size {
        csv += &format!("Guest {n},other-{n}@guests.example,+1310{}\n", 2_000_000 + n);
    }
    desk.import("others", csv.as_bytes()).await?;
    desk.list("others").await
}

/// What the state of a daemon that has stopped takes of the disk once there is a checkpoint.
async fn checkpointed(state: &Path) -> anyhow::Result<u64> {
    let folder = state.to_owned();
    let engine = tokio::task::spawn_blocking(move || {
        let (vault, _) = Vault::open(&folder, None).context("opening the vault")?;
        let key = *vault.derive("set-hash").expose();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let clock = Clock::system();
        let options = Options::new(folder.join("store"), key, boot.trim().to_owned(), Arc::new(move || clock.now()));
        let (engine, _) = Engine::open(options).context("opening the store")?;
        anyhow::Ok(engine)
    });
    let engine = engine.await.context("opening the state")??;
    engine.checkpoint().await.context("writing a checkpoint")?;
    let bytes = on_disk(state)?;
    engine.close().await.context("closing the store")?;
    Ok(bytes)
}
