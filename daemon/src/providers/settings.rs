//! What the configuration says of one provider, and what can be wrong with it.
//!
//! Read with `serde`; unknown keys are refused, so that a misspelt limit is found at start and not at the first wedding.
//! Secrets can be read but not printed.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use usher_common::model::{Channel, ProviderKind};

/// One `[[provider]]` of the configuration. The channel follows from the kind; only a webhook has its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name everywhere: on screen, in the audit trail, in metrics. Unique.
    pub name: String,
    /// Which adapter.
    pub kind: ProviderKind,
    /// Where the API is, without path; the vendor's own address unless set. Plain `http` only to a loopback address.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Twilio: the Account SID (`AC…`). WhatsApp: the id of the telephone number that sends.
    #[serde(default)]
    pub account: Option<String>,
    /// Twilio: an API Key SID (`SK…`) to sign in with; the account itself unless set.
    #[serde(default)]
    pub user: Option<String>,
    /// API key (Resend, SendGrid), auth token or key secret (Twilio), bot token (Slack), access token (WhatsApp), bearer
    /// token (webhook). SMTP has its own password.
    #[serde(default, deserialize_with = "secret")]
    pub secret: Option<SecretString>,
    /// The sender that is verified with this provider; wins over the message's. An e-mail address, an E.164 number, or a
    /// Messaging Service SID (`MG…`).
    #[serde(default)]
    pub sender: Option<String>,
    /// Name shown beside the sender; the message's unless set.
    #[serde(default)]
    pub sender_name: Option<String>,
    /// Twilio: the public URL to which status reports go; none are asked for unless set.
    #[serde(default)]
    pub status_callback: Option<String>,
    /// WhatsApp: the version of the API, such as `v23.0`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// PEM file with further certificate authorities to trust, for private servers.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Milliseconds for name look-up, TCP and TLS together.
    #[serde(default = "ProviderConfig::default_connect_ms")]
    pub connect_timeout_ms: u64,
    /// Milliseconds for a whole HTTP request; for SMTP, for the answer to each command but the last.
    #[serde(default = "ProviderConfig::default_request_ms")]
    pub request_timeout_ms: u64,
    /// Messages a second, long-term; unlimited unless set.
    #[serde(default)]
    pub rate_per_second: Option<f64>,
    /// Messages that may go at once after a pause.
    #[serde(default = "ProviderConfig::default_burst")]
    pub burst: u32,
    /// Requests under way at once.
    #[serde(default = "ProviderConfig::default_in_flight")]
    pub max_in_flight: u32,
    /// Messages in one request; the adapter's own limit unless set lower.
    #[serde(default)]
    pub batch_size: Option<usize>,
    /// Price of one unit (an e-mail, an SMS segment) in `currency`; for estimates.
    #[serde(default)]
    pub unit_price: f64,
    /// ISO 4217 code of the price.
    #[serde(default = "ProviderConfig::default_currency")]
    pub currency: String,
    /// The server, for `kind = "smtp"`.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
    /// Slack's incoming webhook, in place of a bot.
    #[serde(default)]
    pub slack_webhook: Option<SlackWebhookConfig>,
    /// The gateway, for `kind = "webhook"`.
    #[serde(default)]
    pub webhook: Option<WebhookConfig>,
}

/// An incoming webhook of Slack, which posts into one channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackWebhookConfig {
    /// Its address, which is the secret.
    #[serde(deserialize_with = "needed_secret")]
    pub url: SecretString,
    /// The channel into which it posts. A message for anybody else is refused, or a whole channel would read it.
    pub channel: String,
}

/// A gateway that takes Usher's own JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where it takes messages.
    pub url: String,
    /// What it carries.
    pub channel: Channel,
    /// The secret under which requests are signed.
    #[serde(deserialize_with = "needed_secret")]
    pub signing_secret: SecretString,
    /// Hours for which it answers a repeated key with its first answer; 0 for a gateway that keeps no keys.
    #[serde(default)]
    pub keeps_keys_hours: u32,
}

/// How the connection to an SMTP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain at first, TLS before anything is said; a server that does not offer it is refused (RFC 3207).
    #[default]
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None; only to a loopback address.
    None,
}

/// `[provider.smtp]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host name or address; the name that its certificate must bear.
    pub host: String,
    /// Port; 465 for `tls`, else 587.
    #[serde(default)]
    pub port: Option<u16>,
    /// `starttls` (unless set), `tls` or `none`.
    #[serde(default)]
    pub security: Security,
    /// Name to sign in with; no sign-in unless set.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default, deserialize_with = "secret")]
    pub password: Option<SecretString>,
    /// The name that we give in EHLO; this host's unless set.
    #[serde(default)]
    pub hello_name: Option<String>,
    /// Connections at most; one message each at a time.
    #[serde(default = "SmtpConfig::default_pool")]
    pub pool: usize,
    /// Milliseconds to wait for the answer to the final dot. RFC 5321 §4.5.3.2.6 asks for ten minutes: whoever gives up
    /// sooner does not know whether the message was taken.
    #[serde(default = "SmtpConfig::default_final_ms")]
    pub final_timeout_ms: u64,
}

