//! Routing by table, and by property over every mixture of states.

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(100_000);
const LATER: Duration = Duration::from_secs(100_060);
const DAY: Duration = Duration::from_hours(24);

fn candidate(provider: usize) -> Candidate {
    let traits = Traits { batch_max: 1, keeps_keys: None, smtp_utf8: true, lookup: false };
    Candidate { rank: provider as u32 + 1, ..of_rank(1, provider, traits) }
}

fn of_rank(rank: u32, provider: usize, traits: Traits) -> Candidate {
    let (weight, share) = (1.0, 1.0);
    let steered = Steered::Free;
    Candidate { provider, enabled: true, steered, rank, weight, share, permit: Permit::Go, room: Room::Free, traits }
}

fn keeping(provider: usize) -> Candidate {
    let traits = Traits { keeps_keys: Some(DAY), ..candidate(provider).traits };
    Candidate { traits, ..candidate(provider) }
}

fn open(provider: usize) -> Candidate {
    Candidate { permit: Permit::No { until: LATER }, ..candidate(provider) }
}

fn tried(provider: usize, class: OutcomeClass, again_at: Duration) -> Tried {
    Tried { provider, class, at: NOW.saturating_sub(Duration::from_secs(5)), again_at }
}

fn send(provider: usize) -> Route {
    Route::Send { provider, probe: false }
}

fn hold(why: Why, until: Option<Duration>) -> Route {
    Route::Hold(Hold { why, until })
}

#[test]
fn the_first_that_may_carries_it() {
    use OutcomeClass::{NotSent, Throttled, Unusable};
    let all = [candidate(0), candidate(1)];
    let with = |room| [Candidate { room, ..candidate(0) }, candidate(1)];
    let first_disabled = [Candidate { enabled: false, ..candidate(0) }, candidate(1)];
    let steered = |steered| [Candidate { steered, ..candidate(0) }, candidate(1)];
    let cases: Vec<(&str, Vec<Candidate>, Vec<Tried>, Route)> = vec![
        ("both may", all.into(), vec![], send(0)),
        ("first open", vec![open(0), candidate(1)], vec![], send(1)),
        ("first barred", first_disabled.into(), vec![], send(1)),
        ("first drained", steered(Steered::Drained).into(), vec![], send(1)),
        ("only one, drained", steered(Steered::Drained)[..1].into(), vec![], hold(Why::Drained, None)),
        ("first held: nothing moves", steered(Steered::Held).into(), vec![], hold(Why::Held, None)),
        ("first held, and failed it", steered(Steered::Held).into(), vec![tried(0, NotSent, NOW)], send(1)),
        ("first asked us to wait", with(Room::Paused(LATER)).into(), vec![], send(1)),
        ("its wait is over", with(Room::Paused(NOW)).into(), vec![], send(0)),
        ("own pace", with(Room::Pace(LATER)).into(), vec![], hold(Why::Pace, Some(LATER))),
        ("own concurrency", with(Room::Full).into(), vec![], hold(Why::Concurrency, None)),
        ("not sent", all.into(), vec![tried(0, NotSent, LATER)], send(1)),
        ("throttled", all.into(), vec![tried(0, Throttled, LATER)], send(1)),
        ("unusable", all.into(), vec![tried(0, Unusable, LATER)], send(1)),
        ("again, its wait over", vec![candidate(0), open(1)], vec![tried(0, NotSent, NOW)], send(0)),
        ("all open", vec![open(0), open(1)], vec![], hold(Why::Breaker, Some(LATER))),
        ("none", vec![], vec![], hold(Why::NoProvider, None)),
        (
            "both tried",
            all.into(),
            vec![tried(0, NotSent, LATER), tried(1, NotSent, LATER + LATER)],
            hold(Why::Backoff, Some(LATER)),
        ),
    ];
    for (name, candidates, tried, expected) in cases {
        assert_eq!(route(&candidates, &tried, false, 0.5, NOW), expected, "{name}");
    }
}

