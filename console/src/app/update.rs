//! `update`: what a message makes of the model, and what is to be done about it.

use std::time::Duration;

use usher_common::model::{CampaignId, MessageState, Target};
use usher_common::protocol::Request;

use super::command::{Command, complete, parse};
use super::model::Pending;
use super::news::{ask, ask_messages, link, refresh_messages, refresh_why};
use super::travel::{back, into, jump, open_campaign, selected_text};
use super::{
    ActDraft, CAMPAIGN_SORTS, Deed, Dialog, Effect, Effects, Field, Frozen, HoldName, Mode, Model, Msg, PROVIDER_SORTS,
    Screen, Subject, Tone,
};
use crate::keys::{self, Action, Key};
use crate::session::LinkState;

/// Acts stay armed for so long.
const ARMED_FOR: Duration = Duration::from_mins(5);
/// Rows do not move within this time of a key.
const READING: Duration = Duration::from_secs(1);
/// Most messages that the daemon gives at once.
const MESSAGES_MAX: u32 = 1_000;
/// Nothing typed gets longer, in bytes.
const LINE_MAX: usize = 256;

/// Takes one message in.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Time(now) => {
            model.now = now;
            if model.order_due && !reading(model) {
                model.reorder(false);
            }
            if model.armed_until.is_some() && model.armed_for().is_none() {
                model.armed_until = None;
                model.say(Tone::Plain, "acts are not armed any more");
            }
            refresh_messages(model, &mut effects);
            refresh_why(model, &mut effects);
        }
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Paste(text) => typed(model, &text),
        Msg::Key(key) => {
            model.last_key = Some(model.now.mono);
            match keys::lookup(&model.scopes(), key) {
                Some(action) => act(model, action, &mut effects),
                None => {
                    if let Key::Char(c) = key {
                        typed(model, c.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
        Msg::Link(event) => link(model, event, &mut effects),
    }
    effects
}

pub(super) fn reading(model: &Model) -> bool {
    model.last_key.is_some_and(|at| model.now.mono.saturating_sub(at) < READING)
}

// ---- keys

fn typed(model: &mut Model, text: &str) {
    match &mut model.mode {
        Mode::Command(line) if line.len() + text.len() <= LINE_MAX => line.push_str(&crate::text::clean(text)),
        Mode::Filter { .. } => {
            let text = crate::text::clean(text);
            if let Some(filter) = model.filter_mut().filter(|f| f.len() + text.len() <= LINE_MAX) {
                filter.push_str(&text);
            }
            refiltered(model);
        }
        Mode::Dialog(dialog) => dialog.type_text(text),
        _ => {}
    }
}

pub(super) fn refiltered(model: &mut Model) {
    model.log_back = 0;
    model.reorder(false);
}

fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::ForceQuit | Action::Quit => return effects.push(Effect::Quit { print: false }),
        Action::QuitPrinting => return effects.push(Effect::Quit { print: true }),
        _ => {}
    }
    match &mut model.mode {
        Mode::Screen => on_screen(model, action, effects),
        Mode::Help(top) => match action {
            Action::Down => *top += 1,
            Action::Up => *top = top.saturating_sub(1),
            Action::PageDown => *top += usize::from(model.size.1 / 2),
            Action::PageUp => *top = top.saturating_sub(usize::from(model.size.1 / 2)),
            _ => model.mode = Mode::Screen,
        },
        Mode::Filter { before } => match action {
            Action::Accept => model.mode = Mode::Screen,
            Action::Back => {
                let before = std::mem::take(before);
                if let Some(filter) = model.filter_mut() {
                    *filter = before;
                }
                model.mode = Mode::Screen;
                refiltered(model);
            }
            Action::Erase | Action::EraseAll => {
                if let Some(filter) = model.filter_mut() {
                    erase(filter, action);
                }
                refiltered(model);
            }
            _ => {}
        },
        Mode::Command(line) => match action {
            Action::Accept => {
                let line = std::mem::take(line);
                model.mode = Mode::Screen;
                if !line.trim().is_empty() {
                    match parse(&line) {
                        Ok(command) => run(model, command, effects),
                        Err(why) => model.say(Tone::Warning, why),
                    }
                }
            }
            Action::Complete => {
                let line = line.clone();
                let found = complete(model, &line);
                if let Some(longer) = common(&found).filter(|c| c.len() >= line.len()) {
                    let more = if found.len() == 1 && takes_more(&longer) { " " } else { "" };
                    model.mode = Mode::Command(longer + more);
                }
            }
            Action::Erase if line.is_empty() => model.mode = Mode::Screen,
            Action::Erase | Action::EraseAll => erase(line, action),
            Action::Back => model.mode = Mode::Screen,
            _ => {}
        },
        Mode::Menu(menu) => match action {
            Action::Down => menu.selected = (menu.selected + 1).min(menu.entries.len().saturating_sub(1)),
            Action::Up => menu.selected = menu.selected.saturating_sub(1),
            Action::Arm => arm(model, None),
            Action::Accept => {
                let chosen = menu.entries.get(menu.selected).cloned();
                if let Some((subject, deed)) = chosen {
                    open_dialog(model, deed, subject, effects);
                }
            }
            _ => model.mode = Mode::Screen,
        },
        Mode::Dialog(dialog) => match action {
            Action::Next | Action::Previous => {
                dialog.turn(action == Action::Next);
                ask_preview(model, effects);
            }
            Action::Erase | Action::EraseAll => {
                if let Some(field) = dialog.text() {
                    erase(field, action);
                }
            }
            Action::Accept => match dialog.field {
                Field::Cancel => model.mode = Mode::Screen,
                Field::Reason | Field::Name | Field::Span | Field::What => {
                    dialog.turn(true);
                    ask_preview(model, effects);
                }
                Field::Act => press(model, effects),
            },
            _ => model.mode = Mode::Screen,
        },
    }
}

fn erase(line: &mut String, action: Action) {
    if action == Action::EraseAll {
        line.clear();
    } else {
        line.pop();
    }
}

/// What all candidates begin with.
fn common(found: &[String]) -> Option<String> {
    let mut common = found.first()?.clone();
    for other in found {
        while !other.starts_with(&common) {
            common.pop();
        }
    }
    Some(common)
}

fn takes_more(word: &str) -> bool {
    super::COMMANDS.iter().any(|(name, rest, _)| *name == word && !rest.is_empty())
}

fn on_screen(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Help => model.mode = Mode::Help(0),
        Action::Command => model.mode = Mode::Command(String::new()),
        Action::Filter => {
            // A new filter is typed, not the end of the old one; Esc brings that back.
            if let Some(before) = model.filter_mut().map(std::mem::take) {
                model.mode = Mode::Filter { before };
                refiltered(model);
            }
        }
        Action::Overview => jump(model, Screen::Overview, effects),
        Action::Providers => jump(model, Screen::Providers, effects),
        Action::Campaigns => jump(model, Screen::Campaigns, effects),
        Action::Sla => jump(model, Screen::Sla, effects),
        Action::Alerts => jump(model, Screen::Alerts, effects),
        Action::Acknowledge => super::alerts::acknowledge(model, effects),
        Action::Log => jump(model, Screen::Log, effects),
        Action::Into => into(model, effects),
        Action::Back => back(model, effects),
        Action::Up => step(model, -1, effects),
        Action::Down => step(model, 1, effects),
        Action::PageUp => step(model, -page(model), effects),
        Action::PageDown => step(model, page(model), effects),
        Action::Top => step(model, isize::MIN / 2, effects),
        Action::Bottom => step(model, isize::MAX / 2, effects),
        Action::Next => model.panel = (model.panel + 1) % model.panels(),
        Action::Previous => model.panel = (model.panel + model.panels() - 1) % model.panels(),
        Action::Sort => {
            if *model.screen() == Screen::Campaigns {
                model.campaigns.sort = (model.campaigns.sort + 1) % CAMPAIGN_SORTS.len();
            } else {
                model.providers.sort = (model.providers.sort + 1) % PROVIDER_SORTS.len();
            }
            model.reorder(false);
        }
        Action::Reverse => {
            if *model.screen() == Screen::Campaigns {
                model.campaigns.reverse = !model.campaigns.reverse;
            } else {
                model.providers.reverse = !model.providers.reverse;
            }
            model.reorder(false);
        }
        Action::Freeze => {
            if model.frozen.take().is_some() {
                model.reorder(false);
            } else {
                let frozen = Frozen { data: model.data.clone(), at: model.now.mono, new_events: 0 };
                model.frozen = Some(Box::new(frozen));
            }
        }
        Action::Copy => match selected_text(model) {
            Some(text) => {
                model.say(Tone::Plain, format!("copied {text} through the terminal (OSC 52)"));
                effects.push(Effect::Copy(text));
            }
            None => model.say(Tone::Plain, "nothing is selected"),
        },
        Action::Arm => arm(model, None),
        Action::Acts => match model.menu_at_hand() {
            Some(menu) => model.mode = Mode::Menu(menu),
            None => model.say(Tone::Plain, "select a provider (2) or a campaign (3) first"),
        },
        Action::NextState => {
            model.state_filter = match model.state_filter {
                None => Some(MessageState::ALL[0]),
                Some(state) => MessageState::ALL.iter().skip_while(|s| **s != state).nth(1).copied(),
            };
            model.data.messages = None;
            model.reorder(false);
            if let Screen::Campaign(id) = *model.screen() {
                ask_messages(model, effects, id);
            }
        }
        Action::Retry => effects.push(Effect::RetryNow),
        Action::Repaint => effects.push(Effect::Repaint),
        Action::Suspend => effects.push(Effect::Suspend),
        _ => {}
    }
}

