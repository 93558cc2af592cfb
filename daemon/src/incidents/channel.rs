//! The channels by which somebody is told: Slack in blocks, mail and text messages through the providers' adapters under credentials of
//! their own, and whatever takes Alertmanager's webhooks. Each try has an end, and an answer in one of three words.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use usher_common::model::{AttemptNo, Channel, MessageId, OutcomeClass};

use super::notice::Notice;
use super::outbox::PATIENCE;
use super::render;
use crate::providers::poster::{Posted, Poster};
use crate::providers::{Outgoing, Provider, Sender};

/// Ids of alerts begin here, far above those of messages to guests, so that no report of one is taken for a report of the other.
const FIRST_ID: u64 = 1 << 62;

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The channel took it.
    Taken,
    /// It did not, and why.
    Not(String),
    /// Nobody knows.
    Unclear(String),
}

/// A way to somebody.
pub enum Line {
    /// A provider's adapter.
    Provider {
        /// The adapter.
        provider: Arc<dyn Provider>,
        /// Whom it reaches.
        to: String,
    },
    /// Slack, in blocks.
    Slack {
        /// Where messages are posted.
        poster: Poster,
        /// The channel's or member's id; empty where the address says it.
        to: String,
    },
    /// Whatever takes Alertmanager's webhooks.
    Webhook {
        /// Where alerts are posted.
        poster: Poster,
    },
}

/// An alert channel at work.
pub struct AlertLine {
    /// Its name.
    pub name: String,
    /// The way.
    pub line: Line,
}

impl AlertLine {
    /// Tells a notice once. `place` is what this installation is called, `number` tells notices apart.
    pub async fn tell(&self, notice: &Notice, place: &str, number: u64) -> Answer {
        let told: BoxFuture<'_, Answer> = match &self.line {
            Line::Provider { provider, to } => Box::pin(by_provider(provider.as_ref(), to, notice, place, number)),
            Line::Slack { poster, to } => Box::pin(async move {
                let mut body = render::slack(notice, place);
                if !to.is_empty() {
                    body["channel"] = to.clone().into();
                }
                judge_slack(poster.post(&body).await)
            }),
            Line::Webhook { poster } => {
                Box::pin(async move { judge(poster.post(&render::alertmanager(notice, &self.name, place)).await) })
            }
        };
        let late = || Answer::Unclear(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| late())
    }
}

async fn by_provider(provider: &dyn Provider, to: &str, notice: &Notice, place: &str, number: u64) -> Answer {
    let message = MessageId(FIRST_ID + number);
    let mail = render::mail(notice, place);
    let text = if provider.channel() == Channel::Email { mail.text } else { render::sms(notice, place) };
    let outgoing = Outgoing {
        message,
        attempt: AttemptNo(1),
        to: to.to_owned(),
        to_name: String::new(),
        from: Sender::default(),
        reply_to: None,
        subject: mail.subject,
        text,
        html: if provider.channel() == Channel::Email { mail.html } else { String::new() },
        headers: Vec::new(),
        template: None,
        rfc_message_id: format!("<{message}.{}@alerts.usher.invalid>", notice.at.0),
        date: notice.at,
    };
    // Tried again it is the same to a provider that keeps keys.
    let key = format!("usher-alert-{}", hex::encode(&blake3::hash(notice.key.as_bytes()).as_bytes()[..16]));
    let prepared = match provider.prepare(std::slice::from_ref(&outgoing), &key) {
        Ok(prepared) => prepared,
        Err(error) => return Answer::Not(error.to_string()),
    };
    match provider.send(&prepared).await.first() {
        Some(answer) if answer.class == OutcomeClass::Accepted => Answer::Taken,
        Some(answer) if answer.class == OutcomeClass::Unknown => {
            Answer::Unclear(format!("{} {}", answer.code, answer.detail))
        }
        Some(answer) => Answer::Not(format!("{}: {} {}", answer.class, answer.code, answer.detail)),
        None => Answer::Unclear("no answer".to_owned()),
    }
}

fn judge(posted: Posted) -> Answer {
    match posted {
        Posted::Answered { status: 200..=299, .. } => Answer::Taken,
        Posted::Answered { status, body } => Answer::Not(format!("HTTP {status} {}", text(&body))),
        Posted::NotSent(why) => Answer::Not(why),
        Posted::Doubt(why) => Answer::Unclear(why),
    }
}

/// Slack answers 200 for what it did not take, too: a bot's JSON says `ok`, a webhook says it in text.
fn judge_slack(posted: Posted) -> Answer {
    let Posted::Answered { status: 200, body } = &posted else { return judge(posted) };
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    match said.as_ref().and_then(|said| said["ok"].as_bool()) {
        Some(true) => Answer::Taken,
        Some(false) => {
            Answer::Not(said.and_then(|said| said["error"].as_str().map(str::to_owned)).unwrap_or_else(|| text(body)))
        }
        None if body.as_ref() == b"ok" => Answer::Taken,
        None => Answer::Not(text(body)),
    }
}

fn text(body: &[u8]) -> String {
    crate::providers::clean(&String::from_utf8_lossy(&body[..body.len().min(400)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_understood_when_it_says_no_with_200() {
        let answered = |status: u16, body: &str| Posted::Answered { status, body: body.to_owned().into() };
        for (posted, expected) in [
            (answered(200, "ok"), Answer::Taken),
            (answered(200, r#"{"ok":true}"#), Answer::Taken),
            (answered(200, r#"{"ok":false,"error":"channel_not_found"}"#), Answer::Not("channel_not_found".into())),
            (answered(200, "no_service"), Answer::Not("no_service".into())),
            (answered(503, "busy"), Answer::Not("HTTP 503 busy".into())),
            (Posted::Doubt("reset".into()), Answer::Unclear("reset".into())),
        ] {
            assert_eq!(judge_slack(posted.clone()), expected, "{posted:?}");
        }
        assert_eq!(judge(answered(204, "")), Answer::Taken);
    }
}
