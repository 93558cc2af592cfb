//! Guests and the lists that they stand on.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Channel, GuestId, ListId, Timestamp};

/// Whether a guest comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rsvp {
    /// Said yes.
    Confirmed,
    /// Has not answered.
    #[default]
    Pending,
    /// Said no.
    Declined,
}

impl Rsvp {
    /// The word used in lists, segments and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Pending => "pending",
            Self::Declined => "declined",
        }
    }
}

impl fmt::Display for Rsvp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Rsvp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "confirmed" => Ok(Self::Confirmed),
            "pending" => Ok(Self::Pending),
            "declined" => Ok(Self::Declined),
            _ => Err(format!("`{text}` is not an RSVP status: use confirmed, pending or declined")),
        }
    }
}

/// What is known of a guest: personal throughout, so it leaves the daemon's memory only sealed or to an operator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guest {
    /// As the guest is addressed; may be empty.
    pub name: String,
    /// E-mail address in its stored form: trimmed, domain lower-case and in ASCII (IDNA).
    pub email: Option<String>,
    /// Telephone number in E.164.
    pub phone: Option<String>,
    /// Whether `phone` can take a text message; a fixed line is kept for the record only.
    pub phone_takes_sms: bool,
    /// Whether `email` has characters outside ASCII before the `@`, so that only a provider with SMTPUTF8 carries it.
    pub email_needs_utf8: bool,
    /// Slack user or channel id.
    pub slack: Option<String>,
    /// What the guest eats or must not eat, in the list's own words; empty for nothing special.
    pub dietary_requirements: String,
    /// Whether the guest brings somebody.
    pub plus_one: bool,
    /// Whether the guest comes.
    pub rsvp: Rsvp,
    /// Groups such as `family`, in the order of the list.
    pub groups: Vec<String>,
    /// ISO 3166-1 alpha-2, upper case; empty when not known.
    pub country: String,
    /// BCP 47 language tag; empty when not known.
    pub locale: String,
    /// IANA time zone; empty when not known.
    pub timezone: String,
    /// Channels in the order in which this guest prefers them; empty for the campaign's order.
    pub preferred: Vec<Channel>,
    /// Every other column of the list, by its folded header.
    pub custom: BTreeMap<String, String>,
}

/// Where a guest's data came from and who answers for it: asked for at import, shown with the guest, exported with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// For instance `guests.csv, line 14` or `entered by hand`.
    pub source: String,
    /// The person who vouches that these people may be written to.
    pub vouched_by: String,
    /// When the data last came in.
    pub at: Timestamp,
}

/// A guest list, in a list of lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestListRow {
    /// Its id.
    pub id: ListId,
    /// Its name, unique.
    pub name: String,
    /// How many guests stand on it.
    pub guests: u64,
    /// When it last changed.
    pub changed: Timestamp,
}

/// A guest with the places it has in the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRow {
    /// Its id.
    pub id: GuestId,
    /// The list it stands on.
    pub list: ListId,
    /// What is known of it.
    pub guest: Guest,
    /// Where that came from.
    pub provenance: Provenance,
    /// Row version, for acts that must not overwrite what somebody else changed.
    pub version: u64,
}

/// A change of one field of a guest, as text that is checked like a cell of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestChange {
    /// The column, by any of the names that an import understands.
    pub field: String,
    /// The new value; empty clears the field.
    pub value: String,
}

/// The same changes made to every guest of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkChange {
    /// The segment expression; empty for everyone on the list.
    pub segment: String,
    /// What is set.
    pub changes: Vec<GuestChange>,
}
