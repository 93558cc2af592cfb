//! A daemon without its doors, and providers that answer by script and keep what they were sent.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_common::model::{
    Audience, CampaignClass, CampaignId, CampaignSpec, CampaignState, Channel, MessageState, OutcomeClass,
    ProviderKind, Reach, Schedule, StateCounts, Timestamp,
};

use crate::campaigns::Campaigns;
use crate::campaigns::lifecycle::Event;
use crate::clock::Clock;
use crate::config::{Organisation, Tier};
use crate::dispatch::{Account, Dispatcher, Settings, Setup, Shared, breaker};
use crate::guests::{GuestBook, Intake, Source};
use crate::monitor::{Board, Metrics};
use crate::providers::{Answer, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits};
use crate::store::engine::{Engine, LogFile, Options, Stage, Step};
use crate::store::{By, Store};
use crate::vault::Vault;

/// The first moment of an hour, and of no day.
pub(super) const NOW: Timestamp = Timestamp(1_795_341_600_000);
/// What is not so by then will never be. Nothing takes as long: time is simulated.
const PATIENCE: Duration = Duration::from_hours(30);
/// How exactly it is told when something was so.
const LOOK: Duration = Duration::from_millis(100);

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// When, from the start of the daemon.
    pub(super) at: Duration,
    pub(super) key: String,
    pub(super) to: Vec<String>,
}

/// A provider.
pub(super) struct Company {
    pub(super) name: &'static str,
    pub(super) channel: Channel,
    pub(super) rank: u32,
    pub(super) batch: usize,
    pub(super) keeps_keys: Option<Duration>,
    /// What it says to each of the next requests; `None`: nothing, ever.
    pub(super) script: Mutex<VecDeque<Option<Answer>>>,
    /// What it says when it has said all that.
    pub(super) usual: Option<Answer>,
    pub(super) probe: Probe,
    /// Addresses that it does not reach, and those that it cannot write.
    pub(super) elsewhere: &'static [&'static str],
    pub(super) unwritable: &'static [&'static str],
    pub(super) clock: Mutex<Option<Clock>>,
    pub(super) seen: Mutex<Vec<Seen>>,
}

pub(super) fn answer(class: OutcomeClass) -> Answer {
    let (code, detail, provider_id) = (String::new(), String::new(), String::new());
    Answer { class, scope: None, code, detail, provider_id, retry_after: None }
}

pub(super) fn reaching(class: OutcomeClass, scope: Scope) -> Answer {
    Answer { scope: Some(scope), ..answer(class) }
}

impl Company {
    /// One of e-mail that takes everything, one a request.
    pub(super) fn new(name: &'static str, rank: u32) -> Self {
        Self {
            name,
            channel: Channel::Email,
            rank,
            batch: 1,
            keeps_keys: None,
            script: Mutex::default(),
            usual: Some(answer(OutcomeClass::Accepted)),
            probe: Probe::Up(String::new()),
            elsewhere: &[],
            unwritable: &[],
            clock: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    pub(super) fn saying(self, script: impl IntoIterator<Item = Option<Answer>>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()), ..self }
    }

    /// What it was sent, in order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// To whom it was asked to send, in order.
    pub(super) fn to(&self) -> Vec<String> {
        self.seen().into_iter().flat_map(|seen| seen.to).collect()
    }
}

