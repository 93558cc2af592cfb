//! The breaker by table and by property.

use OutcomeClass::{Accepted, NotSent, Recipient, Refused, Throttled, Unknown, Unusable};
use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Bench {
    breaker: Breaker,
    dice: Dice,
}

impl Bench {
    fn new() -> Self {
        Self { breaker: Breaker::new(Settings { jitter: 0.0, ..Settings::default() }, at(0)), dice: Dice::seeded(1) }
    }

    /// One request from beginning to end.
    fn call(&mut self, class: OutcomeClass, scope: Option<Scope>, began: Duration, now: Duration) {
        let leave = self.breaker.take(1, None);
        let call = self.breaker.on_start(leave, began);
        self.breaker.on_outcome(call, class, scope, now, &mut self.dice);
        self.breaker.give_back(leave, 1);
    }

    fn outcomes(&mut self, classes: &[OutcomeClass], now: Duration) {
        for &class in classes {
            self.call(class, None, now, now);
        }
    }

    fn probe(&mut self, passed: bool, now: Duration) {
        let ticket = self.breaker.start_probe(now).expect("a probe may start");
        self.breaker.on_probe(ticket, passed, now, &mut self.dice);
    }

    fn tick(&mut self, ms: u64) -> BreakerState {
        let now = Duration::from_millis(ms);
        self.breaker.tick(now, &mut self.dice);
        self.breaker.snapshot(now).state
    }

    fn permit(&self, seconds: u64) -> Permit {
        self.breaker.permit(at(seconds))
    }

    /// Opens at `seconds`, and passes the probe when its time has come; when that was.
    fn half_open(&mut self, seconds: u64) -> Duration {
        self.outcomes(&[NotSent; 5], at(seconds));
        let Permit::No { until } = self.permit(seconds) else { panic!("open") };
        self.probe(true, until);
        until
    }

    /// The same, and all steps of half-open; when recovery begins.
    fn recovering(&mut self, seconds: u64) -> Duration {
        let now = self.half_open(seconds);
        self.outcomes(&[Accepted; 15], now);
        assert_eq!(self.breaker.snapshot(now).state, BreakerState::Recovering);
        now
    }

    fn cause(&self) -> Option<Cause> {
        self.breaker.snapshot(Duration::ZERO).cause
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_fewer_do_not() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent, Unknown, NotSent, Accepted, NotSent, NotSent, NotSent, NotSent], at(1));
    assert_eq!(bench.permit(2), Permit::Go);
    bench.outcomes(&[Unknown], at(2));
    assert_eq!(bench.permit(2), Permit::No { until: at(17) });
    assert_eq!(bench.cause(), Some(Cause::InARow));
}

#[test]
fn a_success_within_a_second_outweighs_five_failures() {
    let mut bench = Bench::new();
    bench.outcomes(&[Accepted; 20], at(5));
    bench.outcomes(&[NotSent; 5], at(5));
    assert_eq!(bench.permit(5), Permit::Go);
    assert_eq!(bench.tick(5_999), BreakerState::Closed);
    assert_eq!(bench.tick(6_000), BreakerState::Open, "time alone makes it true");
}

#[test]
fn a_quarter_of_ten_and_five_of_them_within_thirty_seconds_open_it() {
    let step = |bench: &mut Bench, taken: usize, now| {
        bench.outcomes(&[Accepted].repeat(taken), at(now));
        bench.outcomes(&[NotSent], at(now));
    };
    let mut bench = Bench::new();
    (1..=4).for_each(|n| step(&mut bench, 3, n));
    assert_eq!(bench.permit(4), Permit::Go, "a quarter of sixteen, but only four");
    step(&mut bench, 3, 5);
    assert_eq!((bench.permit(5) == Permit::Go, bench.cause()), (false, Some(Cause::Rate)));
    let mut bench = Bench::new();
    (1..=20).for_each(|n| step(&mut bench, 4, n));
    assert_eq!(bench.permit(20), Permit::Go, "a fifth is not a quarter");
    let mut bench = Bench::new();
    (1..=40).for_each(|n| step(&mut bench, 1, n * 8));
    assert_eq!(bench.permit(320), Permit::Go, "four within thirty seconds, however long it goes on");
}

