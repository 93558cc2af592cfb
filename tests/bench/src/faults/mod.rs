//! The fault table: a real daemon whose provider breaks in nine ways, at five rates, in real time.
//!
//! `docs/faults.md` says what each figure is and how exact. Whatever was lost or came twice is an error; an aim that was
//! missed is said, and no error, since times depend on the machine.

mod injection;
mod kind;
mod moments;
mod names;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;

use crate::table::Line;
use injection::{Injection, inject};
use kind::Kind;
use names::Names;

/// Messages a second.
const RATES: [f64; 5] = [0.1, 1.0, 10.0, 100.0, 1000.0];
/// What is run where few of everything is asked for: enough to see each way of breaking a provider work.
const SMALL: [Kind; 5] = [Kind::Refuse, Kind::ServerError, Kind::TooMany, Kind::Tls, Kind::Dns];
const SMALL_RATE: f64 = 10.0;
/// The switch itself should take no longer, at the 99th percentile.
const DECIDE: Duration = Duration::from_millis(10);
/// The same for the standby's first acceptance, from the fault on.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// What is to be measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Order {
    /// Injections of each fault at each rate
    #[arg(long, default_value_t = 1)]
    injections: u64,
    /// Begin no further injection after this time, shared among the rates: `90s` or `5m`
    #[arg(long = "for", value_parser = crate::span)]
    span: Option<Duration>,
    /// Only this fault; may be given more than once
    #[arg(long = "fault", value_enum)]
    faults: Vec<Kind>,
    /// Only this rate, in messages a second; may be given more than once
    #[arg(long = "rate", value_parser = rate)]
    rates: Vec<f64>,
    /// A file of injections, one a line: those in it count too, and each new one is added to it
    #[arg(long)]
    keep: Option<PathBuf>,
}

impl Order {
    /// As much as there is time for without being asked: nothing is left out but repetitions.
    pub(crate) fn small() -> Self {
        Self { injections: 1, span: None, faults: SMALL.to_vec(), rates: vec![SMALL_RATE], keep: None }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let known = |rate: &f64| RATES.contains(rate);
    text.parse().ok().filter(known).ok_or_else(|| format!("`{text}` is none of the rates 0.1, 1, 10, 100 and 1000"))
}

/// Injections at once: daemons are idle most of the time where little is sent, and have the machine to themselves where
/// much is.
fn lanes(rate: f64) -> usize {
    match rate {
        ..=1.0 => 16,
        ..=10.0 => 8,
        ..=100.0 => 2,
        _ => 1,
    }
}

/// The table.
pub(crate) async fn measure(order: &Order, small: bool) -> anyhow::Result<Vec<Line>> {
    let mut found = order.keep.as_deref().map(kept).transpose()?.unwrap_or_default();
    let before = found.len() as u64;
    let mut lines = Vec::new();
    let mut kinds = if order.faults.is_empty() { Kind::ALL.to_vec() } else { order.faults.clone() };
    if kinds.contains(&Kind::Dns)
        && let Err(error) = Names::possible().await
    {
        kinds.retain(|kind| *kind != Kind::Dns);
        let remark = format!("this machine gives a daemon no names of its own: {error:#}");
        lines.push(Line::new(Kind::Dns.name(), "not measured").remark(remark));
    }
    let rates = if order.rates.is_empty() { RATES.to_vec() } else { order.rates.clone() };
    let share = order.span.map(|span| span / u32::try_from(rates.len()).unwrap_or(1).max(1));
    for &rate in &rates {
        let end = share.map(|share| Instant::now() + share);
        let jobs = (0..order.injections).flat_map(|n| kinds.iter().map(move |kind| (n, *kind)));
        // Not those of an earlier run, whose injections are counted together with these.
        let jobs = jobs.map(|(n, kind)| (before + n, kind)).map(|(seed, kind)| async move {
            if end.is_some_and(|end| Instant::now() >= end) {
                return None;
            }
            Some((kind, inject(kind, rate, seed, small).await))
        });
        let mut under_way = futures_util::stream::iter(jobs).buffer_unordered(lanes(rate));
        while let Some(ended) = under_way.next().await {
            match ended {
                Some((_, Ok(injection))) => {
                    order.keep.as_deref().map(|path| keep(path, &injection)).transpose()?;
                    // For whoever waits at a terminal; the table comes at the end.
                    let _ = writeln!(std::io::stderr(), "{}", told(&injection));
                    found.push(injection);
                }
                Some((kind, Err(error))) => {
                    lines.push(Line::broken(&format!("{} at {rate}/s", kind.name()), &error));
                }
                None => {}
            }
        }
    }
    let mut all = table(&found);
    all.extend(lines);
    Ok(all)
}

/// Injections that were kept.
fn kept(path: &Path) -> anyhow::Result<Vec<Injection>> {
    match std::fs::read_to_string(path) {
        Ok(text) => text
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("{}: `{line}`", path.display())))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn keep(path: &Path, injection: &Injection) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(injection).context("an injection is written as JSON")?;
    line.push('\n');
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| format!("adding to {}", path.display()))
}

