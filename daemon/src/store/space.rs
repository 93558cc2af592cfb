//! Which keyspaces there are, and how their keys are made.
//!
//! A keyspace is one byte before the key, so that one commit over several of them is atomic. The bytes are part of the
//! format on disk: they are never reused for something else. Ids are big-endian, so that order of key is order of id.

use usher_common::model::{CampaignId, Channel, GuestId, ListId, MessageId, MessageState, Timestamp};

use super::engine::Space;

/// Sequences, by name.
pub(super) const SEQUENCE: Space = Space::new(0x01);
/// Counters: never the length of something that is walked.
pub(super) const COUNT: Space = Space::new(0x02);
/// Acts that were done, by their idempotency key.
pub(super) const ACT: Space = Space::new(0x03);
/// Guest lists.
pub(super) const LIST: Space = Space::new(0x10);
/// Guest lists by name.
pub(super) const LIST_NAME: Space = Space::new(0x11);
/// Guests, by list and id.
pub(super) const GUEST: Space = Space::new(0x12);
/// Guests by the keyed hash of an address, within a list.
pub(super) const ADDRESS: Space = Space::new(0x13);
/// Templates of one's own, in pieces.
pub(super) const TEMPLATE: Space = Space::new(0x20);
/// Campaigns: the small part that changes.
pub(super) const CAMPAIGN: Space = Space::new(0x30);
/// Campaigns as their authors wrote them, in pieces.
pub(super) const CAMPAIGN_SPEC: Space = Space::new(0x31);
/// The words of a campaign, pinned when it was approved, in pieces.
pub(super) const CAMPAIGN_BODY: Space = Space::new(0x32);
/// Names of campaigns that are not deleted.
pub(super) const CAMPAIGN_NAME: Space = Space::new(0x33);
/// Messages, by campaign and id.
pub(super) const MESSAGE: Space = Space::new(0x40);
/// Messages that wait for their turn, by lane, 64 to a row.
pub(super) const QUEUE: Space = Space::new(0x41);
/// Messages that wait for a time, by lane and time.
pub(super) const RETRY: Space = Space::new(0x42);
/// Attempts under way, and those whose outcome is in doubt.
pub(super) const INTENT: Space = Space::new(0x43);
/// Messages of ended campaigns, many to a row, by campaign and the last id in it.
pub(super) const ARCHIVE: Space = Space::new(0x44);
/// How far a campaign's messages are put together.
pub(super) const COMPACTION: Space = Space::new(0x45);
/// Whose messages a run of ids are: by its last id, its campaign and first id.
pub(super) const RUN: Space = Space::new(0x46);
/// Messages by day and hash of a provider's id for them, where reports may come without ours.
pub(super) const CARRIED: Space = Space::new(0x47);
/// Events that were heard, by day and hash.
pub(super) const HEARD: Space = Space::new(0x48);
/// Reports that wait for their message, by when they came and hash.
pub(super) const ORPHAN: Space = Space::new(0x49);
/// What guests did with messages, by campaign and id: a bit a deed.
pub(super) const DEED: Space = Space::new(0x4a);
/// Addresses that must not be written to, by keyed hash.
pub(super) const SUPPRESSED: Space = Space::new(0x50);
/// Breakers of providers, by the provider's name.
pub(super) const BREAKER: Space = Space::new(0x60);
/// What operators keep in force, by kind and what it is over.
pub(super) const CONTROL: Space = Space::new(0x61);
/// Messages begun, by hour or day and payer.
pub(super) const QUOTA: Space = Space::new(0x62);
/// Service levels, in pieces.
pub(super) const LEVEL: Space = Space::new(0x63);
/// Alerts, by rule and object.
pub(super) const ALERT: Space = Space::new(0x70);
/// What was told of the alerts of a rule.
pub(super) const GROUP: Space = Space::new(0x71);
/// Silences.
pub(super) const SILENCE: Space = Space::new(0x72);
/// Notices that are to be told, or were, by when they were decided.
pub(super) const NOTICE: Space = Space::new(0x78);

