//! Reports that come by mail: bounces (DSN, RFC 3464) and complaints (ARF, RFC 5965), taken apart into one form. Pure.
//!
//! Anybody can write a mail, so nothing here is believed yet: [`mailbox`](super::mailbox) decides that. Promises: any bytes at all
//! come to an answer, without a panic and in bounded memory; a mail that is no report is none, never an error.

use mail_parser::{Address, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::report::Kind;

/// Longest mail that is read, in bytes. Our letters have no attachments, so that one with all of it in it is shorter.
pub const MAIL_LIMIT: usize = 512 << 10;

/// Recipients that one report may speak of; our letters have one each.
const RECIPIENTS: usize = 16;
/// Message-IDs that are tried.
const NAMES: usize = 12;
/// Longest text of a field that is kept, in characters; nothing real is longer.
const FIELD: usize = 1_000;

/// What a mail says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailReport {
    /// Names the event: the same when the mail comes again.
    pub event: String,
    /// The Message-IDs that it may speak of, the likeliest first.
    pub names: Vec<String>,
    /// Our own header with the message's id, which proves nothing.
    pub message: Option<String>,
    /// The addresses that it speaks of, the one that we wrote to first where the report knows it.
    pub addresses: Vec<String>,
    /// What it says.
    #[serde(with = "word")]
    pub kind: Kind,
    /// When the mail was written, by its own word.
    pub at: Option<Timestamp>,
    /// The status (`5.1.1`) or the type of complaint.
    pub code: String,
    /// What the server said that turned the letter away; not redacted.
    pub detail: String,
}

/// Kinds as their words.
mod word {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Kind;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
    pub(super) fn serialize<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
        let word = String::deserialize(from)?;
        Kind::of_word(&word).ok_or_else(|| D::Error::custom("this is no kind of report"))
    }
}

/// Why something is no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailFault {
    /// Longer than [`MAIL_LIMIT`].
    #[error("it has more than {} KiB, and no report of a letter of ours has", MAIL_LIMIT >> 10)]
    TooLarge,
    /// No header to begin with.
    #[error("it is no mail: it does not begin with header fields")]
    NoMail,
}

/// Reads a mail; empty where it is no report.
pub fn read_mail(raw: &[u8]) -> Result<Vec<MailReport>, MailFault> {
    if raw.len() > MAIL_LIMIT {
        return Err(MailFault::TooLarge);
    }
    let parser = MessageParser::default();
    // Most mail that comes to a mailbox is no report, and need not be taken apart.
    let head = parser.parse_headers(raw).filter(|head| !head.headers().is_empty()).ok_or(MailFault::NoMail)?;
    if !head.content_type().is_some_and(|kind| is(kind.ctype(), "multipart") && is_some(kind.subtype(), "report")) {
        return Ok(Vec::new());
    }
    let message = parser.parse(raw).ok_or(MailFault::NoMail)?;
    let reports = reports_in(&message);
    take_down(message);
    Ok(reports)
}

fn is(text: &str, other: &str) -> bool {
    text.eq_ignore_ascii_case(other)
}

fn is_some(text: Option<&str>, other: &str) -> bool {
    text.is_some_and(|text| is(text, other))
}

/// Drops a message one level after the other: mails in mails, thousands deep, would need a stack as deep.
fn take_down(message: Message<'_>) {
    let mut waiting = vec![message];
    while let Some(message) = waiting.pop() {
        for part in message.parts {
            if let PartType::Message(inner) = part.body {
                waiting.push(inner);
            }
        }
    }
}

