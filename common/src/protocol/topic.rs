//! What can be followed.

use serde::{Deserialize, Serialize};

use crate::model::{AlertRow, CampaignDetail, CampaignId, CampaignRow, Overview, ProviderRow, SlaRow, Timestamp};

/// Something that a client follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// One row: the daemon at a glance.
    Overview,
    /// A row a provider.
    Providers,
    /// A row a campaign, deleted ones included for as long as they can be restored.
    Campaigns,
    /// One row: a campaign with all that is known of it.
    Campaign(CampaignId),
    /// A row an alert that is pending, firing or recovering.
    Alerts,
    /// A row a service level.
    Sla,
    /// Events: what the daemon did and what befell it.
    Log,
}

/// A row of a topic of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Row {
    /// Of [`Topic::Overview`].
    Overview(Box<Overview>),
    /// Of [`Topic::Providers`].
    Provider(Box<ProviderRow>),
    /// Of [`Topic::Campaigns`].
    Campaign(Box<CampaignRow>),
    /// Of [`Topic::Campaign`].
    Detail(Box<CampaignDetail>),
    /// Of [`Topic::Alerts`].
    Alert(Box<AlertRow>),
    /// Of [`Topic::Sla`].
    Sla(Box<SlaRow>),
}

impl Row {
    /// What names this row within its topic.
    pub fn key(&self) -> String {
        match self {
            Self::Overview(_) => "overview".to_owned(),
            Self::Provider(row) => row.name.clone(),
            Self::Campaign(row) => row.id.to_string(),
            Self::Detail(detail) => detail.row.id.to_string(),
            Self::Alert(row) => row.key(),
            Self::Sla(row) => row.object.clone(),
        }
    }
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Part of the ordinary run of things.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
    /// A level that this client does not know.
    #[serde(other)]
    Unknown,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Its place in the log of this daemon's epoch, from 1 without gaps.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// What it concerns, e.g. `provider twilio` or `campaign c12`.
    pub object: String,
    /// What happened, in a line.
    pub text: String,
}
