//! The console as lines, for screen readers, logs and pipes: one event a line, with time, level, object and text. No
//! escape sequence, no line that changes after it was printed.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_common::model::Overview;
use usher_common::protocol::{Row, Topic};

use crate::clock::Now;
use crate::figures;
use crate::session::{LinkEvent, LinkState};
use crate::text::clean;
use crate::widgets::{campaign_state, health, level_word};

/// A summary comes this often.
const SUMMARY_EVERY: Duration = Duration::from_mins(1);

/// Turns news into lines. Pure: the time is handed in.
#[derive(Debug, Default)]
pub struct Narrator {
    words: BTreeMap<String, String>,
    findings: Vec<String>,
    overview: Option<Overview>,
    link: Option<String>,
    summed_at: Option<Duration>,
    /// The daemon's epoch, and the place of the last event that was told.
    told: (u64, u64),
}

impl Narrator {
    /// What there is to say about some news.
    pub fn hear(&mut self, event: &LinkEvent, now: Now) -> Vec<String> {
        let mut out = Vec::new();
        match event {
            LinkEvent::State(state) => {
                let (level, said) = match state {
                    LinkState::Connecting => ("info", "connecting".to_owned()),
                    LinkState::Live(_) => ("info", "live".to_owned()),
                    LinkState::Stale => ("warning", "stale: nothing heard for 15 s".to_owned()),
                    LinkState::Backoff { why, .. } => ("error", format!("down, tried again by itself: {why}")),
                    LinkState::Incompatible(why) | LinkState::Denied(why) => ("error", why.clone()),
                };
                if self.link.as_ref() != Some(&said) {
                    out.push(line(now, level, "line", &said));
                    self.link = Some(said);
                }
            }
            LinkEvent::Welcome { welcome, acts } => {
                if self.told.0 != welcome.epoch {
                    self.told = (welcome.epoch, 0);
                }
                let types = if *acts { "" } else { ", other types than this console" };
                let said =
                    format!("usherd {}, {}{types}, you are {}", welcome.version, welcome.environment, welcome.actor);
                out.push(line(now, "info", "daemon", &said));
            }
            LinkEvent::Snapshot { rows, .. } | LinkEvent::Delta { rows, .. } => {
                for row in rows {
                    self.row(row, now, &mut out);
                }
                if let LinkEvent::Delta { gone, topic: Topic::Providers | Topic::Campaigns, .. } = event {
                    for key in gone {
                        self.words.retain(|object, _| object.split(' ').nth(1) != Some(key.as_str()));
                        out.push(line(now, "info", key, "gone"));
                    }
                }
            }
            LinkEvent::Events { skipped, events } => {
                if *skipped > 0 {
                    out.push(line(now, "warning", "log", &format!("{skipped} events skipped for a slow line")));
                }
                for event in events.iter().filter(|event| event.position > self.told.1) {
                    let at = Now { wall: event.at, ..now };
                    out.push(line(at, level_word(event.level), &event.object, &event.text));
                }
                self.told.1 = events.iter().map(|event| event.position).max().unwrap_or(0).max(self.told.1);
            }
            LinkEvent::Heartbeat(_) | LinkEvent::Progress { .. } | LinkEvent::Answer { .. } => {}
        }
        out.extend(self.summary(now));
        out
    }

