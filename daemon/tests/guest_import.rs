//! The import against real-looking files: what it must say of each record, and that it says so however the file comes.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, which is what it is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use usher_common::model::{Guest, ProblemKind, Severity};
use usherd::guests::{Defaults, ImportError, ImportOptions, Importer, Outcome, Parsed, Summary};

fn data(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "tests", "data", "guests", name].iter().collect();
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn import_by(bytes: &[u8], step: usize) -> Result<(Vec<Parsed>, Summary), ImportError> {
    let mut importer = Importer::new(ImportOptions { defaults: Defaults { country: String::new() } });
    let mut all = Vec::new();
    for piece in bytes.chunks(step) {
        all.extend(importer.push(piece)?);
    }
    let (rest, summary) = importer.finish()?;
    all.extend(rest);
    Ok((all, summary))
}

fn import(bytes: &[u8]) -> Result<(Vec<Parsed>, Summary), ImportError> {
    import_by(bytes, bytes.len().max(1))
}

fn guests(parsed: &[Parsed]) -> Vec<&Guest> {
    parsed
        .iter()
        .filter_map(|p| match &p.outcome {
            Outcome::Guest(guest) => Some(&**guest),
            _ => None,
        })
        .collect()
}

/// One key of an expected record against what was parsed.
fn assert_key(key: &str, expected: &Value, parsed: &Parsed, guest: Option<&Guest>, titles: &BTreeMap<String, String>) {
    let line = parsed.line;
    let guest = || guest.unwrap_or_else(|| panic!("line {line} is no guest, yet `{key}` is expected"));
    let text = || expected.as_str().unwrap();
    match key {
        "line" | "why" | "warn" => {}
        "result" => {
            let result = match parsed.outcome {
                Outcome::Guest(_) => "imported",
                Outcome::Duplicate { .. } => "duplicate",
                Outcome::Rejected => "rejected",
            };
            assert_eq!(result, text(), "line {line}: {:?}", parsed.problems);
        }
        "of_line" => assert_eq!(parsed.outcome, Outcome::Duplicate { of_line: expected.as_u64().unwrap() }),
        "email" => assert_eq!(guest().email.as_deref(), Some(text()), "line {line}"),
        "phone" => assert_eq!(guest().phone.as_deref(), Some(text()), "line {line}"),
        "name" => assert_eq!(guest().name, text(), "line {line}"),
        "plus_one" => assert_eq!(guest().plus_one, expected.as_bool().unwrap(), "line {line}"),
        "rsvp_status" => assert_eq!(guest().rsvp.as_str(), text(), "line {line}"),
        "groups" => {
            let groups: Vec<&str> = expected.as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
            assert_eq!(guest().groups, groups, "line {line}");
        }
        other => panic!("the test does not know how to compare `{other}` ({titles:?})"),
    }
}

#[test]
fn of_the_messy_file_it_says_exactly_what_is_expected() {
    let expected: Value = serde_json::from_slice(&data("guests-messy.expected.json")).unwrap();
    let titles: BTreeMap<String, String> = serde_json::from_value(expected["header_aliases"].clone()).unwrap();
    let (parsed, summary) = import(&data("guests-messy.csv")).unwrap();

    let columns: BTreeMap<String, String> = summary.columns.iter().cloned().collect();
    assert_eq!(columns, titles);
    assert_eq!(summary.format, "UTF-8 with byte order mark, comma");

    let records = expected["records"].as_array().unwrap();
    assert_eq!(parsed.len(), records.len());
    for (parsed, record) in parsed.iter().zip(records) {
        assert_eq!(Some(parsed.line), record["line"].as_u64());
        let guest = guests(std::slice::from_ref(parsed)).first().copied();
        for (key, value) in record.as_object().unwrap() {
            assert_key(key, value, parsed, guest, &titles);
        }
        if guest.is_some() {
            let warned: BTreeSet<&str> = parsed
                .problems
                .iter()
                .map(|p| if p.kind == ProblemKind::Columns { "columns" } else { titles[&p.column].as_str() })
                .collect();
            let expected = record["warn"].as_array().into_iter().flatten().map(|w| w.as_str().unwrap()).collect();
            assert_eq!(warned, expected, "line {}", parsed.line);
        }
    }
    assert_eq!((summary.imported, summary.duplicates, summary.rejected, summary.warned), (13, 1, 3, 6));
}

