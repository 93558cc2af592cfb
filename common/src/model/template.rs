//! Templates: the words of a campaign, with places for the guest's own.

use serde::{Deserialize, Serialize};

use super::{Channel, Timestamp};

/// Every token that a template may use, with what it stands for.
pub const TOKENS: [(&str, &str); 13] = [
    ("guest_name", "the guest's name"),
    ("wedding_date", "the day of the wedding"),
    ("venue_name", "where the ceremony is"),
    ("ceremony_time", "when the ceremony begins"),
    ("rsvp_deadline", "by when to answer"),
    ("rsvp_link", "where to answer"),
    ("couple_names", "who marries"),
    ("parking_instructions", "where to leave the car"),
    ("reception_venue", "where the feast is"),
    ("wedding_hashtag", "the hashtag for photographs"),
    ("dietary_requirements", "what the guest said about food"),
    ("unsubscribe_link", "where the guest can opt out"),
    ("postal_address", "the sender's postal address"),
];

/// The words of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TemplateBody {
    /// Subject line, for e-mail.
    pub subject: String,
    /// Plain text, for e-mail and Slack.
    pub text: String,
    /// HTML part, for e-mail; empty to send plain text alone.
    pub html: String,
    /// Short text, for SMS and WhatsApp; empty to use `text`.
    pub short: String,
}

/// A template, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// Its name, unique.
    pub name: String,
    /// Whether it came with the daemon; such a one can be copied, not changed.
    pub built_in: bool,
    /// The tokens that it uses, sorted.
    pub tokens: Vec<String>,
    /// When it last changed; the zero time for one that came with the daemon.
    pub changed: Timestamp,
}

/// A message as one guest would get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// How it would travel.
    pub channel: Channel,
    /// To which address.
    pub to: String,
    /// Subject, for e-mail.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML part; empty for none.
    pub html: String,
    /// Parts an SMS is billed as; 0 for other channels.
    pub segments: u32,
    /// `GSM-7` or `UCS-2` for SMS; empty for other channels.
    pub encoding: String,
}
