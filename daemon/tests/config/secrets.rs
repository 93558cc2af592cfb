//! Where secrets come from, which source wins, and that no text repeats one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use usherd::config::{Source, Sources, Table};

use crate::{entry, load, refuse, sources};

const LONG: &str = "the-canary-is-a-bird-of-thirty-two-characters";

/// What a file holds, and its mode.
type Content<'c> = (&'c [u8], u32);

fn file(room: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = room.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn naming(room: &Path, secret: &Path) -> PathBuf {
    file(room, "usherd.toml", format!("[secrets]\nunsubscribe_file = \"{}\"\n", secret.display()).as_bytes(), 0o644)
}

#[test]
fn the_strongest_source_wins_and_the_others_are_named() {
    let room = tempfile::tempdir().unwrap();
    let named = file(room.path(), "named", format!("file-{LONG}\n").as_bytes(), 0o600);
    let text = format!("[secrets]\nunsubscribe_file = \"{}\"\nunsubscribe = \"inline-{LONG}\"\n", named.display());
    let path = file(room.path(), "usherd.toml", text.as_bytes(), 0o640);
    let credentials = room.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    // systemd's ACL shows as group bits.
    file(&credentials, "usher-unsubscribe-secret", format!("credential-{LONG}").as_bytes(), 0o440);

    let variable = format!("variable-{LONG}");
    let mut all = sources(Some(&path), &[("UNSUBSCRIBE_SECRET", &variable)]);
    all.credentials = Some(credentials);
    let used = |sources: &Sources| {
        let loaded = load(sources);
        let value = loaded.config.secrets.unsubscribe.as_ref().unwrap().expose_secret().to_owned();
        let told = loaded.warnings.iter().filter(|warning| warning.key.as_str() == "secrets.unsubscribe").count();
        (value, entry(&loaded, "secrets.unsubscribe").origin.clone(), told)
    };
    let name = "usher-unsubscribe-secret".to_owned();
    assert_eq!(used(&all), (format!("credential-{LONG}"), Source::Credential(name), 3));
    all.credentials = None;
    assert_eq!(used(&all), (format!("file-{LONG}"), Source::SecretFile(named.clone()), 2));
    file(room.path(), "usherd.toml", format!("[secrets]\nunsubscribe = \"inline-{LONG}\"\n").as_bytes(), 0o640);
    assert_eq!(used(&all), (variable, Source::Variable("UNSUBSCRIBE_SECRET".to_owned()), 1));
    all.env.clear();
    let (value, origin, told) = used(&all);
    assert_eq!((value, told), (format!("inline-{LONG}"), 0));
    assert!(matches!(origin, Source::File(_)));
}

#[test]
fn a_file_that_cannot_be_used_gets_a_sentence_of_its_own() {
    let room = tempfile::tempdir().unwrap();
    let at = room.path();
    let cases: [(&str, Option<Content<'_>>, &str); 5] = [
        ("missing", None, "does not exist; create it, or correct the path"),
        ("empty", Some((b" \n", 0o600)), "is empty; write the value into it"),
        ("bytes", Some((b"abc\xff", 0o600)), "is not UTF-8 text (first bad byte at offset 3); save it as UTF-8"),
        ("open", Some((LONG.as_bytes(), 0o640)), "lets others read a secret (mode 0640); run: chmod 600 /open"),
        (
            "wide-open",
            Some((LONG.as_bytes(), 0o644)),
            "lets others read a secret (mode 0644); run: chmod 600 /wide-open",
        ),
    ];
    for (name, content, sentence) in cases {
        let secret = at.join(name);
        if let Some((content, mode)) = content {
            file(at, name, content, mode);
        }
        let said = refuse(&sources(Some(&naming(at, &secret)), &[])).replace(&at.display().to_string(), "");
        assert_eq!(said, format!("/usherd.toml:2:20: secrets.unsubscribe: /{name} {sentence}\n"));
    }
    let said = refuse(&sources(Some(&naming(at, at)), &[])).replace(&at.display().to_string(), "");
    assert_eq!(said, "/usherd.toml:2:20: secrets.unsubscribe:  is a directory; name the file in it\n");
}

#[test]
fn a_configuration_that_holds_a_secret_is_not_for_everybody() {
    let room = tempfile::tempdir().unwrap();
    let text = format!("[secrets]\nunsubscribe = \"{LONG}\"\n");
    let path = file(room.path(), "usherd.toml", text.as_bytes(), 0o644);
    let said = refuse(&sources(Some(&path), &[])).replace(&room.path().display().to_string(), "");
    assert_eq!(
        said,
        "the configuration file /usherd.toml lets others read a secret (mode 0644); run: chmod 640 \
         /usherd.toml\n"
    );
    file(room.path(), "usherd.toml", text.as_bytes(), 0o640);
    load(&sources(Some(&path), &[]));
}

#[test]
fn the_root_key_is_a_path_and_its_credential_comes_first() {
    let room = tempfile::tempdir().unwrap();
    assert_eq!(load(&Sources::default()).config.vault.root_key_file, None);

    let key = file(room.path(), "root", b"key", 0o600);
    let env = [("USHER_VAULT_ROOT_KEY_FILE", key.to_str().unwrap())];
    let mut both = sources(None, &env);
    assert_eq!(load(&both).config.vault.root_key_file, Some(key.clone()));

    let handed = file(room.path(), "usher-root-key", b"key", 0o440);
    both.credentials = Some(room.path().to_owned());
    let loaded = load(&both);
    assert_eq!(loaded.config.vault.root_key_file, Some(handed));
    assert!(loaded.warnings.iter().any(|warning| warning.text.contains("USHER_VAULT_ROOT_KEY_FILE")));

    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    let said = refuse(&sources(None, &env));
    assert!(said.contains("run: chmod 600"), "{said}");
}

#[test]
fn keys_are_32_bytes_in_either_spelling() {
    let bytes: Vec<u8> = (0..32).collect();
    let spellings = [
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    ];
    for text in spellings {
        let loaded = load(&sources(None, &[("AUDIT_ENCRYPTION_KEY", text)]));
        assert_eq!(loaded.config.audit.encryption_key.unwrap().expose_secret().as_slice(), bytes);
    }
    for (text, problem) in [
        ("0001", "holds 2 bytes, and a key has 32"),
        ("AAECAw==", "holds 4 bytes, and a key has 32"),
        ("correct horse battery staple", "is neither hexadecimal nor base64"),
    ] {
        let said = refuse(&sources(None, &[("AUDIT_ENCRYPTION_KEY", text)]));
        assert!(said.contains(problem) && !said.contains(text), "{said}");
    }
}

#[test]
fn no_text_repeats_a_secret() {
    let room = tempfile::tempdir().unwrap();
    let text = format!(
        "[listen]\noperator = \"127.0.0.1:1\"\noperator_token = \"{LONG}\"\n\
         [[provider]]\nname = \"a\"\nkind = \"resend\"\napi_key = \"{LONG}\"\n"
    );
    let path = file(room.path(), "usherd.toml", text.as_bytes(), 0o600);
    let loaded = load(&sources(Some(&path), &[("UNSUBSCRIBE_SECRET", LONG)]));
    let everything = format!("{}{loaded:?}{:?}", Table(&loaded), loaded.warnings);
    assert!(!everything.contains("canary"), "{everything}");

    // A secret in the wrong shape is refused without being shown.
    let text = format!(
        "{text}auth_token = \"{LONG}\"\n[backup]\nencryption_key = \"{LONG}\"\n[secrets]\nunsubscribe = [\"{LONG}\"]\n"
    );
    file(room.path(), "usherd.toml", text.as_bytes(), 0o600);
    let said = refuse(&sources(Some(&path), &[("WEBHOOK_SIGNATURE_SECRET", "canary")]));
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(!said.contains("canary"), "{said}");
}
