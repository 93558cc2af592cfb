//! `usher-demo`: a wedding's worth of invitations on a stage, with a provider that breaks half-way, and the books
//! compared at the end.
//! Promises: ends with 0 only when the campaign ended and the daemon's count and the simulator's record agree, message
//! for message, without one that was sent twice.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use usher_common::model::{CampaignDetail, CampaignId, Channel};
use usher_demo::{Desk, Plan, Stage, guest_list};
use usher_sim::{FaultKind, Latency, Provider, Simulator};

/// The whole, headless or watched, may take this long.
const LONGEST: Duration = Duration::from_secs(115);
/// For how many messages a broken provider stays broken, in percent of those still to come.
const BROKEN_PERCENT: u64 = 4;

/// Plays a campaign on a stage: a simulated world, a real daemon, the real console.
///
/// Everything happens on this machine and in a temporary folder. Exit codes: 0 the books agree; 1 they do not, or
/// something failed.
#[derive(Debug, Parser)]
#[command(name = "usher-demo", version)]
struct Arguments {
    /// Print lines of progress instead of opening the console
    #[arg(long)]
    headless: bool,
    /// Guests on the list
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    guests: u32,
    /// Leave the folder with configuration, state and log behind
    #[arg(long)]
    keep: bool,
    /// Seed of the list and of the simulator: the same seed, the same guests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match play(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "usher-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Whoever read the output may have gone; the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn play(arguments: &Arguments) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut plan = Plan::default();
    plan.simulator.seed = arguments.seed;
    plan.simulator.keep_bodies = 0;
    if !arguments.headless {
        slow_down(&mut plan.simulator, arguments.guests);
    }
    say("setting the stage (the first time, this builds the daemon)");
    let mut stage = Stage::set(plan).await?;
    if arguments.keep {
        say(&format!("everything stands in {}", stage.folder().display()));
        stage.keep();
    }
    let desk = stage.desk().await?;
    let csv = guest_list(arguments.guests as usize, arguments.seed);
    let imported = desk.import("everyone", csv.as_bytes()).await.context("importing the guest list")?;
    say(&format!("{} guests imported, {} rejected", imported.added, imported.rejected));
    let list = desk.list("everyone").await?;
    let id = desk.draft("Save the day", list, &[Channel::Email, Channel::Sms]).await?;
    desk.release(id).await?;

    let messages = u64::from(arguments.guests) * 2;
    let end = async {
        // A line of its own, so that following it here does not end the stream there.
        let breaker = stage.desk().await?;
        let incident = incident(&breaker, &stage.simulator, id, messages, arguments.headless);
        let incident = async {
            tokio::time::timeout(LONGEST, incident)
                .await
                .with_context(|| format!("the campaign did not get far enough within {LONGEST:?}"))?
        };
        if arguments.headless {
            incident.await?;
        } else {
            let mut console = stage.usher();
            console.stdin(std::process::Stdio::inherit());
            let mut console = console.spawn().context("opening the console")?;
            let (incident, left) = tokio::join!(incident, console.wait());
            incident?;
            left.context("waiting for the console")?;
        }
        tokio::time::timeout(LONGEST, desk.until(id, |c| c.row.state.is_ended()))
            .await
            .with_context(|| format!("the campaign did not end within {LONGEST:?}"))?
    };
    let detail: CampaignDetail = end.await?;
    let agree = compare(&detail, &stage.simulator);
    stage.stop().await.context("stopping the daemon")?;
    say(&format!("the whole took {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(agree)
}

/// Makes providers answer as slowly as it takes to see something: about a minute for the list.
fn slow_down(simulator: &mut usher_sim::Config, guests: u32) {
    let near = |median_ms: f64| Latency::LogNormal { median_ms, sigma: 0.3 };
    // 100 requests are under way at most, and one text message is one request.
    simulator.twilio.latency = near((4_500_000.0 / f64::from(guests)).clamp(20.0, 2_000.0));
    // 16 requests of a hundred.
    simulator.resend.latency = near((60_000_000.0 / f64::from(guests)).clamp(100.0, 4_000.0));
    simulator.smtp.latency = near(30.0);
}

/// Breaks the first e-mail provider when a third is out, and mends it when the second has carried some.
async fn incident(
    desk: &Desk,
    simulator: &Simulator,
    id: CampaignId,
    messages: u64,
    aloud: bool,
) -> anyhow::Result<()> {
    let tell = |line: String| {
        if aloud {
            say(&line);
        }
    };
    let mut told = 0;
    let mut progress = |detail: &CampaignDetail| {
        let tenth = detail.row.counts.taken() * 10 / messages.max(1);
        if aloud && tenth > told {
            told = tenth;
            say(&format!("{:>7} accepted of {messages}", detail.row.counts.taken()));
        }
    };
    desk.until(id, |c| {
        progress(c);
        c.row.counts.taken() >= messages / 3 || c.row.state.is_ended()
    })
    .await?;
    simulator.fault(Provider::Resend, FaultKind::Refuse).await?;
    tell("resend refuses connections".to_owned());
    let enough = (messages * BROKEN_PERCENT / 100).max(1);
    desk.until(id, |c| {
        progress(c);
        let by_smtp: u64 = c.channels.iter().filter_map(|channel| channel.providers.get("smtp")).sum();
        by_smtp >= enough || c.row.state.is_ended()
    })
    .await?;
    simulator.clear(Provider::Resend).await?;
    tell("resend is mended".to_owned());
    desk.until(id, |c| {
        progress(c);
        c.row.state.is_ended()
    })
    .await?;
    Ok(())
}

/// Prints both books side by side, and says whether they agree.
fn compare(detail: &CampaignDetail, simulator: &Simulator) -> bool {
    let (row, record) = (&detail.row, simulator.record());
    let c = row.counts;
    say(&format!("campaign {} is {}", row.id, row.state));
    say(&format!(
        "{} messages = {} accepted + {} delivered + {} failed + {} suppressed + {} expired + {} cancelled + {} unknown + {} open; {} of {} guests unreachable",
        c.total(),
        c.accepted,
        c.delivered,
        c.failed,
        c.suppressed,
        c.expired,
        c.cancelled,
        c.unknown,
        c.open(),
        row.unreachable,
        row.guests,
    ));
    say("accepted by     the daemon   the simulator");
    let mut agree = row.state.is_ended();
    for provider in Provider::ALL {
        let name = provider.to_string();
        let ours: u64 = detail.channels.iter().filter_map(|channel| channel.providers.get(&name)).sum();
        let theirs = record.count(provider);
        if ours == 0 && theirs == 0 {
            // The simulator can play more providers than stand on this stage.
            continue;
        }
        let mark = if ours == theirs { "" } else { "   DIFFERENT" };
        say(&format!("{name:<14}{ours:>12}{theirs:>16}{mark}"));
        agree &= ours == theirs;
    }
    let (twice, unnamed) = (record.duplicates().len(), record.unattributed());
    say(&format!("{twice} messages accepted twice, {unnamed} without the daemon's id"));
    agree &= twice == 0 && unnamed == 0 && c.taken() == record.total() && c.open() == 0;
    say(if agree { "the books agree" } else { "THE BOOKS DO NOT AGREE" });
    agree
}
