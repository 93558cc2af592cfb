//! Records as they stand on disk. Each is one version behind the codec's version byte; a field more means a new version
//! and a migration, never an edit of a struct that was released.

use serde::{Deserialize, Serialize};
use usher_common::model::{AttemptNo, CampaignState, Channel, GuestId, ListId, MessageState, OutcomeClass, Timestamp};

use super::quotas::{self, Payer};

/// A guest list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRecord {
    /// Its name.
    pub name: String,
    /// When its guests last changed.
    pub changed: Timestamp,
    /// Columns that it has beside the fields of every guest, in the order in which they came.
    pub custom: Vec<String>,
}

/// What an address on a list leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The guest.
    pub guest: GuestId,
    /// Whether the address names the guest: an e-mail address always does, a number only where there is no e-mail, since
    /// couples share numbers.
    pub identity: bool,
}

/// The part of a campaign that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignRecord {
    /// Where it stands. Also the row's tag, which commits are judged by.
    pub state: CampaignState,
    /// The state before it was paused.
    pub paused_from: Option<CampaignState>,
    /// The organisation, in the clear since limits are kept by it.
    pub organisation: String,
    /// The list that its guests are drawn from.
    pub list: ListId,
    /// Its channels, in order.
    pub channels: Vec<Channel>,
    /// The last guest that was turned into messages.
    pub cursor: Option<GuestId>,
    /// Guests of the audience turned into messages or found unreachable.
    pub guests: u64,
    /// Guests without a usable address.
    pub unreachable: u64,
    /// Messages that they were turned into: the left-hand side of the equation, counted apart from the states.
    pub messages: u64,
    /// Whether all guests were turned into messages.
    pub expanded: bool,
    /// When it was written.
    pub created: Timestamp,
    /// When it is or was due.
    pub due: Option<Timestamp>,
    /// When its last message's time runs out.
    pub expires: Option<Timestamp>,
    /// When it came to its end.
    pub ended: Option<Timestamp>,
    /// When it began to wait for messages in doubt.
    pub settling: Option<Timestamp>,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// Who approved it.
    pub approved_by: String,
}

impl CampaignRecord {
    /// Whose quotas its messages are charged to.
    pub fn payers(&self) -> Vec<Payer> {
        let user = Some(&self.approved_by).filter(|name| !name.is_empty());
        let user = user.map(|name| Payer::User(name.clone()));
        [Some(Payer::Organisation(self.organisation.clone())), user].into_iter().flatten().collect()
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Where it stands; `Sending` is never stored but follows from its intent. Also the row's tag.
    pub state: MessageState,
    /// Whom it is for.
    pub guest: GuestId,
    /// The list the guest stands on.
    pub list: ListId,
    /// How it travels.
    pub channel: Channel,
    /// When it last changed.
    pub changed: Timestamp,
    /// When its next attempt is due, for one that waits for a time.
    pub retry_at: Option<Timestamp>,
    /// Why it stands there; empty where the state says all. Never personal.
    pub why: String,
    /// Every attempt that came to an end, oldest first, at most [`MAX_ATTEMPTS`].
    pub attempts: Vec<AttemptRecord>,
}

impl MessageRecord {
    /// Whether it was charged to its payers: with its first intent.
    pub fn was_charged(&self) -> bool {
        quotas::was_charged(self)
    }

    /// The attempt that would come next.
    pub fn next_attempt(&self) -> AttemptNo {
        AttemptNo(self.attempts.last().map_or(0, |a| a.no.0) + 1)
    }

    /// The provider by which alone the message may go: what may have been taken there goes nowhere else.
    pub fn only_by(&self) -> Option<&str> {
        self.attempts.iter().rfind(|attempt| attempt.code == BY_RULE).map(|attempt| attempt.provider.as_str())
    }

