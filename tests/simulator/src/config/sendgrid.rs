//! How SendGrid is to be played.
//! Promises: the defaults take every sender; keys that are refused, and why, are listed beside the one that is not.

use super::{Marker, markers};
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// SendGrid, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SendGridConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Keys with the scope `mail.send`.
    pub api_keys: Vec<String>,
    /// Keys without it: they may list their scopes, and sending is answered 403.
    pub reading_keys: Vec<String>,
    /// Keys of an account that has used up its credits; sending is answered 401, "Maximum credits exceeded".
    pub exhausted_keys: Vec<String>,
    /// Addresses (`wedding@example.com`) and domains (`example.com`) that may send; with none listed, any may.
    pub verified_senders: Vec<String>,
    /// Requests a second before 429; without, no limit and no `X-RateLimit-*` headers.
    pub requests_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for SendGridConfig {
    fn default() -> Self {
        Self {
            port: 0,
            api_keys: vec!["SG.simulator".into()],
            reading_keys: vec!["SG.reading".into()],
            exhausted_keys: vec!["SG.exhausted".into()],
            verified_senders: Vec::new(),
            requests_per_second: None,
            latency: Latency::None,
            recipients: markers(&[("@invalid.", "invalid")]),
        }
    }
}
