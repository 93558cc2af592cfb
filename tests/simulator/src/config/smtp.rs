//! How the submission server is to be played.
//! Promises: the defaults ask for TLS and a log-in, as a real one does.

use super::{Marker, markers};
use crate::latency::Latency;
use serde::{Deserialize, Serialize};

/// Somebody who may submit mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpUser {
    /// Log-in name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// The submission server, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// Port that offers STARTTLS; 0 takes any free one.
    pub port: u16,
    /// Port with implicit TLS; 0 takes any free one.
    pub tls_port: u16,
    /// Name in the greeting.
    pub hostname: String,
    /// Who may log in.
    pub users: Vec<SmtpUser>,
    /// Whether mail needs a log-in first.
    pub require_auth: bool,
    /// Whether a log-in needs TLS first.
    pub require_tls: bool,
    /// Largest message, in bytes, as the SIZE extension announces it.
    pub max_size: usize,
    /// Recipients in one transaction; more are answered 452.
    pub max_recipients: usize,
    /// Transactions a second before 451; without, no limit.
    pub messages_per_second: Option<u32>,
    /// Time to the answer after the final dot.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            port: 0,
            tls_port: 0,
            hostname: "localhost".into(),
            users: vec![SmtpUser { name: "usher".into(), password: "simulator".into() }],
            require_auth: true,
            require_tls: true,
            max_size: 36_700_160,
            max_recipients: 100,
            messages_per_second: None,
            latency: Latency::None,
            recipients: markers(&[
                ("bounce", "550 5.1.1 User unknown"),
                ("greylist", "450 4.7.1 Greylisted, try again later"),
                ("mailboxfull", "552 5.2.2 Mailbox full"),
                ("blocked", "550 5.7.1 Refused by policy"),
            ]),
        }
    }
}
