//! The vault as a whole, on real files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use usher_common::model::{Guest, Rsvp};

use super::*;

/// Guests as they come out of lists; `tests/data/README.md` says from where.
const GUESTS: &str = include_str!("../../../tests/data/guests/guests-6000.csv");
/// The dictionary is trained on the first ones and measured on the others.
const TRAINED_ON: usize = 5_000;

fn open(dir: &Path) -> Vault {
    Vault::open(dir, None).unwrap().0
}

fn vault() -> (tempfile::TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let vault = open(dir.path());
    (dir, vault)
}

fn guests() -> Vec<Guest> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let guest = |line: &str| {
        let [email, name, phone, diet, plus_one, rsvp, groups, locale, country, timezone] =
            line.split(',').collect::<Vec<_>>().try_into().expect("ten columns, none of them quoted");
        Guest {
            name: name.to_owned(),
            email: some(email),
            phone: some(phone),
            phone_takes_sms: !phone.is_empty(),
            dietary_requirements: if diet == "none" { String::new() } else { diet.to_owned() },
            plus_one: plus_one == "yes",
            rsvp: rsvp.parse::<Rsvp>().unwrap(),
            groups: groups.split(';').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
            country: country.to_owned(),
            locale: locale.to_owned(),
            timezone: timezone.to_owned(),
            ..Guest::default()
        }
    };
    GUESTS.lines().skip(1).filter(|line| !line.contains('"')).map(guest).collect()
}

