//! Why is it not moving? What binds the messages of a lane now, what would bind them next, and when they would be out.
//!
//! Pure: told what stands in the way, it orders that, and reckons hour by hour what pace and quotas leave. Whoever knows the
//! facts asks; the words are the same on every screen.

use usher_common::model::{Bind, Channel, Limit, Target, Timestamp, Why};

use super::quota::Limits;
use crate::clock::utc;
use crate::store::Hour;

/// Beyond this many hours an end is not told: nobody plans by it.
const HORIZON: u32 = 24 * 366;

/// How many messages a quota leaves, now and later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Left in this hour and on this day.
    pub(super) left: Limits,
    /// In every hour and on every day.
    pub(super) each: Limits,
    /// The hour that counts.
    pub(super) hour: Hour,
}

/// What is known of a lane, or of all that a provider would carry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    /// What was asked about.
    pub(super) target: Target,
    /// The channel.
    pub(super) channel: Option<Channel>,
    /// Messages that wait.
    pub(super) waiting: u64,
    /// Everything that keeps all of them, those first that must end before the others matter.
    pub(super) blocks: Vec<Bind>,
    /// Messages a second that pace allows, each provider with its part; `None` where nothing limits it.
    pub(super) pace: Option<f64>,
    /// Who carries them.
    pub(super) carriers: Vec<String>,
    /// Messages a second that were accepted of late.
    pub(super) rate: f64,
    /// Whether as many are under way as may be.
    pub(super) full: bool,
    /// What the quotas leave.
    pub(super) quotas: Vec<Allowed>,
}

/// Explains them at `now`.
pub(super) fn explain(facts: &Facts, now: Timestamp) -> Why {
    let mut binds = facts.blocks.clone();
    binds.extend(flow(facts));
    let bind = binds.first().cloned().unwrap_or_else(|| nothing(facts));
    let next = binds.into_iter().skip(1).find(|other| other.limit != bind.limit);
    let (done, assuming) = end(facts, now);
    let line = line(facts, &bind, next.as_ref(), done, &assuming, now);
    let (target, channel, waiting) = (facts.target.clone(), facts.channel, facts.waiting);
    Why { target, channel, waiting, now: bind, next, done, assuming, line }
}

fn nothing(facts: &Facts) -> Bind {
    let text = if facts.waiting == 0 { "nothing waits" } else { "nothing: they go out as fast as they are answered" };
    Bind { limit: Limit::Nothing, text: text.to_owned(), until: None }
}

/// What makes those go slower that may go: the slowest first.
fn flow(facts: &Facts) -> Vec<Bind> {
    if facts.waiting == 0 {
        return Vec::new();
    }
    let mut found: Vec<(f64, Bind)> = Vec::new();
    for allowed in &facts.quotas {
        let windows = [
            (allowed.left.hour, allowed.each.hour, "hour", allowed.hour.end(), 3_600.0),
            (allowed.left.day, allowed.each.day, "day", allowed.hour.end_of_day(), 86_400.0),
        ];
        for (left, each, name, until, seconds) in windows {
            if left < facts.waiting {
                let text = format!("{left} more this {name}, of {each}");
                found.push((each as f64 / seconds, Bind { limit: Limit::Quota, text, until: Some(until) }));
            }
        }
    }
    if let Some(pace) = facts.pace {
        let text = format!("the pace of {}, {} a second", facts.carriers.join(" and "), figure(pace));
        found.push((pace, Bind { limit: Limit::Pace, text, until: None }));
    }
    if facts.full {
        let text = format!("as many are under way as {} may have", facts.carriers.join(" and "));
        let at = if facts.rate > 0.0 { facts.rate } else { f64::INFINITY };
        found.push((at, Bind { limit: Limit::Concurrency, text, until: None }));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, bind)| bind).collect()
}

