//! What the parts of dispatch share: the room they meet in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use usher_common::model::{CampaignId, Channel, Health, ProviderRow, Target, Timestamp};
use usher_common::protocol::Level;

use super::account::{Account, Turn};
use super::controls::{self, Controls};
use super::quota::{Limits, Quotas, Room};
use super::{Dice, Hold};
use crate::campaigns::compose::Kit;
use crate::campaigns::{CampaignError, Campaigns};
use crate::clock::Clock;
use crate::monitor::{Board, Metrics, Window};
use crate::store::{CampaignRecord, ClaimId, Error, Lane, OpenIntent, Payer, Store};

/// How dispatch is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment's name, for the overview.
    pub environment: String,
    /// Messages in flight at once.
    pub max_concurrent: usize,
    /// The share of that one campaign may take.
    pub per_campaign: usize,
    /// Messages claimed together.
    pub batch: usize,
    /// Time between probes of a healthy provider.
    pub probe_every: Duration,
    /// Time after which a probe has failed.
    pub probe_limit: Duration,
    /// How long a campaign is over before its messages are put together.
    pub compact_after: Duration,
    /// The state folder.
    pub state_dir: std::path::PathBuf,
    /// How old an attempt in doubt is before its absence from a complete list proves that it was not taken; zero: no list is
    /// looked into.
    pub absent_after: Duration,
    /// Most messages that one user may begin; `None` for no limit.
    pub per_user: Option<Limits>,
    /// Free space on the disk under which nothing new is taken in, in bytes.
    pub min_free_bytes: u64,
}

/// Where a lane stands for the planner.
#[derive(Debug, Clone, Default)]
pub(super) struct LaneState {
    /// The organisation, for fairness.
    pub(super) organisation: u64,
    /// Whose quotas its messages are charged to.
    pub(super) payers: Arc<[Payer]>,
    /// Messages claimed and not yet through.
    pub(super) in_flight: usize,
    /// Nothing was found at the last look, and nothing came since.
    pub(super) empty: bool,
    /// How often something came to it, or left it.
    pub(super) touched: u64,
    /// Why it cannot send now, and until when at least.
    pub(super) hold: Option<Hold>,
    /// When something last went out or came of it, or began to be bound no longer.
    pub(super) moved: Duration,
}

impl LaneState {
    fn touch(&mut self) {
        self.empty = false;
        self.touched += 1;
    }

    fn found_empty(&mut self, touched: u64, now: Duration) {
        self.empty = self.touched == touched;
        self.hold = None;
        self.moved = now;
    }
}

#[derive(Default)]
struct Inner {
    lanes: BTreeMap<Lane, LaneState>,
    /// Campaigns that are scheduled: their hour and their channels.
    due: BTreeMap<CampaignId, (Timestamp, Vec<Channel>)>,
    kits: HashMap<CampaignId, Arc<Kit>>,
    /// Lanes whose messages could go and do not.
    still: Vec<Lane>,
    /// Messages in doubt, and since when the first of them is.
    doubt: Option<(u64, Timestamp)>,
    /// Campaigns of which something changed since the publisher and the director looked.
    to_publish: BTreeSet<CampaignId>,
    to_direct: BTreeSet<CampaignId>,
}

/// Figures of all providers together.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Accepted messages a second.
    pub rate: f64,
    /// Failed attempts in percent.
    pub error_rate_percent: f64,
    /// 95th percentile of an attempt, in milliseconds.
    pub p95_ms: Option<u32>,
    /// Accepted in each of the last 60 seconds.
    pub history: Vec<u32>,
}

/// What the parts of dispatch share.
pub struct Shared {
    pub(super) campaigns: Campaigns,
    pub(super) accounts: Vec<Arc<Account>>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) board: Board,
    pub(super) metrics: Arc<Metrics>,
    pub(super) permits: Arc<Semaphore>,
    /// Wakes the planner.
    pub(super) wake: Notify,
    /// Wakes the director and the publisher.
    pub(super) stir: Notify,
    /// Wakes whoever watches for alerts.
    alarm: Arc<Notify>,
    pub(super) clients: watch::Sender<u32>,
    pub(super) quotas: Arc<Quotas>,
    inner: Mutex<Inner>,
    controls: RwLock<Controls>,
    total: Mutex<Window>,
    dice: Mutex<Dice>,
    failed: watch::Sender<Option<String>>,
    /// When the planner was last seen, in milliseconds of monotonic time.
    seen: AtomicU64,
}

