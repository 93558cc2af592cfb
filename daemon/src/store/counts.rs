//! Counters: kept with every change, never asked for by walking.

use std::collections::BTreeMap;

use usher_common::model::{CampaignId, Channel, Deed, Deeds, ListId, MessageState, StateCounts};

use super::engine::Change;
use super::{Error, Store, deeds, merge, space};

/// Longest reason that is counted by its own name, in bytes; longer ones are cut.
const REASON_BYTES: usize = 80;

/// All counters of one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignCounts {
    /// Messages by channel and state.
    pub states: BTreeMap<Channel, StateCounts>,
    /// Messages taken, by channel and provider.
    pub providers: BTreeMap<(Channel, String), u64>,
    /// Failures and suppressions by their reason.
    pub reasons: BTreeMap<String, u64>,
    /// What guests did with messages, by channel.
    pub deeds: BTreeMap<Channel, Deeds>,
}

impl CampaignCounts {
    /// All channels together.
    pub fn total(&self) -> StateCounts {
        let mut total = StateCounts::default();
        for counts in self.states.values() {
            total.add(counts);
        }
        total
    }
}

fn key(kind: u8, campaign: CampaignId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(campaign.0.to_be_bytes());
    key
}

fn state_key(campaign: CampaignId, channel: Channel, state: MessageState) -> Vec<u8> {
    let mut key = key(b's', campaign);
    key.extend([space::channel_byte(channel), space::state_byte(state)]);
    key
}

/// So many messages more (fewer when negative) in a state.
pub(super) fn state(campaign: CampaignId, channel: Channel, state: MessageState, delta: i64) -> Change {
    merge(space::COUNT, state_key(campaign, channel, state), delta)
}

/// So many messages more taken by a provider.
pub(super) fn provider(campaign: CampaignId, channel: Channel, provider: &str, delta: i64) -> Change {
    let mut key = key(b'p', campaign);
    key.push(space::channel_byte(channel));
    key.extend(provider.as_bytes());
    merge(space::COUNT, key, delta)
}

/// So many messages more that failed or were suppressed for a reason.
pub(super) fn reason(campaign: CampaignId, reason: &str, delta: i64) -> Change {
    let mut key = key(b'r', campaign);
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    key.extend(reason.as_bytes().iter().take(end));
    merge(space::COUNT, key, delta)
}

/// So many messages more with which guests did something.
pub(super) fn deed(campaign: CampaignId, channel: Channel, deed: Deed, delta: i64) -> Change {
    let mut key = key(b'g', campaign);
    key.extend([space::channel_byte(channel), deeds::byte(deed)]);
    merge(space::COUNT, key, delta)
}

/// So many guests more on a list.
pub(super) fn list(list: ListId, delta: i64) -> Change {
    let mut key = vec![b'l'];
    key.extend(list.0.to_be_bytes());
    merge(space::COUNT, key, delta)
}

/// So many messages more accepted on a day (days since 1970, UTC).
pub(super) fn accepted_on(day: i64, delta: i64) -> Change {
    let mut key = vec![b'd'];
    key.extend(day.to_be_bytes());
    merge(space::COUNT, key, delta)
}

impl Store {
    /// Guests on a list.
    pub fn guests_on(&self, list: ListId) -> Result<u64, Error> {
        let mut key = vec![b'l'];
        key.extend(list.0.to_be_bytes());
        Ok(u64::try_from(self.engine.counter(space::COUNT, &key)?).unwrap_or(0))
    }

    /// Messages accepted on a day (days since 1970, UTC).
    pub fn accepted_on(&self, day: i64) -> Result<u64, Error> {
        let mut key = vec![b'd'];
        key.extend(day.to_be_bytes());
        Ok(u64::try_from(self.engine.counter(space::COUNT, &key)?).unwrap_or(0))
    }

    /// All counters of a campaign.
    pub fn campaign_counts(&self, campaign: CampaignId) -> Result<CampaignCounts, Error> {
        let mut counts = CampaignCounts::default();
        self.each_counter(&key(b's', campaign), |tail, n| {
            if let [channel, state] = *tail
                && let (Some(channel), Some(state)) = (space::channel_of(channel), space::state_of(state))
            {
                *counts.states.entry(channel).or_default().get_mut(state) = n;
            }
        })?;
        self.each_counter(&key(b'p', campaign), |tail, n| {
            if let Some((&channel, name)) = tail.split_first()
                && let Some(channel) = space::channel_of(channel)
            {
                counts.providers.insert((channel, String::from_utf8_lossy(name).into_owned()), n);
            }
        })?;
        self.each_counter(&key(b'r', campaign), |tail, n| {
            counts.reasons.insert(String::from_utf8_lossy(tail).into_owned(), n);
        })?;
        self.each_counter(&key(b'g', campaign), |tail, n| {
            if let [channel, deed] = *tail
                && let (Some(channel), Some(deed)) = (space::channel_of(channel), deeds::of_byte(deed))
            {
                *counts.deeds.entry(channel).or_default().get_mut(deed) = n;
            }
        })?;
        Ok(counts)
    }

    fn each_counter(&self, prefix: &[u8], mut found: impl FnMut(&[u8], u64)) -> Result<(), Error> {
        for row in self.engine.scan_prefix(space::COUNT, prefix) {
            let (key, row) = row?;
            let n = row.total().unwrap_or(0);
            if n > 0
                && let Some(tail) = key.get(prefix.len()..)
            {
                found(tail, n.unsigned_abs());
            }
        }
        Ok(())
    }
}
