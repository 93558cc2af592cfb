//! What a provider's report says of a message that it had accepted. Pure: words in, a state out.
//!
//! A report never starts an attempt: it moves the receipt of a message, and what it moves is one of a few states.
//! `None` means that the word says nothing about arrival (an open, a click, a word that nobody knows yet).

use super::whatsapp::is_uncertain;

/// How far a message has come, by its provider's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptState {
    /// On its way: queued, sent to a carrier.
    Sent,
    /// It arrived, or was read.
    Delivered,
    /// Not yet, and the provider keeps trying.
    Delayed,
    /// It will not arrive, or the guest turned it away.
    Failed,
    /// The provider itself does not know.
    Unknown,
}

impl ReceiptState {
    /// The word in records and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Twilio's status callback: `MessageStatus`, and `ErrorCode` where there is one.
///
/// Twilio says that codes may change, so one that is not known leaves the outcome open.
pub fn twilio(status: &str, code: Option<u32>) -> Option<ReceiptState> {
    match status {
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => Some(ReceiptState::Sent),
        "delivered" | "partially_delivered" | "read" => Some(ReceiptState::Delivered),
        "canceled" => Some(ReceiptState::Failed),
        "failed" | "undelivered" => Some(match code {
            Some(
                21610 | 30001..=30007 | 30010 | 30017..=30019 | 30022..=30024 | 30027 | 30032..=30035 | 30410 | 30450,
            ) => ReceiptState::Failed,
            _ => ReceiptState::Unknown,
        }),
        _ => None,
    }
}

/// An event of SendGrid's webhook: `event`. Why it was dropped or bounced changes who hears of it, not the state.
pub fn sendgrid(event: &str) -> Option<ReceiptState> {
    match event {
        "processed" => Some(ReceiptState::Sent),
        "deferred" => Some(ReceiptState::Delayed),
        "delivered" => Some(ReceiptState::Delivered),
        "dropped" | "bounce" | "spamreport" | "unsubscribe" | "group_unsubscribe" | "account_status_change" => {
            Some(ReceiptState::Failed)
        }
        _ => None,
    }
}

/// An event of Resend's webhook: `type`, and `bounce.type` where there is one.
pub fn resend(event: &str, bounce: Option<&str>) -> Option<ReceiptState> {
    match (event, bounce) {
        ("email.sent" | "email.scheduled", _) => Some(ReceiptState::Sent),
        ("email.delivery_delayed", _) => Some(ReceiptState::Delayed),
        ("email.delivered", _) => Some(ReceiptState::Delivered),
        ("email.bounced", Some("Undetermined")) => Some(ReceiptState::Unknown),
        ("email.bounced" | "email.suppressed" | "email.complained" | "email.failed", _) => Some(ReceiptState::Failed),
        _ => None,
    }
}

/// A status of WhatsApp's webhook: `status`, and the first code of its `errors` where there is one.
pub fn whatsapp(status: &str, code: Option<u32>) -> Option<ReceiptState> {
    match status {
        "sent" => Some(ReceiptState::Sent),
        "delivered" | "read" | "played" => Some(ReceiptState::Delivered),
        "failed" if code.is_none_or(is_uncertain) => Some(ReceiptState::Unknown),
        "failed" => Some(ReceiptState::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::table::{Report, reports};

    fn by_table(row: &Report) -> Option<ReceiptState> {
        let word = |text: &str| text.split([' ', ',']).next().unwrap_or_default().to_owned();
        match row.provider.as_str() {
            "twilio" => {
                let code = row.code.parse().ok().or_else(|| row.code.starts_with("other").then_some(39_999));
                assert!(code.is_some(), "row not covered: {row:?}");
                assert_eq!(twilio("failed", code), twilio("undelivered", code));
                twilio("undelivered", code)
            }
            "sendgrid" => {
                let events = row.code.split(", ").filter(|part| !part.starts_with("type="));
                let mut states = events.map(|event| sendgrid(word(event).trim_end_matches(':')));
                let first = states.next().expect("an event");
                assert!(states.all(|state| state == first), "{row:?}");
                first
            }
            "resend" => {
                let bounce = row.code.split_once("bounce.type=").map(|(_, kind)| kind);
                resend(&word(&row.code), bounce)
            }
            "whatsapp" => {
                let codes = row.code.split(", ").filter_map(|code| code.split('-').next()?.parse().ok());
                let mut states: Vec<_> = codes.map(|code| whatsapp("failed", Some(code))).collect();
                if row.code == "-" {
                    states.push(whatsapp("failed", None));
                }
                assert!(!states.is_empty() && states.iter().all(|state| *state == states[0]), "{row:?}: {states:?}");
                states[0]
            }
            other => panic!("{other} reports nothing, says the code; the table says: {row:?}"),
        }
    }

    #[test]
    fn every_row_of_the_table_that_comes_by_callback_moves_its_receipt() {
        for row in reports() {
            let state = by_table(&row).map(ReceiptState::as_str);
            assert_eq!(state, Some(row.receipt_state.as_str()), "{row:?}");
        }
    }

    #[test]
    fn good_news_is_told_from_news_of_another_kind() {
        assert_eq!(twilio("delivered", None), Some(ReceiptState::Delivered));
        assert_eq!(twilio("sent", None), Some(ReceiptState::Sent));
        assert_eq!(sendgrid("delivered"), Some(ReceiptState::Delivered));
        assert_eq!(resend("email.delivered", None), Some(ReceiptState::Delivered));
        assert_eq!(whatsapp("read", None), Some(ReceiptState::Delivered));
        for nothing in [twilio("received", None), sendgrid("open"), resend("email.clicked", None), whatsapp("", None)] {
            assert_eq!(nothing, None);
        }
    }
}
