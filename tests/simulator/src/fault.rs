//! Faults on demand: what can go wrong at a provider, how often, and which requests it concerns.
//! Promises: pure; a fault that makes no sense at a provider is refused with the reason before it is set.

mod board;

use crate::latency::Latency;
use crate::provider::Provider;
pub use board::InForce;
pub(crate) use board::{FaultBoard, Strike};
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The listener is closed: new connections are refused, idle ones are closed, requests in flight are answered.
    /// Afterwards the same port is opened again.
    Refuse,
    /// The connection is taken, and then nothing more happens: nothing is read, nothing is answered.
    Hang,
    /// The request is read in full and never answered.
    HangAfterAccept {
        /// Whether the message was accepted (and stands in the record) all the same.
        #[serde(default)]
        accepted: bool,
    },
    /// The connection is reset (RST) instead of an answer.
    Reset {
        /// Before or after the message was accepted.
        when: When,
    },
    /// An HTTP error instead of the answer, in the provider's own shape.
    Status {
        /// 400 to 599; at Slack also 200, with a `code`: its errors come as a word in a success.
        status: u16,
        /// Whether the message was accepted all the same.
        #[serde(default)]
        accepted: bool,
        /// The provider's error code, for example `daily_quota_exceeded`, `20005`, `131056` or `fatal_error`, and the message
        /// at SendGrid, which has no codes; by default the usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// "Too many requests", in the provider's own shape (WhatsApp's is a 400 with the code 130429); nothing is accepted.
    Throttle {
        /// Seconds to wait, where the provider tells (Resend and Slack in `retry-after`, SendGrid in `X-RateLimit-Reset`; 1 by
        /// default).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// The answer comes late; the message is accepted before the delay.
    Slow {
        /// How late.
        latency: Latency,
    },
    /// Success, with a body that means nothing.
    WrongBody {
        /// Whether the message was accepted all the same.
        #[serde(default)]
        accepted: bool,
    },
    /// The credentials are refused, whatever they are.
    AuthFailure,
    /// The certificate shown on new TLS connections has expired (SMTP).
    ExpiredCertificate,
    /// A reply of your choice at one stage of the dialogue (SMTP); from 4xx and 5xx follows that nothing is accepted.
    Reply {
        /// Where in the dialogue.
        stage: Stage,
        /// The reply, for example `450 4.7.1 Greylisted`. A `421` also closes the connection.
        text: String,
    },
    /// The connection is closed without a reply (SMTP).
    Drop {
        /// Before or after the final dot; after it, the message was accepted.
        when: Dot,
    },
}

/// Which side of accepting a message a fault falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing was accepted.
    BeforeAccept,
    /// The message was accepted, and only the answer is lost.
    AfterAccept,
}

/// A stage of the SMTP dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Instead of the `220` greeting; the connection is closed after it.
    Greeting,
    /// Instead of the answer to AUTH.
    Auth,
    /// Instead of the answer to MAIL.
    Mail,
    /// Instead of the answer to each RCPT.
    Rcpt,
    /// Instead of `354`.
    Data,
    /// After the final dot.
    FinalDot,
}

/// Which side of the final dot of an SMTP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dot {
    /// As soon as the message begins to arrive; it must not be accepted.
    Before,
    /// After the message was accepted.
    After,
}

/// Which requests a fault concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All.
    #[default]
    All,
    /// Only those that send (over SMTP: only transactions).
    Sends,
    /// Only those that ask: domains, account, look-ups.
    Probes,
}

/// A fault, with how often it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Share of the requests that it strikes, above 0, at most 100 (default).
    #[serde(default = "always")]
    pub percent: f64,
    /// Seed of the draws for `percent` and for random delays. Same seed: the n-th request fares the same.
    #[serde(default)]
    pub seed: u64,
    /// Strikes at most so often, then no more. By default without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Which requests it concerns.
    #[serde(default)]
    pub scope: Scope,
}

fn always() -> f64 {
    100.0
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, percent: 100.0, seed: 0, times: None, scope: Scope::All }
    }
}

impl Fault {
    /// The same fault, striking only a share of the requests, drawn with `seed`.
    #[must_use]
    pub fn percent(self, percent: f64, seed: u64) -> Self {
        Self { percent, seed, ..self }
    }