#[test]
fn three_requests_that_hang_open_it_before_their_time_is_up() {
    let mut bench = Bench::new();
    for n in 0..30 {
        bench.call(Accepted, None, at(n), at(n) + Duration::from_millis(100));
    }
    for _ in 0..3 {
        let leave = bench.breaker.take(1, None);
        let _ = bench.breaker.on_start(leave, at(40));
    }
    assert_eq!(bench.tick(41_800), BreakerState::Closed);
    assert_eq!(bench.tick(42_300), BreakerState::Open);
    assert_eq!(bench.cause(), Some(Cause::Stall));
}

#[test]
fn a_provider_that_always_takes_long_does_not_hang() {
    let mut bench = Bench::new();
    for n in 0..40 {
        bench.call(Accepted, None, at(n), at(n + 4));
    }
    let calls: Vec<Call> = (0..6)
        .map(|_| {
            let leave = bench.breaker.take(1, None);
            bench.breaker.on_start(leave, at(60))
        })
        .collect();
    assert_eq!(bench.tick(65_000), BreakerState::Closed);
    for call in calls {
        bench.breaker.on_outcome(call, Accepted, None, at(65), &mut bench.dice);
    }
    assert_eq!(bench.tick(90_000), BreakerState::Closed, "they came back");
}

#[test]
fn five_times_as_slow_as_in_the_day_opens_it() {
    for (slow_ms, opens) in [(1_900, false), (2_600, true)] {
        let mut bench = Bench::new();
        for n in 0..200 {
            bench.call(Accepted, None, at(n), at(n) + Duration::from_millis(400));
        }
        for n in 0..40 {
            let began = Duration::from_millis(220_000 + n * 200);
            bench.call(Accepted, None, began, began + Duration::from_millis(slow_ms));
            bench.breaker.tick(began + Duration::from_millis(slow_ms), &mut bench.dice);
        }
        assert_eq!(bench.cause() == Some(Cause::Slow), opens, "{slow_ms} ms");
    }
}

#[test]
fn what_is_not_the_providers_fault_is_not_counted_and_does_not_heal() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 4], at(1));
    bench.outcomes(&[Recipient, Refused, Throttled].repeat(20), at(1));
    assert_eq!((bench.permit(1), bench.breaker.snapshot(at(1)).failures), (Permit::Go, 4));
    bench.outcomes(&[NotSent], at(1));
    assert!(matches!(bench.permit(1), Permit::No { .. }));
}

#[test]
fn an_unusable_account_opens_it_at_once_and_an_unusable_country_or_sender_does_not() {
    for (scope, opens) in
        [(None, true), (Some(Scope::Account), true), (Some(Scope::Sender), false), (Some(Scope::Region), false)]
    {
        let mut bench = Bench::new();
        bench.call(Unusable, scope, at(1), at(1));
        assert_eq!(bench.permit(1) != Permit::Go, opens, "{scope:?}");
    }
}

#[test]
fn three_failures_ask_for_a_probe_whose_failure_opens_it() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 2], at(1));
    assert!(!bench.breaker.wants_probe(at(1)));
    bench.outcomes(&[NotSent], at(1));
    assert!(bench.breaker.wants_probe(at(1)));
    let ticket = bench.breaker.start_probe(at(1)).unwrap();
    assert_eq!(bench.breaker.start_probe(at(1)), None, "one at a time");
    bench.breaker.on_probe(ticket, true, at(1), &mut bench.dice);
    assert!(!bench.breaker.wants_probe(at(2)) && bench.breaker.wants_probe(at(3)), "every two seconds");
    assert_eq!(bench.permit(3), Permit::Go, "a probe that passed leaves it closed");
    bench.probe(false, at(3));
    assert_eq!(bench.permit(3), Permit::No { until: at(18) });
}

#[test]
fn a_probe_from_before_does_not_put_off_the_one_that_three_failures_ask_for() {
    let mut bench = Bench::new();
    bench.probe(true, at(10));
    bench.outcomes(&[NotSent; 2], at(11));
    assert!(!bench.breaker.wants_probe(at(11)));
    bench.outcomes(&[NotSent], at(11));
    assert!(bench.breaker.wants_probe(at(11)), "at once");
    bench.probe(true, at(11));
    bench.outcomes(&[NotSent], at(11));
    assert!(!bench.breaker.wants_probe(at(11)), "once a row");
}

