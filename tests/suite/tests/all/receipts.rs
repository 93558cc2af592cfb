//! What providers report, told to a real daemon over its own port: signed, forged, twice, late, and just before a kill.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_common::model::{CampaignId, CampaignState, Channel, MessageRow, MessageState};
use usher_demo::{Desk, PATIENCE, Plan, Stage};
use usher_sim::{Accepted, Fault, FaultKind, Provider};

/// As Resend shows it: base64 of 24 bytes.
const SVIX: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

struct Port {
    address: String,
}

/// A stage on which everybody can report.
async fn stage(providers: &[&str]) -> (Stage, Port) {
    let address = format!("127.0.0.1:{}", usher_demo::free_port().unwrap());
    let mut plan = Plan { providers: providers.iter().map(|name| (*name).to_owned()).collect(), ..Plan::default() };
    plan.extra = format!("[webhooks]\nlisten = \"{address}\"\npublic_url = \"https://hooks.ada-and-ben.example\"\n");
    plan.settings.insert("resend".to_owned(), format!("webhook_secret = \"whsec_{SVIX}\"\nrate_per_second = 1000\n"));
    (Stage::set(plan).await.unwrap(), Port { address })
}

impl Port {
    /// Posts, and says how it was answered.
    async fn post(&self, path: &str, headers: &[(&str, String)], body: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A body that is too long is answered before it is read; the connection then ends as it may.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer to {path}: {answer}")).parse().unwrap()
    }

    /// An event of Resend's, signed as Svix does under this secret.
    async fn resend(&self, secret: &str, event: &str, body: &Value) -> u16 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap());
        let tag = hmac::sign(&key, format!("{event}.{now}.{body}").as_bytes());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("svix-id", event.to_owned()),
            ("svix-timestamp", now),
            ("svix-signature", format!("v1,{}", STANDARD.encode(tag))),
        ];
        self.post("/hooks/resend", &headers, &body).await
    }

    /// A status of Twilio's, signed for the address that the stage's configuration gives it.
    async fn twilio(&self, of: &Accepted, status: &str, error: &str) -> u16 {
        let query = format!("usher_message={}", of.message.as_ref().unwrap());
        let to = of.recipient.replace('+', "%2B");
        let mut fields = vec![("MessageSid", of.provider_id.clone()), ("MessageStatus", status.to_owned()), ("To", to)];
        if !error.is_empty() {
            fields.push(("ErrorCode", error.to_owned()));
        }
        fields.sort();
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let mut signed = format!("https://hooks.ada-and-ben.example/twilio?{query}");
        for (name, value) in &fields {
            signed += name;
            signed += &value.replace("%2B", "+");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"simulator");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("x-twilio-signature", STANDARD.encode(hmac::sign(&key, signed.as_bytes()))),
        ];
        self.post(&format!("/hooks/twilio?{query}"), &headers, &body).await
    }
}

/// What Resend says of a message.
fn event(kind: &str, of: &Accepted, more: Value) -> Value {
    let mut data = json!({
        "email_id": of.provider_id,
        "to": [of.recipient],
        "tags": {"usher_message": of.message},
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    json!({"type": kind, "created_at": "2026-11-22T10:00:00.000Z", "data": data})
}

fn bounce(of: &Accepted) -> Value {
    event(
        "email.bounced",
        of,
        json!({"bounce": {"type": "Permanent", "subType": "NoEmail", "message": "no such user"}}),
    )
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
    let delivered = event("email.delivered", &mails[0], json!({}));
    let forged = STANDARD.encode([7; 24]);
    assert_eq!(port.resend(&forged, "msg_1", &delivered).await, 401);
    assert_eq!(port.post("/hooks/resend", &[], &delivered.to_string()).await, 401);
    assert_eq!(port.post("/hooks/nobody", &[], "{}").await, 404);
    assert_eq!(port.post("/hooks/resend", &[], &"x".repeat(300_000)).await, 413);
    assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Accepted);
    assert!(stage.log().contains("a report was turned away: the signature does not fit"), "{}", stage.log());

    // What is signed is believed, once.
    for _ in 0..2 {
        assert_eq!(port.resend(SVIX, "msg_1", &delivered).await, 200);
        assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Delivered);
    }
    // It bounces after all, and a "delivered" that comes late does not undo that.
    assert_eq!(port.resend(SVIX, "msg_2", &bounce(&mails[0])).await, 200);
    assert_eq!(port.resend(SVIX, "msg_3", &delivered).await, 200);
    let bounced = row(&desk, campaign, &mails[0]).await;
    assert_eq!(bounced.state, MessageState::Failed);
    assert_eq!(bounced.why, "it bounced: the address does not exist (NoEmail)");
    // Another installation's message has one of our ids, by chance, and not the provider's.
    let mut stranger = mails[1].clone();
    "00000000-0000-0000-0000-000000000000".clone_into(&mut stranger.provider_id);
    assert_eq!(port.resend(SVIX, "msg_4", &bounce(&stranger)).await, 200);
    assert_eq!(state(&desk, campaign, &mails[1]).await, MessageState::Accepted);
    // A complaint about what was delivered does not undo that it was.
    assert_eq!(port.resend(SVIX, "msg_5", &event("email.delivered", &mails[2], json!({}))).await, 200);
    assert_eq!(port.resend(SVIX, "msg_6", &event("email.complained", &mails[2], json!({}))).await, 200);
    assert_eq!(state(&desk, campaign, &mails[2]).await, MessageState::Delivered);
    assert_eq!(port.resend(SVIX, "msg_7", &event("email.teleported", &mails[2], json!({}))).await, 200);

    // Twilio, by our id in the address of its callback.
    assert_eq!(port.twilio(&texts[0], "delivered", "").await, 200);
    assert_eq!(port.twilio(&texts[1], "undelivered", "30003").await, 200);
    assert_eq!(state(&desk, campaign, &texts[0]).await, MessageState::Delivered);
    assert_eq!(state(&desk, campaign, &texts[1]).await, MessageState::Failed);

    // The answer stands for what survives: the daemon is killed in the moment after it.
    assert_eq!(port.resend(SVIX, "msg_8", &event("email.delivered", &mails[3], json!({}))).await, 200);
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    desk = stage.desk().await.unwrap();
    assert_eq!(state(&desk, campaign, &mails[3]).await, MessageState::Delivered);
    assert_eq!(port.resend(SVIX, "msg_8", &bounce(&mails[3])).await, 200);
    assert_eq!(
        state(&desk, campaign, &mails[3]).await,
        MessageState::Delivered,
        "an event that was heard before the kill"
    );
    let counts = desk.campaign(campaign).await.unwrap().row.counts;
    assert_eq!((counts.delivered, counts.failed), (3, 2), "{counts:?}");
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
        assert_eq!(port.twilio(entry, "delivered", "").await, 200);
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
