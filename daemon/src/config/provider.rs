//! Through whom messages are sent: `[[provider]]`, in the order in which they are preferred. Providers of a channel that
//! follow each other and have a `weight` are one set, and share its messages.
//!
//! With no entry at all, the well-known variables (`RESEND_API_KEY`, `SMTP_HOST`, `SLACK_BOT_TOKEN` …) make them; with
//! entries, those variables fill credentials that the file leaves out. What only one kind needs is read in [`access`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use usher_common::model::{Channel, ProviderKind};

use super::access::{self, ProviderAccess};
use super::check;
use super::error::Source;
use super::organisation::Organisation;
use super::reader::{Reader, Section};
use super::slot::Word;

/// What a webhook of one's own carries.
#[derive(Debug, Clone, Copy)]
struct Carried(Channel);

impl Word for Carried {
    const ALL: &'static [Self] =
        &[Self(Channel::Email), Self(Channel::Sms), Self(Channel::WhatsApp), Self(Channel::Slack)];
    fn word(self) -> &'static str {
        self.0.as_str()
    }
}

impl Word for ProviderKind {
    const ALL: &'static [Self] =
        &[Self::Resend, Self::SendGrid, Self::Smtp, Self::Twilio, Self::WhatsApp, Self::Slack, Self::Webhook];
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// A provider, as it was configured.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name: `[a-z0-9-]`, at most 32.
    pub name: String,
    /// Which adapter speaks to it.
    pub kind: ProviderKind,
    /// What it carries; follows from the kind, but for a webhook.
    pub channel: Channel,
    /// Place in its channel's order, from 1. Those with a `weight` that follow each other share one.
    pub rank: u32,
    /// Its part of what its rank carries, beside the weights of the others; 1 where none was given.
    pub weight: f64,
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
    /// The selector of the key that it signs e-mail with (DKIM), as far as it is known.
    pub dkim_selector: Option<String>,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// What its reports are believed by.
    pub reports: ReportKeys,
    /// What only its kind needs.
    pub access: ProviderAccess,
}

/// What a provider's reports are believed by.
#[derive(Debug, Clone, Default)]
pub struct ReportKeys {
    /// The secret, or public key, that the provider shows for its webhook.
    pub secret: Option<SecretString>,
    /// The one before it, during a turn-over.
    pub previous: Option<SecretString>,
    /// Twilio: a shared key that signs in place of the account's token.
    pub shared_key: Option<SecretString>,
    /// WhatsApp: what Meta shows when it asks whether the address is ours.
    pub verify_token: Option<SecretString>,
}

/// Messages that one request of Resend's batch route takes.
const RESEND_BATCH: u32 = 100;
/// Resend's documented limit for a team, in requests a second.
const RESEND_RATE: f64 = 5.0;
/// Slack allows a workspace several hundred messages a minute, and says no more than that.
const SLACK_RATE: f64 = 5.0;
/// What WhatsApp grants a telephone number at first, in messages a second.
const WHATSAPP_RATE: f64 = 80.0;

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<ProviderSettings> {
    let mut names = BTreeSet::new();
    let mut ranks = Ranks::default();
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
        let kind = reader
            .within(&section, "kind")
            .needed("set it to resend, sendgrid, smtp, twilio, whatsapp, slack or webhook")
            .word(None);
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
        let Some(channel) = carried(reader, &section, kind) else { continue };
        let weight = reader.within(&section, "weight").number(None, 0.01..=1_000.0);
        let place = (ranks.next(channel, weight.is_some()), weight.unwrap_or(1.0));
        let of_environment = from_environment.then_some(());
        providers.extend(one(reader, &section, name, kind, channel, place, of_environment));
    }
    providers
}

/// The last place that was given out in each channel, and whether it is a set's.
#[derive(Default)]
struct Ranks(BTreeMap<Channel, (u32, bool)>);

