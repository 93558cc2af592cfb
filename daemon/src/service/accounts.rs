//! Provider accounts as the configuration describes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use secrecy::ExposeSecret as _;
use usher_common::model::ProviderKind;

use crate::api::HookCaller;
use crate::clock::Clock;
use crate::config::{ProviderAccess, ProviderSettings, ReturnMailbox, Secrets, SmtpSecurity};
use crate::dispatch::breaker;
use crate::dispatch::{Account, Setup};
use crate::providers::settings::{Security, SlackWebhookConfig, SmtpConfig, WebhookConfig};
use crate::providers::{BuildError, ProviderConfig, build};
use crate::receipts::verify::{Algorithm, Key, Scheme};

/// Sets up every provider of the configuration, in the order of its channel. Opens no connection. `public_url` is where
/// providers report to that are told with each message.
pub fn set_up(
    providers: &[ProviderSettings],
    suspect_after: u32,
    public_url: Option<&str>,
    clock: &Clock,
) -> Result<Vec<Arc<Account>>, BuildError> {
    let mut accounts = Vec::with_capacity(providers.len());
    for settings in providers {
        let mut config = adapter_config(settings);
        if settings.kind == ProviderKind::Twilio && config.status_callback.is_none() {
            config.status_callback = public_url.map(|base| callback(base, &settings.name));
        }
        let provider = build(&config)?;
        let setup = Setup {
            provider,
            rank: settings.rank,
            weight: settings.weight,
            rate: settings.rate_per_second,
            burst: settings.burst,
            max_in_flight: u32::try_from(config.in_flight()).unwrap_or(u32::MAX),
            batch: settings.batch_size as usize,
            unit_price: settings.unit_price,
            currency: settings.currency.clone(),
            breaker: breaker::Settings { suspect_after, ..breaker::Settings::default() },
        };
        // Chance only spreads retries; a seed of the moment is enough.
        let seed = getrandom::u64().unwrap_or_else(|_| clock.now().0 as u64);
        accounts.push(Arc::new(Account::new(setup, clock.clone(), seed)));
    }
    accounts.sort_by_key(|account| account.rank);
    Ok(accounts)
}

/// Where a provider reports to.
pub fn callback(public_url: &str, name: &str) -> String {
    format!("{public_url}{}{name}", crate::api::HOOKS)
}

/// The doors for what providers report: each by the keys that its configuration has.
pub fn callers(providers: &[ProviderSettings], secrets: &Secrets, public_url: &str) -> anyhow::Result<Vec<HookCaller>> {
    let mut callers = Vec::new();
    for settings in providers {
        let (scheme, own) = match &settings.access {
            ProviderAccess::Resend { .. } => (Scheme::Svix, None),
            ProviderAccess::SendGrid { .. } => (Scheme::SendGrid, None),
            ProviderAccess::Twilio { auth_token, .. } => (Scheme::Twilio, Some(auth_token)),
            ProviderAccess::WhatsApp { .. } => (Scheme::Meta, None),
            ProviderAccess::SlackBot { .. } | ProviderAccess::SlackWebhook { .. } => (Scheme::Slack, None),
            ProviderAccess::Webhook { signing_secret, .. } => {
                (Scheme::Usher, secrets.webhook_signature.as_ref().or(Some(signing_secret)))
            }
            ProviderAccess::Smtp { .. } => continue,
        };
        let reports = &settings.reports;
        let mut keys = Vec::new();
        for (key, secret) in [
            ("webhook_secret", reports.secret.as_ref().or(own)),
            ("webhook_secret_previous", reports.previous.as_ref()),
        ] {
            if let Some(secret) = secret {
                let key = Key::new(scheme, secret.expose_secret())
                    .map_err(|error| anyhow!("provider.{}.{key} {error}", settings.name))?;
                keys.push(key);
            }
        }
        if let Some(shared) = &reports.shared_key {
            keys.push(Key::twilio_shared(shared.expose_secret(), Algorithm::Sha256));
        }
        let url = match &settings.access {
            ProviderAccess::Twilio { status_callback: Some(url), .. } => url.clone(),
            _ => callback(public_url, &settings.name),
        };
        callers.push(HookCaller {
            name: settings.name.clone(),
            kind: settings.kind,
            channel: settings.channel,
            scheme,
            keys,
            verify_token: reports.verify_token.clone(),
            url,
        });
    }
    Ok(callers)
}