impl ProviderConfig {
    /// A provider with every default, for `kind`.
    pub fn named(name: &str, kind: ProviderKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            base_url: None,
            account: None,
            user: None,
            secret: None,
            sender: None,
            sender_name: None,
            status_callback: None,
            api_version: None,
            ca_file: None,
            connect_timeout_ms: Self::default_connect_ms(),
            request_timeout_ms: Self::default_request_ms(),
            rate_per_second: None,
            burst: Self::default_burst(),
            max_in_flight: Self::default_in_flight(),
            batch_size: None,
            unit_price: 0.0,
            currency: Self::default_currency(),
            smtp: None,
            slack_webhook: None,
            webhook: None,
        }
    }

    /// The channel that it carries; `None` for an unknown kind, and for a webhook without one.
    pub fn channel(&self) -> Option<Channel> {
        match self.kind {
            ProviderKind::Resend | ProviderKind::Smtp | ProviderKind::SendGrid => Some(Channel::Email),
            ProviderKind::Twilio => Some(Channel::Sms),
            ProviderKind::Slack => Some(Channel::Slack),
            ProviderKind::WhatsApp => Some(Channel::WhatsApp),
            ProviderKind::Webhook => self.webhook.as_ref().map(|webhook| webhook.channel),
            ProviderKind::Unknown => None,
        }
    }

    /// Requests that may be under way at once: for SMTP never more than it has connections, lest they wait unseen.
    pub fn in_flight(&self) -> usize {
        let most = self.max_in_flight as usize;
        self.smtp.as_ref().map_or(most, |smtp| most.min(smtp.pool))
    }

    /// Refuses numbers that cannot be meant.
    pub fn check(&self) -> Result<(), BuildError> {
        let sane = [
            ("connect_timeout_ms", self.connect_timeout_ms > 0),
            ("request_timeout_ms", self.request_timeout_ms > 0),
            ("rate_per_second", self.rate_per_second.is_none_or(|rate| rate.is_finite() && rate > 0.0)),
            ("burst", self.burst > 0),
            ("max_in_flight", self.max_in_flight > 0),
            ("batch_size", self.batch_size != Some(0)),
            ("unit_price", self.unit_price.is_finite() && self.unit_price >= 0.0),
            ("smtp.pool", self.smtp.as_ref().is_none_or(|smtp| smtp.pool > 0)),
            ("smtp.final_timeout_ms", self.smtp.as_ref().is_none_or(|smtp| smtp.final_timeout_ms > 0)),
        ];
        match sane.into_iter().find(|(_, ok)| !ok) {
            Some((key, _)) => Err(BuildError::Limit { provider: self.name.clone(), key }),
            None => Ok(()),
        }
    }

    /// The value of an optional key that this kind needs.
    pub(super) fn need<'a, T>(&self, key: &'static str, value: Option<&'a T>) -> Result<&'a T, BuildError> {
        value.ok_or_else(|| BuildError::Missing { provider: self.name.clone(), key })
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    fn default_connect_ms() -> u64 {
        5_000
    }

    fn default_request_ms() -> u64 {
        10_000
    }

    fn default_burst() -> u32 {
        10
    }

    fn default_in_flight() -> u32 {
        64
    }

    fn default_currency() -> String {
        "USD".to_owned()
    }
}

impl WebhookConfig {
    /// A gateway with every default.
    pub fn at(url: &str, channel: Channel, signing_secret: SecretString) -> Self {
        Self { url: url.to_owned(), channel, signing_secret, keeps_keys_hours: 0 }
    }
}

impl SmtpConfig {
    /// A server with every default.
    pub fn at(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: None,
            security: Security::default(),
            user: None,
            password: None,
            hello_name: None,
            pool: Self::default_pool(),
            final_timeout_ms: Self::default_final_ms(),
        }
    }

    /// The port in use.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Tls => 465,
            Security::StartTls | Security::None => 587,
        })
    }

    fn default_pool() -> usize {
        8
    }

    fn default_final_ms() -> u64 {
        600_000
    }
}

/// Why a provider could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The kind names no adapter.
    #[error("provider `{provider}`: its `kind` is no kind that this build knows")]
    Kind {
        /// The provider.
        provider: String,
    },
    /// A key that this kind needs is not there.
    #[error("provider `{provider}`: `{key}` is missing")]
    Missing {
        /// The provider.
        provider: String,
        /// The key.
        key: &'static str,
    },
    /// A number out of range.
    #[error("provider `{provider}`: `{key}` must be a number above zero")]
    Limit {
        /// The provider.
        provider: String,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be used.
    #[error("provider `{provider}`: `{key}` cannot be used: {why}")]
    Value {
        /// The provider.
        provider: String,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A connection that anybody on the way could read.
    #[error("provider `{provider}`: `{key}` would send unprotected over a network: use TLS, or a loopback address")]
    Unprotected {
        /// The provider.
        provider: String,
        /// The key.
        key: &'static str,
    },
    /// The certificate authorities could not be read.
    #[error("provider `{provider}`: reading the certificate authorities to trust{file}: {why}")]
    Trust {
        /// The provider.
        provider: String,
        /// ` from <path>`, or nothing for the system's own.
        file: String,
        /// What went wrong.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("provider `{provider}`: setting up its HTTP client")]
    Http {
        /// The provider.
        provider: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

fn needed_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_but_never_printed() {
        let config: ProviderConfig =
            toml::from_str("name = 'r'\nkind = 'resend'\nsecret = 're_hush'\n[smtp]\nhost='h'\npassword='hush2'")
                .unwrap();
        assert!(config.secret.is_some());
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn a_misspelt_key_is_refused_by_name() {
        let error = toml::from_str::<ProviderConfig>("name = 'r'\nkind = 'resend'\nbrust = 4").unwrap_err();
        assert!(error.to_string().contains("brust"), "{error}");
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused_by_name() {
        let mut config = ProviderConfig::named("r", ProviderKind::Resend);
        assert!(config.check().is_ok());
        config.rate_per_second = Some(0.0);
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "provider `r`: `rate_per_second` must be a number above zero"
        );
    }
}
