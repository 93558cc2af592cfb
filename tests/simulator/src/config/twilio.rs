//! How Twilio is to be played: its accounts, what they own, its limits.
//! Promises: the defaults have one account that may send from anything.

use super::Marker;
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// A Twilio account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioAccount {
    /// `AC` and 32 hexadecimal digits.
    pub sid: String,
    /// The auth token that goes with it.
    pub token: String,
    /// API keys (`SK…`) and their secrets.
    pub keys: Vec<ApiKey>,
    /// `active`, `suspended` or `closed`.
    pub status: String,
    /// Credit left, as Twilio writes it.
    pub balance: String,
}

/// A Twilio API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// `SK` and 32 hexadecimal digits.
    pub sid: String,
    /// Its secret.
    pub secret: String,
}

impl Default for TwilioAccount {
    fn default() -> Self {
        Self {
            sid: "AC00000000000000000000000000000001".into(),
            token: "simulator".into(),
            keys: vec![ApiKey { sid: "SK00000000000000000000000000000001".into(), secret: "simulator".into() }],
            status: "active".into(),
            balance: "100.00".into(),
        }
    }
}

/// Twilio, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Who may send.
    pub accounts: Vec<TwilioAccount>,
    /// Senders the accounts own; with none listed, any well-formed one.
    pub senders: Vec<String>,
    /// Messaging Services that exist; with none listed, any well-formed one.
    pub messaging_services: Vec<String>,
    /// Whether the test numbers (+15005550001 and so on) answer with their errors.
    pub magic_numbers: bool,
    /// Requests a second before 429; without, no limit.
    pub requests_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            port: 0,
            accounts: vec![TwilioAccount::default()],
            senders: Vec::new(),
            messaging_services: Vec::new(),
            magic_numbers: true,
            requests_per_second: None,
            latency: Latency::None,
            recipients: Vec::new(),
        }
    }
}
