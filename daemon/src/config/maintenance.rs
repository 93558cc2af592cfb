//! Maintenance windows: when each comes and how long it is, by the calendar of its zone.

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use usher_common::model::Timestamp;

/// When a maintenance window comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurs {
    /// On a day of each week.
    Weekly(Weekday),
    /// On the first such day of each month.
    Monthly(Weekday),
    /// Once.
    Once(Date),
}

/// A maintenance window: in it, only what is most urgent is told.
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceWindow {
    /// Its name.
    pub name: String,
    /// When it comes.
    pub recurs: Recurs,
    /// When it begins, by the clock of its zone.
    pub from: Time,
    /// How long it is, by any clock.
    pub span: Duration,
    /// The zone.
    pub zone: TimeZone,
}

impl MaintenanceWindow {
    /// The two that are there unless the configuration says otherwise: each Sunday 02:00 to 04:00, and the first of a month 02:00
    /// to 06:00, in UTC.
    pub fn usual() -> Vec<Self> {
        let window = |name: &str, recurs, hours| Self {
            name: name.to_owned(),
            recurs,
            from: jiff::civil::time(2, 0, 0, 0),
            span: Duration::from_hours(hours),
            zone: TimeZone::UTC,
        };
        vec![
            window("weekly", Recurs::Weekly(Weekday::Sunday), 2),
            window("monthly", Recurs::Monthly(Weekday::Sunday), 4),
        ]
    }

    /// Its beginning on a day, if it comes on that day. Where the clock is put forward over it, it begins that much later; where the
    /// hour comes twice, with the first.
    fn on(&self, date: Date) -> Option<Timestamp> {
        let comes = match self.recurs {
            Recurs::Weekly(day) => date.weekday() == day,
            Recurs::Monthly(day) => date.weekday() == day && date.day() <= 7,
            Recurs::Once(only) => date == only,
        };
        let begin = comes.then(|| date.to_datetime(self.from).to_zoned(self.zone.clone()).ok())??;
        Some(Timestamp(begin.timestamp().as_millisecond()))
    }

    fn date(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(Zoned::new(at, self.zone.clone()).date())
    }

    /// Until when it lasts, if it does now.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.date(now)?;
        // One that began yesterday may go on past midnight.
        let days = [today.checked_sub(1.day()).ok(), Some(today)];
        days.into_iter().flatten().filter_map(|day| self.on(day)).find_map(|begin| {
            let end = begin.plus_millis(i64::try_from(self.span.as_millis()).unwrap_or(i64::MAX));
            (begin <= now && now < end).then_some(end)
        })
    }

    /// When it begins next, after now.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if let Recurs::Once(only) = self.recurs {
            return self.on(only).filter(|begin| *begin > now);
        }
        let mut day = self.date(now)?;
        // The same Sunday may be five weeks off.
        for _ in 0..40 {
            if let Some(begin) = self.on(day).filter(|begin| *begin > now) {
                return Some(begin);
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn the_usual_windows_come_when_they_are_asked_for() {
        let [weekly, monthly] = <[MaintenanceWindow; 2]>::try_from(MaintenanceWindow::usual()).unwrap();
        // 2026-11-29 is a Sunday and no first one; 2026-12-06 is.
        for (time, in_weekly, in_monthly) in [
            ("2026-11-29T01:59:59Z", false, false),
            ("2026-11-29T02:00:00Z", true, false),
            ("2026-11-29T03:59:59Z", true, false),
            ("2026-11-29T04:00:00Z", false, false),
            ("2026-12-06T05:59:59Z", false, true),
            ("2026-12-06T06:00:00Z", false, false),
            ("2026-12-07T03:00:00Z", false, false),
            // The first Sunday of a leap year's February, and the leap day, which is a Tuesday.
            ("2028-02-06T03:00:00Z", true, true),
            ("2028-02-29T03:00:00Z", false, false),
        ] {
            assert_eq!(
                (weekly.ends(at(time)).is_some(), monthly.ends(at(time)).is_some()),
                (in_weekly, in_monthly),
                "{time}"
            );
        }
        assert_eq!(weekly.next(at("2026-11-29T02:00:00Z")), Some(at("2026-12-06T02:00:00Z")));
        assert_eq!(monthly.next(at("2026-12-06T02:00:00Z")), Some(at("2027-01-03T02:00:00Z")));
    }

    #[test]
    fn a_window_in_a_zone_follows_its_clock_over_the_change() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let night = MaintenanceWindow {
            name: "night".into(),
            recurs: Recurs::Weekly(Weekday::Sunday),
            from: jiff::civil::time(2, 30, 0, 0),
            span: Duration::from_hours(1),
            zone,
        };
        // Put forward at 02:00 on 2027-03-28: half past two does not come, and half past three is 01:30 UTC.
        assert_eq!(night.ends(at("2027-03-28T01:30:00Z")), Some(at("2027-03-28T02:30:00Z")));
        assert_eq!(night.ends(at("2027-03-28T01:29:59Z")), None);
        // Put back at 03:00 on 2027-10-31: it begins with the first half past two, 00:30 UTC, and lasts an hour.
        assert_eq!(night.ends(at("2027-10-31T00:30:00Z")), Some(at("2027-10-31T01:30:00Z")));
        assert_eq!(night.ends(at("2027-10-31T01:30:00Z")), None);
        // In winter the same clock is another hour of UTC.
        assert!(night.ends(at("2027-01-03T01:30:00Z")).is_some() && night.ends(at("2027-07-04T00:30:00Z")).is_some());
    }

    #[test]
    fn a_window_may_go_past_midnight_and_come_once() {
        let once = MaintenanceWindow {
            name: "move".into(),
            recurs: Recurs::Once(jiff::civil::date(2027, 2, 28)),
            from: jiff::civil::time(23, 0, 0, 0),
            span: Duration::from_hours(3),
            zone: TimeZone::UTC,
        };
        assert!(once.ends(at("2027-03-01T01:59:59Z")).is_some());
        assert_eq!(once.ends(at("2027-03-01T02:00:00Z")), None);
        assert_eq!(once.next(at("2027-02-28T23:00:00Z")), None);
    }
}