fn told(one: &Injection) -> String {
    let seen = one.detect_us.map_or("not opened".to_owned(), |us| format!("opened after {:.2} s", us as f64 / 1e6));
    let after = one.elsewhere_us.map_or("nothing".to_owned(), |us| format!("first after {:.2} s", us as f64 / 1e6));
    let (kind, rate) = (one.kind.name(), one.rate);
    format!("{kind} at {rate}/s: {seen} ({}), elsewhere {after}, {} in doubt", one.why, one.unknown)
}

/// A line for each fault and rate of which there is anything.
fn table(found: &[Injection]) -> Vec<Line> {
    let cells = Kind::ALL.into_iter().flat_map(|kind| RATES.map(|rate| (kind, rate)));
    cells
        .filter_map(|(kind, rate)| {
            let of_cell: Vec<&Injection> =
                found.iter().filter(|one| one.kind == kind && one.rate.to_bits() == rate.to_bits()).collect();
            (!of_cell.is_empty()).then(|| line(kind, rate, &of_cell))
        })
        .collect()
}

fn line(kind: Kind, rate: f64, cell: &[&Injection]) -> Line {
    let detect = Spread::of(cell.iter().map(|one| one.detect_us));
    let decide = Spread::of(cell.iter().map(|one| one.decide_us));
    let elsewhere = Spread::of(cell.iter().map(|one| one.elsewhere_us));
    let caught_up = Spread::of(cell.iter().map(|one| one.caught_up_us));
    let sum = |of: fn(&Injection) -> u64| cell.iter().map(|one| of(one)).sum::<u64>();
    let (lost, twice) = (sum(|one| one.lost), sum(|one| one.twice));
    let doubt = Spread::of(cell.iter().map(|one| Some(one.unknown)));
    let aim = kind.aim(rate);
    let missed = [
        (aim.is_some_and(|aim| detect.exceeds(aim)), "detect"),
        (decide.exceeds(DECIDE), "decide"),
        (aim.is_some() && elsewhere.exceeds(ELSEWHERE), "elsewhere"),
    ];
    let missed: Vec<&str> = missed.into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
    let missed = if missed.is_empty() { String::new() } else { format!("AIM MISSED: {}; ", missed.join(", ")) };
    let seconds = |us: u64| format!("{:.2}", us as f64 / 1e6);
    let figure = detect.told(seconds);
    let figure = if detect.values.is_empty() { figure } else { format!("{figure} s") };
    let remark = format!(
        "{missed}decide {} ms; elsewhere {} s; caught up {} s; lost {lost}, twice {twice}, in doubt {}; of {}",
        decide.told(|us| format!("{:.1}", us as f64 / 1e3)),
        elsewhere.told(seconds),
        caught_up.told(seconds),
        doubt.told(|n| n.to_string()),
        cell.len(),
    );
    let odd = (!kind.leaves_doubt() && doubt.values.iter().any(|n| *n > 0)).then_some("some are in doubt; ");
    let wrong = format!("{lost} lost, {twice} twice");
    Line::new(format!("{} at {rate}/s", kind.name()), figure)
        .beside(aim.map_or(String::new(), |aim| format!("p99 < {} s", aim.as_secs())))
        .remark(format!("{}{remark}", odd.unwrap_or_default()))
        .wrong((lost + twice > 0).then_some(wrong))
}

