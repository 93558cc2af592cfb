//! A webhook of one's own: any gateway that takes Usher's JSON, for the channel that is configured for it.
//!
//! What is sent, how it is signed and what each answer means is a contract, and stands in `docs/providers/webhook.md`;
//! a test keeps the two together. A gateway that keeps idempotency keys, and says so in the configuration, has its
//! doubtful requests repeated under them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use usher_common::model::{Channel, OutcomeClass, ProviderKind, WhatsAppTemplate};

use super::http::{Http, Reply, bearer, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation};
use crate::clock::Clock;

/// Shape of the body; a reader may rely on it.
const VERSION: u32 = 1;

const KEY_MAX: usize = 256;

const TIMESTAMP: &str = "usher-timestamp";
const SIGNATURE: &str = "usher-signature";

/// The adapter for one gateway.
pub(super) struct Webhook {
    name: String,
    channel: Channel,
    http: Http,
    signing_secret: SecretString,
    authorization: Option<HeaderValue>,
    sender: Option<String>,
    sender_name: Option<String>,
    keeps_keys: Option<Duration>,
    clock: Clock,
}

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    message: String,
    channel: Channel,
    to: Party<'a>,
    from: Party<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    html: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a WhatsAppTemplate>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message_id: &'a str,
    date: String,
}

#[derive(Serialize)]
struct Party<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

impl Webhook {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        Self::with_clock(config, Clock::system())
    }

    fn with_clock(config: &ProviderConfig, clock: Clock) -> Result<Self, BuildError> {
        let webhook = config.need("webhook", config.webhook.as_ref())?;
        let hours = u64::from(webhook.keeps_keys_hours);
        Ok(Self {
            name: config.name.clone(),
            channel: webhook.channel,
            http: Http::at(config, "webhook.url", &webhook.url)?,
            signing_secret: webhook.signing_secret.clone(),
            authorization: config.secret.as_ref().map(|secret| bearer(config, "secret", secret)).transpose()?,
            sender: config.sender.clone(),
            sender_name: config.sender_name.clone(),
            keeps_keys: (hours > 0).then(|| Duration::from_hours(hours)),
            clock,
        })
    }

    fn body(&self, message: &Outgoing) -> Result<Vec<u8>, PrepareError> {
        let id = message.message;
        if message.to.is_empty() {
            return Err(PrepareError::Recipient { message: id, why: "it is empty".to_owned() });
        }
        let date = jiff::Timestamp::from_millisecond(message.date.0)
            .map_err(|error| PrepareError::Content { message: id, why: error.to_string() })?;
        let body = Body {
            version: VERSION,
            message: correlation(message),
            channel: self.channel,
            to: Party { address: &message.to, name: &message.to_name },
            from: Party {
                address: self.sender.as_deref().unwrap_or(&message.from.address),
                name: self.sender_name.as_deref().unwrap_or(&message.from.name),
            },
            reply_to: message.reply_to.as_deref(),
            subject: &message.subject,
            text: &message.text,
            html: &message.html,
            headers: message.headers.iter().map(|(name, value)| Header { name, value }).collect(),
            template: message.template.as_ref(),
            message_id: &message.rfc_message_id,
            date: date.to_string(),
        };
        Ok(serde_json::to_vec(&body).expect("strings are always JSON"))
    }

    /// The two headers that prove who wrote `body`, and when it was sent.
    fn proof(&self, body: &[u8]) -> [(&'static str, String); 2] {
        let seconds = self.clock.now().0.div_euclid(1000);
        let signature = sign(self.signing_secret.expose_secret().as_bytes(), seconds, body);
        [(TIMESTAMP, seconds.to_string()), (SIGNATURE, signature)]
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let mut post = self
            .http
            .post_there()
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", &request.key)
            .body(request.bytes.clone());
        for (name, value) in self.proof(&request.bytes) {
            post = post.header(name, value);
        }
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        let answer = match self.http.exchange(post).await {
            Ok(reply) => classify(&reply),
            Err(silence) => silence.answer(),
        };
        vec![answer; request.messages]
    }

    async fn ask(&self) -> Probe {
        let mut get = self.http.get_there();
        for (name, value) in self.proof(b"") {
            get = get.header(name, value);
        }
        if let Some(authorization) = &self.authorization {
            get = get.header(AUTHORIZATION, authorization);
        }
        match self.http.exchange(get).await {
            Ok(reply) => judge_probe(&reply),
            Err(silence) => Probe::Down(silence.detail().to_owned()),
        }
    }
}

