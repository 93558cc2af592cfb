//! The engine by table and by property: what is told when, to the second, over restarts, windows and weeks.

use super::super::cover::Silence;
use super::*;
use crate::config::MaintenanceWindow;
use crate::config::rule::{Condition, built_in};
use proptest::prelude::*;

/// 2026-11-28T12:00:00Z, a Saturday.
const T: i64 = 1_795_867_200_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(T + seconds * 1_000)
}

fn reading(metric: &'static str, object: &str, value: f64) -> Reading {
    Reading { metric, object: object.into(), value, detail: String::new() }
}

fn down(object: &str) -> Reading {
    reading("provider.open", object, 1.0)
}

fn reasons(notices: &[Notice]) -> Vec<(String, Reason)> {
    notices.iter().map(|notice| (notice.group["rule"].clone(), notice.reason)).collect()
}

/// Steps each second from one moment to another with the same readings; everything that was told.
fn run(engine: &mut Engine, seconds: std::ops::Range<i64>, readings: &[Reading], cover: &Cover) -> Vec<(i64, Notice)> {
    let mut told = Vec::new();
    for second in seconds {
        let step = engine.step(at(second), readings, cover);
        told.extend(step.notices.into_iter().map(|notice| (second, notice)));
    }
    told
}

fn told(of: &[(i64, Notice)]) -> Vec<(i64, String, Reason)> {
    of.iter().map(|(second, notice)| (*second, notice.group["rule"].clone(), notice.reason)).collect()
}

fn engine() -> Engine {
    Engine::new(built_in(3))
}

#[test]
fn a_provider_that_breaks_is_told_at_once_and_again_when_it_is_over() {
    let (mut engine, cover) = (engine(), Cover::default());
    let first = run(&mut engine, 0..60, &[down("provider resend")], &cover);
    assert_eq!(told(&first), [(0, "provider-down".to_owned(), Reason::First)]);
    let notice = &first[0].1;
    assert_eq!((notice.priority, notice.alerts[0].summary.as_str()), (Priority::P1, "provider resend is down"));
    assert!(notice.alerts[0].action.contains("usher provider why resend"), "{notice:?}");
    let mended = [reading("provider.open", "provider resend", 0.0)];
    let after = run(&mut engine, 60..400, &mended, &cover);
    // It keeps firing for two minutes, so that a breaker that tries is not told of each time.
    assert_eq!(told(&after), [(180, "provider-down".to_owned(), Reason::Resolved)]);
    assert_eq!(engine.alerts().count(), 0, "nothing is left of it");
}

#[test]
fn thresholds_hold_over_their_windows() {
    let cover = Cover::default();
    let queue = |n: f64| [reading("system.queue.size", "", n)];
    let mut one = engine();
    assert_eq!(told(&run(&mut one, 0..60, &queue(1_001.0), &cover)), []);
    assert_eq!(
        told(&run(&mut one, 60..70, &queue(1_001.0), &cover)),
        [(60, "system-queue-size".to_owned(), Reason::First)]
    );
    let mut other = engine();
    run(&mut other, 0..50, &queue(5_000.0), &cover);
    run(&mut other, 50..51, &queue(1_000.0), &cover);
    assert_eq!(told(&run(&mut other, 51..110, &queue(5_000.0), &cover)), [], "it did not hold throughout");
    let mut errors = engine();
    let rate = |percent: f64| [reading("system.error.rate_percent", "", percent)];
    assert_eq!(told(&run(&mut errors, 0..600, &rate(5.0), &cover)), []);
    assert_eq!(told(&run(&mut errors, 600..601, &rate(5.1), &cover)).len(), 1);
}

#[test]
fn a_burn_needs_both_windows_and_three_bad_ones_for_two_minutes() {
    let cover = Cover::default();
    let burn = |long: f64, short: f64, bad: f64| {
        vec![
            reading("sla.burn_1h", "channel email", long),
            reading("sla.burn_5m", "channel email", short),
            reading("sla.bad_1h", "channel email", bad),
        ]
    };
    for (readings, fires) in [
        (burn(15.0, 15.0, 3.0), true),
        (burn(15.0, 14.4, 3.0), false),
        (burn(14.4, 15.0, 3.0), false),
        (burn(15.0, 15.0, 2.0), false),
    ] {
        let found = run(&mut engine(), 0..121, &readings, &cover);
        let expected = if fires { vec![(120, "burn-1h".to_owned(), Reason::First)] } else { Vec::new() };
        assert_eq!(told(&found), expected, "{readings:?}");
    }
}

