//! Which provider is meant, everywhere in this crate.
//! Promises: the order and the names never change, since scripts, records and control requests spell them out.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A provider that the simulator speaks as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Resend, e-mail over JSON.
    Resend,
    /// Twilio Programmable Messaging, SMS over forms.
    Twilio,
    /// A submission server (RFC 6409), on a STARTTLS and on an implicit TLS port.
    Smtp,
}

impl Provider {
    /// Every provider, in the order of [`Provider::index`].
    pub const ALL: [Self; 3] = [Self::Resend, Self::Twilio, Self::Smtp];

    /// Position in [`Provider::ALL`], for tables with one slot per provider.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name used in scripts, control requests and the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Twilio => "twilio",
            Self::Smtp => "smtp",
        }
    }

    /// The provider with that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
