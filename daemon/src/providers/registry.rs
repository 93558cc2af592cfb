//! Every kind of provider, one line each.

use std::sync::Arc;

use usher_common::model::ProviderKind;

use super::Provider;
use super::resend::Resend;
use super::sendgrid::SendGrid;
use super::settings::{BuildError, ProviderConfig};
use super::slack::Slack;
use super::smtp::Smtp;
use super::twilio::Twilio;
use super::webhook::Webhook;
use super::whatsapp::WhatsApp;

/// Sets up the provider that `config` describes. Opens no connection: a provider that is down can be set up.
pub fn build(config: &ProviderConfig) -> Result<Arc<dyn Provider>, BuildError> {
    config.check()?;
    Ok(match config.kind {
        ProviderKind::Resend => Arc::new(Resend::new(config)?),
        ProviderKind::Twilio => Arc::new(Twilio::new(config)?),
        ProviderKind::Smtp => Arc::new(Smtp::new(config)?),
        ProviderKind::SendGrid => Arc::new(SendGrid::new(config)?),
        ProviderKind::Slack => Arc::new(Slack::new(config)?),
        ProviderKind::WhatsApp => Arc::new(WhatsApp::new(config)?),
        ProviderKind::Webhook => Arc::new(Webhook::new(config)?),
        ProviderKind::Unknown => return Err(BuildError::Kind { provider: config.name.clone() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::settings::{SlackWebhookConfig, SmtpConfig, WebhookConfig};

    const KINDS: [ProviderKind; 7] = [
        ProviderKind::Resend,
        ProviderKind::Twilio,
        ProviderKind::Smtp,
        ProviderKind::SendGrid,
        ProviderKind::Slack,
        ProviderKind::WhatsApp,
        ProviderKind::Webhook,
    ];

    fn complete(kind: ProviderKind) -> ProviderConfig {
        let mut config = ProviderConfig::named("p", kind);
        config.secret = Some("s".into());
        config.account = Some("1".to_owned());
        config.smtp = Some(SmtpConfig::at("mail.example"));
        config.webhook =
            Some(WebhookConfig::at("https://gateway.example/send", usher_common::model::Channel::Sms, "s".into()));
        config
    }

    #[test]
    fn every_kind_is_built_and_says_so() {
        for kind in KINDS {
            let config = complete(kind);
            let provider = build(&config).unwrap();
            assert_eq!((provider.kind(), provider.name()), (kind, "p"));
            assert_eq!(Some(provider.channel()), config.channel());
        }
        assert!(matches!(build(&complete(ProviderKind::Unknown)), Err(BuildError::Kind { .. })));
    }

    #[test]
    fn the_page_on_adding_a_provider_names_only_what_is_there() {
        let page = include_str!("../../../docs/adding-a-provider.md");
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let in_quotes = page.split('`').skip(1).step_by(2);
        let paths: Vec<&str> = in_quotes.filter(|text| text.contains('/') && !text.contains(['<', ' '])).collect();
        assert!(paths.len() > 12, "{paths:?}");
        for path in paths {
            assert!(top.join(path).exists(), "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let keys = ["secret", "account", "smtp", "secret", "secret", "account", "webhook"];
        for (kind, key) in KINDS.into_iter().zip(keys) {
            let error = build(&ProviderConfig::named("p", kind)).err().expect("incomplete");
            assert!(matches!(error, BuildError::Missing { key: named, .. } if named == key), "{error}");
        }
    }

    #[test]
    fn nothing_goes_unprotected_over_a_network() {
        let mut resend = complete(ProviderKind::Resend);
        resend.base_url = Some("http://api.example".to_owned());
        let mut smtp = complete(ProviderKind::Smtp);
        smtp.smtp =
            Some(SmtpConfig { security: crate::providers::settings::Security::None, ..SmtpConfig::at("mail.example") });
        let mut webhook = complete(ProviderKind::Webhook);
        webhook.webhook =
            Some(WebhookConfig::at("http://gateway.example/send", usher_common::model::Channel::Sms, "s".into()));
        let mut slack = complete(ProviderKind::Slack);
        slack.slack_webhook =
            Some(SlackWebhookConfig { url: "http://hooks.example/T/B/x".into(), channel: "C1".to_owned() });
        for config in [resend, smtp, webhook, slack] {
            assert!(matches!(build(&config), Err(BuildError::Unprotected { .. })));
        }
        let mut local = complete(ProviderKind::Resend);
        local.base_url = Some("http://127.0.0.1:1".to_owned());
        assert!(build(&local).is_ok());
    }
}
