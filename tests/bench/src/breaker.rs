//! How fast a breaker opens after a fault begins, and how often it opens for nothing.
//!
//! Drives the daemon's own breaker and its plan of probes in virtual time, with arrivals, latencies and luck from a seed:
//! the same seeds give the same table on any machine. It is a model of a provider, not a measurement of one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use usher_common::model::OutcomeClass;
use usherd::dispatch::breaker::probing::{self, Outlook};
use usherd::dispatch::breaker::{Call, Cause, Leave, Settings, Ticket};
use usherd::dispatch::{Breaker, Dice, Permit};

use crate::table::Line;

/// Requests a second.
const RATES: [f64; 5] = [0.1, 1.0, 10.0, 100.0, 1000.0];
/// What the provider's client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Probes at rest, and their limit, as they are when nothing is configured.
const PROBE_EVERY: Duration = Duration::from_mins(1);
const PROBE_LIMIT: Duration = Duration::from_secs(30);
/// Requests under way at once.
const AT_ONCE: u32 = 1000;
/// Whatever has not opened after so many requests, and a minute, does not open.
const PATIENCE: f64 = 900.0;
const PATIENCE_AT_LEAST: Duration = Duration::from_mins(1);
/// Median latency, and the spread of its logarithm: 99 % are below 0.4 s.
const MEDIAN_SECS: f64 = 0.12;
const SPREAD: f64 = 0.52;
const DAY: Duration = Duration::from_hours(24);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Refuse,
    Hang,
    Reset,
    ServerError,
    TooMany,
    Some { share: f64, probes: bool },
    Slow,
    Tls,
    Dns,
}

const FAULTS: [Fault; 9] = [
    Fault::Refuse,
    Fault::Hang,
    Fault::Reset,
    Fault::ServerError,
    Fault::TooMany,
    Fault::Some { share: 0.3, probes: true },
    Fault::Slow,
    Fault::Tls,
    Fault::Dns,
];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refused",
            Self::Hang => "hangs after accept",
            Self::Reset => "reset",
            Self::ServerError => "5xx",
            Self::TooMany => "429",
            Self::Some { .. } => "30 % errors",
            Self::Slow => "8 s latency",
            Self::Tls => "TLS expired",
            Self::Dns => "DNS failure",
        }
    }

    /// What a request that begins under it comes to, and when.
    fn request(self, dice: &mut Dice) -> (OutcomeClass, Duration) {
        let usual = usual(dice);
        let ms = Duration::from_millis;
        match self {
            Self::Refuse => (OutcomeClass::NotSent, ms(1)),
            Self::Hang => (OutcomeClass::Unknown, TIMEOUT),
            Self::Reset | Self::ServerError => (OutcomeClass::Unknown, usual),
            Self::TooMany => (OutcomeClass::Throttled, usual),
            Self::Some { share, .. } if dice.unit() < share => (OutcomeClass::Unknown, usual),
            Self::Some { .. } => (OutcomeClass::Accepted, usual),
            Self::Slow => (OutcomeClass::Accepted, usual + Duration::from_secs(8)),
            Self::Tls => (OutcomeClass::NotSent, ms(30)),
            Self::Dns => (OutcomeClass::NotSent, ms(20)),
        }
    }

    /// Whether a probe that begins under it passes, and when that is known.
    fn probe(self, dice: &mut Dice, limit: Duration) -> (bool, Duration) {
        let (class, took) = match self {
            Self::Some { probes: false, .. } => (OutcomeClass::Accepted, usual(dice)),
            // No answer that ever comes: whoever probes waits as long as the probe may.
            Self::Hang => (OutcomeClass::Unknown, limit),
            other => other.request(dice),
        };
        // Being throttled is an answer.
        let answers = matches!(class, OutcomeClass::Accepted | OutcomeClass::Throttled);
        (answers && took < limit, took.min(limit))
    }

    /// Until when it should have been seen, by requests a second; `None` where there is no aim.
    fn aim(self, rate: f64) -> Option<Duration> {
        match self {
            Self::TooMany | Self::Slow => None,
            Self::Some { .. } => (rate >= 1.0).then_some(Duration::from_secs(65)),
            _ if rate >= 10.0 => Some(Duration::from_secs(3)),
            _ => Some(Duration::from_secs(12)),
        }
    }
}

