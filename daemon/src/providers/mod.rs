//! Providers: the companies and servers that carry a message, each behind one adapter.
//!
//! An adapter turns messages into exact bytes, makes one attempt with them, and answers in one of seven classes. It
//! promises three things: the same messages give the same bytes; [`Provider::send`] never tries twice; and `NotSent`
//! is answered only where it is *proved* that the provider did not take the message. It knows nothing of the store,
//! of campaigns, or of other providers. A new one is one file here and one line in [`registry`].

pub mod receipt;
pub mod registry;
pub mod settings;

#[cfg(test)]
mod fake;
mod http;
pub mod poster;
mod redact;
mod resend;
mod sendgrid;
mod slack;
mod smtp;
#[cfg(test)]
mod table;
mod trust;
mod twilio;
mod webhook;
mod whatsapp;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use usher_common::model::{AttemptNo, Channel, MessageId, OutcomeClass, ProviderKind, Timestamp, WhatsAppTemplate};

pub use redact::redact;
pub use registry::build;
pub use settings::{BuildError, ProviderConfig};

/// One provider account, ready to send. Cheap to share; every method may be called from many tasks at once.
pub trait Provider: Send + Sync + 'static {
    /// Its name in the configuration, unique among providers.
    fn name(&self) -> &str;

    /// Which adapter this is.
    fn kind(&self) -> ProviderKind;

    /// The one channel that it carries.
    fn channel(&self) -> Channel;

    /// What it can do; the router and the settlement of doubt decide by it.
    fn traits(&self) -> Traits;

    /// Least time between two messages to one address, where it asks for that; those to other addresses do not wait.
    fn gap(&self) -> Option<Duration> {
        None
    }

    /// Whether each of its reports carries our id of the message; where not, messages are found by the provider's.
    fn echoes(&self) -> bool {
        true
    }

    /// The exact bytes of one request for `messages`, under `key`. Deterministic: the same input gives the same bytes,
    /// in any process, so that an attempt in doubt can be repeated under its key.
    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError>;

    /// Makes exactly one attempt and answers once for each message, in their order.
    ///
    /// Dropping the future abandons the attempt; its outcome is then unknown.
    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Vec<Answer>>;

    /// Asks whether the provider would take messages now, without sending one.
    fn probe(&self) -> BoxFuture<'_, Probe>;

    /// What is left on a prepaid account, where there is such a thing.
    fn balance(&self) -> BoxFuture<'_, Balance> {
        futures_util::future::ready(Balance::NotOffered).boxed()
    }

    /// What can be seen of its server without an account: how long its certificate is good, and its clock.
    fn look(&self) -> BoxFuture<'_, Look> {
        let fault = "its adapter cannot look at the server".to_owned();
        futures_util::future::ready(Look { fault, ..Look::default() }).boxed()
    }

    /// Looks for a message whose attempt, begun at `since`, ended in doubt.
    fn find<'a>(&'a self, message: &'a Outgoing, since: Timestamp) -> BoxFuture<'a, Found> {
        let _ = (message, since);
        futures_util::future::ready(Found::NotOffered).boxed()
    }
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Messages in one request; 1 where it takes no batches.
    pub batch_max: usize,
    /// For how long it answers a repeated key with the first answer; `None` where it keeps no keys.
    pub keeps_keys: Option<Duration>,
    /// Whether an address with a non-ASCII local part can be tried with it.
    pub smtp_utf8: bool,
    /// Whether [`Provider::find`] can answer.
    pub lookup: bool,
}

/// Who a message is from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// E-mail address, E.164 number or sender id. Empty: the provider's configured one.
    pub address: String,
    /// Name to show beside it; empty for none.
    pub name: String,
}

