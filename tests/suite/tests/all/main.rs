//! The tests that cross crates, in one program: each suite is a module.

#![expect(clippy::unwrap_used, reason = "what sets a test up may panic as the test itself may")]

mod again;
mod alerting;
mod bad_input;
mod big_lists;
mod by_mail;
mod checks;
mod crash;
mod fallback;
mod four_channels;
mod house;
mod lists;
mod mailserver;
mod main_job;
mod postfix;
mod receipts;
mod senders;
mod steering;
mod terminal;
mod unsettled;
mod watching;
