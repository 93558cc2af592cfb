//! Slack: a bot that writes to members and channels (`chat.postMessage`), or an incoming webhook with its one channel.
//!
//! Slack says no with HTTP 200 and a word, so the word decides. It keeps no idempotency keys, and allows each channel
//! about one message a second: [`Provider::gap`] tells the dispatcher, who lets other channels pass meanwhile.
//! Text is escaped, so that no guest's name can call a whole channel. Source: Slack's documentation, read 2026-11.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use usher_common::model::{Channel, OutcomeClass, ProviderKind};

use super::http::{Http, Reply, bearer, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation};

const VENDOR: &str = "https://slack.com";

/// Slack cuts a longer text off without a word, in characters.
const TEXT_MAX: usize = 40_000;

/// What Slack allows a channel.
const GAP: Duration = Duration::from_secs(1);

/// A free workspace that is full stays full until somebody pays or old messages go.
const FULL_WAIT: Duration = Duration::from_hours(1);

/// The adapter for one bot or one incoming webhook.
pub(super) struct Slack {
    name: String,
    http: Http,
    way: Way,
}

enum Way {
    Bot {
        authorization: HeaderValue,
    },
    /// The address carries the secret, and with it the channel.
    Hook {
        channel: String,
    },
}

impl Slack {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let (http, way) = if let Some(hook) = &config.slack_webhook {
            if !is_conversation(&hook.channel) {
                return Err(BuildError::Value {
                    provider: config.name.clone(),
                    key: "slack_webhook.channel",
                    why: "a channel's id is C, G or D with letters and digits".to_owned(),
                });
            }
            let http = Http::at(config, "slack_webhook.url", hook.url.expose_secret())?;
            (http, Way::Hook { channel: hook.channel.clone() })
        } else {
            let token = config.need("secret", config.secret.as_ref())?;
            (Http::new(config, VENDOR)?, Way::Bot { authorization: bearer(config, "secret", token)? })
        };
        Ok(Self { name: config.name.clone(), http, way })
    }

    fn body(&self, message: &Outgoing) -> Result<Vec<u8>, PrepareError> {
        let id = message.message;
        let recipient = |why: &str| PrepareError::Recipient { message: id, why: why.to_owned() };
        let content = |why: String| PrepareError::Content { message: id, why };
        if !is_conversation(&message.to) {
            return Err(recipient("it is no id of a member or channel, such as U012AB3CD"));
        }
        let text = escaped(&message.text);
        match text.chars().count() {
            0 => return Err(content("its text is empty".to_owned())),
            long if long > TEXT_MAX => return Err(content(format!("{long} characters, and Slack takes {TEXT_MAX}"))),
            _ => {}
        }
        let body = match &self.way {
            Way::Bot { .. } => json!({
                "channel": message.to,
                "text": text,
                "mrkdwn": false,
                "unfurl_links": false,
                "unfurl_media": false,
                "metadata": {"event_type": "usher_message", "event_payload": {"usher_message": correlation(message)}},
            }),
            Way::Hook { channel } if *channel == message.to => json!({"text": text, "mrkdwn": false}),
            Way::Hook { .. } => {
                return Err(PrepareError::Elsewhere { message: id, why: "its webhook posts into another channel" });
            }
        };
        Ok(serde_json::to_vec(&body).expect("JSON is always JSON"))
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let post = match &self.way {
            Way::Bot { authorization } => self.http.post("/api/chat.postMessage").header(AUTHORIZATION, authorization),
            Way::Hook { .. } => self.http.post_there(),
        };
        let post = post.header(CONTENT_TYPE, "application/json; charset=utf-8").body(request.bytes.clone());
        let answer = match (self.http.exchange(post).await, &self.way) {
            (Ok(reply), Way::Bot { .. }) => classify(&reply),
            (Ok(reply), Way::Hook { .. }) => classify_hook(&reply),
            (Err(silence), _) => silence.answer(),
        };
        vec![answer; request.messages]
    }

    async fn ask(&self) -> Probe {
        let post = match &self.way {
            Way::Bot { authorization } => self.http.post("/api/auth.test").header(AUTHORIZATION, authorization),
            // There is no question that an incoming webhook answers. Without text it cannot post, and how it refuses
            // tells whether it lives.
            Way::Hook { .. } => self.http.post_there().header(CONTENT_TYPE, "application/json").body("{}"),
        };
        match (self.http.exchange(post).await, &self.way) {
            (Ok(reply), Way::Bot { .. }) => judge_probe(&reply),
            (Ok(reply), Way::Hook { .. }) => judge_hook_probe(&reply),
            (Err(silence), _) => Probe::Down(silence.detail().to_owned()),
        }
    }
}

impl Provider for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Slack
    }

    fn channel(&self) -> Channel {
        Channel::Slack
    }

    fn traits(&self) -> Traits {
        Traits { batch_max: 1, keeps_keys: None, smtp_utf8: false, lookup: false }
    }

    fn gap(&self) -> Option<Duration> {
        Some(GAP)
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        Ok(Prepared::new(1, Bytes::from(self.body(message)?), key))
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Vec<Answer>> {
        self.attempt(request).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Probe> {
        self.ask().boxed()
    }

    fn look(&self) -> BoxFuture<'_, Look> {
        self.http.look().boxed()
    }
}