/// One message as an adapter needs it: rendered, addressed, allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id, which travels with it so that receipts find their way back.
    pub message: MessageId,
    /// Which attempt this is.
    pub attempt: AttemptNo,
    /// The recipient's address on the provider's channel.
    pub to: String,
    /// The recipient's name; empty for none.
    pub to_name: String,
    /// Who it is from. A sender in the provider's configuration wins, since senders are verified with their provider.
    pub from: Sender,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// Subject line, for e-mail; empty for other channels.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML; empty for none.
    pub html: String,
    /// Further headers in order, such as `List-Unsubscribe`, for e-mail.
    pub headers: Vec<(String, String)>,
    /// The approved template that goes in place of `text`, its parameters filled in; only on WhatsApp.
    pub template: Option<WhatsAppTemplate>,
    /// The `Message-ID`, with its angle brackets: the same for every attempt, so that a receiver can drop a double.
    pub rfc_message_id: String,
    /// The `Date` header: when the message was made, the same for every attempt.
    pub date: Timestamp,
}

/// One request, ready to go: what the intent records and what is sent are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// How many messages it carries.
    pub messages: usize,
    /// The body, as the provider will read it.
    pub bytes: Bytes,
    /// Idempotency key; sent where the provider keeps keys.
    pub key: String,
    /// BLAKE3 of `bytes`.
    pub hash: [u8; 32],
}

impl Prepared {
    /// A request from its parts; the hash is computed. Also for one that is read back from the store to be repeated.
    pub fn new(messages: usize, bytes: Bytes, key: &str) -> Self {
        let hash = *blake3::hash(&bytes).as_bytes();
        Self { messages, bytes, key: key.to_owned(), hash }
    }
}

/// Why messages could not be made into a request. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No messages, or more than [`Traits::batch_max`].
    #[error("a request to `{provider}` carries 1 to {max} messages, not {got}: split the batch")]
    Count {
        /// The provider.
        provider: String,
        /// Its limit.
        max: usize,
        /// What was given.
        got: usize,
    },
    /// The recipient's address cannot be written.
    #[error("message {message} has a recipient address that cannot be used ({why}): correct the guest's address")]
    Recipient {
        /// The message.
        message: MessageId,
        /// What is wrong with it.
        why: String,
    },
    /// The recipient is not among those whom this provider reaches; another one may.
    #[error("message {message} does not go by this provider ({why}): configure another one for its channel")]
    Elsewhere {
        /// The message.
        message: MessageId,
        /// Whom it reaches.
        why: &'static str,
    },
    /// The sender's or reply-to address cannot be written.
    #[error(
        "the sender of message {message} cannot be used ({why}): set `sender` of the provider, or the organisation's"
    )]
    Sender {
        /// The message.
        message: MessageId,
        /// What is wrong with it.
        why: String,
    },
    /// A header, the subject or the text cannot be carried.
    #[error("message {message} cannot be carried ({why}): change its template")]
    Content {
        /// The message.
        message: MessageId,
        /// What is wrong with it.
        why: String,
    },
    /// The key is empty or too long for the provider.
    #[error("an idempotency key for `{provider}` has 1 to {max} characters, not {got}")]
    Key {
        /// The provider.
        provider: String,
        /// Its limit.
        max: usize,
        /// What was given.
        got: usize,
    },
}

impl PrepareError {
    /// The class that the message's attempt would have had.
    pub fn class(&self) -> OutcomeClass {
        match self {
            Self::Recipient { .. } => OutcomeClass::Recipient,
            Self::Sender { .. } | Self::Elsewhere { .. } => OutcomeClass::Unusable,
            Self::Count { .. } | Self::Content { .. } | Self::Key { .. } => OutcomeClass::Refused,
        }
    }

    /// The answer for the message, as if the provider had given it.
    pub fn answer(&self) -> Answer {
        let (scope, code) = match self {
            Self::Sender { .. } => (Some(Scope::Sender), "unwritable"),
            Self::Elsewhere { .. } => (Some(Scope::Recipient), "elsewhere"),
            _ => (None, "unwritable"),
        };
        Answer::new(self.class(), scope, code, &self.to_string())
    }
}

/// How far an answer reaches beyond its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything that this account sends.
    Account,
    /// Everything from this sender.
    Sender,
    /// Everything to this country or network.
    Region,
    /// Only this recipient.
    Recipient,
}

impl Scope {
    /// The word in logs and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Sender => "sender",
            Self::Region => "region",
            Self::Recipient => "recipient",
        }
    }
}