fn arm(model: &mut Model, wanted: Option<bool>) {
    if wanted.unwrap_or(model.armed_for().is_none()) {
        model.armed_until = Some(model.now.mono + ARMED_FOR);
        model.say(Tone::Plain, "acts are armed for five minutes; W disarms");
    } else {
        model.armed_until = None;
        model.say(Tone::Plain, "acts are not armed");
    }
}

fn page(model: &Model) -> isize {
    isize::from(i16::try_from(model.size.1).unwrap_or(i16::MAX)).saturating_sub(8).max(1)
}

fn step(model: &mut Model, by: isize, effects: &mut Vec<Effect>) {
    match (model.screen().clone(), model.panel) {
        (Screen::Providers, _) | (Screen::Overview, 0) => model.providers.step(by),
        (Screen::Campaigns | Screen::Overview, _) => model.campaigns.step(by),
        (Screen::Campaign(id), _) => {
            model.messages.step(by);
            let loaded = model.messages.order().len();
            let at_end = loaded > 0 && model.messages.index() + 1 == loaded;
            let more = model.data.messages_total > model.data.messages.iter().flatten().count() as u64;
            if at_end && by > 0 && more && model.messages_wanted < MESSAGES_MAX {
                model.messages_wanted = (model.messages_wanted + 400).min(MESSAGES_MAX);
                ask_messages(model, effects, id);
            }
        }
        (Screen::Alerts, _) => model.alerts.step(by),
        (Screen::Sla, _) => model.slas.step(by),
        (Screen::Log, _) => {
            let rows = model.log_rows().len();
            model.log_back = model.log_back.saturating_add_signed(by.saturating_neg()).min(rows.saturating_sub(1));
        }
        (Screen::Provider(_) | Screen::Message(..), _) => {}
    }
}

