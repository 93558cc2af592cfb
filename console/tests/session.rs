//! The line to a daemon, against one that misbehaves on purpose.

mod fake;

use std::path::PathBuf;
use std::sync::Mutex;

use fake::{Behaviour, Fake, SOON, no_such_thing};
use usher::clock::Clock;
use usher::session::{CallError, Client, Link, LinkCommand, LinkEvent, LinkState, SessionError, Target, Update};
use usher_common::model::{CampaignId, Overview, Timestamp};
use usher_common::protocol::{
    Act, ClientFrame, Codec, Have, JSON_SUBPROTOCOL, Level, LogEvent, Reply, Request, Row, ServerFrame, Topic,
};

fn snapshot(version: u64, rate: f64) -> ServerFrame {
    let rows = vec![Row::Overview(Box::new(Overview { rate, ..Overview::default() }))];
    ServerFrame::Snapshot { topic: Topic::Overview, epoch: 7, version, rows }
}

fn delta(from: u64, to: u64) -> ServerFrame {
    let rows = vec![Row::Overview(Box::new(Overview { rate: to as f64, ..Overview::default() }))];
    ServerFrame::Delta { topic: Topic::Overview, from, to, rows, gone: Vec::new() }
}

fn rate(update: &Update) -> f64 {
    let (Update::Snapshot(rows) | Update::Delta { rows, .. }) = update else { panic!("no state: {update:?}") };
    let [Row::Overview(overview)] = rows.as_slice() else { panic!("no overview: {rows:?}") };
    overview.rate
}

/// A subscription, with what the client says it has.
#[derive(Debug, PartialEq)]
struct Asked(Option<Have>);

fn subscription(frame: &ClientFrame) -> Option<Asked> {
    match frame {
        ClientFrame::Subscribe { topic: Topic::Overview, have } => Some(Asked(*have)),
        _ => None,
    }
}

async fn connect(fake: &Fake) -> Client {
    Client::connect(&Target::Unix(fake.socket())).await.expect("the daemon answers")
}

#[tokio::test]
async fn calls_in_flight_are_answered_in_any_order() {
    let waiting = Mutex::new(Vec::new());
    let fake = Fake::start(Behaviour::new(move |frame| {
        let ClientFrame::Call { id, request, .. } = frame else { return Vec::new() };
        let Request::Campaign { id: campaign } = **request else { return Vec::new() };
        let mut waiting = waiting.lock().expect("not poisoned");
        waiting.push(ServerFrame::Reply { id: *id, result: Ok(Reply::Done(campaign.to_string())) });
        if waiting.len() < 50 { Vec::new() } else { waiting.drain(..).rev().collect() }
    }));
    let client = connect(&fake).await;
    let calls = (0..50).map(|n| client.call(Request::Campaign { id: CampaignId(n) }, None));
    let answers = futures_util::future::join_all(calls).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("answered"), Reply::Done(format!("c{n}")));
    }
}

#[tokio::test]
async fn a_gap_is_noticed_and_asked_for_with_what_is_there() {
    let mut fake = Fake::start(Behaviour::new(|frame| match frame {
        ClientFrame::Subscribe { have: None, .. } => vec![snapshot(10, 10.0), delta(10, 11), delta(13, 14)],
        ClientFrame::Subscribe { have: Some(have), .. } => vec![delta(have.version, 14)],
        _ => Vec::new(),
    }));
    let client = connect(&fake).await;
    let mut updates = client.follow(Topic::Overview).await.expect("followed");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(rate(&updates.next().await.expect("an update")));
    }
    assert_eq!(seen, [10.0, 11.0, 14.0]);
    assert_eq!(fake.hears(subscription).await, Asked(None));
    assert_eq!(fake.hears(subscription).await, Asked(Some(Have { epoch: 7, version: 11 })));
}

