//! A notice in the words of each channel: Slack's blocks, a mail, a text message, Alertmanager's webhook. Pure.
//!
//! What comes from outside is stripped of control characters where it is read, escaped here, and cut to what the channel takes.

use std::fmt::Write as _;

use serde_json::{Value, json};
use usher_common::model::{AlertState, Timestamp};

use super::notice::{Notice, NoticeAlert, Reason};

/// A text message of one segment.
pub const SMS: usize = 160;
/// Blocks in a message to Slack are 50 at most, and a text in one 3,000 characters.
const SLACK_ALERTS: usize = 10;
const SLACK_TEXT: usize = 2_900;

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// In a few words why it comes.
fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::First => "new",
        Reason::New => "more",
        Reason::SomeResolved => "partly over",
        Reason::Resolved => "over",
        Reason::Repeat => "still so",
        Reason::Escalation => "nobody has answered",
        Reason::Flapping => "comes and goes; silent until it is stable",
        Reason::Uncovered => "still so after maintenance or silence",
        Reason::Test => "test",
        Reason::Digest => "several",
    }
}

fn time(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// What it is about, in a line.
pub fn headline(notice: &Notice) -> String {
    let first = notice.alerts.first().map_or("nothing", |alert| alert.summary.as_str());
    let others = (notice.alerts.len() as u32 + notice.more).saturating_sub(1);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let state = if notice.reason == Reason::Resolved { "RESOLVED" } else { notice.priority.as_str() };
    format!("{state}: {first}{others}")
}

fn figure(alert: &NoticeAlert) -> String {
    // A condition that is 1 while it holds says nothing by its figure.
    if alert.threshold <= 1.0 {
        String::new()
    } else {
        format!("{} (limit {})", number(alert.value), number(alert.threshold))
    }
}

/// A mail in text and HTML. `place` is what this installation is called.
pub fn mail(notice: &Notice, place: &str) -> Mail {
    let subject = cut(&format!("[{place}] {}", headline(notice)), 180);
    let mut text = String::new();
    let mut rows = String::new();
    for alert in &notice.alerts {
        let over = alert.state == AlertState::Resolved;
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(text, "  {name:<8} {value}");
                let _ = write!(rows, "<tr><td>{name}</td><td>{}</td></tr>", html(value));
            }
        };
        line("what", &alert.summary);
        line("cause", &alert.detail);
        line("figure", &figure(alert));
        line("since", &time(alert.since));
        line("over", &alert.ended.filter(|_| over).map(time).unwrap_or_default());
        if !over {
            line("do", &alert.action);
            line("runbook", &alert.runbook);
        }
        text.push('\n');
        rows.push_str("<tr><td colspan=\"2\"><hr></td></tr>");
    }
    if notice.more > 0 {
        let _ = writeln!(text, "... and {} more", notice.more);
        let _ = write!(rows, "<tr><td colspan=\"2\">... and {} more</td></tr>", notice.more);
    }
    let id = id(notice);
    let head = headline(notice);
    let text = format!("{head}\n({}; {id}; {})\n\n{text}", why(notice.reason), time(notice.at));
    let html = format!(
        "<!doctype html><html><body><h2>{}</h2><p>{}; {}; {}</p><table>{rows}</table></body></html>",
        html(&head),
        why(notice.reason),
        html(&id),
        time(notice.at)
    );
    Mail { subject, text, html }
}

fn id(notice: &Notice) -> String {
    notice.incident.map_or_else(|| notice.key.clone(), |incident| incident.to_string())
}

/// One text message of at most 160 characters of GSM 7-bit: what, where, how bad, since when, id.
pub fn sms(notice: &Notice, place: &str) -> String {
    let since = notice.alerts.iter().map(|alert| alert.since).min().unwrap_or(notice.at);
    let clock =
        jiff::Timestamp::from_millisecond(since.0).unwrap_or(jiff::Timestamp::MAX).strftime("%H:%MZ").to_string();
    let tail = format!(" since {clock} ({})", plain(&id(notice)));
    let head = plain(&format!("{place} {}", headline(notice)));
    let cause = notice.alerts.first().map(|alert| plain(&alert.detail)).filter(|cause| !cause.is_empty());
    let whole = cause.map_or_else(|| head.clone(), |cause| format!("{head} ({cause})"));
    let room = SMS.saturating_sub(tail.len());
    format!("{}{tail}", cut(&whole, room))
}