#[test]
fn of_the_messy_file_the_finer_points_hold_too() {
    let (parsed, _) = import(&data("guests-messy.csv")).unwrap();
    let of = |line: u64| parsed.iter().find(|p| p.line == line).unwrap();
    let guest = |line: u64| guests(std::slice::from_ref(of(line)))[0];
    let kinds = |line: u64| of(line).problems.iter().map(|p| p.kind).collect::<Vec<_>>();

    assert_eq!(guest(2).name, "Anna \"Annie\" O'Neil");
    assert_eq!(guest(2).dietary_requirements, "vegetarian, no nuts");
    assert_eq!(guest(4).name, "Bob Multiline");
    assert_eq!(guest(6).email, None);
    assert_eq!(guest(8).name, "=HYPERLINK(\"http://evil.example\";\"click\")");
    assert!(guest(10).email_needs_utf8 && guest(10).plus_one);
    assert_eq!(guest(15).name, "🎉 Ivy 👰‍♀️");
    assert!(guest(17).phone.is_some() && !guest(17).phone_takes_sms);
    assert_eq!(kinds(7), [ProblemKind::NoAddress]);
    assert_eq!(kinds(11), [ProblemKind::Email, ProblemKind::NoAddress]);
    assert!(of(11).problems.iter().all(|p| p.severity == Severity::Rejected));
    assert_eq!(kinds(19), [ProblemKind::UnclosedQuote]);
    assert_eq!(kinds(3), [ProblemKind::Duplicate]);
}

#[test]
fn a_german_spreadsheet_in_latin_1_is_read() {
    let (parsed, summary) = import(&data("guests-semicolon-latin1.csv")).unwrap();
    assert_eq!(summary.format, "Windows-1252, semicolon");
    let guests = guests(&parsed);
    assert_eq!((guests[0].name.as_str(), guests[0].plus_one), ("Jürgen Weiß", true));
    assert_eq!(guests[0].email.as_deref(), Some("jürgen.test@example.com"));
    assert_eq!((guests[1].name.as_str(), guests[1].dietary_requirements.as_str()), ("Amélie Noël", "sans gluten"));
    assert!(parsed.iter().all(|p| p.problems.is_empty()), "{parsed:?}");
}

#[test]
fn the_guides_example_is_read_without_its_impossible_numbers() {
    let (parsed, summary) = import(&data("guests-from-the-guide.csv")).unwrap();
    assert_eq!((summary.imported, summary.warned), (2, 2));
    for one in &parsed {
        assert_eq!(one.problems.iter().map(|p| p.kind).collect::<Vec<_>>(), [ProblemKind::Phone]);
    }
    assert!(guests(&parsed).iter().all(|guest| guest.phone.is_none() && guest.email.is_some()));
}

#[test]
fn generated_lists_are_read_whole() {
    // 17 of the ten thousand have no e-mail address and share the telephone of somebody with another name.
    for (name, guests, repeated) in [("guests-120.csv", 120, 0), ("guests-10000.csv", 10_000, 0)] {
        let bytes = data(name);
        let (parsed, summary) = import_by(&bytes, 8191).unwrap();
        assert_eq!((summary.records, parsed.len() as u64), (guests, guests), "{name}");
        assert_eq!((summary.duplicates, summary.imported), (repeated, guests - repeated), "{name}");
        assert_eq!(summary.bytes, bytes.len() as u64);
        let said = parsed.iter().flat_map(|p| &p.problems).filter(|p| p.kind != ProblemKind::Duplicate);
        let unexpected: Vec<_> = said.take(3).collect();
        assert!(unexpected.is_empty(), "{name}: {unexpected:?}");
    }
}

#[test]
fn an_invalid_byte_far_into_a_file_costs_one_cell() {
    let mut bytes = b"email,name\n\xc3\xa9@example.com,\xc3\x89\n".to_vec();
    for n in 0..6000 {
        bytes.extend(format!("guest{n}@example.com,Guest\n").bytes());
    }
    bytes.extend(b"late@example.com,J\xfcrgen\nbroken\xff@example.com,Kim\n");
    let (parsed, summary) = import_by(&bytes, 10_000).unwrap();
    assert_eq!((summary.imported, summary.rejected), (6002, 1));
    let late = &parsed[6001];
    assert_eq!((late.problems[0].kind, late.problems[0].column.as_str()), (ProblemKind::Encoding, "name"));
    assert_eq!(late.line, 6003);
    assert_eq!(parsed[6002].outcome, Outcome::Rejected);
}

#[test]
fn a_latin_1_byte_far_into_an_ascii_file_makes_it_latin_1() {
    let mut bytes = b"email,name\n".to_vec();
    for n in 0..6000 {
        bytes.extend(format!("guest{n}@example.com,Guest\n").bytes());
    }
    bytes.extend(b"late@example.com,J\xfcrgen\n");
    let (parsed, summary) = import_by(&bytes, 10_000).unwrap();
    assert_eq!(guests(&parsed)[6000].name, "Jürgen");
    assert_eq!((summary.warned, summary.format.as_str()), (0, "Windows-1252, comma"));
}

