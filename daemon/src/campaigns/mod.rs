//! Campaigns: templates, what a text message costs, states and the equation, schedules.
//!
//! Everything here is pure: given words, counts and the time, it says what follows. Storage and sending stand beside it.

pub mod builtin;
pub mod context;
pub mod lifecycle;
pub mod schedule;
pub mod sms;
pub mod template;