    fn row(&mut self, row: &Row, now: Now, out: &mut Vec<String>) {
        match row {
            Row::Overview(overview) => {
                let findings: Vec<String> = overview.findings.iter().map(|(_, text)| text.clone()).collect();
                for (of, text) in &overview.findings {
                    if !self.findings.contains(text) {
                        out.push(line(now, of.as_str(), "finding", text));
                    }
                }
                for text in self.findings.iter().filter(|text| !findings.contains(text)) {
                    out.push(line(now, "info", "finding over", text));
                }
                self.findings = findings;
                self.overview = Some((**overview).clone());
            }
            Row::Provider(row) => {
                let said = format!("{}, breaker {}", health(row.health).word, row.breaker);
                let level = if row.health == usher_common::model::Health::Ok { "info" } else { row.health.as_str() };
                self.say_once(format!("provider {}", row.name), said, level, now, out);
            }
            Row::Campaign(row) => {
                let word = campaign_state(row.state, row.deleted.is_some()).word;
                let why = if row.why.is_empty() { String::new() } else { format!(": {}", row.why) };
                let object = format!("campaign {} {}", row.id, row.name);
                self.say_once(object, format!("{word}{why}"), "info", now, out);
            }
            Row::Alert(row) => {
                let quiet = if row.quiet.is_empty() { String::new() } else { format!(" ({})", row.quiet) };
                let because = if row.detail.is_empty() { String::new() } else { format!(": {}", row.detail) };
                let said = format!("{} {}{because}{quiet}; first: {}", row.state, row.summary, row.action);
                self.say_once(format!("alert {} {}", row.priority, row.rule), said, "warning", now, out);
            }
            Row::Detail(_) | Row::Sla(_) => {}
        }
    }

    fn say_once(&mut self, object: String, said: String, level: &str, now: Now, out: &mut Vec<String>) {
        if self.words.get(&object) != Some(&said) {
            out.push(line(now, level, &object, &said));
            self.words.insert(object, said);
        }
    }

    fn summary(&mut self, now: Now) -> Option<String> {
        let o = self.overview.as_ref()?;
        if self.summed_at.is_some_and(|at| now.mono.saturating_sub(at) < SUMMARY_EVERY) {
            return None;
        }
        self.summed_at = Some(now.mono);
        let said = format!(
            "{}, {} findings, {} a second, {} open, {} in doubt, {} accepted today",
            health(o.health).word,
            o.findings.len(),
            figures::rate(o.rate),
            figures::count(o.counts.open()),
            figures::count(o.counts.unknown),
            figures::count(o.accepted_today),
        );
        Some(line(now, "info", "summary", &said))
    }
}

fn line(now: Now, level: &str, object: &str, said: &str) -> String {
    let said = said.replace("\n  ", " ");
    format!("{} UTC  {level:<8}  {}  {}", figures::time_of_day(now.wall), clean(object), clean(&said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn lines_tell_each_thing_once_and_hold_no_escape() {
        let mut narrator = Narrator::default();
        let snapshot = |topic, rows| LinkEvent::Snapshot { topic, rows };
        let providers = || fixtures::providers().into_iter().map(|row| Row::Provider(Box::new(row))).collect();
        let heard = [
            LinkEvent::Welcome { welcome: fixtures::welcome(), acts: true },
            LinkEvent::State(LinkState::Live(None)),
            LinkEvent::State(LinkState::Live(Some(14))),
            snapshot(Topic::Providers, providers()),
            snapshot(Topic::Providers, providers()),
            snapshot(Topic::Campaigns, fixtures::campaigns().into_iter().map(|r| Row::Campaign(Box::new(r))).collect()),
            snapshot(Topic::Overview, vec![Row::Overview(Box::new(fixtures::overview()))]),
            LinkEvent::Events { skipped: 2, events: fixtures::events() },
            LinkEvent::State(LinkState::Backoff {
                tries: 1,
                until: Duration::ZERO,
                why: "the line to the daemon broke: it was closed".to_owned(),
            }),
        ];
        let lines: Vec<String> = heard.iter().flat_map(|event| narrator.hear(event, fixtures::now(100))).collect();
        let text = lines.join("\n");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_summary_comes_once_a_minute() {
        let mut narrator = Narrator::default();
        let overview =
            LinkEvent::Snapshot { topic: Topic::Overview, rows: vec![Row::Overview(Box::new(fixtures::overview()))] };
        let beat = LinkEvent::Heartbeat(fixtures::NOW);
        let summaries = |lines: Vec<String>| lines.iter().filter(|l| l.contains("summary")).count();
        assert_eq!(summaries(narrator.hear(&overview, fixtures::now(0))), 1);
        assert_eq!(summaries(narrator.hear(&beat, fixtures::now(59))), 0);
        assert_eq!(summaries(narrator.hear(&beat, fixtures::now(60))), 1);
    }
}
