//! What an operator sees: guests, campaigns, messages, providers, and the daemon itself.
//!
//! Every type is plain data that both codecs of the protocol carry. Enums that will grow end in `Unknown`, so that an
//! older console shows "unknown" instead of failing on a newer daemon's word.

mod alert;
mod campaign;
mod channel;
mod check;
mod control;
mod guest;
mod ids;
mod import;
mod message;
mod overview;
mod provider;
mod sla;
mod template;
mod time;
mod why;

pub use alert::{
    AlertChannelRow, AlertPage, AlertRow, AlertState, AlertTrial, MaintenanceRow, ParsePriorityError, Priority,
    SilenceRow,
};
pub use campaign::{
    Audience, CampaignClass, CampaignDetail, CampaignRow, CampaignSpec, CampaignState, ChannelProgress, Deed, Deeds,
    Estimate, EstimateLine, Reach, Schedule, WhatsAppParameter, WhatsAppTemplate,
};
pub use channel::Channel;
pub use check::{CheckRow, CheckSet, Grade};
pub use control::{Control, ControlKind, Steer, Target};
pub use guest::{BulkChange, Guest, GuestChange, GuestListRow, GuestRow, Provenance, Rsvp};
pub use ids::{AttemptNo, CampaignId, GuestId, IncidentId, ListId, MessageId, ParseIdError};
pub use import::{ImportProblem, ImportProgress, ProblemKind, Severity};
pub use message::{
    AttemptRow, Doubt, MessageDetail, MessageRow, MessageState, OutcomeClass, StateCounts, Trace, TracedGuest,
    TracedMessage, TracedSuppression, Verdict,
};
pub use overview::{Health, Overview};
pub use provider::{BreakerState, ProviderKind, ProviderRow};
pub use sla::{SlaRow, SlaStatus, SlaWindow};
pub use template::{Rendered, TOKENS, TemplateBody, TemplateRow};
pub use time::Timestamp;
pub use why::{Bind, Limit, Why};