#[test]
fn a_sealed_guest_opens_where_it_was_sealed_for_and_nowhere_else() {
    let (dir, vault) = vault();
    assert_eq!(vault.ensure(&[1, 2]).unwrap(), 2);
    let guest = guests().swap_remove(0);
    let sealed = vault.seal(1, b"guests/1", &guest).unwrap();
    let text = String::from_utf8_lossy(sealed.as_bytes());
    assert!(!text.contains("Garcia") && !text.contains("example"));
    assert_eq!(vault.open_sealed::<Guest>(1, b"guests/1", sealed.as_bytes()).unwrap(), guest);
    assert!(matches!(vault.open_sealed::<Guest>(2, b"guests/1", sealed.as_bytes()), Err(VaultError::NotAuthentic)));
    assert!(matches!(vault.open_sealed::<Guest>(1, b"guests/2", sealed.as_bytes()), Err(VaultError::NotAuthentic)));
    assert!(vault.open_blob::<Guest>(b"guests/1", sealed.as_bytes()).is_err());
    for at in 0..sealed.as_bytes().len() {
        let mut bad = sealed.as_bytes().to_vec();
        bad[at] ^= 1;
        assert!(vault.open_sealed::<Guest>(1, b"guests/1", &bad).is_err(), "byte {at}");
    }
    assert_eq!(format!("{sealed:?}"), format!("Sealed({} bytes)", sealed.as_bytes().len()));
    drop(vault);
    assert_eq!(open(dir.path()).open_sealed::<Guest>(1, b"guests/1", sealed.as_bytes()).unwrap(), guest);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn nothing_is_sealed_before_its_key_is_there() {
    let (_dir, vault) = vault();
    assert!(matches!(vault.seal(1, b"", "x"), Err(VaultError::NoKey { subject: 1 })));
    assert!(matches!(vault.ensure(&[MAX_SUBJECTS]), Err(VaultError::OutOfRange { .. })));
    assert_eq!(vault.ensure(&[9, 3, 4, 3, 700]).unwrap(), 4);
    let sealed = vault.seal(3, b"", "x").unwrap();
    assert_eq!(vault.ensure(&[3, 5]).unwrap(), 1, "a key that is there stays");
    assert_eq!(vault.open_sealed::<String>(3, b"", sealed.as_bytes()).unwrap(), "x");
}

#[test]
fn what_was_sealed_for_an_erased_subject_never_opens_again() {
    let (dir, vault) = vault();
    let subjects: Vec<u64> = (1..=5_000).collect();
    vault.ensure(&subjects).unwrap();
    let sealed: Vec<_> = subjects.iter().map(|subject| vault.seal(*subject, b"", "secret").unwrap()).collect();
    let key_file = dir.path().join("subjects.keys");
    let old_keys = fs::read(&key_file).unwrap();
    let erasure = vault.erase(&[7, 4_999]).unwrap();
    assert_eq!(erasure, Erasure { erased: vec![7, 4_999], epoch: 2, kept: 4_998, damaged: 0 });
    let check = |vault: &Vault| {
        for (subject, sealed) in subjects.iter().zip(&sealed) {
            let opened = vault.open_sealed::<String>(*subject, b"", sealed.as_bytes());
            match subject {
                7 | 4_999 => assert!(matches!(opened, Err(VaultError::Erased { .. })), "{subject}"),
                _ => assert_eq!(opened.unwrap(), "secret"),
            }
        }
        assert!(matches!(vault.ensure(&[7]), Err(VaultError::Erased { subject: 7 })));
        assert_eq!(vault.erased(), [7, 4_999]);
    };
    check(&vault);
    drop(vault);
    check(&open(dir.path()));
    // Slots out of an older copy do not help: their epoch key is gone.
    let mut keys = fs::read(&key_file).unwrap();
    assert_eq!(keys.len(), old_keys.len());
    let slot = 128 + 7 * slot::SLOT..128 + 8 * slot::SLOT;
    keys[slot.clone()].copy_from_slice(&old_keys[slot]);
    fs::write(&key_file, keys).unwrap();
    check(&open(dir.path()));
    // A whole older key file, as a restore brings it, is brought up to the tombstones.
    fs::write(&key_file, &old_keys).unwrap();
    let (vault, report) = Vault::open(dir.path(), None).unwrap();
    assert_eq!(report.erasures_finished, 2);
    check(&vault);
    assert_ne!(fs::read(&key_file).unwrap()[128..], old_keys[128..], "it was sealed anew");
}

#[test]
fn keys_whose_write_was_torn_are_made_again() {
    let (dir, vault) = vault();
    vault.ensure(&[1]).unwrap();
    let sealed = vault.seal(1, b"", "kept").unwrap();
    let path = dir.path().join("subjects.keys");
    let before = fs::read(&path).unwrap();
    vault.ensure(&(2..40).collect::<Vec<_>>()).unwrap();
    drop(vault);
    let after = fs::read(&path).unwrap();
    for cut in (before.len()..after.len()).step_by(11) {
        fs::write(&path, &after[..cut]).unwrap();
        let vault = open(dir.path());
        vault.ensure(&(2..40).collect::<Vec<_>>()).unwrap();
        vault.seal(39, b"", "x").unwrap();
        assert_eq!(vault.open_sealed::<String>(1, b"", sealed.as_bytes()).unwrap(), "kept", "cut at {cut}");
    }
    // A sector that never reached the disk, with the ones around it there.
    let mut holed = after;
    holed[512..1024].fill(0);
    fs::write(&path, holed).unwrap();
    let vault = open(dir.path());
    assert!(vault.ensure(&(2..40).collect::<Vec<_>>()).unwrap() >= 6);
    // A flipped bit is another thing: somebody's data hangs on it.
    drop(vault);
    let mut bad = fs::read(&path).unwrap();
    bad[128 + slot::SLOT + 30] ^= 1;
    fs::write(&path, bad).unwrap();
    let vault = open(dir.path());
    assert!(matches!(vault.ensure(&[1]), Err(VaultError::DamagedKey { subject: 1 })));
    assert!(matches!(vault.seal(1, b"", "x"), Err(VaultError::DamagedKey { subject: 1 })));
    assert_eq!(vault.erase(&[2]).unwrap().damaged, 1);
}

#[test]
fn another_root_key_and_a_damaged_header_are_refused() {
    let (dir, vault) = vault();
    vault.ensure(&[1]).unwrap();
    drop(vault);
    let root = dir.path().join("root.key");
    let right = fs::read(&root).unwrap();
    fs::write(&root, "ab".repeat(32)).unwrap();
    assert!(matches!(Vault::open(dir.path(), None), Err(VaultError::WrongRoot { .. })));
    fs::write(&root, right).unwrap();
    let path = dir.path().join("subjects.keys");
    let good = fs::read(&path).unwrap();
    for at in 0..89 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(Vault::open(dir.path(), None).is_err(), "byte {at}");
    }
}

#[test]
fn hashes_and_keys_differ_by_purpose_and_by_vault() {
    let ((_one, vault), (_two, other)) = (vault(), vault());
    let hash = vault.index_hash("e-mail", "ana@example.org");
    assert_eq!(vault.index_hash("e-mail", "ana@example.org"), hash);
    assert_ne!(vault.index_hash("phone", "ana@example.org"), hash);
    assert_ne!(vault.index_hash("e-mailana", "@example.org"), hash);
    assert_ne!(other.index_hash("e-mail", "ana@example.org"), hash);
    assert_ne!(vault.derive("store").expose(), vault.derive("audit").expose());
    assert_ne!(vault.derive("store").expose(), other.derive("store").expose());
}

