//! The record: what each provider took responsibility for, in order, append-only.
//! Promises: an entry exists exactly when the simulated provider accepted a message for a recipient, whether or not the
//! client ever saw the answer; a million entries fit in 150 MB; waiting for a count never polls.

mod compact;
mod ids;
#[cfg(test)]
mod tests;

use crate::dice::Identity;
use crate::provider::Provider;
use bytes::Bytes;
use compact::Compact;
pub(crate) use ids::written_id;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast};

/// Events that a slow subscriber may fall behind by before it is told that it missed some.
const EVENTS: usize = 4_096;

/// One message accepted for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// Position in the record, from 0, over all providers; never reused, not even after a reset.
    pub sequence: u64,
    /// Who accepted it.
    pub provider: Provider,
    /// The sender's own id for the message, called `usher_message` where a name is needed: a tag of Resend's, a query
    /// parameter of Twilio's `StatusCallback`, one of SendGrid's `custom_args`, an entry of `metadata.event_payload` at Slack,
    /// the whole `biz_opaque_callback_data` of WhatsApp's, and the header `X-Usher-Message` over SMTP. `None` when the request
    /// carried none.
    pub message: Option<String>,
    /// Address, number (at WhatsApp with a `+`) or channel; a message to several recipients makes one entry for each.
    pub recipient: String,
    /// The `Idempotency-Key` of the request, where the provider knows such keys.
    pub idempotency_key: Option<String>,
    /// The `Message-ID` header, as sent (SMTP only).
    pub message_id: Option<String>,
    /// First 64 bits of the SHA-256 of the request body, or of the message text (SMTP), in hexadecimal.
    pub body_hash: String,
    /// The id that the provider answered with, or would have; Slack's is the `ts`, unique together with its channel.
    /// Recipients of one message share it.
    pub provider_id: String,
    /// Microseconds since the simulator started, on the monotonic clock.
    pub at_us: u64,
}

/// A message that reached the same recipient more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The sender's id for the message.
    pub message: String,
    /// Who got it again.
    pub recipient: String,
    /// Positions of all its entries, oldest first; two at least.
    pub sequences: Vec<u64>,
}

/// What a provider hands over when it accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) provider: Provider,
    pub(crate) message: &'a str,
    pub(crate) recipient: &'a str,
    pub(crate) idempotency_key: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) body_hash: u64,
    /// A further recipient of the arrival before it, in the same message.
    pub(crate) joined: bool,
}

/// The append-only list of what was accepted, with its questions.
#[derive(Debug)]
pub struct Record {
    inner: Mutex<Inner>,
    arrived: Notify,
    events: broadcast::Sender<Accepted>,
    started: Instant,
    /// The wall clock at the start.
    wall: Timestamp,
    identity: Identity,
    keep_bodies: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sequence of the first entry held; above 0 after a reset.
    base: u64,
    entries: Compact,
    counts: [u64; Provider::ALL.len()],
    bodies: VecDeque<(u64, Bytes)>,
}

impl Record {
    pub(crate) fn new(seed: u64, keep_bodies: usize, started: Instant) -> Self {
        Self {
            inner: Mutex::default(),
            arrived: Notify::new(),
            events: broadcast::Sender::new(EVENTS),
            started,
            wall: Timestamp::now(),
            identity: Identity::new(seed),
            keep_bodies,
        }
    }

    /// What [`Accepted::at_us`] would be now.
    pub fn now_us(&self) -> u64 {
        self.micros(Instant::now())
    }

    /// Entries of one provider.
    pub fn count(&self, provider: Provider) -> u64 {
        self.lock().counts[provider.index()]
    }

    /// Entries of all providers.
    pub fn total(&self) -> u64 {
        self.lock().entries.len() as u64
    }

    /// All entries of one message, by the sender's id for it, oldest first. Walks the whole record.
    pub fn by_message(&self, id: &str) -> Vec<Accepted> {
        let inner = self.lock();
        let found = (0..inner.entries.len()).filter(|&index| inner.entries.message(index) == id);
        found.map(|index| self.view(&inner, index)).collect()
    }

