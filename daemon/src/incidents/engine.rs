//! The alert engine: readings go in once a second or when something turned, and out comes what somebody is to be told.
//!
//! A state machine for each rule and object: inactive, pending, firing, recovering, resolved. Alerts of a rule are told as one group.
//! What is silenced, covered by a maintenance window or inhibited by something worse is not told, and is told when that ends and it is
//! still so. Nothing here knows a clock, a socket or a disk; everything that has to outlive the daemon is in [`AlertRecord`] and
//! [`GroupRecord`], which whoever drives it keeps before anything is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use usher_common::model::{AlertState, IncidentId, Priority, Timestamp};

use super::cover::Cover;
use super::notice::{Notice, NoticeAlert, Reason};
use crate::config::rule::{Rule, Take, Test};
use crate::monitor::Reading;

/// Alerts that are told of one by one in a notice; of the others their number.
const LISTED: usize = 20;
/// Instances that are looked after at once; beyond them only the worst are.
const INSTANCES: usize = 200;
/// What comes to a group that was told of is told after this: faults of one cause come within seconds.
const GATHER: Duration = Duration::from_secs(10);
const GATHER_TICKET: Duration = Duration::from_mins(5);
/// It is told again that it is still so.
const REPEAT: Duration = Duration::from_hours(1);
const REPEAT_TICKET: Duration = Duration::from_hours(4);
/// More turns than this within the time are told once, and then no more until it is stable for as long.
const TURNS: usize = 4;
const FLAPPING: Duration = Duration::from_mins(15);
/// Notices in a minute; what is over waits and goes out together with what came meanwhile.
const A_MINUTE: usize = 20;

/// Names an alert: rule and object.
pub type AlertKey = (String, String);

/// What is kept of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Where it stands.
    pub state: AlertState,
    /// Since when it holds.
    pub since: Timestamp,
    /// When it fired.
    pub fired: Option<Timestamp>,
    /// Since when it does not hold.
    pub clear: Option<Timestamp>,
    /// The last figure.
    pub value: f64,
    /// What is behind it.
    pub detail: String,
    /// When it turned lately, oldest first.
    pub turns: VecDeque<Timestamp>,
    /// Whether a silence or a window keeps it from being told.
    pub covered: bool,
    /// Whether one did since it fired, so that a notice can say why it comes only now.
    pub was_covered: bool,
    /// Whether something worse speaks for it.
    pub inhibited: bool,
}

/// What is kept of a group: what was told, and when.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Objects that were told of as firing.
    pub told: BTreeSet<String>,
    /// When something was told last.
    pub last: Option<Timestamp>,
    /// Notices so far; names the next.
    pub count: u64,
    /// Whether it was told that it comes and goes.
    pub flapping: bool,
    /// Its incident.
    pub incident: Option<IncidentId>,
    /// Until when somebody has taken it over, so that it is not repeated.
    pub acknowledged: Option<Timestamp>,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct Step {
    /// What is to be told.
    pub notices: Vec<Notice>,
    /// Alerts whose records changed, or went.
    pub alerts: BTreeSet<AlertKey>,
    /// Groups whose records changed, or went.
    pub groups: BTreeSet<String>,
    /// Alerts that fired or were over, in words.
    pub turned: Vec<(AlertKey, AlertState)>,
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    rules: Vec<Rule>,
    alerts: BTreeMap<AlertKey, AlertRecord>,
    groups: BTreeMap<String, GroupRecord>,
    samples: BTreeMap<AlertKey, VecDeque<(Timestamp, f64)>>,
    sent: VecDeque<Timestamp>,
}

struct Seen {
    holds: bool,
    value: f64,
    detail: String,
}