// ---- commands and acts

fn run(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    match command {
        Command::Go(screen) => jump(model, screen, effects),
        Command::Help => model.mode = Mode::Help(0),
        Command::Quit => effects.push(Effect::Quit { print: false }),
        Command::Reconnect => effects.push(Effect::RetryNow),
        Command::Arm(wanted) => arm(model, Some(wanted)),
        Command::Theme(theme) if model.colours => model.theme = theme,
        Command::Theme(_) => model.say(Tone::Plain, "colours are off (NO_COLOR, TERM or --color never)"),
        Command::Filter(text) => {
            if let Some(filter) = model.filter_mut() {
                *filter = text;
            }
            refiltered(model);
        }
        Command::Sort(column) => {
            let campaigns = *model.screen() == Screen::Campaigns;
            let columns = if campaigns { CAMPAIGN_SORTS } else { PROVIDER_SORTS };
            match columns.iter().position(|c| *c == column) {
                Some(at) if campaigns => model.campaigns.sort = at,
                Some(at) => model.providers.sort = at,
                None => model.say(Tone::Warning, format!("sort by one of: {}", columns.join(", "))),
            }
            model.reorder(false);
        }
        Command::Provider(name) => {
            if model.data.providers.iter().flatten().any(|(known, _)| *known == name) {
                jump(model, Screen::Providers, effects);
                model.providers.select(&name);
                model.stack.push(Screen::Provider(name));
            } else {
                model.say(Tone::Warning, format!("no provider `{name}`: screen 2 lists them"));
            }
        }
        Command::Campaign(name) => match find_campaign(model, &name) {
            Some(id) => {
                jump(model, Screen::Campaigns, effects);
                model.campaigns.select(&id);
                open_campaign(model, id, effects);
            }
            None => model.say(Tone::Warning, format!("no campaign `{name}`: screen 3 lists them")),
        },
        Command::Act(act, name) => {
            let id =
                if name.is_empty() { model.campaign_at_hand().map(|row| row.id) } else { find_campaign(model, &name) };
            match id {
                Some(id) => open_dialog(model, Deed::Campaign(act), Subject::Campaign(id), effects),
                None => model.say(Tone::Warning, format!("{} which campaign? :{} NAME", act.word(), act.word())),
            }
        }
        Command::ProviderAct(act, name) => {
            if model.provider(&name).is_some() {
                open_dialog(model, Deed::Provider(act), Subject::Provider(name), effects);
            } else {
                model.say(Tone::Warning, format!("no provider `{name}`: screen 2 lists them"));
            }
        }
        Command::Hold(name) => match target(model, name) {
            Ok(target) => hold(model, target, effects),
            Err(why) => model.say(Tone::Warning, why),
        },
        Command::Release(name) => match target(model, name) {
            Ok(target) => open_dialog(model, Deed::Release, Subject::Held(target), effects),
            Err(why) => model.say(Tone::Warning, why),
        },
    }
}

