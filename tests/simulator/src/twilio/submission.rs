//! One message as Twilio reads it from its form: fields, formats, limits, test numbers.
//! Promises: pure; the first broken rule decides, in the order in which the vendor looks.

use super::refusal::Refusal;
use crate::config::TwilioConfig;
use crate::form;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::borrow::Cow;

/// Characters of a body.
const BODY: usize = 1_600;
/// Media of one message.
const MEDIA: usize = 10;
/// Seconds that a message may wait.
const VALIDITY: std::ops::RangeInclusive<u32> = 1..=36_000;

/// The parameters of a send, decoded. Parameters that it does not know are passed over, as the vendor does.
#[derive(Debug, Default)]
pub(crate) struct Submission<'a> {
    pub(crate) to: Cow<'a, str>,
    pub(crate) from: Option<Cow<'a, str>>,
    pub(crate) service: Option<Cow<'a, str>>,
    pub(crate) body: Option<Cow<'a, str>>,
    pub(crate) media: usize,
    pub(crate) send_at: Option<Cow<'a, str>>,
    /// `usher_message` in the query of `StatusCallback`.
    pub(crate) message: Option<String>,
    bad_media: Option<Cow<'a, str>>,
    content: Option<Cow<'a, str>>,
    content_variables: Option<Cow<'a, str>>,
    callback: Option<Cow<'a, str>>,
    schedule: Option<Cow<'a, str>>,
    /// A parameter whose value its type does not allow.
    mistyped: Option<&'static str>,
}

impl<'a> Submission<'a> {
    /// Reads a form. An empty value counts as absent.
    pub(crate) fn read(form: &'a [u8]) -> Self {
        let mut read = Self::default();
        for (name, value) in form::pairs(form).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "To" => read.to = value,
                "From" => read.from = Some(value),
                "MessagingServiceSid" => read.service = Some(value),
                "Body" => read.body = Some(value),
                "MediaUrl" => {
                    read.media += 1;
                    if host(&value).is_none() {
                        read.bad_media = Some(value);
                    }
                }
                "ContentSid" => read.content = Some(value),
                "ContentVariables" => read.content_variables = Some(value),
                "StatusCallback" => {
                    let query = value.split('#').next().and_then(|url| url.split_once('?')).map(|(_, query)| query);
                    read.message = query.and_then(|query| form::first(query, "usher_message"));
                    read.callback = Some(value);
                }
                "ScheduleType" => read.schedule = Some(value),
                "SendAt" => read.send_at = Some(value),
                other => read.mistyped = read.mistyped.or_else(|| mistyped(other, &value)),
            }
        }
        read
    }

    /// Every rule, against the configured account.
    pub(crate) fn check(&self, config: &TwilioConfig, wall: Timestamp) -> Result<(), Refusal> {
        if self.to.is_empty() {
            return Err(Refusal::usual(21_604));
        }
        if self.from.is_none() && self.service.is_none() {
            return Err(Refusal::usual(21_603));
        }
        if self.body.is_none() && self.media == 0 && self.content.is_none() {
            return Err(Refusal::usual(21_602));
        }
        self.check_recipient(config)?;
        self.check_sender(config)?;
        if self.body.as_ref().is_some_and(|body| body.chars().count() > BODY) {
            return Err(Refusal::usual(21_617));
        }
        if let Some(url) = &self.bad_media {
            return Err(Refusal::about(21_620, url));
        }
        if self.media > MEDIA {
            return Err(Refusal::new(400, 21_623, "Number of media files exceeds allowed limit"));
        }
        if self.content.as_ref().is_some_and(|sid| !is_sid(sid, "HX")) {
            return Err(Refusal::usual(21_654));
        }
        let variables = self.content_variables.as_ref().map(|text| serde_json::from_str::<Value>(text));
        if variables.is_some_and(|read| !read.is_ok_and(|value| value.is_object())) {
            return Err(Refusal::usual(21_656));
        }
        // An underscore in the host name is refused by name in the vendor's specification.
        if self.callback.as_ref().is_some_and(|url| host(url).is_none_or(|host| host.contains('_'))) {
            return Err(Refusal::usual(21_609));
        }
        if let Some(name) = self.mistyped {
            return Err(Refusal::about(20_001, name));
        }
        self.check_schedule(wall)
    }

    fn check_recipient(&self, config: &TwilioConfig) -> Result<(), Refusal> {
        let (channel, number) = channel(&self.to);
        if !is_e164(number) {
            return Err(Refusal::about(21_211, &self.to));
        }
        if let Some(code) = magic(config, number, &TO).filter(|_| channel.is_empty()) {
            return Err(Refusal::about(code, number));
        }
        Ok(())
    }

    fn check_sender(&self, config: &TwilioConfig) -> Result<(), Refusal> {
        if let Some(service) = &self.service {
            if !is_sid(service, "MG") {
                return Err(Refusal::usual(21_705));
            }
            if !config.messaging_services.is_empty() && !config.messaging_services.iter().any(|known| known == service)
            {
                return Err(Refusal::usual(21_701));
            }
        }
        let Some(from) = &self.from else { return Ok(()) };
        let (ours, sender) = channel(from);
        if ours != channel(&self.to).0 {
            return Err(Refusal::usual(21_910));
        }
        let short = (3..=8).contains(&sender.len()) && sender.bytes().all(|byte| byte.is_ascii_digit());
        if !is_e164(sender) && !short && !is_alphanumeric_sender(sender) {
            return Err(Refusal::about(21_212, from));
        }
        if let Some(code) = magic(config, sender, &FROM) {
            return Err(Refusal::about(code, sender));
        }
        if !config.senders.is_empty() && !config.senders.iter().any(|known| known == from) {
            return Err(Refusal::about(21_659, from));
        }
        Ok(())
    }

    fn check_schedule(&self, wall: Timestamp) -> Result<(), Refusal> {
        let Some(send_at) = &self.send_at else { return Ok(()) };
        if self.schedule.as_deref() != Some("fixed") {
            return Err(Refusal::usual(35_111));
        }
        if self.service.is_none() {
            return Err(Refusal::usual(35_118));
        }
        let ahead = send_at.parse::<Timestamp>().map(|at| at.duration_since(wall));
        let window = SignedDuration::from_mins(15)..=SignedDuration::from_hours(35 * 24);
        if ahead.is_ok_and(|ahead| window.contains(&ahead)) { Ok(()) } else { Err(Refusal::usual(35_114)) }
    }
}

