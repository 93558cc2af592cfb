//! Operators at the wheel: sending is held within a second and let go again, providers are drained and come back, and all
//! of it outlives the daemon.

use std::time::{Duration, Instant};

use usher_common::model::{CampaignState, Channel, Control, ControlKind, ProviderRow, Steer, Target};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, PATIENCE, Plan, Stage, guest_list};
use usher_sim::{Config, Latency, Provider};

/// A simulator that takes its time, so that there is something left to be held.
fn unhurried() -> Plan {
    let latency = Latency::Uniform { min_ms: 10.0, max_ms: 40.0 };
    let mut simulator = Config { seed: 5, ..Config::default() };
    simulator.resend.latency = latency;
    simulator.twilio.latency = latency;
    simulator.smtp.latency = latency;
    let settings = [
        ("resend", "max_in_flight = 4\nbatch_size = 10\nrate_per_second = 1000\n"),
        ("twilio", "max_in_flight = 8\n"),
        ("smtp", "max_in_flight = 4\n"),
    ];
    let settings = settings.map(|(name, lines)| (name.to_owned(), lines.to_owned()));
    Plan { simulator, settings: settings.into(), ..Plan::default() }
}

async fn under_way(plan: Plan, channel: Channel, guests: usize) -> (Stage, Desk, usher_common::model::CampaignId) {
    let stage = Stage::set(plan).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(guests, 3).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.send(list, &[channel]).await.unwrap();
    wait_for(&stage, guests as u64 / 10).await;
    (stage, desk, id)
}

async fn wait_for(stage: &Stage, messages: u64) {
    let record = stage.simulator.record();
    tokio::time::timeout(PATIENCE, record.wait_for_count(messages))
        .await
        .unwrap_or_else(|_| panic!("{messages} messages were waited for, {} came:\n{}", record.total(), stage.log()));
}

async fn providers(desk: &Desk) -> Vec<ProviderRow> {
    match desk.ask(Request::Providers).await.unwrap() {
        Reply::Providers(rows) => rows,
        other => panic!("{other:?}"),
    }
}

async fn controls(desk: &Desk) -> Vec<Control> {
    match desk.ask(Request::Controls).await.unwrap() {
        Reply::Controls(rows) => rows,
        other => panic!("{other:?}"),
    }
}

