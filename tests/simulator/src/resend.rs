//! Resend: `POST /emails`, `POST /emails/batch`, `GET /emails/{id}`, `GET /domains`.
//! Promises: refuses what the real one refuses, in its words and in its order: edge, path, key, rate, idempotency key, fields.

mod email;
mod keys;
mod refusal;

use crate::config::{ResendConfig, marked};
use crate::http::{Answer, Hall, HttpProvider, bearer, header};
use crate::pace::{Allowance, Pace};
use crate::provider::Provider;
use crate::record::{Accepted, Arrival, Record, written_id};
use bytes::Bytes;
use email::{Email, Setting};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
pub(crate) use keys::InFlight;
use keys::{Begin, Kept, KeyRing};
use refusal::Refusal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// E-mails in one batch.
const BATCH: usize = 100;

/// The simulated service.
#[derive(Debug)]
pub(crate) struct Resend {
    config: ResendConfig,
    hall: Arc<Hall>,
    keys: Arc<KeyRing>,
    pace: Option<Mutex<Pace>>,
}

/// What an API key may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Full,
    Sending,
}

impl Resend {
    pub(crate) fn new(config: ResendConfig, hall: Arc<Hall>) -> Self {
        let pace = config.requests_per_second.map(|limit| Mutex::new(Pace::new(limit)));
        Self { config, hall, keys: Arc::default(), pace }
    }

    /// Forgets every idempotency key.
    pub(crate) fn reset(&self) {
        self.keys.clear();
    }

    fn route(&self, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let path = head.uri.path();
        let get_email = path.strip_prefix("/emails/").filter(|id| *id != "batch" && !id.contains('/'));
        let known = match path {
            "/emails" | "/emails/batch" => Method::POST,
            "/domains" => Method::GET,
            _ if get_email.is_some() => Method::GET,
            _ => return Err(Refusal::not_found("The requested endpoint does not exist.")),
        };
        if head.method != known {
            return Err(Refusal::usual("method_not_allowed"));
        }
        let access = self.access(head)?;
        if known == Method::GET && access == Access::Sending {
            return Err(Refusal::usual("restricted_api_key"));
        }
        match (path, get_email) {
            ("/domains", _) => Ok(self.domains()),
            (_, Some(id)) => self.email(id),
            ("/emails", _) => self.keyed(head, body, now, |key| self.send(body, key, now)),
            _ => {
                let permissive = match header(head, "x-batch-validation") {
                    None | Some("strict") => false,
                    Some("permissive") => true,
                    Some(_) => {
                        let text = "The `x-batch-validation` header must be `strict` or `permissive`.";
                        return Err(Refusal::new(422, "invalid_parameter", text));
                    }
                };
                self.keyed(head, body, now, |key| self.send_batch(body, key, permissive, now))
            }
        }
    }

    fn access(&self, head: &Parts) -> Result<Access, Refusal> {
        let key = bearer(head).ok_or_else(|| Refusal::usual("missing_api_key"))?;
        let among = |keys: &[String]| keys.iter().any(|known| known == key);
        match () {
            () if among(&self.config.api_keys) => Ok(Access::Full),
            () if among(&self.config.sending_keys) => Ok(Access::Sending),
            () if among(&self.config.suspended_keys) => Err(Refusal::usual("suspended_api_key")),
            () => Err(Refusal::usual("invalid_api_key")),
        }
    }

    /// Runs `send` once for each idempotency key; without a key, each time.
    fn keyed(
        &self,
        head: &Parts,
        body: &Bytes,
        now: Instant,
        send: impl FnOnce(&str) -> Result<Kept, Refusal>,
    ) -> Result<Answer, Refusal> {
        let json = header(head, "content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if !json {
            return Err(Refusal::new(400, "validation_error", "The `Content-Type` must be `application/json`."));
        }
        let Some(key) = head.headers.get("idempotency-key") else { return Ok(self.written(&send("")?)) };
        let key = key.to_str().ok().filter(|key| (1..=256).contains(&key.len()));
        let key = key.ok_or_else(|| Refusal::usual("invalid_idempotency_key"))?;
        let mut payload = Sha256::new();
        payload.update(head.uri.path());
        payload.update([0]);
        payload.update(body);
        match KeyRing::begin(&self.keys, key, first_64_bits(payload), now) {
            Begin::Fresh(in_flight) => {
                // When `send` refuses, the guard is dropped unfulfilled, and the key is free again.
                let kept = send(key)?;
                let mut answer = self.written(&kept);
                answer.in_flight = Some(in_flight.fulfil(kept));
                Ok(answer)
            }
            Begin::Replay(kept) => {
                self.hall.tally.of(Provider::Resend).replay();
                Ok(self.written(&kept))
            }
            Begin::OtherPayload => Err(Refusal::usual("invalid_idempotent_request")),
            Begin::Busy => Err(Refusal::usual("concurrent_idempotent_requests")),
        }
    }

