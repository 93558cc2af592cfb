//! WhatsApp's Cloud API: messages over Meta's Graph, one in a request.
//!
//! Words of one's own reach only guests who wrote within 24 hours; everybody else gets a template that was approved, with
//! its places filled in. Meta throttles with HTTP 400 and a code, so the code decides and the status hardly ever. There are
//! no idempotency keys; what is in doubt is told by the status webhook, which brings our id back.
//! Source: Meta's OpenAPI description and documentation, read 2026-11.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use usher_common::model::{Channel, OutcomeClass, ProviderKind, WhatsAppTemplate};

use super::http::{Http, Reply, bearer, by_status};
use super::settings::{BuildError, ProviderConfig};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Scope, Traits, correlation, is_e164};

const VENDOR: &str = "https://graph.facebook.com";

/// The version of the API that the table of answers was made for.
const VERSION: &str = "v23.0";

/// Longest text of one's own, in characters.
const TEXT_MAX: usize = 4096;

/// Longest parameter of a template, in characters.
const PARAMETER_MAX: usize = 1024;

/// Limits that lift by themselves after hours or days are asked about this often, and not more: asking makes them worse.
const SLOW_WAIT: Duration = Duration::from_hours(1);

/// The adapter for one telephone number at WhatsApp.
pub(super) struct WhatsApp {
    name: String,
    http: Http,
    authorization: HeaderValue,
    /// `/v23.0/<number's id>`.
    number: String,
}

impl WhatsApp {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let value = |key, why: &str| BuildError::Value { provider: config.name.clone(), key, why: why.to_owned() };
        let number = config.need("account", config.account.as_ref())?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(value("account", "the id of a telephone number is made of digits"));
        }
        let version = config.api_version.as_deref().unwrap_or(VERSION);
        if !is_version(version) {
            return Err(value("api_version", "a version is written like v23.0"));
        }
        let secret = config.need("secret", config.secret.as_ref())?;
        Ok(Self {
            name: config.name.clone(),
            http: Http::new(config, VENDOR)?,
            authorization: bearer(config, "secret", secret)?,
            number: format!("/{version}/{number}"),
        })
    }

    async fn attempt(&self, request: &Prepared) -> Vec<Answer> {
        let post = self
            .http
            .post(&format!("{}/messages", self.number))
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(request.bytes.clone());
        let answer = match self.http.exchange(post).await {
            Ok(reply) => classify(&reply),
            Err(silence) => silence.answer(),
        };
        vec![answer; request.messages]
    }

    async fn ask(&self) -> Probe {
        let path = format!("{}?fields=id,display_phone_number,verified_name,quality_rating", self.number);
        match self.http.exchange(self.http.get(&path).header(AUTHORIZATION, &self.authorization)).await {
            Ok(reply) => judge_probe(&reply),
            Err(silence) => Probe::Down(silence.detail().to_owned()),
        }
    }
}

impl Provider for WhatsApp {
    fn name(&self) -> &str {
        &self.name
    }

    /// Meta tells `biz_opaque_callback_data` back, but its published description does not promise it.
    fn echoes(&self) -> bool {
        false
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::WhatsApp
    }

    fn channel(&self) -> Channel {
        Channel::WhatsApp
    }

    fn traits(&self) -> Traits {
        Traits { batch_max: 1, keeps_keys: None, smtp_utf8: false, lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        let bytes = serde_json::to_vec(&body(message)?).expect("JSON is always JSON");
        Ok(Prepared::new(1, Bytes::from(bytes), key))
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

fn body(message: &Outgoing) -> Result<Value, PrepareError> {
    let id = message.message;
    let content = |why: String| PrepareError::Content { message: id, why };
    if !is_e164(&message.to) {
        let why = "it is no number in international form, such as +14155550123".to_owned();
        return Err(PrepareError::Recipient { message: id, why });
    }
    let mut body = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.to,
        "biz_opaque_callback_data": correlation(message),
    });
    if let Some(template) = &message.template {
        body["type"] = "template".into();
        body["template"] = approved(template).map_err(content)?;
        return Ok(body);
    }
    match message.text.chars().count() {
        0 => return Err(content("its text is empty".to_owned())),
        long if long > TEXT_MAX => return Err(content(format!("{long} characters, and WhatsApp takes {TEXT_MAX}"))),
        _ => {}
    }
    body["type"] = "text".into();
    body["text"] = json!({"preview_url": false, "body": message.text});
    Ok(body)
}

fn approved(template: &WhatsAppTemplate) -> Result<Value, String> {
    let mut parameters = Vec::with_capacity(template.parameters.len());
    for (place, parameter) in template.parameters.iter().enumerate() {
        let text = &parameter.text;
        let place = if parameter.name.is_empty() { (place + 1).to_string() } else { parameter.name.clone() };
        if text.trim().is_empty() {
            return Err(format!("place {place} of its template would be empty, which WhatsApp refuses"));
        }
        if text.contains(['\n', '\t']) || text.contains("     ") || text.chars().count() > PARAMETER_MAX {
            return Err(format!("place {place} of its template takes one line of at most {PARAMETER_MAX} characters"));
        }
        let mut filled = json!({"type": "text", "text": text});
        if !parameter.name.is_empty() {
            filled["parameter_name"] = parameter.name.as_str().into();
        }
        parameters.push(filled);
    }
    let mut value = json!({
        "name": template.name,
        "language": {"code": template.language, "policy": "deterministic"},
    });
    if !parameters.is_empty() {
        value["components"] = json!([{"type": "body", "parameters": parameters}]);
    }
    Ok(value)
}

/// `v` and two numbers.
fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('v').and_then(|rest| rest.split_once('.')).is_some_and(|(a, b)| number(a) && number(b))
}

