//! When a campaign starts, as people say it: at once, at an instant, or at an hour somewhere.
//!
//! Promises that an hour which the clocks skip is refused, that one which they repeat is the first of the two and said
//! to be, and that nothing is scheduled into the past. The time is handed in.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use thiserror::Error;
use usher_common::model::{Schedule, Timestamp};

/// A start that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The start.
    pub schedule: Schedule,
    /// Something that its author should know, in a sentence.
    pub note: Option<String>,
}

/// A start that was not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// None of the three forms.
    #[error(
        "`{text}` is no start: write `now`, an instant such as 2027-06-12T10:00:00+02:00, or an hour with its zone such \
         as `2027-06-12 10:00 Europe/Paris`"
    )]
    Form {
        /// What was written.
        text: String,
    },
    /// An hour without a place.
    #[error("`{text}` says no time zone: add one, such as `{text} Europe/Paris`")]
    NoZone {
        /// What was written.
        text: String,
    },
    /// No such zone.
    #[error("`{zone}` is no time zone that is known: write an IANA name such as Europe/Paris or America/New_York")]
    Zone {
        /// What was written.
        zone: String,
    },
    /// An hour that the clocks skip.
    #[error("there is no {local} in {zone}: the clocks go forward over it that day. Choose an hour before or after")]
    Gap {
        /// The hour.
        local: String,
        /// The zone.
        zone: String,
    },
    /// Over.
    #[error("{at} is in the past: it is now {now}. Choose a later hour, or `now`")]
    Past {
        /// The start, in its zone.
        at: String,
        /// The present, in that zone.
        now: String,
    },
}

/// Reads a start. `now` is the present.
pub fn parse(text: &str, now: Timestamp) -> Result<Start, ScheduleError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(Start { schedule: Schedule::Now, note: None });
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return not_past(instant, &TimeZone::UTC, "UTC", now, None);
    }
    let form = || ScheduleError::Form { text: text.chars().take(80).collect() };
    let (local, zone) = match text.rsplit_once(char::is_whitespace) {
        Some((local, zone)) if zone.starts_with(|c: char| c.is_alphabetic()) => (local.trim(), zone),
        _ => {
            local_time(text).ok_or_else(form)?;
            return Err(ScheduleError::NoZone { text: text.to_owned() });
        }
    };
    let local = local_time(local).ok_or_else(form)?;
    let zone_error = || ScheduleError::Zone { zone: zone.chars().take(80).collect() };
    let tz = TimeZone::get(zone).map_err(|_| zone_error())?;
    let zone = tz.iana_name().ok_or_else(zone_error)?.to_owned();
    let shown = local.strftime("%Y-%m-%d %H:%M").to_string();
    let ambiguous = tz.to_ambiguous_timestamp(local);
    let note = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => return Err(ScheduleError::Gap { local: shown, zone }),
        AmbiguousOffset::Fold { .. } => Some(format!(
            "{shown} comes twice in {zone}, as the clocks go back that day: the first of the two is meant"
        )),
    };
    let instant = ambiguous.earlier().map_err(|_| form())?;
    not_past(instant, &tz, &zone, now, note)
}

/// An instant as the clocks of a zone show it: `2027-06-12 10:00 Europe/Paris`; in UTC where the zone is not known.
pub fn in_zone(at: Timestamp, zone: &str) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    let (tz, zone) = TimeZone::get(zone).map_or((TimeZone::UTC, "UTC"), |tz| (tz, zone));
    format!("{} {zone}", instant.to_zoned(tz).strftime("%Y-%m-%d %H:%M"))
}

/// `2027-06-12 10:00`, with seconds or without, with a `T` or a space. A bare day is no hour.
fn local_time(text: &str) -> Option<DateTime> {
    if !text.contains(':') {
        return None;
    }
    text.parse().ok()
}

fn not_past(
    instant: jiff::Timestamp,
    tz: &TimeZone,
    zone: &str,
    now: Timestamp,
    note: Option<String>,
) -> Result<Start, ScheduleError> {
    let at = Timestamp(instant.as_millisecond());
    if at <= now {
        let present = jiff::Timestamp::from_millisecond(now.0).unwrap_or(jiff::Timestamp::MAX);
        let show =
            |instant: jiff::Timestamp| format!("{} {zone}", instant.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S"));
        return Err(ScheduleError::Past { at: show(instant), now: show(present) });
    }
    Ok(Start { schedule: Schedule::At { at, zone: zone.to_owned() }, note })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T12:00:00Z.
    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    fn at(text: &str) -> (String, String, bool) {
        match parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}")) {
            Start { schedule: Schedule::At { at, zone }, note } => {
                (jiff::Timestamp::from_millisecond(at.0).unwrap().to_string(), zone, note.is_some())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_forms_are_understood() {
        assert_eq!(parse(" Now ", NOW).unwrap(), Start { schedule: Schedule::Now, note: None });
        for (text, utc, zone) in [
            ("2027-06-12 10:00 Europe/Paris", "2027-06-12T08:00:00Z", "Europe/Paris"),
            ("2027-06-12T10:00:30 europe/paris", "2027-06-12T08:00:30Z", "Europe/Paris"),
            ("2027-01-12 10:00 America/New_York", "2027-01-12T15:00:00Z", "America/New_York"),
            ("2027-06-12T10:00:00+02:00", "2027-06-12T08:00:00Z", "UTC"),
            ("2027-06-12T10:00:00Z", "2027-06-12T10:00:00Z", "UTC"),
        ] {
            assert_eq!(at(text), (utc.to_owned(), zone.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn an_hour_that_is_skipped_is_refused_and_one_that_is_repeated_is_the_first() {
        let gap = parse("2027-03-28 02:30 Europe/Paris", NOW).unwrap_err();
        assert!(matches!(&gap, ScheduleError::Gap { .. }) && gap.to_string().contains("clocks go forward"), "{gap}");
        assert_eq!(at("2027-10-31 02:30 Europe/Paris"), ("2027-10-31T00:30:00Z".into(), "Europe/Paris".into(), true));
    }

    #[test]
    fn the_past_is_refused_with_the_present_in_that_zone() {
        let past = parse("2026-11-22 12:59 Europe/Paris", NOW).unwrap_err().to_string();
        assert!(past.contains("2026-11-22 13:00:00 Europe/Paris"), "{past}");
        assert!(matches!(parse("2026-11-22 13:00 Europe/Paris", NOW), Err(ScheduleError::Past { .. })));
        assert!(parse("2026-11-22 13:01 Europe/Paris", NOW).is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(matches!(parse("2027-06-12 10:00", NOW), Err(ScheduleError::NoZone { .. })));
        assert!(matches!(parse("2027-06-12 10:00 Mars/Base", NOW), Err(ScheduleError::Zone { .. })));
        for text in ["", "tomorrow", "2027-06-12", "2027-06-12 Europe/Paris", "2027-13-12 10:00 Europe/Paris"] {
            assert!(matches!(parse(text, NOW), Err(ScheduleError::Form { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_start_in_the_past(text in ".{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} UTC") {
            if let Ok(Start { schedule: Schedule::At { at, .. }, .. }) = parse(&text, NOW) {
                prop_assert!(at > NOW);
            }
        }
    }
}
