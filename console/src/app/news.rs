//! News from the line, and the calls that screens make for themselves.

use std::time::Duration;

use usher_common::model::{CampaignId, Target};
use usher_common::protocol::{EffectLine, GuestName, Reply, Request, Topic};

use super::model::Pending;
use super::update::reading;
use super::{ActDraft, Effect, Effects, LOG_KEPT, Mode, Model, Screen, Tone};
use crate::figures;
use crate::session::{CallError, LinkEvent, LinkState};

/// A campaign's messages are not asked for more often.
const MESSAGES_EVERY: Duration = Duration::from_secs(2);

pub(super) fn link(model: &mut Model, event: LinkEvent, effects: &mut Vec<Effect>) {
    if !matches!(event, LinkEvent::State(_) | LinkEvent::Answer { .. }) {
        model.heard = Some(model.now.mono);
    }
    match event {
        LinkEvent::State(state) => {
            if matches!(state, LinkState::Live(_)) {
                model.heard = Some(model.now.mono);
                if !matches!(model.link, LinkState::Live(_)) {
                    model.messages_due = true;
                }
            }
            model.link = state;
        }
        LinkEvent::Welcome { welcome, acts } => {
            model.skew_ms = welcome.now.millis_since(model.now.wall);
            if !acts {
                let theirs = crate::text::clean(&welcome.version);
                let text = format!(
                    "the daemon is {theirs} with other types than this console {}: JSON is spoken, no acts",
                    env!("CARGO_PKG_VERSION")
                );
                model.say(Tone::Warning, text);
            }
            model.acts = acts;
            model.data.epoch(welcome.epoch);
            model.welcome = Some(welcome);
        }
        LinkEvent::Snapshot { topic, rows } => {
            model.data.snapshot(topic, rows);
            changed(model, topic);
        }
        LinkEvent::Delta { topic, rows, gone } => {
            model.data.delta(rows, &gone, topic);
            changed(model, topic);
        }
        LinkEvent::Events { skipped, events } => {
            let count = model.data.events(skipped, events);
            if let Some(frozen) = &mut model.frozen {
                frozen.new_events += count as u64;
            } else if model.log_back > 0 {
                // Who reads further up stays on the same rows.
                model.log_back = (model.log_back + count).min(LOG_KEPT);
            }
        }
        LinkEvent::Heartbeat(now) => model.skew_ms = now.millis_since(model.now.wall),
        LinkEvent::Progress { tag, done, total } => progress(model, tag, done, total),
        LinkEvent::Answer { tag, result } => answer(model, tag, result, effects),
    }
}

/// A call that takes long says how far it is: in the dialog that waits for it, else where its end will be told.
fn progress(model: &mut Model, tag: u64, done: u64, total: u64) {
    let of = if total > 0 { format!(" of {}", figures::count(total)) } else { String::new() };
    let far = format!("{}{of} guests looked at", figures::count(done));
    match model.pending.get(&tag) {
        Some(Pending::Act(what)) => {
            let text = format!("{what}: {far}");
            model.say(Tone::Plain, text);
        }
        Some(Pending::Preview(dialog)) => {
            if let Mode::Dialog(open) = &mut model.mode
                && open.tag == *dialog
                && matches!(open.effects, Effects::Asked(_))
            {
                open.effects = Effects::Asked(far);
            }
        }
        _ => {}
    }
}

fn changed(model: &mut Model, topic: Topic) {
    if model.frozen.is_some() {
        return;
    }
    match topic {
        Topic::Campaign(_) => model.messages_due = true,
        Topic::Providers | Topic::Campaigns | Topic::Alerts | Topic::Sla => {
            let reading = reading(model);
            model.reorder(reading);
        }
        Topic::Overview | Topic::Log => {}
    }
}

