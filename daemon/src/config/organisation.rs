//! On whose behalf messages are sent: `[[organisation]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use usher_common::model::{CampaignClass, Channel};

use super::check;
use super::reader::{Reader, Section};
use super::slot::{Fault, Word};

/// How much an organisation may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The smallest.
    Free,
    /// Small weddings.
    Starter,
    /// Planners.
    Professional,
    /// Large planners.
    Enterprise,
    /// Without limits; set only here, for demonstrations and benchmarks.
    Internal,
}

/// What a tier allows. Hours and days are clock hours and days in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimits {
    /// Most recipients of one campaign.
    pub recipients_per_campaign: u32,
    /// Most messages an hour.
    pub messages_per_hour: u32,
    /// Most messages a day.
    pub messages_per_day: u32,
}

impl Tier {
    /// The limits; `None` when there are none.
    pub fn limits(self) -> Option<TierLimits> {
        let (recipients_per_campaign, messages_per_hour, messages_per_day) = match self {
            Self::Free => (100, 50, 200),
            Self::Starter => (500, 200, 1_000),
            Self::Professional => (2_000, 500, 5_000),
            Self::Enterprise => (10_000, 2_000, 20_000),
            Self::Internal => return None,
        };
        Some(TierLimits { recipients_per_campaign, messages_per_hour, messages_per_day })
    }

    /// The word in the configuration and on screen.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for Tier {
    const ALL: &'static [Self] = &[Self::Free, Self::Starter, Self::Professional, Self::Enterprise, Self::Internal];
    fn word(self) -> &'static str {
        match self {
            Self::Free => "FREE",
            Self::Starter => "STARTER",
            Self::Professional => "PROFESSIONAL",
            Self::Enterprise => "ENTERPRISE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// An organisation and what its messages say about their sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// How commands and campaigns name it: `[a-z0-9-]`, at most 32.
    pub name: String,
    /// How people name it; the name when not set.
    pub display_name: String,
    /// How much it may send.
    pub tier: Tier,
    /// The postal address that commercial e-mail has to show.
    pub postal_address: Option<String>,
    /// The address in `From`.
    pub from_email: Option<String>,
    /// The name in `From`; the display name when not set.
    pub from_name: String,
    /// The address in `Reply-To`.
    pub reply_to: Option<String>,
    /// The number or name that text messages come from.
    pub sms_sender: Option<String>,
    /// The `https` address under which unsubscribe links live, without a slash at its end.
    pub unsubscribe_base: Option<String>,
    /// The classes of messages that are sent again, by the same provider, when nobody can say whether they were taken.
    pub resend_unknown: Vec<CampaignClass>,
    /// The channels that a message may change to when its own does not reach its guest; none: it stays.
    pub fallback_to: Vec<Channel>,
    /// How long no provider of its channel has to take anything before a waiting message changes to another.
    pub fallback_after: Duration,
    /// Values of template tokens that a campaign need not set.
    pub values: BTreeMap<String, String>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Organisation> {
    let mut names = BTreeSet::new();
    let mut organisations = Vec::new();
    for (path, origin) in reader.list("organisation") {
        let section = reader.named_section("organisation", &path, origin);
        let name = reader
            .within(&section, "name")
            .live()
            .needed("give the organisation a name, such as \"smith-jones\"")
            .text(None, |text| check::unused_name(text, &names))
            .unwrap_or_default();
        names.insert(name.clone());
        organisations.push(one(reader, &section, name));
    }
    organisations
}

fn one(reader: &mut Reader<'_>, section: &Section, name: String) -> Organisation {
    let mut text =
        |key: &str, check: fn(&str) -> Result<(), Fault>| reader.within(section, key).live().text(None, check);
    let display_name = text("display_name", check::line).unwrap_or_else(|| name.clone());
    let postal_address = text("postal_address", check::anything);
    let from_email = text("from_email", check::email);
    let from_name = text("from_name", check::line).unwrap_or_else(|| display_name.clone());
    let reply_to = text("reply_to", check::email);
    let sms_sender = text("sms_sender", check::sms_sender);
    let unsubscribe_base = text("unsubscribe_base", check::https).map(|url| url.trim_end_matches('/').to_owned());
    let resend_unknown = text("resend_unknown", |text| classes(text).map(drop));
    let fallback_to = text("fallback_to", |text| channels(text).map(drop));
    let minutes = reader.within(section, "fallback_after_minutes").live().integer(10, 1..=1_440);
    let tier = reader.within(section, "tier").live().word(Some(Tier::Free)).unwrap_or(Tier::Free);
    let values = reader.free_table(section, "values", token).into_iter().collect();
    Organisation {
        name,
        display_name,
        tier,
        postal_address,
        from_email,
        from_name,
        reply_to,
        sms_sender,
        unsubscribe_base,
        fallback_to: fallback_to.as_deref().and_then(|text| channels(text).ok()).unwrap_or_default(),
        fallback_after: Duration::from_mins(minutes),
        resend_unknown: resend_unknown.as_deref().and_then(|text| classes(text).ok()).unwrap_or_default(),
        values,
    }
}

/// Classes of messages, with commas between them.
fn classes(text: &str) -> Result<Vec<CampaignClass>, Fault> {
    let remedy = "name classes with commas between them: personal, transactional, commercial";
    text.split(',').map(|class| class.parse().map_err(|why: String| Fault::new(why, remedy))).collect()
}

/// Channels, with commas between them.
fn channels(text: &str) -> Result<Vec<Channel>, Fault> {
    let remedy = "put commas between several";
    let channel = |text: &str| text.trim().parse().map_err(|why: String| Fault::new(why, remedy));
    text.split(',').map(channel).collect()
}

fn token(name: &str) -> Result<(), Fault> {
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no name of a token", "use small letters, digits and _, such as venue_name"))
    }
}
