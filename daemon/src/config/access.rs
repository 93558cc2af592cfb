//! What only one kind of provider needs: where it is, and what it wants to see before it takes a message.
//!
//! Every secret is looked for in its credential, its file, the environment and the file itself; the well-known variables
//! (`RESEND_API_KEY`, `SLACK_BOT_TOKEN` …) fill what an entry leaves out.

use secrecy::SecretString;

use usher_common::model::ProviderKind;

use super::check;
use super::provider::ReportKeys;
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

/// Who can write to the mailbox that an SMTP provider's bounces come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnMailbox {
    /// Anybody: a report has to prove that it speaks of a letter of ours.
    Open,
    /// Nobody but a server that is trusted.
    Trusted,
}

impl Word for ReturnMailbox {
    const ALL: &'static [Self] = &[Self::Open, Self::Trusted];
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Trusted => "trusted",
        }
    }
}

/// How a message gets into Slack.
#[derive(Debug, Clone, Copy)]
enum SlackMode {
    /// By a bot, to any member or channel.
    Bot,
    /// By an incoming webhook, into its channel.
    Webhook,
}

impl Word for SlackMode {
    const ALL: &'static [Self] = &[Self::Bot, Self::Webhook];
    fn word(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Webhook => "webhook",
        }
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
    /// SendGrid.
    SendGrid {
        /// Where its API is, without a slash at the end.
        base_url: String,
        /// Its key.
        api_key: SecretString,
    },
    /// Slack, by a bot.
    SlackBot {
        /// Where its API is, without a slash at the end.
        base_url: String,
        /// The bot's token.
        bot_token: SecretString,
    },
    /// Slack, by an incoming webhook.
    SlackWebhook {
        /// Its address, which is the secret.
        webhook_url: SecretString,
        /// The id of the channel into which it posts.
        channel_id: String,
    },
    /// WhatsApp's Cloud API.
    WhatsApp {
        /// Where its API is, without a slash at the end.
        base_url: String,
        /// The version of the API, such as `v23.0`.
        api_version: String,
        /// The id of the telephone number that sends, in digits.
        phone_number_id: String,
        /// The access token.
        access_token: SecretString,
    },
    /// A gateway that takes Usher's own JSON.
    Webhook {
        /// Where it takes messages.
        url: String,
        /// Signs every request.
        signing_secret: SecretString,
        /// Presented as a bearer token, where the gateway wants one.
        token: Option<SecretString>,
        /// Hours for which it answers a repeated idempotency key with its first answer; 0 when it keeps none.
        keeps_keys_hours: u32,
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
        /// Who can write to the mailbox that its bounces come to.
        mailbox: ReturnMailbox,
    },
}

