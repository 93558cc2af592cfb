//! Why something could not be done with a campaign: each says what, and what to do instead.

use usher_common::model::CampaignId;

use super::lifecycle;
use super::template::TemplateError;
use crate::guests::BookError;
use crate::store;
use crate::vault::VaultError;

/// Why something could not be done with a campaign.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Guests, lists, segments.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Sealing.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The campaign's state.
    #[error(transparent)]
    State(#[from] lifecycle::Refusal),
    /// What the author wrote.
    #[error("{field}: {problem}")]
    Spec {
        /// Which part.
        field: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// It cannot go out as it is.
    #[error("{0}")]
    NotReady(String),
    /// It cannot come back under its name.
    #[error(
        "another campaign is called `{name}` now: bring this one back with `usher campaign restore {id} --name NEW`"
    )]
    NameTaken {
        /// Which.
        id: CampaignId,
        /// The name.
        name: String,
    },
    /// There is nothing of that name.
    #[error("{field}: there is none called `{name}`{hint}")]
    Unknown {
        /// What was looked for.
        field: &'static str,
        /// The name.
        name: String,
        /// What there is, or where to look.
        hint: String,
    },
    /// The daemon stops.
    #[error("its guests were not all looked at, since the daemon stops: repeat the act when it is there again")]
    GivenUp,
    /// It was changed since the operator looked.
    #[error("campaign {id} changed since you looked: look again, then repeat the act")]
    Seen {
        /// Which.
        id: CampaignId,
    },
}

/// What the author wrote in `field` cannot be used.
pub(super) fn spec_error(field: &'static str, problem: impl Into<String>) -> CampaignError {
    CampaignError::Spec { field, problem: problem.into() }
}
