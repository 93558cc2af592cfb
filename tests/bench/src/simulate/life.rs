//! One life of the daemon: everything that `usherd` is but its sockets, from start to end, in a runtime of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_common::model::Timestamp;
use usherd::api::{Api, Hooks};
use usherd::campaigns::Campaigns;
use usherd::clock::Clock;
use usherd::config::{Organisation, Tier};
use usherd::dispatch::{Account, Dispatcher, Settings, Setup, Shared, breaker};
use usherd::guests::GuestBook;
use usherd::monitor::{Board, Metrics};
use usherd::providers::Provider;
use usherd::receipts::Desk;
use usherd::store::Store;
use usherd::store::engine::{Engine, IndexStart, Options};
use usherd::vault::Vault;

use super::disk::{Disk, copy};
use super::operator;
use super::plan::{End, How, When};
use super::post;
use super::provider::Simulated;
use super::verdict;
use super::world::World;

/// When the world begins, by the wall clock.
const BEGINNING: i64 = 1_795_341_600_000;

/// Where the lives of one seed take place.
pub(super) struct Place {
    /// Everything of this seed is in here.
    pub(super) dir: PathBuf,
    pub(super) root_key: PathBuf,
}

/// A daemon that lives.
pub(super) struct Daemon {
    pub(super) api: Arc<Api>,
    pub(super) desk: Desk,
    pub(super) shared: Arc<Shared>,
    pub(super) campaigns: Campaigns,
    pub(super) clock: Clock,
    stop: CancellationToken,
    work: TaskTracker,
}

impl Place {
    fn state(&self, life: usize) -> PathBuf {
        self.dir.join(format!("life-{life}"))
    }
}

/// Lives one life, and leaves in the place of the next what is left of it.
pub(super) fn live(world: &Arc<World>, place: &Place, life: usize, end: Option<End>) -> anyhow::Result<()> {
    let state = place.state(life);
    let (skew, when) = end.map_or((0, None), |end| (end.skew, Some((end.when, end.how))));
    let disk = Disk::new(world, &state.join("store"), life, when);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let ended = runtime.block_on(async {
        world.begin();
        let wall = Timestamp(BEGINNING + world.now().at() + skew);
        let boot = format!("boot {}", boots(world, life));
        let lived = async {
            let daemon = tokio::select! {
                biased;
                // It may die before it is there.
                () = world.over() => return Ok(()),
                daemon = Daemon::start(world, place, &state, &disk, &boot, wall) => daemon,
            };
            match daemon {
                Err(error) if disk.fails() => {
                    world.end(format_args!("the daemon does not start: {error:#}"));
                    Ok(())
                }
                Err(error) => Err(error),
                Ok(daemon) => daemon.work(world, end.map(|end| (end, Arc::clone(&disk)))).await,
            }
        };
        let lived = lived.await;
        // Before its time is gone with the runtime.
        world.end(format_args!("it is over"));
        lived
    });
    drop(runtime);
    ended?;
    let Some(end) = end else { return Ok(()) };
    disk.leave(end.how, end.index).context("leaving what a crash leaves")?;
    let next = place.state(life + 1);
    copy(&state, &next).context("copying the state folder for the next life")?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o700))?;
    fs::remove_dir_all(&state)?;
    world.rest(end.down);
    Ok(())
}

/// How often the machine was started before a life: the power has gone with some ends, and not with others.
fn boots(world: &World, life: usize) -> usize {
    world.plan.ends.iter().take(life).filter(|end| matches!(end.how, How::Power)).count()
}

