//! One campaign by all four channels, from the list to the providers' own words: import, approval, expansion, gate, turns at
//! an address, requests, outcomes. The providers are one small server that keeps what it was sent; the clock is moved by hand.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, which is what it is for")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_common::model::{
    Audience, CampaignClass, CampaignId, CampaignSpec, CampaignState, Channel, MessageState, Reach, Schedule,
    Timestamp, WhatsAppParameter, WhatsAppTemplate,
};
use usherd::campaigns::Campaigns;
use usherd::clock::Clock;
use usherd::config::{Config, Sources};
use usherd::dispatch::{Dispatcher, Settings, Shared};
use usherd::guests::{GuestBook, Intake, Source};
use usherd::monitor::{Board, Metrics};
use usherd::service::accounts;
use usherd::store::engine::{Engine, Options};
use usherd::store::{By, Store};
use usherd::vault::Vault;

/// Five guests; the last two have nothing but a channel of Slack that they share, and one of them a name that would call it.
const GUESTS: &str = "name,email,phone,slack\n\
    Zoë,zoe@guest.example,+14155550123,U0ZOE\n\
    Ben,ben@guest.example,+14155550124,\n\
    Cleo,cleo@guest.example,,\n\
    <!channel>,dora@guest.example,,C0TEAM\n\
    Emil,emil@guest.example,,C0TEAM\n";

/// A test that is not over by then will never be.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the providers were sent: path and body, in order.
type Seen = Arc<Mutex<Vec<(String, Value)>>>;

async fn provider(State(seen): State<Seen>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let is_post = request.method() == "POST" && path != "/api/auth.test";
    let body = request.into_body().collect().await.unwrap().to_bytes();
    // What is asked of a Slack webhook to see whether it lives.
    let sends = is_post && body != "{}";
    let n = {
        let mut seen = seen.lock().unwrap();
        if sends {
            seen.push((path.clone(), serde_json::from_slice(&body).unwrap()));
        }
        seen.len()
    };
    match (path.as_str(), sends) {
        ("/v3/mail/send", true) => (http(202), [("x-message-id", format!("sg-{n}"))]).into_response(),
        ("/v3/scopes", _) => Json(json!({"scopes": ["mail.send"]})).into_response(),
        ("/api/chat.postMessage", true) => {
            Json(json!({"ok": true, "channel": "D1", "ts": format!("{n}.0")})).into_response()
        }
        ("/api/auth.test", _) => Json(json!({"ok": true})).into_response(),
        ("/v23.0/4711/messages", true) => Json(json!({"messages": [{"id": format!("wamid.{n}")}]})).into_response(),
        ("/v23.0/4711", _) => Json(json!({"id": "4711"})).into_response(),
        ("/gateway", true) => (http(202), Json(json!({"id": format!("g-{n}")}))).into_response(),
        ("/hook", true) => "ok".into_response(),
        ("/hook", false) => (http(400), "no_text").into_response(),
        ("/gateway", _) => http(200).into_response(),
        _ => http(404).into_response(),
    }
}

fn http(status: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(status).unwrap()
}

/// A daemon without its doors, and the world around it.
struct House {
    _folder: TempDir,
    campaigns: Campaigns,
    dispatcher: Dispatcher,
    clock: Clock,
    seen: Seen,
    stop: CancellationToken,
    tasks: TaskTracker,
    engine: Engine,
}