    fn send(&self, body: &Bytes, key: &str, now: Instant) -> Result<Kept, Refusal> {
        let email = Email::parse(body)?;
        self.check(&email, Setting::Single)?;
        Ok(Kept::Single(self.record().append(&arrivals(&email, key, body), body, now)))
    }

    fn send_batch(&self, body: &Bytes, key: &str, permissive: bool, now: Instant) -> Result<Kept, Refusal> {
        let emails = Email::parse_batch(body)?;
        if emails.is_empty() || emails.len() > BATCH {
            let text = format!("The request must contain 1 to {BATCH} emails.");
            return Err(Refusal::new(422, "validation_error", text));
        }
        let mut errors = Vec::new();
        let mut valid = Vec::with_capacity(emails.len());
        for (index, email) in emails.iter().enumerate() {
            let checked = email.as_ref().map_err(Clone::clone).and_then(|email| {
                self.check(email, Setting::Batch)?;
                Ok(email)
            });
            match checked {
                Ok(email) => valid.push(email),
                Err(refusal) if permissive => errors.push((index, refusal.message.into_owned())),
                Err(refusal) => return Err(refusal),
            }
        }
        // Appended in one go: the batch is in the record whole or not at all.
        let all: Vec<Arrival<'_>> = valid.iter().flat_map(|email| arrivals(email, key, body)).collect();
        let first = self.record().append(&all, body, now);
        let starts = all.iter().enumerate().filter(|(_, arrival)| !arrival.joined);
        let sequences = starts.map(|(offset, _)| first + offset as u64).collect();
        Ok(Kept::Batch { sequences, errors: permissive.then_some(errors) })
    }

    fn check(&self, email: &Email<'_>, setting: Setting) -> Result<(), Refusal> {
        email.check(setting, &self.config.verified_domains)?;
        for recipient in email.recipients() {
            match marked(&self.config.recipients, recipient) {
                Some(answer) if answer.starts_with("last_event:") => {}
                Some("validation_error") => return Err(Refusal::bad_address("to")),
                Some(name) => return Err(Refusal::usual(name)),
                None => {}
            }
        }
        Ok(())
    }

    fn written(&self, kept: &Kept) -> Answer {
        let id = |sequence: u64| written_id(Provider::Resend, self.record().raw_id(sequence));
        let body = match kept {
            Kept::Single(sequence) => format!(r#"{{"id":"{}"}}"#, id(*sequence)).into_bytes(),
            Kept::Batch { sequences, errors } => {
                let data: Vec<_> = sequences.iter().map(|sequence| json!({ "id": id(*sequence) })).collect();
                let mut body = json!({ "data": data });
                if let Some(errors) = errors {
                    let list = errors.iter().map(|(index, message)| json!({ "index": index, "message": message }));
                    body["errors"] = list.collect();
                }
                body.to_string().into_bytes()
            }
        };
        Answer::json(StatusCode::OK, body)
    }

    fn domains(&self) -> Answer {
        let listed = &self.config.verified_domains;
        let names = if listed.is_empty() { vec!["example.com"] } else { listed.iter().map(String::as_str).collect() };
        let domain = |(index, name): (usize, &str)| {
            // Ids of their own: sequences from the far end, where no message ever comes.
            let id = written_id(Provider::Resend, self.record().raw_id(u64::from(u32::MAX) - index as u64));
            json!({
                "id": id, "name": name, "status": "verified", "created_at": "2026-01-01 00:00:00.000000+00",
                "region": "us-east-1", "open_tracking": false, "click_tracking": false,
                "capabilities": { "sending": "enabled", "receiving": "disabled" },
            })
        };
        let data: Vec<Value> = names.into_iter().enumerate().map(domain).collect();
        let body = json!({ "object": "list", "has_more": false, "data": data });
        Answer::json(StatusCode::OK, body.to_string().into_bytes())
    }

    fn email(&self, id: &str) -> Result<Answer, Refusal> {
        let entry = self.record().find(Provider::Resend, id).ok_or_else(|| Refusal::not_found("Email not found"))?;
        let body = self.show(&entry);
        Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
    }

    /// The e-mail resource; the fields that only the body knows are there while the body is kept.
    fn show(&self, entry: &Accepted) -> Value {
        let siblings = self.record().siblings(entry.sequence);
        let mut events = siblings.iter().filter_map(|one| marked(&self.config.recipients, &one.recipient));
        let event = events.find_map(|answer| answer.strip_prefix("last_event:"));
        let wall = jiff::Timestamp::now() - (self.hall.started.elapsed().saturating_sub(Record::age(entry)));
        let mut shown = json!({
            "object": "email",
            "id": entry.provider_id,
            "message_id": format!("<{}@email.example.com>", entry.provider_id),
            "to": siblings.iter().map(|one| &one.recipient).collect::<Vec<_>>(),
            "created_at": wall.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string(),
            "last_event": event.unwrap_or("sent"),
        });
        let sent = self.record().body(entry.sequence).and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        // A batch is kept as a whole; which of its items this one was is not.
        if let Some(sent @ Value::Object(_)) = sent {
            for field in ["from", "subject", "html", "text"] {
                if let Some(value) = sent.get(field) {
                    shown[field] = value.clone();
                }
            }
            for field in ["to", "cc", "bcc", "reply_to"] {
                shown[field] = match sent.get(field) {
                    Some(one @ Value::String(_)) => json!([one]),
                    Some(many) => many.clone(),
                    None => json!([]),
                };
            }
            if sent.get("scheduled_at").is_some() && event.is_none() {
                shown["last_event"] = "scheduled".into();
            }
        }
        shown
    }

    fn record(&self) -> &Record {
        &self.hall.record
    }
}

impl HttpProvider for Resend {
    const PROVIDER: Provider = Provider::Resend;
    /// Attachments may come to 40 MB after decoding; base64 adds a third.
    const MAX_BODY: usize = 64 << 20;

