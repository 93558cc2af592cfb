//! What can be set before the simulator starts. Every field has a default that makes a friendly provider.
//! Promises: unknown keys are refused, by name; nothing here is read again after the start.

use crate::latency::Latency;
use crate::provider::Provider;
use crate::script::Step;
use serde::{Deserialize, Serialize};

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
    /// The answer: a Twilio error code (`21610`), an SMTP reply (`550 5.1.1 User unknown`), for Resend an error name
    /// (`validation_error`) or `last_event:` and what `GET /emails/{id}` reports (`last_event:bounced`).
    pub answer: String,
}

fn markers(all: &[(&str, &str)]) -> Vec<Marker> {
    all.iter().map(|(contains, answer)| Marker { contains: (*contains).into(), answer: (*answer).into() }).collect()
}

/// Finds what a recipient is marked with.
pub(crate) fn marked<'a>(markers: &'a [Marker], recipient: &str) -> Option<&'a str> {
    markers.iter().find(|marker| recipient.contains(&marker.contains)).map(|marker| marker.answer.as_str())
}

/// Resend, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResendConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Keys with full access.
    pub api_keys: Vec<String>,
    /// Keys that may only send.
    pub sending_keys: Vec<String>,
    /// Keys that were suspended.
    pub suspended_keys: Vec<String>,
    /// Domains that may send; with none listed, any may.
    pub verified_domains: Vec<String>,
    /// Requests a second before 429; without, no limit and no `ratelimit-*` headers.
    pub requests_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for ResendConfig {
    fn default() -> Self {
        Self {
            port: 0,
            api_keys: vec!["re_simulator".into()],
            sending_keys: vec!["re_sending".into()],
            suspended_keys: vec!["re_suspended".into()],
            verified_domains: Vec::new(),
            requests_per_second: None,
            latency: Latency::None,
            recipients: markers(&[
                ("bounce", "last_event:bounced"),
                ("complain", "last_event:complained"),
                ("suppress", "last_event:suppressed"),
                ("@invalid.", "validation_error"),
            ]),
        }
    }
}

/// A Twilio account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioAccount {
    /// `AC` and 32 hexadecimal digits.
    pub sid: String,
    /// The auth token that goes with it.
    pub token: String,
    /// API keys (`SK…`) and their secrets.
    pub keys: Vec<ApiKey>,
    /// `active`, `suspended` or `closed`.
    pub status: String,
    /// Credit left, as Twilio writes it.
    pub balance: String,
}

/// A Twilio API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// `SK` and 32 hexadecimal digits.
    pub sid: String,
    /// Its secret.
    pub secret: String,
}

impl Default for TwilioAccount {
    fn default() -> Self {
        Self {
            sid: "AC00000000000000000000000000000001".into(),
            token: "simulator".into(),
            keys: vec![ApiKey { sid: "SK00000000000000000000000000000001".into(), secret: "simulator".into() }],
            status: "active".into(),
            balance: "100.00".into(),
        }
    }
}

/// Twilio, as it is to be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioConfig {
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Who may send.
    pub accounts: Vec<TwilioAccount>,
    /// Senders the accounts own; with none listed, any well-formed one.
    pub senders: Vec<String>,
    /// Messaging Services that exist; with none listed, any well-formed one.
    pub messaging_services: Vec<String>,
    /// Whether the test numbers (+15005550001 and so on) answer with their errors.
    pub magic_numbers: bool,
    /// Requests a second before 429; without, no limit.
    pub requests_per_second: Option<u32>,
    /// Time to an answer.
    pub latency: Latency,
    /// Recipients that fare differently.
    pub recipients: Vec<Marker>,
}

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            port: 0,
            accounts: vec![TwilioAccount::default()],
            senders: Vec::new(),
            messaging_services: Vec::new(),
            magic_numbers: true,
            requests_per_second: None,
            latency: Latency::None,
            recipients: Vec::new(),
        }
    }
}

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

/// The time each provider takes, drawn with the simulator's seed.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    seed: u64,
    each: [Latency; Provider::ALL.len()],
}

impl Latencies {
    pub(crate) fn new(config: &Config) -> Self {
        Self { seed: config.seed, each: [config.resend.latency, config.twilio.latency, config.smtp.latency] }
    }

    /// The delay of the `nth` request of a provider.
    pub(crate) fn delay(&self, provider: Provider, nth: u64) -> std::time::Duration {
        self.each[provider.index()].sample(self.seed ^ provider.index() as u64, nth)
    }
}
