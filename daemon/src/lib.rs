//! `usherd`, the daemon: sends campaigns, watches providers, keeps what it promised.

pub mod campaigns;
pub mod guests;
