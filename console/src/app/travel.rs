//! From screen to screen: there, into what is selected, and back.

use usher_common::model::{CampaignId, MessageId};
use usher_common::protocol::{Request, Topic};

use super::model::Pending;
use super::news::{ask, ask_messages};
use super::update::refiltered;
use super::{Effect, Model, Screen};

pub(super) fn jump(model: &mut Model, to: Screen, effects: &mut Vec<Effect>) {
    leave_all(model, effects);
    model.stack = vec![to];
    model.panel = 0;
}

fn leave_all(model: &mut Model, effects: &mut Vec<Effect>) {
    while model.stack.len() > 1 {
        leave(model, effects);
    }
}

fn leave(model: &mut Model, effects: &mut Vec<Effect>) {
    match model.stack.pop() {
        Some(Screen::Provider(_)) => forget_why(model),
        Some(Screen::Campaign(id)) => {
            forget_why(model);
            effects.push(Effect::Leave(Topic::Campaign(id)));
            model.data.detail = None;
            model.data.messages = None;
            model.messages = super::Roster::default();
        }
        Some(Screen::Message(..)) => {
            model.data.message = None;
            model.data.guest = None;
            model.messages_due = true;
        }
        _ => {}
    }
}

fn forget_why(model: &mut Model) {
    model.data.why.clear();
    model.why_asked = None;
}

pub(super) fn back(model: &mut Model, effects: &mut Vec<Effect>) {
    if let Some(filter) = model.filter_mut().filter(|f| !f.is_empty()) {
        filter.clear();
        refiltered(model);
    } else if model.notice.take().is_some() && model.stack.len() == 1 {
        // Esc has put the notice away, which is what it was pressed for here.
    } else if model.stack.len() > 1 {
        leave(model, effects);
    }
}

pub(super) fn into(model: &mut Model, effects: &mut Vec<Effect>) {
    match (model.screen().clone(), model.panel) {
        (Screen::Providers, _) | (Screen::Overview, 0) => {
            if let Some(name) = model.providers.selected().cloned() {
                model.stack.push(Screen::Provider(name));
            }
        }
        (Screen::Campaigns | Screen::Overview, _) => {
            if let Some(id) = model.campaigns.selected().copied() {
                open_campaign(model, id, effects);
            }
        }
        (Screen::Campaign(campaign), _) => {
            if let Some(id) = model.messages.selected().copied() {
                open_message(model, campaign, id, effects);
            }
        }
        // What is behind an alert or a level: its provider's page, or its campaign's.
        (Screen::Alerts, _) => {
            let key = model.alerts.selected().cloned();
            let object = key.and_then(|key| Some(model.shown().alerts.as_ref()?.get(&key)?.object.clone()));
            open_object(model, object.as_deref(), effects);
        }
        (Screen::Sla, _) => {
            let object = model.slas.selected().cloned();
            open_object(model, object.as_deref(), effects);
        }
        _ => {}
    }
}

/// The page of what an alert or a service level is of, in the log's words; the list where it has none of its own.
fn open_object(model: &mut Model, object: Option<&str>, effects: &mut Vec<Effect>) {
    let mut words = object.unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some("provider"), Some(name)) if model.provider(name).is_some() => {
            model.stack.push(Screen::Provider(name.to_owned()));
        }
        (Some("campaign"), Some(id)) => {
            if let Ok(id) = id.parse() {
                open_campaign(model, id, effects);
            }
        }
        _ => model.stack.push(Screen::Providers),
    }
}

pub(super) fn open_campaign(model: &mut Model, id: CampaignId, effects: &mut Vec<Effect>) {
    model.frozen = None;
    model.stack.push(Screen::Campaign(id));
    model.panel = 0;
    model.state_filter = None;
    model.messages_wanted = 200;
    effects.push(Effect::Follow(Topic::Campaign(id)));
    ask_messages(model, effects, id);
}

fn open_message(model: &mut Model, campaign: CampaignId, id: MessageId, effects: &mut Vec<Effect>) {
    model.frozen = None;
    model.stack.push(Screen::Message(campaign, id));
    model.data.message = None;
    model.messages_asked = Some(model.now.mono);
    ask(model, effects, Pending::Message(id), Request::Message { campaign, id }, None);
}

/// What names the selected row, for the clipboard.
pub(super) fn selected_text(model: &Model) -> Option<String> {
    match (model.screen(), model.panel) {
        (Screen::Providers, _) | (Screen::Overview, 0) => model.providers.selected().cloned(),
        (Screen::Campaigns | Screen::Overview, _) => model.campaigns.selected().map(ToString::to_string),
        (Screen::Campaign(_), _) => model.messages.selected().map(ToString::to_string),
        (Screen::Alerts, _) => model.alerts.selected().and_then(|key| {
            let row = model.shown().alerts.as_ref()?.get(key)?;
            Some(format!("{} {}", row.rule, row.object))
        }),
        (Screen::Sla, _) => model.slas.selected().cloned(),
        (Screen::Log, _) => {
            let rows = model.log_rows();
            let at = rows.len().checked_sub(1 + model.log_back)?;
            model.shown().log.get(*rows.get(at)?).map(|e| crate::text::clean(&format!("{} {}", e.object, e.text)))
        }
        (Screen::Provider(_) | Screen::Message(..), _) => None,
    }
}
