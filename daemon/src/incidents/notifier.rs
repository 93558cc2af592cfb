//! The notifier: carries letters to alert channels, at once and again, until somebody has them. Each try is a task of its own, so that a
//! channel that hangs delays no other. What a channel took is durable before it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use usher_common::model::{AlertChannelRow, AlertState, AlertTrial, Priority, Timestamp};
use usher_common::protocol::Level;

use super::canary::{Daily, is_dead};
use super::channel::{AlertLine, Answer};
use super::notice::{Notice, NoticeAlert, Reason};
use super::outbox::{Due, Letter};
use super::render;
use super::watch::usherd;
use crate::clock::Clock;
use crate::monitor::{Board, Metrics, Reading, Readings};
use crate::store::{Store, WatchWrite, Watched};

/// Letters are looked through at least this often.
const LOOK: Duration = Duration::from_secs(1);
/// A notice that waits for longer has nobody who hears it, in milliseconds.
const BEHIND: i64 = 60_000;
/// A store that has not kept something after this is stalled: nobody waits for it who has something to tell.
pub(super) const STALLED: Duration = Duration::from_secs(2);
/// Whether the daily test is due is asked this often.
const DAILY: Duration = Duration::from_secs(10);
/// A letter that is done is kept for so long.
const KEPT: i64 = 7 * 86_400_000;

#[derive(Default)]
struct Inner {
    letters: BTreeMap<String, Letter>,
    /// Tries under way, by letter and way.
    trying: BTreeSet<(String, usize)>,
    /// Per channel: when it took something, and what it said when it did not.
    said: BTreeMap<String, (Option<Timestamp>, String)>,
}

/// The notifier.
pub struct Notifier {
    lines: Vec<Arc<AlertLine>>,
    began: Timestamp,
    inner: Mutex<Inner>,
    /// One row is written at a time, as its letter is by then: an older copy must not come to lie over a newer one.
    writing: tokio::sync::Mutex<()>,
    come: Notify,
    place: String,
    state_dir: PathBuf,
    store: Store,
    clock: Clock,
    board: Board,
    metrics: Arc<Metrics>,
}

impl Notifier {
    /// A notifier over these channels; `place` is what this installation is called.
    pub fn new(
        lines: Vec<AlertLine>,
        (place, state_dir): (&str, PathBuf),
        (store, clock, board): (Store, Clock, Board),
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lines: lines.into_iter().map(Arc::new).collect(),
            began: clock.at(clock.mono()),
            inner: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            come: Notify::new(),
            place: place.to_owned(),
            state_dir,
            store,
            clock,
            board,
            metrics,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Maps are whole after every statement, so a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.at(self.clock.mono())
    }

    /// Takes a letter that is durable; one that it has is not taken twice.
    pub fn take(&self, letter: Letter) {
        self.inner().letters.entry(letter.notice.key.clone()).or_insert(letter);
        self.come.notify_one();
    }

    /// Tells what could not be kept: by every channel once, and by the last resort at once.
    pub fn tell_unkept(&self, mut letter: Letter) {
        letter.to_all = true;
        self.last_resort(&letter.notice);
        letter.last_resort = Some(self.now());
        self.take(letter);
    }

