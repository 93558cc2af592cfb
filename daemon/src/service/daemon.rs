//! The daemon's life: every room started in its order, watched, and stopped in the opposite order within a stated time.
//!
//! Start: vault, store (recovery is part of it), providers, dispatch, doors. Stop: no new claims; what is in flight is
//! waited for; doors; store. Whatever ends the process early (a panic, a store that cannot write) ends it the same way
//! and with an error, so that systemd starts it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::logging::Logging;
use super::signals::{Asked, Signals};
use super::{accounts, alarm};
use crate::api::{self, Api, Doors, Hooks, MailDoor};
use crate::campaigns::Campaigns;
use crate::checks::{Live, Names, Surroundings};
use crate::clock::Clock;
use crate::config::{Config, Loaded, Sources, reload};
use crate::dispatch::quota::Limits;
use crate::dispatch::{Dispatcher, Settings, Shared};
use crate::failpoint::hurried;
use crate::guests::GuestBook;
use crate::monitor::{Board, Metrics};
use crate::receipts::{Desk, Elsewhere, Mailbox};
use crate::store::Store;
use crate::store::engine::{Engine, IndexStart, Options, StartReport};
use crate::vault::{RootOrigin, Vault};

/// What is in flight is waited for this long at a stop.
const DRAIN: Duration = Duration::from_secs(45);
/// While waiting, it is said this often for what.
const SAY: Duration = Duration::from_secs(3);
/// Sessions have this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// The scheduler has stopped when it was not seen for this long.
const STALLED: Duration = Duration::from_secs(10);

/// A segment of the log, in bytes, and the time between checkpoints, where the daemon was told to hurry.
const HURRIED_SEGMENT: u64 = 64 << 10;
const HURRIED_CHECKPOINT: Duration = Duration::from_millis(250);