#[test]
fn doubt_is_repeated_under_its_key_or_waits() {
    let doubt = [tried(0, OutcomeClass::Unknown, NOW)];
    assert_eq!(
        route(&[keeping(0), candidate(1)], &doubt, false, 0.5, NOW),
        Route::Repeat { provider: 0, probe: false }
    );
    let probing = Candidate { permit: Permit::Probe, ..keeping(0) };
    assert_eq!(route(&[probing, candidate(1)], &doubt, false, 0.5, NOW), Route::Repeat { provider: 0, probe: true });
    assert_eq!(route(&[candidate(0), candidate(1)], &doubt, false, 0.5, NOW), hold(Why::InDoubt, None));
    let broken = Candidate { permit: Permit::No { until: LATER }, ..keeping(0) };
    assert_eq!(route(&[broken, candidate(1)], &doubt, false, 0.5, NOW), hold(Why::Breaker, Some(LATER)));
    let forgotten = [Tried { at: NOW.saturating_sub(DAY) + KEY_MARGIN, ..doubt[0] }];
    assert_eq!(route(&[keeping(0), candidate(1)], &forgotten, false, 0.5, NOW), hold(Why::InDoubt, None));
}

#[test]
fn only_a_provider_that_keeps_keys_is_probed_with_a_message() {
    let half_open = |candidate: Candidate| Candidate { permit: Permit::Probe, ..candidate };
    assert_eq!(route(&[half_open(keeping(0))], &[], false, 0.5, NOW), Route::Send { provider: 0, probe: true });
    assert_eq!(route(&[half_open(candidate(0))], &[], false, 0.5, NOW), hold(Why::Breaker, None));
    assert_eq!(route(&[half_open(candidate(0)), candidate(1)], &[], false, 0.5, NOW), send(1));
}

#[test]
fn an_address_beyond_ascii_goes_where_it_is_taken() {
    let ascii = Candidate { traits: Traits { smtp_utf8: false, ..candidate(0).traits }, ..candidate(0) };
    assert_eq!(route(&[ascii, candidate(1)], &[], true, 0.5, NOW), send(1));
    assert_eq!(route(&[ascii], &[], true, 0.5, NOW), hold(Why::NoProvider, None));
}

