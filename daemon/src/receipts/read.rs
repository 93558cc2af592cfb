//! From each provider's own words to the normal form. Pure, and after verification only.
//!
//! A word that is not known becomes [`Kind::Foreign`]; only a body that is not even of its format is refused.

use serde_json::Value;
use usher_common::model::{Channel, MessageId, ProviderKind};

use super::json::{list, rfc3339, seconds, text, word};
use super::report::{Kind, Report, is_stop};
use super::{form, json};
use crate::providers::receipt;

/// Reports that one request may carry.
const MOST: usize = 5_000;

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Reports, possibly none.
    Reports(Vec<Report>),
    /// A handshake of Slack's: this text is to be said back.
    Challenge(String),
}

/// Why a verified body cannot be read. For the log: the caller is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not its provider's format.
    #[error("its body is not {0}: is the address that of another provider?")]
    Format(&'static str),
    /// More than one request can carry.
    #[error("it carries more than {MOST} reports")]
    TooMany,
    /// A provider that reports by no webhook.
    #[error("a provider of kind {0} reports by no webhook")]
    Kind(&'static str),
}

/// A verified request.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// The query of its address, without the question mark.
    pub query: &'a str,
    /// The provider's name of this delivery, where it is in a header (`svix-id`).
    pub delivery: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Reads what a provider of this kind, which carries this channel, posted.
pub fn read(kind: ProviderKind, channel: Channel, post: &Post<'_>) -> Result<Heard, Unreadable> {
    let parse = || serde_json::from_slice::<Value>(post.body).map_err(|_| Unreadable::Format("JSON"));
    let reports = match kind {
        ProviderKind::Twilio => vec![twilio(post)],
        ProviderKind::SendGrid => match parse()? {
            Value::Array(events) if events.len() > MOST => return Err(Unreadable::TooMany),
            Value::Array(events) => events.iter().map(sendgrid).collect(),
            _ => return Err(Unreadable::Format("a list of SendGrid's events")),
        },
        ProviderKind::Resend => vec![resend(&parse()?, post.delivery)],
        ProviderKind::WhatsApp => {
            let value = parse()?;
            if text(&value, "/object") != "whatsapp_business_account" {
                return Err(Unreadable::Format("a notification of WhatsApp's"));
            }
            whatsapp(&value)?
        }
        ProviderKind::Slack => {
            let value = parse()?;
            if text(&value, "/type") == "url_verification" {
                return Ok(Heard::Challenge(text(&value, "/challenge").to_owned()));
            }
            vec![slack(&value)]
        }
        ProviderKind::Webhook => gateway(&parse()?, channel)?,
        ProviderKind::Smtp => return Err(Unreadable::Kind("smtp")),
        ProviderKind::Unknown => return Err(Unreadable::Kind("unknown")),
    };
    Ok(Heard::Reports(reports))
}

/// Our id as it went out; anything else in its place is somebody else's.
pub(super) fn ours(text: &str) -> Option<MessageId> {
    text.strip_prefix('m')?.parse().ok().map(MessageId)
}

/// A name for an event that has none: what it says.
fn digest(value: &Value) -> String {
    blake3::hash(value.to_string().as_bytes()).to_hex().as_str().to_owned()
}

fn named(event: &str, otherwise: &Value) -> String {
    if event.is_empty() { digest(otherwise) } else { event.chars().take(200).collect() }
}

fn twilio(post: &Post<'_>) -> Report {
    let fields = form::decode(post.body);
    let query = form::decode(post.query.as_bytes());
    let find = |fields: &[(Vec<u8>, Vec<u8>)], name: &str| {
        let found = fields.iter().find(|(n, _)| n == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let field = |name: &str| find(&fields, name);
    let address = |text: String| match text.strip_prefix("whatsapp:") {
        Some(number) => (Channel::WhatsApp, number.to_owned()),
        None => (Channel::Sms, text),
    };
    let sid = [field("MessageSid"), field("SmsSid")].into_iter().find(|sid| !sid.is_empty()).unwrap_or_default();
    let status = [field("MessageStatus"), field("SmsStatus")].into_iter().find(|s| !s.is_empty()).unwrap_or_default();
    let error = field("ErrorCode");
    let event = format!("{sid}:{status}:{error}");
    if status == "received" {
        // A guest has written. Only whether to write again matters here.
        let kind = match field("OptOutType").as_str() {
            "STOP" => Kind::OptOut,
            "START" => Kind::OptIn,
            "" if is_stop(&field("Body")) => Kind::OptOut,
            _ => Kind::Nothing,
        };
        return Report { recipient: Some(address(field("From"))), ..Report::of(event, kind) }.saying("inbound", "");
    }
    let code: Option<u32> = error.parse().ok();
    let state = receipt::twilio(&status, code);
    let kind = match (Kind::from(state), code) {
        (Kind::Failed, Some(21610)) => Kind::WithheldOptedOut,
        // The number does not exist; the number is a landline.
        (Kind::Failed, Some(30005 | 30006)) => Kind::HardBounce,
        (Kind::Delivered, _) if status == "read" => Kind::Read,
        (kind, _) => kind,
    };
    let report = Report {
        message: ours(&find(&query, "usher_message")),
        provider_id: sid,
        recipient: Some(address(field("To"))),
        ..Report::of(event, kind)
    };
    report.saying(if error.is_empty() { &status } else { &error }, &field("ChannelStatusMessage"))
}

fn sendgrid(event: &Value) -> Report {
    let name = text(event, "/event");
    let reason = text(event, "/reason");
    let kind = match (name, text(event, "/type"), reason) {
        ("bounce", "blocked", _) => Kind::SoftBounce,
        ("bounce", ..) => Kind::HardBounce,
        ("dropped", _, "Bounced Address" | "Invalid") => Kind::WithheldBounced,
        ("dropped", _, "Spam Reporting Address") => Kind::WithheldComplained,
        ("dropped", _, "Unsubscribed Address") => Kind::WithheldOptedOut,
        ("spamreport", ..) => Kind::Complaint,
        ("unsubscribe" | "group_unsubscribe", ..) => Kind::OptOut,
        ("group_resubscribe", ..) => Kind::OptIn,
        ("account_status_change", ..) => Kind::Account,
        // Apple loads the pictures of every mail beforehand, and SendGrid knows it.
        ("open", ..) if event.pointer("/sg_machine_open") == Some(&Value::Bool(true)) => Kind::Nothing,
        ("open", ..) => Kind::Opened,
        ("click", ..) => Kind::Clicked,
        _ => Kind::from(receipt::sendgrid(name)),
    };
    let to = text(event, "/email");
    let report = Report {
        message: ours(text(event, "/usher_message")),
        provider_id: text(event, "/sg_message_id").to_owned(),
        recipient: (!to.is_empty()).then(|| (Channel::Email, to.to_owned())),
        at: seconds(event, "/timestamp"),
        ..Report::of(named(text(event, "/sg_event_id"), event), kind)
    };
    let code = [text(event, "/status"), text(event, "/type"), name].into_iter().find(|code| !code.is_empty());
    report.saying(code.unwrap_or_default(), if reason.is_empty() { text(event, "/response") } else { reason })
}

fn resend(event: &Value, delivery: &str) -> Report {
    let name = text(event, "/type");
    let bounce = text(event, "/data/bounce/type");
    let kind = match (name, bounce, text(event, "/data/suppressed/reason")) {
        ("email.bounced", "Permanent", _) => Kind::HardBounce,
        ("email.bounced", "Transient", _) => Kind::SoftBounce,
        ("email.suppressed", _, "previous_bounce") => Kind::WithheldBounced,
        ("email.suppressed", _, "previous_complaint") => Kind::WithheldComplained,
        ("email.complained", ..) => Kind::Complaint,
        ("contact.updated", ..) if event.pointer("/data/unsubscribed") == Some(&Value::Bool(true)) => Kind::OptOut,
        ("email.opened", ..) => Kind::Opened,
        ("email.clicked", ..) => Kind::Clicked,
        ("email.received", ..) => Kind::Nothing,
        (name, ..) if name.starts_with("contact.") => Kind::Nothing,
        (name, ..) if name.starts_with("domain.") => Kind::Account,
        _ => Kind::from(receipt::resend(name, Some(bounce).filter(|bounce| !bounce.is_empty()))),
    };
    let to = [text(event, "/data/to/0"), text(event, "/data/email")].into_iter().find(|to| !to.is_empty());
    // Sent as a list of pairs, and told back as a map.
    let pair = list(event, "/data/tags").iter().find(|tag| text(tag, "/name") == "usher_message");
    let tag = pair.map_or_else(|| text(event, "/data/tags/usher_message"), |tag| text(tag, "/value"));
    let report = Report {
        message: ours(tag),
        provider_id: text(event, "/data/email_id").to_owned(),
        recipient: to.map(|to| (Channel::Email, to.to_owned())),
        at: rfc3339(event, "/created_at"),
        ..Report::of(named(delivery, event), kind)
    };
    let code = [text(event, "/data/bounce/subType"), text(event, "/data/failed/reason"), name];
    let detail = [text(event, "/data/bounce/message"), text(event, "/data/suppressed/message")].concat();
    report.saying(code.into_iter().find(|code| !code.is_empty()).unwrap_or_default(), &detail)
}

fn whatsapp(notification: &Value) -> Result<Vec<Report>, Unreadable> {
    let mut reports = Vec::new();
    for change in list(notification, "/entry").iter().flat_map(|entry| list(entry, "/changes")) {
        let Some(value) = change.pointer("/value") else { continue };
        match text(change, "/field") {
            "messages" => {
                reports.extend(list(value, "/statuses").iter().map(whatsapp_status));
                reports.extend(list(value, "/messages").iter().map(whatsapp_answer));
                reports.extend(list(value, "/errors").iter().map(|error| {
                    let report = Report::of(digest(change), Kind::Account);
                    report.saying(&word(error, "/code"), text(error, "/error_data/details"))
                }));
            }
            "user_preferences" => reports.extend(list(value, "/user_preferences").iter().map(|preference| {
                let kind = match text(preference, "/value") {
                    "stop" => Kind::OptOut,
                    "resume" => Kind::OptIn,
                    _ => Kind::Foreign,
                };
                let recipient = Some((Channel::WhatsApp, number(text(preference, "/wa_id"))));
                let at = seconds(preference, "/timestamp");
                Report { recipient, at, ..Report::of(digest(preference), kind) }.saying("user_preferences", "")
            })),
            field => {
                let ours = field.starts_with("account_")
                    || field.starts_with("message_template_")
                    || field.starts_with("phone_number_");
                let kind = if ours { Kind::Account } else { Kind::Foreign };
                let detail = [text(value, "/event"), text(value, "/message_template_name")].join(" ");
                reports.push(Report::of(digest(change), kind).saying(field, &detail));
            }
        }
        if reports.len() > MOST {
            return Err(Unreadable::TooMany);
        }
    }
    Ok(reports)
}

/// WhatsApp writes numbers without the plus.
fn number(digits: &str) -> String {
    format!("+{}", digits.trim_start_matches('+'))
}

fn whatsapp_status(status: &Value) -> Report {
    let (id, name) = (text(status, "/id"), text(status, "/status"));
    let code = word(status, "/errors/0/code");
    let kind = match Kind::from(receipt::whatsapp(name, code.parse().ok())) {
        Kind::Failed if code == "131050" => Kind::WithheldOptedOut,
        Kind::Delivered if matches!(name, "read" | "played") => Kind::Read,
        kind => kind,
    };
    let report = Report {
        message: ours(text(status, "/biz_opaque_callback_data")),
        provider_id: id.to_owned(),
        recipient: Some((Channel::WhatsApp, number(text(status, "/recipient_id")))),
        at: seconds(status, "/timestamp"),
        ..Report::of(format!("{id}:{name}:{code}"), kind)
    };
    let details = [text(status, "/errors/0/error_data/details"), text(status, "/errors/0/title")];
    let detail = details.into_iter().find(|detail| !detail.is_empty()).unwrap_or_default();
    report.saying(if code.is_empty() { name } else { &code }, detail)
}

fn whatsapp_answer(answer: &Value) -> Report {
    let said = [text(answer, "/text/body"), text(answer, "/button/payload"), text(answer, "/button/text")];
    let kind = if said.into_iter().any(is_stop) { Kind::OptOut } else { Kind::Nothing };
    let report = Report {
        recipient: Some((Channel::WhatsApp, number(text(answer, "/from")))),
        at: seconds(answer, "/timestamp"),
        ..Report::of(named(text(answer, "/id"), answer), kind)
    };
    report.saying("inbound", "")
}

fn slack(envelope: &Value) -> Report {
    let name = [text(envelope, "/event/type"), text(envelope, "/type")].into_iter().find(|name| !name.is_empty());
    let name = name.unwrap_or_default();
    let user = text(envelope, "/event/user");
    let direct = text(envelope, "/event/channel_type") == "im" && envelope.pointer("/event/bot_id").is_none();
    let kind = match name {
        "message" if direct && is_stop(text(envelope, "/event/text")) => Kind::OptOut,
        "message" => Kind::Nothing,
        "app_uninstalled" | "tokens_revoked" | "app_rate_limited" => Kind::Account,
        _ => Kind::Foreign,
    };
    let report = Report {
        recipient: (!user.is_empty()).then(|| (Channel::Slack, user.to_owned())),
        at: seconds(envelope, "/event_time"),
        ..Report::of(named(text(envelope, "/event_id"), envelope), kind)
    };
    report.saying(name, "")
}

/// A gateway of one's own: one report, or a list of them under `reports`.
fn gateway(value: &Value, channel: Channel) -> Result<Vec<Report>, Unreadable> {
    if value.pointer("/version").and_then(Value::as_u64) != Some(1) {
        return Err(Unreadable::Format("a report of version 1"));
    }
    let all = match value.pointer("/reports") {
        Some(Value::Array(all)) => all.as_slice(),
        _ => std::slice::from_ref(value),
    };
    if all.len() > MOST {
        return Err(Unreadable::TooMany);
    }
    Ok(all.iter().map(|report| gateway_report(report, channel)).collect())
}

fn gateway_report(value: &Value, channel: Channel) -> Report {
    let state = text(value, "/state");
    let kind = match state {
        "sent" => Kind::Sent,
        "delayed" => Kind::Delayed,
        "delivered" => Kind::Delivered,
        "read" => Kind::Read,
        "opened" => Kind::Opened,
        "clicked" => Kind::Clicked,
        "failed" => Kind::Failed,
        "unknown" => Kind::Doubtful,
        "bounced" => Kind::HardBounce,
        "complained" => Kind::Complaint,
        "opted_out" => Kind::OptOut,
        "opted_in" => Kind::OptIn,
        _ => Kind::Foreign,
    };
    let to = text(value, "/to");
    let report = Report {
        message: ours(text(value, "/message")),
        provider_id: text(value, "/id").to_owned(),
        recipient: (!to.is_empty()).then(|| (channel, to.to_owned())),
        at: json::rfc3339(value, "/at"),
        ..Report::of(named(text(value, "/event"), value), kind)
    };
    report.saying(if text(value, "/code").is_empty() { state } else { text(value, "/code") }, text(value, "/detail"))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
