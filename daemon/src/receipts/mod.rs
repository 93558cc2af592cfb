//! Receipts: what the providers report of messages that they took.

mod form;
pub mod verify;
