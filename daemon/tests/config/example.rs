//! The annotated example in `packaging/` names every key, with its default.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use usherd::config::{Loaded, Shown, Source, Sources};

use crate::{load, sources};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/config/usherd.toml")
}

fn values(loaded: &Loaded) -> BTreeMap<String, Shown> {
    loaded.entries.iter().map(|entry| (entry.key.to_string(), entry.value.clone())).collect()
}

#[test]
fn as_shipped_it_sets_exactly_the_defaults() {
    let shipped = load(&sources(Some(&example()), &[]));
    assert_eq!(values(&shipped), values(&load(&Sources::default())));
    for entry in shipped.entries {
        let has_default = matches!(entry.value, Shown::Plain(_));
        assert_eq!(matches!(entry.origin, Source::File(_)), has_default, "{} comes from {}", entry.key, entry.origin);
    }
}

/// Sets every key of the example: what is commented out as `#key = …`, and the files that it names, made anew.
fn with_everything_set(room: &Path) -> String {
    let etc = room.join("etc");
    fs::create_dir(&etc).unwrap();
    let mut whole = String::new();
    for line in fs::read_to_string(example()).unwrap().lines() {
        let key = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '['));
        let line = key.unwrap_or(line).replace("/etc/usher", etc.to_str().unwrap());
        if let Some((_, named)) = line.split_once("_file = ") {
            let path = PathBuf::from(named.trim_matches('"'));
            // Only a webhook's address has to look like what it is.
            let content = if named.contains("webhook-url") {
                "https://hooks.slack.com/services/T/B/x".to_owned()
            } else {
                "0123456789abcdef".repeat(4)
            };
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        whole.push_str(&line);
        whole.push('\n');
    }
    whole
}

#[test]
fn with_every_line_uncommented_it_names_every_key_and_still_means_the_defaults() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("usherd.toml");
    fs::write(&path, with_everything_set(room.path())).unwrap();
    let whole = load(&sources(Some(&path), &[]));
    assert_eq!(whole.warnings, []);

    // Every key that the daemon asks for occurs: for every kind of provider and an organisation too.
    for entry in &whole.entries {
        assert_ne!(entry.origin, Source::Default, "{} is missing from packaging/config/usherd.toml", entry.key);
    }
    let kinds: Vec<&str> = whole.config.providers.iter().map(|provider| provider.kind.as_str()).collect();
    assert_eq!(kinds, ["resend", "twilio", "smtp", "sendgrid", "whatsapp", "slack", "slack", "webhook"]);

    // What has a default is set to it.
    let named = values(&whole);
    for (key, default) in values(&load(&Sources::default())) {
        if matches!(default, Shown::Plain(_)) {
            assert_eq!(named.get(&key), Some(&default), "{key}");
        }
    }
    // The entries too: the same ones with nothing but what is needed.
    let bare = room.path().join("bare.toml");
    fs::write(
        &bare,
        "[[organisation]]\nname = \"smith-jones\"\n\
         [[provider]]\nname = \"resend-eu\"\nkind = \"resend\"\napi_key = \"k\"\n\
         [[provider]]\nname = \"twilio\"\nkind = \"twilio\"\nauth_token = \"t\"\n\
         account_sid = \"AC0123456789abcdef0123456789abcdef\"\n\
         [[provider]]\nname = \"smtp\"\nkind = \"smtp\"\nhost = \"mail.example.com\"\n\
         [[provider]]\nname = \"sendgrid\"\nkind = \"sendgrid\"\napi_key = \"k\"\n\
         [[provider]]\nname = \"whatsapp\"\nkind = \"whatsapp\"\nphone_number_id = \"1\"\naccess_token = \"t\"\n\
         [[provider]]\nname = \"slack\"\nkind = \"slack\"\nbot_token = \"t\"\n\
         [[provider]]\nname = \"slack-hook\"\nkind = \"slack\"\nwebhook_url = \"https://a.example/x\"\n\
         channel_id = \"C012AB3CD\"\n\
         [[provider]]\nname = \"sms-gateway\"\nkind = \"webhook\"\nchannel = \"sms\"\nurl = \"https://a.example\"\n\
         signing_secret = \"0123456789abcdef0123456789abcdef\"\n",
    )
    .unwrap();
    fs::set_permissions(&bare, fs::Permissions::from_mode(0o600)).unwrap();
    let mut compared = 0;
    for entry in load(&sources(Some(&bare), &[])).entries {
        if entry.origin == Source::Default && matches!(entry.value, Shown::Plain(_)) {
            assert_eq!(named.get(entry.key.as_str()), Some(&entry.value), "{}", entry.key);
            compared += 1;
        }
    }
    assert!(compared > 80, "only {compared} defaults were compared");
}
