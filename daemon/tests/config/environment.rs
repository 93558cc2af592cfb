//! Every name in the environment, which of two sources wins, and what a reload changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use usherd::config::{ProviderAccess, Reload, Shown, SmtpSecurity, Source, Sources, Table, reload};

use crate::{entry, load, refuse, sources};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const LONG: &str = "0123456789abcdef0123456789abcdef";
const SID: &str = "AC0123456789abcdef0123456789abcdef";

/// Names without our prefix, the key that each sets, and a value; `None` as shown: a secret.
const KNOWN_NAMES: [(&str, &str, &str, Option<&str>); 14] = [
    ("MAX_CONCURRENT_MESSAGES", "dispatch.max_concurrent_messages", "1500", Some("1500")),
    ("PROVIDER_FAILOVER_THRESHOLD", "dispatch.failover_threshold", "4", Some("4")),
    ("FAILOVER_TIMEOUT_MS", "dispatch.failover_timeout_ms", "20000", Some("20000")),
    ("HEALTH_CHECK_INTERVAL_MINUTES", "health.interval_minutes", "2", Some("2")),
    ("HEALTH_CHECK_TIMEOUT_MS", "health.timeout_ms", "5000", Some("5000")),
    ("SLA_VIOLATION_ALERT_THRESHOLD", "sla.violation_alert_threshold", "5", Some("5")),
    ("BACKUP_INTERVAL_HOURS", "backup.interval_hours", "6", Some("6")),
    ("BACKUP_ENCRYPTION_KEY", "backup.encryption_key", KEY, None),
    ("AUDIT_RETENTION_DAYS", "audit.retention_days", "3000", Some("3000")),
    ("AUDIT_ENCRYPTION_KEY", "audit.encryption_key", KEY, None),
    ("UNSUBSCRIBE_SECRET", "secrets.unsubscribe", LONG, None),
    ("WEBHOOK_SIGNATURE_SECRET", "secrets.webhook_signature", LONG, None),
    ("USHER_OPERATOR_TOKEN", "listen.operator_token", LONG, None),
    ("USHER_LISTEN_OPERATOR_TOKEN", "listen.operator_token", LONG, None),
];

#[test]
fn each_well_known_name_sets_its_key() {
    for (name, key, value, shown) in KNOWN_NAMES {
        let loaded = load(&sources(None, &[(name, value)]));
        let entry = entry(&loaded, key);
        assert_eq!(entry.origin, Source::Variable(name.to_owned()), "{key}");
        match (&entry.value, shown) {
            (Shown::Plain(text), Some(shown)) => assert_eq!(text, shown, "{name}"),
            (Shown::Secret(Some(_)), None) => {}
            (other, _) => panic!("{name} became {other:?}"),
        }
        let table = Table(&loaded).to_string();
        assert_eq!(table.contains(value), shown.is_some(), "{name} in the table:\n{table}");
    }
}