/// Slack's three signs (`&`, `<`, `>`) as text: `<!channel>` in a name would otherwise call everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The id of a member (U, W), a channel (C), a private one (G) or a direct message (D).
fn is_conversation(id: &str) -> bool {
    (2..=32).contains(&id.len())
        && id.starts_with(['U', 'W', 'C', 'D', 'G'])
        && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[derive(Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    error: String,
    /// The scope that a token lacks.
    #[serde(default)]
    needed: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

/// What an answer of the Web API means.
pub(super) fn classify(reply: &Reply) -> Answer {
    let status = reply.status;
    let Ok(said) = serde_json::from_slice::<Said>(&reply.body) else {
        let (class, scope) = by_status(status);
        let wait = reply.seconds("retry-after").filter(|_| class == OutcomeClass::Throttled);
        return Answer::new(class, scope, status.to_string(), &String::from_utf8_lossy(&reply.body)).after(wait);
    };
    match (status, said.ok) {
        // A server that failed may have posted first, whatever word it gives.
        (500.., _) => Answer::new(OutcomeClass::Unknown, None, status.to_string(), &said.error),
        // A time stamp is an id only together with the channel, which for a member is that of the conversation.
        (200..=299, true) if !said.ts.is_empty() && !said.channel.is_empty() => {
            Answer::accepted(status.to_string(), format!("{}/{}", said.channel, said.ts))
        }
        (_, true) => {
            Answer::new(OutcomeClass::Unknown, None, status.to_string(), "the answer was good but names no message")
        }
        (_, false) => {
            let detail = if said.needed.is_empty() { String::new() } else { format!("needs {}", said.needed) };
            by_word(status, &said.error, &detail, reply)
        }
    }
}

/// What an answer of an incoming webhook means: a word in plain text.
pub(super) fn classify_hook(reply: &Reply) -> Answer {
    let text = String::from_utf8_lossy(&reply.body);
    let word = text.trim();
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match reply.status {
        200..=299 if word == "ok" => Answer::accepted(reply.status.to_string(), ""),
        400..=499 if is_word => by_word(reply.status, word, "", reply),
        status => {
            let (class, scope) = by_status(status);
            let wait = reply.seconds("retry-after").filter(|_| class == OutcomeClass::Throttled);
            Answer::new(class, scope, if is_word { word.to_owned() } else { status.to_string() }, &text).after(wait)
        }
    }
}

fn by_word(status: u16, word: &str, detail: &str, reply: &Reply) -> Answer {
    use OutcomeClass::{NotSent, Recipient, Refused, Throttled, Unknown, Unusable};
    let (class, scope) = match word {
        _ if status == 429 => (Throttled, Some(Scope::Account)),
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => (Throttled, Some(Scope::Account)),
        "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "channel_is_archived"
        | "messages_tab_disabled"
        | "cannot_reply_to_message"
        | "team_not_found"
        | "user_not_found"
        | "action_prohibited"
        | "posting_to_general_channel_denied" => (Recipient, None),
        _ if word.starts_with("restricted_action") => (Recipient, None),
        _ if word.starts_with("slack_connect_") && word.ends_with("_blocked") => (Recipient, None),
        "not_authed"
        | "invalid_auth"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "not_allowed_token_type"
        | "missing_scope"
        | "no_permission"
        | "access_denied"
        | "accesslimited"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "team_access_not_granted"
        | "two_factor_setup_required"
        | "invalid_token"
        | "no_service"
        | "no_service_id"
        | "no_active_hooks"
        | "no_team"
        | "team_disabled" => (Unusable, Some(Scope::Account)),
        "service_unavailable" | "request_timeout" | "team_added_to_org" | "org_login_required" => (NotSent, None),
        // "Some aspect of the operation may have succeeded."
        "fatal_error" | "internal_error" | "rollup_error" => (Unknown, None),
        _ if (200..300).contains(&status) => (Refused, None),
        _ => by_status(status),
    };
    let wait = match word {
        "message_limit_exceeded" => Some(FULL_WAIT),
        "rate_limited" => Some(reply.seconds("retry-after").unwrap_or(GAP)),
        _ => reply.seconds("retry-after"),
    };
    let code = if word.is_empty() { status.to_string() } else { super::clean(word) };
    Answer::new(class, scope, code, detail).after(wait.filter(|_| class == Throttled))
}

fn judge_probe(reply: &Reply) -> Probe {
    #[derive(Deserialize)]
    struct Whose {
        #[serde(default)]
        team: String,
    }
    if serde_json::from_slice::<Said>(&reply.body).is_ok_and(|said| said.ok) && reply.status < 300 {
        let team = serde_json::from_slice::<Whose>(&reply.body).map(|whose| whose.team).unwrap_or_default();
        return Probe::Up(super::clean(&format!("signed in to {team}")));
    }
    judge_refusal(&classify(reply))
}

fn judge_hook_probe(reply: &Reply) -> Probe {
    let answer = classify_hook(reply);
    match answer.code.as_str() {
        "no_text" | "invalid_payload" => Probe::Up("answers, and would take a text".to_owned()),
        _ => judge_refusal(&answer),
    }
}

fn judge_refusal(answer: &Answer) -> Probe {
    let said = super::clean(&format!("{} {}", answer.code, answer.detail));
    match answer.class {
        OutcomeClass::Throttled => Probe::Up("answers, and throttles".to_owned()),
        OutcomeClass::Unusable | OutcomeClass::Recipient => Probe::Unusable(said),
        _ => Probe::Down(said),
    }
}

#[cfg(test)]
#[path = "slack_tests.rs"]
mod tests;