/// What became of one message in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// All that decides what follows.
    pub class: OutcomeClass,
    /// What else it binds; `None` where it binds nothing.
    pub scope: Option<Scope>,
    /// The provider's own code, or one of ours (`connect`, `timeout`, …) where the provider said nothing.
    pub code: String,
    /// What the provider said, without control characters, at most 200 characters. May hold the recipient's address.
    pub detail: String,
    /// The provider's id of the message; empty unless accepted.
    pub provider_id: String,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// An answer without id and without a wait.
    fn new(class: OutcomeClass, scope: Option<Scope>, code: impl Into<String>, detail: &str) -> Self {
        let detail = clean(detail);
        Self { class, scope, code: code.into(), detail, provider_id: String::new(), retry_after: None }
    }

    /// The provider took the message and calls it `provider_id`.
    fn accepted(code: impl Into<String>, provider_id: impl Into<String>) -> Self {
        Self { provider_id: provider_id.into(), ..Self::new(OutcomeClass::Accepted, None, code, "") }
    }

    /// The same answer with a wait.
    #[must_use]
    fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait.map(|wait| wait.min(LONGEST_WAIT));
        self
    }
}

/// A provider cannot ask us to wait longer than this: after a day its quota or its opinion has changed.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It answers and would take messages.
    Up(String),
    /// It answers, but the credentials at hand cannot see whether it would take messages.
    Unclear(String),
    /// It answers that this account cannot send.
    Unusable(String),
    /// It does not answer, or only with an error.
    Down(String),
}

impl Probe {
    /// Whether the breaker may take it for a success.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Unclear(_))
    }

    /// What was found, in a few words.
    pub fn detail(&self) -> &str {
        match self {
            Self::Up(detail) | Self::Unclear(detail) | Self::Unusable(detail) | Self::Down(detail) => detail,
        }
    }
}

/// What is left on a prepaid account.
#[derive(Debug, Clone, PartialEq)]
pub enum Balance {
    /// It has no such thing, or does not tell.
    NotOffered,
    /// So much.
    Left {
        /// How much; below zero where more was spent.
        amount: f64,
        /// ISO 4217 code.
        currency: String,
    },
    /// It could not be asked.
    Failed(String),
}

/// What can be seen of a provider's server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Until when its certificate is good; `None` without TLS.
    pub certificate: Option<Timestamp>,
    /// Its clock, where it tells.
    pub date: Option<Timestamp>,
    /// Why nothing can be seen; empty where it can.
    pub fault: String,
}

/// What a look-up of a message in doubt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This provider has no look-up.
    NotOffered,
    /// What it has taken for this recipient since then.
    Listed {
        /// Its ids of messages with just these words. The one that was looked for is among them, or they are others.
        fits: Vec<String>,
        /// Its ids of messages with other words, or none that it shows: providers may change what they show.
        others: Vec<String>,
        /// Whether this is all of it; absence from a part proves nothing.
        complete: bool,
    },
    /// It could not be asked.
    Failed(String),
}

/// `text` without control characters, white space run together, at most 200 characters.
pub(crate) fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut cleaned = String::new();
    for word in words {
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(word);
    }
    cleaned.chars().take(200).collect()
}

/// The tag, parameter or header value by which a message names itself at a provider.
fn correlation(message: &Outgoing) -> String {
    message.message.to_string()
}

/// A date as mail and HTTP write it.
fn rfc2822(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(parsed.as_millisecond()))
}

/// `+` and 7 to 15 digits, the first not zero.
fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_cannot_move_the_cursor_of_a_terminal() {
        assert_eq!(clean("bad\u{1b}[2J  news\r\n\tfor\u{0}you"), "bad [2J news for you");
        assert_eq!(clean(&"é".repeat(900)).chars().count(), 200);
    }

    #[test]
    fn no_provider_can_ask_for_more_than_a_day() {
        let answer = Answer::new(OutcomeClass::Throttled, None, "429", "").after(Some(Duration::from_secs(9_999_999)));
        assert_eq!(answer.retry_after, Some(LONGEST_WAIT));
    }
}
