//! Numbers, spans and times as people read them, short and of steady width. Times are UTC and say so.

use usher_common::model::Timestamp;

/// Seconds of `90s`, `30m`, `2h` or `1d`.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no duration: write 90s, 30m, 2h or 1d");
    let unit = match text.chars().last().ok_or_else(wrong)? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|n| *n > 0).ok_or_else(wrong)
}

/// `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate: `0`, `4.2`, `1,204`; what is not a number is shown as `-`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        "-".to_owned()
    } else if per_second < 0.05 {
        "0".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// A share of 0 to 1 in percent: never rounded up to `100%`, nor down to `0%`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        "-".to_owned()
    } else if percent >= 100.0 {
        "100%".to_owned()
    } else if percent > 99.9 {
        "99.9%".to_owned()
    } else if percent > 0.0 && percent < 0.1 {
        "0.1%".to_owned()
    } else if percent <= 0.0 {
        "0%".to_owned()
    } else {
        format!("{percent:.1}%")
    }
}

/// How much of a whole, as [`percent`]; of nothing, `-`.
pub fn part(n: u64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { percent(n as f64 / of as f64) }
}

/// A span: `42s`, `3m 07s`, `2h 05m`, `4d 03h`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How long ago, in the coarsest unit, so that it changes seldom; the future reads as `0s`.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = u64::try_from(now.millis_since(then) / 1000).unwrap_or(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `340ms`, `2.1s`; `-` for none.
pub fn latency(ms: Option<u32>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 1000 => format!("{ms}ms"),
        Some(ms) => format!("{:.1}s", f64::from(ms) / 1000.0),
    }
}

/// `64 MiB`.
pub fn bytes(n: u64) -> String {
    const KIB: f64 = 1024.0;
    let n = n as f64;
    if n < KIB * KIB { format!("{:.0} KiB", n / KIB) } else { format!("{:.0} MiB", n / KIB / KIB) }
}

fn utc(at: Timestamp) -> Option<jiff::civil::DateTime> {
    jiff::Timestamp::from_millisecond(at.0).ok().map(|t| t.to_zoned(jiff::tz::TimeZone::UTC).datetime())
}

/// `14:03:07`, UTC.
pub fn time_of_day(at: Timestamp) -> String {
    utc(at).map_or_else(|| "-".to_owned(), |t| t.strftime("%H:%M:%S").to_string())
}

/// `14:03 UTC`: minutes only, so that a screen need not be drawn for the clock alone.
pub fn clock(at: Timestamp) -> String {
    utc(at).map_or_else(|| "-".to_owned(), |t| t.strftime("%H:%M UTC").to_string())
}

/// `2026-11-22 14:03`, UTC.
pub fn date_time(at: Timestamp) -> String {
    utc(at).map_or_else(|| "-".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M").to_string())
}

/// `2026-11-22 14:03:07 UTC`.
pub fn exact(at: Timestamp) -> String {
    utc(at).map_or_else(|| "-".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rates_short() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([rate(0.0), rate(4.24), rate(1204.4), rate(f64::NAN)], ["0", "4.2", "1,204", "-"]);
    }

    #[test]
    fn almost_all_is_not_all_and_almost_none_is_not_none() {
        assert_eq!([percent(1.0), percent(0.999_96), percent(0.000_01), percent(0.0)], ["100%", "99.9%", "0.1%", "0%"]);
        assert_eq!(part(1, 0), "-");
    }

    #[test]
    fn spans_and_times_read_the_same_on_every_machine() {
        assert_eq!([span(42), span(187), span(7_500), span(356_400)], ["42s", "3m 07s", "2h 05m", "4d 03h"]);
        let at = Timestamp(1_795_356_187_000);
        assert_eq!(exact(at), "2026-11-22 14:03:07 UTC");
        assert_eq!(age(at.plus_millis(125_000), at), "2m");
        assert_eq!(age(at, at.plus_millis(5_000)), "0s");
        assert_eq!(time_of_day(Timestamp(i64::MAX)), "-");
    }

    #[test]
    fn durations_have_a_unit_and_are_longer_than_nothing() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("30m"), Ok(1_800));
        assert_eq!(seconds("2h"), Ok(7_200));
        assert_eq!(seconds("1d"), Ok(86_400));
        for wrong in ["", "5", "m", "0s", "-1s", "1w", "99999999999999999999d", "5µ"] {
            assert!(seconds(wrong).is_err_and(|why| why.contains("30m")), "{wrong}");
        }
    }
}
