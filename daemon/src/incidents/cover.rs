//! What keeps alerts from being told: silences, which somebody sets for a while, and maintenance windows, which come again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use usher_common::model::{Priority, Timestamp};

use crate::config::MaintenanceWindow;

/// No silence is longer: what is silenced for good is a rule to be changed.
pub const LONGEST_SILENCE: Duration = Duration::from_hours(24);

/// A silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it; counts up.
    pub id: u64,
    /// The rules that it is over: a name, or one with `*`.
    pub rule: String,
    /// The objects that it is over, likewise.
    pub object: String,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Silence {
    fn covers(&self, rule: &str, object: &str, now: Timestamp) -> bool {
        now < self.until && fits(&self.rule, rule) && fits(&self.object, object)
    }
}

/// Whether a text fits a pattern, in which `*` stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else { return false };
            tail.is_empty() || (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(tail, &rest[at..]))
        }
    }
}

/// Everything that keeps alerts from being told.
#[derive(Debug, Clone, Default)]
pub struct Cover {
    /// Silences.
    pub silences: Vec<Silence>,
    /// Maintenance windows.
    pub windows: Vec<MaintenanceWindow>,
}

impl Cover {
    /// Whether an alert is not told now. Nothing covers what is most urgent but a silence that names its rule.
    pub fn covers(&self, rule: &str, object: &str, priority: Priority, now: Timestamp) -> bool {
        let silenced = self.silences.iter().any(|silence| silence.covers(rule, object, now));
        silenced || (priority != Priority::P0 && self.windows.iter().any(|window| window.ends(now).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_pattern_fits_what_its_stars_stand_for() {
        for (pattern, text, yes) in [
            ("provider-down", "provider-down", true),
            ("provider-*", "provider-down", true),
            ("*", "", true),
            ("*down", "provider-down", true),
            ("*resend*", "provider resend-eu", true),
            ("burn-*h", "burn-1d", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), yes, "{pattern} {text}");
        }
    }

    #[test]
    fn a_window_covers_all_but_the_most_urgent_and_a_silence_what_it_names() {
        let now = at("2026-11-29T03:00:00Z");
        let mut cover = Cover { silences: Vec::new(), windows: MaintenanceWindow::usual() };
        assert!(cover.covers("provider-down", "provider resend", Priority::P1, now));
        assert!(!cover.covers("store-failed", "", Priority::P0, now));
        cover.silences.push(Silence {
            id: 1,
            rule: "store-*".into(),
            object: "*".into(),
            by: "ada".into(),
            reason: "new disk".into(),
            since: now,
            until: now.plus_millis(1_000),
        });
        assert!(cover.covers("store-failed", "", Priority::P0, now));
        assert!(!cover.covers("store-failed", "", Priority::P0, now.plus_millis(1_000)), "it is over by itself");
    }
}