#[test]
fn each_key_has_a_prefixed_name() {
    // A value unlike the default for each; the loop below notices a key that is missing here.
    let values = [
        ("environment", "staging"),
        ("state_dir", "/srv/usher"),
        ("socket.path", "/srv/usher.sock"),
        ("socket.mode", "0600"),
        ("listen.operator", "[::1]:7301"),
        ("listen.operator_token", LONG),
        ("webhooks.listen", "[::1]:7302"),
        ("webhooks.public_url", "https://hooks.example"),
        ("log.format", "json"),
        ("log.level", "debug"),
        ("store.cache_mib", "65"),
        ("store.segment_mib", "65"),
        ("store.log_cap_mib", "4097"),
        ("store.checkpoint_minutes", "61"),
        ("store.compact_after_hours", "25"),
        ("store.min_free_mib", "513"),
        ("dispatch.max_concurrent_messages", "1001"),
        ("dispatch.per_campaign_in_flight", "999"),
        ("dispatch.batch_size", "101"),
        ("dispatch.absent_after_seconds", "601"),
        ("dispatch.user_messages_per_hour", "5"),
        ("dispatch.user_messages_per_day", "6"),
        ("dispatch.failover_threshold", "4"),
        ("dispatch.failover_timeout_ms", "30001"),
        ("health.interval_minutes", "2"),
        ("health.timeout_ms", "30001"),
        ("health.dns_server", "127.0.0.1:5353"),
        ("sla.violation_alert_threshold", "4"),
        ("alerting.accept_single_channel", "Ada Lovelace"),
        ("alerting.heartbeat_url", "https://alive.example/usher"),
        ("alerting.test_at", "10:30"),
        ("alerting.test_zone", "Europe/London"),
        ("backup.interval_hours", "2"),
        ("backup.encryption_key", KEY),
        ("audit.retention_days", "2558"),
        ("audit.encryption_key", KEY),
        ("secrets.unsubscribe", LONG),
        ("secrets.webhook_signature", LONG),
    ];
    let names: Vec<String> =
        values.iter().map(|(key, _)| format!("USHER_{}", key.to_uppercase().replace('.', "_"))).collect();
    let env: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values.map(|(_, value)| value)).collect();
    let loaded = load(&sources(None, &env));
    for entry in &loaded.entries {
        // A path that must exist; its own test is in `secrets.rs`.
        if entry.key.as_str() == "vault.root_key_file" {
            continue;
        }
        // They name entries of a list, and those come from a file; `alerting.rs` has them.
        if matches!(entry.key.as_str(), "alerting.page" | "alerting.ticket") {
            continue;
        }
        let at = values.iter().position(|(key, _)| *key == entry.key.as_str());
        let at = at.unwrap_or_else(|| panic!("{} is not in this test's table", entry.key));
        assert_eq!(entry.origin, Source::Variable(names[at].clone()));
    }
    assert_eq!(loaded.entries.len(), values.len() + 3);
    assert_eq!(loaded.config.environment, "staging");
    assert_eq!(loaded.config.store.cache_bytes, 65 << 20);
    assert_eq!(loaded.config.socket.mode, 0o600);
    assert!(loaded.config.listen.operator.is_some());
}

#[test]
fn the_environment_beats_the_file_and_blank_means_not_set() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("usherd.toml");
    fs::write(&path, "[dispatch]\nfailover_threshold = 7\n").unwrap();
    let with = |env: &[(&str, &str)]| load(&sources(Some(&path), env)).config.dispatch.failover_threshold;
    assert_eq!(with(&[]), 7);
    assert_eq!(with(&[("PROVIDER_FAILOVER_THRESHOLD", "")]), 7);
    assert_eq!(with(&[("PROVIDER_FAILOVER_THRESHOLD", "8")]), 8);
    assert_eq!(with(&[("PROVIDER_FAILOVER_THRESHOLD", "8"), ("USHER_DISPATCH_FAILOVER_THRESHOLD", "9")]), 9);
}

#[test]
fn what_a_variable_says_wrong_is_said_with_its_name() {
    let said = refuse(&sources(None, &[("FAILOVER_TIMEOUT_MS", "soon"), ("BACKUP_ENCRYPTION_KEY", "hunter2")]));
    assert_eq!(
        said,
        "environment variable BACKUP_ENCRYPTION_KEY: backup.encryption_key: is neither hexadecimal nor base64; make a \
         new one with: openssl rand -hex 32\n\
         environment variable FAILOVER_TIMEOUT_MS: dispatch.failover_timeout_ms = \"soon\": is out of bounds; set a \
         whole number from 1000 to 600000\n"
    );
}

#[test]
fn a_misspelt_variable_is_pointed_out() {
    let loaded = load(&sources(None, &[("USHER_STORE_CAHCE_MIB", "70"), ("USHER_CONFIG", "/x"), ("HOME", "/")]));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings
            .iter()
            .any(|text| text.starts_with("USHER_STORE_CAHCE_MIB:") && text.contains("USHER_STORE_CACHE_MIB?")),
        "{warnings:?}"
    );
    assert!(!warnings.iter().any(|text| text.contains("USHER_CONFIG") || text.contains("HOME")), "{warnings:?}");
}

