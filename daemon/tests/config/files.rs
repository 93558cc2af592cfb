//! Files in `valid/` load with the table beside them; files in `invalid/` are refused with exactly the text beside them.
//!
//! `USHER_BLESS=1` rewrites the texts; read the difference before committing it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use usherd::config::{Config, Loaded, Sources, Table};

use crate::{folder, load, refuse, sources, text};

fn cases(name: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {name}");
    cases
}

/// Calls `judge` with a copy whose mode is known, which a checkout does not promise, and takes the folder out of what it says.
fn about(case: &Path, judge: impl Fn(&Path) -> String) -> String {
    let room = tempfile::tempdir().unwrap();
    let copy = room.path().join(case.file_name().unwrap());
    fs::copy(case, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o640)).unwrap();
    judge(&copy).replace(&format!("{}/", room.path().display()), "")
}

fn compare(case: &Path, actual: &str) {
    let expected = case.with_extension("expected");
    if std::env::var_os("USHER_BLESS").is_some() {
        fs::write(&expected, actual).unwrap();
    }
    let text = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
    assert_eq!(actual, text, "{} says something else", case.display());
}

#[test]
fn invalid_files_are_refused_with_all_their_errors() {
    for case in cases("invalid") {
        compare(&case, &about(&case, |file| refuse(&sources(Some(file), &[]))));
    }
}

#[test]
fn valid_files_load_and_every_value_knows_its_source() {
    for case in cases("valid") {
        compare(&case, &about(&case, |file| table_of(&load(&sources(Some(file), &[])))));
    }
}

/// What differs from the defaults, by source, and the warnings.
fn table_of(loaded: &Loaded) -> String {
    let table = Table(loaded).to_string();
    let rows = table.lines().map(str::trim_end).filter(|line| !line.ends_with("  default")).map(str::to_owned);
    let warnings = loaded.warnings.iter().map(|warning| format!("warning: {warning}"));
    rows.chain(warnings).map(|line| line + "\n").collect()
}

#[test]
fn a_file_that_cannot_be_read_gets_a_sentence_of_its_own() {
    let room = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        let errors = Config::load(&sources(Some(path), &[])).expect_err("should be refused");
        text(&errors).replace(&room.path().display().to_string(), "")
    };
    let missing = room.path().join("missing.toml");
    assert_eq!(said(&missing), "the configuration file /missing.toml does not exist; create it, or correct the path\n");

    assert_eq!(said(room.path()), "the configuration file  is a directory; name the file in it\n");

    let latin = room.path().join("latin.toml");
    fs::write(&latin, b"environment = \"caf\xe9\"").unwrap();
    assert_eq!(
        said(&latin),
        "the configuration file /latin.toml is not UTF-8 text (first bad byte at offset 18); save it as UTF-8\n"
    );

    let huge = room.path().join("huge.toml");
    fs::write(&huge, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        said(&huge),
        "the configuration file /huge.toml holds more than 1048576 bytes; that is no configuration: correct the path\n"
    );
}

#[test]
fn an_empty_file_means_the_defaults() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("usherd.toml");
    fs::write(&path, "").unwrap();
    let (empty, none) = (load(&sources(Some(&path), &[])), load(&Sources::default()));
    assert_eq!(Table(&empty).to_string(), Table(&none).to_string());
}
