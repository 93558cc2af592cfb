//! Alert channels: what each needs before it can tell anybody, whose credentials it never takes, and who names them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use usherd::config::{ProviderAccess, Source};

use crate::{entry, load, refuse, sources};

fn file(room: &Path, lines: &str) -> PathBuf {
    let path = room.join("usherd.toml");
    fs::write(&path, lines).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A channel of every kind, complete.
const ALL: [(&str, &str); 6] = [
    ("bot", "kind = \"slack\"\nto = \"C012AB3CD\"\nbot_token = \"xoxb-a\""),
    ("mail", "kind = \"resend\"\nto = \"ops@usher.example\"\nfrom = \"alerts@usher.example\"\napi_key = \"re_a\""),
    ("mail-2", "kind = \"sendgrid\"\nto = \"ops@usher.example\"\nfrom = \"alerts@usher.example\"\napi_key = \"SG.a\""),
    ("relay", "kind = \"smtp\"\nto = \"ops@usher.example\"\nfrom = \"alerts@usher.example\"\nhost = \"mail.example\""),
    (
        "text",
        "kind = \"twilio\"\nto = \"+441632960000\"\nfrom = \"+441632960001\"\nauth_token = \"t\"\n\
         account_sid = \"AC0123456789abcdef0123456789abcdef\"",
    ),
    ("hook", "kind = \"alertmanager\"\nurl = \"https://alerts.example/hook\""),
];

fn channel(name: &str, lines: &str) -> String {
    format!("[[alert_channel]]\nname = \"{name}\"\n{lines}\n")
}

#[test]
fn every_kind_of_channel_loads_and_none_without_what_it_needs() {
    let room = tempfile::tempdir().unwrap();
    for (name, lines) in ALL {
        let whole = file(room.path(), &channel(name, lines));
        assert_eq!(load(&sources(Some(&whole), &[])).config.alerting.channels[0].name, name);
        for left_out in lines.lines().skip(1) {
            let rest: Vec<&str> = lines.lines().filter(|line| *line != left_out).collect();
            let key = left_out.split_once(" = ").unwrap().0;
            let error = refuse(&sources(Some(&file(room.path(), &channel(name, &rest.join("\n")))), &[]));
            assert!(error.contains(&format!("alert_channel.{name}.{key} is not set")), "{name} without {key}: {error}");
        }
    }
}

#[test]
fn an_alert_is_for_somebody_who_can_be_reached() {
    let room = tempfile::tempdir().unwrap();
    for (name, wrong, problem) in [
        ("text", "to = \"SMITHS\"", "is no telephone number"),
        ("text", "to = \"12345\"", "is no telephone number"),
        ("text", "to = \"+0441632960000\"", "is no telephone number"),
        ("bot", "to = \"#ops\"", "is no id of a channel or member"),
        ("mail", "to = \"ops\"", "is no e-mail address"),
    ] {
        let lines = ALL.iter().find(|(one, _)| *one == name).unwrap().1;
        let old = lines.lines().find(|line| line.starts_with("to = ")).unwrap();
        let error = refuse(&sources(Some(&file(room.path(), &channel(name, &lines.replace(old, wrong)))), &[]));
        assert!(error.contains(problem), "{wrong}: {error}");
    }
}

#[test]
fn a_channel_takes_no_credential_of_the_campaigns() {
    let env = [
        ("RESEND_API_KEY", "re_campaigns"),
        ("SLACK_BOT_TOKEN", "xoxb-campaigns"),
        ("TWILIO_AUTH_TOKEN", "campaigns"),
        ("SENDGRID_API_KEY", "SG.campaigns"),
    ];
    let room = tempfile::tempdir().unwrap();
    for (name, secret) in [("mail", "api_key"), ("bot", "bot_token"), ("text", "auth_token"), ("mail-2", "api_key")] {
        let lines = ALL.iter().find(|(one, _)| *one == name).unwrap().1;
        let rest: Vec<&str> = lines.lines().filter(|line| !line.starts_with(secret)).collect();
        let error = refuse(&sources(Some(&file(room.path(), &channel(name, &rest.join("\n")))), &env));
        assert!(error.contains("credentials of its own") && !error.contains("campaigns"), "{error}");
    }
    // Those of a provider of the same name are another file.
    let credentials = room.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("usher-mail-api-key"), "re_campaigns").unwrap();
    fs::write(credentials.join("usher-alert-mail-api-key"), "re_alerts").unwrap();
    let lines = "kind = \"resend\"\nto = \"ops@usher.example\"\nfrom = \"alerts@usher.example\"";
    let both = format!("[[provider]]\nname = \"mail\"\nkind = \"resend\"\n{}", channel("mail", lines));
    let path = file(room.path(), &both);
    let mut all = sources(Some(&path), &[]);
    all.credentials = Some(credentials);
    let loaded = load(&all);
    let origin = |key: &str| entry(&loaded, key).origin.clone();
    assert_eq!(origin("provider.mail.api_key"), Source::Credential("usher-mail-api-key".to_owned()));
    assert_eq!(origin("alert_channel.mail.api_key"), Source::Credential("usher-alert-mail-api-key".to_owned()));
    // Providers take the well-known variables as before.
    let path =
        file(room.path(), &format!("{}[[provider]]\nname = \"r\"\nkind = \"resend\"\n", channel("hook", ALL[5].1)));
    let loaded = load(&sources(Some(&path), &env));
    assert!(matches!(loaded.config.providers[0].access, ProviderAccess::Resend { .. }));
}

#[test]
fn routes_name_channels_from_the_environment_too() {
    let room = tempfile::tempdir().unwrap();
    let path = file(room.path(), &format!("{}{}", channel("hook", ALL[5].1), channel("bot", ALL[0].1)));
    let env = [("USHER_ALERTING_PAGE", "hook, bot"), ("USHER_ALERTING_TICKET", "bot")];
    let alerting = load(&sources(Some(&path), &env)).config.alerting;
    assert_eq!((alerting.page, alerting.ticket), (vec!["hook".to_owned(), "bot".to_owned()], vec!["bot".to_owned()]));
    let error = refuse(&sources(Some(&path), &[("USHER_ALERTING_PAGE", "hook, pager")]));
    assert!(error.contains("names `pager`, which is no alert channel"), "{error}");
}
