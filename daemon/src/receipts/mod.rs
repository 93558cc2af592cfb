//! Receipts: what the providers report of messages that they took.
//!
//! The way of a report: its signature is [verified](verify), it is [read](mod@read) into one [normal form](report), a
//! [table](precedence) says what becomes of its message, and one commit makes all of it durable. Only
//! then is the provider told that it was heard. Everything but that commit is pure.
//!
//! Promises: nothing is read before it is verified; a word that nobody knows is counted, never an error; a report told
//! twice counts once; what cannot be matched yet waits and is tried again; no address is stored.

pub mod desk;
mod form;
mod json;
pub mod mail;
pub mod mailbox;
pub mod precedence;
pub mod read;
pub mod report;
pub mod verify;

pub use desk::{Desk, Elsewhere, Filed};
pub use mail::{MailFault, MailReport, read_mail};
pub use mailbox::{MailAnswer, MailFiled, Mailbox};
pub use read::{Heard, Unreadable, read};
pub use report::{Kind, Reason, Report};