/// One id.
pub(super) fn id(id: u64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

/// Two ids, the first one first in order.
pub(super) fn pair(first: u64, second: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    key.extend(first.to_be_bytes());
    key.extend(second.to_be_bytes());
    key
}

/// A guest on its list.
pub(super) fn guest(list: ListId, guest: GuestId) -> Vec<u8> {
    pair(list.0, guest.0)
}

/// An address on a list.
pub(super) fn address(list: ListId, hash: &[u8; 16]) -> Vec<u8> {
    let mut key = id(list.0);
    key.extend(hash);
    key
}

/// A message of its campaign.
pub(super) fn message(campaign: CampaignId, message: MessageId) -> Vec<u8> {
    pair(campaign.0, message.0)
}

/// The byte that stands for a channel in keys.
pub(super) fn channel_byte(channel: Channel) -> u8 {
    match channel {
        Channel::Email => 1,
        Channel::Sms => 2,
        Channel::WhatsApp => 3,
        Channel::Slack => 4,
    }
}

/// The channel that a byte stands for.
pub(super) fn channel_of(byte: u8) -> Option<Channel> {
    Channel::ALL.into_iter().find(|&c| channel_byte(c) == byte)
}

/// The byte that stands for a message's state, in keys of counters and as the row's tag.
pub(super) fn state_byte(state: MessageState) -> u8 {
    match state {
        MessageState::Held => 1,
        MessageState::Queued => 2,
        MessageState::Sending => 3,
        MessageState::Accepted => 4,
        MessageState::Delivered => 5,
        MessageState::Failed => 6,
        MessageState::Suppressed => 7,
        MessageState::Expired => 8,
        MessageState::Cancelled => 9,
        MessageState::Unknown => 10,
    }
}

/// The state that a byte stands for.
pub(super) fn state_of(byte: u8) -> Option<MessageState> {
    MessageState::ALL.into_iter().find(|&s| state_byte(s) == byte)
}

/// The beginning of a lane's keys.
pub(super) fn lane(campaign: CampaignId, channel: Channel) -> Vec<u8> {
    let mut key = id(campaign.0);
    key.push(channel_byte(channel));
    key
}

/// Messages that wait for their turn, from one on.
pub(super) fn queue(campaign: CampaignId, channel: Channel, message: MessageId) -> Vec<u8> {
    let mut key = lane(campaign, channel);
    key.extend(message.0.to_be_bytes());
    key
}

/// A message that waits for a time. Times before 1970 count as 1970.
pub(super) fn retry(campaign: CampaignId, channel: Channel, due: Timestamp, message: MessageId) -> Vec<u8> {
    let mut key = lane(campaign, channel);
    key.extend(due.0.max(0).to_be_bytes());
    key.extend(message.0.to_be_bytes());
    key
}

/// A hash under a day (days since 1970; before that counts as 1970), so that what is old stands together.
pub(super) fn on_day(day: i64, hash: &[u8; 16]) -> Vec<u8> {
    let mut key = u32::try_from(day.max(0)).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    key.extend(hash);
    key
}

/// A hash under a time.
pub(super) fn at_time(at: Timestamp, hash: &[u8; 16]) -> Vec<u8> {
    let mut key = at.0.max(0).to_be_bytes().to_vec();
    key.extend(hash);
    key
}

/// The last eight bytes of a key, as an id.
pub(super) fn last_id(key: &[u8]) -> Option<u64> {
    let tail = key.len().checked_sub(8)?;
    key.get(tail..)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_ids_do() {
        assert!(message(CampaignId(1), MessageId(255)) < message(CampaignId(1), MessageId(256)));
        assert!(message(CampaignId(1), MessageId(u64::MAX)) < message(CampaignId(2), MessageId(0)));
        let (c, e) = (CampaignId(1), Channel::Email);
        assert!(retry(c, e, Timestamp(5), MessageId(9)) < retry(c, e, Timestamp(6), MessageId(1)));
    }

    #[test]
    fn bytes_for_states_and_channels_are_read_back() {
        for state in MessageState::ALL {
            assert_eq!(state_of(state_byte(state)), Some(state));
        }
        for channel in Channel::ALL {
            assert_eq!(channel_of(channel_byte(channel)), Some(channel));
        }
        assert_eq!(state_of(0), None);
    }
}