#[test]
fn a_short_audit_retention_is_raised_and_said() {
    let loaded = load(&sources(None, &[("AUDIT_RETENTION_DAYS", "2555")]));
    assert_eq!(loaded.config.audit.retention_days, 2_557);
    assert!(loaded.warnings.iter().any(|warning| warning.key.as_str() == "audit.retention_days"));
    assert_eq!(entry(&loaded, "audit.retention_days").value, Shown::Plain("2557".to_owned()));
    assert!(!load(&Sources::default()).warnings.iter().any(|warning| warning.key.as_str().starts_with("audit")));
}

#[test]
fn well_known_names_alone_make_providers() {
    let env = [
        ("TWILIO_ACCOUNT_SID", SID),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_FROM", "+441632960000"),
        ("RESEND_API_KEY", "re_key"),
        ("SMTP_HOST", "mail.example.com"),
        ("SMTP_PORT", "465"),
        ("SMTP_USER", "usher"),
        ("SMTP_PASSWORD", "password"),
        ("SENDGRID_API_KEY", "SG.key"),
        ("WHATSAPP_ACCESS_TOKEN", "EAAG"),
        ("WHATSAPP_PHONE_NUMBER_ID", "106540352242922"),
        ("SLACK_BOT_TOKEN", "xoxb-1"),
        ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T/B/x"),
    ];
    let providers = load(&sources(None, &env)).config.providers;
    let order: Vec<(&str, u32)> = providers.iter().map(|one| (one.name.as_str(), one.rank)).collect();
    let expected = [("resend", 1), ("sendgrid", 2), ("smtp", 3), ("twilio", 1), ("whatsapp", 1), ("slack", 1)];
    assert_eq!(order, expected);
    assert!(matches!(providers[5].access, ProviderAccess::SlackBot { .. }), "a bot goes before a webhook");
    let ProviderAccess::WhatsApp { phone_number_id, api_version, .. } = &providers[4].access else { panic!() };
    assert_eq!((phone_number_id.as_str(), api_version.as_str()), ("106540352242922", "v23.0"));
    assert_eq!(providers[3].from.as_deref(), Some("+441632960000"));
    let ProviderAccess::Smtp { host, port, security, login, .. } = &providers[2].access else { panic!() };
    assert_eq!((host.as_str(), *port, *security), ("mail.example.com", 465, SmtpSecurity::Tls));
    assert_eq!(login.as_ref().map(|(user, _)| user.as_str()), Some("usher"));

    let said = refuse(&sources(None, &[("TWILIO_ACCOUNT_SID", SID)]));
    assert_eq!(
        said,
        "environment variable TWILIO_ACCOUNT_SID: provider.twilio.auth_token is not set; set auth_token_file, or \
         TWILIO_AUTH_TOKEN in the environment\n"
    );
}

#[test]
fn the_address_of_a_slack_webhook_alone_means_the_webhook_and_needs_its_channel() {
    let url = ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T/B/x");
    let said = refuse(&sources(None, &[url]));
    assert!(
        said.starts_with("environment variable SLACK_WEBHOOK_URL: provider.slack.channel_id is not set;"),
        "{said}"
    );
    let providers = load(&sources(None, &[url, ("SLACK_CHANNEL_ID", "C012AB3CD")])).config.providers;
    let [slack] = providers.as_slice() else { panic!() };
    let ProviderAccess::SlackWebhook { channel_id, .. } = &slack.access else { panic!() };
    assert_eq!(channel_id, "C012AB3CD");
    // Not even an address that cannot be used is shown: it is a secret.
    let said = refuse(&sources(None, &[("SLACK_WEBHOOK_URL", "http://hooks.slack.com/services/hush")]));
    assert!(said.contains("is not encrypted") && !said.contains("hush"), "{said}");
}

