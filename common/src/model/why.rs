//! Why something is not moving, or not faster: what binds it, what would bind it next, and when it would be done.

use serde::{Deserialize, Serialize};

use super::{Channel, Target, Timestamp};

/// What can keep messages from going out, or from going out faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The campaign is not approved, or not sent yet.
    Approval,
    /// Its hour has not come.
    Schedule,
    /// It is paused.
    Pause,
    /// An operator holds it.
    Hold,
    /// It was let go a moment ago.
    Release,
    /// The organisation or the user has begun as many as the hour or the day allows.
    Quota,
    /// No provider that could carry it is configured.
    Provider,
    /// Its providers are drained.
    Drain,
    /// The breakers of its providers are open.
    Breaker,
    /// The providers asked us to wait.
    Throttling,
    /// Every message that is left waits before its next try.
    Backoff,
    /// The pace of its providers.
    Pace,
    /// As many are under way as may be.
    Concurrency,
    /// The disk or the log has no room for what is new.
    Room,
    /// Guests are still being turned into messages.
    Expansion,
    /// Outcomes are in doubt, and waited for.
    Doubt,
    /// Nothing.
    Nothing,
    /// Something that this console does not know.
    #[serde(other)]
    Unknown,
}

/// One thing that binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// What kind.
    pub limit: Limit,
    /// In words.
    pub text: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

/// Why a campaign's messages of one channel, or a provider, move as they do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// What was asked about.
    pub target: Target,
    /// The channel; `None` for what binds all of them.
    pub channel: Option<Channel>,
    /// Messages that wait.
    pub waiting: u64,
    /// What binds now.
    pub now: Bind,
    /// What would bind next.
    pub next: Option<Bind>,
    /// When the last of those that wait will have gone out.
    pub done: Option<Timestamp>,
    /// Under which assumption; where `done` is `None`, why that cannot be told.
    pub assuming: String,
    /// All of it in one line.
    pub line: String,
}
