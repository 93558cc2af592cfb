//! Which ways fall together: whose service an address belongs to, which accounts are one, and whether what wakes somebody has two ways
//! that do not hang on the same thing. What cannot be proved from the configuration is taken to be shared.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::alerting::{AlertChannel, AlertWay, Alerting};
use super::provider::ProviderSettings;
use super::reader::Reader;
use super::{ProviderAccess, check};

/// Services that answer by several names: Slack's API and its webhooks fail together, and so do an API and the same company's SMTP.
const SERVICES: [(&str, &str); 6] = [
    ("slack.com", "Slack"),
    ("resend.com", "Resend"),
    ("sendgrid.com", "SendGrid"),
    ("sendgrid.net", "SendGrid"),
    ("twilio.com", "Twilio"),
    ("facebook.com", "Meta"),
];

/// Where a provider is reached, with the word for what is spoken there.
fn address(access: &ProviderAccess) -> (&'static str, &str) {
    match access {
        ProviderAccess::Resend { base_url, .. } => ("resend", base_url.as_str()),
        ProviderAccess::Twilio { base_url, .. } => ("twilio", base_url.as_str()),
        ProviderAccess::SendGrid { base_url, .. } => ("sendgrid", base_url.as_str()),
        ProviderAccess::SlackBot { base_url, .. } => ("slack", base_url.as_str()),
        // The path is the secret; only the host is ever shown.
        ProviderAccess::SlackWebhook { webhook_url, .. } => ("slack", webhook_url.expose_secret()),
        ProviderAccess::WhatsApp { base_url, .. } => ("whatsapp", base_url.as_str()),
        ProviderAccess::Webhook { url, .. } => ("webhook", url.as_str()),
        ProviderAccess::Smtp { host, .. } => ("smtp", host.as_str()),
    }
}

/// What an alert channel hangs on: two that name the same thing here fall together.
pub(super) fn domain(way: &AlertWay) -> String {
    let (kind, address) = match way {
        AlertWay::Webhook { url, .. } => ("webhook", url.as_str()),
        AlertWay::Provider(provider) => address(&provider.access),
    };
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // An IPv6 address has colons of its own, and stands in brackets before a port.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => {
            if host.contains(':') && !host.starts_with('[') { authority } else { host }
        }
        _ => authority,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // On this machine everything has one address: the port and the kind tell apart what stands behind it.
    if check::is_loopback(&host) {
        return format!("{kind} at {authority}");
    }
    let belongs = |of: &str| host.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    SERVICES.iter().find(|(of, _)| belongs(of)).map_or(host.clone(), |(_, service)| (*service).to_owned())
}

/// Whether two ways use one account: what is suspended, unpaid or throttled for the one is so for the other.
fn share_account(one: &ProviderAccess, other: &ProviderAccess) -> bool {
    use ProviderAccess::{Resend, SendGrid, SlackBot, SlackWebhook, Smtp, Twilio, Webhook, WhatsApp};
    match (one, other) {
        (Resend { api_key: one, .. }, Resend { api_key: other, .. })
        | (SendGrid { api_key: one, .. }, SendGrid { api_key: other, .. })
        | (SlackBot { bot_token: one, .. }, SlackBot { bot_token: other, .. })
        | (SlackWebhook { webhook_url: one, .. }, SlackWebhook { webhook_url: other, .. }) => {
            one.expose_secret() == other.expose_secret()
        }
        (Twilio { account_sid: one, .. }, Twilio { account_sid: other, .. })
        | (WhatsApp { phone_number_id: one, .. }, WhatsApp { phone_number_id: other, .. })
        | (Webhook { url: one, .. }, Webhook { url: other, .. }) => one == other,
        (Smtp { host, login, .. }, Smtp { host: other_host, login: other, .. }) => {
            let (user, other) = (login.as_ref().map(|(user, _)| user), other.as_ref().map(|(user, _)| user));
            host.eq_ignore_ascii_case(other_host) && user == other
        }
        _ => false,
    }
}

