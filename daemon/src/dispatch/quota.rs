//! Quotas: how many messages an organisation or a user may begin in a clock hour and on a day, in UTC.
//!
//! What was begun stands in the store's counters, so that it is exact over a restart. What is on its way to its first intent
//! is reserved here, so that it is exact while many are under way. A clock that goes back opens no hour a second time: the
//! latest hour that was charged counts on, unless it lies more than two days ahead and was the mistake itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use usher_common::model::Timestamp;

use crate::store::{Debit, Error, Hour, Payer, Store};

/// How far the clock may go back before the later hour is taken for the mistake.
const SET_BACK: u32 = 48;

/// Most messages, an hour and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In a clock hour.
    pub hour: u64,
    /// On a day.
    pub day: u64,
}

/// Whose quota has no room, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// Whose.
    pub payer: Payer,
    /// How many were begun, or are about to be.
    pub used: u64,
    /// How many may be.
    pub limit: u64,
    /// Whether it is the day's; else the hour's.
    pub daily: bool,
    /// When there is room again.
    pub until: Timestamp,
}

/// How many more may be begun now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// So many.
    pub messages: u64,
    /// Why no more: the quota that binds first; `None` where there is no limit.
    pub full: Option<Full>,
}

#[derive(Debug, Default)]
struct Inner {
    reserved: BTreeMap<Payer, u64>,
    latest: BTreeMap<Payer, Hour>,
}

/// Everybody's.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<Inner>);

/// Messages that may be begun; what is not is given up when this is dropped.
#[derive(Debug)]
pub struct Allowance {
    quotas: Arc<Quotas>,
    payers: Vec<Payer>,
    hour: Hour,
    left: u64,
}

impl Quotas {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Sums are whole after every statement, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hour that messages are charged to now.
    fn hour(&self, store: &Store, payer: &Payer, now: Timestamp) -> Result<Hour, Error> {
        let clock = Hour::of(now);
        let known = self.inner().latest.get(payer).copied();
        let latest = match known {
            Some(latest) => latest,
            None => latest_charged(store, payer, clock)?,
        };
        let hour = if latest > clock && latest.0 - clock.0 <= SET_BACK { latest } else { clock };
        self.inner().latest.insert(payer.clone(), hour);
        Ok(hour)
    }

    /// What is left of an hour's and a day's quota, and of which hour.
    pub fn left(&self, store: &Store, payer: &Payer, limits: Limits, now: Timestamp) -> Result<(Hour, Limits), Error> {
        let hour = self.hour(store, payer, now)?;
        // Reserved is read before what was charged: between its commit and its end a message counts twice, never not at all.
        let reserved = self.inner().reserved.get(payer).copied().unwrap_or_default();
        let left = |limit: u64, used: u64| limit.saturating_sub(used).saturating_sub(reserved);
        let (hours, days) = (store.charged_in(payer, hour)?, store.charged_on_day(payer, hour)?);
        Ok((hour, Limits { hour: left(limits.hour, hours), day: left(limits.day, days) }))
    }

    /// How many messages may be begun now that all of these pay for.
    pub fn room(&self, store: &Store, payers: &[(Payer, Limits)], now: Timestamp) -> Result<Room, Error> {
        let mut room = Room { messages: u64::MAX, full: None };
        for (payer, limits) in payers {
            let (hour, left) = self.left(store, payer, *limits, now)?;
            for (daily, limit, left, until) in
                [(false, limits.hour, left.hour, hour.end()), (true, limits.day, left.day, hour.end_of_day())]
            {
                let used = limit - left;
                // Of two that leave the same, the one that lasts longer is the one to tell.
                if left < room.messages || (left == room.messages && daily) {
                    room =
                        Room { messages: left, full: Some(Full { payer: payer.clone(), used, limit, daily, until }) };
                }
            }
        }
        Ok(room)
    }

    /// Sets `messages` aside for these payers. Whoever calls has seen that there is room.
    pub fn reserve(
        self: &Arc<Self>,
        store: &Store,
        payers: Vec<Payer>,
        messages: u64,
        now: Timestamp,
    ) -> Result<Allowance, Error> {
        let mut hour = Hour::of(now);
        for payer in &payers {
            hour = hour.max(self.hour(store, payer, now)?);
        }
        let mut inner = self.inner();
        for payer in &payers {
            *inner.reserved.entry(payer.clone()).or_default() += messages;
        }
        drop(inner);
        Ok(Allowance { quotas: Arc::clone(self), payers, hour, left: messages })
    }

    fn give_up(&self, payers: &[Payer], messages: u64) {
        let mut inner = self.inner();
        for payer in payers {
            if let Some(reserved) = inner.reserved.get_mut(payer) {
                *reserved = reserved.saturating_sub(messages);
            }
        }
    }
}

impl Allowance {
    /// What is to be charged with the intents of `messages` of them, at `now`.
    pub fn debit(&self, messages: u32, now: Timestamp) -> Debit {
        Debit { payers: self.payers.clone(), hour: self.hour.max(Hour::of(now)), messages }
    }

    /// So many have been charged.
    pub fn charged(&mut self, messages: u32) {
        let messages = u64::from(messages).min(self.left);
        self.left -= messages;
        self.quotas.give_up(&self.payers, messages);
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.quotas.give_up(&self.payers, self.left);
    }
}

/// The latest hour that a payer was charged in, from `from` on to as far as a clock may have been ahead.
fn latest_charged(store: &Store, payer: &Payer, from: Hour) -> Result<Hour, Error> {
    for ahead in (1..=SET_BACK).rev() {
        let hour = Hour(from.0.saturating_add(ahead));
        if store.charged_in(payer, hour)? > 0 {
            return Ok(hour);
        }
    }
    Ok(from)
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