/// Runs the daemon until it is asked to stop. `sources` is read again at SIGHUP.
pub async fn run(loaded: Loaded, sources: Sources, logging: Logging) -> anyhow::Result<()> {
    let loaded = Arc::new(loaded);
    let config = &loaded.config;
    let clock = Clock::system();
    let mut signals = Signals::listen().context("listening for signals")?;
    for warning in &loaded.warnings {
        tracing::warn!("configuration: {warning}");
    }
    let (vault, store) = open_state(config, &clock).await?;
    let panicked = watch_panics();

    let accounts = accounts::set_up(
        &config.providers,
        config.dispatch.failover_threshold,
        config.webhooks.public_url.as_deref(),
        &clock,
    )
    .context("setting up the providers")?;
    let secret: Vec<u8> = match &config.secrets.unsubscribe {
        Some(secret) => secret.expose_secret().as_bytes().to_vec(),
        None => vault.derive("unsubscribe").expose().to_vec(),
    };
    let book = GuestBook::new(store.clone(), vault);
    let receipts = Desk::new(book.clone(), clock.clone());
    let campaigns = Campaigns::new(book, &config.organisations, &secret);
    let board = Board::new(clock.now().0.unsigned_abs());
    let metrics = Arc::new(Metrics::default());
    let shared = Arc::new(Shared::new(
        campaigns,
        accounts,
        clock.clone(),
        settings(config),
        board.clone(),
        Arc::clone(&metrics),
    ));
    let (claiming, work) = (CancellationToken::new(), TaskTracker::new());
    let dispatcher =
        Dispatcher::start(Arc::clone(&shared), &work, claiming.clone()).await.context("starting dispatch")?;

    let (closing, sessions) = (CancellationToken::new(), TaskTracker::new());
    let alarm = alarm::set_up(config, &shared, &metrics, (&closing, &sessions)).context("setting up alerts")?;
    let token = config.listen.operator.as_ref().map(|listener| listener.token.clone());
    let surroundings = Surroundings {
        loaded: Arc::clone(&loaded),
        sources: sources.clone(),
        accounts: shared.accounts().to_vec(),
        names: Names::new(config.health.dns_server),
        clock: clock.clone(),
        live: Some(Live { shared: Arc::clone(&shared), started: clock.now() }),
    };
    let api = Api::new(
        &config.environment,
        clock.clone(),
        (board, Arc::clone(&metrics)),
        (dispatcher, Some(alarm), Some(surroundings)),
        token,
        (closing.clone(), sessions.clone()),
    );
    let receipts = receipts.with_fallback(Arc::clone(&shared) as Arc<dyn Elsewhere>);
    let hooks = reports(config, receipts.clone(), &shared, &metrics, &clock)?;
    let mailbox = Mailbox::new(receipts, secret, accounts::mailboxes(&config.providers));
    let door = MailDoor::new(mailbox, Arc::clone(&hooks), Arc::clone(&metrics));
    let doors = Arc::new(Doors::new(api::router(api, door), sessions.clone(), closing.clone()));
    let unix = unix_listener(config).await?;
    let socket = Arc::clone(&doors);
    sessions.spawn(async move { socket.serve_unix(unix).await });
    if let Some(listener) = &config.listen.operator {
        let tcp = TcpListener::bind(listener.address)
            .await
            .with_context(|| format!("listening on {} (listen.operator)", listener.address))?;
        tracing::info!(address = %tcp.local_addr().unwrap_or(listener.address), "the operator port is open");
        sessions.spawn(async move { doors.serve_tcp(tcp).await });
    }
    open_hooks(config, hooks, (&closing, &sessions)).await?;
    let upkeep = tokio::spawn(keep_up(store.clone(), Arc::clone(&shared), config.store.checkpoint_interval));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        socket = %config.socket.path.display(),
        environment = config.environment,
        providers = config.providers.len(),
        "ready"
    );

    let ended = watch_over(&loaded, &sources, &logging, &mut signals, &shared, panicked).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    upkeep.abort();
    claiming.cancel();
    drain(&work, &shared).await;
    closing.cancel();
    sessions.close();
    if tokio::time::timeout(GOODBYE, sessions.wait()).await.is_err() {
        tracing::warn!("{} sessions did not take their goodbye", sessions.len());
    }
    if config_owns_socket() {
        let _ = std::fs::remove_file(&config.socket.path);
    }
    let engine = store.engine().clone();
    engine.close().await.context("closing the store")?;
    tracing::info!("stopped");
    ended
}

/// Opens vault and store on threads that may block, and says what was found.
async fn open_state(config: &Config, clock: &Clock) -> anyhow::Result<(Arc<Vault>, Store)> {
    let state = config.state_dir.clone();
    make_private(&state)?;
    let credential = config.vault.root_key_file.clone();
    let (vault, report) = tokio::task::spawn_blocking({
        let state = state.clone();
        move || Vault::open(&state, credential.as_deref())
    })
    .await
    .context("opening the vault")??;
    if let RootOrigin::Created(path) = &report.root {
        tracing::warn!(
            path = %path.display(),
            "made a root key, since none was given: keep a copy elsewhere, without it nothing personal can be read"
        );
    }
    if report.erasures_finished > 0 {
        tracing::warn!("{} erasures that were interrupted are finished now", report.erasures_finished);
    }
    let wall = clock.clone();
    let key = *vault.derive("set-hash").expose();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut options = Options::new(state.join("store"), key, boot.trim().to_owned(), Arc::new(move || wall.now()));
    options.cache_bytes = config.store.cache_bytes;
    options.segment_bytes = hurried(config.store.segment_bytes, HURRIED_SEGMENT);
    options.log_cap_bytes = config.store.log_cap_bytes;
    let (engine, report) =
        tokio::task::spawn_blocking(move || Engine::open(options)).await.context("opening the store")??;
    say_start(&report);
    Ok((Arc::new(vault), Store::new(engine)))
}