    /// Carries until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.set_off();
            let next = self.inner().letters.values().filter_map(|letter| letter.next(self.now())).min();
            let wait = next
                .map_or(LOOK, |at| Duration::from_millis(at.millis_since(self.now()).max(0).unsigned_abs()).min(LOOK));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.come.notified() => {}
                () = tokio::time::sleep(wait.max(Duration::from_millis(5))) => {}
            }
        }
    }

    /// Begins every try that is due, and lets old letters go.
    fn set_off(self: &Arc<Self>) {
        let now = self.now();
        let mut tries = Vec::new();
        let mut resorts = Vec::new();
        let mut gone = Vec::new();
        {
            let mut inner = self.inner();
            let Inner { letters, trying, .. } = &mut *inner;
            for (key, letter) in letters.iter_mut() {
                if letter.is_done(now) && now.millis_since(letter.notice.at) > KEPT {
                    gone.push(key.clone());
                }
                for due in letter.due(now) {
                    match due {
                        Due::Try(place) => {
                            let Some(way) = letter.ways.get(place) else { continue };
                            let line = self.lines.iter().find(|line| line.name == way.channel).cloned();
                            if let Some(line) = line
                                && trying.insert((key.clone(), place))
                            {
                                tries.push((key.clone(), place, line, letter.notice.clone()));
                            }
                        }
                        Due::LastResort => {
                            letter.last_resort = Some(now);
                            resorts.push((key.clone(), letter.notice.clone()));
                        }
                    }
                }
            }
            for key in &gone {
                letters.remove(key);
            }
        }
        for (key, notice) in resorts {
            self.last_resort(&notice);
            let this = Arc::clone(self);
            tokio::spawn(async move { this.keep(&key).await });
        }
        for (key, place, line, notice) in tries {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.try_once(&key, place, &line, &notice).await });
        }
        if !gone.is_empty() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.forget(gone).await });
        }
    }

    async fn try_once(&self, key: &str, place: usize, line: &AlertLine, notice: &Notice) {
        let begun = Instant::now();
        let answer = line.tell(notice, &self.place).await;
        let now = self.now();
        let (taken, said) = match answer {
            Answer::Taken => (true, String::new()),
            Answer::Not(why) | Answer::Unclear(why) => (false, why),
        };
        self.metrics.notice(&line.name, taken, begun.elapsed().as_secs_f64());
        if taken {
            let waited = now.millis_since(notice.at);
            tracing::info!(
                channel = line.name,
                notice = key,
                waited_ms = waited,
                "alert told: {}",
                render::headline(notice)
            );
        } else {
            tracing::warn!(channel = line.name, notice = key, why = said, "an alert channel did not take a notice");
        }
        {
            let mut inner = self.inner();
            let state = inner.said.entry(line.name.clone()).or_default();
            if taken {
                state.0 = Some(now);
            } else {
                state.1.clone_from(&said);
            }
            if let Some(letter) = inner.letters.get_mut(key) {
                letter.came(place, now, taken, said);
            }
        }
        self.keep(key).await;
        self.inner().trying.remove(&(key.to_owned(), place));
        self.come.notify_one();
    }

    /// Makes durable what became of a letter.
    async fn keep(&self, key: &str) {
        let kept = tokio::time::timeout(STALLED, async {
            let _writing = self.writing.lock().await;
            let letter = self.inner().letters.get(key).cloned();
            let Some(letter) = letter else { return Ok(()) };
            let mut write = WatchWrite::default();
            write.put(Watched::Notice, key, &letter);
            self.store.keep_watched(&usherd(""), write, Vec::new()).await
        });
        // After a restart it is told once more.
        match kept.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what became of a notice could not be kept"),
            Err(_) => tracing::warn!(notice = key, "the store is stalled: what became of a notice may not be kept"),
        }
    }

    async fn forget(&self, keys: Vec<String>) {
        let mut write = WatchWrite::default();
        for key in &keys {
            write.remove(Watched::Notice, key);
        }
        if let Err(error) = self.store.keep_watched(&usherd(""), write, Vec::new()).await {
            tracing::warn!(%error, "old notices could not be removed");
        }
    }

    /// Says it where nothing but this machine is needed: the log at its loudest, every console, a file beside the store, metrics.
    fn last_resort(&self, notice: &Notice) {
        let head = render::headline(notice);
        tracing::error!(last_resort = true, notice = notice.key, "NOBODY COULD BE TOLD: {head}");
        self.board.tell(self.clock.now(), Level::Error, "alerting", format!("nobody could be told: {head}"));
        self.metrics.last_resort();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(
            "an alert could not be told to anybody: see the file ALERT",
        )]);
        let path = self.state_dir.join("ALERT");
        let line = format!("{} {head}\n", crate::clock::utc(self.clock.now(), Timestamp(0)));
        let file = std::fs::File::options().create(true).append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::error!(path = %path.display(), %error, "the last resort's file could not be written");
        }
    }

    /// Whether some channel has taken a notice of a rule's alerts since a moment, and whether the last resort was used for one.
    pub fn reached(&self, rule: &str, since: Timestamp) -> (bool, bool) {
        let inner = self.inner();
        let of_rule = |letter: &&Letter| {
            letter.notice.at >= since && letter.notice.group.get("rule").is_some_and(|name| name == rule)
        };
        let letters = || inner.letters.values().filter(of_rule);
        (letters().any(Letter::is_taken), letters().any(|letter| letter.last_resort.is_some()))
    }

    /// Whether no notice has waited for over a minute.
    pub fn is_well(&self) -> Result<(), String> {
        let now = self.now();
        let waits = |letter: &&Letter| {
            !letter.is_taken() && !letter.is_done(now) && now.millis_since(letter.notice.at) > BEHIND
        };
        let waiting = self.inner().letters.values().filter(waits).count();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} notices wait for over a minute")) }
    }

    /// Gives each channel its daily test until `stop` is cancelled. It is a letter like any other: durable, tried again for a day, and
    /// known after a restart, so that none is sent twice.
    pub async fn test_daily(self: Arc<Self>, daily: Daily, stop: CancellationToken) {
        let names: Vec<String> = self.lines.iter().map(|line| line.name.clone()).collect();
        loop {
            // Calendars go by the clock on the wall, also when that was set.
            let due = daily.due(self.clock.now()).filter(|_| !names.is_empty());
            if let Some(key) = due.filter(|key| !self.inner().letters.contains_key(key)) {
                let notice = trial(key, "daily-test", "as each day".to_owned(), self.now());
                let mut letter = Letter::new(notice, &names);
                letter.to_all = true;
                self.post(letter).await;
            }
            if tokio::time::timeout(DAILY, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Keeps a letter, and takes it whether or not that went well.
    async fn post(&self, letter: Letter) {
        let mut write = WatchWrite::default();
        write.put(Watched::Notice, &letter.notice.key, &letter);
        let kept = tokio::time::timeout(STALLED, self.store.keep_watched(&usherd(""), write, Vec::new())).await;
        if !matches!(kept, Ok(Ok(()))) {
            tracing::warn!(
                notice = letter.notice.key,
                "a test of the alerts could not be kept; it is sent from memory"
            );
        }
        self.take(letter);
    }

    /// Which channels count as dead.
    pub fn readings(&self) -> Vec<Reading> {
        let now = self.now();
        let inner = self.inner();
        let mut readings = Readings::default();
        for line in &self.lines {
            let mut taken = inner.said.get(&line.name).and_then(|said| said.0);
            let mut asked = self.began;
            for letter in inner.letters.values() {
                if let Some(way) = letter.ways.iter().find(|way| way.channel == line.name && way.tries > 0) {
                    taken = taken.max(way.taken);
                    asked = asked.min(letter.notice.at);
                }
            }
            let dead = is_dead(now, taken, asked);
            let why = if dead { "it took nothing for 26 hours, the daily test included" } else { "" };
            let object = format!("alert channel {}", line.name);
            readings.because("alerting.channel_dead", object, if dead { 1.0 } else { 0.0 }, why.to_owned());
        }
        readings.into()
    }

    /// How the channels are.
    pub fn rows(&self, page: &[String]) -> Vec<AlertChannelRow> {
        let inner = self.inner();
        let now = self.now();
        let row = |line: &Arc<AlertLine>| {
            let (taken, said) = inner.said.get(&line.name).cloned().unwrap_or_default();
            // One that was taken waits until that is durable: a crash before it would tell it again.
            let waits = |(key, letter): &(&String, &Letter)| {
                letter.ways.iter().enumerate().any(|(place, way)| {
                    let trying = inner.trying.contains(&((*key).clone(), place));
                    way.channel == line.name && (trying || way.taken.is_none() && !letter.is_done(now))
                })
            };
            let waiting = inner.letters.iter().filter(waits).count();
            let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            AlertChannelRow { name: line.name.clone(), taken, said, waiting, pages: page.contains(&line.name) }
        };
        self.lines.iter().map(row).collect()
    }

    /// Sends a test by one channel, or by all, once, and says what each answered.
    pub async fn test(&self, channel: Option<&str>, by: &str) -> Vec<AlertTrial> {
        let now = self.now();
        let notice = trial(format!("test#{}", now.0), "test", format!("asked for by {by}"), now);
        let asked = self.lines.iter().filter(|line| channel.is_none_or(|name| name == line.name));
        let trials = asked.map(|line| {
            let notice = &notice;
            async move {
                let begun = Instant::now();
                let answer = line.tell(notice, &self.place).await;
                let took_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
                let (taken, said) = match answer {
                    Answer::Taken => (true, String::new()),
                    Answer::Not(why) => (false, why),
                    Answer::Unclear(why) => (false, format!("unclear: {why}")),
                };
                let mut inner = self.inner();
                let state = inner.said.entry(line.name.clone()).or_default();
                if taken {
                    state.0 = Some(now);
                } else {
                    state.1.clone_from(&said);
                }
                drop(inner);
                AlertTrial { channel: line.name.clone(), taken, said, took_ms }
            }
        });
        futures_util::future::join_all(trials).await
    }
}

/// A test, of a rule that there is none of.
fn trial(key: String, rule: &str, detail: String, now: Timestamp) -> Notice {
    let alert = NoticeAlert {
        rule: rule.to_owned(),
        object: String::new(),
        state: AlertState::Firing,
        summary: "this is a test of the alerts".to_owned(),
        detail,
        action: "nothing is to be done".to_owned(),
        runbook: "alerting".to_owned(),
        value: 1.0,
        threshold: 1.0,
        since: now,
        ended: None,
    };
    Notice {
        key,
        reason: Reason::Test,
        priority: Priority::P3,
        at: now,
        step: 0,
        incident: None,
        group: BTreeMap::from([("rule".to_owned(), rule.to_owned())]),
        alerts: vec![alert],
        more: 0,
    }
}
