//! The line to a daemon.
//!
//! [`Client`] is one connection: calls, many in flight, and topics to follow. It is the library for other programs and
//! carries the command line. [`Link`] is the console's line: it never gives up, says how it stands ([`LinkState`]) and
//! resumes what was followed where it broke off. Both speak through the same wire, over any [`Target`].

mod client;
mod error;
mod ledger;
mod link;
mod retry;
mod road;
mod target;
mod wire;

pub use client::{Client, Update, Updates};
pub use error::{CallError, SessionError};
pub use link::{Link, LinkCommand, LinkEvent, LinkState, STALE_AFTER};
pub use retry::Retry;
pub use road::RELAY_MAGIC;
pub(crate) use road::connect_socket;
pub use target::{Target, TargetError};

/// A fresh key for an act: 128 random bits in hexadecimal.
///
/// # Panics
/// When the operating system has no randomness to give, which it has from early boot on.
pub fn act_key() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::with_capacity(32), |mut key, byte| {
        use std::fmt::Write as _;
        let _ = write!(key, "{byte:02x}");
        key
    })
}
