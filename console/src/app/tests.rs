//! What keys and news make of the model.

use usher_common::model::{CampaignId, CampaignState, Steer, Target, Verdict};
use usher_common::protocol::{EffectLine, LogEvent, Reply, Request, Row, Topic};

use super::{ActDraft, Deed, Effect, Effects, Field, Inputs, Mode, Model, Msg, Screen, Subject, update};
use crate::fixtures;
use crate::keys::Key;
use crate::session::{LinkEvent, LinkState};
use crate::theme::ThemeName;

fn live() -> Model {
    fixtures::live(ThemeName::Mono)
}

fn keys(model: &mut Model, keys: &[Key]) -> Vec<Effect> {
    keys.iter().flat_map(|key| update(model, Msg::Key(*key))).collect()
}

fn text(model: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| update(model, Msg::Key(Key::Char(c)))).collect()
}

/// Five more events.
fn later() -> Vec<LogEvent> {
    fixtures::events().into_iter().map(|event| LogEvent { position: event.position + 5, ..event }).collect()
}

/// Opens the dialog that cancels c12, and lets the daemon say what it would do.
fn cancelling(model: &mut Model) {
    text(model, "W");
    text(model, ":cancel c12");
    let effects = keys(model, &[Key::Enter]);
    let [Effect::Call { tag, request, act: Some(act) }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(**request, Request::CampaignCancel { id: CampaignId(12) });
    assert!(act.preview, "first only asked");
    let lines = vec![EffectLine { what: "9,412 messages".to_owned(), effect: "are never sent".to_owned() }];
    update(model, Msg::Link(LinkEvent::Answer { tag: *tag, result: Ok(Reply::Preview(lines)) }));
}

#[test]
fn what_takes_long_says_how_far_it_is_where_it_is_waited_for() {
    let mut model = live();
    text(&mut model, "W");
    text(&mut model, ":cancel c12");
    let effects = keys(&mut model, &[Key::Enter]);
    let [Effect::Call { tag, .. }] = *effects.as_slice() else { panic!("{effects:?}") };
    let progress = |tag| Msg::Link(LinkEvent::Progress { tag, done: 312_000, total: 1_000_000 });
    update(&mut model, progress(tag));
    let Mode::Dialog(dialog) = &model.mode else { panic!("no dialog") };
    assert_eq!(dialog.effects, Effects::Asked("312,000 of 1,000,000 guests looked at".to_owned()));
    update(&mut model, Msg::Link(LinkEvent::Answer { tag, result: Ok(Reply::Preview(Vec::new())) }));
    update(&mut model, progress(tag));
    let Mode::Dialog(dialog) = &model.mode else { panic!("no dialog") };
    assert_eq!(dialog.effects, Effects::Told(Vec::new()), "old news");

    keys(&mut model, &[Key::Tab]);
    text(&mut model, "wrong venue");
    keys(&mut model, &[Key::Tab]);
    text(&mut model, "Save the date");
    let effects = keys(&mut model, &[Key::Tab, Key::Enter]);
    let [Effect::Call { tag, .. }] = *effects.as_slice() else { panic!("{effects:?}") };
    update(&mut model, progress(tag));
    let notice = model.notice.as_ref().map(|notice| notice.text.as_str());
    assert_eq!(notice, Some("cancel c12: 312,000 of 1,000,000 guests looked at"));
}

fn missing(model: &Model) -> String {
    let Mode::Dialog(dialog) = &model.mode else { panic!("the dialog is closed") };
    dialog.missing.clone().unwrap_or_default()
}

#[test]
fn cancelling_needs_arming_a_preview_a_reason_and_the_name() {
    let mut model = live();
    text(&mut model, ":cancel c12");
    assert!(keys(&mut model, &[Key::Enter]).is_empty());
    assert!(model.notice.as_ref().is_some_and(|n| n.text.contains("not armed")), "{:?}", model.notice);

    cancelling(&mut model);
    let Mode::Dialog(dialog) = &model.mode else { panic!("no dialog") };
    assert_eq!(dialog.field, Field::Cancel, "Cancel has the focus");
    keys(&mut model, &[Key::BackTab, Key::Enter]);
    assert!(missing(&model).contains("say why"));
    keys(&mut model, &[Key::Tab, Key::Tab]);
    text(&mut model, "wrong venue");
    keys(&mut model, &[Key::Tab, Key::Tab, Key::Enter]);
    assert!(missing(&model).contains("type the campaign's name"));
    keys(&mut model, &[Key::BackTab]);
    text(&mut model, "Save the date");
    let effects = keys(&mut model, &[Key::Tab, Key::Enter]);
    let draft = ActDraft { reason: "wrong venue".to_owned(), seen: Some(7), preview: false };
    let sent = matches!(&effects[..], [Effect::Call { act: Some(act), .. }] if *act == draft);
    assert!(sent, "{effects:?}");
    assert_eq!(model.mode, Mode::Screen);
}

#[test]
fn enter_in_a_fresh_dialog_leaves_it_without_acting() {
    let mut model = live();
    cancelling(&mut model);
    assert!(keys(&mut model, &[Key::Enter]).is_empty());
    assert_eq!(model.mode, Mode::Screen);
}

#[test]
fn a_campaign_that_moved_on_is_not_acted_on() {
    let mut model = live();
    cancelling(&mut model);
    let mut row = fixtures::campaigns().swap_remove(0);
    row.state = CampaignState::Paused;
    let rows = vec![Row::Campaign(Box::new(row))];
    update(&mut model, Msg::Link(LinkEvent::Delta { topic: Topic::Campaigns, rows, gone: vec![] }));
    keys(&mut model, &[Key::BackTab, Key::Enter]);
    assert!(missing(&model).contains("is paused now"), "{}", missing(&model));
}

#[test]
fn nothing_acts_on_stale_or_frozen_data_nor_on_other_types() {
    let mut model = live();
    text(&mut model, "W");
    assert_eq!(model.acts_barred(), None);
    text(&mut model, " ");
    assert!(model.acts_barred().is_some_and(|why| why.contains("frozen")));
    text(&mut model, " ");
    update(&mut model, Msg::Time(fixtures::now(120)));
    assert!(model.acts_barred().is_some_and(|why| why.contains("stale")), "silent for 20 s");
    update(&mut model, Msg::Link(LinkEvent::Heartbeat(fixtures::NOW)));
    assert_eq!(model.acts_barred(), None);
    update(&mut model, Msg::Link(LinkEvent::State(LinkState::Stale)));
    assert!(model.acts_barred().is_some());
    update(&mut model, Msg::Link(LinkEvent::Welcome { welcome: fixtures::welcome(), acts: false }));
    update(&mut model, Msg::Link(LinkEvent::State(LinkState::Live(None))));
    assert!(model.acts_barred().is_some_and(|why| why.contains("types")));
}

#[test]
fn arming_ends_by_itself_after_five_minutes() {
    let mut model = live();
    text(&mut model, "W");
    update(&mut model, Msg::Time(fixtures::now(399)));
    assert!(model.armed_for().is_some());
    update(&mut model, Msg::Time(fixtures::now(400)));
    assert!(model.armed_for().is_none());
}

#[test]
fn escape_goes_back_and_never_out() {
    let mut model = live();
    keys(&mut model, &[Key::Char('3'), Key::Enter, Key::Enter]);
    for _ in 0..10 {
        let effects = keys(&mut model, &[Key::Esc]);
        assert!(!effects.iter().any(|e| matches!(e, Effect::Quit { .. })));
    }
    assert_eq!(model.stack, [Screen::Campaigns]);
    cancelling(&mut model);
    assert_eq!(keys(&mut model, &[Key::Ctrl('c')]), [Effect::Quit { print: false }], "also out of a dialog");
}

#[test]
fn a_campaign_that_is_left_is_followed_no_longer() {
    let mut model = live();
    let effects = keys(&mut model, &[Key::Char('3'), Key::Enter]);
    assert!(effects.contains(&Effect::Follow(Topic::Campaign(CampaignId(12)))), "{effects:?}");
    let effects = keys(&mut model, &[Key::Char('1')]);
    assert!(effects.contains(&Effect::Leave(Topic::Campaign(CampaignId(12)))), "{effects:?}");
}

#[test]
fn a_frozen_screen_stays_as_it_was_and_counts_what_is_new() {
    let mut model = live();
    text(&mut model, " ");
    let rows = vec![Row::Overview(Box::default())];
    update(&mut model, Msg::Link(LinkEvent::Delta { topic: Topic::Overview, rows, gone: vec![] }));
    update(&mut model, Msg::Link(LinkEvent::Events { skipped: 0, events: later() }));
    assert_eq!(model.shown().overview, Some(fixtures::overview()));
    assert_eq!(model.frozen.as_ref().map(|f| f.new_events), Some(5));
    text(&mut model, " ");
    assert_eq!(model.shown().overview, Some(usher_common::model::Overview::default()));
}

#[test]
fn rows_stay_under_the_cursor_while_somebody_reads() {
    let mut model = live();
    keys(&mut model, &[Key::Char('3'), Key::Char('j')]);
    let before = model.campaigns.order().to_vec();
    let mut rows = fixtures::campaigns();
    rows[0].state = CampaignState::Finished;
    let rows: Vec<Row> = rows.into_iter().map(|row| Row::Campaign(Box::new(row))).collect();
    update(&mut model, Msg::Link(LinkEvent::Delta { topic: Topic::Campaigns, rows, gone: vec![] }));
    assert_eq!(model.campaigns.order(), before);
    update(&mut model, Msg::Time(fixtures::now(102)));
    assert_ne!(model.campaigns.order(), before);
    assert_eq!(model.campaigns.selected(), Some(&before[1]));
}

#[test]
fn the_log_stays_where_its_reader_is() {
    let mut model = live();
    keys(&mut model, &[Key::Char('9'), Key::Char('k'), Key::Char('k')]);
    assert_eq!(model.log_back, 2);
    update(&mut model, Msg::Link(LinkEvent::Events { skipped: 0, events: later() }));
    assert_eq!(model.log_back, 7);
    keys(&mut model, &[Key::Char('G')]);
    assert_eq!(model.log_back, 0);
}

#[test]
fn a_new_line_to_the_same_daemon_does_not_tell_the_log_twice() {
    let mut model = live();
    let again = || Msg::Link(LinkEvent::Events { skipped: 0, events: fixtures::events() });
    update(&mut model, again());
    assert_eq!(model.data.log.len(), 5);
    let welcome = usher_common::protocol::Welcome { epoch: 2, ..fixtures::welcome() };
    update(&mut model, Msg::Link(LinkEvent::Welcome { welcome, acts: true }));
    update(&mut model, again());
    assert_eq!(model.data.log.len(), 10, "another daemon counts anew");
}

#[test]
fn a_filter_is_typed_and_taken_back() {
    let mut model = live();
    text(&mut model, "3/paused");
    assert_eq!(model.campaigns.order(), [CampaignId(14)]);
    keys(&mut model, &[Key::Enter, Key::Esc]);
    assert_eq!(model.campaigns.order().len(), 5);
    assert_eq!(model.stack, [Screen::Campaigns]);
}

#[test]
fn completion_goes_as_far_as_it_is_certain() {
    let mut model = live();
    text(&mut model, ":campaign S");
    keys(&mut model, &[Key::Tab]);
    assert_eq!(model.mode, Mode::Command("campaign Save the date".to_owned()));
    keys(&mut model, &[Key::Esc]);
    text(&mut model, ":ca");
    keys(&mut model, &[Key::Tab]);
    assert_eq!(model.mode, Mode::Command("ca".to_owned()), "campaign, campaigns and cancel");
}

#[test]
fn a_second_filter_does_not_begin_with_the_first() {
    let mut model = live();
    text(&mut model, "3/paused");
    keys(&mut model, &[Key::Enter]);
    text(&mut model, "/run");
    assert_eq!(model.filter(), "run");
    keys(&mut model, &[Key::Esc]);
    assert_eq!((model.filter(), model.campaigns.order()), ("paused", &[CampaignId(14)][..]), "Esc brings it back");
}

fn told(model: &mut Model, tag: u64) {
    let lines = vec![EffectLine { what: "412 waiting email messages".to_owned(), effect: "would move".to_owned() }];
    update(model, Msg::Link(LinkEvent::Answer { tag, result: Ok(Reply::Preview(lines)) }));
}

#[test]
fn a_hold_needs_no_arming_and_no_dialog() {
    let mut model = live();
    text(&mut model, ":hold all");
    let effects = keys(&mut model, &[Key::Enter]);
    let [Effect::Call { request, act: Some(act), .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(**request, Request::Hold { target: Target::All, seconds: None });
    assert!(!act.preview, "it is done at once");
    text(&mut model, ":hold campaign Save the date");
    let effects = keys(&mut model, &[Key::Enter]);
    assert!(matches!(&effects[..], [Effect::Call { request, .. }]
        if **request == Request::Hold { target: Target::Campaign(CampaignId(12)), seconds: None }));
    text(&mut model, ":release all");
    assert!(keys(&mut model, &[Key::Enter]).is_empty(), "letting go is an act like any other");
    assert!(model.notice.as_ref().is_some_and(|n| n.text.contains("not armed")), "{:?}", model.notice);
}

#[test]
fn draining_asks_for_a_time_and_a_reason_and_tells_its_effect_anew_when_the_time_changes() {
    let mut model = live();
    text(&mut model, "W2");
    let effects = keys(&mut model, &[Key::Char('x'), Key::Enter]);
    let [Effect::Call { tag, request, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let drain = |seconds| {
        let provider = "resend".to_owned();
        Request::ProviderSteer { provider, steer: Steer::Drain, seconds }
    };
    assert_eq!(**request, drain(3_600));
    told(&mut model, *tag);
    keys(&mut model, &[Key::Tab, Key::Ctrl('u')]);
    text(&mut model, "30m");
    let effects = keys(&mut model, &[Key::Tab]);
    let [Effect::Call { tag, request, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(**request, drain(1_800), "asked again");
    keys(&mut model, &[Key::Tab, Key::Enter]);
    assert!(missing(&model).contains("wait for the daemon"));
    told(&mut model, *tag);
    keys(&mut model, &[Key::Enter]);
    assert!(missing(&model).contains("say why"));
    keys(&mut model, &[Key::BackTab]);
    text(&mut model, "looks ill");
    let effects = keys(&mut model, &[Key::Tab, Key::Enter]);
    let [Effect::Call { request, act: Some(act), .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((&**request, act.reason.as_str(), act.preview), (&drain(1_800), "looks ill", false));
}

#[test]
fn a_provider_that_somebody_else_steered_is_not_acted_on() {
    let mut model = live();
    text(&mut model, "W:failover resend");
    let effects = keys(&mut model, &[Key::Enter]);
    let [Effect::Call { tag, .. }] = *effects.as_slice() else { panic!("{effects:?}") };
    told(&mut model, tag);
    keys(&mut model, &[Key::Tab, Key::Tab, Key::Tab]);
    text(&mut model, "ill");
    let mut rows = fixtures::providers();
    rows[0].controls = vec![fixtures::drained("resend")];
    let rows = rows.into_iter().map(|row| Row::Provider(Box::new(row))).collect();
    update(&mut model, Msg::Link(LinkEvent::Snapshot { topic: Topic::Providers, rows }));
    assert!(keys(&mut model, &[Key::Tab, Key::Enter]).is_empty());
    assert!(missing(&model).contains("somebody else has steered it"), "{}", missing(&model));
}

#[test]
fn a_message_in_doubt_is_settled_where_it_stands() {
    let mut model = live();
    text(&mut model, ":campaign c12");
    keys(&mut model, &[Key::Enter]);
    let menu = model.menu_at_hand().expect("a campaign");
    let all = menu.entries.iter().filter(|(subject, _)| *subject == Subject::Doubt(CampaignId(12), None)).count();
    assert_eq!(all, 3, "accepted, failed, resend for all that is in doubt");
    let request = Deed::Settle(Verdict::Failed).request(&Subject::Doubt(CampaignId(12), None), &Inputs::default());
    let (campaign, messages) = (CampaignId(12), Vec::new());
    assert_eq!(request, Ok(Request::DoubtSettle { campaign, messages, verdict: Verdict::Failed }));
    assert!(Deed::Settle(Verdict::Resend).asks_for_name(), "somebody may hear it twice");
}