impl Daemon {
    async fn start(
        world: &Arc<World>,
        place: &Place,
        state: &Path,
        disk: &Arc<Disk>,
        boot: &str,
        wall: Timestamp,
    ) -> anyhow::Result<Self> {
        if !state.exists() {
            fs::create_dir(state)?;
            fs::set_permissions(state, fs::Permissions::from_mode(0o700))?;
        }
        let clock = Clock::of_runtime(wall);
        let (vault, _) = Vault::open(state, Some(&place.root_key)).context("opening the vault")?;
        let key = *vault.derive("set-hash").expose();
        let now = clock.clone();
        let mut options = Options::new(state.join("store"), key, boot.to_owned(), Arc::new(move || now.now()));
        let setting = world.plan.setting;
        options.segment_bytes = setting.segment_bytes;
        options.sled_flush_every = Duration::from_millis(setting.flush_every.unsigned_abs());
        options.cache_bytes = 1 << 20;
        let (engine, report) = Engine::play(options, Arc::<Disk>::clone(disk)).context("the store does not open")?;
        let index = match &report.index {
            IndexStart::Rebuilt { checkpoint, .. } => format!("rebuilt, from a checkpoint: {}", checkpoint.is_some()),
            other => format!("{other:?}"),
        };
        world.now().tell(format_args!("the daemon starts at commit {}; its index: {index}", report.lsn));
        let guests = GuestBook::new(Store::new(engine), Arc::new(vault));
        let reports = Desk::new(guests.clone(), clock.clone());
        let campaigns = Campaigns::new(guests, &[organisation()], b"secret");
        let board = Board::new(wall.0.unsigned_abs());
        let metrics = Arc::new(Metrics::default());
        let settings = Settings {
            environment: "simulation".to_owned(),
            max_concurrent: setting.max_concurrent,
            per_campaign: setting.max_concurrent,
            batch: setting.batch,
            probe_every: Duration::from_mins(1),
            probe_limit: Duration::from_secs(30),
            absent_after: Duration::from_mins(10),
            per_user: None,
            compact_after: Duration::from_millis(setting.compact_after.unsigned_abs()),
            state_dir: state.to_owned(),
            min_free_bytes: 0,
        };
        let shared = Arc::new(Shared::new(
            campaigns.clone(),
            accounts(world, &clock),
            clock.clone(),
            settings,
            board.clone(),
            Arc::clone(&metrics),
        ));
        let (stop, work) = (CancellationToken::new(), TaskTracker::new());
        let dispatcher =
            Dispatcher::start(Arc::clone(&shared), &work, stop.clone()).await.context("starting dispatch")?;
        let hooks = Hooks::new(Vec::new(), reports.clone(), Arc::clone(&shared), Arc::clone(&metrics), clock.clone());
        let closing = stop.clone();
        work.spawn(async move { hooks.look_after(closing).await });
        let api = Api::new(
            "simulation",
            clock.clone(),
            (board, metrics),
            (dispatcher, None, None),
            None,
            (stop.clone(), TaskTracker::new()),
        );
        Ok(Self { api, desk: reports, shared, campaigns, clock, stop, work })
    }

    /// Works until its end, or, without one, until all is done; then it is judged.
    async fn work(self, world: &Arc<World>, end: Option<(End, Arc<Disk>)>) -> anyhow::Result<()> {
        let this = Arc::new(self);
        tokio::spawn(operator::work(Arc::clone(world), Arc::clone(&this)));
        tokio::spawn(post::work(Arc::clone(world), Arc::clone(&this)));
        let mut failure = this.shared.failure();
        let Some((end, disk)) = end else {
            tokio::select! {
                biased;
                _ = failure.changed() => {
                    let why = failure.borrow().clone().unwrap_or_default();
                    anyhow::bail!("the daemon stopped by itself: {why}");
                }
                done = verdict::when_done(world, &this) => done?,
            }
            return this.close().await;
        };
        let strike = async {
            match end.when {
                When::After(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
                    disk.strike(end.how);
                }
                When::At(..) => {}
            }
            // Whatever does not come to its chosen end comes to one.
            tokio::time::sleep(Duration::from_mins(3)).await;
            world.end(format_args!("the daemon ends, since nothing else ended it"));
        };
        tokio::select! {
            biased;
            () = world.over() => {
                if end.how == How::Asked {
                    return this.close().await;
                }
            }
            _ = failure.changed() => {
                let why = failure.borrow().clone().unwrap_or_default();
                world.end(format_args!("the daemon stops by itself: {why}"));
            }
            () = strike => {}
        }
        Ok(())
    }

    /// Stops it as a service is stopped.
    async fn close(&self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.work.close();
        self.work.wait().await;
        let engine = self.campaigns.book().store().engine().clone();
        engine.close().await.context("closing the store")
    }
}

fn accounts(world: &Arc<World>, clock: &Clock) -> Vec<Arc<Account>> {
    let mut accounts: Vec<Arc<Account>> = Vec::new();
    for (n, company) in world.plan.providers.iter().enumerate() {
        let provider: Arc<dyn Provider> = Arc::new(Simulated::new(Arc::clone(world), n));
        let setup = Setup {
            provider,
            rank: company.rank,
            weight: 1.0,
            rate: company.rate,
            burst: 5,
            max_in_flight: company.at_once,
            batch: company.batch,
            unit_price: 0.0,
            currency: "USD".to_owned(),
            breaker: breaker::Settings::default(),
        };
        accounts.push(Arc::new(Account::new(setup, clock.clone(), world.plan.seed ^ n as u64)));
    }
    accounts.sort_by_key(|account| account.rank);
    accounts
}

/// In whose name everything goes out.
fn organisation() -> Organisation {
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