/// Who files what providers report, and looks after what waits. Nobody may call where no port is configured.
fn reports(
    config: &Config,
    receipts: Desk,
    shared: &Arc<Shared>,
    metrics: &Arc<Metrics>,
    clock: &Clock,
) -> anyhow::Result<Arc<Hooks>> {
    let mut callers = Vec::new();
    if let (Some(_), Some(public)) = (config.webhooks.address, &config.webhooks.public_url) {
        callers = accounts::callers(&config.providers, &config.secrets, public).context("reading webhook secrets")?;
        for caller in callers.iter().filter(|caller| caller.keys.is_empty()) {
            tracing::warn!(provider = caller.name, "has no webhook_secret, so that its reports are not believed");
        }
    }
    Ok(Hooks::new(callers, receipts, Arc::clone(shared), Arc::clone(metrics), clock.clone()))
}

/// Opens the port for what providers report, where one is configured, and looks after reports that wait, which also come by mail.
async fn open_hooks(
    config: &Config,
    hooks: Arc<Hooks>,
    (closing, sessions): (&CancellationToken, &TaskTracker),
) -> anyhow::Result<()> {
    if let (Some(address), Some(_)) = (config.webhooks.address, &config.webhooks.public_url) {
        let tcp =
            TcpListener::bind(address).await.with_context(|| format!("listening on {address} (webhooks.listen)"))?;
        tracing::info!(address = %tcp.local_addr().unwrap_or(address), "the port for providers' reports is open");
        let doors = Doors::new(hooks.router(), sessions.clone(), closing.clone());
        sessions.spawn(async move { doors.serve_tcp(tcp).await });
    }
    let stop = closing.clone();
    sessions.spawn(async move { hooks.look_after(stop).await });
    Ok(())
}

fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
        format!("making the state folder {} (state_dir); make it, or let the daemon's user do so", folder.display())
    })
}

fn say_start(report: &StartReport) {
    if let Some(torn) = &report.torn {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            "cut off a frame that a crash did not let finish; it was never acknowledged"
        );
    }
    match &report.index {
        IndexStart::Rebuilt { why, checkpoint, damaged } => tracing::warn!(
            why,
            checkpoint = ?checkpoint,
            damaged = ?damaged,
            lsn = report.lsn,
            "the index was rebuilt from the commit log; nothing was lost"
        ),
        other => tracing::info!(index = ?other, lsn = report.lsn, replayed = report.replayed, "the store is open"),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        environment: config.environment.clone(),
        max_concurrent: config.dispatch.max_concurrent_messages as usize,
        per_campaign: config.dispatch.per_campaign_in_flight as usize,
        batch: config.dispatch.batch_size as usize,
        probe_every: config.health.interval,
        probe_limit: config.health.timeout,
        compact_after: config.store.compact_after,
        absent_after: config.dispatch.absent_after,
        per_user: per_user(&config.dispatch),
        state_dir: config.state_dir.clone(),
        min_free_bytes: config.store.min_free_bytes,
    }
}

/// What one user may begin; `None` where nothing limits it.
fn per_user(dispatch: &crate::config::Dispatch) -> Option<Limits> {
    let limit = |n: u32| if n == 0 { u64::MAX } else { u64::from(n) };
    let limits = Limits { hour: limit(dispatch.user_messages_per_hour), day: limit(dispatch.user_messages_per_day) };
    (limits.hour.min(limits.day) < u64::MAX).then_some(limits)
}

/// The socket that systemd made, else one of our own.
async fn unix_listener(config: &Config) -> anyhow::Result<UnixListener> {
    let mut given = listenfd::ListenFd::from_env();
    if let Some(listener) = given.take_unix_listener(0).context("taking the socket that systemd handed over")? {
        listener.set_nonblocking(true).context("taking the socket that systemd handed over")?;
        return UnixListener::from_std(listener).context("taking the socket that systemd handed over");
    }
    Ok(api::unix(&config.socket.path, config.socket.mode).await?)
}

/// Whether the socket file is ours to remove: not when systemd made it.
fn config_owns_socket() -> bool {
    std::env::var_os("LISTEN_FDS").is_none()
}

