//! What providers report, told to a real daemon over its own port: signed, forged, twice, late, and just before a kill.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use usher_common::model::{CampaignId, CampaignState, Channel, Deeds, MessageRow, MessageState};
use usher_demo::{Desk, PATIENCE, Plan, Reports, SVIX, Stage, resend_bounce, resend_event};
use usher_sim::{Accepted, Fault, FaultKind, Provider};

/// A stage on which everybody can report.
async fn stage(providers: &[&str]) -> (Stage, Reports) {
    let mut plan = Plan { providers: providers.iter().map(|name| (*name).to_owned()).collect(), ..Plan::default() };
    plan.settings.insert("resend".to_owned(), "rate_per_second = 1000\n".to_owned());
    let port = Reports::plan(&mut plan).unwrap();
    (Stage::set(plan).await.unwrap(), port)
}

async fn row(desk: &Desk, campaign: CampaignId, of: &Accepted) -> MessageRow {
    let id = of.message.as_ref().unwrap().parse().unwrap();
    desk.message(campaign, id).await.unwrap().row
}

async fn state(desk: &Desk, campaign: CampaignId, of: &Accepted) -> MessageState {
    row(desk, campaign, of).await.state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_move_their_messages_once_and_survive_a_kill() {
    let (mut stage, port) = stage(&["resend", "twilio"]).await;
    let mut desk = stage.desk().await.unwrap();
    let list = desk.guests(6).await.unwrap();
    let campaign = desk.send(list, &[Channel::Email, Channel::Sms]).await.unwrap();
    desk.sent(campaign).await.unwrap();
    let record = stage.simulator.record();
    let taken = record.entries(0, usize::MAX);
    let mails: Vec<Accepted> = taken.iter().filter(|entry| entry.provider == Provider::Resend).cloned().collect();
    let texts: Vec<Accepted> = taken.iter().filter(|entry| entry.provider == Provider::Twilio).cloned().collect();
    assert!(mails.len() == 6 && texts.len() >= 2, "{taken:?}");

    // Whoever cannot sign moves nothing.
    let delivered = resend_event("email.delivered", &mails[0], json!({}));
    let forged = STANDARD.encode([7; 24]);
    assert_eq!(port.resend(&forged, "msg_1", &delivered).await.unwrap(), 401);
    assert_eq!(port.post("/hooks/resend", &[], &delivered.to_string()).await.unwrap(), 401);
    assert_eq!(port.post("/hooks/nobody", &[], "{}").await.unwrap(), 404);
    assert_eq!(port.post("/hooks/resend", &[], &"x".repeat(300_000)).await.unwrap(), 413);
    assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Accepted);
    assert!(stage.log().contains("a report was turned away: the signature does not fit"), "{}", stage.log());

    // What is signed is believed, once.
    for _ in 0..2 {
        assert_eq!(port.resend(SVIX, "msg_1", &delivered).await.unwrap(), 200);
        assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Delivered);
    }
    // It bounces after all, and a "delivered" that comes late does not undo that.
    assert_eq!(port.resend(SVIX, "msg_2", &resend_bounce(&mails[0])).await.unwrap(), 200);
    assert_eq!(port.resend(SVIX, "msg_3", &delivered).await.unwrap(), 200);
    let bounced = row(&desk, campaign, &mails[0]).await;
    assert_eq!(bounced.state, MessageState::Failed);
    assert_eq!(bounced.why, "it bounced: the address does not exist (NoEmail)");
    // Another installation's message has one of our ids, by chance, and not the provider's.
    let mut stranger = mails[1].clone();
    "00000000-0000-0000-0000-000000000000".clone_into(&mut stranger.provider_id);
    assert_eq!(port.resend(SVIX, "msg_4", &resend_bounce(&stranger)).await.unwrap(), 200);
    assert_eq!(state(&desk, campaign, &mails[1]).await, MessageState::Accepted);
    // A complaint about what was delivered does not undo that it was.
    assert_eq!(port.resend(SVIX, "msg_5", &resend_event("email.delivered", &mails[2], json!({}))).await.unwrap(), 200);
    assert_eq!(port.resend(SVIX, "msg_6", &resend_event("email.complained", &mails[2], json!({}))).await.unwrap(), 200);
    assert_eq!(state(&desk, campaign, &mails[2]).await, MessageState::Delivered);
    assert_eq!(port.resend(SVIX, "msg_7", &resend_event("email.teleported", &mails[2], json!({}))).await.unwrap(), 200);

    // Twilio, by our id in the address of its callback.
    assert_eq!(port.twilio(&texts[0], "delivered", "").await.unwrap(), 200);
    assert_eq!(port.twilio(&texts[1], "undelivered", "30003").await.unwrap(), 200);
    assert_eq!(state(&desk, campaign, &texts[0]).await, MessageState::Delivered);
    assert_eq!(state(&desk, campaign, &texts[1]).await, MessageState::Failed);

    // What guests do counts once a message, however often they do it and it is told.
    for (n, kind) in ["opened", "opened", "clicked", "opened", "clicked"].into_iter().enumerate() {
        let event = resend_event(&format!("email.{kind}"), &mails[n % 2 + 2], json!({}));
        assert_eq!(port.resend(SVIX, &format!("msg_o{n}"), &event).await.unwrap(), 200);
    }
    let done = Deeds { opened: 2, clicked: 1, unsubscribed: 0, complained: 1 };
    assert_eq!(desk.campaign(campaign).await.unwrap().channels[0].deeds, done);

    // The answer stands for what survives: the daemon is killed in the moment after it.
    assert_eq!(port.resend(SVIX, "msg_8", &resend_event("email.delivered", &mails[3], json!({}))).await.unwrap(), 200);
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    desk = stage.desk().await.unwrap();
    assert_eq!(state(&desk, campaign, &mails[3]).await, MessageState::Delivered);
    assert_eq!(port.resend(SVIX, "msg_8", &resend_bounce(&mails[3])).await.unwrap(), 200);
    assert_eq!(
        state(&desk, campaign, &mails[3]).await,
        MessageState::Delivered,
        "an event that was heard before the kill"
    );
    let detail = desk.campaign(campaign).await.unwrap();
    let counts = detail.row.counts;
    assert_eq!((counts.delivered, counts.failed), (3, 2), "{counts:?}");
    assert_eq!((detail.channels[0].sent(), detail.channels[0].deeds), (6, done));
    let shown = stage.usher().args(["campaign", "status", &campaign.to_string()]).output().await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown.lines().find(|line| line.starts_with("email")).unwrap_or_else(|| panic!("{shown}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["email", "6", "2", "33.3%", "2", "33.3%", "1", "16.7%", "0", "0%", "1", "16.7%"], "{shown}");
    assert_eq!(counts.total(), taken.len() as u64);

    // Those who bounced or complained are not written to again; the one whose id was mistaken is not to blame, but an
    // address that bounces does so whosever message it was.
    let before = record.total();
    let again = desk.draft("Again", list, &[Channel::Email]).await.unwrap();
    desk.release(again).await.unwrap();
    desk.sent(again).await.unwrap();
    let second: Vec<String> = record.entries(before, usize::MAX).into_iter().map(|entry| entry.recipient).collect();
    let spared: Vec<&String> = [0, 1, 2].map(|n| &mails[n].recipient).to_vec();
    assert_eq!(second.len(), 3, "{second:?}");
    assert!(spared.iter().all(|address| !second.contains(address)), "{second:?}");
    let rows = desk.messages(again).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.state == MessageState::Suppressed).count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_doubt_is_settled_by_a_report() {
    let (stage, port) = stage(&["twilio"]).await;
    let desk = stage.desk().await.unwrap();
    let list = desk.guests(2).await.unwrap();
    // Twilio takes the messages and says something else: it keeps no keys, so only a report can tell.
    let broken = FaultKind::Status { status: 500, accepted: true, code: None };
    stage.simulator.fault(Provider::Twilio, Fault::from(broken)).await.unwrap();
    let campaign = desk.send(list, &[Channel::Sms]).await.unwrap();
    let settling = desk
        .until(campaign, |detail| {
            detail.row.counts.unknown == detail.row.counts.total() && detail.row.counts.unknown > 0
        })
        .await
        .unwrap();
    let all = settling.row.counts.total();
    let taken = stage.simulator.record().entries(0, usize::MAX);
    assert_eq!(taken.len() as u64, all);
    for entry in &taken {
        assert_eq!(port.twilio(entry, "delivered", "").await.unwrap(), 200);
    }
    let finished = tokio::time::timeout(
        PATIENCE + Duration::from_secs(1),
        desk.until(campaign, |detail| detail.row.state == CampaignState::Finished),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(finished.row.counts.delivered, all);
    assert_eq!(finished.channels[0].providers.values().sum::<u64>(), all);
}
