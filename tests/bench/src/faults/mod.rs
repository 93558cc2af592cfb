//! The fault table: a real daemon whose provider breaks in nine ways, at five rates, in real time.
//!
//! `docs/faults.md` says what each figure is and how exact. Whatever was lost or came twice is an error, and so is an aim
//! that was missed; of few of everything only the first, since times depend on the machine and what else it does.

mod injection;
mod kind;
pub(crate) mod moments;
mod names;
mod page;
mod spread;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::StreamExt as _;

use crate::table::Line;
use injection::{Injection, inject};
use kind::Kind;
use names::Names;
use spread::Spread;

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
    /// Injections of each kind at each rate
    #[arg(long, default_value_t = 1)]
    times: u64,
    /// Begin no further injection after this time, shared among the rates: `90s` or `5m`
    #[arg(long = "for", value_parser = crate::span)]
    span: Option<Duration>,
    /// Only these ways to break, with commas between them
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Only these rates, in messages a second, with commas between them
    #[arg(long, value_parser = rate, value_delimiter = ',')]
    rates: Vec<f64>,
    /// A file of injections, one a line: those in it count too, and each new one is added to it
    #[arg(long)]
    keep: Option<PathBuf>,
    /// A page of the documentation that the table is written into, between its marks; a release build only
    #[arg(long)]
    table: Option<PathBuf>,
}