impl House {
    async fn build(first: &str) -> Self {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Router::new().fallback(provider).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, world).await });

        let folder = tempfile::tempdir().unwrap();
        let config = configuration(&folder, &url, first);
        let clock = Clock::manual(Timestamp(1_795_341_600_000));
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        let vault = Arc::new(Vault::open(&state, None).unwrap().0);
        let wall = clock.clone();
        let key = *vault.derive("set-hash").expose();
        let options = Options::new(state.join("store"), key, "boot".to_owned(), Arc::new(move || wall.now()));
        let (engine, _) = Engine::open(options).unwrap();
        let book = GuestBook::new(Store::new(engine.clone()), vault);
        let campaigns = Campaigns::new(book, &config.organisations, b"secret");
        let settings = Settings {
            absent_after: Duration::from_mins(10),
            per_user: None,
            compact_after: Duration::from_hours(24),
            environment: "test".to_owned(),
            max_concurrent: 100,
            per_campaign: 100,
            batch: 50,
            probe_every: Duration::from_hours(1),
            probe_limit: Duration::from_secs(10),
            state_dir: state,
            min_free_bytes: 0,
        };
        let accounts = accounts::set_up(&config.providers, 3, None, &clock).unwrap();
        let metrics = Arc::new(Metrics::default());
        let shared =
            Arc::new(Shared::new(campaigns.clone(), accounts, clock.clone(), settings, Board::new(1), metrics));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let dispatcher = Dispatcher::start(shared, &tasks, stop.clone()).await.unwrap();
        Self { _folder: folder, campaigns, dispatcher, clock, seen, stop, tasks, engine }
    }

    /// Imports the guests, writes a campaign to all of them by all channels, and starts it.
    async fn release(&self, whatsapp: Option<WhatsAppTemplate>) -> CampaignId {
        let now = self.clock.now();
        let source = Source { file: "guests.csv", vouched_by: "Ada", country: "" };
        let book = self.campaigns.book().clone();
        let mut intake = Intake::begin(book.clone(), by(), "everyone", source, false).unwrap();
        intake.push(GUESTS.as_bytes(), now).await.unwrap();
        let done = intake.finish(now).await.unwrap();
        assert_eq!((done.added, done.problems), (5, vec![]));
        let spec = CampaignSpec {
            name: "Save the date".to_owned(),
            description: String::new(),
            organisation: "ada-and-ben".to_owned(),
            class: CampaignClass::Personal,
            channels: Channel::ALL.to_vec(),
            reach: Reach::All,
            audience: Audience::List(book.store().list_named("everyone").unwrap().unwrap()),
            template: "invitation".to_owned(),
            values: BTreeMap::new(),
            schedule: Schedule::Now,
            expires_after_hours: 0,
            whatsapp,
        };
        let id = self.campaigns.create(&by(), spec, now).await.unwrap();
        let sum = self.campaigns.reckon(id, &|_, _| std::ops::ControlFlow::Continue(())).unwrap();
        self.campaigns.check_ready(id, &sum).unwrap();
        assert_eq!(sum.obstacles, BTreeMap::new());
        self.campaigns.approve(&by(), &self.campaigns.row(id, None).unwrap()).await.unwrap();
        let row = self.campaigns.row(id, None).unwrap();
        self.campaigns.send(&by(), &row, None, now).await.unwrap();
        self.dispatcher.look(id);
        id
    }

    /// Waits until it is so.
    async fn until(&self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
        let wait = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !enough(self) {
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}; {:?}", self.seen.lock().unwrap());
    }

    fn state(&self, id: CampaignId) -> CampaignState {
        self.campaigns.row(id, None).unwrap().record.state
    }

    fn accepted(&self, id: CampaignId) -> u64 {
        self.campaigns.book().store().campaign_counts(id).unwrap().total().accepted
    }

    /// The bodies that went to one path.
    fn sent(&self, path: &str) -> Vec<Value> {
        self.seen.lock().unwrap().iter().filter(|(to, _)| to == path).map(|(_, body)| body.clone()).collect()
    }

    async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.engine.close().await.unwrap();
    }
}

fn by() -> By {
    By { actor: "ada".to_owned(), reason: String::new(), request_id: String::new() }
}