#[tokio::test]
async fn who_does_not_keep_up_holds_nobody_back_and_gets_the_newest_in_the_end() {
    let mut fake = Fake::start(Behaviour::new(|frame| match frame {
        ClientFrame::Subscribe { have: None, .. } => {
            std::iter::once(snapshot(0, 0.0)).chain((0..600).map(|n| delta(n, n + 1))).collect()
        }
        ClientFrame::Subscribe { have: Some(have), .. } => vec![delta(have.version, 600)],
        ClientFrame::Call { id, .. } => vec![ServerFrame::Reply { id: *id, result: Ok(Reply::Done(String::new())) }],
        _ => Vec::new(),
    }));
    let client = connect(&fake).await;
    let mut updates = client.follow(Topic::Overview).await.expect("followed");
    // Answered although nobody reads the updates that came before.
    client.call(Request::Status, None).await.expect("answered");
    assert_eq!(fake.hears(subscription).await, Asked(None));
    let mut last = rate(&updates.next().await.expect("an update"));
    assert!(last < 1.0, "the snapshot comes first");
    fake.push(ServerFrame::Heartbeat { seq: 1, now: Timestamp(0) });
    let mut handed = 1;
    let mut before = last;
    while last < 600.0 {
        let next = rate(&updates.next().await.expect("an update"));
        assert!(next > last);
        (before, last) = (last, next);
        handed += 1;
    }
    assert!(handed < 600, "some were left out: {handed}");
    // Asked for once, from exactly what was handed over.
    let asked = fake.hears(subscription).await.0.expect("it says what it has");
    assert_eq!(asked.version, before as u64);
    assert_eq!(fake.heard_so_far().iter().filter_map(subscription).count(), 0);
}

#[tokio::test]
async fn events_that_found_no_room_are_counted() {
    let event =
        |n| LogEvent { position: n, at: Timestamp(0), level: Level::Info, object: String::new(), text: String::new() };
    let fake = Fake::start(Behaviour::new(move |frame| match frame {
        ClientFrame::Subscribe { topic: Topic::Log, .. } => {
            (1..=500).map(|n| ServerFrame::Events { skipped: 0, events: vec![event(n)] }).collect()
        }
        ClientFrame::Call { id, .. } => vec![ServerFrame::Reply { id: *id, result: Ok(Reply::Done(String::new())) }],
        _ => Vec::new(),
    }));
    let client = connect(&fake).await;
    let mut updates = client.follow(Topic::Log).await.expect("followed");
    client.call(Request::Status, None).await.expect("answered");
    let mut place = 0;
    let mut left_out = 0;
    while place < 256 {
        let Some(Update::Events { skipped, events }) = updates.next().await else { panic!("no events") };
        assert_eq!(skipped, 0);
        place += events.len();
    }
    fake.push(ServerFrame::Events { skipped: 3, events: vec![event(504)] });
    if let Some(Update::Events { skipped, .. }) = updates.next().await {
        left_out += skipped;
    }
    assert_eq!(left_out, 500 - 256 + 3);
}

#[tokio::test]
async fn another_hash_is_spoken_to_in_json_and_never_acted_on() {
    let mut behaviour = Behaviour::calls(|_| Ok(Reply::Status(Box::default())));
    behaviour.speaks = vec![JSON_SUBPROTOCOL.to_owned(), "usher.v1.bincode.0000".to_owned()];
    behaviour.types = "0000".to_owned();
    let mut fake = Fake::start(behaviour);
    let client = connect(&fake).await;
    assert_eq!(client.codec(), Codec::Json);
    assert!(matches!(client.call(Request::Status, None).await, Ok(Reply::Status(_))));
    let act = Request::CampaignPause { id: CampaignId(1) };
    let refused = client.call(act, Some(Act::default())).await.expect_err("not sent");
    assert!(matches!(refused, CallError::OtherTypes { .. }), "{refused}");
    let calls = fake.heard_so_far().into_iter().filter(|f| matches!(f, ClientFrame::Call { .. })).count();
    assert_eq!(calls, 1, "the act never went out");
}