impl Engine {
    /// An engine with these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Goes on from what was kept. What belongs to a rule that is no more is let go.
    pub fn resume(&mut self, alerts: Vec<(AlertKey, AlertRecord)>, groups: Vec<(String, GroupRecord)>) {
        let known: BTreeSet<&str> = self.rules.iter().map(|rule| rule.name.as_str()).collect();
        self.alerts = alerts.into_iter().filter(|(key, _)| known.contains(key.0.as_str())).collect();
        self.groups = groups.into_iter().filter(|(name, _)| known.contains(name.as_str())).collect();
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Every alert that is pending, firing or recovering.
    pub fn alerts(&self) -> impl Iterator<Item = (&AlertKey, &AlertRecord)> {
        let there = |state| matches!(state, AlertState::Pending | AlertState::Firing | AlertState::Recovering);
        self.alerts.iter().filter(move |(_, alert)| there(alert.state))
    }

    /// One alert.
    pub fn alert(&self, key: &AlertKey) -> Option<&AlertRecord> {
        self.alerts.get(key)
    }

    /// One group.
    pub fn group(&self, rule: &str) -> Option<&GroupRecord> {
        self.groups.get(rule)
    }

    /// The incident of a group.
    pub fn set_incident(&mut self, rule: &str, incident: Option<IncidentId>) {
        self.groups.entry(rule.to_owned()).or_default().incident = incident;
    }

    /// Somebody has taken a group over, until then.
    pub fn acknowledge(&mut self, rule: &str, until: Option<Timestamp>) {
        if let Some(group) = self.groups.get_mut(rule) {
            group.acknowledged = until;
        }
    }

    /// Whether any alert of a rule is firing, whether or not it is told.
    pub fn fires(&self, rule: &str) -> bool {
        self.alerts.iter().any(|(key, alert)| key.0 == rule && alert.state.is_active())
    }

    /// Looks at the readings of a moment. `now` never goes back.
    pub fn step(&mut self, now: Timestamp, readings: &[Reading], cover: &Cover) -> Step {
        let mut step = Step::default();
        for n in 0..self.rules.len() {
            for (object, seen) in self.look(n, now, readings) {
                self.turn(n, &object, &seen, now, &mut step);
            }
        }
        self.judge(now, cover, &mut step);
        self.tell(now, &mut step);
        step
    }

    /// What a rule sees of each object, and of those that it knows and that are read no more.
    fn look(&mut self, n: usize, now: Timestamp, readings: &[Reading]) -> BTreeMap<String, Seen> {
        let rule = &self.rules[n];
        let mut seen = BTreeMap::new();
        match &rule.test {
            Test::Reading { metric, condition, threshold, window, take } => {
                for reading in readings.iter().filter(|reading| reading.metric == metric) {
                    let value = if *take == Take::Last || window.is_zero() {
                        Some(reading.value)
                    } else {
                        let key = (rule.name.clone(), reading.object.clone());
                        over_window(self.samples.entry(key).or_default(), now, *window, *take, reading.value)
                    };
                    let Some(value) = value else { continue };
                    let holds = condition.holds(value, *threshold);
                    seen.insert(reading.object.clone(), Seen { holds, value, detail: reading.detail.clone() });
                }
            }
            Test::Burn { long, short, factor, least_bad } => {
                let find = |what: &str, window: &str, object: &str| {
                    let name = format!("sla.{what}_{window}");
                    readings.iter().find(|r| r.metric == name && r.object == object).map_or(0.0, |r| r.value)
                };
                let long_name = format!("sla.burn_{long}");
                for reading in readings.iter().filter(|reading| reading.metric == long_name) {
                    let bad = find("bad", long, &reading.object);
                    let holds =
                        reading.value > *factor && find("burn", short, &reading.object) > *factor && bad >= *least_bad;
                    let detail = format!("{bad:.0} bad within {long}; {}", reading.detail);
                    let detail = detail.trim_end_matches("; ").to_owned();
                    seen.insert(reading.object.clone(), Seen { holds, value: reading.value, detail });
                }
            }
        }
        let gone = self.alerts.iter().filter(|(key, _)| key.0 == rule.name && !seen.contains_key(&key.1));
        let gone: Vec<(String, Seen)> = gone
            .map(|(key, alert)| {
                (key.1.clone(), Seen { holds: false, value: alert.value, detail: alert.detail.clone() })
            })
            .collect();
        seen.extend(gone);
        seen
    }

    /// Moves one alert on.
    fn turn(&mut self, n: usize, object: &str, seen: &Seen, now: Timestamp, step: &mut Step) {
        let rule = &self.rules[n];
        let key = (rule.name.clone(), object.to_owned());
        let (hold, keep) = (millis(rule.hold), millis(rule.keep));
        if !self.alerts.contains_key(&key) {
            if !seen.holds || self.alerts().count() >= INSTANCES {
                return;
            }
            let record = AlertRecord {
                state: AlertState::Pending,
                since: now,
                fired: None,
                clear: None,
                value: seen.value,
                detail: seen.detail.clone(),
                turns: VecDeque::new(),
                covered: false,
                was_covered: false,
                inhibited: false,
            };
            self.alerts.insert(key.clone(), record);
            step.alerts.insert(key.clone());
        }
        let Some(alert) = self.alerts.get_mut(&key) else { return };
        if seen.holds {
            alert.value = seen.value;
            if !seen.detail.is_empty() {
                alert.detail.clone_from(&seen.detail);
            }
        }
        let before = alert.state;
        match (before, seen.holds) {
            (AlertState::Pending, true) if now.millis_since(alert.since) >= hold => {
                (alert.state, alert.fired) = (AlertState::Firing, Some(now));
            }
            (AlertState::Pending, false) => {
                alert.state = AlertState::Inactive;
            }
            (AlertState::Firing, false) => (alert.state, alert.clear) = (AlertState::Recovering, Some(now)),
            (AlertState::Recovering, true) => (alert.state, alert.clear) = (AlertState::Firing, None),
            (AlertState::Recovering, false) if alert.clear.is_none_or(|clear| now.millis_since(clear) >= keep) => {
                alert.state = AlertState::Resolved;
            }
            (AlertState::Inactive | AlertState::Resolved, true) => {
                alert.since = now;
                (alert.clear, alert.was_covered) = (None, false);
                (alert.state, alert.fired) =
                    if hold == 0 { (AlertState::Firing, Some(now)) } else { (AlertState::Pending, None) };
            }
            _ => {}
        }
        if alert.state != before {
            if alert.state == AlertState::Resolved
                || (alert.state == AlertState::Firing && before != AlertState::Recovering)
            {
                alert.turns.push_back(now);
            }
            step.alerts.insert(key.clone());
            step.turned.push((key, alert.state));
        }
    }

    /// Who is kept from being told, and by what.
    fn judge(&mut self, now: Timestamp, cover: &Cover, step: &mut Step) {
        let firing: Vec<(usize, String)> = self
            .alerts
            .iter()
            .filter(|(_, alert)| alert.state.is_active())
            .filter_map(|(key, _)| Some((self.rules.iter().position(|rule| rule.name == key.0)?, key.1.clone())))
            .collect();
        for (key, alert) in &mut self.alerts {
            while alert.turns.front().is_some_and(|turn| now.millis_since(*turn) > millis(FLAPPING)) {
                alert.turns.pop_front();
                step.alerts.insert(key.clone());
            }
            let Some(rule) = self.rules.iter().find(|rule| rule.name == key.0) else { continue };
            let inhibited = firing.iter().any(|(n, object)| {
                let source = &self.rules[*n];
                let same = matches!(source.test, Test::Burn { .. });
                source.inhibits.contains(&key.0.as_str()) && (!same || *object == key.1)
            });
            let covered = cover.covers(&key.0, &key.1, rule.priority, now);
            if (alert.inhibited, alert.covered) != (inhibited, covered) {
                step.alerts.insert(key.clone());
            }
            (alert.inhibited, alert.covered) = (inhibited, covered);
            alert.was_covered |= covered && alert.state.is_active();
        }
    }

    /// What is told of each group.
    fn tell(&mut self, now: Timestamp, step: &mut Step) {
        while self.sent.front().is_some_and(|sent| now.millis_since(*sent) >= 60_000) {
            self.sent.pop_front();
        }
        let mut order: Vec<(Priority, usize)> =
            self.rules.iter().enumerate().map(|(n, rule)| (rule.priority, n)).collect();
        order.sort_unstable();
        for (priority, n) in order {
            if self.sent.len() >= A_MINUTE && priority != Priority::P0 {
                break;
            }
            if let Some(notice) = self.decide(n, now, step) {
                self.sent.push_back(now);
                step.notices.push(notice);
            }
        }
        // What is over, and is not remembered as one that comes and goes, is let go.
        let gone: Vec<AlertKey> = self
            .alerts
            .iter()
            .filter(|(key, alert)| {
                let told = self.groups.get(&key.0).is_some_and(|group| group.told.contains(&key.1));
                matches!(alert.state, AlertState::Inactive | AlertState::Resolved) && !told && alert.turns.is_empty()
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.alerts.remove(&key);
            self.samples.remove(&key);
            step.alerts.insert(key);
        }
    }

    /// Whether something is told of a rule's group now, and why.
    fn decide(&mut self, n: usize, now: Timestamp, step: &mut Step) -> Option<Notice> {
        let rule = &self.rules[n];
        let mut group = self.groups.get(&rule.name).cloned().unwrap_or_default();
        let of_rule = || self.alerts.iter().filter(|(key, _)| key.0 == rule.name);
        let active: Vec<&AlertKey> = of_rule().filter(|(_, a)| a.state.is_active()).map(|(key, _)| key).collect();
        let tellable: Vec<&AlertKey> =
            of_rule().filter(|(_, a)| a.state.is_active() && !a.inhibited && !a.covered).map(|(key, _)| key).collect();
        let fresh = tellable.iter().filter(|key| !group.told.contains(&key.1)).count();
        let over = group.told.iter().filter(|object| !active.iter().any(|key| key.1 == **object)).count();
        let since_last = group.last.map_or(i64::MAX, |last| now.millis_since(last));
        let gather = millis(if rule.priority.pages() { GATHER } else { GATHER_TICKET });
        let repeat = millis(if rule.priority.pages() { REPEAT } else { REPEAT_TICKET });
        let restless = of_rule().any(|(_, alert)| alert.turns.len() > TURNS);
        let acknowledged = group.acknowledged.is_some_and(|until| now < until);
        let reason = if restless && !group.flapping && (fresh > 0 || !group.told.is_empty()) {
            Reason::Flapping
        } else if group.flapping && restless {
            return None;
        } else if group.told.is_empty() && fresh > 0 {
            let uncovered = tellable.iter().any(|key| self.alerts.get(*key).is_some_and(|alert| alert.was_covered));
            if uncovered { Reason::Uncovered } else { Reason::First }
        } else if !group.told.is_empty() && active.is_empty() {
            Reason::Resolved
        } else if fresh > 0 && since_last >= gather {
            Reason::New
        } else if over > 0 && since_last >= millis(GATHER_TICKET) {
            Reason::SomeResolved
        } else if !group.told.is_empty() && !tellable.is_empty() && since_last >= repeat && !acknowledged {
            Reason::Repeat
        } else {
            return None;
        };
        group.flapping = restless;
        let notice = self.put(n, reason, 0, now, &group, &tellable);
        match reason {
            Reason::Resolved => {
                let objects: Vec<String> = std::mem::take(&mut group.told).into_iter().collect();
                (group.acknowledged, group.incident) = (None, None);
                for object in objects {
                    step.alerts.insert((rule.name.clone(), object));
                }
            }
            // Whatever was told of it is over is told when it stands still.
            Reason::Flapping => group.told.extend(tellable.iter().map(|key| key.1.clone())),
            _ => {
                group.told = active.iter().filter(|key| group.told.contains(&key.1)).map(|key| key.1.clone()).collect();
                group.told.extend(tellable.iter().map(|key| key.1.clone()));
            }
        }
        let told: Vec<AlertKey> = tellable.into_iter().cloned().collect();
        (group.last, group.count) = (Some(now), group.count + 1);
        step.groups.insert(rule.name.clone());
        self.groups.insert(rule.name.clone(), group);
        for key in told {
            if let Some(alert) = self.alerts.get_mut(&key)
                && std::mem::take(&mut alert.was_covered)
            {
                step.alerts.insert(key);
            }
        }
        Some(notice)
    }

    /// A notice of a group as it is now, for somebody further up the path; `None` when it is over.
    pub fn notice_again(&mut self, rule: &str, reason: Reason, path: u8, now: Timestamp) -> Option<Notice> {
        let n = self.rules.iter().position(|one| one.name == rule)?;
        let mut group = self.groups.get(rule).filter(|group| !group.told.is_empty())?.clone();
        let active: Vec<&AlertKey> =
            self.alerts.iter().filter(|(key, a)| key.0 == rule && a.state.is_active()).map(|(key, _)| key).collect();
        if active.is_empty() {
            return None;
        }
        let notice = self.put(n, reason, path, now, &group, &active);
        (group.last, group.count) = (Some(now), group.count + 1);
        self.groups.insert(rule.to_owned(), group);
        Some(notice)
    }

    fn put(
        &self,
        n: usize,
        reason: Reason,
        step: u8,
        now: Timestamp,
        group: &GroupRecord,
        keys: &[&AlertKey],
    ) -> Notice {
        let rule = &self.rules[n];
        let objects: BTreeSet<&str> = if reason == Reason::Resolved {
            group.told.iter().map(String::as_str).collect()
        } else {
            let over = group.told.iter().map(String::as_str).filter(|_| reason == Reason::SomeResolved);
            keys.iter().map(|key| key.1.as_str()).chain(over).collect()
        };
        let threshold = match &rule.test {
            Test::Reading { threshold, .. } => *threshold,
            Test::Burn { factor, .. } => *factor,
        };
        let mut alerts: Vec<NoticeAlert> = objects
            .iter()
            .map(|object| {
                let alert = self.alerts.get(&(rule.name.clone(), (*object).to_owned()));
                let active = alert.is_some_and(|alert| alert.state.is_active());
                let subject = if object.is_empty() { "the daemon" } else { object };
                let name = object.split_once(' ').map_or(*object, |(_, name)| name);
                NoticeAlert {
                    rule: rule.name.clone(),
                    object: (*object).to_owned(),
                    state: if active { AlertState::Firing } else { AlertState::Resolved },
                    summary: rule.summary.replace("{object}", subject),
                    detail: alert.map_or(String::new(), |alert| alert.detail.clone()),
                    action: rule.action.replace("NAME", name),
                    runbook: rule.runbook.clone(),
                    value: alert.map_or(0.0, |alert| alert.value),
                    threshold,
                    since: alert.map_or(now, |alert| alert.fired.unwrap_or(alert.since)),
                    ended: (!active).then(|| alert.and_then(|alert| alert.clear).unwrap_or(now)),
                }
            })
            .collect();
        alerts.sort_by(|left, right| {
            (left.state == AlertState::Resolved, left.since).cmp(&(right.state == AlertState::Resolved, right.since))
        });
        let more = alerts.len().saturating_sub(LISTED) as u32;
        alerts.truncate(LISTED);
        Notice {
            key: format!("{}#{}", rule.name, group.count),
            reason,
            priority: rule.priority,
            at: now,
            step,
            incident: group.incident,
            group: BTreeMap::from([("rule".to_owned(), rule.name.clone())]),
            alerts,
            more,
        }
    }
}

fn over_window(
    samples: &mut VecDeque<(Timestamp, f64)>,
    now: Timestamp,
    window: Duration,
    take: Take,
    value: f64,
) -> Option<f64> {
    samples.push_back((now, value));
    let begin = now.plus_millis(-millis(window));
    // One from before the window's beginning shows that all of it was seen.
    while samples.len() > 1 && samples[1].0 <= begin {
        samples.pop_front();
    }
    let whole = samples.front().is_some_and(|first| first.0 <= begin);
    let values = || samples.iter().filter(|sample| sample.0 >= begin || samples.len() == 1).map(|sample| sample.1);
    match take {
        Take::Last => Some(value),
        Take::Greatest => values().reduce(f64::max),
        // What held throughout is known once the window is full.
        Take::Least => {
            if whole {
                values().reduce(f64::min)
            } else {
                None
            }
        }
        Take::Mean => {
            if whole {
                Some(values().sum::<f64>() / values().count().max(1) as f64)
            } else {
                None
            }
        }
    }
}

pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