#[test]
fn time_presses_while_nothing_comes_back_or_a_row_is_long_enough_and_not_otherwise() {
    let mut bench = Bench::new();
    bench.outcomes(&[Accepted], at(10));
    for _ in 0..3 {
        let leave = bench.breaker.take(1, None);
        let _ = bench.breaker.on_start(leave, at(10));
    }
    assert!(!bench.breaker.is_pressing(at(11)), "a success is not two seconds past");
    assert!(bench.breaker.is_pressing(at(12)));
    let mut bench = Bench::new();
    bench.outcomes(&[Accepted], at(10));
    bench.outcomes(&[NotSent; 4], at(10));
    assert!(!bench.breaker.is_pressing(at(10)));
    bench.outcomes(&[NotSent], at(10));
    assert!(bench.breaker.is_pressing(at(10)));
    assert_eq!((bench.tick(11_000), bench.breaker.is_pressing(at(11))), (BreakerState::Open, false));
}

#[test]
fn three_failed_probes_in_a_row_open_it_and_an_accepted_message_lies_between() {
    let mut bench = Bench::new();
    bench.probe(false, at(1));
    bench.probe(false, at(3));
    bench.outcomes(&[Accepted], at(4));
    bench.probe(false, at(6));
    bench.probe(false, at(8));
    assert_eq!(bench.permit(8), Permit::Go);
    bench.probe(false, at(10));
    assert_eq!(bench.cause(), Some(Cause::Probe));
}

#[test]
fn a_failed_probe_of_a_healthy_provider_opens_nothing() {
    let mut bench = Bench::new();
    bench.probe(false, at(1));
    assert_eq!(bench.permit(1), Permit::Go);
}

#[test]
fn half_open_lets_one_probe_through_then_one_two_four_and_eight_messages() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(1));
    bench.outcomes(&[NotSent; 20], at(14));
    assert_eq!(bench.permit(14), Permit::No { until: at(16) }, "late failures do not open it anew");
    assert_eq!(bench.permit(16), Permit::Probe);
    assert_eq!(bench.breaker.snapshot(at(16)).state, BreakerState::HalfOpen);
    let ticket = bench.breaker.start_probe(at(16)).unwrap();
    assert_eq!(bench.breaker.start_probe(at(16)), None);
    assert!(matches!(bench.permit(16), Permit::No { .. }));
    bench.breaker.on_probe(ticket, true, at(17), &mut bench.dice);
    for most in [1, 2, 4, 8] {
        assert_eq!(bench.permit(18), Permit::Few(most));
        let leave = bench.breaker.take(most, None);
        assert!(matches!(bench.permit(18), Permit::No { .. }), "no more than {most} at once");
        for _ in 0..most {
            let call = bench.breaker.on_start(leave, at(18));
            bench.breaker.on_outcome(call, Accepted, None, at(18), &mut bench.dice);
        }
        bench.breaker.give_back(leave, most);
    }
    assert_eq!((bench.permit(18), bench.breaker.snapshot(at(18)).failures), (Permit::Go, 0));
}

#[test]
fn one_failure_in_half_open_opens_it_again_and_recipients_decide_nothing() {
    let mut bench = Bench::new();
    let now = bench.half_open(1);
    bench.outcomes(&[Recipient, Refused, Throttled], now);
    assert_eq!(bench.breaker.permit(now), Permit::Few(1));
    bench.outcomes(&[Unknown], now);
    assert_eq!((bench.breaker.permit(now), bench.cause()), (Permit::No { until: now + at(30) }, Some(Cause::Trial)));
}

#[test]
fn half_open_ends_after_thirty_seconds_well_without_traffic_and_shut_with_lost_messages() {
    let mut bench = Bench::new();
    let now = bench.half_open(1);
    assert_eq!(bench.tick(now.as_millis() as u64 + 29_999), BreakerState::HalfOpen);
    assert_eq!(bench.tick(now.as_millis() as u64 + 30_000), BreakerState::Recovering);
    let mut bench = Bench::new();
    let now = bench.half_open(1);
    let leave = bench.breaker.take(1, None);
    let _lost = bench.breaker.on_start(leave, now);
    assert_eq!(bench.tick(now.as_millis() as u64 + 30_000), BreakerState::Open);
    assert_eq!(bench.cause(), Some(Cause::Lost));
}

