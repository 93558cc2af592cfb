//! What guests did with messages: once a message, whoever tells it and how often.
//!
//! Promises: a counter moves in the commit that remembers the deed, so that figures are exact over restarts and doubles. The bits
//! have rows of their own, since a message's own row may have been put together with others long before.

use std::collections::{BTreeMap, BTreeSet};

use usher_common::model::{CampaignId, Channel, Deed, MessageId};

use super::engine::{Change, Precondition};
use super::{Error, Store, counts, put, space};

/// What is done with messages in one commit: each with the channel that it is counted under.
pub type DeedWrite = BTreeMap<(CampaignId, MessageId), (Channel, BTreeSet<Deed>)>;

/// A deed's bit; part of the format on disk.
fn bit(deed: Deed) -> u8 {
    match deed {
        Deed::Opened => 1,
        Deed::Clicked => 2,
        Deed::Unsubscribed => 4,
        Deed::Complained => 8,
    }
}

/// The byte that stands for a deed in keys of counters.
pub(super) fn byte(deed: Deed) -> u8 {
    bit(deed)
}

/// The deed that a byte stands for.
pub(super) fn of_byte(byte: u8) -> Option<Deed> {
    Deed::ALL.into_iter().find(|deed| bit(*deed) == byte)
}

impl Store {
    /// What a guest did with a message.
    pub fn deeds(&self, campaign: CampaignId, id: MessageId) -> Result<BTreeSet<Deed>, Error> {
        let key = space::message(campaign, id);
        let bits = self.read::<u8>(space::DEED, &key, "what a guest did")?.map_or(0, |(bits, _)| bits);
        Ok(Deed::ALL.into_iter().filter(|deed| bits & bit(*deed) != 0).collect())
    }

    /// Remembers and counts what is new of it.
    pub(super) fn keep_deeds(
        &self,
        deeds: &DeedWrite,
        expect: &mut Vec<Precondition>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        for ((campaign, id), (channel, done)) in deeds {
            let (space, key) = (space::DEED, space::message(*campaign, *id));
            let known = self.read::<u8>(space, &key, "what a guest did")?;
            let before = known.as_ref().map_or(0, |(bits, _)| *bits);
            let new: Vec<Deed> = done.iter().copied().filter(|deed| before & bit(*deed) == 0).collect();
            if new.is_empty() {
                continue;
            }
            expect.push(match known {
                Some((_, row)) => Precondition::Version { space, key: key.clone(), version: row.version },
                None => Precondition::Absent { space, key: key.clone() },
            });
            changes.push(put(space, key, 0, &new.iter().fold(before, |bits, deed| bits | bit(*deed))));
            changes.extend(new.into_iter().map(|deed| counts::deed(*campaign, *channel, deed, 1)));
        }
        Ok(())
    }
}
