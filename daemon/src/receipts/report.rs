//! One form for what seven providers say in seven ways.
//!
//! A report names its event, so that a double is known; the message, by our id where the provider carries it; and what it
//! says. The recipient's address is for suppressing it and is never kept; what the provider says is redacted first.

use usher_common::model::{Channel, Deed, MessageId, Timestamp};

use super::precedence::Says;
use crate::providers::receipt::ReceiptState;
use crate::providers::{clean, redact};

/// A provider's report, in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Names the event among all of its provider's; the same when it is told again.
    pub event: String,
    /// Our id of the message, where the report carries it.
    pub message: Option<MessageId>,
    /// The provider's id of the message; empty where it does not say. SendGrid's begins with the one that its answer had.
    pub provider_id: String,
    /// Whom it speaks of. Never stored.
    pub recipient: Option<(Channel, String)>,
    /// What it says.
    pub kind: Kind,
    /// When it happened, by the provider's clock.
    pub at: Option<Timestamp>,
    /// The provider's code or word, at most 40 characters.
    pub code: String,
    /// What the provider said besides, redacted.
    pub detail: String,
}

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// How far the message has come.
    Sent,
    /// Not yet, and the provider keeps trying.
    Delayed,
    /// It arrived.
    Delivered,
    /// It arrived and was read.
    Read,
    /// Its pictures were loaded.
    Opened,
    /// A link in it was followed.
    Clicked,
    /// It will not arrive; the address is not to blame.
    Failed,
    /// The provider does not know what became of it.
    Doubtful,
    /// It came back, and the address is good for nothing.
    HardBounce,
    /// It came back, for now or for this message only.
    SoftBounce,
    /// Not sent, since the provider knows that the address bounces.
    WithheldBounced,
    /// Not sent, since somebody there had complained.
    WithheldComplained,
    /// Not sent, since the guest had opted out at the provider.
    WithheldOptedOut,
    /// The guest called it spam.
    Complaint,
    /// The guest wants no more.
    OptOut,
    /// The guest wants to hear again. It is counted and lifts nothing: a person decides that.
    OptIn,
    /// Of the account, of no message: suspended, uninstalled, limited.
    Account,
    /// Nothing that counts: an answer, pictures that a program loaded.
    Nothing,
    /// A word that nobody knows here yet.
    Foreign,
}

/// Why an address must not be written to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It bounces for good.
    Bounced,
    /// Somebody complained.
    Complained,
    /// The guest opted out.
    OptedOut,
}

impl Reason {
    /// As the suppression list has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::OptedOut => "opted out",
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Sent,
        Self::Delayed,
        Self::Delivered,
        Self::Read,
        Self::Opened,
        Self::Clicked,
        Self::Failed,
        Self::Doubtful,
        Self::HardBounce,
        Self::SoftBounce,
        Self::WithheldBounced,
        Self::WithheldComplained,
        Self::WithheldOptedOut,
        Self::Complaint,
        Self::OptOut,
        Self::OptIn,
        Self::Account,
        Self::Nothing,
        Self::Foreign,
    ];

    /// The word in metrics, logs and what is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Failed => "failed",
            Self::Doubtful => "doubtful",
            Self::HardBounce => "hard_bounce",
            Self::SoftBounce => "soft_bounce",
            Self::WithheldBounced => "withheld_bounced",
            Self::WithheldComplained => "withheld_complained",
            Self::WithheldOptedOut => "withheld_opted_out",
            Self::Complaint => "complaint",
            Self::OptOut => "opt_out",
            Self::OptIn => "opt_in",
            Self::Account => "account",
            Self::Nothing => "nothing",
            Self::Foreign => "foreign",
        }
    }

    /// The kind that a stored word stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What it means for the message.
    pub fn says(self) -> Says {
        match self {
            // Whoever complains or opts out has been written to; that it was this message is for another report to say.
            Self::Sent | Self::Delayed | Self::Doubtful | Self::Complaint | Self::OptOut => Says::Taken,
            Self::Delivered | Self::Read => Says::Arrived,
            Self::Failed
            | Self::HardBounce
            | Self::SoftBounce
            | Self::WithheldBounced
            | Self::WithheldComplained
            | Self::WithheldOptedOut => Says::Lost,
            // That it was opened is no word of the mail server's: whether it arrived is for that to say.
            Self::Opened | Self::Clicked | Self::OptIn | Self::Account | Self::Nothing | Self::Foreign => Says::Nothing,
        }
    }

    /// What its guest did with the message, if that is what it says.
    pub fn deed(self) -> Option<Deed> {
        match self {
            Self::Read | Self::Opened => Some(Deed::Opened),
            Self::Clicked => Some(Deed::Clicked),
            Self::OptOut => Some(Deed::Unsubscribed),
            Self::Complaint => Some(Deed::Complained),
            _ => None,
        }
    }

    /// Why its recipient must not be written to any more, if so.
    pub fn suppresses(self) -> Option<Reason> {
        match self {
            Self::HardBounce | Self::WithheldBounced => Some(Reason::Bounced),
            Self::Complaint | Self::WithheldComplained => Some(Reason::Complained),
            Self::OptOut | Self::WithheldOptedOut => Some(Reason::OptedOut),
            _ => None,
        }
    }

    /// Why a message failed, in a few words.
    pub fn why(self) -> &'static str {
        match self {
            Self::HardBounce => "it bounced: the address does not exist",
            Self::SoftBounce => "it bounced",
            Self::WithheldBounced => "the provider withheld it: the address bounces",
            Self::WithheldComplained => "the provider withheld it: somebody there complained",
            Self::WithheldOptedOut => "the provider withheld it: the guest opted out there",
            Self::Doubtful => "the provider does not know whether it arrived",
            _ => "the provider reports that it will not arrive",
        }
    }
}

impl From<Option<ReceiptState>> for Kind {
    fn from(state: Option<ReceiptState>) -> Self {
        match state {
            Some(ReceiptState::Sent) => Self::Sent,
            Some(ReceiptState::Delivered) => Self::Delivered,
            Some(ReceiptState::Delayed) => Self::Delayed,
            Some(ReceiptState::Failed) => Self::Failed,
            Some(ReceiptState::Unknown) => Self::Doubtful,
            None => Self::Foreign,
        }
    }
}

impl Report {
    /// A report of an event that says nothing yet.
    pub(super) fn of(event: impl Into<String>, kind: Kind) -> Self {
        Self {
            event: event.into(),
            message: None,
            provider_id: String::new(),
            recipient: None,
            kind,
            at: None,
            code: String::new(),
            detail: String::new(),
        }
    }

    /// With what the provider said, redacted; call it when the recipient is set.
    pub(super) fn saying(mut self, code: &str, detail: &str) -> Self {
        let to = self.recipient.as_ref().map_or("", |(_, address)| address.as_str());
        self.code = clean(&redact(code, to)).chars().take(40).collect();
        self.detail = clean(&redact(&clean(detail), to));
        self
    }
}

/// Whether a guest who writes this wants to hear no more. One word alone, as the carriers' rules have it.
pub(super) fn is_stop(text: &str) -> bool {
    const WORDS: [&str; 9] = ["stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "opt-out"];
    let text = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    WORDS.contains(&text.as_str())
}