/// The SMTP providers, and whether the mailbox that their bounces come to is trusted.
pub fn mailboxes(providers: &[ProviderSettings]) -> BTreeMap<String, bool> {
    let mailbox = |settings: &ProviderSettings| match &settings.access {
        ProviderAccess::Smtp { mailbox, .. } => Some((settings.name.clone(), *mailbox == ReturnMailbox::Trusted)),
        _ => None,
    };
    providers.iter().filter_map(mailbox).collect()
}

/// What an adapter needs to know of a provider.
pub(super) fn adapter_config(settings: &ProviderSettings) -> ProviderConfig {
    let mut config = ProviderConfig::named(&settings.name, settings.kind);
    config.sender.clone_from(&settings.from);
    config.ca_file.clone_from(&settings.ca_file);
    config.request_timeout_ms = settings.timeout.as_millis() as u64;
    config.max_in_flight = settings.max_in_flight;
    config.batch_size = Some(settings.batch_size as usize);
    match &settings.access {
        ProviderAccess::Resend { base_url, api_key } => {
            debug_assert_eq!(settings.kind, ProviderKind::Resend);
            config.base_url = Some(base_url.clone());
            config.secret = Some(api_key.clone());
        }
        ProviderAccess::Twilio { base_url, account_sid, auth_token, messaging_service_sid, status_callback } => {
            config.base_url = Some(base_url.clone());
            config.account = Some(account_sid.clone());
            config.secret = Some(auth_token.clone());
            config.status_callback.clone_from(status_callback);
            // A Messaging Service chooses the sender itself, so it goes before a number.
            if messaging_service_sid.is_some() {
                config.sender.clone_from(messaging_service_sid);
            }
        }
        ProviderAccess::SendGrid { base_url, api_key } => {
            config.base_url = Some(base_url.clone());
            config.secret = Some(api_key.clone());
        }
        ProviderAccess::SlackBot { base_url, bot_token } => {
            config.base_url = Some(base_url.clone());
            config.secret = Some(bot_token.clone());
        }
        ProviderAccess::SlackWebhook { webhook_url, channel_id } => {
            config.slack_webhook = Some(SlackWebhookConfig { url: webhook_url.clone(), channel: channel_id.clone() });
        }
        ProviderAccess::WhatsApp { base_url, api_version, phone_number_id, access_token } => {
            config.base_url = Some(base_url.clone());
            config.api_version = Some(api_version.clone());
            config.account = Some(phone_number_id.clone());
            config.secret = Some(access_token.clone());
        }
        ProviderAccess::Webhook { url, signing_secret, token, keeps_keys_hours } => {
            let mut webhook = WebhookConfig::at(url, settings.channel, signing_secret.clone());
            webhook.keeps_keys_hours = *keeps_keys_hours;
            config.webhook = Some(webhook);
            config.secret.clone_from(token);
        }
        ProviderAccess::Smtp { host, port, security, login, hello_name, pool, mailbox: _ } => {
            let mut smtp = SmtpConfig::at(host);
            smtp.port = Some(*port);
            smtp.security = match security {
                SmtpSecurity::StartTls => Security::StartTls,
                SmtpSecurity::Tls => Security::Tls,
                SmtpSecurity::None => Security::None,
            };
            if let Some((user, password)) = login {
                smtp.user = Some(user.clone());
                smtp.password = Some(password.clone());
            }
            smtp.hello_name.clone_from(hello_name);
            smtp.pool = *pool as usize;
            config.smtp = Some(smtp);
        }
    }
    config
}