/// Until nothing is under way at any provider.
async fn quiet(desk: &Desk) {
    let begun = Instant::now();
    while providers(desk).await.iter().any(|row| row.in_flight > 0) {
        assert!(begun.elapsed() < PATIENCE, "something is under way for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_stops_everything_within_a_second_and_outlives_the_daemon() {
    let (mut stage, desk, id) = under_way(unhurried(), Channel::Sms, 1_200).await;
    let effect = desk.rehearse(Request::Hold { target: Target::All, seconds: None }).await.unwrap();
    assert!(effect[0].what.ends_with("waiting messages"), "{effect:?}");
    assert_eq!(controls(&desk).await, [], "a rehearsal holds nothing");

    let record = stage.simulator.record();
    let mut heard = record.subscribe();
    let held = stage.usher().args(["hold", "--all", "--reason", "wrong date"]).output().await.unwrap();
    let since = Instant::now();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    quiet(&desk).await;
    let (stopped, at) = (since.elapsed(), record.total());
    assert!(stopped < Duration::from_secs(1), "something was under way {stopped:?} after the answer");
    assert!(at < 1_200, "there was nothing left to hold");
    while heard.try_recv().is_ok() {}

    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    let Reply::Status(overview) = desk.ask(Request::Status).await.unwrap() else { panic!("no status") };
    assert!(
        overview.findings.iter().any(|(_, text)| text.contains("everything is held") && text.contains("wrong date"))
    );
    let waits = desk.until(id, |c| !c.row.why.is_empty()).await.unwrap();
    assert!(waits.row.why.contains("everything is held by uid"), "{}", waits.row.why);
    assert_eq!(record.total(), at, "nothing left while it was held, through a kill and a start");
    assert!(heard.try_recv().is_err());

    let wrong = stage.usher().args(["release", "--campaign", &id.to_string()]).output().await.unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(5), "{said}");
    assert!(said.contains("is not held; held: everything"), "{said}");
    let let_go = stage.usher().args(["release", "--all"]).output().await.unwrap();
    assert!(let_go.status.success(), "{}", String::from_utf8_lossy(&let_go.stderr));
    let end = desk.sent(id).await.unwrap();
    assert_eq!(end.row.counts.taken() + end.row.counts.unknown, 1_200);
    assert_eq!(record.duplicates(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_ends_by_itself_and_holds_no_other_campaign() {
    let (stage, desk, id) = under_way(unhurried(), Channel::Sms, 600).await;
    desk.act(Request::Hold { target: Target::Campaign(id), seconds: Some(2) }).await.unwrap();
    quiet(&desk).await;
    let before = desk.campaign(id).await.unwrap().row.counts;
    assert!(before.queued > 0, "there was nothing left to hold");
    let list = desk.list("everyone").await.unwrap();
    let other = desk.draft("Another", list, &[Channel::Email]).await.unwrap();
    desk.release(other).await.unwrap();
    wait_for(&stage, stage.simulator.record().total() + 50).await;
    desk.sent(id).await.unwrap();
    assert_eq!(controls(&desk).await, []);
    assert!(stage.log().contains("not held any more, by usherd: its time is over"), "{}", stage.log());
    desk.sent(other).await.unwrap();
    assert_eq!(stage.simulator.record().duplicates(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_provider_takes_nothing_new_and_comes_back() {
    let (stage, desk, id) = under_way(unhurried(), Channel::Email, 2_000).await;
    let drain = |seconds| Request::ProviderSteer { provider: "resend".into(), steer: Steer::Drain, seconds };
    let effect = desk.rehearse(drain(600)).await.unwrap();
    assert!(effect[0].effect.contains("would move to smtp, and with them 100 %"), "{effect:?}");
    let refused = stage.usher().args(["provider", "drain", "resend"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("needs a reason"), "{said}");

    let args = ["provider", "drain", "resend", "--for", "10m", "--reason", "looks ill"];
    let drained = stage.usher().args(args).output().await.unwrap();
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    let mine = |rows: Vec<ProviderRow>| rows.into_iter().find(|row| row.name == "resend").unwrap();
    let begun = Instant::now();
    while mine(providers(&desk).await).in_flight > 0 {
        assert!(begun.elapsed() < PATIENCE, "something is under way for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let record = stage.simulator.record();
    let (by_resend, by_smtp) = (record.count(Provider::Resend), record.count(Provider::Smtp));
    assert_eq!(mine(providers(&desk).await).controls[0].kind, ControlKind::Drained);
    wait_for(&stage, record.total() + 200).await;
    assert_eq!(record.count(Provider::Resend), by_resend, "a drained provider takes nothing new");
    assert!(record.count(Provider::Smtp) > by_smtp);

    let tested = stage
        .usher()
        .args(["provider", "test", "resend", "--to", "me@example.com", "--organisation", "ada-and-ben"])
        .output()
        .await
        .unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    assert_eq!(record.count(Provider::Resend), by_resend + 1, "a line goes by it, drained or not");

    let enabled = stage.usher().args(["provider", "enable", "resend"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&enabled.stdout).contains("takes a tenth at first"));
    assert_eq!(controls(&desk).await, []);
    let end = desk.sent(id).await.unwrap();
    assert_eq!(end.row.state, CampaignState::Finished);
    assert_eq!((record.total(), record.duplicates().len()), (2_001, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_provider_moves_nothing_and_a_failover_moves_all() {
    let (stage, desk, id) = under_way(unhurried(), Channel::Email, 1_500).await;
    desk.act(Request::Hold { target: Target::Provider("resend".into()), seconds: None }).await.unwrap();
    quiet(&desk).await;
    let record = stage.simulator.record();
    let at = record.total();
    let waits = desk.until(id, |c| c.row.why.contains("provider resend is held")).await.unwrap();
    assert!(waits.row.counts.queued > 0);
    assert_eq!((record.total(), record.count(Provider::Smtp)), (at, 0), "nothing moves");

    let steer = |steer| ["provider", "failover", "resend", "--to", steer, "--reason", "it is ill"].map(str::to_owned);
    let wrong = stage.usher().args(steer("twilio")).output().await.unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("twilio cannot take over from resend: it carries sms, not email"), "{said}");
    let moved = stage.usher().args(steer("smtp")).output().await.unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let kinds: Vec<ControlKind> = controls(&desk).await.iter().map(|control| control.kind).collect();
    assert_eq!(kinds, [ControlKind::Held, ControlKind::Drained, ControlKind::Preferred]);
    desk.sent(id).await.unwrap();
    assert_eq!(record.count(Provider::Resend), at, "a drain goes before a hold: others carry its messages");
    assert_eq!((record.total(), record.duplicates().len()), (1_500, 0));
}
