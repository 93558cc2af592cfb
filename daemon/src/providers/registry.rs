//! Every kind of provider, one line each.

use std::sync::Arc;

use usher_common::model::ProviderKind;

use super::Provider;
use super::resend::Resend;
use super::settings::{BuildError, ProviderConfig};
use super::smtp::Smtp;
use super::twilio::Twilio;

/// Sets up the provider that `config` describes. Opens no connection: a provider that is down can be set up.
pub fn build(config: &ProviderConfig) -> Result<Arc<dyn Provider>, BuildError> {
    config.check()?;
    Ok(match config.kind {
        ProviderKind::Resend => Arc::new(Resend::new(config)?),
        ProviderKind::Twilio => Arc::new(Twilio::new(config)?),
        ProviderKind::Smtp => Arc::new(Smtp::new(config)?),
        ProviderKind::Unknown => return Err(BuildError::Kind { provider: config.name.clone() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::settings::SmtpConfig;

    fn complete(kind: ProviderKind) -> ProviderConfig {
        let mut config = ProviderConfig::named("p", kind);
        config.secret = Some("s".into());
        config.account = Some("AC1".to_owned());
        config.smtp = Some(SmtpConfig::at("mail.example"));
        config
    }

    #[test]
    fn every_kind_is_built_and_says_so() {
        for kind in [ProviderKind::Resend, ProviderKind::Twilio, ProviderKind::Smtp] {
            let config = complete(kind);
            let provider = build(&config).unwrap();
            assert_eq!((provider.kind(), provider.name()), (kind, "p"));
            assert_eq!(Some(provider.channel()), config.channel());
        }
        assert!(matches!(build(&complete(ProviderKind::Unknown)), Err(BuildError::Kind { .. })));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (kind, key) in
            [(ProviderKind::Resend, "secret"), (ProviderKind::Twilio, "account"), (ProviderKind::Smtp, "smtp")]
        {
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
        for config in [resend, smtp] {
            assert!(matches!(build(&config), Err(BuildError::Unprotected { .. })));
        }
        let mut local = complete(ProviderKind::Resend);
        local.base_url = Some("http://127.0.0.1:1".to_owned());
        assert!(build(&local).is_ok());
    }
}