#[test]
fn blobs_are_bound_to_their_place() {
    let (_dir, vault) = vault();
    let sealed = vault.seal_blob(b"settings", &("token", 7_u8)).unwrap();
    assert_eq!(vault.open_blob::<(String, u8)>(b"settings", sealed.as_bytes()).unwrap(), ("token".into(), 7));
    assert!(vault.open_blob::<(String, u8)>(b"elsewhere", sealed.as_bytes()).is_err());
}

#[test]
fn what_unpacks_to_more_than_the_limit_is_refused() {
    let huge = vec![0; 10 << 20];
    let bomb = zstd::bulk::compress(&huge, 3).unwrap();
    assert!(bomb.len() < 2_000);
    assert!(matches!(dictionary::unpack(1, bomb), Err(VaultError::Malformed { .. })));
    assert!(matches!(dictionary::unpack(9, vec![]), Err(VaultError::Malformed { .. })));
}

/// Bytes saved on records that the dictionary was not trained on, in percent, with it and without.
fn savings() -> (f64, f64) {
    let (mut plain, mut with, mut without) = (0, 0, 0);
    for guest in &guests()[TRAINED_ON..] {
        let bytes = crate::codec::encode(1, guest).unwrap();
        plain += bytes.len();
        with += dictionary::pack(&bytes).1.len();
        without += zstd::bulk::compress(&bytes, 3).unwrap().len().min(bytes.len());
    }
    let saved = |size: usize| 100.0 * (1.0 - size as f64 / plain as f64);
    println!("{} records of {} bytes on average", guests().len() - TRAINED_ON, plain / (guests().len() - TRAINED_ON));
    (saved(with), saved(without))
}

#[test]
fn the_dictionary_is_worth_its_place() {
    let (with, without) = savings();
    println!("saved with the dictionary {with:.1} %, without {without:.1} %");
    assert!(with > 40.0 && with > without + 20.0, "{with:.1} % against {without:.1} %");
}

/// Makes `guest.dict` anew. A dictionary in use is never replaced: give the new one a new number.
#[test]
#[ignore = "writes into the source tree"]
fn train_the_dictionary() {
    let samples: Vec<Vec<u8>> =
        guests()[..TRAINED_ON].iter().map(|guest| crate::codec::encode(1, guest).unwrap()).collect();
    let trained = zstd::dict::from_samples(&samples, dictionary::MAX_DICTIONARY).unwrap();
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vault/guest.dict"), trained).unwrap();
}

proptest! {
    #[test]
    fn whatever_is_sealed_is_opened(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), context: Vec<u8>) {
        let key = SecretKey::new([4; 32]);
        let sealed = seal::seal(&key, Owner::Subject(1), &context, &bytes).unwrap();
        let opened: Vec<u8> = seal::open(&key, Owner::Subject(1), &context, sealed.as_bytes()).unwrap();
        prop_assert_eq!(opened, bytes);
    }
}

/// What sealing costs; run by hand, in release.
#[test]
#[ignore = "measures"]
fn sealing_and_opening() {
    let (_dir, vault) = vault();
    let guests = guests();
    let subjects: Vec<u64> = (1..=guests.len() as u64).collect();
    let each = |what: &str, since: std::time::Instant| println!("{what}: {:?}", since.elapsed() / guests.len() as u32);
    let since = std::time::Instant::now();
    vault.ensure(&subjects).unwrap();
    each("a key made", since);
    for round in ["first", "then"] {
        let since = std::time::Instant::now();
        let sealed: Vec<_> =
            subjects.iter().zip(&guests).map(|(id, guest)| vault.seal(*id, b"guests", guest).unwrap()).collect();
        each(&format!("sealed, {round}"), since);
        let since = std::time::Instant::now();
        for (id, sealed) in subjects.iter().zip(&sealed) {
            vault.open_sealed::<Guest>(*id, b"guests", sealed.as_bytes()).unwrap();
        }
        each(&format!("opened, {round}"), since);
    }
    let since = std::time::Instant::now();
    vault.erase(&[5]).unwrap();
    println!("one erased among {}: {:?}", guests.len(), since.elapsed());
}