impl Shared {
    /// A room for these accounts and campaigns.
    pub fn new(
        campaigns: Campaigns,
        accounts: Vec<Arc<Account>>,
        clock: Clock,
        settings: Settings,
        board: Board,
        metrics: Arc<Metrics>,
    ) -> Self {
        // Chance only spreads messages among providers; the moment is seed enough.
        let dice = Mutex::new(Dice::seeded(clock.now().0 as u64));
        let permits = Arc::new(Semaphore::new(settings.max_concurrent));
        Self {
            campaigns,
            accounts,
            clock,
            settings,
            board,
            metrics,
            permits,
            wake: Notify::new(),
            stir: Notify::new(),
            alarm: Arc::default(),
            clients: watch::Sender::new(0),
            quotas: Arc::default(),
            inner: Mutex::default(),
            controls: RwLock::default(),
            total: Mutex::default(),
            dice,
            failed: watch::Sender::new(None),
            seen: AtomicU64::new(0),
        }
    }

    /// Campaigns.
    pub fn campaigns(&self) -> &Campaigns {
        &self.campaigns
    }

    /// Takes these organisations over; letters that are written from now on are theirs.
    pub fn set_organisations(&self, organisations: &[crate::config::Organisation]) {
        self.campaigns.set_organisations(organisations);
        self.inner().kits.clear();
    }