/// Tells the first panic of any thread. The default hook prints it; this one also ends the process in good order.
fn watch_panics() -> watch::Receiver<Option<String>> {
    let (told, panicked) = watch::channel(None);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        tracing::error!("a task panicked: {info}");
        told.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert_with(|| info.to_string());
            new
        });
    }));
    panicked
}

/// Waits for the end: a signal, a panic, or a store that cannot write. Feeds the watchdog meanwhile.
async fn watch_over(
    loaded: &Loaded,
    sources: &Sources,
    logging: &Logging,
    signals: &mut Signals,
    shared: &Shared,
    mut panicked: watch::Receiver<Option<String>>,
) -> anyhow::Result<()> {
    let mut failure = shared.failure();
    let every = sd_notify::watchdog_enabled().map_or(Duration::from_secs(10), |limit| limit / 3);
    let mut feed = tokio::time::interval(every);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => {
                    tracing::info!("asked to stop");
                    return Ok(());
                }
                Asked::Reload => reread(loaded, sources, logging, shared),
            },
            Ok(()) = panicked.changed() => {
                let what = panicked.borrow().clone().unwrap_or_default();
                return Err(anyhow!("a task panicked: {what}"));
            }
            Ok(()) = failure.changed() => {
                let why = failure.borrow().clone().unwrap_or_default();
                return Err(anyhow!("{why}"));
            }
            _ = feed.tick() => {
                let failed = shared.store().engine().health().failed;
                if let Some(why) = failed {
                    return Err(anyhow!("the store has stopped: {why}"));
                }
                if shared.idle_for() < STALLED {
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                } else {
                    tracing::error!("the scheduler was not seen for {:?}: the watchdog is not fed", shared.idle_for());
                }
            }
        }
    }
}

/// Reads the configuration again and does what can be done while running.
fn reread(loaded: &Loaded, sources: &Sources, logging: &Logging, shared: &Shared) {
    let new = match Config::load(sources) {
        Ok(new) => new,
        Err(errors) => {
            for error in errors {
                tracing::error!("the configuration was not reloaded: {error}");
            }
            return;
        }
    };
    if let Err(error) = logging.set_level(new.config.log.level) {
        tracing::error!(%error, "the log level could not be changed");
    }
    let changes = reload(loaded, &new);
    let names = |keys: &[crate::config::Key]| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    shared.set_organisations(&new.config.organisations);
    tracing::info!(applied = names(&changes.applied), "the configuration was read again");
    if !changes.needs_restart.is_empty() {
        tracing::warn!(keys = names(&changes.needs_restart), "these changes need a restart");
    }
}

/// Waits for what is in flight, and says so while it waits.
async fn drain(work: &TaskTracker, shared: &Shared) {
    work.close();
    let begun = std::time::Instant::now();
    while begun.elapsed() < DRAIN {
        if tokio::time::timeout(SAY, work.wait()).await.is_ok() {
            return;
        }
        let in_flight: Vec<String> = shared
            .provider_rows()
            .into_iter()
            .filter(|row| row.in_flight > 0)
            .map(|row| format!("{} requests at {}", row.in_flight, row.name))
            .collect();
        let what = if in_flight.is_empty() { "outcomes to be written".to_owned() } else { in_flight.join(", ") };
        tracing::info!("stopping: waiting for {what}");
    }
    tracing::warn!("stopping after {DRAIN:?} with requests under way: their outcome will be in doubt");
}

/// Checkpoints, as often as configured.
async fn keep_up(store: Store, shared: Arc<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(hurried(every, HURRIED_CHECKPOINT)).await;
        match store.engine().checkpoint().await {
            Ok(report) => tracing::info!(rows = report.rows, bytes = report.bytes, "wrote a checkpoint"),
            Err(error) => shared.warn("store", format!("no checkpoint could be written: {error}")),
        }
    }
}

/// Where the configuration is looked for when nobody says.
pub fn default_config() -> PathBuf {
    PathBuf::from("/etc/usher/usherd.toml")
}