/// A healthy latency: log-normal.
fn usual(dice: &mut Dice) -> Duration {
    let radius = (-2.0 * (1.0 - dice.unit()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * dice.unit()).cos();
    Duration::from_secs_f64(MEDIAN_SECS * (SPREAD * normal).exp()).min(TIMEOUT)
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrives,
    Answers(Call, Leave, OutcomeClass),
    Looks,
    Passes,
    Probed(Option<Ticket>, bool),
}

/// An event with its time; those of one time in the order in which they came up.
struct Due(Duration, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// One provider, its breaker, and its prober.
struct World {
    breaker: Breaker,
    dice: Dice,
    queue: BinaryHeap<Reverse<Due>>,
    came_up: u64,
    rate: f64,
    in_flight: u32,
    last_probe: Option<Duration>,
    probing: bool,
    /// Requests that went out since the fault began.
    sent: u64,
}

impl World {
    fn new(rate: f64, seed: u64) -> Self {
        let mut world = Self {
            breaker: Breaker::new(Settings::default(), Duration::ZERO),
            dice: Dice::seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rate.to_bits()),
            queue: BinaryHeap::new(),
            came_up: 0,
            rate,
            in_flight: 0,
            last_probe: None,
            probing: false,
            sent: 0,
        };
        world.at(Duration::ZERO, Event::Arrives);
        world.at(Duration::ZERO, Event::Looks);
        world
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.came_up += 1;
        self.queue.push(Reverse(Due(time, self.came_up, event)));
    }

    /// Runs until `end`, or until the breaker opens; when and why it did.
    fn run(&mut self, end: Duration, fault: Fault) -> Option<(Duration, Cause)> {
        loop {
            let now = self.queue.peek().map_or(end, |due| due.0.0);
            if now >= end {
                return None;
            }
            let Reverse(Due(_, _, event)) = self.queue.pop()?;
            let was_shut = self.breaker.snapshot(now).cause.is_some();
            self.step(now, event, fault);
            if let (false, Some(cause)) = (was_shut, self.breaker.snapshot(now).cause) {
                return Some((now, cause));
            }
        }
    }

    fn step(&mut self, now: Duration, event: Event, fault: Fault) {
        self.breaker.tick(now, &mut self.dice);
        match event {
            Event::Arrives => {
                let wait = Duration::from_secs_f64(-(1.0 - self.dice.unit()).ln() / self.rate);
                self.at(now + wait, Event::Arrives);
                let may = matches!(self.breaker.permit(now), Permit::Go | Permit::Few(_));
                if may && self.in_flight < AT_ONCE {
                    self.in_flight += 1;
                    self.sent += 1;
                    let leave = self.breaker.take(1, None);
                    let call = self.breaker.on_start(leave, now);
                    let (class, took) = fault.request(&mut self.dice);
                    self.at(now + took, Event::Answers(call, leave, class));
                }
            }
            Event::Answers(call, leave, class) => {
                self.in_flight -= 1;
                self.breaker.on_outcome(call, class, None, now, &mut self.dice);
                self.breaker.give_back(leave, 1);
            }
            // Time has passed for the breaker, and it does while a probe is under way.
            Event::Passes => {
                if self.probing {
                    self.at(now + probing::PRESSING_LOOK, Event::Passes);
                }
            }
            Event::Looks => {
                let asked = matches!(self.breaker.permit(now), Permit::Probe);
                let outlook = Outlook {
                    wanted: asked || self.breaker.wants_probe(now),
                    suspect: self.breaker.snapshot(now).suspect,
                    pressing: self.breaker.is_pressing(now),
                    busy: true,
                };
                let plan = probing::plan(now, self.last_probe, outlook, PROBE_EVERY, PROBE_LIMIT);
                if plan.due {
                    self.last_probe = Some(now);
                    let ticket = self.breaker.start_probe(now);
                    let (passed, took) = fault.probe(&mut self.dice, plan.limit);
                    self.probing = true;
                    self.at(now + took, Event::Probed(ticket, passed));
                    self.at(now, Event::Passes);
                } else {
                    self.at(now + plan.wait, Event::Looks);
                }
            }
            Event::Probed(ticket, passed) => {
                self.probing = false;
                if let Some(ticket) = ticket {
                    self.breaker.on_probe(ticket, passed, now, &mut self.dice);
                }
                self.at(now, Event::Looks);
            }
        }
    }
}

const HEALTHY: Fault = Fault::Some { share: 0.0, probes: false };

/// How long it takes to open after the fault began, why, and what was sent until then; `None` if it stays closed.
fn detection(rate: f64, fault: Fault, seed: u64) -> Option<(Duration, Cause, u64)> {
    let mut world = World::new(rate, seed);
    // Long enough to know what is usual, and a fault may begin at any moment between two probes.
    let warm = Duration::from_secs_f64((150.0 / rate).max(40.0) + 5.0 * world.dice.unit());
    world.run(warm, HEALTHY);
    world.sent = 0;
    let patience = Duration::from_secs_f64(PATIENCE / rate).max(PATIENCE_AT_LEAST);
    world.run(warm + patience, fault).map(|(at, cause)| (at.saturating_sub(warm), cause, world.sent))
}

/// Openings a day with a share of errors that nobody would call an outage, and how many there were by each rule.
fn false_openings(rate: f64, probes: bool, days: f64) -> (f64, String) {
    let mut world = World::new(rate, 1);
    let end = DAY.mul_f64(days);
    let mut causes: BTreeMap<&str, u32> = BTreeMap::new();
    while let Some((_, cause)) = world.run(end, Fault::Some { share: 0.03, probes }) {
        *causes.entry(cause.as_str()).or_default() += 1;
    }
    let by_rule: Vec<String> = causes.iter().map(|(cause, times)| format!("{cause}: {times}")).collect();
    (f64::from(causes.values().sum::<u32>()) / days, by_rule.join(", "))
}

/// The table.
pub(crate) fn measure(seeds: u64, small: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for fault in FAULTS {
        for rate in RATES.into_iter().filter(|rate| !small || *rate <= 10.0) {
            lines.push(line(rate, fault, seeds));
        }
    }
    for (rate, days) in RATES.into_iter().zip([50.0, 20.0, 10.0, 3.0, 1.0]) {
        let days = if small { 0.01 } else { days };
        for (probes, whose) in [(false, "messages"), (true, "messages and probes")] {
            let (a_day, by_rule) = false_openings(rate, probes, days);
            let missed = if a_day > 1.0 { "AIM MISSED; " } else { "" };
            let by_rule = if by_rule.is_empty() { by_rule } else { format!("; {by_rule}") };
            lines.push(
                Line::new(format!("false openings at {rate}/s, 3 % of {whose} fail"), format!("{a_day:.2} a day"))
                    .beside("at most 1 a day")
                    .remark(format!("{missed}{days} days{by_rule}")),
            );
        }
    }
    lines
}

fn line(rate: f64, fault: Fault, seeds: u64) -> Line {
    let mut found: Vec<(Duration, Cause, u64)> = (0..seeds).filter_map(|seed| detection(rate, fault, seed)).collect();
    found.sort_by_key(|(took, ..)| *took);
    let what = format!("{} at {rate}/s", fault.name());
    let seen = found.len() as u64;
    let (Some(most), true) = (found.last().copied(), seen * 100 >= seeds * 99) else {
        let figure = if seen == 0 { "never".to_owned() } else { format!("{seen} of {seeds}") };
        let missed = if fault.aim(rate).is_some() { "AIM MISSED" } else { "" };
        return Line::new(what, figure).remark(missed);
    };
    let part = |percent: usize| found[(found.len() * percent).div_ceil(100).clamp(1, found.len()) - 1];
    let (p50, p99) = (part(50), part(99));
    let seconds = |took: Duration| format!("{:.2}", took.as_secs_f64());
    let figure = format!("{} / {} / {} s", seconds(p50.0), seconds(p99.0), seconds(most.0));
    let aim = fault.aim(rate);
    let beside = aim.map_or(String::new(), |aim| format!("p99 < {} s", aim.as_secs()));
    let missed = if aim.is_some_and(|aim| p99.0 >= aim) { "AIM MISSED; " } else { "" };
    let mut sent: Vec<u64> = found.iter().map(|(.., sent)| *sent).collect();
    sent.sort_unstable();
    let remark = format!("{missed}{}; {} sent until then", p50.1.as_str(), sent[sent.len() / 2]);
    Line::new(what, figure).beside(beside).remark(remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story_and_a_total_outage_is_seen() {
        for fault in FAULTS.into_iter().filter(|fault| !matches!(fault, Fault::TooMany | Fault::Slow)) {
            let first = detection(10.0, fault, 7);
            assert!(first.is_some(), "{fault:?}");
            assert_eq!(first, detection(10.0, fault, 7));
        }
        assert_eq!(detection(10.0, Fault::TooMany, 7), None, "being throttled never opens it");
        assert_eq!(detection(1.0, HEALTHY, 7), None);
    }
}
