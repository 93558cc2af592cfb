//! Providers as the operator sees them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Channel, Control, Health, OutcomeClass, Timestamp};

/// Which adapter speaks to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Resend, e-mail over HTTPS.
    Resend,
    /// Twilio Programmable Messaging, SMS over HTTPS.
    Twilio,
    /// Any SMTP submission server.
    Smtp,
    /// SendGrid, e-mail over HTTPS.
    SendGrid,
    /// Slack: a bot that writes to members and channels, or an incoming webhook.
    Slack,
    /// WhatsApp's Cloud API.
    WhatsApp,
    /// Any gateway that takes Usher's own JSON; carries the channel that is configured for it.
    Webhook,
    /// One that this console does not know.
    #[serde(other)]
    Unknown,
}

impl ProviderKind {
    /// The word in configuration and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Twilio => "twilio",
            Self::Smtp => "smtp",
            Self::SendGrid => "sendgrid",
            Self::Slack => "slack",
            Self::WhatsApp => "whatsapp",
            Self::Webhook => "webhook",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the breaker lets messages through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything goes through.
    #[default]
    Closed,
    /// Nothing goes through, until a time.
    Open,
    /// One try at a time, to see whether it is back.
    HalfOpen,
    /// It is back, and takes a share that grows.
    Recovering,
    /// A state that this console does not know.
    #[serde(other)]
    Unknown,
}

impl BreakerState {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Recovering => "recovering",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A provider, in a list; live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderRow {
    /// Its name in the configuration.
    pub name: String,
    /// Which adapter.
    pub kind: ProviderKind,
    /// What it carries.
    pub channel: Channel,
    /// Place in the channel's order, from 1.
    pub rank: u32,
    /// One word for the whole.
    pub health: Health,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Since when the breaker is in that state.
    pub since: Timestamp,
    /// When an open breaker tries again.
    pub retry_at: Option<Timestamp>,
    /// What operators keep in force over it.
    pub controls: Vec<Control>,
    /// Until when the provider asked us to wait.
    pub throttled_until: Option<Timestamp>,
    /// Requests under way.
    pub in_flight: u32,
    /// Messages accepted since the daemon started.
    pub accepted: u64,
    /// Attempts that failed by the provider's fault since the daemon started.
    pub failures: u64,
    /// Share of the last minute's attempts that the provider took, 0 to 1; `None` without attempts.
    pub success: Option<f64>,
    /// Median of the last minute's latency in milliseconds.
    pub p50_ms: Option<u32>,
    /// 99th percentile of the last minute's latency in milliseconds.
    pub p99_ms: Option<u32>,
    /// Accepted messages a second, over the last ten seconds.
    pub rate: f64,
    /// Class of the last failure.
    pub last_class: Option<OutcomeClass>,
    /// What the provider said at the last failure; empty when there was none.
    pub last_error: String,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// Accepted messages a second, one figure each for the last 60 seconds, oldest first.
    pub history: Vec<u32>,
}
