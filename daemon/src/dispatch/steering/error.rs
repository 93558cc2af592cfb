//! Why an act on sending was not done; each says what to do instead.

use usher_common::model::{Channel, Target};

use crate::store::Error;

/// Why an act on sending was not done.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// A provider that is not configured.
    #[error("there is no provider {name}; configured are {}", known.join(", "))]
    Provider {
        /// As it was given.
        name: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// An organisation that is not configured.
    #[error("there is no organisation {name}; configured are {}", known.join(", "))]
    Organisation {
        /// As it was given.
        name: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// What moves traffic needs a reason.
    #[error(
        "an act that moves messages needs a reason: it stands in the audit trail, and others see it on their screens"
    )]
    Reason,
    /// Too short or too long.
    #[error("a provider is steered for 1 second to 30 days at a time")]
    Span,
    /// No weight.
    #[error("a weight is 0.01 to 1000; to take everything from a provider, drain it")]
    Weight,
    /// A weight in a set of one.
    #[error(
        "{provider} shares its rank with no other provider of {channel}, so its weight changes nothing: prefer or drain it, \
         or give both a weight in the configuration"
    )]
    Alone {
        /// The provider.
        provider: String,
        /// Its channel.
        channel: Channel,
    },
    /// It is drained.
    #[error("{0} is drained: enable it first")]
    Drained(String),
    /// Where messages should go cannot take them.
    #[error("{provider} cannot take over from {from}: {why}")]
    NoTakeOver {
        /// Where to.
        provider: String,
        /// From which.
        from: String,
        /// Why not.
        why: String,
    },
    /// There is nobody else.
    #[error("no other provider can carry {channel} now: {from} can be drained, and its messages wait")]
    NoOther {
        /// From which.
        from: String,
        /// Its channel.
        channel: Channel,
    },
    /// Nothing is held there.
    #[error("{target} is not held; {}", listed(held))]
    NotHeld {
        /// As it was given.
        target: Target,
        /// What is.
        held: Vec<Target>,
    },
    /// A word that this daemon does not know.
    #[error("this daemon does not know the word: use a console of its version")]
    Unknown,
    /// The hold is in force, and will not outlive a restart.
    #[error("{target} is held, but that could not be recorded: a restart would let it go ({error})")]
    NotRecorded {
        /// What is held.
        target: Target,
        /// Why not.
        error: Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
}

pub(super) fn listed(held: &[Target]) -> String {
    if held.is_empty() {
        return "nothing is".to_owned();
    }
    let names: Vec<String> = held.iter().map(ToString::to_string).collect();
    format!("held: {}", names.join(", "))
}