impl Order {
    /// As much as there is time for without being asked: nothing is left out but repetitions.
    pub(crate) fn small() -> Self {
        Self { times: 1, span: None, kinds: SMALL.to_vec(), rates: vec![SMALL_RATE], keep: None, table: None }
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
    if order.table.is_some() && cfg!(debug_assertions) {
        bail!("a debug build's figures do not belong into a page: build with --release");
    }
    let mut found = order.keep.as_deref().map(kept).transpose()?.unwrap_or_default();
    let before = found.len() as u64;
    let mut lines = Vec::new();
    let mut kinds = if order.kinds.is_empty() { Kind::ALL.to_vec() } else { order.kinds.clone() };
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
        let jobs = (0..order.times).flat_map(|n| kinds.iter().map(move |kind| (n, *kind)));
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
    if let Some(page) = &order.table {
        page::write(page, &found)?;
    }
    let mut all = table(&found, small);
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

/// What was found of one way to break at one rate.
struct Cell {
    kind: Kind,
    rate: f64,
    detect: Spread,
    decide: Spread,
    elsewhere: Spread,
    caught_up: Spread,
    doubt: Spread,
    lost: u64,
    twice: u64,
    failed: u64,
    /// Injections.
    of: usize,
}

/// A cell for each way to break and rate of which there is anything.
fn cells(found: &[Injection]) -> Vec<Cell> {
    let all = Kind::ALL.into_iter().flat_map(|kind| RATES.map(|rate| (kind, rate)));
    all.filter_map(|(kind, rate)| {
        let of_cell: Vec<&Injection> =
            found.iter().filter(|one| one.kind == kind && one.rate.to_bits() == rate.to_bits()).collect();
        (!of_cell.is_empty()).then(|| Cell::new(kind, rate, &of_cell))
    })
    .collect()
}

impl Cell {
    fn new(kind: Kind, rate: f64, cell: &[&Injection]) -> Self {
        let spread = |of: fn(&Injection) -> Option<u64>| Spread::of(cell.iter().map(|one| of(one)));
        let sum = |of: fn(&Injection) -> u64| cell.iter().map(|one| of(one)).sum::<u64>();
        Self {
            kind,
            rate,
            detect: spread(|one| one.detect_us),
            // Where nothing opened, there is nothing to decide.
            decide: Spread::of(cell.iter().filter(|one| one.detect_us.is_some()).map(|one| one.decide_us)),
            elsewhere: spread(|one| one.elsewhere_us),
            caught_up: spread(|one| one.caught_up_us),
            doubt: spread(|one| Some(one.unknown)),
            lost: sum(|one| one.lost),
            twice: sum(|one| one.twice),
            failed: sum(|one| one.failed),
            of: cell.len(),
        }
    }

    fn late_to_detect(&self) -> bool {
        self.kind.aim(self.rate).is_some_and(|aim| self.detect.exceeds(aim))
    }

    fn late_to_decide(&self) -> bool {
        !self.detect.is_empty() && self.decide.exceeds(DECIDE)
    }

    fn late_elsewhere(&self) -> bool {
        self.kind.goes_elsewhere(self.rate) && self.elsewhere.exceeds(ELSEWHERE)
    }

    /// The aims that were missed.
    fn missed(&self) -> Vec<&'static str> {
        let aims = [
            (self.late_to_detect(), "detect"),
            (self.late_to_decide(), "decide"),
            (self.late_elsewhere(), "elsewhere"),
        ];
        aims.into_iter().filter_map(|(is, what)| is.then_some(what)).collect()
    }
}

fn seconds(us: u64) -> String {
    format!("{:.2}", us as f64 / 1e6)
}

fn millis(us: u64) -> String {
    format!("{:.1}", us as f64 / 1e3)
}

/// A line for each cell. `small`: what was missed is said, and no error.
fn table(found: &[Injection], small: bool) -> Vec<Line> {
    cells(found).iter().map(|cell| line(cell, small)).collect()
}

fn line(cell: &Cell, small: bool) -> Line {
    let missed = cell.missed();
    let missed = if missed.is_empty() { String::new() } else { format!("AIM MISSED: {}; ", missed.join(", ")) };
    let figure = cell.detect.told(seconds);
    let figure = if cell.detect.is_empty() { figure } else { format!("{figure} s") };
    let remark = format!(
        "{missed}decide {} ms; elsewhere {} s; caught up {} s; lost {}, twice {}, failed {}, in doubt {}; of {}",
        cell.decide.told(millis),
        cell.elsewhere.told(seconds),
        cell.caught_up.told(seconds),
        cell.lost,
        cell.twice,
        cell.failed,
        cell.doubt.told(|n| n.to_string()),
        cell.of,
    );
    let wrong = cell.lost + cell.twice > 0 || (!small && !missed.is_empty());
    Line::new(format!("{} at {}/s", cell.kind.name(), cell.rate), figure)
        .beside(cell.kind.aim(cell.rate).map_or(String::new(), |aim| format!("p99 < {} s", aim.as_secs())))
        .remark(remark.clone())
        .wrong(wrong.then_some(remark))
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
            failed: 0,
            why: "failures in a row".to_owned(),
        }
    }

    #[test]
    fn a_cell_says_what_it_missed_and_what_was_lost() {
        let table = |found: &[Injection], small| crate::table::table(&super::table(found, small));
        let good = table(&[injection(Some(1_100_000))], false);
        assert!(good.contains("refused at 10/s") && !good.contains("AIM MISSED") && !good.contains("ERROR"), "{good}");
        let both = [injection(Some(1_100_000)), injection(Some(3_000_000))];
        let late = table(&both, false);
        assert!(late.contains("ERROR: AIM MISSED: detect;"), "{late}");
        let late = table(&both, true);
        assert!(late.contains("AIM MISSED: detect;") && !late.contains("ERROR"), "few are no measure: {late}");
        let never = table(&[injection(None)], false);
        assert!(never.contains("ERROR: AIM MISSED: detect;"), "an outage that nobody saw: {never}");
        let lost = table(&[Injection { lost: 1, ..injection(Some(1)) }], true);
        assert!(lost.contains("ERROR") && lost.contains("lost 1, twice 0"), "{lost}");
        let nowhere = table(&[Injection { elsewhere_us: None, ..injection(Some(1)) }], false);
        assert!(nowhere.contains("ERROR: AIM MISSED: elsewhere;"), "{nowhere}");
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