impl Provider for Company {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Webhook
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    fn traits(&self) -> Traits {
        Traits { batch_max: self.batch, keeps_keys: self.keeps_keys, smtp_utf8: true, lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let mut body = String::new();
        for one in messages {
            if self.elsewhere.contains(&one.to.as_str()) {
                return Err(PrepareError::Elsewhere { message: one.message, why: "it is far" });
            }
            if self.unwritable.contains(&one.to.as_str()) {
                return Err(PrepareError::Recipient { message: one.message, why: "no address".to_owned() });
            }
            let _ = writeln!(body, "{}", one.to);
        }
        Ok(Prepared::new(messages.len(), body.into(), key))
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Vec<Answer>> {
        let to = std::str::from_utf8(&request.bytes).unwrap().lines().map(str::to_owned).collect();
        let at = self.clock.lock().unwrap().as_ref().unwrap().mono();
        self.seen.lock().unwrap().push(Seen { at, key: request.key.clone(), to });
        let said = self.script.lock().unwrap().pop_front().unwrap_or_else(|| self.usual.clone());
        match said {
            Some(answer) => ready(vec![answer; request.messages]).boxed(),
            None => std::future::pending().boxed(),
        }
    }

    fn probe(&self) -> BoxFuture<'_, Probe> {
        ready(self.probe.clone()).boxed()
    }
}

/// A disk that is as fast as can be.
struct Disk;

impl Stage for Disk {
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn pass(&self, _: Step) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

pub(super) fn by() -> By {
    By { actor: "ada".to_owned(), reason: "a test".to_owned(), request_id: String::new() }
}

pub(super) fn organisation() -> Organisation {
    let values = [
        ("wedding_date", "12 June 2027"),
        ("venue_name", "The Old Mill"),
        ("couple_names", "Ada and Ben"),
        ("ceremony_time", "14:00"),
        ("rsvp_deadline", "1 May 2027"),
        ("rsvp_link", "https://rsvp.ada-and-ben.example"),
        ("reception_venue", "The Barn"),
    ];
    Organisation {
        name: "ada-and-ben".to_owned(),
        display_name: "Ada and Ben".to_owned(),
        tier: Tier::Internal,
        postal_address: Some("1 Mill Lane, Bath BA1 1AA".to_owned()),
        from_email: Some("hello@ada-and-ben.example".to_owned()),
        from_name: "Ada and Ben".to_owned(),
        reply_to: None,
        sms_sender: Some("+14155550001".to_owned()),
        resend_unknown: Vec::new(),
        fallback_to: Vec::new(),
        fallback_after: Duration::from_mins(10),
        unsubscribe_base: Some("https://rsvp.ada-and-ben.example".to_owned()),
        values: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

/// A daemon that lives.
pub(super) struct House {
    pub(super) campaigns: Campaigns,
    pub(super) shared: Arc<Shared>,
    pub(super) dispatcher: Dispatcher,
    pub(super) clock: Clock,
    stop: CancellationToken,
    tasks: TaskTracker,
    engine: Engine,
}

impl House {
    /// Starts it in a folder, at a moment.
    pub(super) async fn start(
        folder: &TempDir,
        at: Timestamp,
        organisation: &Organisation,
        companies: &[&Arc<Company>],
    ) -> Self {
        let clock = Clock::of_runtime(at);
        let state = folder.path().join("state");
        if !state.exists() {
            std::fs::create_dir(&state).unwrap();
            std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let vault = Arc::new(Vault::open(&state, None).unwrap().0);
        let wall = clock.clone();
        let key = *vault.derive("set-hash").expose();
        let options = Options::new(state.join("store"), key, "boot".to_owned(), Arc::new(move || wall.now()));
        let (engine, _) = Engine::play(options, Arc::new(Disk)).unwrap();
        let book = GuestBook::new(Store::new(engine.clone()), vault);
        let campaigns = Campaigns::new(book, std::slice::from_ref(organisation), b"secret");
        let settings = Settings {
            environment: "test".to_owned(),
            max_concurrent: 100,
            per_campaign: 100,
            batch: 50,
            probe_every: Duration::from_mins(1),
            probe_limit: Duration::from_secs(10),
            absent_after: Duration::from_mins(10),
            per_user: None,
            compact_after: Duration::from_hours(2000),
            state_dir: state,
            min_free_bytes: 0,
        };
        let account = |(n, company): (usize, &&Arc<Company>)| {
            *company.clock.lock().unwrap() = Some(clock.clone());
            let setup = Setup {
                provider: Arc::<Company>::clone(company),
                rank: company.rank,
                weight: 1.0,
                rate: None,
                burst: 5,
                max_in_flight: 100,
                batch: company.batch,
                unit_price: 0.0,
                currency: "USD".to_owned(),
                breaker: breaker::Settings::default(),
            };
            Arc::new(Account::new(setup, clock.clone(), n as u64))
        };
        let accounts = companies.iter().enumerate().map(account).collect();
        let (board, metrics) = (Board::new(1), Arc::new(Metrics::default()));
        let shared = Arc::new(Shared::new(campaigns.clone(), accounts, clock.clone(), settings, board, metrics));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let dispatcher = Dispatcher::start(Arc::clone(&shared), &tasks, stop.clone()).await.unwrap();
        Self { campaigns, shared, dispatcher, clock, stop, tasks, engine }
    }

    /// Imports so many guests, `g0@guest.example` and on, each with a number, and writes them a campaign, which is approved.
    pub(super) async fn campaign(&self, guests: usize, channels: &[Channel]) -> CampaignId {
        self.campaign_for(guests, channels, 24).await
    }

    /// The same, whose messages expire after so many hours.
    pub(super) async fn campaign_for(&self, guests: usize, channels: &[Channel], hours: u32) -> CampaignId {
        let now = self.clock.now();
        let mut csv = "name,email,phone\n".to_owned();
        for n in 0..guests {
            let _ = writeln!(csv, "Guest {n},g{n}@guest.example,+1415555{:04}", 100 + n);
        }
        let book = self.campaigns.book().clone();
        let source = Source { file: "guests.csv", vouched_by: "Ada", country: "" };
        let mut intake = Intake::begin(book.clone(), by(), "everyone", source, false).unwrap();
        intake.push(csv.as_bytes(), now).await.unwrap();
        let done = intake.finish(now).await.unwrap();
        assert_eq!((done.added, done.problems), (guests as u64, vec![]));
        let spec = CampaignSpec {
            name: "Invitation".to_owned(),
            description: String::new(),
            organisation: "ada-and-ben".to_owned(),
            class: CampaignClass::Personal,
            channels: channels.to_vec(),
            reach: Reach::Preferred,
            audience: Audience::List(book.store().list_named("everyone").unwrap().unwrap()),
            template: "invitation".to_owned(),
            values: BTreeMap::new(),
            schedule: Schedule::Now,
            expires_after_hours: hours,
            whatsapp: None,
        };
        let id = self.campaigns.create(&by(), spec, now).await.unwrap();
        self.campaigns.approve(&by(), &self.campaigns.row(id, None).unwrap()).await.unwrap();
        id
    }

    /// Starts it.
    pub(super) async fn send(&self, id: CampaignId) {
        let row = self.campaigns.row(id, None).unwrap();
        self.campaigns.send(&by(), &row, None, self.clock.now()).await.unwrap();
        self.dispatcher.look(id);
    }

    /// Moves it by an operator's act.
    pub(super) async fn act(&self, id: CampaignId, event: Event) {
        let row = self.campaigns.row(id, None).unwrap();
        self.campaigns.step(&by(), &row, event, self.clock.now()).await.unwrap();
        self.dispatcher.look(id);
    }

    /// Waits until it is so; how long that took.
    pub(super) async fn until(&self, what: &str, mut enough: impl FnMut(&Self) -> bool) -> Duration {
        let begun = self.clock.mono();
        let wait = async {
            let mut look = tokio::time::interval(LOOK);
            while !enough(self) {
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
        self.clock.mono().saturating_sub(begun)
    }

    /// Waits until it is in that state; how long that took.
    pub(super) async fn until_is(&self, id: CampaignId, state: CampaignState) -> Duration {
        self.until(state.as_str(), |house| house.state(id) == state).await
    }

    /// Lets that much time pass.
    pub(super) async fn pass(&self, time: Duration) {
        let never = std::future::pending::<()>();
        assert!(tokio::time::timeout(time, never).await.is_err(), "nothing else ends this");
    }

    pub(super) fn state(&self, id: CampaignId) -> CampaignState {
        self.campaigns.row(id, None).unwrap().record.state
    }

    pub(super) fn counts(&self, id: CampaignId) -> StateCounts {
        self.campaigns.book().store().campaign_counts(id).unwrap().total()
    }

    /// Why the messages in a state are in it, each reason once.
    pub(super) fn why(&self, id: CampaignId, state: MessageState) -> Vec<String> {
        let page = self.campaigns.book().store().messages(id, Some(state), None, 1000).unwrap();
        let mut why: Vec<String> = page.messages.into_iter().map(|one| one.record.why).collect();
        why.sort();
        why.dedup();
        why
    }

    /// Stops it as a service is stopped.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.engine.close().await.unwrap();
    }
}
