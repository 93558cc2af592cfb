//! A line that tells how far something long is: a bar, what is done, how fast, and how much time is left.
//!
//! Pure: it is told the time and the width. Promises: nothing is shown that is not known (no bar without a total, no rate
//! and no time left before there is something to take them from), it is never full before the end, and it fits the width.

use std::collections::VecDeque;
use std::time::Duration;

use crate::figures;
use crate::text::{clean, cut, width};

/// Rate and time left are taken over the last so long.
const WINDOW: Duration = Duration::from_secs(15);
/// And are not told before there is as much to take them from.
const ENOUGH: Duration = Duration::from_secs(2);
/// Two drawings are at least so far apart.
const GAP: Duration = Duration::from_millis(100);
/// Cells of a bar.
const CELLS: usize = 24;
/// The longest name that is shown, in columns.
const NAME: usize = 24;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// What is going on, or the name of what is worked on.
    pub(super) name: &'a str,
    /// What is done of [`Self::total`], in bytes or whatever is known beforehand.
    pub(super) done: u64,
    /// The whole; 0 where that is not known.
    pub(super) total: u64,
    /// What is done, as people count it.
    pub(super) count: u64,
    /// What those are, such as `rows`.
    pub(super) unit: &'a str,
}

/// What it is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    pub(super) ascii: bool,
    pub(super) colours: bool,
}

/// What was seen of the last steps.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seen: VecDeque<(Duration, u64, u64)>,
    drawn: Option<Duration>,
}

impl Pace {
    /// The line at `now`, in at most so many columns; `None` where the last one is so fresh that it may stand.
    pub(super) fn line(&mut self, step: &Step<'_>, now: Duration, columns: usize, style: Style) -> Option<String> {
        self.note(step, now);
        if self.drawn.is_some_and(|at| now.saturating_sub(at) < GAP) {
            return None;
        }
        self.drawn = Some(now);
        Some(self.draw(step, columns, style))
    }

    fn note(&mut self, step: &Step<'_>, now: Duration) {
        self.seen.push_back((now, step.done, step.count));
        // One that is older stays, so that steps which are far apart have a rate, too.
        while self.seen.get(1).is_some_and(|(at, ..)| now.saturating_sub(*at) > WINDOW) {
            self.seen.pop_front();
        }
    }

    /// What was done a second, of the whole and as people count; `None` before that can be told.
    fn rates(&self) -> Option<(f64, f64)> {
        let ((from, done, count), (to, done_now, count_now)) = (self.seen.front()?, self.seen.back()?);
        let span = to.saturating_sub(*from);
        let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / span.as_secs_f64();
        (span >= ENOUGH).then(|| (rate(*done, *done_now), rate(*count, *count_now)))
    }

    fn draw(&self, step: &Step<'_>, columns: usize, style: Style) -> String {
        let ellipsis = if style.ascii { "~" } else { "…" };
        let name = cut(&clean(step.name), NAME, ellipsis);
        let count = format!("{} {}", figures::count(step.count), step.unit);
        let rates = self.rates();
        let rate = rates.map_or(String::new(), |(_, rate)| format!("{}/s", figures::rate(rate)));
        let (mut share, mut left, mut plain) = (String::new(), String::new(), String::new());
        if step.total > 0 {
            let done = step.done.min(step.total);
            share = format!("{:>5}", figures::part(done, step.total));
            plain = bar(done, step.total, style.ascii);
            let togo = (step.total - done) as f64;
            if let Some((rate, _)) = rates.filter(|(rate, _)| *rate > 0.0) {
                left = format!("{} left", figures::span((togo / rate).ceil() as u64));
            }
        }
        // What is worth least goes first where there is no room.
        let all = [&name, &plain, &share, &count, &rate, &left];
        let orders: [&[usize]; 6] = [&[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 5], &[1, 2, 3, 5], &[2, 3, 5], &[2, 3], &[3]];
        let wide = |order: &[usize]| {
            let parts = order.iter().map(|n| width(all[*n])).filter(|w| *w > 0);
            parts.fold(0, |sum, part| sum + part + if sum > 0 { 2 } else { 0 })
        };
        let Some(order) = orders.into_iter().find(|order| wide(order) <= columns) else {
            return cut(&count, columns, ellipsis);
        };
        let parts: Vec<String> = order
            .iter()
            .filter(|n| !all[**n].is_empty())
            .map(|n| if *n == 1 && style.colours { format!("\x1b[36m{plain}\x1b[0m") } else { all[*n].clone() })
            .collect();
        parts.join("  ")
    }
}

/// A bar that is full when everything is done, and not before.
fn bar(done: u64, total: u64, ascii: bool) -> String {
    let full = (u128::from(done) * CELLS as u128 / u128::from(total)) as usize;
    let (on, off) = if ascii { ("#", ".") } else { ("━", "╌") };
    let bar = [on.repeat(full), off.repeat(CELLS - full)].concat();
    if ascii { format!("[{bar}]") } else { bar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASCII: Style = Style { ascii: true, colours: false };

    fn step(done: u64, total: u64, count: u64) -> Step<'static> {
        Step { name: "guests.csv", done, total, count, unit: "rows" }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rate_and_time_left_come_once_they_are_known() {
        let mut pace = Pace::default();
        let mut line = |step: Step<'_>, now| pace.line(&step, now, 100, ASCII);
        let begun = "guests.csv  [........................]     0%  0 rows";
        assert_eq!(line(step(0, 1_000, 0), at(0)).as_deref(), Some(begun));
        assert_eq!(line(step(10, 1_000, 1), Duration::from_millis(50)), None, "the last line is fresh");
        let later = "guests.csv  [######..................]  25.0%  2,500 rows  625/s  12s left";
        assert_eq!(line(step(250, 1_000, 2_500), at(4)).as_deref(), Some(later));
        let slower = line(step(300, 1_000, 3_000), at(60)).expect("it is drawn");
        assert!(slower.ends_with("3,000 rows  8.9/s  13m 04s left"), "{slower}");
    }

    #[test]
    fn a_bar_is_full_at_the_end_and_not_before() {
        assert_eq!(bar(999_999, 1_000_000, true), "[#######################.]");
        assert_eq!(bar(7, 7, true), format!("[{}]", "#".repeat(24)));
        assert_eq!(bar(1, 2, false), format!("{}{}", "━".repeat(12), "╌".repeat(12)));
    }

    #[test]
    fn without_a_total_there_is_no_bar_and_no_time_left() {
        let mut pace = Pace::default();
        pace.line(&step(0, 0, 0), at(0), 80, ASCII);
        let line = pace.line(&step(5_000, 0, 400), at(4), 80, ASCII);
        assert_eq!(line.as_deref(), Some("guests.csv  400 rows  100/s"));
    }

    proptest! {
        #[test]
        fn whatever_the_width_it_fits(
            columns in 0_usize..120, done in 0_u64..2_000, total in 0_u64..1_000, name in ".{0,40}", ascii in any::<bool>()
        ) {
            let style = Style { ascii, colours: false };
            let mut pace = Pace::default();
            for now in [0, 3, 9] {
                let step = Step { name: &name, done: done * now, total, count: done, unit: "guests" };
                let line = pace.line(&step, at(now), columns, style).expect("seconds apart");
                prop_assert!(width(&line) <= columns, "{line}");
                prop_assert!(!ascii || line.chars().all(|c| c.is_ascii() || name.contains(c)));
            }
        }
    }
}