#[test]
fn what_is_worse_speaks_for_what_follows_from_it() {
    let cover = Cover::default();
    let all = [
        down("provider twilio"),
        reading("channel.open_providers", "channel sms", 0.0),
        reading("lane.still", "campaign c1 sms", 1.0),
        reading("system.error.rate_percent", "", 60.0),
    ];
    let mut engine = engine();
    let first = run(&mut engine, 0..100, &all, &cover);
    assert_eq!(told(&first), [(0, "channel-down".to_owned(), Reason::First)]);
    // One provider is back, so the channel is carried, and what is left is told.
    let rest = [all[0].clone(), reading("channel.open_providers", "channel sms", 1.0)];
    let after = told(&run(&mut engine, 100..400, &rest, &cover));
    assert_eq!(
        after,
        [(220, "channel-down".to_owned(), Reason::Resolved), (220, "provider-down".to_owned(), Reason::First)]
    );
    // A fault of the daemon's own speaks for everything.
    let dead = [reading("store.failed", "", 1.0), all[0].clone(), all[1].clone()];
    let found = run(&mut Engine::new(built_in(3)), 0..300, &dead, &cover);
    assert_eq!(told(&found), [(0, "store-failed".to_owned(), Reason::First)]);
}

#[test]
fn a_hundred_faults_at_once_are_three_notices_at_most() {
    let cover = Cover::default();
    let mut readings: Vec<Reading> = (0..100).map(|n| down(&format!("provider p{n}"))).collect();
    readings.push(reading("system.error.rate_percent", "", 90.0));
    readings.extend((0..20).map(|n| reading("sla.burn_1h", &format!("provider p{n}"), 500.0)));
    let found = run(&mut engine(), 0..600, &readings, &cover);
    assert!(found.len() <= 3, "{:?}", told(&found));
    let listed: u32 = found.iter().map(|(_, notice)| notice.alerts.len() as u32 + notice.more).sum();
    assert_eq!(listed, 100, "none of them is left out of the number");
    // The same over some seconds, as they come in life.
    let mut engine = engine();
    let mut all = Vec::new();
    for second in 0..20 {
        let so_far: Vec<Reading> = (0..=second * 5).map(|n| down(&format!("provider p{n}"))).collect();
        all.extend(run(&mut engine, second..second + 1, &so_far, &cover));
    }
    assert!(all.len() <= 3, "{:?}", told(&all));
}

#[test]
fn it_is_told_again_each_hour_unless_somebody_has_it() {
    let cover = Cover::default();
    let mut engine = engine();
    let found = run(&mut engine, 0..7_300, &[down("provider a")], &cover);
    let times: Vec<i64> = found.iter().map(|one| one.0).collect();
    assert_eq!(times, [0, 3_600, 7_200]);
    engine.acknowledge("provider-down", Some(at(12_000)));
    let found = run(&mut engine, 7_300..12_001, &[down("provider a")], &cover);
    assert_eq!(told(&found), [(12_000, "provider-down".to_owned(), Reason::Repeat)]);
}

#[test]
fn what_comes_and_goes_is_told_once_and_then_when_it_is_stable() {
    let mut rules = built_in(3);
    for rule in &mut rules {
        rule.keep = Duration::from_secs(5);
    }
    let (mut engine, cover) = (Engine::new(rules), Cover::default());
    let mut all = Vec::new();
    for turn in 0..20 {
        let begin = turn * 20;
        all.extend(run(&mut engine, begin..begin + 10, &[down("provider a")], &cover));
        all.extend(run(&mut engine, begin + 10..begin + 20, &[reading("provider.open", "provider a", 0.0)], &cover));
    }
    let flapping = all.iter().filter(|(_, notice)| notice.reason == Reason::Flapping).count();
    assert_eq!(flapping, 1, "{:?}", told(&all));
    assert!(all.len() <= 5, "{:?}", told(&all));
    // A quarter of an hour later it stands still, and that is told.
    let after = run(&mut engine, 400..1_400, &[reading("provider.open", "provider a", 0.0)], &cover);
    assert_eq!(reasons(&[after.last().unwrap().1.clone()]), [("provider-down".to_owned(), Reason::Resolved)]);
}