#[test]
fn recovery_takes_four_steps_and_the_rules_still_hold() {
    let mut bench = Bench::new();
    let now = bench.recovering(1);
    for (after, share) in [(0, 0.10), (14, 0.10), (15, 0.25), (30, 0.50), (45, 1.0), (59, 1.0)] {
        assert!((bench.breaker.share(now + at(after)) - share).abs() < 1e-9, "after {after} s");
    }
    assert_eq!(bench.tick(now.as_millis() as u64 + 60_000), BreakerState::Closed);
    let mut bench = Bench::new();
    let now = bench.recovering(1) + at(20);
    bench.outcomes(&[NotSent; 5], now);
    assert_eq!(bench.breaker.snapshot(now).state, BreakerState::Open);
    assert_eq!(bench.breaker.snapshot(now).opens, 2, "not yet forgiven");
}

#[test]
fn a_message_may_be_the_probe_and_a_late_answer_of_an_earlier_life_is_nothing() {
    let mut bench = Bench::new();
    let old = bench.breaker.take(1, None);
    let old_call = bench.breaker.on_start(old, at(0));
    bench.outcomes(&[NotSent; 5], at(1));
    let ticket = bench.breaker.start_probe(at(16)).unwrap();
    let leave = bench.breaker.take(1, Some(ticket));
    let call = bench.breaker.on_start(leave, at(16));
    for class in [Accepted, NotSent, Unusable] {
        bench.breaker.on_outcome(old_call, class, None, at(17), &mut bench.dice);
        bench.breaker.give_back(old, 1);
    }
    assert!(matches!(bench.permit(17), Permit::No { .. }), "late answers decide nothing");
    assert_eq!(bench.breaker.snapshot(at(17)).state, BreakerState::HalfOpen);
    bench.breaker.on_outcome(call, Accepted, None, at(18), &mut bench.dice);
    assert_eq!(bench.permit(18), Permit::Few(1));
}

#[test]
fn a_probe_message_that_is_not_sent_or_proves_nothing_makes_room_for_another() {
    for throttled in [false, true] {
        let mut bench = Bench::new();
        bench.outcomes(&[NotSent; 5], at(1));
        let ticket = bench.breaker.start_probe(at(16)).unwrap();
        let leave = bench.breaker.take(1, Some(ticket));
        if throttled {
            let call = bench.breaker.on_start(leave, at(16));
            bench.breaker.on_outcome(call, Throttled, None, at(16), &mut bench.dice);
        } else {
            bench.breaker.drop_probe(leave);
        }
        assert_eq!(bench.permit(16), Permit::Probe);
    }
}

#[test]
fn a_probe_that_never_comes_back_gives_up_its_place_and_its_voice() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(1));
    let lost = bench.breaker.start_probe(at(16)).unwrap();
    assert_eq!(bench.permit(45), Permit::No { until: at(46) });
    assert_eq!(bench.permit(46), Permit::Probe);
    let second = bench.breaker.start_probe(at(46)).unwrap();
    bench.breaker.on_probe(lost, true, at(47), &mut bench.dice);
    assert!(matches!(bench.permit(47), Permit::No { .. }));
    bench.breaker.on_probe(second, true, at(48), &mut bench.dice);
    assert_eq!(bench.permit(48), Permit::Few(1));
}

#[test]
fn each_opening_in_a_row_lasts_longer_up_to_five_minutes_and_health_forgives() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(1));
    let mut now = at(1);
    let mut lasted = Vec::new();
    for _ in 0..25 {
        let Permit::No { until } = bench.breaker.permit(now) else { panic!("open") };
        lasted.push(until.saturating_sub(now).as_secs());
        now = until;
        bench.probe(false, now);
    }
    assert_eq!(lasted[..3], [15, 30, 45]);
    assert_eq!(lasted[24], 300);
    let Permit::No { until } = bench.breaker.permit(now) else { panic!("open") };
    bench.probe(true, until);
    bench.outcomes(&[Accepted; 15], until);
    let opens = bench.breaker.snapshot(until).opens;
    let healthy = until + at(180);
    bench.outcomes(&[NotSent; 5], healthy);
    assert_eq!(bench.breaker.snapshot(healthy).opens, opens - 3 + 1, "one forgiven a minute");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    Begin,
    End(OutcomeClass),
    Lose,
    StartProbe,
    Report(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let classes = vec![Accepted, Accepted, Recipient, Refused, Throttled, NotSent, Unknown, Unusable];
    prop_oneof![
        (0..60_000_u64).prop_map(Step::Wait),
        (0..2_000_u64).prop_map(Step::Wait),
        Just(Step::Begin),
        Just(Step::Begin),
        prop::sample::select(classes).prop_map(Step::End),
        Just(Step::Lose),
        Just(Step::StartProbe),
        any::<bool>().prop_map(Step::Report),
    ]
}

