//! WhatsApp Business Cloud API: `POST /{version}/{phone-number-id}/messages`, `GET /{version}/{phone-number-id}`.
//! Promises: refuses what the real one refuses, with its code; free text reaches only those whose window is open.

mod message;
mod refusal;

use crate::config::{PhoneNumber, WhatsAppConfig, marked};
use crate::dice;
use crate::form;
use crate::http::{Answer, Hall, HttpProvider, bearer, header};
use crate::pace::PaceEach;
use crate::provider::Provider;
use crate::record::{Arrival, written_id};
use crate::resend::first_64_bits;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use message::{Message, digits};
use refusal::Refusal;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Fields of a phone number that are shown when none are asked for.
const USUAL_FIELDS: &str = "id,display_phone_number,verified_name,quality_rating";

/// The simulated service.
#[derive(Debug)]
pub(crate) struct WhatsApp {
    config: WhatsAppConfig,
    hall: Arc<Hall>,
    pace: Option<Mutex<PaceEach>>,
    /// Errors told so far; each has a trace id of its own.
    traces: AtomicU64,
}

impl WhatsApp {
    pub(crate) fn new(config: WhatsAppConfig, hall: Arc<Hall>) -> Self {
        let pace = config.messages_per_second.map(|limit| Mutex::new(PaceEach::new(limit)));
        Self { config, hall, pace, traces: AtomicU64::new(0) }
    }

    fn route(&self, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let query = head.uri.query().unwrap_or_default();
        let lost = || Refusal::saying(33, format!("Unsupported {} request.", head.method.as_str().to_lowercase()));
        let (id, messages) = place(head.uri.path()).ok_or_else(lost)?;
        self.check_token(head, query)?;
        let unknown = || {
            let method = head.method.as_str().to_lowercase();
            Refusal::saying(33, format!("(#33) Unsupported {method} request. Object with ID '{id}' does not exist"))
        };
        let number = self.config.numbers.iter().find(|number| number.id == id).ok_or_else(unknown)?;
        match (head.method.as_str(), messages) {
            ("POST", true) => self.send(number, head, body, now),
            ("GET", false) => show(number, &form::first(query, "fields").unwrap_or_else(|| USUAL_FIELDS.to_owned())),
            _ => Err(lost()),
        }
    }

    fn check_token(&self, head: &Parts, query: &str) -> Result<(), Refusal> {
        let in_query = form::first(query, "access_token");
        let token = bearer(head).or(in_query.as_deref());
        let token = token.ok_or_else(|| Refusal::about(0, "An access token is required to request this resource."))?;
        let among = |tokens: &[String]| tokens.iter().any(|known| known == token);
        let config = &self.config;
        match () {
            () if among(&config.tokens) => Ok(()),
            () if among(&config.expired_tokens) => {
                Err(Refusal::saying(190, "Error validating access token: Session has expired.").subcode(463))
            }
            () if among(&config.unpermitted_tokens) => Err(Refusal::usual(10)),
            () => Err(Refusal::saying(190, "Invalid OAuth access token - Cannot parse access token")),
        }
    }

    fn send(&self, sender: &PhoneNumber, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let json = header(head, "content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let fields: Value = match serde_json::from_slice(body) {
            // The Graph API finds no parameters in a body of another type.
            _ if !json => json!({}),
            Ok(fields @ Value::Object(_)) => fields,
            Ok(_) | Err(_) => return Err(Refusal::about(100, "The body is not a JSON object.")),
        };
        let message = Message::read(&fields, &self.config, &digits(&sender.display).unwrap_or_default())?;
        let recipient = format!("+{}", message.number);
        if let Some(answer) = marked(&self.config.recipients, &recipient) {
            return Err(Refusal::usual(answer.parse().unwrap_or(131_026)));
        }
        let since = now.saturating_duration_since(self.hall.started);
        let granted =
            |pace: &Mutex<PaceEach>| pace.lock().unwrap_or_else(PoisonError::into_inner).take(&sender.id, since);
        if !self.pace.as_ref().is_none_or(granted) {
            return Err(throughput());
        }
        let arrival = Arrival {
            provider: Provider::WhatsApp,
            message: message.opaque.unwrap_or_default(),
            recipient: &recipient,
            idempotency_key: "",
            message_id: "",
            body_hash: first_64_bits(Sha256::new_with_prefix(body)),
            joined: false,
        };
        let sequence = self.hall.record.append(&[arrival], body, now);
        let mut sent = json!({ "id": written_id(Provider::WhatsApp, self.hall.record.raw_id(sequence)) });
        if let Some(held) = message.held {
            sent["message_status"] = if held { "held_for_quality_assessment" } else { "accepted" }.into();
        }
        let said = json!({
            "messaging_product": "whatsapp",
            "contacts": [{ "input": message.input, "wa_id": message.number }],
            "messages": [sent],
        });
        Ok(Answer::json(StatusCode::OK, said.to_string().into_bytes()))
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        let nth = self.traces.fetch_add(1, Ordering::Relaxed);
        let raw = [dice::mix(nth), dice::mix(!nth)].map(u64::to_be_bytes).concat();
        refusal.answer(&format!("A{}", URL_SAFE_NO_PAD.encode(raw)))
    }
}

/// The phone number id in a path, and whether its messages are meant.
fn place(path: &str) -> Option<(&str, bool)> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (major, minor) = version.strip_prefix('v')?.split_once('.')?;
    if !number(major) || !number(minor) {
        return None;
    }
    match rest.split_once('/') {
        None => Some((rest, false)),
        Some((id, "messages")) => Some((id, true)),
        Some(_) => None,
    }
}

/// A phone number with the fields that were asked for, and its id.
fn show(number: &PhoneNumber, fields: &str) -> Result<Answer, Refusal> {
    let all = json!({
        "id": number.id, "display_phone_number": number.display, "verified_name": number.name,
        "quality_rating": number.quality, "code_verification_status": "VERIFIED", "name_status": "APPROVED",
        "status": "CONNECTED", "throughput": { "level": "STANDARD" }, "messaging_limit_tier": "TIER_1K",
        "platform_type": "CLOUD_API",
    });
    let mut shown = Map::new();
    for name in fields.split(',').map(str::trim).chain(["id"]) {
        let Some(value) = all.get(name) else {
            let text = format!("(#100) Tried accessing nonexisting field ({name})");
            return Err(Refusal::saying(100, text));
        };
        shown.insert(name.to_owned(), value.clone());
    }
    Ok(Answer::json(StatusCode::OK, Value::Object(shown).to_string().into_bytes()))
}

fn throughput() -> Refusal {
    Refusal::about(130_429, "Cloud API message throughput has been reached.")
}

impl HttpProvider for WhatsApp {
    const PROVIDER: Provider = Provider::WhatsApp;
    const MAX_BODY: usize = 1 << 20;

    fn sends(method: &Method, path: &str) -> bool {
        *method == Method::POST && path.ends_with("/messages")
    }

    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        self.route(head, body, now).unwrap_or_else(|refusal| self.refuse(&refusal))
    }

    fn failure(&self, _path: &str, status: StatusCode, code: Option<&str>) -> Answer {
        let code = code.and_then(|code| code.parse().ok());
        self.refuse(&Refusal::for_status(status.as_u16(), code))
    }

    /// A 400 whose code tells; Meta says nothing of when to come back.
    fn throttled(&self, _path: &str, _retry_after: Option<u32>) -> Answer {
        self.refuse(&throughput())
    }

    fn unauthorised(&self, _path: &str) -> Answer {
        self.refuse(&Refusal::saying(190, "Invalid OAuth access token - Cannot parse access token"))
    }
}