/// Whatever wakes somebody goes by two ways that do not fall together, one of them at least by an account that no campaign uses; or
/// somebody has said that less is enough.
pub(super) fn prove(reader: &mut Reader<'_>, alerting: &Alerting, providers: &[ProviderSettings]) {
    let named = |name: &String| alerting.channels.iter().find(|channel| channel.name == *name);
    let of_page: Vec<&AlertChannel> = alerting.page.iter().filter_map(named).collect();
    if of_page.is_empty() {
        return;
    }
    let domains: BTreeSet<String> = of_page.iter().map(|channel| domain(&channel.way)).collect();
    let mut weak: Vec<(String, &str)> = Vec::new();
    if domains.len() == 1 {
        let domain = domains.first().map_or("", String::as_str);
        weak.push((
            format!("has no way that does not hang on {domain}: when that breaks, nobody is told"),
            "add a channel by another provider, or name whoever accepts this in alerting.accept_single_channel",
        ));
    }
    let lent = |channel: &&AlertChannel| {
        let AlertWay::Provider(way) = &channel.way else { return None };
        let owner = providers.iter().find(|provider| share_account(&provider.access, &way.access))?;
        Some(format!("{} with provider.{}", channel.name, owner.name))
    };
    let shared: Vec<String> = of_page.iter().filter_map(lent).collect();
    if shared.len() == of_page.len() {
        weak.push((
            format!(
                "has only channels that share an account with campaigns ({}): what stops these stops it",
                shared.join(", ")
            ),
            "give one of them an account of its own, or name whoever accepts this in alerting.accept_single_channel",
        ));
    }
    for (problem, remedy) in weak {
        match &alerting.accepted_by {
            None => reader.reject("alerting.page", &problem, remedy.to_owned()),
            Some(who) => reader.warn("alerting.page", format!("{problem}; {who} accepts that")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn webhook(url: &str) -> AlertWay {
        AlertWay::Webhook { url: url.to_owned(), token: None, ca_file: None }
    }

    #[test]
    fn names_of_one_service_are_one_and_ports_make_no_second_one() {
        for (url, expected) in [
            ("https://hooks.slack.com/services/T/B/x", "Slack"),
            ("https://slack.com", "Slack"),
            ("https://Slack.com./api", "Slack"),
            ("https://notslack.com", "notslack.com"),
            ("https://slack.com.evil.example", "slack.com.evil.example"),
            ("https://api.sendgrid.com", "SendGrid"),
            ("https://smtp.sendgrid.net", "SendGrid"),
            ("https://ops.example:9093/hook", "ops.example"),
            ("https://OPS.example:9094", "ops.example"),
            ("https://[2001:db8::1]:9093/x", "[2001:db8::1]"),
            ("https://[2001:db8::1]", "[2001:db8::1]"),
            ("http://127.0.0.1:9093/hook", "webhook at 127.0.0.1:9093"),
            ("http://[::1]:9093", "webhook at [::1]:9093"),
        ] {
            assert_eq!(domain(&webhook(url)), expected, "{url}");
        }
    }

    /// Loads a file of these lines; what is said about `alerting.page`, or nothing.
    fn said(lines: &str) -> Result<Vec<String>, String> {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("usherd.toml");
        std::fs::write(&path, lines).unwrap();
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        match Config::load(&Sources { file: Some(path), ..Sources::default() }) {
            Ok(loaded) => {
                let about = |warning: &&crate::config::Warning| warning.key.as_str() == "alerting.page";
                Ok(loaded.warnings.iter().filter(about).map(|warning| warning.text.clone()).collect())
            }
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    const BOT: &str = "[[alert_channel]]\nname = \"bot\"\nkind = \"slack\"\nto = \"C1\"\nbot_token = \"xoxb-alerts\"\n";
    const HOOK: &str = "[[alert_channel]]\nname = \"hook\"\nkind = \"slack\"\n\
                        webhook_url = \"https://hooks.slack.com/services/T/B/x\"\nchannel_id = \"C1\"\n";
    const MAIL: &str = "[[alert_channel]]\nname = \"mail\"\nkind = \"resend\"\nto = \"ops@usher.example\"\n\
                        from = \"alerts@usher.example\"\napi_key = \"re_alerts\"\n";

    fn provider(kind: &str, credential: &str) -> String {
        format!("[[provider]]\nname = \"{kind}\"\nkind = \"{kind}\"\n{credential}\n")
    }

    #[test]
    fn a_bot_and_a_webhook_of_slack_are_one_way() {
        let both = format!("[alerting]\npage = \"bot, hook\"\n{BOT}{HOOK}");
        let error = said(&both).unwrap_err();
        assert!(error.contains("alerting.page") && error.contains("hang on Slack"), "{error}");
        assert_eq!(said(&format!("[alerting]\npage = \"bot, mail\"\n{BOT}{MAIL}")), Ok(vec![]));
        let accepted = format!("[alerting]\npage = \"bot, hook\"\naccept_single_channel = \"Ada\"\n{BOT}{HOOK}");
        assert!(said(&accepted).unwrap()[0].ends_with("Ada accepts that"));
    }

    #[test]
    fn one_channel_of_a_page_has_an_account_that_no_campaign_uses() {
        let page = format!("[alerting]\npage = \"bot, mail\"\n{BOT}{MAIL}");
        let slack = provider("slack", "bot_token = \"xoxb-alerts\"");
        let resend = provider("resend", "api_key = \"re_alerts\"");
        assert_eq!(said(&format!("{page}{resend}")), Ok(vec![]), "the bot is still alone");
        let error = said(&format!("{page}{resend}{slack}")).unwrap_err();
        assert!(error.contains("bot with provider.slack, mail with provider.resend"), "{error}");
        assert!(!error.contains("re_alerts") && !error.contains("xoxb"), "{error}");
        let own = provider("resend", "api_key = \"re_campaigns\"");
        assert_eq!(said(&format!("{page}{own}{slack}")), Ok(vec![]));
    }
}
