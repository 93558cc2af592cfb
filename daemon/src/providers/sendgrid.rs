//! SendGrid's v3 Mail Send: e-mail over HTTPS, one message in a request.
//!
//! A request can hold a thousand personalizations, but they share one `content`, and no two guests' letters are equal:
//! each carries its own way to opt out. Substitutions could make up for it only within 10 000 bytes a guest, and SendGrid
//! keeps no idempotency keys, so a batch whose answer is lost would be lost to doubt as a whole. Hence one at a time. What
//! is in doubt is told by the event webhook, which brings our id back as a custom argument.
//! Source: Twilio's OpenAPI description and SendGrid's documentation, read 2026-11.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use usher_common::model::{Channel, OutcomeClass, ProviderKind};

use super::http::{Http, Reply, bearer, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::smtp::compose::{mailbox, plain_line};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation};

const VENDOR: &str = "https://api.sendgrid.com";

/// What the whole message may have, in bytes.
const MESSAGE_MAX: usize = 30_000_000;

/// Header fields that SendGrid writes itself and refuses from us, in small letters.
const RESERVED: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

/// The adapter for one SendGrid account or subuser.
pub(super) struct SendGrid {
    name: String,
    http: Http,
    authorization: HeaderValue,
    sender: Option<String>,
    sender_name: Option<String>,
}

#[derive(Serialize)]
struct Mail<'a> {
    personalizations: [Personalization<'a>; 1],
    from: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Address>,
    subject: &'a str,
    content: Vec<Content<'a>>,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: [Address; 1],
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    headers: serde_json::Map<String, serde_json::Value>,
    custom_args: CustomArgs<'a>,
}

#[derive(Serialize)]
struct CustomArgs<'a> {
    usher_message: &'a str,
}

#[derive(Serialize)]
struct Address {
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: &'static str,
    value: &'a str,
}

impl Address {
    /// Checked as strictly as an SMTP header would have it, so that nothing depends on SendGrid's leniency.
    fn new(address: &str, name: &str) -> Result<Self, String> {
        let checked = mailbox(address, name)?;
        Ok(Self { email: checked.email.to_string(), name: checked.name.filter(|name| !name.is_empty()) })
    }
}