/// `first` are providers that go before the others, with `{url}` for the address of all of them.
fn configuration(folder: &TempDir, url: &str, first: &str) -> Config {
    let path = folder.path().join("usherd.toml");
    let first = first.replace("{url}", url);
    let text = format!(
        r#"
        [[organisation]]
        name = "ada-and-ben"
        tier = "INTERNAL"
        postal_address = "1 Mill Lane, Bath BA1 1AA"
        from_email = "hello@ada-and-ben.example"
        sms_sender = "+14155550100"
        unsubscribe_base = "https://rsvp.ada-and-ben.example"
        [organisation.values]
        wedding_date = "12 June 2027"
        venue_name = "The Old Mill"
        couple_names = "Ada & Ben"
        ceremony_time = "14:00"
        rsvp_deadline = "1 May 2027"
        rsvp_link = "https://rsvp.ada-and-ben.example"
        reception_venue = "The Barn"
        {first}
        [[provider]]
        name = "sendgrid"
        kind = "sendgrid"
        base_url = "{url}"
        api_key = "SG.k"
        [[provider]]
        name = "gateway"
        kind = "webhook"
        channel = "sms"
        url = "{url}/gateway"
        signing_secret = "0123456789abcdef0123456789abcdef"
        [[provider]]
        name = "whatsapp"
        kind = "whatsapp"
        base_url = "{url}"
        phone_number_id = "4711"
        access_token = "t"
        [[provider]]
        name = "slack"
        kind = "slack"
        base_url = "{url}"
        bot_token = "xoxb"
        "#
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let sources = Sources { file: Some(path), env: BTreeMap::new(), credentials: None };
    Config::load(&sources).unwrap().config
}

fn texts(bodies: &[Value], pointer: &str) -> Vec<String> {
    let mut texts: Vec<String> =
        bodies.iter().map(|body| body.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_reaches_every_guest_by_every_channel_once() {
    let house = House::build("").await;
    let parameters = vec![
        WhatsAppParameter { name: String::new(), text: "{{ guest_name }}".to_owned() },
        WhatsAppParameter { name: String::new(), text: "{{ couple_names }}, {{ wedding_date }}".to_owned() },
    ];
    let template = WhatsAppTemplate { name: "save_the_date".to_owned(), language: "en_GB".to_owned(), parameters };
    let id = house.release(Some(template)).await;

    // Of the two who share a channel, one waits for its turn there; it holds up nobody else.
    house.until("all but one are sent", |house| house.accepted(id) == 11).await;
    let store = house.campaigns.book().store();
    let open = || store.messages(id, Some(MessageState::Queued), None, 10).unwrap().messages;
    house.until("one waits", |_| open().iter().any(|one| one.record.why.contains("turn"))).await;
    assert_eq!(open().len(), 1);
    assert_eq!(house.sent("/api/chat.postMessage").len(), 2);
    house.clock.advance(Duration::from_secs(2));
    house.until("it is finished", |house| house.state(id) == CampaignState::Finished).await;

    let mail = house.sent("/v3/mail/send");
    let to = texts(&mail, "/personalizations/0/to/0/email");
    assert_eq!(to, ["ben", "cleo", "dora", "emil", "zoe"].map(|name| format!("{name}@guest.example")));
    let sms = house.sent("/gateway");
    assert_eq!(texts(&sms, "/to/address"), ["+14155550123", "+14155550124"]);
    assert_eq!(texts(&sms, "/from/address"), ["+14155550100"; 2]);
    let whatsapp = house.sent("/v23.0/4711/messages");
    assert_eq!(texts(&whatsapp, "/to"), ["+14155550123", "+14155550124"]);
    assert_eq!(texts(&whatsapp, "/template/name"), ["save_the_date"; 2]);
    assert_eq!(texts(&whatsapp, "/template/components/0/parameters/0/text"), ["Ben", "Zoë"]);
    assert_eq!(texts(&whatsapp, "/template/components/0/parameters/1/text"), ["Ada & Ben, 12 June 2027"; 2]);
    let slack = house.sent("/api/chat.postMessage");
    assert_eq!(texts(&slack, "/channel"), ["C0TEAM", "C0TEAM", "U0ZOE"]);
    let words = texts(&slack, "/text").join(" ");
    assert!(words.contains("&lt;!channel&gt;") && !words.contains("<!channel>"), "{words}");
    assert_eq!(house.seen.lock().unwrap().len(), 12);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_approved_template_the_campaigns_own_words_go_by_whatsapp() {
    let house = House::build("").await;
    let id = house.release(None).await;
    house.until("all but one are sent", |house| house.accepted(id) == 11).await;
    let whatsapp = house.sent("/v23.0/4711/messages");
    assert_eq!(texts(&whatsapp, "/type"), ["text"; 2]);
    assert!(texts(&whatsapp, "/text/body").iter().all(|text| text.contains("Ada & Ben")), "{whatsapp:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slack_webhook_does_not_reach_goes_by_the_bot() {
    let hook = r#"
        [[provider]]
        name = "hook"
        kind = "slack"
        webhook_url = "{url}/hook"
        channel_id = "C0TEAM"
        "#;
    let house = House::build(hook).await;
    let id = house.release(None).await;
    house.until("all but one are sent", |house| house.accepted(id) == 11).await;
    house.clock.advance(Duration::from_secs(2));
    house.until("it is finished", |house| house.state(id) == CampaignState::Finished).await;
    assert_eq!(house.sent("/hook").len(), 2, "both who share the webhook's channel");
    assert_eq!(texts(&house.sent("/api/chat.postMessage"), "/channel"), ["U0ZOE"]);
    house.close().await;
}
