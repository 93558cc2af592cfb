//! What can be set before the simulator starts. Every field has a default that makes a friendly provider.
//! Promises: unknown keys are refused, by name; nothing here is read again after the start.

mod resend;
mod sendgrid;
mod slack;
mod smtp;
mod twilio;
mod whatsapp;

use crate::latency::Latency;
use crate::provider::Provider;
use crate::script::Step;
pub use resend::ResendConfig;
pub use sendgrid::SendGridConfig;
use serde::{Deserialize, Serialize};
pub use slack::{SlackConfig, Webhook};
pub use smtp::{SmtpConfig, SmtpUser};
pub use twilio::{ApiKey, TwilioAccount, TwilioConfig};
pub use whatsapp::{PhoneNumber, Template, TemplateStatus, WhatsAppConfig};

/// The whole configuration, as the library and the program's TOML file have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of everything random: ids and latencies. The same seed gives the same ids in the same order.
    pub seed: u64,
    /// Full bodies kept, the latest ones; 0 keeps none. Look-ups show text and sender only of messages still kept.
    pub keep_bodies: usize,
    /// Port of the control endpoint; 0 takes any free one.
    pub control_port: u16,
    /// Resend.
    pub resend: ResendConfig,
    /// Twilio.
    pub twilio: TwilioConfig,
    /// The submission server.
    pub smtp: SmtpConfig,
    /// SendGrid.
    pub sendgrid: SendGridConfig,
    /// Slack.
    pub slack: SlackConfig,
    /// WhatsApp.
    pub whatsapp: WhatsAppConfig,
    /// Faults by the clock, from the start.
    #[serde(rename = "step")]
    pub script: Vec<Step>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            keep_bodies: 1_000,
            control_port: 0,
            resend: ResendConfig::default(),
            twilio: TwilioConfig::default(),
            smtp: SmtpConfig::default(),
            sendgrid: SendGridConfig::default(),
            slack: SlackConfig::default(),
            whatsapp: WhatsAppConfig::default(),
            script: Vec::new(),
        }
    }
}

/// A recipient that fares differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Text that the recipient's address or number contains.
    pub contains: String,
    /// The answer: a Twilio or WhatsApp error code (`21610`, `131026`), an SMTP reply (`550 5.1.1 User unknown`), a word of
    /// Slack's (`is_archived`), for Resend an error name (`validation_error`) or `last_event:` and what `GET /emails/{id}`
    /// reports (`last_event:bounced`), for SendGrid a status (`403`) or `invalid`, its 400 for an address.
    pub answer: String,
}

fn markers(all: &[(&str, &str)]) -> Vec<Marker> {
    all.iter().map(|(contains, answer)| Marker { contains: (*contains).into(), answer: (*answer).into() }).collect()
}

/// Finds what a recipient is marked with.
pub(crate) fn marked<'a>(markers: &'a [Marker], recipient: &str) -> Option<&'a str> {
    markers.iter().find(|marker| recipient.contains(&marker.contains)).map(|marker| marker.answer.as_str())
}

/// The time each provider takes, drawn with the simulator's seed.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    seed: u64,
    each: [Latency; Provider::ALL.len()],
}

impl Latencies {
    pub(crate) fn new(config: &Config) -> Self {
        let each = Provider::ALL.map(|provider| match provider {
            Provider::Resend => config.resend.latency,
            Provider::Twilio => config.twilio.latency,
            Provider::Smtp => config.smtp.latency,
            Provider::SendGrid => config.sendgrid.latency,
            Provider::Slack => config.slack.latency,
            Provider::WhatsApp => config.whatsapp.latency,
        });
        Self { seed: config.seed, each }
    }

    /// The delay of the `nth` request of a provider.
    pub(crate) fn delay(&self, provider: Provider, nth: u64) -> std::time::Duration {
        self.each[provider.index()].sample(self.seed ^ provider.index() as u64, nth)
    }
}
