//! The table: one line a figure, beside what it is to be judged by. Promises: a line that went wrong says so, and so does
//! the exit code.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

/// A line of the table.
#[derive(Debug, Default)]
pub(crate) struct Line {
    what: String,
    figure: String,
    beside: String,
    remark: String,
    wrong: Option<String>,
}

impl Line {
    /// What was measured, and what came out, with its unit.
    pub(crate) fn new(what: impl Into<String>, figure: impl Into<String>) -> Self {
        Self { what: what.into(), figure: figure.into(), ..Self::default() }
    }

    /// A part that could not be measured.
    pub(crate) fn broken(what: &str, error: &anyhow::Error) -> Self {
        Self::new(what, "-").wrong(Some(format!("{error:#}")))
    }

    /// What the figure is to be judged by, from the same run.
    pub(crate) fn beside(mut self, yardstick: impl Into<String>) -> Self {
        self.beside = yardstick.into();
        self
    }

    /// What else there is to say.
    pub(crate) fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = remark.into();
        self
    }

    /// What must not be: the figure does not count then.
    pub(crate) fn wrong(mut self, wrong: Option<String>) -> Self {
        self.wrong = wrong;
        self
    }

    /// Whether the figure counts.
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_none()
    }
}

/// The whole table, headed by the machine it was measured on.
pub(crate) fn table(lines: &[Line]) -> String {
    let widest = |of: fn(&Line) -> &String| lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0);
    let what = widest(|line| &line.what);
    let figure = widest(|line| &line.figure);
    let beside = widest(|line| &line.beside);
    let mut out = machine();
    for line in lines {
        let remark = match &line.wrong {
            Some(wrong) => format!("ERROR: {wrong}"),
            None => line.remark.clone(),
        };
        let row = format!("{:<what$}  {:>figure$}  {:<beside$}  {remark}", line.what, line.figure, line.beside);
        out += row.trim_end();
        out.push('\n');
    }
    if cfg!(debug_assertions) {
        out += "This is a debug build: the figures mean nothing.\n";
    }
    out
}

/// The lines as rows for a page of the documentation, headed by the day and the machine.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut out = format!("{}.\n\n| what | figure | beside | |\n|---|---|---|---|\n", day_and_machine());
    for line in lines {
        let remark = line.wrong.as_ref().map_or(line.remark.clone(), |wrong| format!("**{wrong}**"));
        out += &format!("| {} | {} | {} | {remark} |\n", line.what.trim(), line.figure, line.beside);
    }
    out
}

/// The processor, and how busy it was with other things just now.
fn machine() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    format!("{}, load {load} at the end\n\n", processor())
}

fn processor() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{model}, {cores} cores")
}

/// When and where, for a page of the documentation.
pub(crate) fn day_and_machine() -> String {
    format!("{}, {}", jiff::Zoned::now().date(), processor())
}

/// Puts a table between two marks of a page, in place of what stands there.
pub(crate) fn into_page(page: &Path, (begin, end): (&str, &str), table: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let found = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = found
        .ok_or_else(|| anyhow!("{} has no place for a table: write `{begin}` and `{end}` into it", page.display()))?;
    std::fs::write(page, format!("{before}{begin}\n\n{table}\n{end}{after}"))
        .with_context(|| format!("writing {}", page.display()))
}

/// A number for people: 12,345.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things.
pub(crate) fn count(things: usize) -> String {
    whole(things as f64)
}

/// So many a second.
pub(crate) fn rate(count: usize, seconds: f64) -> String {
    format!("{}/s", whole(count as f64 / seconds))
}

/// A time as people take it in.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// The middle one of some figures; 0 of none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups_of_three() {
        assert_eq!([0.0, 999.0, 1_000.0, 1_234_567.4].map(whole), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_line_that_went_wrong_says_so_instead_of_anything_else() {
        let line = Line::new("messages", "5/s").remark("all is well").wrong(Some("3 came twice".to_owned()));
        assert!(!line.is_right());
        let table = table(&[line]);
        assert!(table.contains("ERROR: 3 came twice") && !table.contains("all is well"), "{table}");
    }
}
