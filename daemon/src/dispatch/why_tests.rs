//! A line for each kind of limit, and the end that follows from it.

use super::*;

/// 2026-11-27 03:50 UTC.
const NOW: Timestamp = Timestamp(1_795_751_400_000);

fn lane(waiting: u64) -> Facts {
    Facts {
        target: Target::Campaign(usher_common::model::CampaignId(12)),
        channel: Some(Channel::Sms),
        waiting,
        blocks: Vec::new(),
        pace: None,
        carriers: vec!["twilio".into()],
        rate: 0.0,
        full: false,
        quotas: Vec::new(),
    }
}

fn block(limit: Limit, text: &str, seconds: Option<i64>) -> Bind {
    Bind { limit, text: text.into(), until: seconds.map(|s| NOW.plus_millis(s * 1_000)) }
}

fn free(left: (u64, u64)) -> Allowed {
    let (hour, day) = left;
    Allowed { left: Limits { hour, day }, each: Limits { hour: 50, day: 200 }, hour: Hour::of(NOW) }
}

#[test]
fn each_limit_is_told_with_what_follows_it_and_the_end() {
    let paced = || Facts { pace: Some(5.0), ..lane(100) };
    let blocked = |bind| Facts { blocks: vec![bind], ..paced() };
    let cases: Vec<(Facts, Limit, &str)> = vec![
        (
            blocked(block(Limit::Hold, "held by ada (wrong date)", None)),
            Limit::Hold,
            "100 sms messages wait: held by ada (wrong date); then the pace of twilio, 5.0 a second; when all are out is not \
             before that ends: held by ada (wrong date)",
        ),
        (
            blocked(block(Limit::Hold, "held by ada", Some(60))),
            Limit::Hold,
            "100 sms messages wait: held by ada, until 03:51:00 UTC; then the pace of twilio, 5.0 a second; all out by \
             03:51:20 UTC, at 5.0 a second",
        ),
        (
            blocked(block(Limit::Breaker, "the breaker of twilio is open", Some(10))),
            Limit::Breaker,
            "100 sms messages wait: the breaker of twilio is open, until 03:50:10 UTC; then the pace of twilio, 5.0 a second; \
             all out by 03:50:30 UTC, at 5.0 a second, the provider is back then",
        ),
        (
            blocked(block(Limit::Throttling, "twilio asked us to wait", Some(10))),
            Limit::Throttling,
            "100 sms messages wait: twilio asked us to wait, until 03:50:10 UTC; then the pace of twilio, 5.0 a second; all out \
             by 03:50:30 UTC, at 5.0 a second, no longer wait is asked for",
        ),
        (
            paced(),
            Limit::Pace,
            "100 sms messages wait: the pace of twilio, 5.0 a second; all out by 03:50:20 UTC, at 5.0 a second",
        ),
        (
            Facts { full: true, rate: 4.0, ..paced() },
            Limit::Concurrency,
            "100 sms messages wait: as many are under way as twilio may have; then the pace of twilio, 5.0 a second; all out by \
             03:50:25 UTC, at 4.0 a second",
        ),
        (
            Facts { quotas: vec![free((20, 170))], ..paced() },
            Limit::Quota,
            "100 sms messages wait: 20 more this hour, of 50, until 04:00:00 UTC; then the pace of twilio, 5.0 a second; all out \
             by 05:00:06 UTC, at 5.0 a second, nobody else uses the quota",
        ),
        (
            Facts { rate: 50.0, ..lane(100) },
            Limit::Nothing,
            "100 sms messages wait: nothing: they go out as fast as they are answered; all out by 03:50:02 UTC, at 50 a second",
        ),
        (lane(0), Limit::Nothing, "nothing waits"),
        (
            blocked(block(Limit::Provider, "no provider of sms is configured", None)),
            Limit::Provider,
            "100 sms messages wait: no provider of sms is configured; then the pace of twilio, 5.0 a second; when all are out is \
             not before that ends: no provider of sms is configured",
        ),
    ];
    for (facts, limit, line) in cases {
        let why = explain(&facts, NOW);
        assert_eq!((why.now.limit, why.line.as_str()), (limit, line));
    }
}

#[test]
fn quotas_are_walked_hour_by_hour_and_day_by_day() {
    // 20 before 04:00, 50 an hour until the day has its 200; then the next day's.
    let facts = Facts { pace: Some(1_000.0), quotas: vec![free((20, 170))], ..lane(171) };
    let why = explain(&facts, NOW);
    assert_eq!(why.now.limit, Limit::Quota);
    assert_eq!(why.done.map(Hour::of), Some(Hour(Hour::of(NOW).day() * 24 + 24)), "one is left for tomorrow");
    let year = Facts { pace: Some(1_000.0), quotas: vec![free((20, 170))], ..lane(10_000_000) };
    let why = explain(&year, NOW);
    assert_eq!(why.done, None);
    assert!(why.assuming.starts_with("in more than a year"), "{}", why.assuming);
}

#[test]
fn what_is_not_known_is_not_told() {
    let why = explain(&lane(5), NOW);
    assert_eq!((why.done, why.next), (None, None));
    assert!(why.assuming.contains("not known"), "{}", why.assuming);
}
