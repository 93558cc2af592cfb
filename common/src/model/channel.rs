//! The ways by which a guest can be reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way to reach a guest. Providers serve exactly one channel each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// E-mail, to the guest's address.
    Email,
    /// Text message, to the guest's mobile number.
    Sms,
    /// WhatsApp, to the guest's mobile number.
    WhatsApp,
    /// A Slack direct message or channel.
    Slack,
}

impl Channel {
    /// All of them, in the order in which screens list them.
    pub const ALL: [Self; 4] = [Self::Email, Self::Sms, Self::WhatsApp, Self::Slack];

    /// The word used in configuration, on the command line and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::WhatsApp => "whatsapp",
            Self::Slack => "slack",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let folded = text.trim().to_ascii_lowercase().replace(['-', '_'], "");
        match folded.as_str() {
            "email" | "mail" => Ok(Self::Email),
            "sms" | "text" => Ok(Self::Sms),
            "whatsapp" => Ok(Self::WhatsApp),
            "slack" => Ok(Self::Slack),
            _ => Err(format!("`{text}` is not a channel: use email, sms, whatsapp or slack")),
        }
    }
}
