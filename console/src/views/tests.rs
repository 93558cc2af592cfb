//! Golden screens: each view at four sizes, in colour, without, and in ASCII; and no size or key makes any of them fail.
//!
//! The goldens are text with its styles: below each screen stand the runs of cells whose style is not plain.

use std::fmt::Write as _;

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use usher_common::model::{CampaignId, MessageId};
use usher_common::protocol::{EffectLine, MessagePage, Reply, Row, Topic};

use super::draw;
use crate::app::{Effect, Mode, Model, Msg, update};
use crate::fixtures;
use crate::keys::Key;
use crate::session::{LinkEvent, LinkState};
use crate::theme::{Look, ThemeName};
use crate::widgets::Scroll;

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (40, 12)];

pub(crate) fn paint(model: &Model, look: &Look, size: (u16, u16)) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    draw(model, look, &mut Scroll::default(), &mut buffer);
    buffer
}

/// Text, then runs of style as `row:from-to style`.
fn golden(buffer: &Buffer) -> String {
    let mut out = String::new();
    for line in crate::tui::lines(buffer).lines() {
        let _ = writeln!(out, "|{line}");
    }
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let Some(style) = buffer.cell((x, y)).map(ratatui::buffer::Cell::style) else { break };
            let from = x;
            while buffer.cell((x, y)).is_some_and(|cell| x < buffer.area.width && cell.style() == style) {
                x += 1;
            }
            let plain = style.fg == Some(ratatui::style::Color::Reset)
                && style.bg == Some(ratatui::style::Color::Reset)
                && style.add_modifier.is_empty();
            if !plain {
                let (fg, bg) = (style.fg.unwrap_or_default(), style.bg.unwrap_or_default());
                let _ = writeln!(out, "{y}:{from}-{} {fg}/{bg} {:?}", x - 1, style.add_modifier);
            }
        }
    }
    out
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\u{1b}' => Key::Esc,
            c => Key::Char(c),
        };
        effects.extend(update(model, Msg::Key(key)));
    }
    effects
}

/// Answers the last call among the effects.
fn answer(model: &mut Model, effects: &[Effect], reply: Reply) {
    let tag = effects.iter().rev().find_map(|e| if let Effect::Call { tag, .. } = e { Some(*tag) } else { None });
    let tag = tag.expect("something was asked");
    update(model, Msg::Link(LinkEvent::Answer { tag, result: Ok(reply) }));
}

fn on_campaign(theme: ThemeName) -> Model {
    let mut model = fixtures::live(theme);
    let effects = press(&mut model, ":campaign c12\n");
    assert!(effects.contains(&Effect::Follow(Topic::Campaign(CampaignId(12)))));
    let rows = vec![Row::Detail(Box::new(fixtures::detail()))];
    update(&mut model, Msg::Link(LinkEvent::Snapshot { topic: Topic::Campaign(CampaignId(12)), rows }));
    let page = MessagePage { rows: fixtures::messages(), total: 39_738, next: Some(MessageId(4706)) };
    answer(&mut model, &effects, Reply::Messages(page));
    model
}

fn on_message(theme: ThemeName) -> Model {
    let mut model = on_campaign(theme);
    let effects = press(&mut model, "\n");
    let tag = effects.iter().find_map(|e| if let Effect::Call { tag, .. } = e { Some(*tag) } else { None });
    let tag = tag.expect("the message is asked for");
    let result = Ok(Reply::Message(Box::new(fixtures::message())));
    let effects = update(&mut model, Msg::Link(LinkEvent::Answer { tag, result }));
    answer(&mut model, &effects, Reply::Guest(Box::new(fixtures::guest())));
    model
}

fn stale(theme: ThemeName) -> Model {
    let mut model = fixtures::live(theme);
    let why = "the line to the daemon broke: it was closed".to_owned();
    let until = std::time::Duration::from_millis(143_500);
    update(&mut model, Msg::Link(LinkEvent::State(LinkState::Backoff { tries: 3, until, why })));
    update(&mut model, Msg::Time(fixtures::now(142)));
    model
}

fn dialog(theme: ThemeName) -> Model {
    let mut model = fixtures::live(theme);
    press(&mut model, "W3x");
    press(&mut model, "j");
    let effects = press(&mut model, "\n");
    let line = EffectLine { what: "9,412 messages".to_owned(), effect: "are cancelled and never sent".to_owned() };
    answer(&mut model, &effects, Reply::Preview(vec![line]));
    press(&mut model, "\twrong venue\tSave");
    model
}