    /// Why nothing new is taken in: what is left of disk and log is kept for what is under way, whose outcomes must have
    /// a place. `None` while there is room.
    pub fn no_room(&self) -> Option<String> {
        let stat = rustix::fs::statvfs(&self.settings.state_dir).ok();
        let free = stat.map(|stat| stat.f_bavail * stat.f_frsize);
        let least = self.settings.min_free_bytes;
        if let Some(free) = free.filter(|free| *free < least) {
            let (free, least) = (free >> 20, least >> 20);
            return Some(format!("{free} MiB are free on the disk of the state folder, and {least} MiB are kept free"));
        }
        let health = self.store().engine().health();
        let most = health.log_cap_bytes / 10 * 9;
        (health.log_bytes > most).then(|| {
            let (has, cap) = (health.log_bytes >> 20, health.log_cap_bytes >> 20);
            format!("the commit log has {has} of the {cap} MiB that store.log_cap_mib allows")
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.campaigns.book().store()
    }

    /// Provider accounts, in the order of their ranks.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    /// Counts a client in or out.
    pub fn count_client(&self, comes: bool) {
        self.clients.send_modify(|n| *n = if comes { *n + 1 } else { n.saturating_sub(1) });
        self.stir.notify_waiters();
    }

    /// The clock of all of this.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The board that all of this is put on.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Wakes whoever watches for alerts, whenever something turned.
    pub fn alarm(&self) -> Arc<Notify> {
        Arc::clone(&self.alarm)
    }

    /// Why dispatch cannot go on, as soon as that is so.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    /// How long the planner was not seen.
    pub fn idle_for(&self) -> Duration {
        self.clock.mono().saturating_sub(Duration::from_millis(self.seen.load(Ordering::Relaxed)))
    }

    pub(super) fn planner_is_alive(&self) {
        self.seen.store(self.clock.mono().as_millis() as u64, Ordering::Relaxed);
    }

    /// Tells of something that somebody should look at.
    pub fn warn(&self, object: &str, text: String) {
        self.board.tell(self.clock.now(), Level::Warning, object, text);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Maps are whole after every statement, so a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What operators keep in force.
    pub(super) fn controls(&self) -> RwLockReadGuard<'_, Controls> {
        self.controls.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn controls_mut(&self) -> RwLockWriteGuard<'_, Controls> {
        self.controls.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages these may begin now.
    pub(super) fn quota_room(&self, payers: &[Payer], now: Timestamp) -> Result<Room, Error> {
        self.quotas.room(self.store(), &self.limited(payers), now)
    }

    /// Those of these payers that have limits, with them.
    pub(super) fn limited(&self, payers: &[Payer]) -> Vec<(Payer, Limits)> {
        let limited = payers.iter().filter_map(|payer| {
            let limits = match payer {
                Payer::User(_) => self.settings.per_user?,
                Payer::Organisation(name) => {
                    let limits = self.campaigns.organisation(name).ok()?.tier.limits()?;
                    let (hour, day) = (u64::from(limits.messages_per_hour), u64::from(limits.messages_per_day));
                    Limits { hour, day }
                }
            };
            Some((payer.clone(), limits))
        });
        limited.collect()
    }

    /// Nothing may be sent any more: what was sent could not be recorded.
    pub(super) fn fail(&self, why: String) {
        self.permits.close();
        self.board.tell(self.clock.now(), Level::Error, "store", why.clone());
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(why);
            first
        });
        self.alarm.notify_one();
    }

    /// Something of a campaign changed that is to be looked at and shown.
    pub fn look(&self, campaign: CampaignId) {
        {
            let mut inner = self.inner();
            inner.to_publish.insert(campaign);
            inner.to_direct.insert(campaign);
        }
        self.stir.notify_waiters();
        self.wake.notify_one();
    }

    /// Something came to a lane, or left it.
    pub fn touched(&self, lane: Lane) {
        if let Some(state) = self.inner().lanes.get_mut(&lane) {
            state.touch();
        }
        self.look(lane.campaign);
    }

    /// Lets go of claims on messages of a lane, which is not empty then.
    pub(super) fn let_go(&self, lane: Lane, claims: &[ClaimId]) {
        if !claims.is_empty() {
            self.store().release(claims);
            self.lane(lane, LaneState::touch);
        }
    }

    /// Nothing was found in a lane by a look that began when it was touched so often; what came meanwhile is still there.
    pub(super) fn found_empty(&self, lane: Lane, touched: u64) {
        let now = self.clock.mono();
        self.lane(lane, |state| state.found_empty(touched, now));
    }

    pub(super) fn take_to_publish(&self) -> BTreeSet<CampaignId> {
        std::mem::take(&mut self.inner().to_publish)
    }

    pub(super) fn take_to_direct(&self) -> BTreeSet<CampaignId> {
        std::mem::take(&mut self.inner().to_direct)
    }

    /// Opens a campaign's lanes, or closes them.
    pub(super) fn set_lanes(&self, campaign: CampaignId, record: &CampaignRecord, open: bool) {
        let channels = &record.channels;
        let organisation = controls::organisation(&record.organisation);
        let mut inner = self.inner();
        for &channel in channels {
            let lane = Lane { campaign, channel };
            if open {
                inner.lanes.entry(lane).or_insert_with(|| {
                    let payers = record.payers().into();
                    LaneState { organisation, payers, moved: self.clock.mono(), ..LaneState::default() }
                });
            } else {
                inner.lanes.remove(&lane);
            }
        }
        if !open {
            inner.kits.remove(&campaign);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Notes a scheduled campaign's hour and channels; `None` when it is not scheduled any more.
    pub(super) fn set_due(&self, campaign: CampaignId, due: Option<(Timestamp, &[Channel])>) {
        let mut inner = self.inner();
        match due {
            Some((at, channels)) if inner.due.get(&campaign).is_none_or(|known| known.0 != at) => {
                inner.due.insert(campaign, (at, channels.to_vec()));
            }
            Some(_) => {}
            None => {
                inner.due.remove(&campaign);
            }
        }
    }

    /// Lanes that stand still, as the watchdog found them.
    pub(super) fn note_still(&self, still: Vec<Lane>) {
        self.inner().still = still;
        self.alarm.notify_one();
    }

    /// Lanes whose messages could go, and of which nothing came for a minute.
    pub fn still(&self) -> Vec<Lane> {
        self.inner().still.clone()
    }

    /// What is in doubt now, as the settler found it.
    pub(super) fn note_doubt(&self, open: &[OpenIntent]) {
        let oldest = open.iter().map(|one| one.intent.started).min();
        self.inner().doubt = oldest.map(|oldest| (open.len() as u64, oldest));
    }

    /// How many messages are in doubt, and since when the first of them; `None` where none is.
    pub fn doubt(&self) -> Option<(u64, Timestamp)> {
        self.inner().doubt
    }

    /// Whether a campaign of this channel runs, or is due `within` from now.
    pub(super) fn expects_traffic(&self, channel: Channel, within: Duration) -> bool {
        let soon = self.clock.now().plus_millis(within.as_millis() as i64);
        let inner = self.inner();
        inner.lanes.keys().any(|lane| lane.channel == channel)
            || inner.due.values().any(|(at, channels)| *at <= soon && channels.contains(&channel))
    }

    pub(super) fn lanes(&self) -> Vec<(Lane, LaneState)> {
        self.inner().lanes.iter().map(|(lane, state)| (*lane, state.clone())).collect()
    }

    pub(super) fn lane(&self, lane: Lane, change: impl FnOnce(&mut LaneState)) {
        if let Some(state) = self.inner().lanes.get_mut(&lane) {
            change(state);
        }
    }

    /// Everything that the letters of a campaign share, made once.
    pub(super) fn kit(&self, campaign: CampaignId) -> Result<Arc<Kit>, CampaignError> {
        if let Some(kit) = self.inner().kits.get(&campaign) {
            return Ok(Arc::clone(kit));
        }
        let kit = Arc::new(self.campaigns.kit(campaign)?);
        self.inner().kits.insert(campaign, Arc::clone(&kit));
        Ok(kit)
    }

    /// Chance for one route.
    pub(super) fn throw(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }

    /// Tells of a breaker that turned, and lets the planner see whether that changes anything.
    pub(super) fn turned(&self, account: &Account, turn: &Turn) {
        use usher_common::model::BreakerState;
        let name = account.provider.name();
        let level = if turn.to == BreakerState::Open { Level::Error } else { Level::Info };
        let text = match turn.to {
            BreakerState::Closed => "breaker closed: it carries its whole share again".to_owned(),
            BreakerState::Open => format!("breaker opened: {}; {}", turn.why, self.standby(account)),
            BreakerState::Recovering => "breaker recovering: it answers again, and takes a tenth at first".to_owned(),
            _ => format!("breaker {}: a probe first, then a few messages", turn.to),
        };
        self.board.tell(self.clock.now(), level, format!("provider {name}"), text);
        self.metrics.breaker(name, matches!(turn.to, BreakerState::Open | BreakerState::HalfOpen));
        self.wake.notify_one();
        self.alarm.notify_one();
    }

    fn standby(&self, broken: &Account) -> String {
        let next = self.accounts.iter().find(|a| {
            a.channel() == broken.channel() && a.provider.name() != broken.provider.name() && self.carries(a)
        });
        match next {
            Some(account) => format!("{} goes by {} now", broken.channel(), account.provider.name()),
            None => format!("no standby: {} waits", broken.channel()),
        }
    }

    pub(super) fn count_attempts(&self, accepted: u32, failed: u32, latency: Duration) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        total.record(self.clock.mono(), accepted, failed, latency);
    }

    /// Figures of all providers together.
    pub fn totals(&self) -> Totals {
        let figures = self.total.lock().unwrap_or_else(PoisonError::into_inner).figures(self.clock.mono());
        Totals {
            rate: figures.rate,
            error_rate_percent: figures.error_rate_percent,
            p95_ms: figures.p95_ms,
            history: figures.history,
        }
    }

    /// Providers as consoles show them.
    pub fn provider_rows(&self) -> Vec<ProviderRow> {
        let controls = self.controls();
        let rows = self.accounts.iter().map(|account| {
            let mut row = account.row();
            row.controls = controls.over(&Target::Provider(row.name.clone())).cloned().collect();
            if row.health == Health::Ok && !controls.steering(&row.name).is_free() {
                row.health = Health::Warning;
            }
            row
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_a_lane_is_looked_at_is_not_taken_for_nothing() {
        let mut lane = LaneState::default();
        lane.touch();
        let looked = lane.touched;
        lane.touch();
        lane.found_empty(looked, Duration::ZERO);
        assert!(!lane.empty, "it came after the look had begun");
        lane.found_empty(lane.touched, Duration::ZERO);
        assert!(lane.empty);
    }
}
