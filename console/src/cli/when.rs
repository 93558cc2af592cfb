//! A time as people write it, `2027-06-12 10:00 Europe/Paris`, to the instant that it means.
//!
//! A time that does not exist (the clocks are put forward over it) is refused; one that comes twice is taken the first
//! time, and said.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use usher_common::model::{Schedule, Timestamp};

/// A schedule, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) schedule: Schedule,
    pub(super) remark: Option<String>,
}

/// Reads a schedule: `now`, or a local time and its zone.
pub(super) fn parse(text: &str) -> Result<When, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(When { schedule: Schedule::Now, remark: None });
    }
    let example = "write it as \"2027-06-12 10:00 Europe/Paris\"";
    let (local, zone) = text.rsplit_once(' ').ok_or_else(|| format!("`{text}` has no time zone: {example}"))?;
    if zone.contains(':') || zone.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` has no time zone: {example}"));
    }
    let tz =
        TimeZone::get(zone).map_err(|_| format!("`{zone}` is no time zone: use a name such as Europe/Paris or UTC"))?;
    let civil = local.trim().replace(' ', "T");
    let civil: DateTime = civil
        .parse()
        .ok()
        .filter(|_| civil.contains('T'))
        .ok_or_else(|| format!("`{local}` is no date and time: {example}"))?;
    let ambiguous = tz.to_ambiguous_zoned(civil);
    let remark = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => {
            return Err(format!(
                "{local} does not exist in {zone}: the clocks are put forward over it; choose another time"
            ));
        }
        AmbiguousOffset::Fold { before, after } => Some(format!(
            "{local} comes twice in {zone}, as the clocks are put back; taken is the first (UTC{before}), not the second (UTC{after})"
        )),
    };
    let zoned = ambiguous.compatible().map_err(|e| format!("`{text}` is out of range: {e}"))?;
    let at = Timestamp(zoned.timestamp().as_millisecond());
    Ok(When { schedule: Schedule::At { at, zone: zone.to_owned() }, remark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        match parse(text).expect("a good time").schedule {
            Schedule::At { at, .. } => at.0,
            Schedule::Now => panic!("not now"),
        }
    }

    #[test]
    fn local_time_becomes_an_instant() {
        assert_eq!(at("2027-06-12 10:00 Europe/Paris"), 1_812_787_200_000);
        assert_eq!(at("2027-06-12 08:00 UTC"), at("2027-06-12 10:00 Europe/Paris"));
        assert_eq!(parse(" NOW ").map(|w| w.schedule), Ok(Schedule::Now));
    }

    #[test]
    fn a_time_that_does_not_exist_is_refused_and_one_that_comes_twice_is_said() {
        let gap = parse("2027-03-28 02:30 Europe/Paris").expect_err("skipped");
        assert!(gap.contains("does not exist"), "{gap}");
        let fold = parse("2027-10-31 02:30 Europe/Paris").expect("exists twice");
        assert!(fold.remark.is_some_and(|r| r.contains("comes twice")));
        assert_eq!(at("2027-10-31 02:30 Europe/Paris"), at("2027-10-31 00:30 UTC"));
        assert!(parse("2027-10-31 04:30 Europe/Paris").is_ok_and(|w| w.remark.is_none()));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(parse("2027-06-12 10:00").is_err_and(|e| e.contains("no time zone")));
        assert!(parse("2027-06-12 10:00 Mars/Base").is_err_and(|e| e.contains("Mars/Base")));
        assert!(parse("2027-06-31 10:00 UTC").is_err_and(|e| e.contains("no date")));
        assert!(parse("2027-06-12 UTC").is_err());
    }
}