/// What is meant by what was typed behind `:hold`.
fn target(model: &Model, name: HoldName) -> Result<Target, String> {
    match name {
        HoldName::All => Ok(Target::All),
        HoldName::Organisation(name) => Ok(Target::Organisation(name)),
        HoldName::Provider(name) => Ok(Target::Provider(name)),
        HoldName::Campaign(name) => {
            let id = find_campaign(model, &name).ok_or_else(|| format!("no campaign `{name}`: screen 3 lists them"))?;
            Ok(Target::Campaign(id))
        }
    }
}

/// Stops sending, at once: unarmed, without a dialog, whatever is on screen. It moves nothing, and is taken back in a moment.
fn hold(model: &mut Model, target: Target, effects: &mut Vec<Effect>) {
    if !matches!(model.link, LinkState::Live(_) | LinkState::Stale) {
        return model.say(Tone::Critical, "the daemon is not connected: `usher hold` on its machine stops it too");
    }
    let what = format!("hold {target}");
    model.say(Tone::Plain, format!("{what}: sent, waiting for the daemon"));
    let draft = ActDraft { reason: "held from the console".to_owned(), ..ActDraft::default() };
    ask(model, effects, Pending::Act(what), Request::Hold { target, seconds: None }, Some(draft));
}

fn find_campaign(model: &Model, name: &str) -> Option<CampaignId> {
    let rows = model.data.campaigns.as_ref()?;
    let named = rows.values().find(|row| crate::text::clean(&row.name) == name && row.deleted.is_none());
    named.map(|row| row.id).or_else(|| name.parse().ok().filter(|id| rows.contains_key(id)))
}