impl Ranks {
    /// The place of a channel's next provider.
    fn next(&mut self, channel: Channel, weighted: bool) -> u32 {
        let (rank, in_set) = self.0.entry(channel).or_default();
        if !(weighted && *in_set) {
            *rank += 1;
        }
        *in_set = weighted;
        *rank
    }
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

/// What a provider carries.
fn carried(reader: &mut Reader<'_>, section: &Section, kind: ProviderKind) -> Option<Channel> {
    match kind {
        ProviderKind::Resend | ProviderKind::SendGrid | ProviderKind::Smtp => Some(Channel::Email),
        ProviderKind::Twilio => Some(Channel::Sms),
        ProviderKind::WhatsApp => Some(Channel::WhatsApp),
        ProviderKind::Slack => Some(Channel::Slack),
        ProviderKind::Webhook => {
            let slot = reader.within(section, "channel").needed("set it to email, sms, whatsapp or slack");
            let carried = slot.word::<Carried>(None).map(|carried| carried.0);
            if carried.is_none()
                && let Some(path) = &section.path
            {
                // Without it nothing can be said about the other keys.
                reader.accept_all(path);
            }
            carried
        }
        // No word of the configuration means it.
        ProviderKind::Unknown => None,
    }
}

/// The providers that well-known variables speak of, in a fixed order.
fn named_by_environment(reader: &mut Reader<'_>) -> Vec<(Section, String, ProviderKind)> {
    let signs: [(ProviderKind, &[&str]); 6] = [
        (ProviderKind::Resend, &["RESEND_API_KEY"]),
        (ProviderKind::SendGrid, &["SENDGRID_API_KEY"]),
        (ProviderKind::Smtp, &["SMTP_HOST"]),
        (ProviderKind::Twilio, &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
        (ProviderKind::WhatsApp, &["WHATSAPP_ACCESS_TOKEN", "WHATSAPP_PHONE_NUMBER_ID"]),
        (ProviderKind::Slack, &["SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL"]),
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

pub(super) fn one(
    reader: &mut Reader<'_>,
    section: &Section,
    name: String,
    kind: ProviderKind,
    channel: Channel,
    (rank, weight): (u32, f64),
    from_environment: Option<()>,
) -> Option<ProviderSettings> {
    let sender = match channel {
        Channel::Sms => check::sms_sender,
        Channel::Email => check::email,
        Channel::WhatsApp | Channel::Slack => check::line,
    };
    // Only a provider that the environment made takes its sender and server from there too.
    let made_by = |name: &'static str| from_environment.map(|()| name);
    let sender_variable = if kind == ProviderKind::Twilio { made_by("TWILIO_FROM") } else { None };
    // A bot and a telephone number at WhatsApp are their own senders.
    let has_sender = !matches!(kind, ProviderKind::WhatsApp | ProviderKind::Slack);
    let from =
        if has_sender { reader.within(section, "from").fallback(sender_variable).text(None, sender) } else { None };
    let timeout = reader.within(section, "timeout_ms").integer(10_000_u64, 100..=120_000);
    let rate = match kind {
        ProviderKind::Resend => Some(RESEND_RATE),
        ProviderKind::Slack => Some(SLACK_RATE),
        ProviderKind::WhatsApp => Some(WHATSAPP_RATE),
        _ => None,
    };
    let rate_per_second = reader.within(section, "rate_per_second").number(rate, 0.01..=100_000.0);
    let usual_burst = if matches!(kind, ProviderKind::Resend | ProviderKind::Slack) { 5 } else { 50 };
    let burst = reader.within(section, "burst").integer(usual_burst, 1..=100_000);
    let (usual_in_flight, usual_batch) = match kind {
        ProviderKind::Resend => (100, RESEND_BATCH),
        ProviderKind::Smtp => (8, 1),
        _ => (100, 1),
    };
    let max_in_flight = reader.within(section, "max_in_flight").integer(usual_in_flight, 1..=10_000);
    let batch_size = reader.within(section, "batch_size").integer(usual_batch, 1..=usual_batch);
    let unit_price = reader.within(section, "unit_price").number(Some(0.0), 0.0..=1_000.0).unwrap_or_default();
    let currency = reader.within(section, "currency").text(Some("USD"), check::currency).unwrap_or_default();
    let dkim_selector = match kind {
        ProviderKind::Resend => reader.within(section, "dkim_selector").text(Some("resend"), check::host),
        ProviderKind::SendGrid => reader.within(section, "dkim_selector").text(Some("s1"), check::host),
        ProviderKind::Smtp => reader.within(section, "dkim_selector").text(None, check::host),
        _ => None,
    };
    let ca_file = reader.within(section, "ca_file").file(false);
    let reports = access::reports(reader, section, kind);
    let access = match kind {
        ProviderKind::Resend => access::resend(reader, section),
        ProviderKind::Twilio => access::twilio(reader, section),
        ProviderKind::Smtp => access::smtp(reader, section, &made_by),
        ProviderKind::SendGrid => access::sendgrid(reader, section),
        ProviderKind::Slack => access::slack(reader, section),
        ProviderKind::WhatsApp => access::whatsapp(reader, section),
        ProviderKind::Webhook => access::webhook(reader, section),
        // No word of the configuration means it.
        ProviderKind::Unknown => None,
    }?;
    Some(ProviderSettings {
        name,
        kind,
        channel,
        rank,
        weight,
        from,
        timeout: Duration::from_millis(timeout),
        rate_per_second,
        burst,
        max_in_flight,
        batch_size,
        unit_price,
        currency,
        dkim_selector,
        ca_file,
        reports,
        access,
    })
}