impl Provider for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Webhook
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    fn traits(&self) -> Traits {
        // Addresses are written as JSON has them, so one with letters beyond ASCII is no harder than another.
        Traits { batch_max: 1, keeps_keys: self.keeps_keys, smtp_utf8: true, lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PrepareError::Key { provider: self.name.clone(), max: KEY_MAX, got: key.len() });
        }
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

/// `v1=` and the HMAC-SHA256, in small hexadecimal digits, of the seconds in digits, a dot, and the body.
fn sign(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// What a gateway may say of itself; all of it may be left out.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    id: String,
    #[serde(default)]
    class: Option<OutcomeClass>,
    #[serde(default)]
    scope: Option<Word>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Account,
    Sender,
    Region,
    Recipient,
}

impl From<Word> for Scope {
    fn from(word: Word) -> Self {
        match word {
            Word::Account => Self::Account,
            Word::Sender => Self::Sender,
            Word::Region => Self::Region,
            Word::Recipient => Self::Recipient,
        }
    }
}

/// What an answer means: the class that the gateway names, else the most that its status proves.
pub(super) fn classify(reply: &Reply) -> Answer {
    let status = reply.status;
    let parsed = serde_json::from_slice::<Said>(&reply.body);
    let detail = match &parsed {
        Ok(said) => said.detail.clone(),
        Err(_) => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    let said = parsed.unwrap_or_default();
    let code = if is_code(&said.code) { said.code } else { status.to_string() };
    let good = (200..300).contains(&status);
    // "Accepted" with a bad status contradicts itself, and the status is what a proxy would have made.
    let named = said.class.filter(|class| good || *class != OutcomeClass::Accepted);
    let (class, usual) = match named {
        Some(OutcomeClass::Accepted) => (OutcomeClass::Accepted, None),
        Some(class @ (OutcomeClass::Throttled | OutcomeClass::Unusable)) => (class, Some(Scope::Account)),
        Some(class) => (class, None),
        None if good => (OutcomeClass::Accepted, None),
        None => match status {
            410 => (OutcomeClass::Recipient, None),
            // Nobody is there who would know the message: a wrong path, or a method that the gateway does not know.
            404 | 405 => (OutcomeClass::Unusable, Some(Scope::Account)),
            _ => by_status(status),
        },
    };
    if class == OutcomeClass::Accepted {
        return Answer::accepted(code, super::clean(&said.id));
    }
    let scope = usual.map(|usual| said.scope.map_or(usual, Scope::from));
    let wait = reply.seconds("retry-after").filter(|_| class == OutcomeClass::Throttled);
    Answer::new(class, scope, code, &detail).after(wait)
}

/// A code goes into records and sums as it is: one word without the signs of an address.
fn is_code(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

fn judge_probe(reply: &Reply) -> Probe {
    match reply.status {
        200..=299 => Probe::Up("answers".to_owned()),
        // A gateway that knows only POST proves by this that it is there; it does not prove that the token is good.
        405 | 501 => Probe::Unclear("answers; it takes no questions".to_owned()),
        429 => Probe::Up("answers, and throttles".to_owned()),
        300..=399 | 401..=404 | 407 => Probe::Unusable(format!("HTTP {}", reply.status)),
        status => Probe::Down(super::clean(&format!("HTTP {status} {}", classify(reply).detail))),
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
