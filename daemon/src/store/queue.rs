//! Who waits for their turn: a bit a message, 64 to a row, so that a commit that moves many changes few rows.
//!
//! A campaign's messages have neighbouring ids and leave their queue in about that order, so that a row for each was
//! a third of what a message cost the index.

use std::collections::BTreeMap;

use usher_common::model::MessageId;

use super::claims::Lane;
use super::engine::{Change, Precondition, Row};
use super::space;

/// Messages in a row.
const BLOCK: u64 = u64::BITS as u64;

/// The first id of a message's row. A look at the queue from an id on begins with this row.
pub(super) fn first_of(id: MessageId) -> MessageId {
    MessageId(id.0 - id.0 % BLOCK)
}

fn bit(id: MessageId) -> u64 {
    1 << (id.0 % BLOCK)
}

/// The messages that a row says are waiting, in order.
pub(super) fn waiting(key: &[u8], row: &Row) -> impl Iterator<Item = MessageId> + use<> {
    let first = space::last_id(key).unwrap_or_default();
    let bits = row.bits().unwrap_or_default();
    (0..BLOCK).filter(move |n| bits & 1 << n != 0).map(move |n| MessageId(first + n))
}

/// Messages that come to their queues and leave them, in one commit.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<(Lane, MessageId), Move>);

#[derive(Debug, Default)]
struct Move {
    come: u64,
    go: u64,
}

impl Moves {
    /// A message waits from here on, whether it did or not.
    pub(super) fn comes(&mut self, lane: Lane, id: MessageId) {
        self.0.entry((lane, first_of(id))).or_default().come |= bit(id);
    }

    /// A message that waits does so no longer.
    pub(super) fn goes(&mut self, lane: Lane, id: MessageId) {
        self.0.entry((lane, first_of(id))).or_default().go |= bit(id);
    }

    /// What must hold for that, and what it changes.
    pub(super) fn write(self, expect: &mut Vec<Precondition>, changes: &mut Vec<Change>) {
        for ((lane, first), Move { come, go }) in self.0 {
            let key = space::queue(lane.campaign, lane.channel, first);
            if go != 0 {
                expect.push(Precondition::Bits { space: space::QUEUE, key: key.clone(), all: go });
            }
            changes.push(Change::Bits { space: space::QUEUE, key, set: come, clear: go });
        }
    }
}