fn with_keys(keys: &'static str) -> impl Fn(ThemeName) -> Model {
    move |theme| {
        let mut model = fixtures::live(theme);
        press(&mut model, keys);
        model
    }
}

fn check(name: &str, make: impl Fn(ThemeName) -> Model) {
    for (variant, theme, ascii) in
        [("colour", ThemeName::Default, false), ("no-colour", ThemeName::Mono, false), ("ascii", ThemeName::Mono, true)]
    {
        let look = Look::new(theme, ascii);
        let mut out = String::new();
        for size in SIZES {
            let mut model = make(theme);
            update(&mut model, Msg::Resize(size.0, size.1));
            let buffer = paint(&model, &look, size);
            let _ = write!(out, "== {}x{}\n{}", size.0, size.1, golden(&buffer));
            if ascii {
                let outside = ["Zoë", "李", "小", "龍", "García", "Méndez"];
                let mut text = crate::tui::lines(&buffer);
                for name in outside {
                    text = text.replace(name, "");
                }
                assert!(text.is_ascii(), "{name} at {size:?} draws more than ASCII:\n{text}");
            }
            assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'), "{name} lets escapes through");
        }
        insta::assert_snapshot!(format!("{name}-{variant}"), out);
    }
}

#[test]
fn overview() {
    check("overview", fixtures::live);
}

#[test]
fn providers() {
    check("providers", with_keys("2"));
}

#[test]
fn provider() {
    check("provider", with_keys("2\n"));
}

#[test]
fn campaigns() {
    check("campaigns", with_keys("3j"));
}

#[test]
fn campaign() {
    check("campaign", on_campaign);
}

#[test]
fn message() {
    check("message", on_message);
}

#[test]
fn alerts() {
    check("alerts", with_keys("5"));
}

#[test]
fn service_levels() {
    check("sla", with_keys("4j"));
}

#[test]
fn log() {
    check("log", with_keys("9"));
}

#[test]
fn help() {
    check("help", with_keys("3?"));
}

#[test]
fn stale_overview() {
    check("stale", stale);
}

#[test]
fn waiting_for_the_daemon() {
    check("waiting", |theme| Model::new("/run/usher/usherd.sock", theme, true));
}

#[test]
fn nothing_configured() {
    check("empty", |theme| {
        let mut model = Model::new("/run/usher/usherd.sock", theme, true);
        update(&mut model, Msg::Time(fixtures::now(1)));
        update(&mut model, Msg::Link(LinkEvent::State(LinkState::Live(None))));
        let overview = Row::Overview(Box::default());
        let none = [Topic::Providers, Topic::Campaigns, Topic::Alerts, Topic::Sla].map(|topic| (topic, vec![]));
        for (topic, rows) in none.into_iter().chain([(Topic::Overview, vec![overview])]) {
            update(&mut model, Msg::Link(LinkEvent::Snapshot { topic, rows }));
        }
        model
    });
}

#[test]
fn acting() {
    check("menu", with_keys("3x"));
    check("dialog", dialog);
    check("command", with_keys(":ca"));
}

#[test]
fn old_data_never_says_ok() {
    let look = Look::new(ThemeName::Mono, true);
    let fresh = crate::tui::lines(&paint(&fixtures::live(ThemeName::Mono), &look, (120, 40)));
    let old = crate::tui::lines(&paint(&stale(ThemeName::Mono), &look, (120, 40)));
    assert!(fresh.contains("+  OK"), "{fresh}");
    assert!(old.contains("?  OK") && !old.contains("+  OK") && old.contains("STALE 42s"), "{old}");
}

fn text_of(model: &Model, size: (u16, u16)) -> String {
    crate::tui::lines(&paint(model, &Look::new(ThemeName::Mono, true), size))
}

#[test]
fn where_room_is_short_environment_and_arming_stand_before_all_else() {
    let mut model = on_campaign(ThemeName::Mono);
    press(&mut model, "W");
    for width in [80, 40, 30] {
        let head = text_of(&model, (width, 12)).lines().next().unwrap_or_default().to_owned();
        assert!(head.contains("PRODUCTION") && head.contains("ARMED 5:00"), "{width}: {head}");
    }
    let why = "it was closed".to_owned();
    let until = std::time::Duration::from_secs(200);
    update(&mut model, Msg::Link(LinkEvent::State(LinkState::Backoff { tries: 12, until, why })));
    let head = text_of(&model, (40, 12)).lines().next().unwrap_or_default().to_owned();
    assert!(head.contains("PRODUCTION") && head.contains("ARMED 5:00") && head.contains(" x "), "{head}");
}

