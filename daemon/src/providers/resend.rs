//! Resend: e-mail over HTTPS, one or up to a hundred in a request.
//!
//! Resend keeps idempotency keys for 24 hours, so an attempt in doubt is settled by repeating the same bytes under the
//! same key. A batch is all or nothing (`x-batch-validation: strict`). Source: resend.com/docs, read 2026-11.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use usher_common::model::{Channel, OutcomeClass, ProviderKind};

use super::http::{Http, Reply, bearer, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::smtp::compose::{mailbox, plain_line};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation};

const VENDOR: &str = "https://api.resend.com";
const BATCH_MAX: usize = 100;
const KEY_MAX: usize = 256;
const KEEPS_KEYS: Duration = Duration::from_hours(24);

/// The daily quota says nothing of when it ends; asked again hourly, it costs 24 requests at most.
const QUOTA_WAIT: Duration = Duration::from_hours(1);

/// The adapter for one Resend account.
pub(super) struct Resend {
    name: String,
    http: Http,
    authorization: HeaderValue,
    sender: Option<String>,
    sender_name: Option<String>,
    batch_max: usize,
}

#[derive(Serialize)]
struct Email {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    html: String,
    text: String,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    headers: serde_json::Map<String, serde_json::Value>,
    tags: [Tag; 1],
}

#[derive(Serialize)]
struct Tag {
    name: &'static str,
    value: String,
}

impl Resend {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let secret = config.need("secret", config.secret.as_ref())?;
        Ok(Self {
            name: config.name.clone(),
            http: Http::new(config, VENDOR)?,
            authorization: bearer(config, "secret", secret)?,
            sender: config.sender.clone(),
            sender_name: config.sender_name.clone(),
            batch_max: config.batch_size.unwrap_or(BATCH_MAX).min(BATCH_MAX),
        })
    }

    fn email(&self, message: &Outgoing) -> Result<Email, PrepareError> {
        let id = message.message;
        let sender = |why| PrepareError::Sender { message: id, why };
        let content = |why| PrepareError::Content { message: id, why };
        let from = self.sender.as_deref().unwrap_or(&message.from.address);
        let from_name = self.sender_name.as_deref().unwrap_or(&message.from.name);
        let mut headers = serde_json::Map::new();
        for (name, value) in &message.headers {
            headers.insert(plain_line(name).map_err(content)?.to_owned(), plain_line(value).map_err(content)?.into());
        }
        Ok(Email {
            from: mailbox(from, from_name).map_err(sender)?.to_string(),
            to: mailbox(&message.to, &message.to_name)
                .map_err(|why| PrepareError::Recipient { message: id, why })?
                .to_string(),
            reply_to: message
                .reply_to
                .as_deref()
                .map(|address| mailbox(address, ""))
                .transpose()
                .map_err(sender)?
                .as_ref()
                .map(Mailbox::to_string),
            subject: plain_line(&message.subject).map_err(content)?.to_owned(),
            html: message.html.clone(),
            text: message.text.clone(),
            headers,
            tags: [Tag { name: "usher_message", value: correlation(message) }],
        })
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let path = if request.messages == 1 { "/emails" } else { "/emails/batch" };
        let mut post = self
            .http
            .post(path)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", &request.key);
        if request.messages != 1 {
            post = post.header("x-batch-validation", "strict");
        }
        match self.http.exchange(post.body(request.bytes.clone())).await {
            Ok(reply) => classify(&reply, request.messages),
            Err(silence) => vec![silence.answer(); request.messages],
        }
    }

    async fn ask(&self) -> Probe {
        let get = self.http.get("/domains").header(AUTHORIZATION, &self.authorization);
        match self.http.exchange(get).await {
            Ok(reply) => judge_probe(&reply),
            Err(silence) => Probe::Down(silence.detail().to_owned()),
        }
    }
}

