//! Slack: `chat.postMessage` and `auth.test` of the Web API, and incoming webhooks.
//! Promises: refuses what the real one refuses, in its words; no `ts` is given twice in a channel.

mod post;
mod refusal;

use crate::config::{SlackConfig, Webhook, marked};
use crate::http::{Answer, Hall, HttpProvider, bearer, header};
use crate::pace::PaceEach;
use crate::provider::Provider;
use crate::record::Arrival;
use crate::resend::first_64_bits;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use post::{Arguments, Content, conversation, payload};
use refusal::{Refusal, text};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const API: &str = "/api/";
const SERVICES: &str = "/services/";
const POST_MESSAGE: &str = "chat.postMessage";
const TEAM: &str = "T00000001";
const BOT: &str = "B00000001";
const USER: &str = "U00000001";

/// The simulated service.
#[derive(Debug)]
pub(crate) struct Slack {
    config: SlackConfig,
    hall: Arc<Hall>,
    pace: Option<Mutex<PaceEach>>,
}

/// What a token may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    Unscoped,
}

impl Access {
    fn scopes(self) -> &'static str {
        match self {
            Self::Write => "chat:write",
            Self::Unscoped => "channels:read",
        }
    }
}

impl Slack {
    pub(crate) fn new(config: SlackConfig, hall: Arc<Hall>) -> Self {
        let pace = config.messages_per_second.map(|limit| Mutex::new(PaceEach::new(limit)));
        Self { config, hall, pace }
    }

    fn call(&self, method: &str, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let arguments = if head.method == Method::GET {
            let query = head.uri.query().unwrap_or_default();
            Arguments::read(Some("application/x-www-form-urlencoded"), query.as_bytes())?
        } else {
            Arguments::read(header(head, "content-type"), body)?
        };
        let access = self.access(bearer(head).or(arguments.text("token")))?;
        let mut said = match method {
            "auth.test" => json!({
                "ok": true, "url": "https://simulator.slack.com/", "team": "Simulator", "user": "usher", "team_id": TEAM,
                "user_id": USER, "bot_id": BOT, "is_enterprise_install": false,
            }),
            POST_MESSAGE if access == Access::Unscoped => {
                let refusal = Refusal::word("missing_scope").with("needed", "chat:write".into());
                return Err(refusal.with("provided", access.scopes().into()));
            }
            POST_MESSAGE => match self.post(&arguments, body, now) {
                Ok(said) => said,
                Err(refusal) if refusal.error == "ratelimited" => return Ok(self.throttled(head.uri.path(), None)),
                Err(refusal) => return Err(refusal),
            },
            _ => return Err(Refusal::word("unknown_method").with("req_method", method.into())),
        };
        if arguments.uncharted {
            said["warning"] = "missing_charset".into();
            said["response_metadata"] = json!({ "warnings": ["missing_charset"] });
        }
        let scopes = HeaderValue::from_static(access.scopes());
        Ok(Answer::json(StatusCode::OK, said.to_string().into_bytes()).header("x-oauth-scopes", scopes))
    }

    fn access(&self, token: Option<&str>) -> Result<Access, Refusal> {
        let token = token.ok_or_else(|| Refusal::word("not_authed"))?;
        let among = |tokens: &[String]| tokens.iter().any(|known| known == token);
        match () {
            () if among(&self.config.tokens) => Ok(Access::Write),
            () if among(&self.config.unscoped_tokens) => Ok(Access::Unscoped),
            () if among(&self.config.revoked_tokens) => Err(Refusal::word("token_revoked")),
            () => Err(Refusal::word("invalid_auth")),
        }
    }

    fn post(&self, arguments: &Arguments, body: &Bytes, now: Instant) -> Result<Value, Refusal> {
        let missing = || Refusal::about("invalid_arguments", "missing required field: channel");
        let channel = arguments.text("channel").ok_or_else(missing)?;
        let unknown = || Refusal::word("channel_not_found");
        let id = conversation(channel).ok_or_else(unknown)?;
        let listed = |known: &String| known == channel || conversation(known).as_ref() == Some(&id);
        if !self.config.channels.is_empty() && !self.config.channels.iter().any(listed) {
            return Err(unknown());
        }
        if let Some(word) = marked(&self.config.recipients, channel) {
            return Err(Refusal::word(word.to_owned()));
        }
        let content = Content::read(&arguments.fields)?;
        self.take(&id, now)?;
        let ts = self.accept(channel, &content, body, now);
        let mut message = json!({
            "type": "message", "subtype": "bot_message", "text": content.text, "ts": ts, "bot_id": BOT, "team": TEAM,
            "user": USER,
        });
        for (name, value) in [("blocks", content.blocks), ("attachments", content.attachments.map(numbered))] {
            if let Some(value) = value {
                message[name] = value;
            }
        }
        for name in ["username", "thread_ts"] {
            if let Some(value) = arguments.text(name) {
                message[name] = value.into();
            }
        }
        Ok(json!({ "ok": true, "channel": id, "ts": ts, "message": message }))
    }