#[test]
fn a_window_that_ends_over_a_fault_tells_it_and_one_that_ends_after_it_does_not() {
    let cover = Cover { silences: Vec::new(), windows: MaintenanceWindow::usual() };
    // From Saturday noon it is 14 hours to Sunday 02:00, and 16 to its end.
    let (begin, end) = (14 * 3_600, 16 * 3_600);
    let mut engine = engine();
    assert_eq!(told(&run(&mut engine, begin..end, &[down("provider a")], &cover)), []);
    let found = run(&mut engine, end..end + 10, &[down("provider a")], &cover);
    assert_eq!(told(&found), [(end, "provider-down".to_owned(), Reason::Uncovered)]);
    let mut other = Engine::new(built_in(3));
    run(&mut other, begin..begin + 60, &[down("provider a")], &cover);
    let mended = [reading("provider.open", "provider a", 0.0)];
    assert_eq!(
        told(&run(&mut other, begin + 60..end + 60, &mended, &cover)),
        [],
        "nobody heard of it, so nobody hears that it is over"
    );
    assert_eq!(other.alerts().count(), 0);
    // What fired before is over in the window: whoever was told is told.
    let mut third = Engine::new(built_in(3));
    assert_eq!(run(&mut third, begin - 10..begin, &[down("provider a")], &cover).len(), 1);
    assert_eq!(told(&run(&mut third, begin..begin + 200, &mended, &cover)).len(), 1);
}

#[test]
fn a_silence_is_over_what_it_names_and_ends_by_itself() {
    let silence = Silence {
        id: 1,
        rule: "provider-*".into(),
        object: "*resend".into(),
        by: "ada".into(),
        reason: "we know".into(),
        since: at(0),
        until: at(100),
    };
    let cover = Cover { silences: vec![silence], windows: Vec::new() };
    let found = run(&mut engine(), 0..200, &[down("provider resend"), down("provider smtp")], &cover);
    let objects: Vec<(i64, usize)> = found.iter().map(|(second, notice)| (*second, notice.alerts.len())).collect();
    assert_eq!(objects, [(0, 1), (100, 2)]);
}

#[test]
fn a_restart_in_any_state_repeats_nothing_and_forgets_nothing() {
    let cover = Cover::default();
    let script = |second: i64| -> Vec<Reading> {
        let open = (20..140).contains(&second) || (300..310).contains(&second);
        let bad = if (100..500).contains(&second) { 40.0 } else { 0.0 };
        vec![
            reading("provider.open", "provider a", f64::from(u8::from(open))),
            reading("system.queue.size", "", if second > 200 { 2_000.0 } else { 0.0 }),
            reading("sla.burn_1h", "all", bad),
            reading("sla.burn_5m", "all", bad),
            reading("sla.bad_1h", "all", 9.0),
        ]
    };
    let whole: Vec<(i64, String, Reason)> = {
        let mut engine = engine();
        (0..900).flat_map(|s| told(&run(&mut engine, s..s + 1, &script(s), &cover))).collect()
    };
    assert!(whole.len() >= 6, "{whole:?}");
    for stop in (1..900).step_by(7) {
        let mut engine = engine();
        let mut found = Vec::new();
        for second in 0..900 {
            if second == stop {
                let alerts = engine.alerts.clone().into_iter().collect();
                let groups = engine.groups.clone().into_iter().collect();
                engine = Engine::new(built_in(3));
                engine.resume(alerts, groups);
            }
            found.extend(told(&run(&mut engine, second..second + 1, &script(second), &cover)));
        }
        // A window of samples is filled anew, so that what needs one may come later by as much, and no more.
        let late = |(second, rule, reason): &(i64, String, Reason)| {
            (rule.clone(), *reason, if rule == "system-queue-size" { 0 } else { *second })
        };
        let sorted = |of: &[(i64, String, Reason)]| {
            let mut all: Vec<(String, i64, String)> =
                of.iter().map(late).map(|(rule, reason, at)| (rule, at, format!("{reason:?}"))).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&found), sorted(&whole), "stopped at {stop}");
    }
}

