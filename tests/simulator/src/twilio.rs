//! Twilio Programmable Messaging: send, list and fetch messages, account, balance.
//! Promises: refuses what the real one refuses, with its code; a message that was accepted is found by its number and day even
//! when its answer never left.

mod message;
mod refusal;
mod segments;
mod submission;

use crate::config::{TwilioAccount, TwilioConfig, marked};
use crate::form;
use crate::http::{Answer, Hall, HttpProvider, header};
use crate::pace::Pace;
use crate::provider::Provider;
use crate::record::{Accepted, Arrival, Record, written_id};
use crate::resend::first_64_bits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use jiff::civil::Date;
use message::Message;
use refusal::Refusal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use submission::Submission;

const ROOT: &str = "/2010-04-01/Accounts/";
/// Messages of one number that a look-up walks at most; a test's number has a handful.
const LOOKED_AT: usize = 10_000;

/// The simulated service.
#[derive(Debug)]
pub(crate) struct Twilio {
    config: TwilioConfig,
    hall: Arc<Hall>,
    pace: Option<Mutex<Pace>>,
}

impl Twilio {
    pub(crate) fn new(config: TwilioConfig, hall: Arc<Hall>) -> Self {
        let pace = config.requests_per_second.map(|limit| Mutex::new(Pace::new(limit)));
        Self { config, hall, pace }
    }

    fn route(&self, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        let path = head.uri.path();
        let lost = || Refusal::new(404, 20_404, format!("The requested resource {path} was not found"));
        let rest = path.strip_prefix(ROOT).and_then(|rest| rest.strip_suffix(".json")).ok_or_else(lost)?;
        let (sid, resource) = rest.split_once('/').map_or((rest, ""), |(sid, resource)| (sid, resource));
        let account = self.account(head, sid)?.ok_or_else(lost)?;
        let (get, post) = (head.method == Method::GET, head.method == Method::POST);
        match resource {
            "Messages" if post => self.send(account, head, body, now),
            "Messages" if get => self.list(account, head.uri.query().unwrap_or_default()),
            "" if get => Ok(ok(&show_account(account))),
            "Balance" if get => {
                Ok(ok(&json!({ "account_sid": account.sid, "balance": account.balance, "currency": "USD" })))
            }
            "" | "Messages" | "Balance" => Err(Refusal::new(405, 20_004, "Method not allowed")),
            _ => {
                let message = resource.strip_prefix("Messages/").filter(|_| get).ok_or_else(lost)?;
                let entry = self.record().find(Provider::Twilio, message).ok_or_else(lost)?;
                Ok(ok(&self.show(account, &entry)))
            }
        }
    }

    /// The account in the path, if the credentials open it. `Ok(None)`: good credentials, of another account.
    fn account(&self, head: &Parts, sid: &str) -> Result<Option<&TwilioAccount>, Refusal> {
        let refused = || Refusal::usual(20_003);
        let basic = header(head, "authorization").and_then(|value| value.strip_prefix("Basic ")).ok_or_else(refused)?;
        let decoded = STANDARD.decode(basic.trim()).ok().and_then(|raw| String::from_utf8(raw).ok());
        let decoded = decoded.ok_or_else(refused)?;
        let (user, secret) = decoded.split_once(':').ok_or_else(refused)?;
        let opens = |account: &&TwilioAccount| {
            let key = account.keys.iter().any(|key| key.sid == user && key.secret == secret);
            key || (account.sid == user && account.token == secret)
        };
        let account = self.config.accounts.iter().find(opens).ok_or_else(refused)?;
        Ok((account.sid == sid).then_some(account))
    }

    fn send(&self, account: &TwilioAccount, head: &Parts, body: &Bytes, now: Instant) -> Result<Answer, Refusal> {
        if account.status != "active" {
            return Err(Refusal::usual(20_005));
        }
        // Another content type is not refused by name: no parameter is found in it, so `To` is missing.
        let form =
            header(head, "content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let submission = Submission::read(if form { body } else { b"" });
        let wall = Timestamp::now();
        submission.check(&self.config, wall)?;
        if let Some(answer) = marked(&self.config.recipients, &submission.to) {
            return Err(Refusal::usual(answer.parse().unwrap_or(21_211)));
        }
        let arrival = Arrival {
            provider: Provider::Twilio,
            message: submission.message.as_deref().unwrap_or_default(),
            recipient: &submission.to,
            idempotency_key: "",
            message_id: "",
            body_hash: first_64_bits(Sha256::new_with_prefix(body)),
            joined: false,
        };
        let sequence = self.record().append(&[arrival], body, now);
        let sid = written_id(Provider::Twilio, self.record().raw_id(sequence));
        let message = Message { account: &account.sid, sid: &sid, to: &submission.to, created: wall, looked_up: false };
        Ok(Answer::json(StatusCode::CREATED, message.written(Some(&submission))))
    }

    fn list(&self, account: &TwilioAccount, query: &str) -> Result<Answer, Refusal> {
        let ask = Question::read(query)?;
        let mut found = self.record().latest_sms(ask.to.as_deref(), LOOKED_AT);
        found.retain(|entry| ask.covers(self.wall(entry)));
        let mut shown: Vec<Value> = found.iter().map(|entry| self.show(account, entry)).collect();
        if let Some(from) = &ask.from {
            shown.retain(|message| message["from"] == **from);
        }
        let start = ask.page.saturating_mul(ask.page_size).min(shown.len());
        let end = (start + ask.page_size).min(shown.len());
        let link = |page: usize| format!("{ROOT}{}/Messages.json?{}", account.sid, ask.query(page));
        let body = json!({
            "first_page_uri": link(0),
            "next_page_uri": (end < shown.len()).then(|| link(ask.page + 1)),
            "previous_page_uri": (ask.page > 0).then(|| link(ask.page - 1)),
            "uri": link(ask.page),
            "page": ask.page,
            "page_size": ask.page_size,
            "start": start,
            "end": end.saturating_sub(1).max(start),
            "messages": &shown[start..end],
        });
        Ok(ok(&body))
    }

    fn show(&self, account: &TwilioAccount, entry: &Accepted) -> Value {
        let body = self.record().body(entry.sequence);
        let submission = body.as_ref().map(|body| Submission::read(body));
        let created = self.wall(entry);
        let (sid, to) = (&entry.provider_id, &entry.recipient);
        let message = Message { account: &account.sid, sid, to, created, looked_up: true };
        serde_json::from_slice(&message.written(submission.as_ref())).expect("what was just written is JSON")
    }

    fn wall(&self, entry: &Accepted) -> Timestamp {
        Timestamp::now() - self.hall.started.elapsed().saturating_sub(Record::age(entry))
    }

    fn record(&self) -> &Record {
        &self.hall.record
    }
}

impl HttpProvider for Twilio {
    const PROVIDER: Provider = Provider::Twilio;
    const MAX_BODY: usize = 1 << 20;