    fn hook(&self, path: &str, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::word("invalid_payload"));
        }
        let webhook = self.webhook(path)?;
        let content = Content::read(&payload(header(head, "content-type"), body)?)?;
        if let Some(word) = marked(&self.config.recipients, &webhook.channel) {
            return Err(Refusal::word(word.to_owned()));
        }
        if self.take(&webhook.channel, now).is_err() {
            return Ok(self.throttled(head.uri.path(), None));
        }
        self.accept(&webhook.channel, &content, body, now);
        Ok(text(StatusCode::OK, "ok"))
    }

    /// The webhook of a path, or which part of it is not known.
    fn webhook(&self, path: &str) -> Result<&Webhook, Refusal> {
        let all = &self.config.webhooks;
        let parts = |path: &str| -> Vec<String> { path.splitn(3, '/').map(str::to_owned).collect() };
        let given = parts(path);
        let shares = |depth: usize| all.iter().find(|hook| parts(&hook.path).get(..depth) == given.get(..depth));
        let [team, service, whole] = [1, 2, 3].map(shares);
        match () {
            () if given.len() == 3 && whole.is_some() => whole.ok_or_else(|| Refusal::word("no_service")),
            () if team.is_none() => Err(Refusal::word("no_team")),
            () if service.is_none() || given.len() < 3 => Err(Refusal::word("no_service")),
            () => Err(Refusal::word("invalid_token")),
        }
    }

    /// Counts a message of a channel.
    fn take(&self, channel: &str, now: Instant) -> Result<(), Refusal> {
        let since = now.saturating_duration_since(self.hall.started);
        let granted = |pace: &Mutex<PaceEach>| pace.lock().unwrap_or_else(PoisonError::into_inner).take(channel, since);
        if self.pace.as_ref().is_none_or(granted) { Ok(()) } else { Err(Refusal::word("ratelimited")) }
    }

    /// Records a message, and says its `ts`.
    fn accept(&self, channel: &str, content: &Content, body: &Bytes, now: Instant) -> String {
        let arrival = Arrival {
            provider: Provider::Slack,
            message: content.message.as_deref().unwrap_or_default(),
            recipient: channel,
            idempotency_key: "",
            message_id: "",
            body_hash: first_64_bits(Sha256::new_with_prefix(body)),
            joined: false,
        };
        let sequence = self.hall.record.append(&[arrival], body, now);
        self.hall.record.slack_ts(sequence, now)
    }
}

/// Attachments as they are shown: counted from 1.
fn numbered(mut attachments: Value) -> Value {
    for (index, attachment) in attachments.as_array_mut().into_iter().flatten().enumerate() {
        attachment["id"] = (index + 1).into();
    }
    attachments
}

impl HttpProvider for Slack {
    const PROVIDER: Provider = Provider::Slack;
    const MAX_BODY: usize = 1 << 20;

    fn sends(method: &Method, path: &str) -> bool {
        let posts = path.strip_prefix(API) == Some(POST_MESSAGE);
        posts || (*method == Method::POST && path.starts_with(SERVICES))
    }

    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        let path = head.uri.path();
        if let Some(hook) = path.strip_prefix(SERVICES) {
            return self.hook(hook, head, body, now).unwrap_or_else(|refusal| refusal.plain());
        }
        match path.strip_prefix(API) {
            Some(method) => self.call(method, head, body, now).unwrap_or_else(|refusal| refusal.answer()),
            None => text(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn failure(&self, path: &str, status: StatusCode, code: Option<&str>) -> Answer {
        let refusal = code.map_or_else(|| Refusal::for_status(status), |word| Refusal::word(word.to_owned()));
        match () {
            // A webhook's words come with statuses of their own, unless the fault sets another.
            () if path.starts_with(SERVICES) && status == StatusCode::OK => refusal.plain(),
            () if path.starts_with(SERVICES) => text(status, &refusal.error),
            () if status == StatusCode::OK => refusal.answer(),
            () => refusal.with_status(status),
        }
    }

    fn throttled(&self, path: &str, retry_after: Option<u32>) -> Answer {
        let refusal = Refusal::word("ratelimited");
        let hook = path.starts_with(SERVICES);
        let answer = if hook { refusal.plain() } else { refusal.with_status(StatusCode::TOO_MANY_REQUESTS) };
        answer.header("retry-after", retry_after.unwrap_or(1))
    }

    fn unauthorised(&self, path: &str) -> Answer {
        if path.starts_with(SERVICES) {
            return Refusal::word("invalid_token").plain();
        }
        Refusal::word("invalid_auth").answer()
    }
}
