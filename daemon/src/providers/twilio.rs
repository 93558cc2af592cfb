//! Twilio Programmable Messaging: SMS over HTTPS, one message in a request.
//!
//! Twilio keeps no idempotency keys for messages: an attempt in doubt can only be looked up, by recipient and text, or
//! waited for, by its status report. Source: Twilio's OpenAPI description and error dictionary, read 2026-11.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use usher_common::model::{Channel, OutcomeClass, ProviderKind, Timestamp};

use super::http::{Http, Reply, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::{
    Answer, Balance, Found, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation,
    is_e164,
};

const VENDOR: &str = "https://api.twilio.com";

/// Longest text that Twilio takes, in characters; it refuses a longer one with 21617.
const TEXT_MAX: usize = 1600;

/// Twilio writes whole seconds of its own clock: a message made this much before the attempt may still be its.
const CLOCK_SLACK_MS: i64 = 60_000;

/// The adapter for one Twilio account.
pub(super) struct Twilio {
    name: String,
    http: Http,
    account: String,
    user: String,
    secret: SecretString,
    sender: Option<String>,
    status_callback: Option<Url>,
}

impl Twilio {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let value = |key, why: &str| BuildError::Value { provider: config.name.clone(), key, why: why.to_owned() };
        let account = config.need("account", config.account.as_ref())?.clone();
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(value("account", "an Account SID is `AC` and 32 hexadecimal digits"));
        }
        let status_callback = match config.status_callback.as_deref().map(Url::parse) {
            None => None,
            Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => Some(url),
            Some(_) => return Err(value("status_callback", "it is the public https address for status reports")),
        };
        Ok(Self {
            name: config.name.clone(),
            http: Http::new(config, VENDOR)?,
            user: config.user.clone().unwrap_or_else(|| account.clone()),
            account,
            secret: config.need("secret", config.secret.as_ref())?.clone(),
            sender: config.sender.clone(),
            status_callback,
        })
    }

    fn form(&self, message: &Outgoing) -> Result<String, PrepareError> {
        let id = message.message;
        let recipient = |why: &str| PrepareError::Recipient { message: id, why: why.to_owned() };
        let content = |why: String| PrepareError::Content { message: id, why };
        if !is_e164(&message.to) {
            return Err(recipient("it is no number in international form, such as +14155550123"));
        }
        let from = self.sender.as_deref().unwrap_or(&message.from.address);
        if from.is_empty() {
            return Err(PrepareError::Sender { message: id, why: "there is none".to_owned() });
        }
        match message.text.chars().count() {
            0 => return Err(content("its text is empty".to_owned())),
            long if long > TEXT_MAX => return Err(content(format!("{long} characters, and Twilio takes {TEXT_MAX}"))),
            _ => {}
        }
        let sender_field = if is_service(from) { "MessagingServiceSid" } else { "From" };
        let mut fields =
            vec![("To", message.to.clone()), (sender_field, from.to_owned()), ("Body", message.text.clone())];
        if let Some(base) = &self.status_callback {
            let mut callback = base.clone();
            callback.query_pairs_mut().append_pair("usher_message", &correlation(message));
            fields.push(("StatusCallback", callback.into()));
        }
        Ok(form_encoded(&fields))
    }

    fn resource(&self, rest: &str) -> String {
        format!("/2010-04-01/Accounts/{}{rest}", self.account)
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let post = self
            .http
            .post(&self.resource("/Messages.json"))
            .basic_auth(&self.user, Some(self.secret.expose_secret()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(request.bytes.clone());
        let answer = match self.http.exchange(post).await {
            Ok(reply) => classify(&reply),
            Err(silence) => silence.answer(),
        };
        vec![answer; request.messages]
    }

    async fn read(&self, path: &str) -> Result<Reply, String> {
        let get = self.http.get(path).basic_auth(&self.user, Some(self.secret.expose_secret()));
        self.http.exchange(get).await.map_err(|silence| silence.detail().to_owned())
    }

    async fn look_up(&self, message: &Outgoing, since: Timestamp) -> Found {
        // Not narrowed by `DateSent`: a message that still waits at Twilio has none and would be missed.
        let query = form_encoded(&[("To", message.to.clone()), ("PageSize", "1000".to_owned())]);
        let path = format!("{}?{query}", self.resource("/Messages.json"));
        match self.read(&path).await {
            Ok(reply) if reply.status == 200 => match serde_json::from_slice::<Page>(&reply.body) {
                Ok(page) => page.find(message, since),
                Err(error) => Found::Failed(format!("the list could not be read: {error}")),
            },
            Ok(reply) => Found::Failed(format!("HTTP {} {}", reply.status, classify(&reply).detail)),
            Err(detail) => Found::Failed(detail),
        }
    }

    async fn money(&self) -> Balance {
        let reply = match self.read(&self.resource("/Balance.json")).await {
            Ok(reply) if reply.status == 200 => reply,
            Ok(reply) => return Balance::Failed(format!("HTTP {} {}", reply.status, classify(&reply).detail)),
            Err(detail) => return Balance::Failed(detail),
        };
        match serde_json::from_slice::<Money>(&reply.body).map(|money| (money.balance.parse(), money.currency)) {
            Ok((Ok(amount), currency)) => Balance::Left { amount, currency },
            _ => Balance::Failed("the balance could not be read from the answer".to_owned()),
        }
    }

    async fn ask(&self) -> Probe {
        match self.read(&self.resource(".json")).await {
            Ok(reply) => judge_probe(&reply, self.user.starts_with("SK")),
            Err(detail) => Probe::Down(detail),
        }
    }
}

impl Provider for Twilio {
    fn name(&self) -> &str {
        &self.name
    }

    /// Our id goes out in the query of the callback; one that is set at Twilio, for a Messaging Service, does not have it.
    fn echoes(&self) -> bool {
        self.status_callback.is_some()
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Twilio
    }

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    fn traits(&self) -> Traits {
        Traits { batch_max: 1, keeps_keys: None, smtp_utf8: false, lookup: true }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        Ok(Prepared::new(1, Bytes::from(self.form(message)?), key))
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

    fn balance(&self) -> BoxFuture<'_, Balance> {
        self.money().boxed()
    }

    fn find<'a>(&'a self, message: &'a Outgoing, since: Timestamp) -> BoxFuture<'a, Found> {
        self.look_up(message, since).boxed()
    }
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

/// What an answer means.
pub(super) fn classify(reply: &Reply) -> Answer {
    let status = reply.status;
    if (200..300).contains(&status) {
        return match serde_json::from_slice::<Created>(&reply.body) {
            Ok(created) if !created.sid.is_empty() => Answer::accepted(status.to_string(), created.sid),
            _ => {
                Answer::new(OutcomeClass::Unknown, None, status.to_string(), "the answer was good but names no message")
            }
        };
    }
    let Ok(fault) = serde_json::from_slice::<Fault>(&reply.body) else {
        let (class, scope) = by_status(status);
        return Answer::new(class, scope, status.to_string(), &String::from_utf8_lossy(&reply.body));
    };
    let (class, scope) = by_code(status, fault.code);
    Answer::new(class, scope, fault.code.to_string(), &fault.message)
        .after(reply.seconds("retry-after").filter(|_| class == OutcomeClass::Throttled))
}

fn by_code(status: u16, code: u32) -> (OutcomeClass, Option<Scope>) {
    use OutcomeClass::{Recipient, Refused, Throttled, Unknown, Unusable};
    // A server that failed may have made the message first, whatever code it gives.
    if status >= 500 {
        return (Unknown, None);
    }
    match code {
        21211 | 21610 | 21612 | 21614 => (Recipient, None),
        21408 => (Unusable, Some(Scope::Region)),
        21212 | 21601 | 21606 | 21608 | 21659 | 21701 | 21703..=21705 => (Unusable, Some(Scope::Sender)),
        21602..=21604 | 21609 | 21617 | 21618 | 21620 | 21654 | 21656 | 21910 | 20404 => (Refused, None),
        14107 | 20429 | 21611 => (Throttled, Some(Scope::Account)),
        20003 | 20005 | 20006 | 20008 | 20403 => (Unusable, Some(Scope::Account)),
        _ => by_status(status),
    }
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Listed>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    sid: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    direction: String,
    date_created: String,
}

impl Page {
    fn find(&self, message: &Outgoing, since: Timestamp) -> Found {
        let concerns = |listed: &&Listed| {
            listed.direction.starts_with("outbound")
                && listed.to.as_deref() == Some(&message.to)
                && super::rfc2822(&listed.date_created).is_none_or(|made| made.plus_millis(CLOCK_SLACK_MS) >= since)
        };
        // The list does not carry our id: equal messages to the same number look the same. Nor need a text be shown as it was
        // sent: an account may keep none, and a Messaging Service writes letters anew.
        let (fits, others): (Vec<&Listed>, Vec<&Listed>) =
            self.messages.iter().filter(concerns).partition(|listed| listed.body.as_deref() == Some(&message.text));
        let sids = |listed: Vec<&Listed>| listed.into_iter().map(|one| one.sid.clone()).collect();
        Found::Listed { fits: sids(fits), others: sids(others), complete: self.next_page_uri.is_none() }
    }
}

#[derive(Deserialize)]
struct Account {
    status: String,
}

#[derive(Deserialize)]
struct Money {
    balance: String,
    currency: String,
}

fn judge_probe(reply: &Reply, restricted_key: bool) -> Probe {
    match reply.status {
        200..=299 => match serde_json::from_slice::<Account>(&reply.body) {
            Ok(account) if account.status == "active" => Probe::Up("account active".to_owned()),
            Ok(account) => Probe::Unusable(super::clean(&format!("account {}", account.status))),
            Err(_) => Probe::Down("the account could not be read from the answer".to_owned()),
        },
        429 => Probe::Up("answers, and throttles".to_owned()),
        // An API key may be allowed to send and yet not to read the account.
        401 | 403 if restricted_key => Probe::Unclear("answers; this key may not read the account".to_owned()),
        401 | 403 | 404 => Probe::Unusable(classify(reply).detail),
        status => Probe::Down(format!("HTTP {status} {}", classify(reply).detail)),
    }
}

fn is_service(sender: &str) -> bool {
    sender.len() == 34 && sender.starts_with("MG") && sender.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn form_encoded(fields: &[(&str, String)]) -> String {
    let mut url = Url::parse("http://form.invalid").expect("a constant URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "twilio_tests.rs"]
mod tests;