/// What of a text a telephone of any kind shows. Letters beyond GSM 7-bit would make two segments of it; brackets, braces and the like
/// are in its extension (3GPP TS 23.038, 6.2.1.1), where each takes two places of the 160.
fn plain(text: &str) -> String {
    let kept = |c: char| c.is_ascii_graphic() && !"`[]{}\\^~|".contains(c);
    text.chars().map(|c| if c == ' ' || kept(c) { c } else { '?' }).collect()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(2)).collect();
    cut.push_str("..");
    cut
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Slack's three signs as text.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A message to Slack: a header, a section for each alert with what to do, and where it is from.
pub fn slack(notice: &Notice, place: &str) -> Value {
    let head = headline(notice);
    let mut blocks = vec![json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&head, 150) } })];
    for alert in notice.alerts.iter().take(SLACK_ALERTS) {
        let over = alert.state == AlertState::Resolved;
        let mut text = format!("*{}*", slack_text(&alert.summary));
        for part in [&alert.detail, &figure(alert)] {
            if !part.is_empty() {
                let _ = write!(text, "\n{}", slack_text(part));
            }
        }
        let _ = write!(text, "\nsince {}", time(alert.since));
        if over {
            let _ = write!(text, ", over {}", alert.ended.map(time).unwrap_or_default());
        } else {
            let _ = write!(text, "\nfirst: `{}`", slack_text(&alert.action).replace('`', "'"));
        }
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(&text, SLACK_TEXT) } }));
    }
    let left = (notice.alerts.len().saturating_sub(SLACK_ALERTS)) as u32 + notice.more;
    let more = if left > 0 { format!("... and {left} more · ") } else { String::new() };
    let foot = format!("{more}{} · {} · {}", slack_text(place), why(notice.reason), id(notice));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": foot }] }));
    json!({ "text": slack_text(&head), "blocks": blocks })
}

/// The body that Alertmanager's `webhook_configs` send (version 4), so that whatever takes those takes these.
pub fn alertmanager(notice: &Notice, receiver: &str, place: &str) -> Value {
    let alerts: Vec<Value> = notice.alerts.iter().map(|alert| one(alert, notice, place)).collect();
    let firing = notice.alerts.iter().any(|alert| alert.state != AlertState::Resolved);
    let rule = notice.group.get("rule").cloned().unwrap_or_default();
    let annotations = notice.alerts.first().map_or(json!({}), |alert| json!({ "runbook": alert.runbook }));
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{rule}\"}}"),
        "truncatedAlerts": notice.more,
        "status": if firing { "firing" } else { "resolved" },
        "receiver": receiver,
        "groupLabels": { "alertname": rule },
        "commonLabels": { "alertname": rule, "severity": notice.priority.as_str(), "environment": place },
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": alerts,
    })
}

fn one(alert: &NoticeAlert, notice: &Notice, place: &str) -> Value {
    let rfc = |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::MAX).to_string();
    let over = alert.state == AlertState::Resolved;
    let name = format!("{}\u{0}{}\u{0}{place}", alert.rule, alert.object);
    let hash = blake3::hash(name.as_bytes());
    json!({
        "status": if over { "resolved" } else { "firing" },
        "labels": {
            "alertname": alert.rule,
            "severity": notice.priority.as_str(),
            "object": alert.object,
            "environment": place,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.detail,
            "action": alert.action,
            "runbook": alert.runbook,
            "incident": notice.incident.map(|incident| incident.to_string()).unwrap_or_default(),
        },
        "startsAt": rfc(alert.since),
        // The zero of Go's time, which is how Alertmanager says that it is not over.
        "endsAt": alert.ended.filter(|_| over).map_or("0001-01-01T00:00:00Z".to_owned(), rfc),
        "generatorURL": "",
        "fingerprint": hex::encode(&hash.as_bytes()[..8]),
    })
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