fn answer(model: &mut Model, tag: u64, result: Result<Reply, CallError>, effects: &mut Vec<Effect>) {
    let Some(pending) = model.pending.remove(&tag) else { return };
    match (pending, result) {
        (Pending::Messages(id, state), Ok(Reply::Messages(page))) => {
            let shown = matches!(model.screen(), Screen::Campaign(on) | Screen::Message(on, _) if *on == id);
            if shown && state == model.state_filter {
                model.data.messages = Some(page.rows);
                model.data.messages_total = page.total;
                if model.frozen.is_none() {
                    model.reorder(true);
                }
            }
        }
        (Pending::Message(id), Ok(Reply::Message(detail))) => {
            if matches!(model.screen(), Screen::Message(_, on) if *on == id) {
                let guest = detail.row.guest;
                let known = model.data.guest.as_ref().is_some_and(|row| row.id == guest);
                let list = model.data.detail.as_ref().map(|campaign| campaign.spec.audience.list());
                model.data.message = Some(*detail);
                if let (false, Some(list)) = (known, list) {
                    model.data.guest = None;
                    ask(model, effects, Pending::Guest(id), Request::Guest { list, guest: GuestName::Id(guest) }, None);
                }
            }
        }
        (Pending::Guest(id), Ok(Reply::Guest(row))) => {
            if matches!(model.screen(), Screen::Message(_, on) if *on == id) {
                model.data.guest = Some(*row);
            }
        }
        (Pending::Why(target), Ok(Reply::Why(answers))) => {
            if why_target(model).is_some_and(|on| on == target) && model.frozen.is_none() {
                model.data.why = answers;
            }
        }
        (Pending::Preview(dialog), result) => {
            let told = match result {
                Ok(Reply::Preview(lines)) => Effects::Told(lines),
                // A daemon may have nothing to say beyond one line.
                Ok(Reply::Done(line)) => Effects::Told(vec![EffectLine { what: "now:".to_owned(), effect: line }]),
                Ok(_) => Effects::Refused("the daemon answered something else".to_owned()),
                Err(e) => Effects::Refused(e.to_string()),
            };
            if let Mode::Dialog(open) = &mut model.mode
                && open.tag == dialog
            {
                open.effects = told;
            }
        }
        (Pending::Act(what), result) => match result {
            Ok(Reply::Done(line)) => model.say(Tone::Ok, format!("{what}: {line}")),
            Ok(Reply::Campaign(detail)) => model.say(Tone::Ok, format!("{what}: done, it is {} now", detail.row.state)),
            Ok(_) => model.say(Tone::Ok, format!("{what}: done")),
            Err(e) => model.say(Tone::Critical, format!("{what}: {e}")),
        },
        // A guest that was deleted since is no fault of the console, and a broken line is told elsewhere.
        (Pending::Guest(_) | Pending::Why(_), Err(_)) | (_, Err(CallError::Lost(_))) => {}
        (_, Err(e)) => model.say(Tone::Warning, e.to_string()),
        (_, Ok(_)) => model.say(Tone::Warning, "the daemon answered something that this console does not know"),
    }
}

pub(super) fn ask(
    model: &mut Model,
    effects: &mut Vec<Effect>,
    pending: Pending,
    request: Request,
    act: Option<ActDraft>,
) -> u64 {
    let tag = model.next_tag;
    model.next_tag += 1;
    model.pending.insert(tag, pending);
    effects.push(Effect::Call { tag, request: Box::new(request), act });
    tag
}

pub(super) fn refresh_messages(model: &mut Model, effects: &mut Vec<Effect>) {
    let recent = model.messages_asked.is_some_and(|at| model.now.mono.saturating_sub(at) < MESSAGES_EVERY);
    if !model.messages_due || recent || !matches!(model.link, LinkState::Live(_)) {
        return;
    }
    match *model.screen() {
        Screen::Campaign(id) => ask_messages(model, effects, id),
        Screen::Message(campaign, id) => {
            model.messages_due = false;
            model.messages_asked = Some(model.now.mono);
            ask(model, effects, Pending::Message(id), Request::Message { campaign, id }, None);
        }
        _ => model.messages_due = false,
    }
}

/// What the screen says why of.
fn why_target(model: &Model) -> Option<Target> {
    match model.screen() {
        Screen::Campaign(id) => Some(Target::Campaign(*id)),
        Screen::Provider(name) => Some(Target::Provider(name.clone())),
        _ => None,
    }
}

/// Asks, now and again, why what is on screen moves as it does.
pub(super) fn refresh_why(model: &mut Model, effects: &mut Vec<Effect>) {
    let recent = model.why_asked.is_some_and(|at| model.now.mono.saturating_sub(at) < MESSAGES_EVERY);
    if recent || model.frozen.is_some() || !matches!(model.link, LinkState::Live(_)) {
        return;
    }
    if let Some(target) = why_target(model) {
        model.why_asked = Some(model.now.mono);
        ask(model, effects, Pending::Why(target.clone()), Request::Why { target }, None);
    }
}

pub(super) fn ask_messages(model: &mut Model, effects: &mut Vec<Effect>, campaign: CampaignId) {
    model.messages_due = false;
    model.messages_asked = Some(model.now.mono);
    let (state, limit) = (model.state_filter, model.messages_wanted);
    let request = Request::Messages { campaign, state, after: None, limit };
    ask(model, effects, Pending::Messages(campaign, state), request, None);
}
