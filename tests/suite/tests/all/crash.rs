//! A daemon that is killed, loses its index, or finds its log damaged: nobody hears twice, nobody is forgotten, and what
//! cannot be mended is refused with its place.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use usher_common::model::{Channel, MessageState};
use usher_demo::{PATIENCE, Plan, Stage};
use usher_sim::{Config, Latency};

use crate::lists;

/// Splitmix64: the same five moments in every run of a seed.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn slow_world() -> Config {
    let latency = Latency::Uniform { min_ms: 5.0, max_ms: 60.0 };
    let mut config = Config { seed: 11, ..Config::default() };
    config.resend.latency = latency;
    config.twilio.latency = latency;
    config.smtp.latency = latency;
    config
}

/// Small batches and few at a time, so that a kill falls into the middle of things and not behind their end.
async fn narrow(stage: &mut Stage) -> anyhow::Result<()> {
    stage.stop().await?;
    let text = fs::read_to_string(stage.configuration())?
        .replace(
            "kind = \"resend\"\n",
            "kind = \"resend\"\nmax_in_flight = 4\nbatch_size = 10\nrate_per_second = 1000\n",
        )
        .replace("kind = \"twilio\"\n", "kind = \"twilio\"\nmax_in_flight = 24\n");
    fs::write(stage.configuration(), text)?;
    stage.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_kills_in_the_middle_of_a_campaign_tell_nobody_twice_and_lose_nobody() {
    let mut stage = Stage::set(Plan { simulator: slow_world(), ..Plan::default() }).await.unwrap();
    narrow(&mut stage).await.unwrap();
    let mut desk = stage.desk().await.unwrap();
    desk.import("everyone", &lists::ten_thousand()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let campaign = desk.send(list, &[Channel::Email, Channel::Sms]).await.unwrap();

    let everything = lists::MAILS + lists::TEXTS;
    let record = stage.simulator.record();
    let mut dice = dice(2_027);
    // The last one falls before two thirds of everything are out: there is something left to go wrong each time.
    let step = everything * 2 / 3 / 5;
    for kill in 0..5 {
        let moment = kill * step + 1 + dice(step);
        tokio::time::timeout(PATIENCE, record.wait_for_count(moment)).await.unwrap_or_else(|_| {
            panic!("kill {kill} waits for {moment} messages, {} came:\n{}", record.total(), stage.log())
        });
        stage.kill().await.unwrap();
        let heard = record.total();
        assert!(heard < everything, "everything was out before kill {kill}: it proved nothing");
        stage.start().await.unwrap();
    }
    desk = stage.desk().await.unwrap();
    let detail = desk.sent(campaign).await.unwrap();

    let rows = desk.messages(campaign).await.unwrap();
    // Read after the daemon was asked: what it believes accepted must be there by now.
    let reached: HashSet<u64> = record
        .entries(0, usize::MAX)
        .iter()
        .filter_map(|entry| entry.message.as_deref()?.trim_start_matches('m').parse().ok())
        .collect();
    assert_eq!(record.duplicates(), []);
    assert_eq!(record.unattributed(), 0);
    assert_eq!(reached.len() as u64, record.total(), "an id in the record is no id of a message");

    let ids: HashSet<u64> = rows.iter().map(|row| row.id.0).collect();
    assert_eq!((rows.len() as u64, ids.len() as u64), (everything, everything), "each guest has each message once");
    assert!(reached.is_subset(&ids), "somebody got a message that the daemon does not know");
    let mut seen: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    for row in &rows {
        *seen.entry((row.state.as_str(), reached.contains(&row.id.0))).or_default() += 1;
        let honest = match row.state {
            MessageState::Accepted | MessageState::Delivered => reached.contains(&row.id.0),
            MessageState::Unknown => true,
            _ => !reached.contains(&row.id.0),
        };
        assert!(honest, "{row:?} against the record: {:?}", record.by_message(&row.id.to_string()));
    }
    assert_eq!(detail.row.guests, lists::GUESTS);
    assert_eq!(detail.row.counts.total(), everything, "the campaign's equation");
    let (taken, doubt) = (detail.row.counts.taken(), detail.row.counts.unknown);
    assert_eq!(taken + doubt, everything, "a kill is nobody's failure: {seen:?}");
}

/// A stage on which a small campaign has been sent.
async fn after_a_campaign() -> (Stage, usher_common::model::CampaignId) {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    let list = desk.guests(60).await.unwrap();
    let campaign = desk.send(list, &[Channel::Sms]).await.unwrap();
    desk.sent(campaign).await.unwrap();
    (stage, campaign)
}

/// What the daemon has said since it had said `before`.
fn since(stage: &Stage, before: &str) -> String {
    stage.log().split_off(before.len())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_gone_or_garbage_is_rebuilt_and_the_counts_are_the_same() {
    let (mut stage, campaign) = after_a_campaign().await;
    let desk = stage.desk().await.unwrap();
    let counts = desk.campaign(campaign).await.unwrap().row.counts;
    assert_eq!(counts.taken(), 60);
    let rows = desk.messages(campaign).await.unwrap();
    let index = stage.state().join("store/index");

    stage.kill().await.unwrap();
    fs::remove_dir_all(&index).unwrap();
    let before = stage.log();
    stage.start().await.unwrap();
    assert!(since(&stage, &before).contains("the index was rebuilt"), "{}", since(&stage, &before));
    let desk = stage.desk().await.unwrap();
    assert_eq!(desk.campaign(campaign).await.unwrap().row.counts, counts);

    stage.kill().await.unwrap();
    let spoilt = files(&index);
    assert!(!spoilt.is_empty());
    for file in spoilt {
        let garbage = vec![0xa5; fs::metadata(&file).unwrap().len() as usize];
        fs::write(&file, garbage).unwrap();
    }
    let before = stage.log();
    stage.start().await.unwrap();
    assert!(since(&stage, &before).contains("the index was rebuilt"), "{}", since(&stage, &before));
    let desk = stage.desk().await.unwrap();
    assert_eq!(desk.campaign(campaign).await.unwrap().row.counts, counts);
    assert_eq!(desk.messages(campaign).await.unwrap(), rows);
    assert_eq!(stage.simulator.record().total(), 60, "a rebuilt index sends nothing again");
}

/// The segment that the daemon writes to.
fn last_segment(stage: &Stage) -> PathBuf {
    let mut segments = files(&stage.state().join("store/log"));
    segments.retain(|path| path.extension().is_some_and(|end| end == "log"));
    segments.sort();
    segments.pop().expect("a store that was used has a segment")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_frame_in_the_middle_of_the_log_is_refused_with_file_and_offset() {
    let (mut stage, campaign) = after_a_campaign().await;
    stage.kill().await.unwrap();
    let segment = last_segment(&stage);
    let good = fs::read(&segment).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0xff;
    fs::write(&segment, &bad).unwrap();

    let before = stage.log();
    let refused = stage.start().await.expect_err("it started on a damaged log").to_string();
    assert!(refused.contains("usherd ended with"), "{refused}");
    let said = since(&stage, &before);
    let name = segment.display().to_string();
    assert!(said.contains(&name), "{said}");
    let (_, place) = said.split_once("bad frame at byte ").unwrap_or_else(|| panic!("no offset in: {said}"));
    let offset: usize = place.split(' ').next().unwrap().parse().unwrap();
    assert!(offset <= middle && middle - offset < good.len() / 4, "byte {middle} was spoilt, it blames {offset}");
    assert_eq!(fs::read(&segment).unwrap(), bad, "a refusal changes nothing");

    fs::write(&segment, &good).unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    assert_eq!(desk.campaign(campaign).await.unwrap().row.counts.taken(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_frame_is_cut_off_and_said() {
    let (mut stage, campaign) = after_a_campaign().await;
    stage.kill().await.unwrap();
    let segment = last_segment(&stage);
    let mut bytes = fs::read(&segment).unwrap();
    let whole = bytes.len();
    // The first frame begins behind the header; a part of it at the end is what a write that a crash cut off leaves.
    let header = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let start = bytes[16 + header..][..40].to_vec();
    bytes.extend(start);
    fs::write(&segment, &bytes).unwrap();

    let before = stage.log();
    stage.start().await.unwrap();
    let said = since(&stage, &before);
    assert!(said.contains("cut off a frame"), "{said}");
    assert!(said.contains(&segment.display().to_string()) && said.contains(&whole.to_string()), "{said}");
    let desk = stage.desk().await.unwrap();
    assert_eq!(desk.campaign(campaign).await.unwrap().row.counts.taken(), 60);
    let ended = tokio::time::timeout(Duration::from_mins(1), stage.stop()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}
