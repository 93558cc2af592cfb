//! What providers report, made durable: one commit moves messages, remembers the events and suppresses addresses.
//!
//! Promises: an event that was heard in the last seven days changes nothing when it is told again; counters move with their
//! messages; a message that stood in doubt is in doubt no longer, one that waited to go again waits no longer, and one that
//! was put together with others has a row of its own again. Reports without a message wait, a bounded number of them for a
//! bounded time.

use std::ops::Bound;

use usher_common::model::{CampaignId, Channel, MessageId, MessageState, OutcomeClass, Timestamp};

use super::claims::Lane;
use super::deeds::DeedWrite;
use super::engine::{Change, Precondition, Space};
use super::messages::put_message;
use super::queue::Moves;
use super::records::{AuditEntry, IntentRecord, MessageRecord, OrphanRecord, SuppressionRecord};
use super::{By, Error, OutcomeWrite, Store, counts, merge, put, space};

/// Days for which an event is remembered.
const HEARD_DAYS: i64 = 7;
/// Days for which a message is found by its provider's id: WhatsApp gives up after 30.
const CARRIED_DAYS: i64 = 35;
/// How long a report waits for its message.
const ORPHAN_MS: i64 = 7 * 24 * 3_600_000;
/// Reports that wait at most; the oldest make room.
const ORPHANS: i64 = 10_000;
/// Rows that are cleared away in one commit.
const AT_ONCE: usize = 1_000;
/// The counter of waiting reports.
const WAITING: &[u8] = b"o";

/// A message as a report finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its id.
    pub id: MessageId,
    /// The record.
    pub record: MessageRecord,
    /// The attempt under way or in doubt.
    pub intent: Option<IntentRecord>,
    /// The row's version; `None` for one that was put together with others.
    version: Option<u64>,
}

impl HeldMessage {
    /// Where it stands, an attempt under way included.
    pub fn state(&self) -> MessageState {
        match self.record.state {
            MessageState::Queued if self.intent.is_some() => MessageState::Sending,
            other => other,
        }
    }
}

/// A message that moves.
#[derive(Debug, Clone)]
pub struct ReceiptMove {
    /// As it was found.
    pub from: HeldMessage,
    /// What it becomes: accepted, delivered or failed.
    pub to: MessageState,
    /// The channel on which it waits again, where it failed on its own.
    pub switch: Option<Channel>,
    /// Why, in a few words, never personal; empty where the state says all.
    pub why: String,
    /// The provider that holds it by this report.
    pub provider: String,
    /// The provider's id of it, for an attempt that has none yet.
    pub provider_id: String,
}

impl ReceiptMove {
    /// Where it stands from here on.
    pub fn lane(&self) -> Lane {
        Lane { campaign: self.from.campaign, channel: self.switch.unwrap_or(self.from.record.channel) }
    }
}

/// A report that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// When it came.
    pub came: Timestamp,
    /// Names its event.
    pub event: [u8; 16],
    /// The report.
    pub record: OrphanRecord,
}

/// What one commit writes. At most some hundred of each.
#[derive(Debug, Clone, Default)]
pub struct ReceiptWrite {
    /// Messages that move, each once.
    pub moves: Vec<ReceiptMove>,
    /// Events that are heard by it.
    pub heard: Vec<[u8; 16]>,
    /// Addresses that are suppressed by it, unless they are already.
    pub suppress: Vec<([u8; 16], SuppressionRecord)>,
    /// What guests did with messages.
    pub deeds: DeedWrite,
    /// Reports that wait from now on.
    pub wait: Vec<Orphan>,
    /// Reports that have found their message.
    pub found: Vec<Orphan>,
}

/// The row that says whose a run of messages is.
pub(super) fn run(campaign: CampaignId, first: u64, count: u64) -> Option<Change> {
    (count > 0).then(|| put(space::RUN, space::id(first + count - 1), 0, &(campaign.0, first)))
}

/// The row by which a message is found by its provider's id, where that is needed.
pub(super) fn carried(outcome: &OutcomeWrite, day: i64) -> Option<Change> {
    let (id, attempt) = ((outcome.lane.campaign, outcome.message), &outcome.attempt);
    (outcome.by_provider_id && !attempt.provider_id.is_empty())
        .then(|| by_their_id(&attempt.provider, &attempt.provider_id, id, day))
}

