//! The board: the live state that consoles follow, as tables of rows with versions.
//!
//! Writers put rows on it; a session asks what changed since the version it has. So a slow client costs one number, not
//! a queue: when it is ready for more it gets the newest state in one step. Nothing here waits for anybody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use usher_common::model::{CampaignId, CampaignRow, Overview, Timestamp};
use usher_common::protocol::{Codec, Have, Level, LogEvent, Row, ServerFrame, Topic, encode};

/// Rows that went are remembered this many to a topic; a client that is further behind gets a snapshot.
const GONE: usize = 1024;
/// Events that are kept for those who come late.
const EVENTS: usize = 2048;
/// Encoded updates that are kept a topic, so that a hundred consoles at the same version cost one encoding.
const CACHED: usize = 4;

#[derive(Default)]
struct Table {
    version: u64,
    rows: BTreeMap<String, (u64, Row)>,
    gone: VecDeque<(u64, String)>,
    /// The oldest version from which the way to now is known.
    floor: u64,
    cache: VecDeque<(Codec, Option<u64>, u64, Bytes)>,
}

#[derive(Default)]
struct Inner {
    tables: HashMap<Topic, Table>,
    followers: HashMap<Topic, usize>,
    events: VecDeque<LogEvent>,
    position: u64,
}

/// The board. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    epoch: u64,
    inner: Arc<Mutex<Inner>>,
    /// Counts changes of anything; sessions wait on it.
    pulse: watch::Sender<u64>,
}

impl Board {
    /// An empty board of a daemon that started at `epoch` (milliseconds since 1970).
    pub fn new(epoch: u64) -> Self {
        Self { epoch, inner: Arc::default(), pulse: watch::Sender::new(0) }
    }

