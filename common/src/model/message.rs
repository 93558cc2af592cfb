//! Messages: one guest, one channel, one text, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AttemptNo, CampaignId, Channel, GuestId, ListId, MessageId, Timestamp};

/// Where a message stands. Each message is in exactly one state, which is what makes the campaign's equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Kept back for a reason that will pass.
    Held,
    /// Waits for its turn.
    Queued,
    /// An attempt is under way.
    Sending,
    /// A provider took responsibility for it.
    Accepted,
    /// The provider says that it arrived.
    Delivered,
    /// It will not arrive, and that is known.
    Failed,
    /// The law or the guest's own wish forbade it.
    Suppressed,
    /// Its time ran out before it could be sent.
    Expired,
    /// An operator stopped it before it was sent.
    Cancelled,
    /// It may or may not have been accepted; nobody is told twice on a guess.
    Unknown,
}

impl MessageState {
    /// All of them, in the order of a message's life.
    pub const ALL: [Self; 10] = [
        Self::Held,
        Self::Queued,
        Self::Sending,
        Self::Accepted,
        Self::Delivered,
        Self::Failed,
        Self::Suppressed,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word on screen and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the daemon has nothing more to do for it. `Unknown` is not among them: it waits to be settled.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Accepted | Self::Delivered | Self::Failed | Self::Suppressed | Self::Expired | Self::Cancelled
        )
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many messages are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateCounts {
    /// Kept back.
    pub held: u64,
    /// Waiting.
    pub queued: u64,
    /// Under way.
    pub sending: u64,
    /// Taken by a provider.
    pub accepted: u64,
    /// Arrived.
    pub delivered: u64,
    /// Will not arrive.
    pub failed: u64,
    /// Forbidden.
    pub suppressed: u64,
    /// Too late.
    pub expired: u64,
    /// Stopped.
    pub cancelled: u64,
    /// In doubt.
    pub unknown: u64,
}

impl StateCounts {
    /// The count of one state.
    pub fn get(&self, state: MessageState) -> u64 {
        match state {
            MessageState::Held => self.held,
            MessageState::Queued => self.queued,
            MessageState::Sending => self.sending,
            MessageState::Accepted => self.accepted,
            MessageState::Delivered => self.delivered,
            MessageState::Failed => self.failed,
            MessageState::Suppressed => self.suppressed,
            MessageState::Expired => self.expired,
            MessageState::Cancelled => self.cancelled,
            MessageState::Unknown => self.unknown,
        }
    }

    /// The place of one state's count.
    pub fn get_mut(&mut self, state: MessageState) -> &mut u64 {
        match state {
            MessageState::Held => &mut self.held,
            MessageState::Queued => &mut self.queued,
            MessageState::Sending => &mut self.sending,
            MessageState::Accepted => &mut self.accepted,
            MessageState::Delivered => &mut self.delivered,
            MessageState::Failed => &mut self.failed,
            MessageState::Suppressed => &mut self.suppressed,
            MessageState::Expired => &mut self.expired,
            MessageState::Cancelled => &mut self.cancelled,
            MessageState::Unknown => &mut self.unknown,
        }
    }

    /// The right-hand side of the equation: all states together.
    pub fn total(&self) -> u64 {
        MessageState::ALL.iter().map(|&s| self.get(s)).sum()
    }

    /// Messages for which the daemon still has work: held, queued or sending.
    pub fn open(&self) -> u64 {
        self.held + self.queued + self.sending
    }

    /// Messages that a provider took: accepted or delivered.
    pub fn taken(&self) -> u64 {
        self.accepted + self.delivered
    }

