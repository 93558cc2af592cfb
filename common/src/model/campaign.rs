//! Campaigns: who hears what, by which way, when, and how far it has come.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CampaignId, Channel, GuestId, ListId, StateCounts, Timestamp};

/// What kind of message it is before the law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignClass {
    /// From the couple to their own guests.
    #[default]
    Personal,
    /// About something that the guest has asked for or takes part in.
    Transactional,
    /// Sells something.
    Commercial,
}

impl CampaignClass {
    /// The word in configuration and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Transactional => "transactional",
            Self::Commercial => "commercial",
        }
    }
}

impl FromStr for CampaignClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "personal" => Ok(Self::Personal),
            "transactional" => Ok(Self::Transactional),
            "commercial" => Ok(Self::Commercial),
            _ => Err(format!("`{text}` is not a class: use personal, transactional or commercial")),
        }
    }
}

/// Whether a guest hears by one channel or by all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// One message a guest, by the first channel of the guest's order (else the campaign's) that has an address.
    #[default]
    Preferred,
    /// One message by each of the campaign's channels for which the guest has an address.
    All,
}

/// Who is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Everyone on a list.
    List(ListId),
    /// Everyone on a list for whom the expression holds.
    Segment {
        /// The list.
        list: ListId,
        /// For instance `rsvp = confirmed and group = family`.
        expression: String,
    },
    /// Exactly these guests of a list.
    Picked {
        /// The list.
        list: ListId,
        /// The guests, each at most once.
        guests: Vec<GuestId>,
    },
}

impl Audience {
    /// The list that it draws from.
    pub fn list(&self) -> ListId {
        match self {
            Self::List(list) | Self::Segment { list, .. } | Self::Picked { list, .. } => *list,
        }
    }
}

/// When a campaign starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Schedule {
    /// As soon as it is sent.
    #[default]
    Now,
    /// At an instant, which was given as local time in a zone.
    At {
        /// The instant.
        at: Timestamp,
        /// The IANA zone in which it was meant, to show it in.
        zone: String,
    },
}

/// A template that WhatsApp has approved, with what its places are filled with.
///
/// WhatsApp delivers words of one's own only within 24 hours of a guest's last message. Everybody else can be written to
/// with a template alone, whose words lie with WhatsApp.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WhatsAppTemplate {
    /// Its name at WhatsApp: at most 512 small letters, digits and `_`.
    pub name: String,
    /// The language that was approved, as WhatsApp calls it, such as `en_GB`.
    pub language: String,
    /// What fills the places of its body, in their order; at most 32.
    #[serde(default)]
    pub parameters: Vec<WhatsAppParameter>,
}

/// What fills one place of an approved template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WhatsAppParameter {
    /// The place's name; empty in a template whose places are numbered.
    #[serde(default)]
    pub name: String,
    /// Words that may use tokens, such as `{{ guest_name }}`.
    pub text: String,
}

/// Everything that the author of a campaign decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignSpec {
    /// A short name, unique among campaigns that are not deleted.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// The organisation in whose name it goes out, as the daemon's configuration names it.
    pub organisation: String,
    /// What it is before the law.
    pub class: CampaignClass,
    /// Channels in order of preference, at least one.
    pub channels: Vec<Channel>,
    /// One channel a guest, or all.
    pub reach: Reach,
    /// Who is written to.
    pub audience: Audience,
    /// The template's name.
    pub template: String,
    /// Values for tokens that are the same for everyone, such as `venue_name`.
    pub values: BTreeMap<String, String>,
    /// When it starts.
    pub schedule: Schedule,
    /// Hours after its start for which a message is still worth sending; 0 means 72.
    pub expires_after_hours: u32,
    /// The approved template by which it goes out on WhatsApp; without one, its words reach only guests who wrote within
    /// 24 hours.
    #[serde(default)]
    pub whatsapp: Option<WhatsAppTemplate>,
}

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignState {
    /// Being written.
    #[default]
    Draft,
    /// Checked and released for sending.
    Approved,
    /// Waits for its hour.
    Scheduled,
    /// Sends.
    Running,
    /// Stopped by an operator; nothing new goes out.
    Paused,
    /// All sent but for messages whose outcome is in doubt.
    Settling,
    /// Every message has a final state, and none failed, expired or stayed in doubt.
    Finished,
    /// Ended, with some failed, expired or in doubt.
    Partial,
    /// Stopped for good.
    Cancelled,
    /// A state that this console does not know.
    #[serde(other)]
    Unknown,
}

impl CampaignState {
    /// The word on screen and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Settling => "settling",
            Self::Finished => "finished",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more will be sent.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Partial | Self::Cancelled)
    }
}