    fn sends(method: &Method, path: &str) -> bool {
        *method == Method::POST && path.starts_with("/emails")
    }

    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        // The edge answers this one, before the API and not in JSON.
        if header(head, "user-agent").is_none_or(|agent| agent.trim().is_empty()) {
            return Answer::new(StatusCode::FORBIDDEN, "text/plain; charset=UTF-8", "error code: 1010");
        }
        let allowance = self.pace.as_ref().map(|pace| {
            let since = now.saturating_duration_since(self.hall.started);
            pace.lock().unwrap_or_else(PoisonError::into_inner).take(since)
        });
        if let Some(over) = allowance.filter(|allowance| !allowance.granted) {
            return limited(over, 1);
        }
        let answer = self.route(head, body, now).unwrap_or_else(|refusal| refusal.answer());
        match allowance {
            Some(allowance) => rate_headers(answer, allowance, 1),
            None => answer,
        }
    }

    fn failure(&self, _path: &str, status: StatusCode, code: Option<&str>) -> Answer {
        Refusal::for_status(status.as_u16(), code).answer()
    }

    fn throttled(&self, _path: &str, retry_after: Option<u32>) -> Answer {
        let limit = self.config.requests_per_second.unwrap_or(5);
        limited(Allowance { limit, remaining: 0, granted: false }, retry_after.unwrap_or(1))
    }

    fn unauthorised(&self, _path: &str) -> Answer {
        Refusal::usual("invalid_api_key").answer()
    }
}

fn limited(over: Allowance, seconds: u32) -> Answer {
    let text = format!("Too many requests. You can only make {} requests per second.", over.limit);
    let answer = Refusal::new(429, "rate_limit_exceeded", text).answer();
    rate_headers(answer, over, seconds).header("retry-after", seconds)
}

fn rate_headers(answer: Answer, allowance: Allowance, reset: u32) -> Answer {
    answer
        .header("ratelimit-limit", allowance.limit)
        .header("ratelimit-remaining", allowance.remaining)
        .header("ratelimit-reset", reset)
}

/// One arrival for each recipient of an e-mail.
fn arrivals<'a>(email: &'a Email<'_>, idempotency_key: &'a str, body: &Bytes) -> Vec<Arrival<'a>> {
    let body_hash = first_64_bits(Sha256::new_with_prefix(body));
    let message = email.tag("usher_message").unwrap_or_default();
    let one = |(index, recipient)| Arrival {
        provider: Provider::Resend,
        message,
        recipient,
        idempotency_key,
        message_id: "",
        body_hash,
        joined: index > 0,
    };
    email.recipients().enumerate().map(one).collect()
}

pub(crate) fn first_64_bits(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"))
}

/// How long Resend keeps an idempotency key.
const KEY_LIFE: Duration = Duration::from_hours(24);