impl Provider for Resend {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Resend
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn traits(&self) -> Traits {
        // Resend does not say whether it takes non-ASCII local parts; until it does, they go by SMTP.
        Traits { batch_max: self.batch_max, keeps_keys: Some(KEEPS_KEYS), smtp_utf8: false, lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        if messages.is_empty() || messages.len() > self.batch_max {
            let (provider, max) = (self.name.clone(), self.batch_max);
            return Err(PrepareError::Count { provider, max, got: messages.len() });
        }
        if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PrepareError::Key { provider: self.name.clone(), max: KEY_MAX, got: key.len() });
        }
        let emails = messages.iter().map(|message| self.email(message)).collect::<Result<Vec<_>, _>>()?;
        let body = match emails.as_slice() {
            [only] => serde_json::to_vec(only),
            several => serde_json::to_vec(several),
        };
        let body = body.expect("strings, and maps with string keys, are always JSON");
        Ok(Prepared::new(messages.len(), Bytes::from(body), key))
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

#[derive(Deserialize)]
struct Fault {
    name: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

#[derive(Deserialize)]
struct TakenBatch {
    data: Vec<Taken>,
}

/// What an answer to a request for `messages` messages means for each of them.
pub(super) fn classify(reply: &Reply, messages: usize) -> Vec<Answer> {
    if (200..300).contains(&reply.status) {
        let ids = ids(&reply.body, messages);
        return ids.unwrap_or_else(|| {
            let detail = "the answer was good but did not name every message";
            vec![Answer::new(OutcomeClass::Unknown, None, reply.status.to_string(), detail); messages]
        });
    }
    vec![refusal(reply, messages == 1); messages]
}

fn ids(body: &[u8], messages: usize) -> Option<Vec<Answer>> {
    let taken = if messages == 1 {
        vec![serde_json::from_slice::<Taken>(body).ok()?]
    } else {
        serde_json::from_slice::<TakenBatch>(body).ok()?.data
    };
    let complete = taken.len() == messages && taken.iter().all(|one| !one.id.is_empty());
    complete.then(|| taken.into_iter().map(|one| Answer::accepted("200", one.id)).collect())
}

fn refusal(reply: &Reply, single: bool) -> Answer {
    use OutcomeClass::{Recipient, Refused, Throttled, Unknown, Unusable};
    let Ok(fault) = serde_json::from_slice::<Fault>(&reply.body) else {
        let text = String::from_utf8_lossy(&reply.body);
        // The edge in front of the API refuses a request without User-Agent in plain text.
        let (class, scope) = if text.contains("error code: 1010") { (Refused, None) } else { by_status(reply.status) };
        return Answer::new(class, scope, reply.status.to_string(), &text).after(asked_wait(reply, class));
    };
    let (class, scope) = match (reply.status, fault.name.as_str()) {
        (
            401 | 403,
            "missing_api_key" | "restricted_api_key" | "invalid_api_key" | "suspended_api_key" | "invalid_permission",
        )
        | (429, "monthly_quota_exceeded") => (Unusable, Some(Scope::Account)),
        (403, "validation_error") | (422, "invalid_from_address") => (Unusable, Some(Scope::Sender)),
        (429, _) => (Throttled, Some(Scope::Account)),
        // One bad address refuses a whole batch: only of a message alone does it say anything about the recipient.
        (400 | 422, "validation_error") if single && names_recipient(&fault.message) => (Recipient, None),
        (400 | 404 | 405 | 422 | 451, _) => (Refused, None),
        // Under a key that was used before, the first payload was or is being processed.
        (409 | 500..=599, _) => (Unknown, None),
        (status, _) => by_status(status),
    };
    let wait = match fault.name.as_str() {
        "daily_quota_exceeded" => Some(asked_wait(reply, class).unwrap_or_default().max(QUOTA_WAIT)),
        _ => asked_wait(reply, class),
    };
    Answer::new(class, scope, fault.name, &fault.message).after(wait)
}

/// How long a throttled request should wait: `retry-after`, else the reset of the rate window.
fn asked_wait(reply: &Reply, class: OutcomeClass) -> Option<Duration> {
    if class != OutcomeClass::Throttled {
        return None;
    }
    reply.seconds("retry-after").or_else(|| reply.seconds("ratelimit-reset"))
}

fn names_recipient(message: &str) -> bool {
    message.contains("`to`") || message.contains("'to'") || message.contains("\"to\"")
}

fn judge_probe(reply: &Reply) -> Probe {
    let answer = refusal(reply, false);
    match (reply.status, answer.code.as_str()) {
        (200..=299, _) => Probe::Up("domains listed".to_owned()),
        // A key that may only send is refused here, which proves that it is a good key.
        (401, "restricted_api_key") => Probe::Up("a sending-only key, which is valid".to_owned()),
        (429, _) => Probe::Up("answers, and throttles".to_owned()),
        (401 | 403, _) => Probe::Unusable(format!("{}: {}", answer.code, answer.detail)),
        (status, _) => Probe::Down(format!("HTTP {status} {}", answer.detail)),
    }
}

#[cfg(test)]
#[path = "resend_tests.rs"]
mod tests;
