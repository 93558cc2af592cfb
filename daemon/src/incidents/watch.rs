//! The watch: takes readings each second and whenever something turned, asks the engine, makes what it decided durable together with the
//! notices that follow from it, and hands these to the notifier. So a crash neither repeats a notice nor forgets one.
//!
//! A store that takes nothing, or hangs, does not silence it: it goes on from memory, and what it would have kept it tells at once, by all channels
//! and the last resort.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use usher_common::model::{AlertPage, AlertRow, AlertState, MaintenanceRow, SilenceRow, Timestamp};
use usher_common::protocol::{Level, Row, Topic};

use super::cover::{Cover, LONGEST_SILENCE, Silence};
use super::engine::{AlertKey, AlertRecord, Engine, GroupRecord, Step, millis};
use super::notifier::{Notifier, STALLED};
use super::outbox::Letter;
use crate::clock::Clock;
use crate::config::Alerting;
use crate::config::rule::Test;
use crate::monitor::{Board, Reading};
use crate::store::{AuditEntry, By, Error, Store, WatchWrite, Watched};

/// Time between two looks while nothing turns.
const LOOK: Duration = Duration::from_secs(1);
/// Somebody who takes alerts over has them for so long.
const ACKNOWLEDGED: Duration = Duration::from_mins(30);

/// Where readings come from.
pub type Source = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

struct Inner {
    engine: Engine,
    cover: Cover,
    silences: u64,
}

/// The watch.
pub struct Watch {
    inner: Mutex<Inner>,
    /// One step is decided and written at a time.
    turn: tokio::sync::Mutex<()>,
    source: Source,
    store: Store,
    clock: Clock,
    board: Board,
    page: Vec<String>,
    ticket: Vec<String>,
    notifier: Arc<Notifier>,
    wake: Arc<Notify>,
}

/// Why something about alerts cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such thing.
    #[error("there is no {what} `{name}`: {remedy}")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Where to look.
        remedy: &'static str,
    },
    /// It cannot be so.
    #[error("{0}")]
    Refused(String),
    /// It could not be kept.
    #[error("it could not be kept: {0}")]
    Store(#[from] Error),
}