/// Gives the name of a variable, where variables made the provider.
pub(super) type MadeBy<'m> = &'m dyn Fn(&'static str) -> Option<&'static str>;

pub(super) fn resend(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let base_url = base_url(reader, section, "https://api.resend.com");
    let api_key = reader
        .within(section, "api_key")
        .credential(credential(section, "api-key"))
        .fallback(Some("RESEND_API_KEY"))
        .needed("set api_key_file, or RESEND_API_KEY in the environment")
        .secret(any_secret)?;
    Some(ProviderAccess::Resend { base_url, api_key })
}

pub(super) fn twilio(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
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

pub(super) fn smtp(reader: &mut Reader<'_>, section: &Section, made_by: MadeBy<'_>) -> Option<ProviderAccess> {
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
    let mailbox = reader.within(section, "mailbox").word(Some(ReturnMailbox::Open)).unwrap_or(ReturnMailbox::Open);
    Some(ProviderAccess::Smtp { host: host?, port, security, login: user.zip(password), hello_name, pool, mailbox })
}

pub(super) fn sendgrid(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let base_url = base_url(reader, section, "https://api.sendgrid.com");
    let api_key = reader
        .within(section, "api_key")
        .credential(credential(section, "api-key"))
        .fallback(Some("SENDGRID_API_KEY"))
        .needed("set api_key_file, or SENDGRID_API_KEY in the environment")
        .secret(any_secret)?;
    Some(ProviderAccess::SendGrid { base_url, api_key })
}

pub(super) fn slack(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    // An address of a webhook without a token can only mean the webhook.
    let only_hook = section.path.is_none() && reader.variable("SLACK_BOT_TOKEN").is_none();
    let usual =
        if only_hook || reader.is_written(section, "webhook_url") { SlackMode::Webhook } else { SlackMode::Bot };
    match reader.within(section, "mode").word(Some(usual)).unwrap_or(usual) {
        SlackMode::Bot => {
            let base_url = base_url(reader, section, "https://slack.com");
            let bot_token = reader
                .within(section, "bot_token")
                .credential(credential(section, "bot-token"))
                .fallback(Some("SLACK_BOT_TOKEN"))
                .needed("set bot_token_file, or SLACK_BOT_TOKEN in the environment; or mode = \"webhook\"")
                .secret(any_secret)?;
            Some(ProviderAccess::SlackBot { base_url, bot_token })
        }
        SlackMode::Webhook => {
            let webhook_url = reader
                .within(section, "webhook_url")
                .credential(credential(section, "webhook-url"))
                .fallback(Some("SLACK_WEBHOOK_URL"))
                .needed("set webhook_url_file, or SLACK_WEBHOOK_URL in the environment")
                .secret(|text| check::endpoint(text).and_then(|()| any_secret(text)));
            let channel_id = reader
                .within(section, "channel_id")
                .fallback(Some("SLACK_CHANNEL_ID"))
                .needed(
                    "set it to the id of the channel that the webhook posts into, or SLACK_CHANNEL_ID in the \
                     environment: only messages for that channel go by it",
                )
                .text(None, slack_channel);
            Some(ProviderAccess::SlackWebhook { webhook_url: webhook_url?, channel_id: channel_id? })
        }
    }
}

pub(super) fn whatsapp(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let base_url = base_url(reader, section, "https://graph.facebook.com");
    let api_version = reader.within(section, "api_version").text(Some("v23.0"), version).unwrap_or_default();
    let phone_number_id = reader
        .within(section, "phone_number_id")
        .fallback(Some("WHATSAPP_PHONE_NUMBER_ID"))
        .needed(
            "set it, or WHATSAPP_PHONE_NUMBER_ID in the environment; it stands beside the number in Meta's API setup",
        )
        .text(None, digits);
    let access_token = reader
        .within(section, "access_token")
        .credential(credential(section, "access-token"))
        .fallback(Some("WHATSAPP_ACCESS_TOKEN"))
        .needed("set access_token_file, or WHATSAPP_ACCESS_TOKEN in the environment")
        .secret(any_secret);
    Some(ProviderAccess::WhatsApp {
        base_url,
        api_version,
        phone_number_id: phone_number_id?,
        access_token: access_token?,
    })
}

pub(super) fn webhook(reader: &mut Reader<'_>, section: &Section) -> Option<ProviderAccess> {
    let url = reader
        .within(section, "url")
        .needed("set it to the address where the gateway takes messages, such as \"https://sms.example.com/usher\"")
        .text(None, check::endpoint);
    let signing_secret = reader
        .within(section, "signing_secret")
        .credential(credential(section, "signing-secret"))
        .needed("set signing_secret_file (openssl rand -hex 32), and give the gateway the same")
        .secret(signing_secret);
    let token = reader.within(section, "token").credential(credential(section, "token")).secret(any_secret);
    let keeps_keys_hours = reader.within(section, "keeps_keys_hours").integer(0, 0..=720);
    Some(ProviderAccess::Webhook { url: url?, signing_secret: signing_secret?, token, keeps_keys_hours })
}

/// What reports are believed by: under the name of this key, or that of the provider's own.
pub(super) fn reports(reader: &mut Reader<'_>, section: &Section, kind: ProviderKind) -> ReportKeys {
    if kind == ProviderKind::Smtp || kind == ProviderKind::Unknown {
        return ReportKeys::default();
    }
    let known = match kind {
        ProviderKind::Resend => Some("RESEND_WEBHOOK_SECRET"),
        ProviderKind::SendGrid => Some("SENDGRID_WEBHOOK_PUBLIC_KEY"),
        ProviderKind::WhatsApp => Some("WHATSAPP_APP_SECRET"),
        ProviderKind::Slack => Some("SLACK_SIGNING_SECRET"),
        _ => None,
    };
    let mut secret = |key: &str, name: &str, fallback: Option<&'static str>| {
        reader.within(section, key).credential(credential(section, name)).fallback(fallback).secret(any_secret)
    };
    let shared_key =
        if kind == ProviderKind::Twilio { secret("webhook_shared_key", "webhook-shared-key", None) } else { None };
    let verify_token = if kind == ProviderKind::WhatsApp {
        secret("webhook_verify_token", "webhook-verify-token", Some("WHATSAPP_VERIFY_TOKEN"))
    } else {
        None
    };
    ReportKeys {
        secret: secret("webhook_secret", "webhook-secret", known),
        previous: secret("webhook_secret_previous", "webhook-secret-previous", None),
        shared_key,
        verify_token,
    }
}

fn base_url(reader: &mut Reader<'_>, section: &Section, usual: &str) -> String {
    let url = reader.within(section, "base_url").text(Some(usual), check::endpoint);
    url.map_or_else(String::new, |url| url.trim_end_matches('/').to_owned())
}

/// `provider.resend-eu` and `api-key` make `usher-resend-eu-api-key`; `alert_channel.mail` makes `usher-alert-mail-api-key`, so that a
/// channel and a provider of one name do not share it.
fn credential(section: &Section, key: &str) -> String {
    let name = section.shown.rsplit('.').next().unwrap_or(&section.shown);
    let alert = if section.shown.starts_with("alert_channel") { "alert-" } else { "" };
    format!("usher-{alert}{name}-{key}")
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

/// As long as the secrets of this configuration that sign.
fn signing_secret(text: &str) -> Result<SecretString, Fault> {
    if text.chars().count() < 32 {
        return Err(Fault::new("is shorter than 32 characters", "make a new one with: openssl rand -hex 32"));
    }
    any_secret(text)
}

fn digits(text: &str) -> Result<(), Fault> {
    if text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(Fault::new("is no id of a telephone number", "copy it again: digits alone, and not the number itself"))
    }
}

fn version(text: &str) -> Result<(), Fault> {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits =
        text.strip_prefix('v').and_then(|rest| rest.split_once('.')).is_some_and(|(a, b)| number(a) && number(b));
    if fits { Ok(()) } else { Err(Fault::new("is no version of the API", "write it like v23.0")) }
}

fn slack_channel(text: &str) -> Result<(), Fault> {
    let fits = (2..=32).contains(&text.len())
        && text.starts_with(['C', 'G', 'D'])
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no channel's id", "copy it from the channel's details in Slack: it begins with C, G or D"))
    }
}