proptest! {
    #[test]
    fn nothing_lasts_for_ever_and_half_open_never_lets_more_through_than_its_step(
        seed: u64,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut breaker = Breaker::new(Settings::default(), Duration::ZERO);
        let mut dice = Dice::seeded(seed);
        let (mut now, mut ticket) = (Duration::ZERO, None);
        // Messages under way, and how many of them began in this half-open.
        let (mut calls, mut half_open_since): (Vec<(Call, Leave)>, Option<Duration>) = (Vec::new(), None);
        let mut trials: Vec<Leave> = Vec::new();
        for step in steps {
            breaker.tick(now, &mut dice);
            let before = breaker.snapshot(now).state;
            match step {
                Step::Wait(ms) => now += Duration::from_millis(ms),
                Step::Begin => if matches!(breaker.permit(now), Permit::Go | Permit::Few(_)) {
                    let leave = breaker.take(1, None);
                    if before == BreakerState::HalfOpen {
                        trials.push(leave);
                    }
                    calls.push((breaker.on_start(leave, now), leave));
                },
                Step::End(class) => if !calls.is_empty() {
                    let (call, leave) = calls.remove(0);
                    breaker.on_outcome(call, class, None, now, &mut dice);
                    breaker.give_back(leave, 1);
                    if let Some(place) = trials.iter().position(|trial| *trial == leave) {
                        trials.remove(place);
                    }
                },
                Step::Lose => if !calls.is_empty() {
                    calls.remove(0);
                },
                Step::StartProbe => ticket = breaker.start_probe(now).or(ticket),
                Step::Report(passed) => if let Some(ticket) = ticket {
                    breaker.on_probe(ticket, passed, now, &mut dice);
                },
            }
            breaker.tick(now, &mut dice);
            let after = breaker.snapshot(now).state;
            if after != BreakerState::HalfOpen {
                trials.clear();
                half_open_since = None;
            }
            prop_assert!(trials.len() <= 8, "{} at once", trials.len());
            if let Permit::Few(_) = breaker.permit(now) {
                let since = *half_open_since.get_or_insert(now);
                prop_assert!(now < since + Duration::from_secs(30), "half-open ends by itself");
            }
            if let Permit::No { until } = breaker.permit(now) {
                prop_assert!(until > now && until <= now + Duration::from_mins(5));
                let mut later = breaker.clone();
                later.tick(until, &mut dice);
                prop_assert!(later.permit(until) != breaker.permit(now), "it does not stay as it is");
            }
        }
    }

    #[test]
    fn what_lies_with_messages_never_changes_a_state(
        classes in prop::collection::vec(prop::sample::select(vec![Recipient, Refused, Throttled]), 1..200),
        phase in 0..3_u8,
        ms in 0..200_u64,
    ) {
        let mut bench = Bench::new();
        let mut now = match phase {
            0 => at(1),
            1 => bench.half_open(1),
            _ => bench.recovering(1),
        };
        let state = bench.breaker.snapshot(now).state;
        for class in classes {
            now += Duration::from_millis(ms.min(50));
            let limit_reached = phase == 1 && now >= at(46);
            prop_assume!(!limit_reached);
            bench.call(class, Some(Scope::Account).filter(|_| ms > 100), now, now);
            prop_assert_eq!(bench.breaker.snapshot(now).state, state);
            prop_assert!(matches!(bench.breaker.permit(now), Permit::Go | Permit::Few(1)));
        }
    }

    #[test]
    fn a_total_outage_opens_it_within_five_requests_or_a_second(gap_ms in 1..20_000_u64, healthy in 0..300_u64) {
        let mut bench = Bench::new();
        for n in 0..healthy {
            let now = Duration::from_millis(n * gap_ms);
            bench.call(Accepted, None, now, now);
        }
        let (onset, mut now) = (Duration::from_millis(healthy * gap_ms), Duration::from_millis(healthy * gap_ms));
        while bench.breaker.permit(now) == Permit::Go {
            bench.call(Unknown, None, now, now);
            now += Duration::from_millis(gap_ms);
            prop_assert!(now <= onset + Duration::from_millis(1_000.max(4 * gap_ms) + 2 * gap_ms), "still closed");
        }
    }
}
