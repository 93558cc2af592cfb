//! What operators keep in force over sending: holds, and how providers are steered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CampaignId, Timestamp};

/// What a control is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Everything that is sent.
    All,
    /// What is sent on behalf of an organisation, by its name in the configuration.
    Organisation(String),
    /// A campaign.
    Campaign(CampaignId),
    /// What a provider carries, by its name in the configuration.
    Provider(String),
    /// Something that this console does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Organisation(name) => write!(f, "organisation {name}"),
            Self::Campaign(id) => write!(f, "campaign {id}"),
            Self::Provider(name) => write!(f, "provider {name}"),
            Self::Unknown => f.write_str("something"),
        }
    }
}

/// What a control does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum ControlKind {
    /// Nothing of it is sent, and nothing moves elsewhere: it waits.
    Held,
    /// The provider takes nothing new; its messages go by the others of its channel.
    Drained,
    /// The provider comes first in its channel, whatever its rank.
    Preferred,
    /// The provider has this weight in its set, instead of the configured one.
    Weighed(f64),
    /// Something that this console does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Drained => f.write_str("drained"),
            Self::Preferred => f.write_str("preferred"),
            Self::Weighed(weight) => write!(f, "weight {weight}"),
            Self::Unknown => f.write_str("controlled"),
        }
    }
}

/// Something that an operator keeps in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What it is over.
    pub target: Target,
    /// What it does.
    pub kind: ControlKind,
    /// Who put it in force.
    pub by: String,
    /// Why, in their own words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; `None`: when somebody ends it.
    pub until: Option<Timestamp>,
}

/// How a provider is steered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Steer {
    /// It takes nothing new. What is under way ends, what is in doubt stays.
    Drain,
    /// It comes first in its channel.
    Prefer,
    /// It has this weight in its set, 0.01 to 1,000.
    Weigh(f64),
    /// It is drained, and another provider of its channel is preferred.
    FailOver {
        /// Which; `None`: the one that would carry its messages anyway.
        to: Option<String>,
    },
    /// A word that this daemon does not know.
    #[serde(other)]
    Unknown,
}