#[derive(Deserialize)]
struct Refusal {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_data: Option<FaultData>,
}

#[derive(Deserialize)]
struct FaultData {
    #[serde(default)]
    details: String,
}

#[derive(Deserialize)]
struct Taken {
    messages: Vec<TakenOne>,
}

#[derive(Deserialize)]
struct TakenOne {
    id: String,
    /// Only for templates, and not always: `held_for_quality_assessment` is taken, too.
    #[serde(default)]
    message_status: String,
}

/// What an answer means.
pub(super) fn classify(reply: &Reply) -> Answer {
    let status = reply.status;
    if (200..300).contains(&status) {
        let taken = serde_json::from_slice::<Taken>(&reply.body).ok();
        return match taken.and_then(|taken| taken.messages.into_iter().next()).filter(|one| !one.id.is_empty()) {
            Some(one) if one.message_status.is_empty() => Answer::accepted(status.to_string(), one.id),
            Some(one) => Answer::accepted(super::clean(&one.message_status), one.id),
            None => {
                Answer::new(OutcomeClass::Unknown, None, status.to_string(), "the answer was good but names no message")
            }
        };
    }
    let Ok(Refusal { error }) = serde_json::from_slice::<Refusal>(&reply.body) else {
        let (class, scope) = by_status(status);
        let wait = reply.seconds("retry-after").filter(|_| class == OutcomeClass::Throttled);
        return Answer::new(class, scope, status.to_string(), &String::from_utf8_lossy(&reply.body)).after(wait);
    };
    let (class, scope) = by_code(status, error.code);
    let detail = match error.error_data {
        Some(data) if !data.details.is_empty() => data.details,
        _ => error.message,
    };
    let wait = match error.code {
        131_048 | 131_064 | 133_016 => Some(SLOW_WAIT),
        _ => reply.seconds("retry-after").or_else(|| regained(reply)),
    };
    Answer::new(class, scope, error.code.to_string(), &detail).after(wait.filter(|_| class == OutcomeClass::Throttled))
}

fn by_code(status: u16, code: u32) -> (OutcomeClass, Option<Scope>) {
    use OutcomeClass::{Recipient, Refused, Throttled, Unknown, Unusable};
    match code {
        0 | 3 | 10 | 190 | 200..=299 | 368 | 131_005 | 131_031 | 131_042 => (Unusable, Some(Scope::Account)),
        33 | 131_030 | 131_037 | 131_045 | 133_010 => (Unusable, Some(Scope::Sender)),
        4 | 80_007 | 130_429 | 131_048 | 131_064 | 133_016 => (Throttled, Some(Scope::Account)),
        // Too much for this one guest; everybody else is unaffected.
        131_056 => (Throttled, Some(Scope::Recipient)),
        130_403 | 130_472 | 130_497 | 131_021 | 131_026 | 131_047 | 131_049 | 131_050 => (Recipient, None),
        100 | 131_008 | 131_009 | 131_051..=131_053 | 131_062 | 131_063 | 132_000..=132_069 => (Refused, None),
        // "Try again" is advice, not proof.
        1 | 2 | 131_000 | 131_016 | 131_057 | 135_000 => (Unknown, None),
        _ => by_status(status),
    }
}

/// Whether a code that came with `failed` leaves open what became of the message.
pub(super) fn is_uncertain(code: u32) -> bool {
    matches!(code, 1 | 131_000 | 135_000)
}

/// The longest of the minutes after which an account may ask again, from the header that names them for each account.
fn regained(reply: &Reply) -> Option<Duration> {
    let usage: Value = serde_json::from_str(reply.text("x-business-use-case-usage")).ok()?;
    let entries = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let minutes = entries.filter_map(|entry| entry["estimated_time_to_regain_access"].as_u64()).max()?;
    (minutes > 0).then(|| Duration::from_mins(minutes.min(60 * 24)))
}

fn judge_probe(reply: &Reply) -> Probe {
    #[derive(Deserialize)]
    struct Number {
        id: String,
        #[serde(default)]
        quality_rating: String,
    }
    if (200..300).contains(&reply.status) {
        return match serde_json::from_slice::<Number>(&reply.body) {
            Ok(number) if number.id.is_empty() => {
                Probe::Down("the number could not be read from the answer".to_owned())
            }
            Ok(number) if number.quality_rating.is_empty() => Probe::Up("number known".to_owned()),
            Ok(number) => Probe::Up(super::clean(&format!("number known, quality {}", number.quality_rating))),
            Err(_) => Probe::Down("the number could not be read from the answer".to_owned()),
        };
    }
    let answer = classify(reply);
    let said = super::clean(&format!("{}: {}", answer.code, answer.detail));
    match answer.class {
        OutcomeClass::Throttled => Probe::Up("answers, and throttles".to_owned()),
        // Meta answers "unsupported get request" (100) for a number that is not this token's.
        OutcomeClass::Unusable | OutcomeClass::Refused => Probe::Unusable(said),
        _ => Probe::Down(said),
    }
}

#[cfg(test)]
#[path = "whatsapp_tests.rs"]
mod tests;