    /// The daemon's start.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Wakes whenever something changed.
    pub fn pulse(&self) -> watch::Receiver<u64> {
        self.pulse.subscribe()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every write leaves the tables whole, so a panic in another task does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these the rows of a topic. Unchanged rows keep their version.
    pub fn publish(&self, topic: Topic, rows: Vec<Row>) {
        let mut inner = self.inner();
        let table = inner.tables.entry(topic).or_default();
        let next = table.version + 1;
        let mut changed = false;
        let mut old = std::mem::take(&mut table.rows);
        for row in rows {
            let key = row.key();
            let version = match old.remove(&key) {
                Some((version, there)) if there == row => version,
                _ => {
                    changed = true;
                    next
                }
            };
            table.rows.insert(key, (version, row));
        }
        for (key, _) in old {
            changed = true;
            forget(table, next, key);
        }
        self.after(inner, topic, next, changed);
    }

    /// Puts one row.
    pub fn put(&self, topic: Topic, row: Row) {
        let mut inner = self.inner();
        let table = inner.tables.entry(topic).or_default();
        let next = table.version + 1;
        let key = row.key();
        if table.rows.get(&key).is_some_and(|(_, there)| *there == row) {
            return;
        }
        table.rows.insert(key, (next, row));
        self.after(inner, topic, next, true);
    }

    /// Takes one row away.
    pub fn remove(&self, topic: Topic, key: &str) {
        let mut inner = self.inner();
        let Some(table) = inner.tables.get_mut(&topic) else { return };
        let next = table.version + 1;
        if table.rows.remove(key).is_some() {
            forget(table, next, key.to_owned());
            self.after(inner, topic, next, true);
        }
    }

    fn after(&self, mut inner: MutexGuard<'_, Inner>, topic: Topic, next: u64, changed: bool) {
        if changed && let Some(table) = inner.tables.get_mut(&topic) {
            table.version = next;
            table.cache.clear();
            drop(inner);
            self.pulse.send_modify(|n| *n += 1);
        }
    }

    /// Says that something happened.
    pub fn tell(&self, at: Timestamp, level: Level, object: impl Into<String>, text: impl Into<String>) {
        let mut inner = self.inner();
        inner.position += 1;
        let event = LogEvent { position: inner.position, at, level, object: object.into(), text: text.into() };
        match level {
            Level::Error => tracing::error!(object = event.object, "{}", event.text),
            Level::Warning => tracing::warn!(object = event.object, "{}", event.text),
            Level::Info | Level::Unknown => tracing::info!(object = event.object, "{}", event.text),
        }
        inner.events.push_back(event);
        if inner.events.len() > EVENTS {
            inner.events.pop_front();
        }
        drop(inner);
        self.pulse.send_modify(|n| *n += 1);
    }

    /// Events from behind `position` on, at most `limit`, and how many in between are gone.
    pub fn events(&self, position: u64, limit: usize) -> (u64, Vec<LogEvent>) {
        let inner = self.inner();
        let oldest = inner.events.front().map_or(inner.position + 1, |e| e.position);
        let skipped = oldest.saturating_sub(position + 1);
        let events: Vec<LogEvent> =
            inner.events.iter().filter(|e| e.position > position).take(limit).cloned().collect();
        (skipped, events)
    }

    /// What a client has to be sent of a topic to be up to date, encoded, and the version that it then has; `None` when
    /// it is up to date.
    pub fn update(&self, topic: Topic, codec: Codec, have: Option<Have>) -> Option<(Bytes, Have)> {
        let mut inner = self.inner();
        let table = inner.tables.entry(topic).or_default();
        let from = have.filter(|h| h.epoch == self.epoch && h.version >= table.floor && h.version <= table.version);
        let from = from.map(|h| h.version);
        if from == Some(table.version) {
            return None;
        }
        let now = Have { epoch: self.epoch, version: table.version };
        let cached = table.cache.iter().find(|(c, f, to, _)| *c == codec && *f == from && *to == table.version);
        if let Some((_, _, _, bytes)) = cached {
            return Some((bytes.clone(), now));
        }
        let frame = match from {
            None => ServerFrame::Snapshot {
                topic,
                epoch: self.epoch,
                version: table.version,
                rows: table.rows.values().map(|(_, row)| row.clone()).collect(),
            },
            Some(from) => ServerFrame::Delta {
                topic,
                from,
                to: table.version,
                rows: table.rows.values().filter(|(v, _)| *v > from).map(|(_, row)| row.clone()).collect(),
                gone: table
                    .gone
                    .iter()
                    .filter(|(v, key)| *v > from && !table.rows.contains_key(key))
                    .map(|(_, key)| key.clone())
                    .collect(),
            },
        };
        let bytes = Bytes::from(encode(codec, &frame));
        table.cache.push_back((codec, from, table.version, bytes.clone()));
        if table.cache.len() > CACHED {
            table.cache.pop_front();
        }
        Some((bytes, now))
    }

    /// The overview as it was last put.
    pub fn overview(&self) -> Option<Overview> {
        let inner = self.inner();
        match inner.tables.get(&Topic::Overview)?.rows.values().next() {
            Some((_, Row::Overview(overview))) => Some((**overview).clone()),
            _ => None,
        }
    }

    /// A campaign's row as it was last put.
    pub fn campaign(&self, id: CampaignId) -> Option<CampaignRow> {
        let inner = self.inner();
        match inner.tables.get(&Topic::Campaigns)?.rows.get(&id.to_string()) {
            Some((_, Row::Campaign(row))) => Some((**row).clone()),
            _ => None,
        }
    }

    /// Every campaign's row as it was last put.
    pub fn campaigns(&self) -> Vec<CampaignRow> {
        let inner = self.inner();
        let rows = inner.tables.get(&Topic::Campaigns).map(|table| table.rows.values());
        let campaign = |(_, row): &(u64, Row)| if let Row::Campaign(row) = row { Some((**row).clone()) } else { None };
        rows.into_iter().flatten().filter_map(campaign).collect()
    }

    /// Counts a follower of a topic in (`true`) or out.
    pub fn follow(&self, topic: Topic, follows: bool) {
        let mut inner = self.inner();
        let count = inner.followers.entry(topic).or_default();
        *count = if follows { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            inner.followers.remove(&topic);
            if matches!(topic, Topic::Campaign(_)) {
                inner.tables.remove(&topic);
            }
        }
        drop(inner);
        self.pulse.send_modify(|n| *n += 1);
    }

    /// Topics of single campaigns that somebody follows: only these are worth the work of putting together.
    pub fn followed_campaigns(&self) -> Vec<CampaignId> {
        let inner = self.inner();
        inner.followers.keys().filter_map(|t| if let Topic::Campaign(id) = t { Some(*id) } else { None }).collect()
    }
}

fn forget(table: &mut Table, version: u64, key: String) {
    table.gone.push_back((version, key));
    if table.gone.len() > GONE
        && let Some((version, _)) = table.gone.pop_front()
    {
        table.floor = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::protocol::{SERVER_FRAME_CAP, decode};

    fn overview(accepted: u64) -> Row {
        Row::Overview(Box::new(Overview { accepted_today: accepted, ..Overview::default() }))
    }

    fn campaign(id: u64, guests: u64) -> Row {
        let row = usher_common::model::CampaignRow {
            id: usher_common::model::CampaignId(id),
            name: String::new(),
            organisation: String::new(),
            state: usher_common::model::CampaignState::Running,
            channels: Vec::new(),
            guests,
            unreachable: 0,
            expanded: true,
            counts: usher_common::model::StateCounts::default(),
            rate: 0.0,
            eta_seconds: None,
            why: String::new(),
            due: None,
            ended: None,
            deleted: None,
            version: 0,
        };
        Row::Campaign(Box::new(row))
    }

    fn frame(bytes: &Bytes) -> ServerFrame {
        decode(Codec::Bincode, bytes, SERVER_FRAME_CAP).expect("the board encodes frames")
    }

    #[test]
    fn a_client_gets_a_snapshot_then_only_what_changed_then_nothing() {
        let board = Board::new(7);
        board.publish(Topic::Campaigns, vec![campaign(1, 0), campaign(2, 0)]);
        let (bytes, have) = board.update(Topic::Campaigns, Codec::Bincode, None).expect("a snapshot");
        assert!(matches!(frame(&bytes), ServerFrame::Snapshot { rows, .. } if rows.len() == 2));
        assert!(board.update(Topic::Campaigns, Codec::Bincode, Some(have)).is_none());

        board.publish(Topic::Campaigns, vec![campaign(2, 9)]);
        let (bytes, now) = board.update(Topic::Campaigns, Codec::Bincode, Some(have)).expect("a delta");
        match frame(&bytes) {
            ServerFrame::Delta { from, to, rows, gone, .. } => {
                assert_eq!((from, to), (have.version, now.version));
                assert_eq!(rows, vec![campaign(2, 9)]);
                assert_eq!(gone, vec!["c1".to_owned()]);
            }
            other => panic!("not a delta: {other:?}"),
        }
    }

    #[test]
    fn a_client_of_another_epoch_or_far_behind_gets_a_snapshot() {
        let board = Board::new(7);
        board.put(Topic::Overview, overview(1));
        let (_, have) = board.update(Topic::Overview, Codec::Json, None).expect("a snapshot");
        let other = Have { epoch: 6, ..have };
        assert!(board.update(Topic::Overview, Codec::Json, Some(other)).is_some());

        board.publish(Topic::Campaigns, (0..2000).map(|n| campaign(n, 0)).collect());
        let (_, have) = board.update(Topic::Campaigns, Codec::Bincode, None).expect("a snapshot");
        board.publish(Topic::Campaigns, vec![]);
        let (bytes, _) = board.update(Topic::Campaigns, Codec::Bincode, Some(have)).expect("something");
        assert!(matches!(frame(&bytes), ServerFrame::Snapshot { rows, .. } if rows.is_empty()));
    }

    #[test]
    fn a_row_that_came_back_is_not_told_as_gone() {
        let board = Board::new(7);
        board.publish(Topic::Campaigns, vec![campaign(1, 0)]);
        let (_, have) = board.update(Topic::Campaigns, Codec::Bincode, None).expect("a snapshot");
        board.remove(Topic::Campaigns, "c1");
        board.put(Topic::Campaigns, campaign(1, 5));
        let (bytes, _) = board.update(Topic::Campaigns, Codec::Bincode, Some(have)).expect("a delta");
        assert!(matches!(frame(&bytes), ServerFrame::Delta { rows, gone, .. } if rows.len() == 1 && gone.is_empty()));
    }

    #[test]
    fn events_that_are_gone_are_counted() {
        let board = Board::new(7);
        for n in 0..(EVENTS as u64 + 10) {
            board.tell(Timestamp(0), Level::Info, "x", n.to_string());
        }
        let (skipped, events) = board.events(0, usize::MAX);
        assert_eq!((skipped, events.len()), (10, EVENTS));
        assert_eq!(board.events(EVENTS as u64 + 10, 10), (0, vec![]));
    }
}