/// When the last one would be out, and what that takes for granted.
fn end(facts: &Facts, now: Timestamp) -> (Option<Timestamp>, String) {
    if facts.waiting == 0 {
        return (None, "nothing waits".to_owned());
    }
    let mut assumptions = Vec::new();
    let mut start = now;
    for block in &facts.blocks {
        match block.until {
            Some(until) => {
                start = start.max(until);
                let ends = match block.limit {
                    Limit::Breaker => "the provider is back then",
                    Limit::Throttling => "no longer wait is asked for",
                    Limit::Backoff => "the next try gets through",
                    _ => "",
                };
                if !ends.is_empty() {
                    assumptions.push(ends.to_owned());
                }
            }
            None => return (None, format!("not before that ends: {}", block.text)),
        }
    }
    let seen = (facts.blocks.is_empty() && facts.rate > 0.0).then_some(facts.rate);
    let speed = match (seen, facts.pace) {
        (Some(seen), Some(pace)) => Some(seen.min(pace)),
        (Some(seen), None) => Some(seen),
        (None, pace) => pace,
    };
    let Some(speed) = speed else {
        return (None, "not known: nothing limits them, and nothing has gone out of late".to_owned());
    };
    assumptions.insert(0, format!("at {} a second", figure(speed)));
    if !facts.quotas.is_empty() {
        assumptions.push("nobody else uses the quota".to_owned());
    }
    match reckon(facts.waiting, speed, start, &facts.quotas) {
        Some(done) => (Some(done), assumptions.join(", ")),
        None => (None, format!("in more than a year, {}", assumptions.join(", "))),
    }
}

/// Walks from hour to hour until all are out.
fn reckon(waiting: u64, speed: f64, start: Timestamp, quotas: &[Allowed]) -> Option<Timestamp> {
    let mut left = waiting as f64;
    let mut at = start;
    // What each quota has left in the hour and on the day that is being walked through.
    let mut rooms: Vec<(Hour, f64, f64)> =
        quotas.iter().map(|q| (q.hour, q.left.hour as f64, q.left.day as f64)).collect();
    for _ in 0..HORIZON {
        let hour = Hour::of(at);
        let seconds = hour.end().millis_since(at) as f64 / 1_000.0;
        let mut room = f64::INFINITY;
        for (quota, known) in quotas.iter().zip(&mut rooms) {
            if hour > known.0 {
                known.1 = quota.each.hour as f64;
                if hour.day() > known.0.day() {
                    known.2 = quota.each.day as f64;
                }
                known.0 = hour;
            }
            room = room.min(known.1).min(known.2);
        }
        let out = left.min(room).min(speed * seconds);
        if out >= left {
            return Some(at.plus_millis((left / speed * 1_000.0).ceil() as i64));
        }
        left -= out;
        for known in &mut rooms {
            known.1 -= out;
            known.2 -= out;
        }
        at = hour.end();
    }
    None
}

fn line(
    facts: &Facts,
    bind: &Bind,
    next: Option<&Bind>,
    done: Option<Timestamp>,
    assuming: &str,
    now: Timestamp,
) -> String {
    let what = match facts.channel {
        Some(channel) => format!("{} {channel} messages wait", facts.waiting),
        None => format!("{} messages wait", facts.waiting),
    };
    let told = |bind: &Bind| match bind.until {
        Some(until) => format!("{}, until {}", bind.text, utc(until, now)),
        None => bind.text.clone(),
    };
    let mut line = if facts.waiting == 0 { told(bind) } else { format!("{what}: {}", told(bind)) };
    if let Some(next) = next {
        line += &format!("; then {}", told(next));
    }
    match done {
        Some(done) => line += &format!("; all out by {}, {assuming}", utc(done, now)),
        None if facts.waiting > 0 => line += &format!("; when all are out is {assuming}"),
        None => {}
    }
    line
}

/// A rate in as many digits as anybody needs.
fn figure(per_second: f64) -> String {
    if per_second >= 10.0 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
