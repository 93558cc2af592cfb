//! The main job: everyone is written to once, whatever the providers do, and the books agree with the simulator's record.

use usher_common::model::{BulkChange, CampaignDetail, CampaignId, CampaignState, Channel, GuestChange, Schedule};
use usher_common::protocol::{GuestName, Request};
use usher_demo::{Desk, Plan, Stage, guest_list};
use usher_sim::{Fault, FaultKind, Latency, Provider, Scope, When};

use crate::lists;

const BOTH: [Channel; 2] = [Channel::Email, Channel::Sms];

/// A stage with a list on it and a campaign that is ready to go.
async fn ready(plan: Plan, csv: &[u8], channels: &[Channel]) -> (Stage, Desk, CampaignId) {
    let stage = Stage::set(plan).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", csv).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.draft("Invitations", list, channels).await.unwrap();
    (stage, desk, id)
}

fn slow(ms: f64) -> Plan {
    let mut plan = Plan::default();
    plan.simulator.twilio.latency = Latency::Fixed { ms };
    plan.simulator.resend.latency = Latency::Fixed { ms };
    plan.simulator.smtp.latency = Latency::Fixed { ms };
    plan
}

async fn ended(desk: &Desk, id: CampaignId) -> CampaignDetail {
    desk.until(id, |c| c.row.state.is_ended()).await.unwrap()
}