#[test]
fn well_known_names_fill_what_an_entry_leaves_out_and_nothing_else() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("usherd.toml");
    fs::write(
        &path,
        "[[provider]]\nname = \"one\"\nkind = \"resend\"\n[[provider]]\nname = \"two\"\nkind = \"resend\"\napi_key = \"own\"\n\
         [[provider]]\nname = \"mail\"\nkind = \"smtp\"\nhost = \"own.example\"\n",
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let env = [
        ("RESEND_API_KEY", "shared"),
        ("SMTP_HOST", "other.example"),
        ("SMTP_PORT", "2525"),
        ("TWILIO_ACCOUNT_SID", SID),
        ("USHER_PROVIDER_TWO_TIMEOUT_MS", "2500"),
    ];
    let loaded = load(&sources(Some(&path), &env));
    let origin = |key: &str| entry(&loaded, key).origin.clone();
    assert_eq!(origin("provider.one.api_key"), Source::Variable("RESEND_API_KEY".to_owned()));
    assert!(matches!(origin("provider.two.api_key"), Source::File(_)));
    assert!(matches!(origin("provider.mail.host"), Source::File(_)));
    assert_eq!(origin("provider.mail.port"), Source::Default);
    assert_eq!(loaded.config.providers.len(), 3, "entries of the file stand alone");
    assert_eq!(loaded.config.providers[1].timeout.as_millis(), 2_500);
}

#[test]
fn a_reload_says_what_takes_effect_and_what_waits() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = room.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        load(&sources(Some(Path::new(&path)), &[]))
    };
    let entries = |first: &str, second: &str, key: &str| {
        format!(
            "[[provider]]\nname = \"{first}\"\nkind = \"resend\"\napi_key = \"{key}\"\n\
             [[provider]]\nname = \"{second}\"\nkind = \"resend\"\napi_key = \"k\"\n"
        )
    };
    let text = |reload: Reload| {
        let join = |keys: Vec<usherd::config::Key>| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (join(reload.applied), join(reload.needs_restart))
    };
    let old = at("old", &format!("[log]\nlevel = \"info\"\n{}", entries("a", "b", "k")));

    let same = at("same", &entries("a", "b", "k"));
    assert!(reload(&old, &same).is_empty(), "a default that was spelt out is no change");

    let new = at("new", &format!("[log]\nlevel = \"debug\"\n[store]\ncache_mib = 128\n{}", entries("a", "b", "k")));
    assert_eq!(text(reload(&old, &new)), ("log.level".to_owned(), "store.cache_mib".to_owned()));

    let rotated = at("rotated", &entries("a", "b", "other"));
    assert_eq!(text(reload(&old, &rotated)), (String::new(), "provider.a.api_key".to_owned()));

    let turned = at("turned", &entries("b", "a", "k"));
    assert_eq!(text(reload(&old, &turned)), (String::new(), "provider".to_owned()));

    let gone = at("gone", "[[provider]]\nname = \"a\"\nkind = \"resend\"\napi_key = \"k\"\n");
    let (_, waits) = text(reload(&old, &gone));
    assert!(waits.contains("provider.b.name"), "{waits}");
}

#[test]
fn what_the_console_reads_is_no_mistake_and_what_nobody_reads_is_one() {
    let ours = load(&sources(None, &[("USHER_SOCKET", "/run/usher/usherd.sock"), ("USHER_PLAIN", "1")]));
    assert!(ours.warnings.iter().all(|w| !w.to_string().contains("USHER_")), "{:?}", ours.warnings);
    let other = load(&sources(None, &[("USHER_SOKET_PATH", "/x")]));
    assert!(other.warnings.iter().any(|w| w.to_string().contains("did you mean USHER_SOCKET_PATH?")));
}

#[test]
fn a_provider_without_a_sender_matters_to_organisations_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let warned = |sender: &str| {
        let file = folder.path().join("usherd.toml");
        let twilio = format!(
            "[[provider]]\nname = \"twilio\"\nkind = \"twilio\"\naccount_sid = \"{SID}\"\n\
             [[organisation]]\nname = \"ada\"\n{sender}\n"
        );
        fs::write(&file, twilio).unwrap();
        let loaded = load(&sources(Some(&file), &[("TWILIO_AUTH_TOKEN", LONG)]));
        loaded.warnings.iter().map(ToString::to_string).find(|w| w.contains("messaging_service_sid"))
    };
    assert!(warned("").is_some_and(|w| w.starts_with("provider.twilio: ") && w.contains("for ada:")));
    assert_eq!(warned("sms_sender = \"+441632960001\""), None);
}