    fn sends(method: &Method, path: &str) -> bool {
        *method == Method::POST && path.ends_with("/Messages.json")
    }

    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer {
        if let Some(pace) = &self.pace {
            let since = now.saturating_duration_since(self.hall.started);
            if !pace.lock().unwrap_or_else(PoisonError::into_inner).take(since).granted {
                return self.throttled(head.uri.path(), None);
            }
        }
        self.route(head, body, now).unwrap_or_else(|refusal| refusal.answer())
    }

    fn failure(&self, _path: &str, status: StatusCode, code: Option<&str>) -> Answer {
        match code.and_then(|code| code.parse().ok()) {
            Some(code) => Refusal { status: status.as_u16(), ..Refusal::usual(code) }.answer(),
            None => Refusal::for_status(status),
        }
    }

    /// Twilio documents no retry-after.
    fn throttled(&self, _path: &str, _retry_after: Option<u32>) -> Answer {
        Refusal::usual(20_429).answer()
    }

    fn unauthorised(&self, _path: &str) -> Answer {
        Refusal::usual(20_003).answer().header("www-authenticate", hyper::header::HeaderValue::from_static(REALM))
    }
}

const REALM: &str = r#"Basic realm="Twilio API""#;

fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, body.to_string().into_bytes())
}

fn show_account(account: &TwilioAccount) -> Value {
    let uri = format!("{ROOT}{}", account.sid);
    let born = "Thu, 01 Jan 2026 00:00:00 +0000";
    json!({
        "sid": account.sid, "owner_account_sid": account.sid, "friendly_name": "Simulator", "status": account.status,
        "type": "Full", "auth_token": account.token, "date_created": born, "date_updated": born,
        "uri": format!("{uri}.json"),
        "subresource_uris": { "messages": format!("{uri}/Messages.json"), "balance": format!("{uri}/Balance.json") },
    })
}

/// The filters of a list request.
#[derive(Debug)]
struct Question {
    to: Option<String>,
    from: Option<String>,
    on: Option<Date>,
    until: Option<Date>,
    since: Option<Date>,
    page: usize,
    page_size: usize,
}

impl Question {
    fn read(query: &str) -> Result<Self, Refusal> {
        let text = |name| form::first(query, name).filter(|value| !value.is_empty());
        let bad = |name: &str| Refusal::new(400, 20_001, format!("Parameter '{name}' is not valid"));
        let day = |name| match text(name) {
            // A time of day may follow; the filter counts in days.
            Some(value) => value.get(..10).and_then(|d| d.parse::<Date>().ok()).map(Some).ok_or_else(|| bad(name)),
            None => Ok(None),
        };
        let number = |name, default: usize| text(name).map_or(Ok(default), |v| v.parse().map_err(|_| bad(name)));
        let page_size = number("PageSize", 50)?;
        if !(1..=1_000).contains(&page_size) {
            return Err(bad("PageSize"));
        }
        Ok(Self {
            to: text("To"),
            from: text("From"),
            on: day("DateSent")?,
            until: day("DateSent<")?,
            since: day("DateSent>")?,
            page: number("Page", 0)?,
            page_size,
        })
    }

    fn covers(&self, sent: Timestamp) -> bool {
        let day = sent.to_zoned(jiff::tz::TimeZone::UTC).date();
        self.on.is_none_or(|on| day == on)
            && self.until.is_none_or(|until| day <= until)
            && self.since.is_none_or(|since| day >= since)
    }

    fn query(&self, page: usize) -> String {
        let day = |name: &str, date: &Option<Date>| date.map(|date| format!("{name}={date}&")).unwrap_or_default();
        let text = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={}&", form::encode(value))).unwrap_or_default()
        };
        let mut query = text("To", &self.to) + &text("From", &self.from) + &day("DateSent", &self.on);
        query += &day("DateSent%3C", &self.until);
        query += &day("DateSent%3E", &self.since);
        query + &format!("PageSize={}&Page={page}", self.page_size)
    }
}