#[test]
fn a_week_of_one_and_three_percent_of_errors_pages_nobody() {
    use crate::monitor::sla::{TARGET, burn};
    use crate::monitor::sli::{Mark, Sli, Window as Span};
    // Messages are good: what a provider does not take is taken by the next, or at the second try. Attempts are not promised.
    let cover = Cover::default();
    for (percent, each) in [(1_u64, 2_u64), (3, 2), (1, 30), (3, 30)] {
        let mut engine = engine();
        let (mut sli, mut luck) = (Sli::default(), 88_172_645_463_325_252_u64);
        let mut window: VecDeque<bool> = VecDeque::new();
        let mut pages = Vec::new();
        for minute in 0..7 * 24 * 60 {
            let now = at(minute * 60);
            sli.advance(now.0.unsigned_abs() / 1_000);
            for _ in 0..each {
                luck ^= luck << 13;
                luck ^= luck >> 7;
                luck ^= luck << 17;
                let fails = luck % 100 < percent;
                window.push_back(fails);
                // Two failures in a row are what a message of two attempts does not survive.
                let lost = fails && (luck >> 32) % 100 < percent && (luck >> 40) % 100 < percent;
                sli.record(now.0.unsigned_abs() / 1_000, if lost { Mark::Bad } else { Mark::Good });
            }
            while window.len() > (each * 5) as usize {
                window.pop_front();
            }
            let failed = window.iter().filter(|fails| **fails).count() as f64;
            let rate = if window.len() < 200 { 0.0 } else { 100.0 * failed / window.len() as f64 };
            let mut readings = vec![reading("system.error.rate_percent", "", rate)];
            for (name, bad, span) in [
                ("sla.burn_5m", "sla.bad_5m", Span::Minutes5),
                ("sla.burn_30m", "sla.bad_30m", Span::Minutes30),
                ("sla.burn_1h", "sla.bad_1h", Span::Hour1),
                ("sla.burn_6h", "sla.bad_6h", Span::Hours6),
            ] {
                let counts = sli.counts(span);
                readings.push(reading(name, "all", burn(counts, TARGET).unwrap_or(0.0)));
                readings.push(reading(bad, "all", counts.bad as f64));
            }
            let step = engine.step(now, &readings, &cover);
            pages.extend(
                step.notices.into_iter().filter(|notice| notice.priority.pages()).map(|notice| (minute, notice)),
            );
        }
        assert!(pages.is_empty(), "{percent} % at {each} a minute: {:?}", told(&pages));
    }
}

proptest! {
    /// Whatever comes and goes: what is told as firing is told as over once it is, and nothing is told as over that was not told.
    #[test]
    fn every_group_that_was_told_is_told_to_be_over(turns in prop::collection::vec((0..4_usize, 1..200_i64), 1..40)) {
        let (mut engine, cover) = (engine(), Cover::default());
        let (mut now, mut open, mut told_of) = (0, [false; 4], 0_i64);
        let mut all = Vec::new();
        for (which, seconds) in turns {
            open[which] = !open[which];
            let readings: Vec<Reading> = open
                .iter()
                .enumerate()
                .map(|(n, open)| reading("provider.open", &format!("provider p{n}"), f64::from(u8::from(*open))))
                .collect();
            all.extend(run(&mut engine, now..now + seconds, &readings, &cover));
            now += seconds;
        }
        let calm: Vec<Reading> = (0..4).map(|n| reading("provider.open", &format!("provider p{n}"), 0.0)).collect();
        all.extend(run(&mut engine, now..now + 3_000, &calm, &cover));
        for (_, notice) in &all {
            match notice.reason {
                Reason::First => { prop_assert_eq!(told_of, 0); told_of += 1; }
                Reason::Flapping => told_of = 1,
                Reason::Resolved => { prop_assert_eq!(told_of, 1); told_of -= 1; }
                _ => prop_assert_eq!(told_of, 1),
            }
        }
        prop_assert_eq!(told_of, 0, "{:?}", told(&all));
        prop_assert_eq!(engine.alerts().count(), 0);
        let keys: BTreeSet<&String> = all.iter().map(|(_, notice)| &notice.key).collect();
        prop_assert_eq!(keys.len(), all.len(), "each notice has a key of its own");
    }
}

#[test]
fn conditions_compare_as_they_are_written() {
    for (condition, below, equal, above) in [
        (Condition::Above, false, false, true),
        (Condition::AtLeast, false, true, true),
        (Condition::Below, true, false, false),
        (Condition::AtMost, true, true, false),
        (Condition::Equal, false, true, false),
    ] {
        let found = [0.0, 1.0, 2.0].map(|value| condition.holds(value, 1.0));
        assert_eq!(found, [below, equal, above], "{}", condition.as_str());
    }
}