fn by_their_id(provider: &str, provider_id: &str, (campaign, id): (CampaignId, MessageId), day: i64) -> Change {
    let key = space::on_day(day, &carried_hash(provider, provider_id));
    put(space::CARRIED, key, 0, &(campaign.0, id.0))
}

fn carried_hash(provider: &str, provider_id: &str) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(provider.as_bytes()).update(&[0]).update(provider_id.as_bytes());
    let mut short = [0; 16];
    hash.finalize_xof().fill(&mut short);
    short
}

impl Store {
    /// Whether an event was heard in the last seven days; `day` is today (days since 1970, UTC).
    pub fn was_heard(&self, event: &[u8; 16], day: i64) -> Result<bool, Error> {
        for day in (day - HEARD_DAYS..=day).rev() {
            if self.engine.get(space::HEARD, &space::on_day(day, event))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A message by its id alone.
    pub fn held(&self, id: MessageId) -> Result<Option<HeldMessage>, Error> {
        let mut runs = self.engine.scan(space::RUN, Bound::Included(&space::id(id.0)), Bound::Unbounded);
        let Some(row) = runs.next() else { return Ok(None) };
        let (campaign, first): (u64, u64) = super::decode(&row?.1.value, "a run of messages")?;
        if id.0 < first {
            return Ok(None);
        }
        self.held_in(CampaignId(campaign), id)
    }

    /// A message by its provider's id, where such an index is kept; `day` is today.
    pub fn held_by(&self, provider: &str, provider_id: &str, day: i64) -> Result<Option<HeldMessage>, Error> {
        let hash = carried_hash(provider, provider_id);
        for day in (day - CARRIED_DAYS..=day).rev() {
            let key = space::on_day(day, &hash);
            if let Some(((campaign, id), _)) = self.read::<(u64, u64)>(space::CARRIED, &key, "a provider's id")? {
                return self.held_in(CampaignId(campaign), MessageId(id));
            }
        }
        Ok(None)
    }

    fn held_in(&self, campaign: CampaignId, id: MessageId) -> Result<Option<HeldMessage>, Error> {
        let key = space::message(campaign, id);
        let (record, version) = match self.read::<MessageRecord>(space::MESSAGE, &key, "a message")? {
            Some((record, row)) => (record, Some(row.version)),
            None => match self.archived(campaign, id)? {
                Some(record) => (record, None),
                None => return Ok(None),
            },
        };
        let intent = self.read::<IntentRecord>(space::INTENT, &key, "an intent")?.map(|(intent, _)| intent);
        Ok(Some(HeldMessage { campaign, id, record, intent, version }))
    }

    /// Reports that wait, the oldest first, from the one behind `after` on.
    pub fn orphans(&self, after: Option<&Orphan>, limit: usize) -> Result<Vec<Orphan>, Error> {
        let key = after.map(|orphan| space::at_time(orphan.came, &orphan.event));
        let from = key.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut orphans = Vec::new();
        for row in self.engine.scan(space::ORPHAN, from, Bound::Unbounded).take(limit) {
            let (key, row) = row?;
            let (came, event) = key.split_at(key.len().min(8));
            let (Ok(came), Ok(event)) = (came.try_into().map(i64::from_be_bytes), event.try_into()) else { continue };
            let record = super::decode(&row.value, "a report that waits")?;
            orphans.push(Orphan { came: Timestamp(came), event, record });
        }
        Ok(orphans)
    }

    /// Reports that wait.
    pub fn orphans_waiting(&self) -> Result<u64, Error> {
        Ok(u64::try_from(self.engine.counter(space::COUNT, WAITING)?).unwrap_or(0))
    }

    /// Makes reports durable, all of them or none; `now` and `day` are this moment. [`Error::Changed`] when something was
    /// written meanwhile: look again, and repeat.
    pub async fn record_receipts(
        &self,
        by: &By,
        provider: &str,
        write: &ReceiptWrite,
        (now, day): (Timestamp, i64),
    ) -> Result<(), Error> {
        let mut expect = Vec::new();
        let mut changes = Vec::new();
        let mut queues = Moves::default();
        for moved in &write.moves {
            moves_on(moved, now, day, &mut queues, &mut expect, &mut changes);
        }
        queues.write(&mut expect, &mut changes);
        for event in &write.heard {
            let (space, key) = (space::HEARD, space::on_day(day, event));
            expect.push(Precondition::Absent { space, key: key.clone() });
            changes.push(Change::Put { space, key, state: 0, value: Vec::new() });
        }
        let mut reasons = Vec::new();
        for (hash, record) in &write.suppress {
            if self.suppression(hash)?.is_none() {
                expect.push(Precondition::Absent { space: space::SUPPRESSED, key: hash.to_vec() });
                changes.push(put(space::SUPPRESSED, hash.to_vec(), 0, record));
                reasons.push(record.reason.clone());
            }
        }
        self.keep_deeds(&write.deeds, &mut expect, &mut changes)?;
        self.keep_orphans(write, &mut expect, &mut changes)?;
        let mut audit = Vec::new();
        if !write.moves.is_empty() {
            let messages = write.moves.iter().map(|moved| (moved.from.id.0, moved.to)).collect();
            audit.push(AuditEntry::Receipt { provider: provider.to_owned(), messages });
        }
        if !reasons.is_empty() {
            audit.push(AuditEntry::Suppressed { provider: provider.to_owned(), reasons });
        }
        match self.commit(by, audit, expect, changes).await {
            Ok(_) => {
                for moved in &write.moves {
                    moved.switch.into_iter().for_each(|_| self.rewind(moved.lane(), moved.from.id));
                }
                Ok(())
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "messages reported by", name: provider.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn keep_orphans(
        &self,
        write: &ReceiptWrite,
        expect: &mut Vec<Precondition>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let key = |orphan: &Orphan| space::at_time(orphan.came, &orphan.event);
        let mut gone: Vec<Vec<u8>> = write.found.iter().map(key).collect();
        let waiting = self.engine.counter(space::COUNT, WAITING)?;
        let over = waiting + write.wait.len() as i64 - gone.len() as i64 - ORPHANS;
        if over > 0 {
            let oldest = self.engine.scan_prefix(space::ORPHAN, &[]).take(over as usize + gone.len());
            for row in oldest {
                let (key, _) = row?;
                if gone.len() < write.found.len() + over as usize && !gone.contains(&key) {
                    gone.push(key);
                }
            }
        }
        let delta = write.wait.len() as i64 - gone.len() as i64;
        for key in gone {
            expect.push(Precondition::StateIn { space: space::ORPHAN, key: key.clone(), states: 1 });
            changes.push(Change::Delete { space: space::ORPHAN, key });
        }
        for orphan in &write.wait {
            changes.push(put(space::ORPHAN, key(orphan), 0, &orphan.record));
        }
        if delta != 0 {
            changes.push(merge(space::COUNT, WAITING.to_vec(), delta));
        }
        Ok(())
    }

    /// Clears away what is too old: events, providers' ids, reports that found nobody. How many reports those were.
    pub async fn sweep_receipts(&self, by: &By, (now, day): (Timestamp, i64)) -> Result<u64, Error> {
        let none = [0; 16];
        for (space, first) in [(space::HEARD, day - HEARD_DAYS), (space::CARRIED, day - CARRIED_DAYS)] {
            while self.clear_below(by, space, &space::on_day(first, &none), 0).await? == AT_ONCE {}
        }
        let oldest = space::at_time(now.plus_millis(-ORPHAN_MS), &none);
        let mut given_up = 0;
        loop {
            let gone = self.clear_below(by, space::ORPHAN, &oldest, 1).await?;
            given_up += gone as u64;
            if gone < AT_ONCE {
                return Ok(given_up);
            }
        }
    }

    /// Deletes the rows before a key, at most [`AT_ONCE`]; each lowers the counter of waiting reports by `counted`.
    async fn clear_below(&self, by: &By, space: Space, end: &[u8], counted: i64) -> Result<usize, Error> {
        let rows = self.engine.scan(space, Bound::Unbounded, Bound::Excluded(end)).take(AT_ONCE);
        let keys = rows.map(|row| row.map(|(key, _)| key)).collect::<Result<Vec<_>, _>>()?;
        let n = keys.len();
        if n == 0 {
            return Ok(0);
        }
        let expect = keys.iter().map(|key| Precondition::StateIn { space, key: key.clone(), states: 1 }).collect();
        let mut changes: Vec<Change> = keys.into_iter().map(|key| Change::Delete { space, key }).collect();
        if counted != 0 {
            changes.push(merge(space::COUNT, WAITING.to_vec(), -counted * n as i64));
        }
        match self.commit(by, Vec::new(), expect, changes).await {
            Ok(_) => Ok(n),
            // Somebody took one of them meanwhile; the next sweep finds the rest.
            Err(super::CommitError::Conflict { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Moves one message: its row, where it waited or stood in doubt, and its counters.
fn moves_on(
    moved: &ReceiptMove,
    now: Timestamp,
    day: i64,
    queues: &mut Moves,
    expect: &mut Vec<Precondition>,
    changes: &mut Vec<Change>,
) {
    let HeldMessage { campaign, id, record, intent, version } = &moved.from;
    let (from, lane) = (record.state, Lane { campaign: *campaign, channel: record.channel });
    let key = space::message(*campaign, *id);
    expect.push(match version {
        Some(version) => Precondition::Version { space: space::MESSAGE, key: key.clone(), version: *version },
        None => Precondition::Absent { space: space::MESSAGE, key: key.clone() },
    });
    if intent.is_some() {
        // Any state: the message's version already says that the attempt is still the one that was seen.
        expect.push(Precondition::StateIn { space: space::INTENT, key: key.clone(), states: u32::MAX });
        changes.push(Change::Delete { space: space::INTENT, key });
    } else if from == MessageState::Queued {
        match record.retry_at {
            Some(due) => {
                let key = space::retry(*campaign, record.channel, due, *id);
                expect.push(Precondition::StateIn { space: space::RETRY, key: key.clone(), states: 1 });
                changes.push(Change::Delete { space: space::RETRY, key });
            }
            None => queues.goes(lane, *id),
        }
    }
    let mut record = record.clone();
    // An attempt that was in doubt, or thought not to have arrived, was taken after all.
    let last = record.attempts.iter_mut().rev().find(|attempt| attempt.provider == moved.provider);
    let mut newly = false;
    if let Some(attempt) = last.filter(|attempt| attempt.class != OutcomeClass::Accepted) {
        newly = !matches!(from, MessageState::Accepted | MessageState::Delivered);
        attempt.class = OutcomeClass::Accepted;
        "told by a report".clone_into(&mut attempt.detail);
        if attempt.provider_id.is_empty() {
            attempt.provider_id.clone_from(&moved.provider_id);
        }
    }
    let (to, goes) = (if moved.switch.is_some() { MessageState::Queued } else { moved.to }, moved.lane());
    if let Some(channel) = moved.switch {
        record.channel = channel;
        queues.comes(goes, *id);
        // Whoever reports again that it did not arrive speaks of what is over.
        if let Some(attempt) = record.attempts.iter_mut().rev().find(|attempt| attempt.provider == moved.provider) {
            attempt.class = OutcomeClass::Recipient;
            attempt.detail.clone_from(&moved.why);
        }
    }
    record.state = to;
    record.changed = now;
    record.retry_at = None;
    record.why.clone_from(&moved.why);
    changes.push(put_message(*campaign, *id, &record));
    if (lane, from) != (goes, to) {
        changes.push(counts::state(*campaign, lane.channel, from, -1));
        changes.push(counts::state(*campaign, goes.channel, to, 1));
    }
    if newly {
        changes.push(counts::provider(*campaign, lane.channel, &moved.provider, 1));
        changes.push(counts::accepted_on(day, 1));
        if !moved.provider_id.is_empty() {
            // A list may be looked through for others.
            changes.push(by_their_id(&moved.provider, &moved.provider_id, (*campaign, *id), day));
        }
    }
    if to == MessageState::Failed && from != MessageState::Failed {
        changes.push(counts::reason(*campaign, &moved.why, 1));
    }
}
