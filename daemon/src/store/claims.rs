//! Claims: which messages somebody is working on. Each has an owner, a lease and a fence.
//!
//! In this engine they live in memory, since one daemon owns the folder: a daemon that starts has claimed nothing. An
//! engine for several daemons keeps them in its tables behind the same operations.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use usher_common::model::{CampaignId, Channel, MessageId, MessageState, Timestamp};

use super::records::MessageRecord;
use super::{Error, Store, queue, space};

/// A queue of its own: one campaign, one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The campaign.
    pub campaign: CampaignId,
    /// The channel.
    pub channel: Channel,
}

/// What names a claim: the message and the fence that was raised for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimId {
    /// The message.
    pub message: MessageId,
    /// Higher than that of every earlier claim on it.
    pub fence: u64,
}

/// A message that its owner works on until it records an intent, refuses it or lets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub id: ClaimId,
    /// Where it waits.
    pub lane: Lane,
    /// The message.
    pub record: MessageRecord,
    /// The time that it waited for; `None` for one that waited for its turn.
    pub due: Option<Timestamp>,
}

#[derive(Debug)]
struct Held {
    fence: u64,
    lane: Lane,
    owner: String,
    until: Duration,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<MessageId, Held>,
    /// Where the next look at a lane's queue begins. Everything before it is claimed or gone.
    cursors: BTreeMap<Lane, MessageId>,
}

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    table: Mutex<Table>,
}

impl Claims {
    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole after every statement that changes it, so a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Claims at most `limit` messages of a lane that could be sent at `now`, those first whose time has come, and of those
    /// that were never charged to anybody at most `fresh`.
    ///
    /// `clock` is monotonic time; a claim that is neither used nor let go by `clock + lease` can be taken over.
    pub fn claim(
        &self,
        lane: Lane,
        (limit, fresh): (usize, usize),
        owner: &str,
        now: Timestamp,
        clock: Duration,
        lease: Duration,
    ) -> Result<Vec<Claim>, Error> {
        let mut found: Vec<(MessageId, Option<Timestamp>, MessageRecord)> = Vec::new();
        let mut fresh_left = fresh;
        let mut table = self.claims.table();
        let waiting = |id: MessageId| -> Result<Option<MessageRecord>, Error> {
            let key = space::message(lane.campaign, id);
            let read = self.read::<MessageRecord>(space::MESSAGE, &key, "a message")?;
            Ok(read.map(|(record, _)| record).filter(|record| record.state == MessageState::Queued))
        };

        let prefix = space::lane(lane.campaign, lane.channel);
        let last = space::retry(lane.campaign, lane.channel, now, MessageId(u64::MAX));
        for row in self.engine.scan(space::RETRY, Bound::Included(&prefix), Bound::Included(&last)) {
            if found.len() == limit {
                break;
            }
            let (key, _) = row?;
            let id = MessageId(space::last_id(&key).unwrap_or_default());
            if table.held.contains_key(&id) {
                continue;
            }
            let Some(record) = waiting(id)? else { continue };
            let is_fresh = !record.was_charged();
            if !is_fresh || fresh_left > 0 {
                fresh_left -= usize::from(is_fresh);
                found.push((id, Some(due_of(&key)), record));
            }
        }
        let from = table.cursors.get(&lane).copied().unwrap_or_default();
        let mut next = from;
        let start = space::queue(lane.campaign, lane.channel, queue::first_of(from));
        let end = space::queue(lane.campaign, lane.channel, MessageId(u64::MAX));
        'rows: for row in self.engine.scan(space::QUEUE, Bound::Included(&start), Bound::Included(&end)) {
            let (key, row) = row?;
            for id in queue::waiting(&key, &row).filter(|id| *id >= from) {
                if found.len() == limit {
                    break 'rows;
                }
                if !table.held.contains_key(&id)
                    && let Some(record) = waiting(id)?
                {
                    // What came back to the queue stands before what never left it, so nothing charged lies behind this one.
                    let is_fresh = !record.was_charged();
                    if is_fresh && fresh_left == 0 {
                        break 'rows;
                    }
                    fresh_left -= usize::from(is_fresh);
                    found.push((id, None, record));
                }
                next = MessageId(id.0.saturating_add(1));
            }
        }
        table.cursors.insert(lane, next);

        let mut claims = Vec::with_capacity(found.len());
        for (message, due, record) in found {
            let fence = self.engine.fences().raise(message.0);
            table.held.insert(message, Held { fence, lane, owner: owner.to_owned(), until: clock + lease });
            claims.push(Claim { id: ClaimId { message, fence }, lane, record, due });
        }
        Ok(claims)
    }

    /// Lets go of claims; their messages can be claimed again at once.
    pub fn release(&self, claims: &[ClaimId]) {
        let mut table = self.claims.table();
        for claim in claims {
            if table.held.get(&claim.message).is_some_and(|held| held.fence == claim.fence)
                && let Some(held) = table.held.remove(&claim.message)
            {
                self.engine.fences().release(claim.message.0, claim.fence);
                rewind(&mut table, held.lane, claim.message);
            }
        }
    }

    /// Lets go of claims whose lease is over. Their owners will find that the fence has moved on.
    pub fn expire_claims(&self, clock: Duration) -> Vec<(String, MessageId)> {
        let mut table = self.claims.table();
        let mut over: Vec<MessageId> = table.held.iter().filter(|(_, h)| h.until <= clock).map(|(&id, _)| id).collect();
        over.sort_unstable();
        let mut gone = Vec::with_capacity(over.len());
        for message in over {
            if let Some(held) = table.held.remove(&message) {
                self.engine.fences().raise(message.0);
                rewind(&mut table, held.lane, message);
                gone.push((held.owner, message));
            }
        }
        gone
    }

    /// Forgets a claim whose message left the queue.
    pub(super) fn used(&self, claim: ClaimId) {
        self.claims.table().held.remove(&claim.message);
        self.engine.fences().release(claim.message.0, claim.fence);
    }

    /// Looks at a lane from its beginning again, after something came back to its queue.
    pub(super) fn rewind(&self, lane: Lane, message: MessageId) {
        rewind(&mut self.claims.table(), lane, message);
    }

    /// Whether any message of the lane waits for its turn, claimed or not.
    pub fn has_waiting(&self, lane: Lane) -> Result<bool, Error> {
        for row in self.engine.scan_prefix(space::QUEUE, &space::lane(lane.campaign, lane.channel)) {
            if row?.1.bits().is_some_and(|bits| bits != 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The earliest time for which a message of the lane waits.
    pub fn next_retry(&self, lane: Lane) -> Result<Option<Timestamp>, Error> {
        let prefix = space::lane(lane.campaign, lane.channel);
        match self.engine.scan_prefix(space::RETRY, &prefix).next() {
            None => Ok(None),
            Some(row) => Ok(Some(due_of(&row?.0))),
        }
    }
}

fn rewind(table: &mut Table, lane: Lane, message: MessageId) {
    let cursor = table.cursors.entry(lane).or_default();
    *cursor = (*cursor).min(message);
}

fn due_of(retry_key: &[u8]) -> Timestamp {
    let at = retry_key.len().saturating_sub(16);
    let due = retry_key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes);
    Timestamp(due)
}
