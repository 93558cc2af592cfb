//! How Resend is to be played.
//! Promises: the defaults take every sender and every e-mail; four marks on recipients show what else there is.

use super::{Marker, markers};
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// Resend, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResendConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Keys with full access.
    pub api_keys: Vec<String>,
    /// Keys that may only send.
    pub sending_keys: Vec<String>,
    /// Keys that were suspended.
    pub suspended_keys: Vec<String>,
    /// Domains that may send; with none listed, any may.
    pub verified_domains: Vec<String>,
    /// Requests a second before 429; without, no limit and no `ratelimit-*` headers.
    pub requests_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for ResendConfig {
    fn default() -> Self {
        Self {
            port: 0,
            api_keys: vec!["re_simulator".into()],
            sending_keys: vec!["re_sending".into()],
            suspended_keys: vec!["re_suspended".into()],
            verified_domains: Vec::new(),
            requests_per_second: None,
            latency: Latency::None,
            recipients: markers(&[
                ("bounce", "last_event:bounced"),
                ("complain", "last_event:complained"),
                ("suppress", "last_event:suppressed"),
                ("@invalid.", "validation_error"),
            ]),
        }
    }
}
