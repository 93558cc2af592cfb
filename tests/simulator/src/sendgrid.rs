//! SendGrid's v3 API: `POST /v3/mail/send`, `GET /v3/scopes`.
//! Promises: refuses what the real one refuses, naming every field at fault; one request is recorded whole or not at all.

mod mail;
mod refusal;
mod shape;

use crate::config::{SendGridConfig, marked};
use crate::http::{Answer, Hall, HttpProvider, bearer, header};
use crate::pace::{Allowance, Pace};
use crate::provider::Provider;
use crate::record::{Arrival, written_id};
use crate::resend::first_64_bits;
use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use mail::Mail;
use refusal::{BAD_ADDRESS, Flaw, Refusal};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SEND: &str = "/v3/mail/send";
const SCOPES: &str = "/v3/scopes";

/// The simulated service.
#[derive(Debug)]
pub(crate) struct SendGrid {
    config: SendGridConfig,
    hall: Arc<Hall>,
    pace: Option<Mutex<Pace>>,
}

/// What an API key may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Full,
    Reading,
    Exhausted,
}

impl SendGrid {
    pub(crate) fn new(config: SendGridConfig, hall: Arc<Hall>) -> Self {
        let pace = config.requests_per_second.map(|limit| Mutex::new(Pace::new(limit)));
        Self { config, hall, pace }
    }

    fn judge(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        self.route(head, body, now).unwrap_or_else(|refusal| refusal.answer())
    }

    fn route(&self, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let known = match head.uri.path() {
            SEND => Method::POST,
            SCOPES => Method::GET,
            _ => return Err(Refusal::usual(404)),
        };
        if head.method != known {
            return Err(Refusal::usual(405));
        }
        match (head.uri.path(), self.access(head)?) {
            (SCOPES, access) => Ok(scopes(access)),
            (_, Access::Reading) => Err(Refusal::usual(403)),
            (_, Access::Exhausted) => Err(Refusal::new(401, "Maximum credits exceeded")),
            (_, Access::Full) => {
                let json = header(head, "content-type").is_some_and(|kind| kind.starts_with("application/json"));
                if json { self.send(body, now) } else { Err(Refusal::usual(415)) }
            }
        }
    }

    fn access(&self, head: &Parts) -> Result<Access, Refusal> {
        let key = bearer(head).ok_or_else(|| Refusal::new(401, "authorization required"))?;
        let among = |keys: &[String]| keys.iter().any(|known| known == key);
        match () {
            () if among(&self.config.api_keys) => Ok(Access::Full),
            () if among(&self.config.reading_keys) => Ok(Access::Reading),
            () if among(&self.config.exhausted_keys) => Ok(Access::Exhausted),
            () => Err(Refusal::usual(401)),
        }
    }

    fn send(&self, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let mail = Mail::read(body).map_err(Refusal::fields)?;
        let flaws = mail.flaws(self.hall.record.wall_at(now));
        if !flaws.is_empty() {
            return Err(Refusal::fields(flaws));
        }
        if !mail.senders().all(|sender| self.is_verified(sender)) {
            return Err(Refusal::unverified_sender());
        }
        self.check_marks(&mail)?;
        if mail.sandbox() {
            return Ok(Answer::json(StatusCode::OK, Vec::new()));
        }
        let body_hash = first_64_bits(Sha256::new_with_prefix(body));
        let arrivals = mail.recipients().enumerate().map(|(index, recipient)| Arrival {
            provider: Provider::SendGrid,
            message: recipient.message.unwrap_or_default(),
            recipient: recipient.address,
            idempotency_key: "",
            message_id: "",
            body_hash,
            joined: index > 0,
        });
        let arrivals: Vec<Arrival<'_>> = arrivals.collect();
        let first = self.hall.record.append(&arrivals, body, now);
        let id = written_id(Provider::SendGrid, self.hall.record.raw_id(first));
        let id = id.parse::<hyper::header::HeaderValue>().expect("an id is letters, digits, `-` and `_`");
        Ok(Answer::json(StatusCode::ACCEPTED, Vec::new()).header("x-message-id", id))
    }

    fn is_verified(&self, sender: &str) -> bool {
        let domain = crate::address::domain(sender);
        let known = &self.config.verified_senders;
        known.is_empty() || known.iter().any(|one| [sender, domain].iter().any(|own| one.eq_ignore_ascii_case(own)))
    }

    fn check_marks(&self, mail: &Mail) -> Result<(), Refusal> {
        let mut invalid = Vec::new();
        for recipient in mail.recipients() {
            match marked(&self.config.recipients, recipient.address) {
                None => {}
                Some(status) if status.parse().is_ok_and(|status: u16| (400..600).contains(&status)) => {
                    return Err(Refusal::usual(status.parse().unwrap_or(400)));
                }
                Some(_) => invalid.extend(mail.place(recipient.address).map(|field| Flaw::new(field, BAD_ADDRESS))),
            }
        }
        if invalid.is_empty() { Ok(()) } else { Err(Refusal::fields(invalid)) }
    }
}

impl HttpProvider for SendGrid {
    const PROVIDER: Provider = Provider::SendGrid;
    /// A whole message with its attachments.
    const MAX_BODY: usize = 30 << 20;

    fn sends(method: &Method, path: &str) -> bool {
        *method == Method::POST && path == SEND
    }

    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        let since = now.saturating_duration_since(self.hall.started);
        let take = |pace: &Mutex<Pace>| pace.lock().unwrap_or_else(PoisonError::into_inner).take(since);
        let Some(allowance) = self.pace.as_ref().map(take) else { return self.judge(head, body, now) };
        // The first whole second at which this allowance is over.
        let next = self.hall.started + Duration::from_secs(since.as_secs() + 1);
        let reset = self.hall.record.wall_at(next).as_second() + 1;
        let answer = if allowance.granted { self.judge(head, body, now) } else { Refusal::usual(429).answer() };
        rate_headers(answer, allowance, reset)
    }

    fn failure(&self, _path: &str, status: StatusCode, code: Option<&str>) -> Answer {
        let refusal = match code {
            Some(message) => Refusal::new(status.as_u16(), message.to_owned()),
            None => Refusal::usual(status.as_u16()),
        };
        refusal.answer()
    }

    /// SendGrid sends no retry-after: the second at which to come back stands in a header of its own.
    fn throttled(&self, _path: &str, retry_after: Option<u32>) -> Answer {
        let limit = self.config.requests_per_second.unwrap_or(600);
        let over = Allowance { limit, remaining: 0, granted: false };
        let reset = self.hall.record.wall_at(Instant::now()).as_second() + i64::from(retry_after.unwrap_or(1));
        rate_headers(Refusal::usual(429).answer(), over, reset)
    }

    fn unauthorised(&self, _path: &str) -> Answer {
        Refusal::usual(401).answer()
    }
}

fn scopes(access: Access) -> Answer {
    let scopes: &[&str] = match access {
        Access::Full | Access::Exhausted => &["mail.send", "mail.batch.read", "scopes.read", "suppression.read"],
        Access::Reading => &["scopes.read", "suppression.read"],
    };
    Answer::json(StatusCode::OK, json!({ "scopes": scopes }).to_string().into_bytes())
}

fn rate_headers(answer: Answer, allowance: Allowance, reset: i64) -> Answer {
    answer
        .header("x-ratelimit-limit", allowance.limit)
        .header("x-ratelimit-remaining", allowance.remaining)
        .header("x-ratelimit-reset", reset)
}
