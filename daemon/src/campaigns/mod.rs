//! Campaigns: templates, what a text message costs, states and the equation, schedules.
//!
//! All but [`service`] is pure: given words, counts and the time, it says what follows. The service puts it together
//! with the store; sending is the dispatcher's.

pub mod builtin;
pub mod compose;
pub mod context;
mod draft;
mod error;
pub mod estimate;
pub mod lifecycle;
pub mod mark;
pub mod schedule;
pub mod service;
pub mod sms;
pub mod template;
pub mod whatsapp;

pub use error::CampaignError;
pub(crate) use service::refuse_deleted;
pub use service::{Campaigns, channels_for, ways};