#[test]
fn the_key_that_arms_says_that_it_disarms_while_armed() {
    let mut model = with_keys("3")(ThemeName::Mono);
    assert!(text_of(&model, (80, 24)).contains("W arm"));
    press(&mut model, "W");
    assert!(text_of(&model, (80, 24)).contains("W disarm"));
}

#[test]
fn help_cuts_none_of_its_sentences() {
    for size in [(80, 24), (40, 12)] {
        let mut model = with_keys("3")(ThemeName::Mono);
        update(&mut model, Msg::Resize(size.0, size.1));
        press(&mut model, "?");
        let mut seen = String::new();
        for _ in 0..200 {
            // Without the frame: the header and the hints may be cut.
            let text = text_of(&model, size);
            let body: Vec<&str> = text.lines().skip(1).take(usize::from(size.1) - 2).collect();
            assert!(!body.iter().any(|line| line.contains('~') && !line.contains("half-open")), "{text}");
            seen.push_str(&body.join(" "));
            press(&mut model, "j");
        }
        let seen = seen.split_whitespace().collect::<Vec<_>>().join(" ");
        for binding in crate::keys::bindings(&model.screen_scopes()) {
            assert!(seen.contains(binding.help), "{size:?}: {}", binding.help);
        }
    }
}

#[test]
fn a_filter_over_a_part_of_the_messages_says_so() {
    let mut model = on_campaign(ThemeName::Mono);
    assert!(text_of(&model, (120, 40)).contains("of 39,738"), "{}", text_of(&model, (120, 40)));
    press(&mut model, "/nobody\n");
    let text = text_of(&model, (120, 40));
    assert!(text.contains("of 39,738 only") && text.contains("further down there may be one"), "{text}");
}

#[test]
fn without_colours_the_selected_row_still_stands_out() {
    let model = with_keys("3")(ThemeName::Mono);
    let buffer = paint(&model, &Look::new(ThemeName::Mono, true), (80, 24));
    let reversed = |y: u16| {
        (20..60).all(|x| {
            let cell = buffer.cell((x, y)).expect("inside");
            cell.modifier.contains(ratatui::style::Modifier::REVERSED)
        })
    };
    assert_eq!((2..22).filter(|y| reversed(*y)).count(), 1);
}

#[test]
fn the_picture_holds_every_word_and_no_markup_from_outside() {
    let model = fixtures::live(ThemeName::Dark);
    let svg = super::to_svg(&paint(&model, &Look::new(ThemeName::Dark, false), (120, 30)));
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("smtp-backup") && svg.contains("PRODUCTION"));
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        6 => prop::sample::select("jkgGxWysSf/:?12 39RqQy abc\u{301}李!".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        4 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Tab, Key::BackTab, Key::Up, Key::Down, Key::PageUp, Key::PageDown, Key::Home,
            Key::End, Key::Backspace, Key::Ctrl('u'), Key::Ctrl('d'),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn no_keys_at_no_size_make_it_fail(
        keys in prop::collection::vec(any_key(), 0..40),
        sizes in prop::collection::vec((1u16..300, 1u16..100), 1..5),
        ascii in any::<bool>(),
        start in 0usize..4,
    ) {
        let mut model = match start {
            0 => fixtures::live(ThemeName::Default),
            1 => on_campaign(ThemeName::Default),
            2 => dialog(ThemeName::Default),
            _ => stale(ThemeName::Default),
        };
        let look = Look::new(ThemeName::Default, ascii);
        let mut scroll = Scroll::default();
        for (i, key) in keys.iter().enumerate() {
            let size = sizes[i % sizes.len()];
            update(&mut model, Msg::Resize(size.0, size.1));
            update(&mut model, Msg::Key(*key));
            let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
            draw(&model, &look, &mut scroll, &mut buffer);
            let help = matches!(model.mode, Mode::Help(_));
            prop_assert!(help || !model.stack.is_empty());
        }
    }
}

#[test]
fn the_smallest_terminals_are_drawn() {
    for model in [fixtures::live(ThemeName::Default), on_message(ThemeName::Default), dialog(ThemeName::Default)] {
        for width in 1..50 {
            for height in 1..14 {
                paint(&model, &Look::new(ThemeName::Default, false), (width, height));
            }
        }
    }
    let tiny = paint(&fixtures::live(ThemeName::Mono), &Look::new(ThemeName::Mono, true), (24, 2));
    assert_eq!(crate::tui::lines(&tiny).lines().next(), Some("1 DOWN, 1 WARN, 1 OK"));
}