/// What the daemon believes is what the simulator recorded, and nothing stands there twice.
fn books_agree(detail: &CampaignDetail, stage: &Stage) {
    let record = stage.simulator.record();
    for provider in Provider::ALL {
        let name = provider.to_string();
        let ours: u64 = detail.channels.iter().filter_map(|c| c.providers.get(&name)).sum();
        assert_eq!(ours, record.count(provider), "{name}");
    }
    assert_eq!(detail.row.counts.taken(), record.total());
    assert_eq!(record.duplicates(), []);
    assert_eq!(record.unattributed(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_guests_hear_once_by_each_way_in_little_memory() {
    let (stage, desk, id) = ready(Plan::default(), &lists::ten_thousand(), &BOTH).await;
    desk.release(id).await.unwrap();
    let detail = ended(&desk, id).await;
    assert_eq!(detail.row.state, CampaignState::Finished, "{:?}", detail.reasons);
    assert_eq!(detail.row.guests, lists::GUESTS);
    let taken =
        |channel| detail.channels.iter().filter(|c| c.channel == channel).map(|c| c.counts.taken()).sum::<u64>();
    assert_eq!((taken(Channel::Email), taken(Channel::Sms)), (lists::MAILS, lists::TEXTS));
    assert_eq!(detail.row.counts.total(), lists::MAILS + lists::TEXTS);
    books_agree(&detail, &stage);
    // A hundred in a request, at the rate that Resend grants: parts of the audience that are no full hundred cost a few
    // requests more, and a breaker's probe one.
    let requests = stage.simulator.counts(Provider::Resend).requests;
    assert!(requests < 2 * lists::MAILS / 100, "{requests} requests for {} mails", lists::MAILS);
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.pid().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 150 * 1024, "the daemon took {kib} KiB at its peak");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_and_a_resume_sends_nothing_twice() {
    let (stage, desk, id) = ready(slow(300.0), guest_list(600, 1).as_bytes(), &[Channel::Sms]).await;
    desk.release(id).await.unwrap();
    let record = stage.simulator.record();
    record.wait_for_count(100).await;
    desk.on_campaign(Request::CampaignPause { id }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let at_rest = record.total();
    assert!(at_rest < 600, "nothing was left to pause");
    // What is in flight has been answered, so nothing is left under way.
    let paused = desk.until(id, |c| c.row.counts.sending == 0).await.unwrap();
    assert_eq!(paused.row.state, CampaignState::Paused);
    assert_eq!(record.total(), at_rest, "accepted later than a second after the pause");
    desk.on_campaign(Request::CampaignResume { id }).await.unwrap();
    let detail = ended(&desk, id).await;
    assert_eq!(detail.row.counts.taken(), 600);
    books_agree(&detail, &stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_has_its_hour_keeps_it_until_another_is_named() {
    let (stage, desk, id) = ready(Plan::default(), guest_list(5, 10).as_bytes(), &[Channel::Sms]).await;
    desk.on_campaign(Request::CampaignApprove { id }).await.unwrap();
    let at = usher_common::model::Timestamp(4_000_000_000_000);
    let hour = Schedule::At { at, zone: "UTC".to_owned() };
    let scheduled = desk.on_campaign(Request::CampaignSend { id, schedule: Some(hour) }).await.unwrap();
    assert_eq!((scheduled.row.state, scheduled.row.due), (CampaignState::Scheduled, Some(at)));
    let again = desk.on_campaign(Request::CampaignSend { id, schedule: None }).await.unwrap();
    assert_eq!((again.row.state, again.row.due), (CampaignState::Scheduled, Some(at)), "a script was run twice");
    assert_eq!(stage.simulator.record().total(), 0);
    desk.on_campaign(Request::CampaignSend { id, schedule: Some(Schedule::Now) }).await.unwrap();
    assert_eq!(ended(&desk, id).await.row.counts.taken(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_checks_what_the_act_would_and_says_would() {
    let (stage, desk, id) = ready(Plan::default(), guest_list(5, 11).as_bytes(), &[Channel::Sms, Channel::Slack]).await;
    let list = desk.list("everyone").await.unwrap();
    let said = async |request: Request| match desk.rehearse(request).await {
        Ok(lines) => format!("{} {}", lines[0].what, lines[0].effect),
        Err(error) => format!("refused: {error:#}"),
    };
    let change = |field: &str, value: &str| vec![GuestChange { field: field.to_owned(), value: value.to_owned() }];
    let guest = GuestName::Id(usher_common::model::GuestId(1));
    for (changes, word) in [(change("nonsense", "1"), "nonsense"), (change("rsvp", "perhaps"), "rsvp")] {
        let bulk = BulkChange { segment: String::new(), changes: changes.clone() };
        let refused = said(Request::GuestBulk { list, change: bulk }).await;
        assert!(refused.starts_with("refused: ") && refused.contains(word), "{refused}");
        let refused = said(Request::GuestEdit { list, guest: guest.clone(), changes }).await;
        assert!(refused.starts_with("refused: ") && refused.contains(word), "{refused}");
    }
    let acts = [
        Request::GuestDelete { list, guest },
        Request::GuestBulk { list, change: BulkChange { segment: String::new(), changes: change("rsvp", "declined") } },
        Request::CampaignCancel { id },
        Request::CampaignDelete { id },
    ];
    for act in acts {
        let would = said(act.clone()).await;
        assert!(would.contains(" would be "), "{act:?}: {would}");
    }
    assert_eq!(desk.campaign(id).await.unwrap().row.state, CampaignState::Draft, "nothing was done");
    assert!(stage.log().is_empty() || !stage.log().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_campaign_ends_and_can_be_put_aside_and_brought_back() {
    let (stage, desk, id) = ready(slow(300.0), guest_list(600, 2).as_bytes(), &[Channel::Sms]).await;
    desk.release(id).await.unwrap();
    stage.simulator.record().wait_for_count(50).await;
    desk.on_campaign(Request::CampaignCancel { id }).await.unwrap();
    let cleared =
        |c: &CampaignDetail| c.row.state == CampaignState::Cancelled && c.row.expanded && c.row.counts.open() == 0;
    let detail = desk.until(id, cleared).await.unwrap();
    assert!(detail.row.counts.cancelled > 0);
    assert_eq!(detail.row.counts.total(), 600);
    books_agree(&detail, &stage);
    let deleted = desk.on_campaign(Request::CampaignDelete { id }).await.unwrap();
    assert!(deleted.row.deleted.is_some());
    let restored = desk.on_campaign(Request::CampaignRestore { id, name: None }).await.unwrap();
    assert!(restored.row.deleted.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_resend_refuses_goes_by_smtp_and_nothing_is_lost() {
    let (stage, desk, id) = ready(Plan::default(), guest_list(300, 3).as_bytes(), &[Channel::Email]).await;
    stage.simulator.fault(Provider::Resend, FaultKind::Refuse).await.unwrap();
    desk.release(id).await.unwrap();
    let detail = ended(&desk, id).await;
    assert_eq!(detail.row.state, CampaignState::Finished);
    assert_eq!(stage.simulator.record().count(Provider::Smtp), 300);
    books_agree(&detail, &stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_email_in_doubt_is_settled_under_its_key_and_accepted_once() {
    let (stage, desk, id) = ready(Plan::default(), guest_list(150, 4).as_bytes(), &[Channel::Email]).await;
    let lost = Fault::from(FaultKind::Status { status: 500, accepted: true, code: None }).times(1).only(Scope::Sends);
    stage.simulator.fault(Provider::Resend, lost).await.unwrap();
    desk.release(id).await.unwrap();
    let detail = ended(&desk, id).await;
    assert_eq!(detail.row.state, CampaignState::Finished, "{:?}", detail.reasons);
    books_agree(&detail, &stage);
    assert_eq!(stage.simulator.record().count(Provider::Smtp), 0, "what is in doubt goes nowhere else");
    assert_eq!(stage.simulator.record().total(), 150);
    assert_eq!(stage.simulator.counts(Provider::Resend).replayed, 1, "it was asked again under the same key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_message_in_doubt_stays_in_doubt_and_is_never_sent_again() {
    let (mut stage, desk, id) = ready(Plan::default(), guest_list(60, 5).as_bytes(), &[Channel::Sms]).await;
    let lost = Fault::from(FaultKind::Reset { when: When::AfterAccept }).times(5).only(Scope::Sends);
    stage.simulator.fault(Provider::Twilio, lost).await.unwrap();
    desk.release(id).await.unwrap();
    let settled = |c: &CampaignDetail| c.row.expanded && c.row.counts.open() == 0 && c.row.counts.total() == 60;
    let detail = desk.until(id, settled).await.unwrap();
    assert_eq!((detail.row.counts.unknown, detail.row.counts.taken()), (5, 55));
    // A new daemon finds them in doubt too, and leaves them alone.
    stage.stop().await.unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    let detail = desk.until(id, settled).await.unwrap();
    assert_eq!(detail.row.counts.unknown, 5);
    let record = stage.simulator.record();
    assert_eq!((record.total(), record.duplicates().len()), (60, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_twice_changes_nothing() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    let csv = guest_list(200, 6);
    assert_eq!(desk.import("everyone", csv.as_bytes()).await.unwrap().added, 200);
    let again = desk.import("everyone", csv.as_bytes()).await.unwrap();
    assert_eq!((again.added, again.updated, again.unchanged), (0, 0, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_send_goes_to_the_address_that_was_given_and_to_nobody_else() {
    let (stage, desk, id) = ready(Plan::default(), guest_list(3, 7).as_bytes(), &[Channel::Email]).await;
    let to = "proof@reader.example".to_owned();
    desk.act(Request::CampaignTest { id, channel: Channel::Email, to: to.clone() }).await.unwrap();
    stage.simulator.record().wait_for_count(1).await;
    assert_eq!(stage.simulator.record().recipients(), [to]);
    assert_eq!(desk.campaign(id).await.unwrap().row.state, CampaignState::Draft);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_can_be_read_in_the_state_folder() {
    let csv = "email,name,phone,dietary_requirements\n\
               xanthippe.quillfeather@zugspitze.example,Xanthippe Quillfeather,+447400771177,no zabaglione\n\
               balthasar.oxenstierna@zugspitze.example,Balthasar Oxenstierna,+447400882288,only rutabaga\n";
    let (mut stage, desk, id) = ready(Plan::default(), csv.as_bytes(), &BOTH).await;
    desk.release(id).await.unwrap();
    let detail = ended(&desk, id).await;
    assert_eq!(detail.row.counts.taken(), 4, "{:?}", detail.reasons);
    let to = "clothilde@zugspitze.example".to_owned();
    desk.act(Request::CampaignTest { id, channel: Channel::Email, to }).await.unwrap();
    stage.stop().await.unwrap();
    let mut files = Vec::new();
    let mut folders = vec![stage.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.iter().any(|f| std::fs::metadata(f).unwrap().len() > 0), "there is something to search");
    files.push(stage.folder().join("usherd.log"));
    let secrets = [
        "Xanthippe",
        "Quillfeather",
        "Balthasar",
        "Oxenstierna",
        "zugspitze",
        "7400771177",
        "7400882288",
        "zabaglione",
        "clothilde",
        // Who vouched, and the file that they brought.
        usher_demo::VOUCHER,
        "guests.csv",
        // What the letters say, and whom they are from.
        "getting married",
        "The Old Mill",
        "rutabaga",
    ];
    for file in files {
        let bytes = std::fs::read(&file).unwrap().to_ascii_lowercase();
        for secret in secrets {
            let needle = secret.to_ascii_lowercase();
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "{secret} can be read in {}", file.display());
        }
    }
}
