//! Many eyes on one campaign: those who read see the truth, one who does not stops nobody, and strangers see nothing.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Error, Message};
use usher::session::{Client, SessionError, Target};
use usher_common::model::{CampaignState, Channel};
use usher_common::protocol::{CLIENT_FRAME_CAP, ClientFrame, JSON_SUBPROTOCOL, TYPES, Topic};
use usher_demo::{DeafClient, Desk, Plan, Stage, TOKEN, guest_list, raw_session, raw_session_offering, text};

async fn stage() -> Stage {
    Stage::set(Plan { tcp: true, ..Plan::default() }).await.unwrap()
}

fn target(stage: &Stage, token: Option<&str>) -> Target {
    Target::ws(&format!("ws://{}", stage.address().unwrap()), token.map(str::to_owned)).unwrap()
}

/// What the daemon has in memory.
fn resident_kib(stage: &Stage) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_watchers_and_one_who_does_not_read_see_the_campaign_end() {
    let stage = stage().await;
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(300, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.draft("Invitations", list, &[Channel::Email, Channel::Sms]).await.unwrap();

    let before = resident_kib(&stage);
    let topics = [Topic::Campaign(id), Topic::Overview, Topic::Log];
    let deaf = DeafClient::attach(&stage.address().unwrap(), &topics, list).await.unwrap();
    let grown = resident_kib(&stage).saturating_sub(before);
    assert!(grown < 32 * 1024, "{} calls of one who does not read cost the daemon {grown} KiB", deaf.asked);
    let mut watchers = tokio::task::JoinSet::new();
    let local = [stage.client().await.unwrap(), stage.client().await.unwrap()];
    let mut clients = Vec::from(local);
    for _ in 0..100 {
        clients.push(Client::connect(&target(&stage, Some(TOKEN))).await.unwrap());
    }
    for client in clients {
        watchers.spawn(async move { Desk::new(client).until(id, |c| c.row.state.is_ended()).await.unwrap().row });
    }
    desk.release(id).await.unwrap();
    let mut ended = 0;
    while let Some(row) = watchers.join_next().await {
        let row = row.unwrap();
        assert_eq!((row.state, row.counts.taken()), (CampaignState::Finished, 600));
        ended += 1;
    }
    assert_eq!(ended, 102);
    let late = Desk::new(Client::connect(&target(&stage, Some(TOKEN))).await.unwrap());
    let seen = late.until(id, |_| true).await.unwrap();
    assert_eq!(seen, desk.campaign(id).await.unwrap(), "the first thing a late client sees is the truth");
    assert_eq!(seen.row.counts.taken(), stage.simulator.record().total());
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_nobody_gets_in() {
    let stage = stage().await;
    for token in [None, Some("stage-token-stage-token-stage-token-2")] {
        let refused = Client::connect(&target(&stage, token)).await.unwrap_err();
        assert!(matches!(refused, SessionError::Denied { status: 401, .. }), "{token:?}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_beyond_the_cap_ends_that_session_only() {
    let stage = stage().await;
    let mut socket = raw_session(&stage.address().unwrap()).await.unwrap();
    // The daemon may hang up before all of it is written.
    let _ = socket.send(Message::text("x".repeat(CLIENT_FRAME_CAP + 1))).await;
    let mut answered = false;
    while let Some(next) = socket.next().await {
        match next {
            Ok(Message::Close(_)) | Err(Error::Io(_) | Error::Protocol(_) | Error::ConnectionClosed) => break,
            Ok(Message::Text(text)) => answered |= text.contains("\"Reply\""),
            Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!answered, "nothing was done with the frame");
    assert!(stage.desk().await.unwrap().list("nobody").await.is_err(), "the daemon still answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_of_other_types_is_told_what_is_spoken_or_speaks_json() {
    let stage = stage().await;
    let address = stage.address().unwrap();
    let other = "usher.v1.bincode.0000000000000000";
    let refused = raw_session_offering(&address, other).await.unwrap_err();
    let Some(Error::Http(response)) = refused.downcast_ref::<Error>() else { panic!("{refused:#}") };
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
    assert_eq!(response.status(), 400);
    for word in ["no common subprotocol", TYPES, JSON_SUBPROTOCOL] {
        assert!(body.contains(word), "`{word}` is missing in: {body}");
    }
    let mut both = raw_session_offering(&address, &format!("{other}, {JSON_SUBPROTOCOL}")).await.unwrap();
    both.send(text(&ClientFrame::Hello { client: "an older console".to_owned() })).await.unwrap();
    match both.next().await {
        Some(Ok(Message::Text(welcome))) => assert!(welcome.contains("Welcome") && welcome.contains(TYPES)),
        frame => panic!("no welcome in JSON: {frame:?}"),
    }
}
