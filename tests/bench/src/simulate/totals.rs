//! What was simulated so far: a table in a page of the docs, which the command itself goes on with. Each seed counts once.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The lines between which the table stands.
const BEGIN: &str = "<!-- written by `usher-bench simulate --for` -->";
const END: &str = "<!-- until here -->";

/// One day's seeds: those behind the day before's, up to `last`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) date: String,
    pub(super) seeds: u64,
    pub(super) last: u64,
    pub(super) lives: u64,
    pub(super) requests: u64,
    pub(super) broken: u64,
}

/// The table with the page around it.
pub(super) struct Totals {
    before: String,
    pub(super) days: Vec<Day>,
    after: String,
}

impl Totals {
    /// Reads the page.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading {}: name the page with the totals with --totals", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading the totals in {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
        let Some((before, (table, after))) = parts else { bail!("there is no table between `{BEGIN}` and `{END}`") };
        let mut days: Vec<Day> = Vec::new();
        for line in table.lines().filter(|line| line.starts_with("| 2")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [date, seeds, last, lives, requests, broken] = cells[..] else { bail!("`{line}` has not six cells") };
            let number =
                |cell: &str| cell.replace(',', "").parse::<u64>().with_context(|| format!("`{cell}` in `{line}`"));
            let day = Day {
                date: date.to_owned(),
                seeds: number(seeds)?,
                last: number(last)?,
                lives: number(lives)?,
                requests: number(requests)?,
                broken: number(broken)?,
            };
            ensure!(
                days.last().map_or(0, |before| before.last) + day.seeds == day.last,
                "the seeds of {} do not follow those of the day before: one would count twice, or not at all",
                day.date
            );
            days.push(day);
        }
        Ok(Self { before: before.to_owned(), days, after: after.to_owned() })
    }

    /// The first seed that was not run.
    pub(super) fn next(&self) -> u64 {
        self.days.last().map_or(0, |day| day.last) + 1
    }

    /// Adds what was run from there on.
    pub(super) fn add(&mut self, run: Day) {
        match self.days.last_mut() {
            Some(today) if today.date == run.date => {
                today.seeds += run.seeds;
                today.last = run.last;
                today.lives += run.lives;
                today.requests += run.requests;
                today.broken += run.broken;
            }
            _ => self.days.push(run),
        }
    }

    /// Writes the page anew.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let temp = path.with_extension("tmp");
        fs::write(&temp, self.text()).with_context(|| format!("writing {}", temp.display()))?;
        fs::rename(&temp, path).with_context(|| format!("putting the totals in place: {}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = format!("{}{BEGIN}\n\n", self.before);
        text += "| day | seeds | up to seed | lives | requests | broke a promise |\n|---|---|---|---|---|---|\n";
        let mut all = [0; 4];
        for day in &self.days {
            let numbers = [day.seeds, day.lives, day.requests, day.broken];
            all = [0, 1, 2, 3].map(|n| all[n] + numbers[n]);
            let [seeds, lives, requests, broken] = numbers.map(grouped);
            let _ =
                writeln!(text, "| {} | {seeds} | {} | {lives} | {requests} | {broken} |", day.date, grouped(day.last));
        }
        let [seeds, lives, requests, broken] = all.map(grouped);
        let _ = writeln!(text, "| **all** | **{seeds}** | | **{lives}** | **{requests}** | **{broken}** |\n");
        text + END + &self.after
    }
}

/// Thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: &str, seeds: u64, last: u64) -> Day {
        Day { date: date.to_owned(), seeds, last, lives: 2 * seeds, requests: 20 * seeds, broken: 0 }
    }

    #[test]
    fn a_page_is_gone_on_with_by_day_and_keeps_what_stands_around_the_table() {
        let page = format!("# Simulation\n\n{BEGIN}\n{END}\nWords.\n");
        let mut totals = Totals::parse(&page).unwrap();
        assert_eq!(totals.next(), 1);
        totals.add(day("2026-11-27", 1_500, 1_500));
        let mut totals = Totals::parse(&totals.text()).unwrap();
        assert_eq!((totals.next(), totals.days.len()), (1_501, 1));
        totals.add(day("2026-11-27", 500, 2_000));
        totals.add(day("2026-11-28", 1, 2_001));
        let text = totals.text();
        assert!(text.starts_with("# Simulation\n\n") && text.ends_with("-->\nWords.\n"), "{text}");
        assert!(text.contains("| 2026-11-27 | 2,000 | 2,000 | 4,000 | 40,000 | 0 |"), "{text}");
        assert!(text.contains("| **all** | **2,001** | | **4,002** | **40,020** | **0** |"), "{text}");
        assert_eq!(Totals::parse(&text).unwrap().next(), 2_002);
    }

    #[test]
    fn seeds_that_would_count_twice_are_refused() {
        let row = |seeds, last| format!("| 2026-11-27 | {seeds} | {last} | 1 | 1 | 0 |");
        for (rows, right) in [
            (vec![row(10, 10)], true),
            (vec![row(10, 10), row(5, 15)], true),
            (vec![row(10, 10), row(10, 15)], false),
            (vec![row(10, 11)], false),
        ] {
            let page = format!("{BEGIN}\n{}\n{END}", rows.join("\n"));
            assert_eq!(Totals::parse(&page).is_ok(), right, "{rows:?}");
        }
        assert!(Totals::parse("# Simulation\n").is_err(), "a page without a table");
    }
}
