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
    /// SendGrid, e-mail over JSON.
    #[serde(rename = "sendgrid")]
    SendGrid,
    /// Slack, its Web API and its incoming webhooks.
    Slack,
    /// WhatsApp Business Cloud API, over JSON.
    #[serde(rename = "whatsapp")]
    WhatsApp,
}

impl Provider {
    /// Every provider, in the order of [`Provider::index`].
    pub const ALL: [Self; 6] = [Self::Resend, Self::Twilio, Self::Smtp, Self::SendGrid, Self::Slack, Self::WhatsApp];

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
            Self::SendGrid => "sendgrid",
            Self::Slack => "slack",
            Self::WhatsApp => "whatsapp",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name_everywhere_and_its_place() {
        for (index, provider) in Provider::ALL.into_iter().enumerate() {
            assert_eq!(provider.index(), index);
            assert_eq!(Provider::from_name(provider.name()), Some(provider));
            assert_eq!(serde_json::to_value(provider).unwrap(), provider.name());
        }
    }
}