/// How many of a thousand evenly spread throws each provider gets.
fn spread(candidates: &[Candidate]) -> Vec<usize> {
    let mut counts = vec![0; candidates.len()];
    for n in 0..1_000 {
        match route(candidates, &[], false, f64::from(n) / 1_000.0, NOW) {
            Route::Send { provider, .. } => counts[provider] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

#[test]
fn providers_of_one_rank_share_by_weight_and_a_recovering_one_takes_its_part() {
    let of_one = |provider, weight, share| Candidate { rank: 1, weight, share, ..candidate(provider) };
    let near = |found: &[usize], expected: &[usize]| {
        let close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 2);
        assert!(close, "{found:?}, {expected:?} expected");
    };
    near(&spread(&[of_one(0, 3.0, 1.0), of_one(1, 1.0, 1.0)]), &[750, 250]);
    near(&spread(&[of_one(0, 1.0, 0.25), of_one(1, 1.0, 1.0)]), &[200, 800]);
    let recovering = Candidate { share: 0.1, ..candidate(0) };
    near(&spread(&[recovering, candidate(1)]), &[100, 900]);
    near(&spread(&[recovering, open(1)]), &[1_000, 0]);
    near(&spread(&[recovering, Candidate { share: 0.5, ..candidate(1) }, candidate(2)]), &[100, 450, 450]);
    let full = Candidate { room: Room::Full, ..of_one(0, 3.0, 1.0) };
    near(&spread(&[full, of_one(1, 1.0, 1.0)]), &[0, 1_000]);
    near(&spread(&[recovering, Candidate { room: Room::Full, ..candidate(1) }]), &[1_000, 0]);
}

fn any_class() -> impl Strategy<Value = OutcomeClass> {
    use OutcomeClass::{Accepted, NotSent, Recipient, Refused, Throttled, Unknown, Unusable};
    prop::sample::select(vec![Accepted, Recipient, Refused, Throttled, NotSent, Unknown, Unusable])
}

fn any_candidate(provider: usize) -> impl Strategy<Value = Candidate> {
    let permit = prop::sample::select(vec![Permit::Go, Permit::Few(2), Permit::Probe, Permit::No { until: LATER }]);
    let room = prop::sample::select(vec![Room::Free, Room::Full, Room::Pace(LATER), Room::Paused(LATER)]);
    (any::<bool>(), permit, room, any::<bool>(), any::<bool>()).prop_map(move |(enabled, permit, room, keys, utf8)| {
        let traits = Traits { batch_max: 1, keeps_keys: keys.then_some(DAY), smtp_utf8: utf8, lookup: false };
        Candidate { enabled, permit, room, traits, ..candidate(provider) }
    })
}

proptest! {
    #[test]
    fn nothing_goes_where_it_may_not(
        candidates in (any_candidate(0), any_candidate(1), any_candidate(2)).prop_map(|(a, b, c)| vec![a, b, c]),
        tries in prop::collection::vec((0..4_usize, any_class(), any::<bool>()), 0..4),
        utf8: bool,
        throw in 0.0..1.0_f64,
        ranks in prop::sample::select(vec![[1, 2, 3], [1, 1, 1], [1, 1, 2], [1, 2, 2]]),
        shares in prop::sample::select(vec![[1.0, 1.0, 1.0], [0.1, 1.0, 1.0], [0.25, 0.1, 0.5]]),
    ) {
        let mut candidates = candidates;
        for (n, candidate) in candidates.iter_mut().enumerate() {
            (candidate.rank, candidate.share) = (ranks[n], shares[n]);
        }
        let tried: Vec<_> =
            tries.into_iter().map(|(provider, class, wait)| tried(provider, class, if wait { LATER } else { NOW })).collect();
        let doubts: Vec<_> = tried.iter().filter(|tried| tried.class == OutcomeClass::Unknown).collect();
        let finals = tried.iter().any(|tried| {
            matches!(tried.class, OutcomeClass::Accepted | OutcomeClass::Recipient | OutcomeClass::Refused)
        });
        let decided = route(&candidates, &tried, utf8, throw, NOW);
        match decided {
            Route::Send { provider, probe } | Route::Repeat { provider, probe } => {
                let chosen = candidates[provider];
                prop_assert!(!finals, "nothing follows a final answer");
                prop_assert!(chosen.enabled && chosen.room == Room::Free);
                prop_assert_eq!(chosen.permit == Permit::Probe, probe);
                let shut = matches!(chosen.permit, Permit::No { .. });
                prop_assert!(!shut);
                prop_assert!(!probe || chosen.traits.keeps_keys.is_some());
                let is_repeat = matches!(decided, Route::Repeat { .. });
                prop_assert_eq!(is_repeat, !doubts.is_empty(), "doubt is repeated, and nothing else is");
                if is_repeat {
                    prop_assert!(doubts.iter().any(|doubt| doubt.provider == provider), "doubt never moves");
                    prop_assert!(chosen.traits.keeps_keys.is_some());
                } else {
                    prop_assert!(!utf8 || chosen.traits.smtp_utf8);
                    let last = tried.iter().rfind(|tried| tried.provider == provider);
                    prop_assert!(last.is_none_or(|last| last.again_at <= NOW));
                }
            }
            Route::Hold(hold) => prop_assert!(!finals && hold.until.is_none_or(|until| until > NOW)),
            Route::Stop { .. } => prop_assert!(finals),
        }
    }
}

#[test]
fn no_two_reasons_to_wait_read_alike() {
    use Why::{Backoff, Breaker, Concurrency, Drained, Held, InDoubt, LetGo, NoProvider, Pace, Paused, Quota};
    let all = [NoProvider, InDoubt, Breaker, Paused, Pace, Concurrency, Backoff, Drained, Held, LetGo, Quota];
    let words: std::collections::BTreeSet<&str> = all.iter().map(|why| why.as_str()).collect();
    assert_eq!(words.len(), all.len(), "{words:?}");
}