    /// Whether a provider said that it will never carry this message.
    pub fn is_barred_at(&self, provider: &str) -> bool {
        self.attempts.iter().any(|a| a.barred && a.provider == provider)
    }
}

/// Attempts kept with a message: the newest ones.
pub const MAX_ATTEMPTS: usize = 25;

/// The code of an attempt that had no intent: the adapter knew that its provider does not reach the recipient.
pub const TURNED_AWAY: &str = "elsewhere";

/// The code of an attempt whose message was found in its provider's list among others with the same words: its provider's id may
/// be that of one of them.
pub const ALIKE: &str = "alike";

/// The code of an attempt in doubt after which the message was sent again by its organisation's rule.
pub const BY_RULE: &str = "by rule";

/// An attempt that came to an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which attempt.
    pub no: AttemptNo,
    /// By which provider.
    pub provider: String,
    /// When its intent was durable.
    pub started: Timestamp,
    /// What came of it.
    pub class: OutcomeClass,
    /// The provider's code.
    pub code: String,
    /// What the provider said, cleaned and cut.
    pub detail: String,
    /// The provider's id.
    pub provider_id: String,
    /// How long it took.
    pub latency_ms: u32,
    /// Whether this provider must not be asked again for this message.
    pub barred: bool,
}

/// An attempt under way: durable before its first byte goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// Which attempt.
    pub attempt: AttemptNo,
    /// How the message travels.
    pub channel: Channel,
    /// By which provider.
    pub provider: String,
    /// The idempotency key of the request, which several messages of a batch share.
    pub key: String,
    /// BLAKE3 of the request's bytes.
    pub body_hash: [u8; 32],
    /// Place in the batch, from 0.
    pub place: u32,
    /// Messages in the batch.
    pub of: u32,
    /// When it was written.
    pub started: Timestamp,
    /// The claim's fence.
    pub fence: u64,
}

/// An address that must not be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionRecord {
    /// Why, e.g. `opted out`.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// What shows it.
    pub evidence: String,
}

/// A report that waits for its message: it came before the outcome was recorded, or for nobody. Never personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanRecord {
    /// Who reported.
    pub provider: String,
    /// Our id of the message, where the report had it.
    pub message: Option<u64>,
    /// The provider's id of the message.
    pub provider_id: String,
    /// What it says, in a word.
    pub kind: String,
    /// The provider's code.
    pub code: String,
    /// What the provider said, redacted.
    pub detail: String,
    /// Whether its address was suppressed when it came.
    pub suppressed: bool,
}

/// An act that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActRecord {
    /// It concerned this campaign.
    Campaign(u64),
    /// It concerned this guest of this list.
    Guest(u64, u64),
    /// It was told in this line.
    Done(String),
}

/// What the audit trail is told, beside who, why and when, which every commit carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditEntry {
    /// An operator's act on an object.
    Act {
        /// What was done, e.g. `campaign.approve`.
        act: String,
        /// To what, e.g. `c12`.
        object: String,
        /// More, never personal.
        detail: String,
    },
    /// Requests that are about to leave.
    Intent {
        /// By which provider.
        provider: String,
        /// Which messages, each with the BLAKE3 of its request's bytes.
        messages: Vec<(u64, [u8; 32])>,
    },
    /// What came of attempts: message, attempt, class.
    Outcome {
        /// By which provider.
        provider: String,
        /// Message, attempt, class.
        outcomes: Vec<(u64, u32, OutcomeClass)>,
    },
    /// A message that the gate did not let out.
    Refusal {
        /// Which message.
        message: u64,
        /// The rule's id.
        rule: String,
        /// The clause.
        clause: String,
        /// What the rule was judged by; never an address.
        evidence: String,
    },
    /// Guests that came in, changed or went.
    Guests {
        /// What happened, e.g. `import`.
        act: String,
        /// On which list.
        list: u64,
        /// Where the data came from and who vouches for it, sealed: both may name a person.
        origin: Vec<u8>,
        /// How many were added, changed, removed.
        counts: (u64, u64, u64),
    },
    /// Personal data that was shown to somebody.
    Access {
        /// What was shown, e.g. `guests of l3`.
        object: String,
        /// How many guests.
        guests: u64,
    },
    /// What a provider reported of messages that it had taken. Added last: the order of these is their format.
    Receipt {
        /// The provider.
        provider: String,
        /// Message, and what it became.
        messages: Vec<(u64, MessageState)>,
    },
    /// Addresses that are not written to any more, since a provider reported so.
    Suppressed {
        /// The provider.
        provider: String,
        /// Why, for each.
        reasons: Vec<String>,
    },
}
