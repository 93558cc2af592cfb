//! The daily test: each alert channel has to take one, or it counts as dead before it is needed. Decisions only; the time is handed in.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use usher_common::model::Timestamp;

use super::engine::millis;

/// A daemon that starts within this after the time of the test sends it still; later it waits for the next day, so that a start at night
/// wakes nobody.
const WINDOW: Duration = Duration::from_hours(1);
/// A channel that took nothing for so long is dead: a day, and two hours in which the test is tried again.
const PROVED: Duration = Duration::from_hours(26);

/// When the test is sent.
#[derive(Debug, Clone)]
pub struct Daily {
    /// By the clock of the zone.
    pub at: Time,
    /// The zone.
    pub zone: TimeZone,
}

impl Daily {
    /// The key of the test that is due, which is the same all day, so that none is sent twice.
    pub fn due(&self, now: Timestamp) -> Option<String> {
        let there = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.zone.clone());
        let since = there.time().duration_since(self.at);
        let due = !since.is_negative() && since.unsigned_abs() < WINDOW;
        due.then(|| format!("daily-test#{}", there.date()))
    }
}

/// Whether a channel counts as dead: it took something last at `taken`, and has been asked to since `asked`.
pub fn is_dead(now: Timestamp, taken: Option<Timestamp>, asked: Timestamp) -> bool {
    now.millis_since(taken.unwrap_or(asked)) > millis(PROVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn the_test_is_due_for_an_hour_under_one_key_a_day() {
        let daily = Daily { at: "09:00".parse().unwrap(), zone: TimeZone::get("Europe/London").unwrap() };
        for (now, expected) in [
            ("2026-11-28T08:59:59.999Z", None),
            ("2026-11-28T09:00:00Z", Some("daily-test#2026-11-28")),
            ("2026-11-28T09:59:59Z", Some("daily-test#2026-11-28")),
            ("2026-11-28T10:00:00Z", None),
            ("2026-11-28T23:00:00Z", None),
            // Summer time.
            ("2026-06-12T08:00:00Z", Some("daily-test#2026-06-12")),
            ("2026-06-12T09:00:00Z", None),
        ] {
            assert_eq!(daily.due(at(now)).as_deref(), expected, "{now}");
        }
    }

    #[test]
    fn an_hour_that_a_day_does_not_have_is_made_up_for() {
        let daily = Daily { at: "01:30".parse().unwrap(), zone: TimeZone::get("Europe/London").unwrap() };
        // The clocks go from 01:00 to 02:00.
        assert_eq!(daily.due(at("2026-03-29T00:59:59Z")), None);
        assert_eq!(daily.due(at("2026-03-29T01:00:00Z")).as_deref(), Some("daily-test#2026-03-29"));
        // They go back: the hour comes twice, its test under one key.
        assert_eq!(daily.due(at("2026-10-25T00:30:00Z")), daily.due(at("2026-10-25T01:30:00Z")));
    }

    #[test]
    fn a_channel_is_dead_after_26_hours_without_proof() {
        let hours = |n: i64| Timestamp(n * 3_600_000);
        assert!(!is_dead(hours(26), None, hours(0)));
        assert!(is_dead(hours(26).plus_millis(1), None, hours(0)));
        assert!(!is_dead(hours(50), Some(hours(24)), hours(0)), "what took the last test is alive");
        assert!(is_dead(hours(51), Some(hours(24)), hours(0)));
    }
}
