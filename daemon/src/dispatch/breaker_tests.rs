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

    fn outcomes(&mut self, classes: &[OutcomeClass], now: Duration) {
        for &class in classes {
            self.breaker.on_outcome(class, None, now, &mut self.dice);
        }
    }

    fn probe(&mut self, passed: bool, now: Duration) {
        let ticket = self.breaker.start_probe(now).expect("a probe may start");
        self.breaker.on_probe(ticket, passed, now, &mut self.dice);
    }

    fn permit(&self, seconds: u64) -> Permit {
        self.breaker.permit(at(seconds))
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_fewer_do_not() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent, Unknown, NotSent, Unknown, Accepted, NotSent, NotSent, NotSent, NotSent], at(1));
    assert_eq!(bench.permit(1), Permit::Go);
    bench.outcomes(&[Unknown], at(1));
    assert_eq!(bench.permit(1), Permit::No { until: at(16) });
    assert_eq!(bench.breaker.snapshot(at(1)).cause, Some(Cause::InARow));
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
fn an_unusable_account_opens_it_at_once_and_an_unusable_country_does_not() {
    for (scope, opens) in
        [(None, true), (Some(Scope::Account), true), (Some(Scope::Sender), true), (Some(Scope::Region), false)]
    {
        let mut bench = Bench::new();
        bench.breaker.on_outcome(Unusable, scope, at(1), &mut bench.dice);
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
    assert!(!bench.breaker.wants_probe(at(5)) && bench.breaker.wants_probe(at(6)), "every five seconds");
    assert_eq!(bench.permit(6), Permit::Go, "a probe that passed leaves it closed");
    bench.probe(false, at(6));
    assert_eq!(bench.permit(6), Permit::No { until: at(21) });
}

#[test]
fn a_failed_probe_of_a_healthy_provider_opens_nothing() {
    let mut bench = Bench::new();
    bench.probe(false, at(1));
    assert_eq!(bench.permit(1), Permit::Go);
}

#[test]
fn half_open_lets_one_probe_through_and_success_closes_it() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(0));
    bench.outcomes(&[NotSent; 20], at(14));
    assert_eq!(bench.permit(14), Permit::No { until: at(15) }, "late failures do not open it anew");
    assert_eq!(bench.permit(15), Permit::Probe);
    assert_eq!(bench.breaker.snapshot(at(15)).state, BreakerState::HalfOpen);
    let ticket = bench.breaker.start_probe(at(15)).unwrap();
    assert_eq!(bench.breaker.start_probe(at(15)), None);
    assert!(matches!(bench.permit(15), Permit::No { .. }));
    bench.outcomes(&[Accepted, NotSent], at(16));
    assert!(matches!(bench.permit(16), Permit::No { .. }), "late answers decide nothing");
    bench.breaker.on_probe(ticket, true, at(17), &mut bench.dice);
    assert_eq!((bench.permit(17), bench.breaker.snapshot(at(17)).failures), (Permit::Go, 0));
}

#[test]
fn a_probe_that_never_comes_back_gives_up_its_place_and_its_voice() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(0));
    let lost = bench.breaker.start_probe(at(15)).unwrap();
    assert_eq!(bench.permit(44), Permit::No { until: at(45) });
    assert_eq!(bench.permit(45), Permit::Probe);
    let second = bench.breaker.start_probe(at(45)).unwrap();
    bench.breaker.on_probe(lost, true, at(46), &mut bench.dice);
    assert_ne!(bench.permit(46), Permit::Go);
    bench.breaker.on_probe(second, true, at(47), &mut bench.dice);
    assert_eq!(bench.permit(47), Permit::Go);
}

#[test]
fn each_opening_in_a_row_lasts_longer_up_to_five_minutes_and_health_forgives() {
    let mut bench = Bench::new();
    bench.outcomes(&[NotSent; 5], at(0));
    let mut now = at(0);
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
    let opens = bench.breaker.snapshot(until).opens;
    let healthy = until + at(180);
    bench.outcomes(&[NotSent; 5], healthy);
    assert_eq!(bench.breaker.snapshot(healthy).opens, opens - 3 + 1, "one forgiven a minute");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    Outcome(OutcomeClass),
    Start,
    Report(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let classes = vec![Accepted, Recipient, Refused, Throttled, NotSent, Unknown, Unusable];
    prop_oneof![
        (0..60_000_u64).prop_map(Step::Wait),
        prop::sample::select(classes).prop_map(Step::Outcome),
        Just(Step::Start),
        any::<bool>().prop_map(Step::Report),
    ]
}

proptest! {
    #[test]
    fn it_is_never_shut_for_ever_and_never_open_by_luck(seed: u64, steps in prop::collection::vec(step(), 1..200)) {
        let mut breaker = Breaker::new(Settings::default(), Duration::ZERO);
        let mut dice = Dice::seeded(seed);
        let (mut now, mut ticket) = (Duration::ZERO, None);
        for step in steps {
            let before = breaker.permit(now);
            match step {
                Step::Wait(ms) => now += Duration::from_millis(ms),
                Step::Outcome(class) => breaker.on_outcome(class, None, now, &mut dice),
                Step::Start => {
                    let started = breaker.start_probe(now);
                    let refused = matches!(before, Permit::No { .. });
                    prop_assert!(started.is_none() || !refused, "no probe where none may go");
                    ticket = started.or(ticket);
                }
                Step::Report(passed) => if let Some(ticket) = ticket {
                    breaker.on_probe(ticket, passed, now, &mut dice);
                },
            }
            let after = breaker.permit(now);
            if after == Permit::Go && before != Permit::Go {
                prop_assert!(matches!(step, Step::Report(true)), "only a probe closes it");
            }
            if let Permit::No { until } = after {
                prop_assert!(until > now && until <= now + Duration::from_mins(5));
                prop_assert_eq!(breaker.permit(until), Permit::Probe, "when its time has come, one may try");
            }
        }
    }
}
