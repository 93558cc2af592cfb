//! What the console knows, and what it does about a key or about news: [`update`], a plain function without I/O.
//!
//! The shell ([`crate::tui`]) turns keys and the line's events into [`Msg`]s, hands them in with the time, and carries
//! out the [`Effect`]s that come back.

mod acts;
mod alerts;
mod command;
mod data;
mod dialog;
mod model;
mod msg;
mod news;
mod roster;
mod travel;
mod update;

pub use acts::{CampaignAct, Deed, Inputs, Menu, ProviderAct, Subject};
pub use command::{COMMANDS, Command, HoldName, complete, parse};
pub use data::{Data, LOG_KEPT};
pub use dialog::{Dialog, Effects, Field, Seen};
pub use model::{CAMPAIGN_SORTS, Frozen, Mode, Model, Notice, PROVIDER_SORTS, Screen, Tone};
pub use msg::{ActDraft, Effect, Msg};
pub use roster::Roster;
pub use update::update;

#[cfg(test)]
mod tests;
