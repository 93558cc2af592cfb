//! How Slack is to be played: one workspace, its tokens, channels and webhooks.
//! Promises: the defaults know every well-formed channel and have one webhook; no limit holds that was not set.

use super::{Marker, markers};
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// An incoming webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What follows `/services/` in its URL: team, webhook and secret, as `T…/B…/…`.
    pub path: String,
    /// Id of the channel that it posts to.
    pub channel: String,
}

/// Slack, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlackConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Bot tokens with the scope `chat:write`.
    pub tokens: Vec<String>,
    /// Tokens without it, which may only be tested.
    pub unscoped_tokens: Vec<String>,
    /// Tokens that were revoked.
    pub revoked_tokens: Vec<String>,
    /// Channels that the bot may post to, by id or, with a `#`, by name; with none listed, every well-formed one.
    pub channels: Vec<String>,
    /// Incoming webhooks.
    pub webhooks: Vec<Webhook>,
    /// Messages a second in each channel before 429, whether by the API or by webhook. The real one grants about 1; without,
    /// no limit.
    pub messages_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Channels that fare differently, by a part of their id or name.
    pub recipients: Vec<Marker>,
}

impl Default for SlackConfig {
    fn default() -> Self {
        Self {
            port: 0,
            tokens: vec!["xoxb-simulator".into()],
            unscoped_tokens: vec!["xoxb-unscoped".into()],
            revoked_tokens: vec!["xoxb-revoked".into()],
            channels: Vec::new(),
            webhooks: vec![Webhook { path: "T00000001/B00000001/simulator".into(), channel: "C00000001".into() }],
            messages_per_second: None,
            latency: Latency::None,
            recipients: markers(&[
                ("MISSING", "channel_not_found"),
                ("OUTSIDE", "not_in_channel"),
                ("ARCHIVED", "is_archived"),
                ("READONLY", "restricted_action_read_only_channel"),
            ]),
        }
    }
}
