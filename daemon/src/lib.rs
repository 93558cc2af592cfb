//! `usherd`, the daemon: sends campaigns, watches providers, keeps what it promised.

pub mod api;
mod aside;
pub mod campaigns;
pub mod checks;
pub mod clock;
pub mod codec;
pub mod compliance;
pub mod config;
pub mod dispatch;
pub mod failpoint;
pub mod guests;
pub mod incidents;
pub mod monitor;
pub mod providers;
pub mod receipts;
pub mod service;
pub mod store;
pub mod vault;