impl SendGrid {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let secret = config.need("secret", config.secret.as_ref())?;
        Ok(Self {
            name: config.name.clone(),
            http: Http::new(config, VENDOR)?,
            authorization: bearer(config, "secret", secret)?,
            sender: config.sender.clone(),
            sender_name: config.sender_name.clone(),
        })
    }

    fn mail(&self, message: &Outgoing) -> Result<Vec<u8>, PrepareError> {
        let id = message.message;
        let sender = |why| PrepareError::Sender { message: id, why };
        let content = |why| PrepareError::Content { message: id, why };
        let mut headers = serde_json::Map::new();
        for (name, value) in &message.headers {
            let name = plain_line(name).map_err(content)?;
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(content(format!("SendGrid writes the header {name} itself")));
            }
            headers.insert(name.to_owned(), plain_line(value).map_err(content)?.into());
        }
        let subject = plain_line(&message.subject).map_err(content)?;
        if subject.is_empty() || message.text.is_empty() {
            return Err(content("SendGrid takes no message without subject or text".to_owned()));
        }
        let from = self.sender.as_deref().unwrap_or(&message.from.address);
        // SendGrid takes no letters beyond ASCII beside the sender; the bare address is better than a refusal.
        let from_name = self.sender_name.as_deref().unwrap_or(&message.from.name);
        let from_name = if from_name.is_ascii() { from_name } else { "" };
        let mut parts = vec![Content { r#type: "text/plain", value: &message.text }];
        if !message.html.is_empty() {
            parts.push(Content { r#type: "text/html", value: &message.html });
        }
        let correlation = correlation(message);
        let to = Address::new(&message.to, &message.to_name);
        let mail = Mail {
            personalizations: [Personalization {
                to: [to.map_err(|why| PrepareError::Recipient { message: id, why })?],
                headers,
                custom_args: CustomArgs { usher_message: &correlation },
            }],
            from: Address::new(from, from_name).map_err(sender)?,
            reply_to: message.reply_to.as_deref().map(|to| Address::new(to, "")).transpose().map_err(sender)?,
            subject,
            content: parts,
        };
        let bytes = serde_json::to_vec(&mail).expect("strings, and maps with string keys, are always JSON");
        if bytes.len() >= MESSAGE_MAX {
            return Err(content(format!("{} bytes, and SendGrid takes less than {MESSAGE_MAX}", bytes.len())));
        }
        Ok(bytes)
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let post = self
            .http
            .post("/v3/mail/send")
            .header(AUTHORIZATION, &self.authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(request.bytes.clone());
        let answer = match self.http.exchange(post).await {
            Ok(reply) => classify(&reply),
            Err(silence) => silence.answer(),
        };
        vec![answer; request.messages]
    }

    async fn ask(&self) -> Probe {
        let get = self.http.get("/v3/scopes").header(AUTHORIZATION, &self.authorization);
        match self.http.exchange(get.header(ACCEPT, "application/json")).await {
            Ok(reply) => judge_probe(&reply),
            Err(silence) => Probe::Down(silence.detail().to_owned()),
        }
    }
}

impl Provider for SendGrid {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::SendGrid
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn traits(&self) -> Traits {
        // SendGrid does not say whether it takes non-ASCII local parts; until it does, they go by SMTP.
        Traits { batch_max: 1, keeps_keys: None, smtp_utf8: false, lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        Ok(Prepared::new(1, Bytes::from(self.mail(message)?), key))
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
struct Faults {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
    #[serde(default)]
    field: Option<String>,
}

/// What an answer means.
pub(super) fn classify(reply: &Reply) -> Answer {
    let code = reply.status.to_string();
    if (200..300).contains(&reply.status) {
        // 200 is the sandbox's "would have been sent"; only 202 with an id says that it is on its way.
        return match (reply.status, reply.text("x-message-id")) {
            (202, id) if !id.is_empty() => Answer::accepted(code, id),
            _ => Answer::new(OutcomeClass::Unknown, None, code, "the answer was good but names no message"),
        };
    }
    let faults = serde_json::from_slice::<Faults>(&reply.body).map(|faults| faults.errors).unwrap_or_default();
    let (class, scope) = by_faults(reply.status, &faults);
    let detail = match faults.first() {
        Some(fault) => {
            fault.field.as_ref().map_or_else(|| fault.message.clone(), |f| format!("{}: {f}", fault.message))
        }
        None => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    Answer::new(class, scope, code, &detail).after(asked_wait(reply).filter(|_| class == OutcomeClass::Throttled))
}

fn by_faults(status: u16, faults: &[Fault]) -> (OutcomeClass, Option<Scope>) {
    use OutcomeClass::{Recipient, Refused, Unusable};
    match status {
        400 if faults.iter().any(Fault::blames_recipient) => (Recipient, None),
        403 if faults.iter().any(Fault::blames_sender) => (Unusable, Some(Scope::Sender)),
        404..=406 => (Refused, None),
        // The other continent's host is the right one; which recipients that concerns, only a person can tell.
        451 => (Unusable, Some(Scope::Region)),
        _ => by_status(status),
    }
}

impl Fault {
    /// `personalizations.0.to.0.email` with the one complaint that is about the address itself.
    fn blames_recipient(&self) -> bool {
        let field = self.field.as_deref().unwrap_or_default();
        let mut parts = field.split('.').filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()));
        parts.next() == Some("personalizations")
            && matches!(parts.next(), Some("to" | "cc" | "bcc"))
            && parts.next() == Some("email")
            && self.message.to_ascii_lowercase().contains("valid address")
    }

    fn blames_sender(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        message.contains("from address") || message.contains("sender identity")
    }
}

/// SendGrid gives the second at which its window begins anew, by its own clock, which `Date` tells.
fn asked_wait(reply: &Reply) -> Option<Duration> {
    let reset: i64 = reply.text("x-ratelimit-reset").trim().parse().ok()?;
    let now = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(reply.text("date")).ok()?.as_second();
    u64::try_from(reset - now).ok().map(Duration::from_secs)
}

#[derive(Deserialize)]
struct Scopes {
    scopes: Vec<String>,
}

fn judge_probe(reply: &Reply) -> Probe {
    match reply.status {
        200..=299 => match serde_json::from_slice::<Scopes>(&reply.body) {
            Ok(key) if key.scopes.iter().any(|scope| scope == "mail.send") => Probe::Up("may send mail".to_owned()),
            Ok(_) => Probe::Unusable("the key may not send: give it the scope mail.send".to_owned()),
            Err(_) => Probe::Down("the key's scopes could not be read from the answer".to_owned()),
        },
        429 => Probe::Up("answers, and throttles".to_owned()),
        401 => Probe::Unusable(classify(reply).detail),
        // A key may be allowed to send and yet not to list what it is allowed.
        403 => Probe::Unclear("answers; this key may not list its scopes".to_owned()),
        status => Probe::Down(format!("HTTP {status} {}", classify(reply).detail)),
    }
}

#[cfg(test)]
#[path = "sendgrid_tests.rs"]
mod tests;
