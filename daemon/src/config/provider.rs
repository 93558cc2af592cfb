//! Through whom messages are sent: `[[provider]]`, in the order in which they are preferred.
//!
//! With no entry at all, the well-known variables (`RESEND_API_KEY`, `SMTP_HOST` …, `TWILIO_ACCOUNT_SID` …) make them;
//! with entries, those variables fill credentials that the file leaves out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use usher_common::model::{Channel, ProviderKind};

use super::check;
use super::error::Source;
use super::organisation::Organisation;
use super::reader::{Reader, Section};
use super::slot::{Fault, Word};

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Begins in the clear and must be upgraded before anything is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None; only to this machine.
    None,
}

impl SmtpSecurity {
    fn usual_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

impl Word for SmtpSecurity {
    const ALL: &'static [Self] = &[Self::StartTls, Self::Tls, Self::None];
    fn word(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

impl Word for ProviderKind {
    const ALL: &'static [Self] = &[Self::Resend, Self::Twilio, Self::Smtp];
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// What only one kind of provider needs.
#[derive(Debug, Clone)]
pub enum ProviderAccess {
    /// Resend.
    Resend {
        /// Where its API is, without a slash at the end.
        base_url: String,
        /// Its key.
        api_key: SecretString,
    },
    /// Twilio.
    Twilio {
        /// Where its API is, without a slash at the end.
        base_url: String,
        /// `AC` and 32 hexadecimal digits.
        account_sid: String,
        /// The account's token.
        auth_token: SecretString,
        /// `MG` and 32 hexadecimal digits; chooses the sender when set.
        messaging_service_sid: Option<String>,
        /// Where Twilio reports what became of a message.
        status_callback: Option<String>,
    },
    /// An SMTP server.
    Smtp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        security: SmtpSecurity,
        /// User and password, when it wants them.
        login: Option<(String, SecretString)>,
        /// The name said in `EHLO`; the machine's when not set.
        hello_name: Option<String>,
        /// Most connections kept open.
        pool: u32,
    },
}

/// A provider, as it was configured.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name: `[a-z0-9-]`, at most 32.
    pub name: String,
    /// Which adapter speaks to it.
    pub kind: ProviderKind,
    /// What it carries; follows from the kind.
    pub channel: Channel,
    /// Place in its channel's order, from 1.
    pub rank: u32,
    /// The sender that takes the organisation's place.
    pub from: Option<String>,
    /// Time after which a request has no known outcome.
    pub timeout: Duration,
    /// Most requests a second; `None` when the provider sets no limit that we know.
    pub rate_per_second: Option<f64>,
    /// Requests that may go out at once after a quiet time.
    pub burst: u32,
    /// Most requests under way.
    pub max_in_flight: u32,
    /// Most messages in one request.
    pub batch_size: u32,
    /// Price of one unit (an e-mail, a segment of a text message).
    pub unit_price: f64,
    /// The price's currency, three letters.
    pub currency: String,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// What only its kind needs.
    pub access: ProviderAccess,
}

/// Messages that one request of Resend's batch route takes.
const RESEND_BATCH: u32 = 100;
/// Resend's documented limit for a team, in requests a second.
const RESEND_RATE: f64 = 5.0;

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<ProviderSettings> {
    let mut names = BTreeSet::new();
    let mut ranks = [(Channel::Email, 0), (Channel::Sms, 0)];
    let mut providers = Vec::new();
    let declared = reader.list("provider");
    let from_environment = declared.is_empty();
    let mut candidates: Vec<(Section, String, ProviderKind)> = Vec::new();
    for (path, origin) in declared {
        let section = reader.named_section("provider", &path, origin);
        let name = reader
            .within(&section, "name")
            .needed("give the provider a name, such as \"resend-eu\"")
            .text(None, |text| check::unused_name(text, &names));
        let kind = reader.within(&section, "kind").needed("set it to resend, twilio or smtp").word(None);
        names.extend(name.clone());
        match kind {
            Some(kind) => candidates.push((section, name.unwrap_or_default(), kind)),
            // Without the kind nothing can be said about the other keys.
            None => reader.accept_all(&path),
        }
    }
    if from_environment {
        candidates = named_by_environment(reader);
    }
    for (section, name, kind) in candidates {
        let channel = if kind == ProviderKind::Twilio { Channel::Sms } else { Channel::Email };
        let rank = ranks.iter_mut().find(|(ranked, _)| *ranked == channel).map_or(0, |(_, rank)| {
            *rank += 1;
            *rank
        });
        let of_environment = from_environment.then_some(());
        providers.extend(one(reader, &section, name, kind, channel, rank, of_environment));
    }
    providers
}

/// Warns of organisations whose text messages a provider cannot carry, since neither of the two names a sender.
pub(super) fn check_senders(reader: &mut Reader<'_>, providers: &[ProviderSettings], organisations: &[Organisation]) {
    let stuck: Vec<&str> = organisations.iter().filter(|o| o.sms_sender.is_none()).map(|o| o.name.as_str()).collect();
    if stuck.is_empty() {
        return;
    }
    for provider in providers.iter().filter(|p| p.from.is_none()) {
        if let ProviderAccess::Twilio { messaging_service_sid: None, .. } = &provider.access {
            let text = format!(
                "has neither `from` nor `messaging_service_sid`, so it cannot send for {}: give one of them, or an \
                 `sms_sender` to each organisation",
                stuck.join(", ")
            );
            reader.warn(&format!("provider.{}", provider.name), text);
        }
    }
}

/// The providers that well-known variables speak of, in a fixed order.
fn named_by_environment(reader: &mut Reader<'_>) -> Vec<(Section, String, ProviderKind)> {
    let signs: [(ProviderKind, &[&str]); 3] = [
        (ProviderKind::Resend, &["RESEND_API_KEY"]),
        (ProviderKind::Smtp, &["SMTP_HOST"]),
        (ProviderKind::Twilio, &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
    ];
    let mut found = Vec::new();
    for (kind, names) in signs {
        let sign = names.iter().find(|name| reader.variable(name).is_some());
        if let Some(sign) = sign {
            let name = kind.as_str().to_owned();
            let origin = Source::Variable((*sign).to_owned());
            found.push((Section { shown: format!("provider.{name}"), path: None, origin }, name, kind));
        }
    }
    found
}

fn one(
    reader: &mut Reader<'_>,
    section: &Section,
    name: String,
    kind: ProviderKind,
    channel: Channel,
    rank: u32,
    from_environment: Option<()>,
) -> Option<ProviderSettings> {
    let sender = if channel == Channel::Sms { check::sms_sender } else { check::email };
    // Only a provider that the environment made takes its sender and server from there too.
    let made_by = |name: &'static str| from_environment.map(|()| name);
    let sender_variable = if kind == ProviderKind::Twilio { made_by("TWILIO_FROM") } else { None };
    let from = reader.within(section, "from").fallback(sender_variable).text(None, sender);
    let timeout = reader.within(section, "timeout_ms").integer(10_000_u64, 100..=120_000);
    let rate = (kind == ProviderKind::Resend).then_some(RESEND_RATE);
    let rate_per_second = reader.within(section, "rate_per_second").number(rate, 0.01..=100_000.0);
    let burst = reader.within(section, "burst").integer(if rate.is_some() { 5 } else { 50 }, 1..=100_000);
    let (usual_in_flight, usual_batch) = match kind {
        ProviderKind::Resend => (100, RESEND_BATCH),
        ProviderKind::Smtp => (8, 1),
        ProviderKind::Twilio | ProviderKind::Unknown => (100, 1),
    };
    let max_in_flight = reader.within(section, "max_in_flight").integer(usual_in_flight, 1..=10_000);
    let batch_size = reader.within(section, "batch_size").integer(usual_batch, 1..=usual_batch);
    let unit_price = reader.within(section, "unit_price").number(Some(0.0), 0.0..=1_000.0).unwrap_or_default();
    let currency = reader.within(section, "currency").text(Some("USD"), check::currency).unwrap_or_default();
    let ca_file = reader.within(section, "ca_file").file(false);
    let access = match kind {
        ProviderKind::Resend => resend(reader, section),
        ProviderKind::Twilio => twilio(reader, section),
        ProviderKind::Smtp => smtp(reader, section, &made_by),
        // No word of the configuration means it.
        ProviderKind::Unknown => None,
    }?;
    Some(ProviderSettings {
        name,
        kind,
        channel,
        rank,
        from,
        timeout: Duration::from_millis(timeout),
        rate_per_second,
        burst,
        max_in_flight,
        batch_size,
        unit_price,
        currency,
        ca_file,
        access,
    })
}

fn resend(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let base_url = base_url(reader, section, "https://api.resend.com");
    let api_key = reader
        .within(section, "api_key")
        .credential(credential(section, "api-key"))
        .fallback(Some("RESEND_API_KEY"))
        .needed("set api_key_file, or RESEND_API_KEY in the environment")
        .secret(any_secret)?;
    Some(ProviderAccess::Resend { base_url, api_key })
}

fn twilio(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let base_url = base_url(reader, section, "https://api.twilio.com");
    let account_sid = reader
        .within(section, "account_sid")
        .fallback(Some("TWILIO_ACCOUNT_SID"))
        .needed("set it, or TWILIO_ACCOUNT_SID in the environment; it stands on the console's first page")
        .text(None, |text| sid(text, "AC"));
    let auth_token = reader
        .within(section, "auth_token")
        .credential(credential(section, "auth-token"))
        .fallback(Some("TWILIO_AUTH_TOKEN"))
        .needed("set auth_token_file, or TWILIO_AUTH_TOKEN in the environment")
        .secret(any_secret);
    let messaging_service_sid = reader.within(section, "messaging_service_sid").text(None, |text| sid(text, "MG"));
    let status_callback = reader.within(section, "status_callback").text(None, check::endpoint);
    Some(ProviderAccess::Twilio {
        base_url,
        account_sid: account_sid?,
        auth_token: auth_token?,
        messaging_service_sid,
        status_callback,
    })
}

fn smtp(
    reader: &mut Reader<'_>,
    section: &Section,
    made_by: &dyn Fn(&'static str) -> Option<&'static str>,
) -> Option<ProviderAccess> {
    let host = reader
        .within(section, "host")
        .fallback(made_by("SMTP_HOST"))
        .needed("set it to the server's name, such as \"mail.example.com\"")
        .text(None, check::host);
    let on_this_machine = host.as_deref().is_some_and(check::is_loopback);
    // A variable for the port says nothing about TLS, but 465 is never anything else.
    let implicit = made_by("SMTP_PORT").and_then(|name| reader.variable(name)).is_some_and(|port| port == "465");
    let usual = if implicit { SmtpSecurity::Tls } else { SmtpSecurity::StartTls };
    let security = reader.within(section, "security").word(Some(usual)).unwrap_or(usual);
    if security == SmtpSecurity::None && host.is_some() && !on_this_machine {
        let key = format!("{}.security", section.shown);
        reader.reject(
            &key,
            "would send guests' data and passwords in the clear",
            "use \"starttls\" or \"tls\"; \"none\" is for a server on 127.0.0.1".to_owned(),
        );
    }
    let port =
        reader.within(section, "port").fallback(made_by("SMTP_PORT")).integer(security.usual_port(), 1..=u16::MAX);
    let user = reader.within(section, "user").fallback(Some("SMTP_USER")).text(None, check::line);
    let mut password =
        reader.within(section, "password").credential(credential(section, "password")).fallback(Some("SMTP_PASSWORD"));
    if user.is_some() {
        password = password.needed("a user needs a password: set password_file, or SMTP_PASSWORD in the environment");
    }
    let password = password.secret(any_secret);
    if user.is_none() && password.is_some() {
        reader.missing(
            &format!("{}.user", section.shown),
            section,
            "a password needs a user: set it, or remove the password",
        );
    }
    let hello_name = reader.within(section, "hello_name").text(None, check::host);
    let pool = reader.within(section, "pool").integer(8, 1..=1_000);
    Some(ProviderAccess::Smtp { host: host?, port, security, login: user.zip(password), hello_name, pool })
}

fn base_url(reader: &mut Reader<'_>, section: &Section, usual: &str) -> String {
    let url = reader.within(section, "base_url").text(Some(usual), check::endpoint);
    url.map_or_else(String::new, |url| url.trim_end_matches('/').to_owned())
}

/// `provider.resend-eu` and `api-key` make `usher-resend-eu-api-key`.
fn credential(section: &Section, key: &str) -> String {
    let name = section.shown.rsplit('.').next().unwrap_or(&section.shown);
    format!("usher-{name}-{key}")
}

fn any_secret(text: &str) -> Result<SecretString, Fault> {
    if text.contains(|sign: char| sign.is_control() || sign.is_whitespace()) {
        return Err(Fault::new("holds a space or a control character", "copy it again, without what stands around it"));
    }
    Ok(SecretString::from(text))
}

fn sid(text: &str, prefix: &str) -> Result<(), Fault> {
    let fits =
        text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is not of that kind", format!("copy it again: {prefix} and 32 hexadecimal digits")))
    }
}
