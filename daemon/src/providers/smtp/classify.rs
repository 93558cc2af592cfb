//! What a server's reply, or its silence, means: a pure function of the stage and the words.
//!
//! Sources: RFC 5321 (replies), 3463 (enhanced codes), 4954 (AUTH), 3207 (STARTTLS), 1870 (SIZE), 6531 (SMTPUTF8).

use std::time::Duration;

use usher_common::model::OutcomeClass::{self, NotSent, Recipient, Refused, Throttled, Unknown, Unusable};

use super::super::{Answer, Scope};

/// How far a dialogue has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// TCP, and TLS where it comes first.
    Connect,
    /// Waiting for 220.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS and its handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// RSET, NOOP or QUIT between messages.
    Between,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, and the message up to its final dot.
    Data,
    /// The final dot was at least begun.
    Dot,
}

impl Stage {
    /// The word in details.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Between => "RSET",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Dot => "the final dot",
        }
    }
}

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Three digits.
    pub(crate) code: u16,
    /// The text of its lines, joined by line feeds.
    pub(crate) text: String,
}

/// Why a dialogue ended without the message being taken for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server said no, or something that does not fit the stage.
    Said(Stage, Said),
    /// The server said nothing more.
    Lost {
        /// Where.
        stage: Stage,
        /// Whether our patience ended it.
        timeout: bool,
        /// What happened.
        detail: String,
    },
    /// The server cannot do what the configuration demands of it.
    Lacks(&'static str),
    /// The server does not take this address.
    NoUtf8,
    /// The server takes no message of this size.
    TooLarge {
        /// Bytes of the message.
        size: u64,
        /// The most that the server takes.
        most: u64,
    },
}

impl Fault {
    /// Whether the next message may use the connection, after `RSET`.
    pub(crate) fn leaves_line_usable(&self) -> bool {
        match self {
            Self::Said(_, said) => said.code >= 400 && said.code != 421,
            Self::NoUtf8 | Self::TooLarge { .. } => true,
            Self::Lost { .. } | Self::Lacks(_) => false,
        }
    }

    /// The answer for the message.
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Said(stage, said) => classify(*stage, said),
            Self::Lost { stage, timeout, detail } => {
                let class = if *stage == Stage::Dot { Unknown } else { NotSent };
                let code = match (*stage, *timeout) {
                    (Stage::Connect, _) => "connect",
                    (Stage::StartTls, _) => "tls",
                    (_, true) => "timeout",
                    (_, false) => "connection_lost",
                };
                Answer::new(class, None, code, &format!("at {}: {detail}", stage.as_str()))
            }
            Self::Lacks(what) => {
                let detail = format!("the server does not offer {what}, which the configuration demands");
                Answer::new(Unusable, Some(Scope::Account), "not_offered", &detail)
            }
            Self::TooLarge { size, most } => {
                // Rounded away from each other, so that it never reads as if both were the same.
                let (size, most) = (size.div_ceil(1024), most / 1024);
                let detail = format!("the message has {size} KiB, and the server takes {most} KiB");
                Answer::new(Refused, None, TOO_LARGE, &detail)
            }
            Self::NoUtf8 => {
                Answer::new(Recipient, None, "smtputf8", "the server takes no addresses with other than ASCII letters")
            }
        }
    }
}

/// The word for a message that is over the server's limit, beside its own code where it gave one.
const TOO_LARGE: &str = "too_large";

/// Where a server does not say how long it greylists; most do so for five minutes.
const GREYLIST_WAIT: Duration = Duration::from_mins(5);

/// What a reply means that is not the one hoped for.
pub(crate) fn classify(stage: Stage, said: &Said) -> Answer {
    let (class, scope) = class_of(stage, said);
    let wait = (class == Throttled).then(|| asked_wait(&said.text).unwrap_or(GREYLIST_WAIT));
    let mut code = said.code.to_string();
    if let Some((class, subject, detail)) = enhanced(&said.text) {
        code += &format!(" {class}.{subject}.{detail}");
    }
    if class == Refused && too_large(stage, said) {
        code = format!("{code} {TOO_LARGE}");
    }
    Answer::new(class, scope, code, &said.text).after(wait)
}

/// Whether a lasting no is about the message's size (RFC 1870 §6.1, RFC 3463 §3.4).
fn too_large(stage: Stage, said: &Said) -> bool {
    match enhanced(&said.text) {
        Some((_, subject, detail)) => matches!((subject, detail), (3, 4) | (2, 3)),
        // Before the text is on its way, the size that we declared is all that could be too much.
        None => said.code == 552 && stage == Stage::Mail,
    }
}