    /// Adds another campaign's or channel's counts.
    pub fn add(&mut self, other: &Self) {
        for state in MessageState::ALL {
            *self.get_mut(state) += other.get(state);
        }
    }
}

/// What a provider's answer means, and all that decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// The provider took responsibility.
    Accepted,
    /// This guest cannot or must not get it.
    Recipient,
    /// This message is not acceptable as it is.
    Refused,
    /// Too fast; nothing was taken.
    Throttled,
    /// Proved not accepted; it may be tried again, also elsewhere.
    NotSent,
    /// May have been accepted.
    Unknown,
    /// The account, sender or region cannot be used at all.
    Unusable,
}

impl OutcomeClass {
    /// The word on screen, in JSON and in the providers' tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Recipient => "recipient",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Unusable => "unusable",
        }
    }
}

impl fmt::Display for OutcomeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A message, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageId,
    /// The campaign it belongs to.
    pub campaign: CampaignId,
    /// The guest it is for.
    pub guest: GuestId,
    /// The guest's name, or the address where there is none; empty once the guest was deleted.
    pub guest_name: String,
    /// How it travels.
    pub channel: Channel,
    /// Where it stands.
    pub state: MessageState,
    /// Attempts made or under way.
    pub attempts: u32,
    /// The provider of the last attempt; empty before the first.
    pub provider: String,
    /// Why it stands there, in a few words; empty where the state says all.
    pub why: String,
    /// When it last changed.
    pub changed: Timestamp,
}

/// One attempt at a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Which attempt.
    pub no: AttemptNo,
    /// By which provider.
    pub provider: String,
    /// When its intent was durable.
    pub started: Timestamp,
    /// What came of it; `None` while it is under way.
    pub class: Option<OutcomeClass>,
    /// The provider's own code, such as `21211` or `rate_limit_exceeded`; empty where it gave none.
    pub code: String,
    /// What the provider said, cleaned of control characters and cut to 200 characters.
    pub detail: String,
    /// The provider's id of the message; empty where it gave none.
    pub provider_id: String,
    /// From the request's first byte to the answer, in milliseconds.
    pub latency_ms: u32,
}

/// A message with its whole story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDetail {
    /// The message.
    pub row: MessageRow,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// A message with the campaign that it is part of, in the story of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedMessage {
    /// The campaign's name.
    pub campaign: String,
    /// The message, with every attempt.
    pub message: MessageDetail,
}

/// A list that knows an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedGuest {
    /// The list.
    pub list: ListId,
    /// Its name.
    pub list_name: String,
    /// The guest whom the address leads to there.
    pub guest: GuestId,
    /// The guest's name.
    pub name: String,
}

/// A way by which somebody must not be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedSuppression {
    /// The way.
    pub channel: Channel,
    /// Why, e.g. `opted out`.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Everything that was to reach a person, by one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trace {
    /// The lists that know the address.
    pub guests: Vec<TracedGuest>,
    /// Ways that are closed to it.
    pub suppressed: Vec<TracedSuppression>,
    /// Messages of all campaigns to those guests, by campaign and id; at most 1,000.
    pub messages: Vec<TracedMessage>,
    /// Whether there are more.
    pub more: bool,
}

/// A message whose outcome is in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The campaign's name.
    pub campaign: String,
    /// The message.
    pub message: MessageRow,
    /// When the attempt began that nobody knows the end of.
    pub since: Timestamp,
    /// Until when the provider can be asked again under the key of that attempt, which the daemon does by itself; `None`
    /// where the provider keeps no keys.
    pub asked_until: Option<Timestamp>,
    /// What is done about it now, in a few words.
    pub step: String,
}

/// What an operator says of a message in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The provider took it.
    Accepted,
    /// It did not get through, and is not sent again.
    Failed,
    /// It did not get through, and is sent again.
    Resend,
    /// A verdict that this program does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_states_is_the_total() {
        let mut counts = StateCounts::default();
        for (n, state) in MessageState::ALL.into_iter().enumerate() {
            *counts.get_mut(state) = 1 << n;
        }
        assert_eq!(counts.total(), (1 << MessageState::ALL.len()) - 1);
    }
}
