//! Alerts and service levels: in which order they stand, and taking one over.

use usher_common::model::AlertRow;
use usher_common::protocol::Request;

use super::model::Pending;
use super::{ActDraft, Effect, Model, Tone};

impl Model {
    /// What is told first, then the most urgent, and of these what has lasted longest.
    pub(super) fn alert_order(&self) -> Vec<String> {
        let rows = self.shown().alerts.iter().flatten();
        let mut rows: Vec<_> = rows
            .filter(|(_, r)| {
                self.alerts.passes(&format!("{} {} {} {} {}", r.priority, r.rule, r.object, r.state, r.summary))
            })
            .collect();
        // What is kept quiet follows from something above it, or is known.
        let place = |r: &AlertRow| (!r.quiet.is_empty(), r.priority, r.since, r.rule.clone());
        rows.sort_by_cached_key(|(_, row)| place(row));
        rows.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// The whole first, then channels, providers and campaigns.
    pub(super) fn sla_order(&self) -> Vec<String> {
        let rows = self.shown().slas.iter().flatten();
        let mut names: Vec<String> = rows
            .filter(|(name, r)| self.slas.passes(&format!("{name} {}", r.status)))
            .map(|(name, _)| name.clone())
            .collect();
        let place =
            |name: &str| ["all", "channel", "provider"].iter().position(|kind| name.starts_with(kind)).unwrap_or(3);
        names.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
        names
    }
}

/// Takes the selected alert over. The one act that one key does: it stops nothing and moves nothing.
pub(super) fn acknowledge(model: &mut Model, effects: &mut Vec<Effect>) {
    let key = model.alerts.selected().cloned();
    let rule = key.and_then(|key| Some(model.shown().alerts.as_ref()?.get(&key)?.rule.clone()));
    match rule {
        None => model.say(Tone::Plain, "select an alert first"),
        Some(_) if model.is_stale() => {
            model.say(Tone::Warning, "nothing acts on stale data: wait until the line is live");
        }
        Some(rule) => {
            let what = Pending::Act(format!("acknowledge {rule}"));
            super::news::ask(model, effects, what, Request::AlertAcknowledge { rule }, Some(ActDraft::default()));
        }
    }
}
