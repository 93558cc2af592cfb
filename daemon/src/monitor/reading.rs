//! A reading: one named figure at one moment. All that alert rules, checks and kept history see of the daemon.

use super::levels::{Levels, Object};
use super::sla::{TARGET, budget_left, burn};
use super::sli::Window;

/// One named figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its name, dotted, with its unit last where it has one, e.g. `provider.latency_p95_ms`.
    pub metric: &'static str,
    /// What it is of, in the words of the log: `provider resend`, `campaign c12`, `channel email`; empty for the daemon.
    pub object: String,
    /// The figure; a condition is 1 while it holds and 0 while it does not.
    pub value: f64,
    /// What is behind it, in a few words that an engineer can act on; empty where the figure says all. Never personal.
    pub detail: String,
}

/// Readings that are being taken.
#[derive(Debug, Default)]
pub struct Readings(Vec<Reading>);

impl Readings {
    /// Notes a figure.
    pub fn say(&mut self, metric: &'static str, object: impl Into<String>, value: f64) {
        self.because(metric, object, value, String::new());
    }

    /// Notes a figure, and what is behind it.
    pub fn because(&mut self, metric: &'static str, object: impl Into<String>, value: f64, detail: String) {
        self.0.push(Reading { metric, object: object.into(), value, detail });
    }
}

impl From<Readings> for Vec<Reading> {
    fn from(readings: Readings) -> Self {
        readings.0
    }
}

/// The windows of service levels by the names of their readings.
const BURNS: [(Window, &str, &str); 8] = [
    (Window::Minutes5, "sla.burn_5m", "sla.bad_5m"),
    (Window::Minutes30, "sla.burn_30m", "sla.bad_30m"),
    (Window::Hour1, "sla.burn_1h", "sla.bad_1h"),
    (Window::Hours2, "sla.burn_2h", "sla.bad_2h"),
    (Window::Hours6, "sla.burn_6h", "sla.bad_6h"),
    (Window::Hours24, "sla.burn_24h", "sla.bad_24h"),
    (Window::Days3, "sla.burn_3d", "sla.bad_3d"),
    (Window::Days30, "sla.burn_30d", "sla.bad_30d"),
];

/// What service levels say. Without events nothing burns. Campaigns are left out: a promise is made of channels and of the whole.
pub fn of_levels(levels: &Levels) -> Vec<Reading> {
    let mut readings = Readings::default();
    let mut violated = 0;
    for (object, sli) in levels.all().filter(|(object, _)| !matches!(object, Object::Campaign(_))) {
        for (window, burns, bad) in BURNS {
            let counts = sli.counts(window);
            readings.say(burns, object.to_string(), burn(counts, TARGET).unwrap_or(0.0));
            readings.say(bad, object.to_string(), counts.bad as f64);
        }
        if let Some(left) = budget_left(sli.counts(Window::Days30), TARGET) {
            readings.say("sla.budget_left_percent", object.to_string(), left);
        }
        let hour = sli.counts(Window::Hour1);
        violated += u32::from(hour.bad >= 3 && burn(hour, TARGET).is_some_and(|burn| burn > 14.4));
    }
    readings.say("sla.violations", "", f64::from(violated));
    readings.into()
}
