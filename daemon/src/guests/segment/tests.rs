//! Segments by example, by their mistakes, and read back from print.

use proptest::prelude::*;
use usher_common::model::{Guest, Rsvp};

use super::*;

fn guest() -> Guest {
    Guest {
        name: "Jürgen Weiß".into(),
        email: Some("jw@example.com".into()),
        dietary_requirements: "vegan, no nuts".into(),
        plus_one: true,
        rsvp: Rsvp::Confirmed,
        groups: vec!["Family".into(), "work mates".into()],
        country: "AT".into(),
        locale: "de-AT".into(),
        custom: [("table_no".to_owned(), "7".to_owned())].into(),
        ..Guest::default()
    }
}

fn parse(text: &str) -> Result<Segment, SegmentError> {
    Segment::parse(text, &["table_no".to_owned()])
}

#[test]
fn guests_are_found_by_every_kind_of_test() {
    for (expression, expected) in [
        ("", true),
        ("rsvp = confirmed and group = family", true),
        ("RSVP = Confirmed AND Groups = FAMILY", true),
        ("rsvp = declined or plus_one = yes", true),
        ("rsvp = declined or plus_one = no", false),
        ("not rsvp = declined", true),
        ("rsvp != confirmed", false),
        ("group != friends", true),
        ("group in (friends, \"work mates\")", true),
        ("group contains mat", true),
        ("diet contains NUTS", true),
        ("diet is empty", false),
        ("diet = none", false),
        ("diet != none", true),
        ("phone is empty and slack is empty", true),
        ("email is not empty", true),
        ("country = at", true),
        ("locale = de", true),
        ("locale = d", false),
        ("name = \"jürgen weiß\"", true),
        ("table_no = 7", true),
        ("\"Table no.\" in (6, 7)", true),
        // `and` binds before `or`.
        ("rsvp = confirmed or rsvp = pending and group = friends", true),
        ("(rsvp = confirmed or rsvp = pending) and group = friends", false),
    ] {
        let segment = parse(expression).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(segment.matches(&guest()), expected, "{expression}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (expression, at, said) in [
        ("rsvp = confirmd", 7, "did you mean confirmed?"),
        ("rsvpp = confirmed", 0, "did you mean rsvp?"),
        ("tabel_no = 7", 0, "did you mean table_no?"),
        ("rsvp confirmed", 5, "after rsvp goes ="),
        ("rsvp =", 6, "value must stand"),
        ("rsvp = confirmed group = x", 17, "`and` or `or`"),
        ("(rsvp = confirmed", 0, "never closed"),
        ("rsvp = confirmed)", 16, "closes none"),
        ("name = \"Anna", 7, "quote is never closed"),
        ("name = and", 7, "\"and\" in quotes"),
        ("rsvp contains con", 0, "use = or in"),
        ("country = Germany", 10, "two-letter"),
        ("group in family", 9, "parentheses"),
        ("rsvp is confirmed", 8, "is empty".split(' ').next_back().unwrap()),
        ("name % x", 5, "no meaning"),
        ("plus_one = maybe", 11, "yes, no"),
    ] {
        let error = parse(expression).unwrap_err();
        assert!(error.at == at && error.message.contains(said), "{expression}: {error:?}");
    }
}

#[test]
fn the_caret_stands_under_the_mistake() {
    let shown = parse("rsvp = confirmd").unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1..], ["  rsvp = confirmd", "         ^"]);
}

#[test]
fn length_and_depth_are_bounded() {
    let deep = |n: usize| format!("{}rsvp = pending{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(DEPTH_MAX - 1)).is_ok());
    assert!(parse(&deep(DEPTH_MAX)).unwrap_err().message.contains("nests deeper"));
    assert!(parse(&"not ".repeat(1000)).is_err());
    assert!(parse(&format!("name = {}", "x".repeat(LENGTH_MAX))).unwrap_err().message.contains("at most"));
}

fn expression() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z]{1,4}",
        Just("\"a \\\" b\"".to_owned()),
        Just("\"and\"".to_owned()),
        Just("\"\\\\\"".to_owned()),
        Just("\"\"".to_owned())
    ];
    let leaf = prop_oneof![
        Just("rsvp != pending".to_owned()),
        Just("plus_one = yes".to_owned()),
        Just("diet is not empty".to_owned()),
        value.clone().prop_map(|v| format!("group in ({v}, x)")),
        value.clone().prop_map(|v| format!("name contains {v}")),
        value.prop_map(|v| format!("table_no = {v}")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| format!("not ({e})")),
            inner.clone().prop_map(|e| format!("not {e}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("{a} and ({b} or {c})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_the_same(text in expression()) {
        if let Ok(segment) = parse(&text) {
            prop_assert_eq!(parse(&segment.to_string()), Ok(segment));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}|[a-z =()\",!]{0,60}") {
        match parse(&text) {
            Ok(segment) => { segment.matches(&guest()); }
            Err(error) => prop_assert!(error.at <= error.expression.chars().count()),
        }
    }
}