fn open_dialog(model: &mut Model, deed: Deed, subject: Subject, effects: &mut Vec<Effect>) {
    if let Some(barred) = model.acts_barred() {
        return model.say(Tone::Warning, barred);
    }
    let Some(seen) = model.seen(&subject) else { return model.say(Tone::Warning, "it is gone") };
    let name = match &subject {
        Subject::Campaign(id) | Subject::Doubt(id, _) => {
            model.campaign(*id).map_or(String::new(), |row| row.name.clone())
        }
        Subject::Provider(name) => name.clone(),
        Subject::Held(target) => target.to_string(),
    };
    let title = match &subject {
        Subject::Campaign(id) => format!("{} {id} {name}", deed.word()),
        Subject::Doubt(_, Some(message)) => format!("settle {message} as {}", deed.word()),
        Subject::Doubt(id, None) => format!("settle all of {id} as {}", deed.word()),
        Subject::Provider(_) | Subject::Held(_) => format!("{} {name}", deed.word()),
    };
    model.mode = Mode::Dialog(Box::new(Dialog::open(deed, subject, title, name, seen)));
    preview(model, effects);
}

/// The row version of what a dialog is about, where it has one.
fn version(model: &Model, subject: &Subject) -> Option<u64> {
    match subject {
        Subject::Campaign(id) => model.campaign(*id).map(|row| row.version),
        _ => None,
    }
}

/// Asks the daemon again where something else was typed meanwhile.
fn ask_preview(model: &mut Model, effects: &mut Vec<Effect>) {
    if matches!(&model.mode, Mode::Dialog(dialog) if dialog.is_outdated()) {
        preview(model, effects);
    }
}

/// Asks the daemon what the act would do.
fn preview(model: &mut Model, effects: &mut Vec<Effect>) {
    let tag = model.next_tag;
    let Mode::Dialog(dialog) = &mut model.mode else { return };
    dialog.asked = dialog.inputs.clone();
    match dialog.deed.request(&dialog.subject, &dialog.inputs) {
        Err(needs) => dialog.effects = Effects::Needs(needs),
        Ok(request) => {
            dialog.effects = Effects::Asked(String::new());
            dialog.tag = tag;
            let subject = dialog.subject.clone();
            let draft = ActDraft { preview: true, seen: version(model, &subject), ..ActDraft::default() };
            ask(model, effects, Pending::Preview(tag), request, Some(draft));
        }
    }
}

/// The button that acts was pressed.
fn press(model: &mut Model, effects: &mut Vec<Effect>) {
    let barred = model.acts_barred();
    let Mode::Dialog(dialog) = &model.mode else { return };
    let dialog = dialog.clone();
    let now = model.seen(&dialog.subject);
    let request = dialog.deed.request(&dialog.subject, &dialog.inputs);
    let missing = barred.or_else(|| dialog.stands_in_the_way(now.as_ref())).or_else(|| request.as_ref().err().cloned());
    let (None, Ok(request)) = (&missing, request) else {
        if let Mode::Dialog(open) = &mut model.mode {
            open.missing = missing;
        }
        return;
    };
    let seen = version(model, &dialog.subject);
    let draft = ActDraft { reason: dialog.inputs.reason.trim().to_owned(), seen, preview: false };
    let what = match &dialog.subject {
        Subject::Campaign(id) => format!("{} {id}", dialog.deed.word()),
        _ => dialog.title,
    };
    model.mode = Mode::Screen;
    model.say(Tone::Plain, format!("{what}: sent, waiting for the daemon"));
    ask(model, effects, Pending::Act(what), request, Some(draft));
}