/// The name of a typed parameter whose value does not fit.
fn mistyped(name: &str, value: &str) -> Option<&'static str> {
    let boolean = matches!(value.to_ascii_lowercase().as_str(), "true" | "false");
    let (known, right) = match name {
        "ValidityPeriod" => ("ValidityPeriod", value.parse().is_ok_and(|seconds| VALIDITY.contains(&seconds))),
        "Attempt" => ("Attempt", value.parse::<u32>().is_ok()),
        "SmartEncoded" => ("SmartEncoded", boolean),
        "ShortenUrls" => ("ShortenUrls", boolean),
        "ProvideFeedback" => ("ProvideFeedback", boolean),
        "ForceDelivery" => ("ForceDelivery", boolean),
        "SendAsMms" => ("SendAsMms", boolean),
        "ContentRetention" => ("ContentRetention", matches!(value, "retain" | "discard")),
        "AddressRetention" => ("AddressRetention", matches!(value, "retain" | "obfuscate")),
        "RiskCheck" => ("RiskCheck", matches!(value, "enable" | "disable")),
        "ApplicationSid" => ("ApplicationSid", is_sid(value, "AP")),
        _ => return None,
    };
    (!right).then_some(known)
}

/// `whatsapp:+44…` is channel `whatsapp`, number `+44…`; without a channel it is SMS.
fn channel(address: &str) -> (&str, &str) {
    address.split_once(':').unwrap_or(("", address))
}

/// `+`, then 7 to 15 digits, the first not 0. E.164 sets no lower bound; shorter ones are not dialled.
fn is_e164(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// 1 to 11 letters, digits, spaces and the like, with a letter among them.
fn is_alphanumeric_sender(sender: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" +-_&".contains(&byte);
    (1..=11).contains(&sender.len()) && sender.bytes().all(allowed) && sender.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_sid(text: &str, prefix: &str) -> bool {
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The host of an absolute http or https URL.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host_port.split(':').next()?;
    let fine = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    fine.then_some(host)
}

/// The last four digits of a test number, and the error that it brings.
const TO: [(&str, u32); 5] = [("0001", 21_211), ("0002", 21_612), ("0003", 21_408), ("0004", 21_610), ("0009", 21_614)];
const FROM: [(&str, u32); 3] = [("0001", 21_212), ("0007", 21_606), ("0008", 21_611)];

fn magic(config: &TwilioConfig, number: &str, table: &[(&str, u32)]) -> Option<u32> {
    let last = number.strip_prefix("+1500555").filter(|_| config.magic_numbers)?;
    table.iter().find(|(digits, _)| *digits == last).map(|(_, code)| *code)
}
