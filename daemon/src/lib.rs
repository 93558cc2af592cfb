//! `usherd`, the daemon: sends campaigns, watches providers, keeps what it promised.

pub mod codec;
pub mod store;
pub mod config;
pub mod service;
pub mod dispatch;
pub mod providers;
pub mod vault;
pub mod campaigns;
pub mod guests;