#[tokio::test]
async fn a_daemon_that_says_good_bye_fails_what_waits_and_says_why() {
    let fake = Fake::start(Behaviour::new(|frame| match frame {
        ClientFrame::Call { .. } => vec![ServerFrame::Goodbye { reason: "restarting \u{1b}[2J".to_owned() }],
        _ => Vec::new(),
    }));
    let client = connect(&fake).await;
    let lost = client.call(Request::Status, None).await.expect_err("no answer");
    assert!(lost.to_string().contains("restarting [2J"), "{lost}");
    assert!(
        matches!(client.call(Request::Status, None).await, Err(CallError::Lost(_))),
        "and so does what comes after"
    );
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| Target::Unix(folder.path().join(name));
    assert!(matches!(Client::connect(&at("none")).await, Err(SessionError::NoSocket { .. })));

    drop(std::os::unix::net::UnixListener::bind(folder.path().join("dead")).expect("free"));
    assert!(matches!(Client::connect(&at("dead")).await, Err(SessionError::NobodyListens { .. })));

    let long = Target::Unix(PathBuf::from(format!("/{}", "x".repeat(200))));
    assert!(matches!(Client::connect(&long).await, Err(SessionError::PathTooLong { len: 201, .. })));

    let mut behaviour = Behaviour::calls(|_| no_such_thing());
    behaviour.refuses = Some(403);
    let fake = Fake::start(behaviour.clone());
    let denied = Client::connect(&Target::Unix(fake.socket())).await;
    assert!(matches!(denied, Err(SessionError::Denied { status: 403, .. })), "{denied:?}");

    behaviour.refuses = Some(503);
    let fake = Fake::start(behaviour.clone());
    let busy = Client::connect(&Target::Unix(fake.socket())).await;
    assert!(matches!(busy, Err(SessionError::Busy { .. })), "{busy:?}");

    behaviour.refuses = Some(400);
    behaviour.because = "no common subprotocol: this daemon speaks \u{1b}[31musher.v1.json\n";
    let fake = Fake::start(behaviour.clone());
    let other = Client::connect(&Target::Unix(fake.socket())).await.map(|_| ()).map_err(|e| e.to_string());
    let said = "HTTP 400: no common subprotocol: this daemon speaks [31musher.v1.json";
    assert!(other.as_ref().is_err_and(|e| e.contains(said)), "{other:?}");

    behaviour.refuses = None;
    behaviour.speaks = Vec::new();
    let fake = Fake::start(behaviour);
    let foreign = Client::connect(&Target::Unix(fake.socket())).await;
    assert!(matches!(foreign, Err(SessionError::Incompatible { .. })), "{foreign:?}");
}

/// The next state of the link for which the function says yes.
async fn state(link: &mut Link, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
    let search = async {
        loop {
            if let LinkEvent::State(state) = link.events.recv().await.expect("the link runs")
                && wanted(&state)
            {
                return state;
            }
        }
    };
    tokio::time::timeout(SOON, search).await.expect("it comes soon")
}

async fn rows(link: &mut Link) -> LinkEvent {
    loop {
        let event = tokio::time::timeout(SOON, link.events.recv()).await.expect("soon").expect("the link runs");
        if matches!(event, LinkEvent::Snapshot { .. } | LinkEvent::Delta { .. }) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_daemon_that_goes_and_comes_back_is_taken_up_where_it_was_left() {
    let mut fake = Fake::start(Behaviour::new(|frame| match frame {
        ClientFrame::Subscribe { have: None, .. } => vec![snapshot(10, 10.0)],
        ClientFrame::Subscribe { have: Some(have), .. } => vec![delta(have.version, have.version + 1)],
        _ => Vec::new(),
    }));
    let mut link = Link::start(Target::Unix(fake.socket()), Clock::start(), false);
    link.commands.send(LinkCommand::Follow(Topic::Overview)).await.expect("the link runs");
    state(&mut link, |s| matches!(s, LinkState::Live(_))).await;
    assert!(matches!(rows(&mut link).await, LinkEvent::Snapshot { .. }));
    assert_eq!(fake.hears(subscription).await, Asked(None));

    fake.stop();
    // The first try is immediate; the second finds no socket and waits.
    let down = state(&mut link, |s| matches!(s, LinkState::Backoff { tries, .. } if *tries > 1)).await;
    assert!(matches!(down, LinkState::Backoff { why, .. } if why.contains("no daemon at")));
    let pause = Request::CampaignPause { id: CampaignId(1) };
    let call = LinkCommand::Call { tag: 5, request: Box::new(pause), act: Some(Act::default()) };
    link.commands.send(call).await.expect("the link runs");
    loop {
        if let LinkEvent::Answer { tag, result } = link.events.recv().await.expect("the link runs") {
            assert_eq!(tag, 5);
            assert!(matches!(result, Err(CallError::Lost(_))), "nothing waits in secret for the line to come back");
            break;
        }
    }

    fake.start_again();
    link.commands.send(LinkCommand::RetryNow).await.expect("the link runs");
    state(&mut link, |s| matches!(s, LinkState::Live(_))).await;
    assert_eq!(fake.hears(subscription).await, Asked(Some(Have { epoch: 7, version: 10 })), "it says what it has");
    assert!(matches!(rows(&mut link).await, LinkEvent::Delta { .. }));
}

#[tokio::test]
async fn a_refusal_is_shown_as_such_and_tried_again() {
    let mut behaviour = Behaviour::calls(|_| no_such_thing());
    behaviour.refuses = Some(401);
    let fake = Fake::start(behaviour);
    let mut link = Link::start(Target::Unix(fake.socket()), Clock::start(), false);
    state(&mut link, |s| matches!(s, LinkState::Denied(_))).await;
    link.commands.send(LinkCommand::RetryNow).await.expect("the link runs");
    state(&mut link, |s| matches!(s, LinkState::Denied(_))).await;
}