fn reports_in(message: &Message<'_>) -> Vec<MailReport> {
    let parts = || message.parts.iter().take(64);
    let of = |kind: &str, names: &[&str]| {
        parts().find(|part| {
            let Some(found) = part.content_type() else { return false };
            is(found.ctype(), kind) && names.iter().any(|name| is_some(found.subtype(), name))
        })
    };
    let status = of("message", &["delivery-status", "global-delivery-status"]);
    let complaint = of("message", &["feedback-report"]);
    let returned = of("message", &["rfc822", "global", "rfc822-headers", "global-headers"])
        .or_else(|| of("text", &["rfc822-headers"]))
        .map(Returned::of)
        .unwrap_or_default();
    let about = |name: &str| texts(message.header(name.to_owned()).unwrap_or(&HeaderValue::Empty));
    let mut origin = Origin {
        own_id: message.message_id().unwrap_or_default().to_owned(),
        at: message.date().and_then(|date| date.to_timestamp().checked_mul(1000)).map(Timestamp),
        returned,
        answers: about("In-Reply-To").into_iter().chain(about("References").into_iter().rev()).collect(),
    };
    match (status, complaint) {
        (Some(status), _) => origin.bounces(&fields_of(status)),
        (None, Some(complaint)) => origin.complaint(&fields_of(complaint)),
        (None, None) => Vec::new(),
    }
}

fn texts(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(text) => vec![cut(text)],
        HeaderValue::TextList(list) => list.iter().map(|text| cut(text)).collect(),
        _ => Vec::new(),
    }
}

fn cut(text: &str) -> String {
    text.trim().chars().take(FIELD).collect()
}

/// What is left of our letter in a report.
#[derive(Default)]
struct Returned {
    message_id: String,
    message: Option<String>,
    to: Vec<String>,
}

impl Returned {
    fn of(part: &MessagePart<'_>) -> Self {
        match &part.body {
            PartType::Message(message) => Self::read(message),
            _ => MessageParser::default().parse_headers(part.contents()).as_ref().map(Self::read).unwrap_or_default(),
        }
    }

    fn read(message: &Message<'_>) -> Self {
        let mut to = Vec::new();
        if let Some(Address::List(list)) = message.to() {
            to.extend(list.iter().take(RECIPIENTS).filter_map(|one| one.address.as_deref().map(cut)));
        }
        Self {
            message_id: message.message_id().map(cut).unwrap_or_default(),
            message: message.header_raw("X-Usher-Message").map(cut).filter(|text| !text.is_empty()),
            to,
        }
    }
}

/// A group of fields, as `(name in small letters, value)`.
type Fields = Vec<(String, String)>;

/// The groups of fields in a part; an empty line parts them.
fn fields_of(part: &MessagePart<'_>) -> Vec<Fields> {
    let text = String::from_utf8_lossy(part.contents());
    let mut groups = vec![Fields::new()];
    for line in text.lines() {
        let group = groups.last_mut().expect("there is one from the start");
        if line.trim().is_empty() {
            if !group.is_empty() {
                if groups.len() > RECIPIENTS {
                    break;
                }
                groups.push(Fields::new());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = group.last_mut()
                && value.len() < FIELD
            {
                value.push(' ');
                value.push_str(&cut(line));
            }
        } else if let Some((name, value)) = line.split_once(':')
            && group.len() < 64
        {
            group.push((name.trim().to_ascii_lowercase(), cut(value)));
        }
    }
    groups
}

fn field<'f>(fields: &'f Fields, name: &str) -> &'f str {
    fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str())
}

/// `rfc822; zoe@guest.example`, which may be in brackets.
fn address(typed: &str) -> Option<String> {
    let (kind, address) = typed.split_once(';').unwrap_or(("rfc822", typed));
    let address = address.trim().trim_start_matches('<').trim_end_matches('>');
    let known = ["rfc822", "utf-8"].iter().any(|word| is(kind.trim(), word));
    (known && address.contains('@')).then(|| address.to_owned())
}

/// Where a report comes from, the same for all that it says.
struct Origin {
    own_id: String,
    at: Option<Timestamp>,
    returned: Returned,
    answers: Vec<String>,
}

impl Origin {
    fn bounces(&mut self, groups: &[Fields]) -> Vec<MailReport> {
        let envelope = groups.iter().map(|group| field(group, "original-envelope-id")).find(|id| !id.is_empty());
        let of_a_recipient = |group: &&Fields| {
            ["final-recipient", "original-recipient", "action"].iter().any(|name| !field(group, name).is_empty())
        };
        groups
            .iter()
            .filter(of_a_recipient)
            .map(|group| {
                let told = [field(group, "original-recipient"), field(group, "final-recipient")];
                let (status, said) = (field(group, "status"), field(group, "diagnostic-code"));
                let said = said.split_once(';').map_or(said, |(_, text)| text.trim());
                let status = refined(status, said);
                let kind = bounce(field(group, "action"), &status);
                self.report(envelope, &told.into_iter().filter_map(address).collect::<Vec<_>>(), (kind, &status, said))
            })
            .collect()
    }