impl fmt::Display for CampaignState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A campaign, in a list; live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRow {
    /// Its id.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// The organisation.
    pub organisation: String,
    /// Where it stands.
    pub state: CampaignState,
    /// Channels, in order.
    pub channels: Vec<Channel>,
    /// Guests of the audience seen so far; all of them once `expanded`.
    pub guests: u64,
    /// Guests without a usable address on any of its channels: accounted for, never written to.
    pub unreachable: u64,
    /// Whether every guest of the audience has been turned into messages.
    pub expanded: bool,
    /// Messages by state.
    pub counts: StateCounts,
    /// Messages accepted a second, over the last ten seconds.
    pub rate: f64,
    /// Seconds until the last message at that rate; `None` where it cannot be told.
    pub eta_seconds: Option<u64>,
    /// What keeps it from moving, in a line; empty when nothing does.
    pub why: String,
    /// When it starts or started.
    pub due: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it was deleted; it can be restored for 30 days from then.
    pub deleted: Option<Timestamp>,
    /// Row version, for acts that must not act on what has changed since.
    pub version: u64,
}

/// What a guest did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// Its pictures were loaded (e-mail), or it was read (WhatsApp).
    Opened,
    /// A link in it was followed.
    Clicked,
    /// It made its guest opt out.
    Unsubscribed,
    /// Its guest called it spam.
    Complained,
}

impl Deed {
    /// Every deed.
    pub const ALL: [Self; 4] = [Self::Opened, Self::Clicked, Self::Unsubscribed, Self::Complained];

    /// The word on screen and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Unsubscribed => "unsubscribed",
            Self::Complained => "complained",
        }
    }
}

/// With how many messages guests did what, by their providers' reports; each message counts once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deeds {
    /// Opened, at most: programs load pictures too, and whoever loads none is not seen.
    pub opened: u64,
    /// A link was followed.
    pub clicked: u64,
    /// The guest opted out.
    pub unsubscribed: u64,
    /// The guest called it spam.
    pub complained: u64,
}

impl Deeds {
    /// Messages with which this was done.
    pub fn get(&self, deed: Deed) -> u64 {
        match deed {
            Deed::Opened => self.opened,
            Deed::Clicked => self.clicked,
            Deed::Unsubscribed => self.unsubscribed,
            Deed::Complained => self.complained,
        }
    }

    /// The same, to be written.
    pub fn get_mut(&mut self, deed: Deed) -> &mut u64 {
        match deed {
            Deed::Opened => &mut self.opened,
            Deed::Clicked => &mut self.clicked,
            Deed::Unsubscribed => &mut self.unsubscribed,
            Deed::Complained => &mut self.complained,
        }
    }
}

/// How one channel of a campaign stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelProgress {
    /// The channel.
    pub channel: Channel,
    /// Its messages by state.
    pub counts: StateCounts,
    /// Messages taken, by provider.
    pub providers: BTreeMap<String, u64>,
    /// What guests did with them.
    #[serde(default)]
    pub deeds: Deeds,
}

impl ChannelProgress {
    /// Messages that a provider took, whatever became of them afterwards: what all rates are of.
    pub fn sent(&self) -> u64 {
        self.providers.values().sum()
    }

    /// What became of those that were sent: arrived, then what guests did, each with its number.
    pub fn outcomes(&self) -> [(&'static str, u64); 5] {
        let [opened, clicked, unsubscribed, complained] = Deed::ALL.map(|deed| (deed.as_str(), self.deeds.get(deed)));
        [("delivered", self.counts.delivered), opened, clicked, unsubscribed, complained]
    }
}

/// A campaign with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignDetail {
    /// As in the list.
    pub row: CampaignRow,
    /// As it was written.
    pub spec: CampaignSpec,
    /// By channel, in the campaign's order.
    pub channels: Vec<ChannelProgress>,
    /// Reasons for failures and suppressions with their counts, most frequent first, at most 20.
    pub reasons: Vec<(String, u64)>,
    /// Who approved it; empty before.
    pub approved_by: String,
}

/// What sending a campaign would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Guests in the audience.
    pub guests: u64,
    /// Guests with a usable address on one of its channels.
    pub recipients: u64,
    /// Guests without one.
    pub unreachable: u64,
    /// By channel and the provider that is first in its order.
    pub lines: Vec<EstimateLine>,
    /// Things that will stop or weaken it, each a sentence; empty when all is well.
    pub warnings: Vec<String>,
}

/// One channel's share of the cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateLine {
    /// The channel.
    pub channel: Channel,
    /// The provider that would carry it now; empty where none is configured.
    pub provider: String,
    /// Messages.
    pub messages: u64,
    /// Billed units: SMS segments, else messages.
    pub units: u64,
    /// Price of a unit in the configured currency.
    pub unit_price: f64,
    /// `units × unit_price`.
    pub cost: f64,
    /// ISO 4217 code.
    pub currency: String,
}