    /// The same fault, striking at most `times`.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same fault, for some requests only.
    #[must_use]
    pub fn only(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Whether this fault makes sense at this provider.
    ///
    /// # Errors
    /// When it does not, with the reason.
    pub fn check(&self, provider: Provider) -> Result<(), FaultError> {
        let refused = |reason| Err(FaultError::Senseless { provider, reason });
        if !(self.percent > 0.0 && self.percent <= 100.0) {
            return refused("`percent` must be above 0 and at most 100");
        }
        if self.kind == FaultKind::Refuse && (self.percent < 100.0 || self.times.is_some() || self.scope != Scope::All)
        {
            return refused("a closed listener refuses everyone: leave out `percent`, `times` and `scope`");
        }
        let http_only = matches!(self.kind, FaultKind::Status { .. } | FaultKind::WrongBody { .. });
        let smtp_only =
            matches!(self.kind, FaultKind::ExpiredCertificate | FaultKind::Reply { .. } | FaultKind::Drop { .. });
        match &self.kind {
            _ if provider == Provider::Smtp && http_only => {
                refused("SMTP has no such answer: use `reply` with a stage")
            }
            _ if provider != Provider::Smtp && smtp_only => refused("only SMTP can fail like this"),
            FaultKind::Status { status: 200, code: Some(_), .. } if provider == Provider::Slack => Ok(()),
            FaultKind::Status { status, .. } if !(400..=599).contains(status) => {
                refused("`status` must be 400 to 599, or 200 with a `code` at Slack")
            }
            FaultKind::Reply { text, .. } if !is_reply(text) => {
                refused("`text` must be one line: a code from 200 to 599, a space, and words")
            }
            _ => Ok(()),
        }
    }
}

fn is_reply(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'2'..=b'5'))
        && bytes.len() >= 4
        && bytes[1..3].iter().all(u8::is_ascii_digit)
        && bytes[3] == b' '
        && !text.contains(['\r', '\n'])
}

impl FaultKind {
    /// Whether a struck request must not be processed at all.
    pub(crate) fn prevents_acceptance(&self) -> bool {
        match self {
            Self::Hang | Self::Throttle { .. } | Self::AuthFailure | Self::Refuse => true,
            Self::HangAfterAccept { accepted } | Self::Status { accepted, .. } | Self::WrongBody { accepted } => {
                !accepted
            }
            Self::Reset { when } => *when == When::BeforeAccept,
            Self::Reply { text, .. } => !text.starts_with('2'),
            Self::Drop { when } => *when == Dot::Before,
            Self::Slow { .. } | Self::ExpiredCertificate => false,
        }
    }

    /// Whether the fault can show at that moment.
    fn shows_at(&self, moment: Moment) -> bool {
        match moment {
            Moment::Send => !matches!(
                self,
                Self::Refuse | Self::ExpiredCertificate | Self::Reply { stage: Stage::Greeting | Stage::Auth, .. }
            ),
            Moment::Probe => !matches!(self, Self::Refuse),
            Moment::Connection => {
                matches!(self, Self::Hang | Self::ExpiredCertificate | Self::Reply { stage: Stage::Greeting, .. })
            }
            Moment::Auth => matches!(self, Self::AuthFailure | Self::Reply { stage: Stage::Auth, .. }),
        }
    }
}

/// When faults are asked whether they strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An HTTP request that sends, or an SMTP transaction.
    Send,
    /// An HTTP request that asks.
    Probe,
    /// A new SMTP connection.
    Connection,
    /// An SMTP log-in.
    Auth,
}

/// Names a fault in force, to lift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault that cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The provider cannot fail like this.
    #[error("setting a fault for {provider}: {reason}")]
    Senseless {
        /// Where it was to be set.
        provider: Provider,
        /// Why not.
        reason: &'static str,
    },
    /// The listener could not be closed or opened again.
    #[error("closing or reopening the listener of {provider}: {cause}; the port may have been taken, start anew")]
    Listener {
        /// Whose listener.
        provider: Provider,
        /// What the system said.
        cause: String,
    },
}