    fn complaint(&mut self, groups: &[Fields]) -> Vec<MailReport> {
        let Some(group) = groups.iter().find(|group| !field(group, "feedback-type").is_empty()) else {
            return Vec::new();
        };
        let told = group.iter().filter(|(name, _)| name == "original-rcpt-to").take(RECIPIENTS);
        let told: Vec<String> = told.filter_map(|(_, value)| address(value)).collect();
        let code = field(group, "feedback-type").to_ascii_lowercase();
        let envelope = Some(field(group, "original-envelope-id")).filter(|id| !id.is_empty());
        vec![self.report(envelope, &told, (feedback(&code), &code, ""))]
    }

    fn report(&self, envelope: Option<&str>, told: &[String], (kind, code, detail): (Kind, &str, &str)) -> MailReport {
        let mut names: Vec<String> = Vec::new();
        let all = envelope.into_iter().chain([self.returned.message_id.as_str()]);
        for name in all.chain(self.answers.iter().map(String::as_str)) {
            let name = name.trim_start_matches('<').trim_end_matches('>');
            if !name.is_empty() && names.len() < NAMES && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let mut addresses: Vec<String> = Vec::new();
        for to in told.iter().chain(&self.returned.to) {
            if !addresses.contains(to) {
                addresses.push(to.clone());
            }
        }
        let mut hash = blake3::Hasher::new();
        let parts = [self.own_id.as_str(), kind.as_str(), code];
        for part in parts.into_iter().chain(names.iter().chain(&addresses).map(String::as_str)) {
            hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        MailReport {
            event: hash.finalize().to_hex().as_str().to_owned(),
            names,
            message: self.returned.message.clone(),
            addresses,
            kind,
            at: self.at,
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// The status code; where a server only says "permanent", the one that its words begin with.
fn refined(status: &str, said: &str) -> String {
    let status = status.split_whitespace().next().unwrap_or_default();
    let vague = status.is_empty() || matches!(numbers(status), Some((_, 0, 0)));
    let words = said.split([' ', '-']).take(3).map(|word| word.trim_start_matches('#'));
    let better = if vague { words.into_iter().find(|word| numbers(word).is_some_and(|n| n.1 > 0)) } else { None };
    better.unwrap_or(status).chars().take(12).collect()
}

/// An enhanced status code (RFC 3463).
fn numbers(status: &str) -> Option<(u16, u16, u16)> {
    let mut parts = status.split('.').map(|part| part.parse().ok());
    let found = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(found.0, 2 | 4 | 5)).then_some(found)
}

/// What an action (RFC 3464 §2.3.3) with its status means.
fn bounce(action: &str, status: &str) -> Kind {
    match (action.to_ascii_lowercase().as_str(), numbers(status)) {
        ("delayed", _) => Kind::Delayed,
        ("delivered", _) => Kind::Delivered,
        // It went on to where nobody reports; or to several, of whom others report.
        ("relayed" | "expanded", _) => Kind::Sent,
        // The address: no such mailbox, no such domain, not even an address; moved; gone; no mail taken there.
        ("failed", Some((5, 1, 1 | 2 | 3 | 6 | 10))) => Kind::HardBounce,
        // The sender, the text or the server's rules: another letter may arrive.
        ("failed", Some((5, 1, 7 | 8) | (5, 5..=7, _) | (5, 3, 4))) => Kind::Failed,
        // A full or closed mailbox, a time that ran out, or a server that does not say.
        ("failed", _) => Kind::SoftBounce,
        _ => Kind::Foreign,
    }
}

/// What a type of feedback means (RFC 5965 §7.3, 6430, 6591).
fn feedback(word: &str) -> Kind {
    match word {
        "abuse" | "fraud" | "virus" | "other" => Kind::Complaint,
        "opt-out" | "opt-out-list" => Kind::OptOut,
        "not-spam" | "auth-failure" => Kind::Nothing,
        _ => Kind::Foreign,
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
