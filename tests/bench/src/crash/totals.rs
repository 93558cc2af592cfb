//! The totals of all runs, kept in a page of the documentation between two marks, and read back from there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use usherd::failpoint::TABLE;

use super::episode::{OUTSIDE, Outcome};

/// Between these lines of the page stand the totals.
const BEGIN: &str = "<!-- totals: written by `usher-bench crash --totals`, not by hand -->";
const END: &str = "<!-- end of the totals -->";

/// What all runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Every seed up to this one was played, from 1.
    pub(crate) seed: u64,
    episodes: u64,
    deaths: BTreeMap<String, u64>,
    messages: u64,
    accepted: u64,
    reported: u64,
    struck: u64,
    doubted: u64,
    left: u64,
}

impl Totals {
    /// None yet, of a run that begins with this seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { seed: seed.saturating_sub(1), ..Self::default() }
    }

    /// Adds an episode whose books agreed.
    pub(crate) fn add(&mut self, seed: u64, outcome: &Outcome) {
        if seed == self.seed + 1 {
            self.seed = seed;
        }
        self.episodes += 1;
        for (point, kills) in &outcome.deaths {
            *self.deaths.entry(point.clone()).or_default() += kills;
        }
        self.messages += outcome.messages;
        self.accepted += outcome.accepted;
        self.reported += outcome.reported;
        self.struck += outcome.struck;
        self.doubted += outcome.doubted;
        self.left += outcome.left;
    }

    /// Deaths, all together.
    pub(crate) fn kills(&self) -> u64 {
        self.deaths.values().sum()
    }

    /// Adds an episode to the totals of a page; several processes may do so at once.
    pub(crate) fn add_to(page: &Path, seed: u64, outcome: &Outcome) -> anyhow::Result<()> {
        let lock = File::open(page).and_then(|file| file.lock().map(|()| file));
        let _lock = lock.with_context(|| format!("locking {}", page.display()))?;
        let mut totals = Self::read(page)?;
        totals.add(seed, outcome);
        totals.write(page)
    }

    /// Reads the totals of a page.
    pub(crate) fn read(page: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
        let (_, table, _) = parts(&text, page)?;
        let rows: BTreeMap<&str, u64> = table.lines().filter_map(row).collect();
        let of = |name: &str| rows.get(name).copied().unwrap_or(0);
        let points = TABLE.iter().map(|(point, _)| *point).chain([OUTSIDE]);
        Ok(Self {
            seed: of("every seed up to"),
            episodes: of("episodes"),
            deaths: points.map(|point| (point.to_owned(), of(point))).filter(|(_, kills)| *kills > 0).collect(),
            messages: of("messages"),
            accepted: of("accepted by a provider"),
            reported: of("reports taken"),
            struck: of("requests struck by a fault"),
            doubted: of("seen in doubt"),
            left: of("of these still in doubt"),
        })
    }

    /// Writes them into the page, in place of those before.
    fn write(&self, page: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
        let (before, _, after) = parts(&text, page)?;
        let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.table());
        fs::write(page, text).with_context(|| format!("writing {}", page.display()))
    }

    /// As Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| so far | |\n|---|---|\n");
        let settled = self.doubted - self.left;
        // An episode that found one is a failure and is not added: see the page.
        let lines = [
            ("kills", self.kills()),
            ("episodes", self.episodes),
            ("every seed up to", self.seed),
            ("messages", self.messages),
            ("accepted by a provider", self.accepted),
            ("reports taken", self.reported),
            ("requests struck by a fault", self.struck),
            ("seen in doubt", self.doubted),
            ("of these settled", settled),
            ("of these still in doubt", self.left),
        ];
        for (what, number) in lines {
            text += &format!("| {what} | {} |\n", grouped(number));
        }
        text += "\n| died at | kills | when |\n|---|---|---|\n";
        let outside = [(OUTSIDE, "killed from outside, at a moment that the seed draws")];
        for (point, what) in TABLE.iter().chain(&outside) {
            let kills = self.deaths.get(*point).copied().unwrap_or(0);
            text += &format!("| {point} | {} | {what} |\n", grouped(kills));
        }
        text
    }
}

/// A page before, between and behind the marks.
fn parts<'a>(text: &'a str, page: &Path) -> anyhow::Result<(&'a str, &'a str, &'a str)> {
    let found = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (table, after) = rest.split_once(END)?;
        Some((before, table, after))
    });
    found.ok_or_else(|| anyhow!("{} has no place for totals: write `{BEGIN}` and `{END}` into it", page.display()))
}

/// A row's first cell, and its second where that is a number.
fn row(line: &str) -> Option<(&str, u64)> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let (name, number) = (cells.next()?, cells.next()?);
    Some((name, number.replace(',', "").parse().ok()?))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_back_and_added_to_and_the_page_around_them_stays() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("crash.md");
        fs::write(&page, format!("# Before\n{BEGIN}\n{END}\nafter\n")).unwrap();
        assert_eq!(Totals::read(&page).unwrap(), Totals::default());
        let deaths = BTreeMap::from([("store.log.power-cut".to_owned(), 1_234), (OUTSIDE.to_owned(), 5)]);
        let outcome = Outcome { deaths, messages: 1_000_000, doubted: 9, left: 2, ..Outcome::default() };
        let mut totals = Totals::default();
        totals.add(1, &outcome);
        Totals::add_to(&page, 1, &outcome).unwrap();
        assert_eq!(Totals::read(&page).unwrap(), totals);
        // Somebody else's seeds are no reason to leave out those between.
        Totals::add_to(&page, 900, &outcome).unwrap();
        let read = Totals::read(&page).unwrap();
        assert_eq!((read.kills(), read.seed, read.messages, read.left), (2_478, 1, 2_000_000, 4));
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("# Before\n") && text.ends_with("\nafter\n"), "{text}");
        assert!(text.contains("| messages | 2,000,000 |") && text.contains("| of these settled | 14 |"), "{text}");
    }

    #[test]
    fn a_page_without_marks_is_refused() {
        let page = tempfile::NamedTempFile::new().unwrap();
        assert!(Totals::read(page.path()).unwrap_err().to_string().contains("has no place for totals"));
    }
}