    /// Every message that some recipient got twice or more, over all providers. Entries without the sender's id cannot
    /// be judged and are left out; [`Record::unattributed`] counts them.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let inner = self.lock();
        let mut seen: HashMap<(&str, &str), Vec<u64>> = HashMap::with_capacity(inner.entries.len());
        for index in 0..inner.entries.len() {
            let message = inner.entries.message(index);
            if !message.is_empty() {
                let at = seen.entry((message, inner.entries.recipient(index))).or_default();
                at.push(inner.base + index as u64);
            }
        }
        let mut twice: Vec<_> = seen.into_iter().filter(|(_, sequences)| sequences.len() > 1).collect();
        twice.sort_unstable_by_key(|(_, sequences)| sequences[0]);
        let named = twice.into_iter().map(|((message, recipient), sequences)| Duplicate {
            message: message.to_owned(),
            recipient: recipient.to_owned(),
            sequences,
        });
        named.collect()
    }

    /// Entries that carried no id of the sender's.
    pub fn unattributed(&self) -> u64 {
        let inner = self.lock();
        (0..inner.entries.len()).filter(|&index| inner.entries.message(index).is_empty()).count() as u64
    }

    /// Everybody who was reached, once each, sorted.
    pub fn recipients(&self) -> Vec<String> {
        let inner = self.lock();
        let all: BTreeSet<&str> = (0..inner.entries.len()).map(|index| inner.entries.recipient(index)).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// At most `limit` entries from position `from` on; shorter at the end of the record.
    pub fn entries(&self, from: u64, limit: usize) -> Vec<Accepted> {
        let inner = self.lock();
        let first = from.saturating_sub(inner.base) as usize;
        let end = first.saturating_add(limit).min(inner.entries.len());
        (first..end).map(|index| self.view(&inner, index)).collect()
    }

    /// The body that was sent with an entry, while it is among the latest that are kept.
    pub fn body(&self, sequence: u64) -> Option<Bytes> {
        let inner = self.lock();
        // A body belongs to the first of its recipients; the others are reached by walking back to it.
        let start = inner.origin(sequence)?;
        let at = inner.bodies.binary_search_by_key(&start, |(first, _)| *first).ok()?;
        Some(inner.bodies[at].1.clone())
    }

    /// Returns as soon as the record holds at least `n` entries, over all providers.
    pub async fn wait_for_count(&self, n: u64) {
        loop {
            // Made before the look: from then on it hears `notify_waiters`, so an entry in between is not missed.
            let next = self.arrived.notified();
            if self.total() >= n {
                return;
            }
            next.await;
        }
    }

    /// Every entry from now on. A subscriber more than 4,096 entries behind is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Accepted> {
        self.events.subscribe()
    }

    /// Bytes of memory that the entries occupy, bodies not counted.
    pub fn memory_bytes(&self) -> usize {
        self.lock().entries.memory_bytes()
    }

    /// Forgets every entry and body. Sequences go on from where they were, so ids stay unique.
    pub fn reset(&self) {
        let mut inner = self.lock();
        let base = inner.base + inner.entries.len() as u64;
        *inner = Inner { base, ..Inner::default() };
    }

    /// Appends what was accepted together, whole or not at all, and returns the sequence of the first.
    pub(crate) fn append(&self, arrivals: &[Arrival<'_>], body: &Bytes, now: Instant) -> u64 {
        let at_us = self.micros(now);
        let mut inner = self.lock();
        let first = inner.base + inner.entries.len() as u64;
        for arrival in arrivals {
            if self.keep_bodies > 0 && !arrival.joined {
                if inner.bodies.len() == self.keep_bodies {
                    inner.bodies.pop_front();
                }
                let sequence = inner.base + inner.entries.len() as u64;
                inner.bodies.push_back((sequence, body.clone()));
            }
            inner.entries.push(arrival, at_us);
            inner.counts[arrival.provider.index()] += 1;
            if self.events.receiver_count() > 0 {
                let event = self.view(&inner, inner.entries.len() - 1);
                // Nobody listening any more is no error.
                let _ = self.events.send(event);
            }
        }
        drop(inner);
        self.arrived.notify_waiters();
        first
    }

    /// The raw id that belongs to a sequence.
    pub(crate) fn raw_id(&self, sequence: u64) -> [u8; 16] {
        self.identity.of(sequence)
    }

    /// The `ts` of the Slack message `sequence` that arrived at `now`.
    pub(crate) fn slack_ts(&self, sequence: u64, now: Instant) -> String {
        ids::slack_ts(self.wall, self.micros(now), sequence)
    }

    /// The wall clock at `now`.
    pub(crate) fn wall_at(&self, now: Instant) -> Timestamp {
        self.wall + now.saturating_duration_since(self.started)
    }

    fn micros(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_micros() as u64
    }

    /// The entry with that id as its provider writes it.
    pub(crate) fn find(&self, provider: Provider, id: &str) -> Option<Accepted> {
        let hex: String =
            id.chars().skip(if provider == Provider::Twilio { 2 } else { 0 }).filter(|c| *c != '-').collect();
        let mut raw = [0; 16];
        hex::decode_to_slice(hex, &mut raw).ok()?;
        let sequence = self.identity.sequence(raw);
        let inner = self.lock();
        let index = usize::try_from(sequence.checked_sub(inner.base)?).ok()?;
        let found = (index < inner.entries.len()).then(|| self.view(&inner, index))?;
        (found.provider == provider && found.provider_id.eq_ignore_ascii_case(id)).then_some(found)
    }

    /// Twilio's entries for a number, newest first, at most `limit`; of everybody when `recipient` is `None`.
    pub(crate) fn latest_sms(&self, recipient: Option<&str>, limit: usize) -> Vec<Accepted> {
        let inner = self.lock();
        if let Some(to) = recipient {
            return inner.entries.chain(to).take(limit).map(|index| self.view(&inner, index)).collect();
        }
        let all = (0..inner.entries.len()).rev();
        let ours = all.filter(|&index| inner.entries.provider(index) == Provider::Twilio);
        ours.take(limit).map(|index| self.view(&inner, index)).collect()
    }

    /// The other recipients of the message that starts at `sequence`, and itself.
    pub(crate) fn siblings(&self, sequence: u64) -> Vec<Accepted> {
        let inner = self.lock();
        let Some(start) = inner.origin(sequence) else { return Vec::new() };
        let first = (start - inner.base) as usize;
        let joined = (first + 1..inner.entries.len()).take_while(|&index| inner.entries.joined(index));
        std::iter::once(first).chain(joined).map(|index| self.view(&inner, index)).collect()
    }

    fn view(&self, inner: &Inner, index: usize) -> Accepted {
        let entries = &inner.entries;
        let sequence = inner.base + index as u64;
        let provider = entries.provider(index);
        let origin = inner.origin(sequence).unwrap_or(sequence);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Accepted {
            sequence,
            provider,
            message: some(entries.message(index)),
            recipient: entries.recipient(index).to_owned(),
            idempotency_key: some(entries.idempotency_key(index)),
            message_id: some(entries.message_id(index)),
            body_hash: format!("{:016x}", entries.body_hash(index)),
            provider_id: match provider {
                Provider::Slack => ids::slack_ts(self.wall, entries.at_us(index), origin),
                _ => written_id(provider, self.identity.of(origin)),
            },
            at_us: entries.at_us(index),
        }
    }

    /// A panic while the lock was held cannot leave half an entry behind that anyone would read: go on.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the simulator started at which an entry arrived.
    pub(crate) fn age(entry: &Accepted) -> Duration {
        Duration::from_micros(entry.at_us)
    }
}

impl Inner {
    /// The first entry of the message that `sequence` belongs to.
    fn origin(&self, sequence: u64) -> Option<u64> {
        let mut index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        if index >= self.entries.len() {
            return None;
        }
        while self.entries.joined(index) {
            index -= 1;
        }
        Some(self.base + index as u64)
    }
}