impl Watch {
    /// A watch that goes on from what was kept.
    pub fn new(
        alerting: &Alerting,
        (store, clock, board): (Store, Clock, Board),
        (source, wake): (Source, Arc<Notify>),
        notifier: Arc<Notifier>,
    ) -> Result<Arc<Self>, Error> {
        let mut engine = Engine::new(alerting.rules.clone());
        let alerts: Vec<(String, AlertRecord)> = store.watched(Watched::Alert)?;
        let named = |(name, record): (String, AlertRecord)| {
            let (rule, object) = name.split_once('\u{0}')?;
            Some(((rule.to_owned(), object.to_owned()), record))
        };
        let groups: Vec<(String, GroupRecord)> = store.watched(Watched::Group)?;
        engine.resume(alerts.into_iter().filter_map(named).collect(), groups);
        let silences: Vec<(String, Silence)> = store.watched(Watched::Silence)?;
        let last = silences.iter().map(|(_, silence)| silence.id).max().unwrap_or(0);
        let silences: Vec<Silence> = silences.into_iter().map(|(_, silence)| silence).collect();
        let cover = Cover { silences, windows: alerting.windows.clone() };
        for (_, letter) in store.watched::<Letter>(Watched::Notice)? {
            notifier.take(letter);
        }
        Ok(Arc::new(Self {
            inner: Mutex::new(Inner { engine, cover, silences: last }),
            turn: tokio::sync::Mutex::default(),
            source,
            store,
            clock,
            board,
            page: alerting.page.clone(),
            ticket: alerting.ticket.clone(),
            notifier,
            wake,
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A step leaves it whole, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one time of all decisions: it goes with the monotonic clock, so that one that was set moves no alert.
    fn now(&self) -> Timestamp {
        self.clock.at(self.clock.mono())
    }

    /// Watches until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Takes one look, and tells what follows from it.
    async fn look(&self) {
        let _turn = self.turn.lock().await;
        let readings = (self.source)();
        let now = self.now();
        let (step, letters, write) = {
            let mut inner = self.inner();
            let before = inner.cover.silences.len();
            inner.cover.silences.retain(|silence| now < silence.until);
            let over = before != inner.cover.silences.len();
            let Inner { engine, cover, .. } = &mut *inner;
            let step = engine.step(now, &readings, cover);
            let letters: Vec<Letter> = step.notices.iter().map(|notice| self.letter(notice)).collect();
            let write = Self::write(engine, &step, &letters);
            if over {
                tracing::info!("a silence is over");
            }
            (step, letters, write)
        };
        self.say(&step);
        if !write.is_empty() {
            let by = usherd("");
            let kept = tokio::time::timeout(STALLED, self.store.keep_watched(&by, write, Vec::new())).await;
            let why = match kept {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                // It may become durable yet; then a restart tells once more what was told meanwhile.
                Err(_) => Some(format!("the store has not answered for {} s", STALLED.as_secs())),
            };
            if let Some(why) = why {
                tracing::error!(why, "alerts could not be kept; they are told from memory");
                for letter in letters {
                    self.notifier.tell_unkept(letter);
                }
                self.publish(now);
                return;
            }
        }
        for letter in letters {
            self.notifier.take(letter);
        }
        self.publish(now);
    }

    fn letter(&self, notice: &super::Notice) -> Letter {
        let route = if notice.priority.pages() { &self.page } else { &self.ticket };
        Letter::new(notice.clone(), route)
    }

    fn write(engine: &Engine, step: &Step, letters: &[Letter]) -> WatchWrite {
        let mut write = WatchWrite::default();
        for key in &step.alerts {
            let name = format!("{}\u{0}{}", key.0, key.1);
            match engine.alert(key) {
                Some(record) => write.put(Watched::Alert, &name, record),
                None => write.remove(Watched::Alert, &name),
            }
        }
        for rule in &step.groups {
            if let Some(group) = engine.group(rule) {
                write.put(Watched::Group, rule, group);
            }
        }
        for letter in letters {
            write.put(Watched::Notice, &letter.notice.key, letter);
        }
        write
    }

    /// Says in the log what turned.
    fn say(&self, step: &Step) {
        let inner = self.inner();
        for (key, state) in &step.turned {
            let (level, word) = match state {
                AlertState::Firing => (Level::Warning, "fires"),
                AlertState::Resolved => (Level::Info, "is over"),
                _ => continue,
            };
            let detail = inner.engine.alert(key).map_or("", |alert| alert.detail.as_str());
            let subject = if key.1.is_empty() { "daemon" } else { key.1.as_str() };
            let because = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            self.board.tell(self.clock.now(), level, subject, format!("alert {} {word}{because}", key.0));
        }
    }

    fn publish(&self, now: Timestamp) {
        let rows = self.rows(now).into_iter().map(|row| Row::Alert(Box::new(row))).collect();
        self.board.publish(Topic::Alerts, rows);
    }

    fn rows(&self, now: Timestamp) -> Vec<AlertRow> {
        let inner = self.inner();
        let mut rows: Vec<AlertRow> =
            inner.engine.alerts().filter_map(|(key, alert)| inner.row(key, alert, now)).collect();
        drop(inner);
        for row in rows.iter_mut().filter(|row| row.told) {
            let (taken, last_resort) = self.notifier.reached(&row.rule, row.since);
            row.told = taken;
            if !taken && last_resort {
                "nobody could be told: see the file ALERT".clone_into(&mut row.quiet);
            }
        }
        rows.sort_by_key(|row| (row.priority, row.since));
        rows
    }

    /// Everything about alerts.
    pub fn page(&self) -> AlertPage {
        let now = self.now();
        let alerts = self.rows(now);
        let inner = self.inner();
        let silence = |silence: &Silence| SilenceRow {
            id: silence.id,
            rule: silence.rule.clone(),
            object: silence.object.clone(),
            by: silence.by.clone(),
            reason: silence.reason.clone(),
            until: silence.until,
        };
        let window = |window: &crate::config::MaintenanceWindow| MaintenanceRow {
            name: window.name.clone(),
            until: window.ends(now),
            next: window.next(now),
        };
        AlertPage {
            alerts,
            silences: inner.cover.silences.iter().map(silence).collect(),
            windows: inner.cover.windows.iter().map(window).collect(),
            channels: self.notifier.rows(&self.page),
        }
    }

    /// Takes the alerts of a rule over.
    pub async fn acknowledge(&self, by: &By, rule: &str) -> Result<String, WatchError> {
        let _turn = self.turn.lock().await;
        let until = self.now().plus_millis(millis(ACKNOWLEDGED));
        let group = {
            let mut inner = self.inner();
            if !inner.engine.fires(rule) {
                return Err(missing("firing alert", rule, "usher alerts lists those that fire"));
            }
            inner.engine.acknowledge(rule, Some(until));
            inner.engine.group(rule).cloned().unwrap_or_default()
        };
        let mut write = WatchWrite::default();
        write.put(Watched::Group, rule, &group);
        self.store.keep_watched(by, write, vec![act("alert.acknowledge", rule, "")]).await?;
        self.publish(self.now());
        Ok(format!(
            "{rule} is yours until {}; then it is told again if it still fires",
            crate::clock::utc(until, self.now())
        ))
    }

    /// Keeps alerts from being told for a time.
    pub async fn silence(&self, by: &By, rule: &str, object: &str, span: Duration) -> Result<String, WatchError> {
        if span.is_zero() || span > LONGEST_SILENCE {
            let hours = LONGEST_SILENCE.as_secs() / 3_600;
            return Err(WatchError::Refused(format!(
                "a silence lasts from a second to {hours} hours; what is to be silent for good is a rule to be changed"
            )));
        }
        if by.reason.trim().is_empty() {
            return Err(WatchError::Refused("a silence needs a reason: say it with --reason".to_owned()));
        }
        let _turn = self.turn.lock().await;
        let now = self.now();
        let silence = {
            let mut inner = self.inner();
            if !inner.engine.rules().iter().any(|one| super::cover::fits(rule, &one.name)) {
                return Err(missing("rule", rule, "usher alerts --rules lists them; * stands for anything"));
            }
            inner.silences += 1;
            Silence {
                id: inner.silences,
                rule: rule.to_owned(),
                object: object.to_owned(),
                by: by.actor.clone(),
                reason: by.reason.clone(),
                since: now,
                until: now.plus_millis(millis(span)),
            }
        };
        let mut write = WatchWrite::default();
        write.put(Watched::Silence, &silence.id.to_string(), &silence);
        let detail = format!("{} of {object} until {}", rule, crate::clock::utc(silence.until, now));
        self.store.keep_watched(by, write, vec![act("silence.add", &silence.id.to_string(), &detail)]).await?;
        let told = format!("silence {}: {detail}", silence.id);
        self.inner().cover.silences.push(silence);
        Ok(told)
    }

    /// Ends a silence.
    pub async fn end_silence(&self, by: &By, id: u64) -> Result<String, WatchError> {
        let _turn = self.turn.lock().await;
        if !self.inner().cover.silences.iter().any(|silence| silence.id == id) {
            return Err(missing("silence", &id.to_string(), "usher silence list"));
        }
        let mut write = WatchWrite::default();
        write.remove(Watched::Silence, &id.to_string());
        self.store.keep_watched(by, write, vec![act("silence.end", &id.to_string(), "")]).await?;
        self.inner().cover.silences.retain(|silence| silence.id != id);
        self.wake.notify_one();
        Ok(format!("silence {id} is over; what fires is told"))
    }

    /// Whoever tells.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }
}

impl Inner {
    fn row(&self, key: &AlertKey, alert: &AlertRecord, now: Timestamp) -> Option<AlertRow> {
        let rule = self.engine.rules().iter().find(|rule| rule.name == key.0)?;
        let group = self.engine.group(&key.0);
        let subject = if key.1.is_empty() { "the daemon" } else { key.1.as_str() };
        let name = key.1.split_once(' ').map_or(key.1.as_str(), |(_, name)| name);
        let quiet = if alert.covered {
            "silenced, or in a maintenance window"
        } else if alert.inhibited {
            "something worse speaks for it"
        } else {
            ""
        };
        let threshold = match &rule.test {
            Test::Reading { threshold, .. } => *threshold,
            Test::Burn { factor, .. } => *factor,
        };
        Some(AlertRow {
            rule: key.0.clone(),
            object: key.1.clone(),
            state: alert.state,
            priority: rule.priority,
            summary: rule.summary.replace("{object}", subject),
            detail: alert.detail.clone(),
            action: rule.action.replace("NAME", name),
            value: alert.value,
            threshold,
            since: alert.fired.unwrap_or(alert.since),
            told: group.is_some_and(|group| group.told.contains(&key.1)),
            quiet: quiet.to_owned(),
            acknowledged_until: group.and_then(|group| group.acknowledged).filter(|until| *until > now),
        })
    }
}

pub(super) fn usherd(reason: &str) -> By {
    By { actor: "usherd".to_owned(), reason: reason.to_owned(), request_id: String::new() }
}

fn missing(what: &'static str, name: &str, remedy: &'static str) -> WatchError {
    WatchError::Missing { what, name: name.to_owned(), remedy }
}

fn act(act: &str, object: &str, detail: &str) -> AuditEntry {
    AuditEntry::Act { act: act.to_owned(), object: object.to_owned(), detail: detail.to_owned() }
}