/// How long a reply asks us to wait, where its words tell: `300 seconds`, `5 minutes`, `in 00:05:00`. Never less than a
/// second: whoever asks for no wait at all has said no all the same.
fn asked_wait(text: &str) -> Option<Duration> {
    let apart = |sign: char| sign.is_whitespace() || "()[]<>,;!".contains(sign);
    let words: Vec<&str> = text.split(apart).map(|word| word.trim_end_matches(['.', ':'])).collect();
    let seconds = words.windows(2).find_map(|pair| match pair[0] {
        // A clock without such a word before it tells the time of day.
        "in" | "for" if pair[1].contains(':') => clock(pair[1]),
        number => number.parse::<u32>().ok().zip(unit(pair[1])).map(|(number, unit)| u64::from(number) * unit),
    })?;
    Some(Duration::from_secs(seconds.max(1)))
}

/// The seconds in a unit of time.
fn unit(word: &str) -> Option<u64> {
    match word.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3600),
        _ => None,
    }
}

/// The seconds of `hh:mm:ss`.
fn clock(word: &str) -> Option<u64> {
    let mut parts = word.split(':').map(|part| part.parse::<u32>().ok().map(u64::from));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

fn class_of(stage: Stage, said: &Said) -> (OutcomeClass, Option<Scope>) {
    let account = Some(Scope::Account);
    match said.code {
        // A yes of another kind: the server speaks another protocol. Closing is no answer. After the dot, neither tells.
        200..=399 | 421 if stage == Stage::Dot => (Unknown, None),
        200..=399 => (NotSent, None),
        451 if stage == Stage::Auth && names(&said.text, "credits") => (Unusable, account),
        400..=499 => temporary(stage, said),
        530 | 534 | 535 | 538 => (Unusable, account),
        // Before MAIL nothing has been said of any message: a lasting no is about us.
        500..=599 if stage < Stage::Mail => (Unusable, account),
        500..=599 => lasting(stage, said),
        _ if stage == Stage::Dot => (Unknown, None),
        _ => (NotSent, None),
    }
}

fn temporary(stage: Stage, said: &Said) -> (OutcomeClass, Option<Scope>) {
    let limited = matches!(enhanced(&said.text), Some((_, 5, 3) | (_, 7, 28)));
    match (stage, said.code) {
        (_, 421) => (NotSent, None),
        _ if limited => (Throttled, Some(Scope::Account)),
        (Stage::Rcpt, 450..=452) => (Throttled, Some(Scope::Recipient)),
        // Some greylist only once they have seen the message: it has to come again, and all else is well.
        (Stage::Mail | Stage::Data | Stage::Dot, 450..=452) if names_greylist(&said.text) => {
            (Throttled, Some(Scope::Recipient))
        }
        (Stage::Mail | Stage::Data | Stage::Dot, 450..=452) if names_rate(&said.text) => {
            (Throttled, Some(Scope::Account))
        }
        // So do those that only say "policy". At MAIL that would be about us alone.
        (Stage::Data | Stage::Dot, 450..=451) if matches!(enhanced(&said.text), Some((4, 7, 1))) => {
            (Throttled, Some(Scope::Recipient))
        }
        _ => (NotSent, None),
    }
}

fn lasting(stage: Stage, said: &Said) -> (OutcomeClass, Option<Scope>) {
    match (said.code, enhanced(&said.text)) {
        (550 | 553, Some((_, 6, 7))) | (552, Some((_, 2, 2))) => (Recipient, None),
        (552, Some((_, 5, 3))) => (Throttled, Some(Scope::Account)),
        (552 | 554, Some((_, 3, 4))) => (Refused, None),
        // RFC 5321 §4.5.3.1.10: 552 for "too many recipients" is an old mistake and temporary.
        (552, _) if stage == Stage::Rcpt && names(&said.text, "too many") => (Throttled, Some(Scope::Account)),
        (550 | 553, _) if stage == Stage::Mail => (Unusable, Some(Scope::Sender)),
        (_, Some((_, 1, 7 | 8))) => (Unusable, Some(Scope::Sender)),
        (550..=554, Some((_, 1, 1 | 2 | 3 | 6 | 10))) => (Recipient, None),
        // We name one recipient, so a bare refusal of RCPT can only be about the one mailbox.
        (550..=553, None) if stage == Stage::Rcpt => (Recipient, None),
        _ => (Refused, None),
    }
}

/// The enhanced status code (RFC 3463) that a text begins with.
fn enhanced(text: &str) -> Option<(u16, u16, u16)> {
    let word = text.split_whitespace().next()?;
    let mut parts = word.split('.').map(|part| part.parse().ok());
    let found = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(found.0, 2 | 4 | 5)).then_some(found)
}

fn names(text: &str, phrase: &str) -> bool {
    text.to_ascii_lowercase().contains(phrase)
}

fn names_greylist(text: &str) -> bool {
    names(text, "greylist") || names(text, "graylist")
}

/// Whether the text has the word "rate" or says that something was too much.
fn names_rate(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    enhanced(text).is_some_and(|(_, subject, detail)| (subject, detail) == (7, 0))
        || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "rate" | "throttled"))
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