/// A figure of several injections, smallest first; those that have none come last.
struct Spread {
    values: Vec<u64>,
    of: usize,
}

impl Spread {
    fn of(values: impl Iterator<Item = Option<u64>>) -> Self {
        let all: Vec<Option<u64>> = values.collect();
        let of = all.len();
        let mut values: Vec<u64> = all.into_iter().flatten().collect();
        values.sort_unstable();
        Self { values, of }
    }

    /// The value that so many of a hundred do not exceed; `None` where it is one that is not there.
    fn part(&self, percent: usize) -> Option<u64> {
        self.values.get((self.of * percent).div_ceil(100).clamp(1, self.of.max(1)) - 1).copied()
    }

    /// Whether the 99th percentile is not below `aim`.
    fn exceeds(&self, aim: Duration) -> bool {
        // A figure that nobody has was missed by detection, not by what would have followed.
        !self.values.is_empty() && self.part(99).is_none_or(|us| Duration::from_micros(us) >= aim)
    }

    /// p50 / p99 / longest; `-` for one that is not there, and how many have any.
    fn told(&self, told: impl Fn(u64) -> String) -> String {
        if self.values.is_empty() {
            return "never".to_owned();
        }
        let parts = [self.part(50), self.part(99), self.part(100)].map(|part| part.map_or("-".to_owned(), &told));
        let all = if self.values.len() < self.of {
            format!(" ({} of {})", self.values.len(), self.of)
        } else {
            String::new()
        };
        format!("{}{all}", parts.join(" / "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injection(detect_us: Option<u64>) -> Injection {
        Injection {
            kind: Kind::Refuse,
            rate: 10.0,
            detect_us,
            decide_us: detect_us.map(|_| 800),
            elsewhere_us: Some(400_000),
            caught_up_us: Some(1_500_000),
            lost: 0,
            twice: 0,
            unknown: 0,
            why: "failures in a row".to_owned(),
        }
    }

    #[test]
    fn a_spread_tells_the_middle_the_last_but_one_in_a_hundred_and_the_longest() {
        let spread = Spread::of((1..=200).map(|n| Some(n * 1_000)));
        assert_eq!(spread.told(|us| us.to_string()), "100000 / 198000 / 200000");
        assert!(spread.exceeds(Duration::from_millis(198)) && !spread.exceeds(Duration::from_millis(199)));
        let some = Spread::of([Some(5), None, Some(7)].into_iter());
        assert_eq!(some.told(|us| us.to_string()), "7 / - / - (2 of 3)");
        assert!(some.exceeds(Duration::from_secs(1)), "what is not there is late");
        assert_eq!(Spread::of([None].into_iter()).told(|us| us.to_string()), "never");
    }

    #[test]
    fn a_cell_says_what_it_missed_and_what_was_lost() {
        let table = |found: &[Injection]| crate::table::table(&super::table(found));
        let good = table(&[injection(Some(1_100_000))]);
        assert!(good.contains("refused at 10/s") && !good.contains("AIM MISSED") && !good.contains("ERROR"), "{good}");
        let late = table(&[injection(Some(1_100_000)), injection(Some(3_000_000))]);
        assert!(late.contains("AIM MISSED: detect;"), "{late}");
        let lost = table(&[Injection { lost: 1, ..injection(Some(1)) }]);
        assert!(lost.contains("ERROR: 1 lost, 0 twice"), "{lost}");
        let doubt = table(&[Injection { unknown: 2, ..injection(Some(1)) }]);
        assert!(doubt.contains("some are in doubt"), "a refusal leaves no doubt: {doubt}");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.jsonl");
        assert_eq!(kept(&path).unwrap(), []);
        let both = [injection(Some(1)), injection(None)];
        for one in &both {
            keep(&path, one).unwrap();
        }
        assert_eq!(kept(&path).unwrap(), both);
    }
}