#[test]
fn files_that_are_no_guest_list_are_refused_in_a_sentence() {
    for (bytes, said) in [
        (&b""[..], "empty"),
        (b" \r\n \n", "empty"),
        (b"PK\x03\x04....xl/workbook.xml", "Excel workbook"),
        (b"john@example.com,John\n", "header row"),
        (b"name,table\nAnna,7\n", "no column holds an address"),
        (b"email,Phone,Mobile\n", "\"Mobile\""),
        (b"\"email,name\na@example.com,A\n", "quote"),
    ] {
        let error = import(bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn separators_and_declarations_are_recognised() {
    for (text, format) in [
        ("email\tname\na@example.com\tA, B\n", "UTF-8, tab"),
        ("email|name\na@example.com|A\n", "UTF-8, pipe"),
        ("sep=;\r\nemail;name\r\na@example.com;A\r\n", "UTF-8, semicolon"),
        ("email\na@example.com\n", "UTF-8, comma"),
        ("email;name, title;groups\na@example.com;A, Dr;x\n", "UTF-8, semicolon"),
    ] {
        let (parsed, summary) = import(text.as_bytes()).unwrap();
        assert_eq!((summary.format.as_str(), summary.imported), (format, 1), "{text}: {parsed:?}");
    }
}

#[test]
fn parts_of_names_are_joined() {
    for (text, name) in [
        ("email,First name,Last name\na@example.com,Anna,Smith\n", "Anna Smith"),
        ("email;Name;Vorname\na@example.com;Weiß;Jürgen\n", "Jürgen Weiß"),
        ("email,Name,First name\na@example.com,Anna Smith,Anna\n", "Anna Smith"),
        ("email,Name,First name\na@example.com,Smith,Anna\n", "Anna Smith"),
    ] {
        assert_eq!(guests(&import(text.as_bytes()).unwrap().0)[0].name, name, "{text}");
    }
}

#[test]
fn a_file_full_of_open_quotes_is_given_up_with_a_reason() {
    let bytes = format!("email,name\n{}", "\"a\n".repeat(3000));
    let error = import_by(bytes.as_bytes(), 1024).unwrap_err();
    assert!(matches!(error, ImportError::Quotes { .. }), "{error}");
}

#[test]
fn after_an_error_nothing_more_is_read() {
    let mut importer = Importer::new(ImportOptions::default());
    importer.push(&b"name\n".repeat(20_000)).unwrap_err();
    assert_eq!(importer.push(b"x"), Err(ImportError::Failed));
}

/// Text that looks enough like a list to get past the header, with trouble in it.
fn rows() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        Just("a@example.com".to_owned()),
        "[a-c]{1,2}@example\\.com",
        Just("+12125550101".to_owned()),
        "[\",;\r\n'= é]{0,5}",
        "\"[a-c\n,]{0,4}\"",
        any::<String>(),
    ];
    proptest::collection::vec(proptest::collection::vec(cell, 0..5), 0..12).prop_map(|rows| {
        let rows: Vec<String> = rows.into_iter().map(|row| row.join(",")).collect();
        format!("email,phone,name,plus one\n{}", rows.join("\n")).into_bytes()
    })
}

fn assert_accounted(bytes: &[u8], parsed: &[Parsed], summary: &Summary) {
    assert_eq!(summary.records, parsed.len() as u64);
    assert_eq!(summary.records, summary.imported + summary.duplicates + summary.rejected);
    let ends = bytes.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u64;
    assert!(parsed.iter().all(|p| p.line >= 1 && p.line <= ends + 1));
    assert!(parsed.windows(2).all(|pair| pair[0].line < pair[1].line));
    for one in parsed {
        assert_eq!(
            matches!(one.outcome, Outcome::Guest(_)),
            one.problems.iter().all(|p| p.severity == Severity::Warning)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn byte_by_byte_is_the_same_as_whole(bytes in rows(), step in 1_usize..40) {
        let whole = import(&bytes);
        prop_assert_eq!(&import_by(&bytes, 1), &whole);
        prop_assert_eq!(&import_by(&bytes, step), &whole);
        if let Ok((parsed, summary)) = whole {
            assert_accounted(&bytes, &parsed, &summary);
        }
    }

    #[test]
    fn arbitrary_bytes_never_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), headed in any::<bool>(),
    ) {
        let bytes = if headed { [b"email,name\n", &bytes[..]].concat() } else { bytes };
        if let Ok((parsed, summary)) = import(&bytes) {
            let (by_byte, _) = import_by(&bytes, 1).unwrap();
            prop_assert_eq!(&by_byte, &parsed);
            prop_assert_eq!(summary.records, parsed.len() as u64);
        }
    }
}

#[test]
fn pieces_make_no_difference_across_the_prefix() {
    let mut bytes = data("guests-10000.csv");
    bytes.truncate(200_000);
    let whole = import(&bytes).unwrap();
    for step in [1, 1000, 65_535, 65_537] {
        assert_eq!(import_by(&bytes, step).unwrap(), whole, "by {step}");
    }
}
