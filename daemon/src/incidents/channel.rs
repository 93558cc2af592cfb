//! The channels by which somebody is told: Slack in blocks, mail and text messages through the providers' adapters under credentials of
//! their own, and whatever takes Alertmanager's webhooks. Each try has an end, and an answer in one of three words.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use usher_common::model::{AttemptNo, Channel, MessageId, OutcomeClass};

use super::notice::Notice;
use super::outbox::PATIENCE;
use super::render;
use crate::providers::poster::{Posted, Poster};
use crate::providers::{Outgoing, PrepareError, Prepared, Provider, Sender};

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
    /// Tells a notice once. `place` is what this installation is called.
    pub async fn tell(&self, notice: &Notice, place: &str) -> Answer {
        let told: BoxFuture<'_, Answer> = match &self.line {
            Line::Provider { provider, to } => {
                let request = prepared(provider.as_ref(), (self.name.as_str(), to.as_str()), notice, place);
                Box::pin(async move {
                    match request {
                        Ok(request) => judge_provider(provider.send(&request).await.first()),
                        Err(error) => Answer::Not(error.to_string()),
                    }
                })
            }
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

/// What names a notice on a channel, the same at every try and after a restart. A provider that keeps keys drops a double only where key
/// and bytes are the same, and refuses a key that it knows with other bytes: so nothing that may share an account shares a name, neither
/// another channel nor another installation.
fn name_of((channel, to): (&str, &str), notice: &Notice, place: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [place, channel, to, notice.key.as_str()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&notice.at.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// The exact bytes of a notice for a provider.
fn prepared(
    provider: &dyn Provider,
    (channel, to): (&str, &str),
    notice: &Notice,
    place: &str,
) -> Result<Prepared, PrepareError> {
    let name = name_of((channel, to), notice, place);
    let mut first = [0; 8];
    first.copy_from_slice(&name[..8]);
    let message = MessageId(FIRST_ID + (u64::from_le_bytes(first) >> 2));
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
    provider.prepare(std::slice::from_ref(&outgoing), &format!("usher-alert-{}", hex::encode(&name[..16])))
}

fn judge_provider(answer: Option<&crate::providers::Answer>) -> Answer {
    match answer {
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
    use std::collections::BTreeMap;

    use usher_common::model::{Priority, ProviderKind, Timestamp};

    use super::super::notice::Reason;
    use super::*;
    use crate::providers::{ProviderConfig, build};

    fn notice(key: &str, at: i64) -> Notice {
        Notice {
            key: key.to_owned(),
            reason: Reason::First,
            priority: Priority::P1,
            at: Timestamp(at),
            step: 0,
            incident: None,
            group: BTreeMap::new(),
            alerts: Vec::new(),
            more: 0,
        }
    }

    #[test]
    fn a_second_try_is_the_same_request_and_nobody_elses() {
        let mut config = ProviderConfig::named("mail", ProviderKind::Resend);
        config.secret = Some("re_alerts".into());
        config.sender = Some("alerts@usher.example".to_owned());
        let provider = build(&config).unwrap();
        let of = |channel: &str, to: &str, notice: &Notice, place: &str| {
            prepared(provider.as_ref(), (channel, to), notice, place).unwrap()
        };
        let (to, it) = ("ops@usher.example", notice("provider-down#3", 1_795_832_049_000));
        let first = of("mail", to, &it, "production");
        assert_eq!(first, of("mail", to, &it, "production"), "a try, and one after a restart");
        let others = [
            of("mail-2", to, &it, "production"),
            of("mail", "cto@usher.example", &it, "production"),
            of("mail", to, &it, "staging"),
            of("mail", to, &notice("provider-down#4", it.at.0), "production"),
            // Counters begin anew where a store does.
            of("mail", to, &notice("provider-down#3", it.at.0 + 1), "production"),
        ];
        for other in others {
            assert!(first.key != other.key && first.bytes != other.bytes, "{other:?}");
        }
    }

    #[test]
    fn ids_of_alerts_are_none_of_messages() {
        let name = name_of(("mail", "a"), &notice("k", 0), "p");
        let mut first = [0; 8];
        first.copy_from_slice(&name[..8]);
        for bits in [u64::from_le_bytes(first), 0, u64::MAX] {
            assert!((FIRST_ID..FIRST_ID << 1).contains(&(FIRST_ID + (bits >> 2))));
        }
    }

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
