//! Quotas to the message: over turns of the hour and the day, restarts, and clocks that are set back.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::store::By;
use crate::store::engine::{Engine, Options};

/// 2026-11-27 03:50 UTC.
const NOW: Timestamp = Timestamp(1_795_751_400_000);
const MINUTE: i64 = 60_000;
const LIMITS: Limits = Limits { hour: 50, day: 200 };

fn open(dir: &Path) -> Store {
    let options = Options::new(dir.to_owned(), [9; 32], "boot-1".into(), Arc::new(|| NOW));
    Store::new(Engine::open(options).unwrap().0)
}

fn ours() -> Payer {
    Payer::Organisation("ours".into())
}

fn ada() -> Payer {
    Payer::User("ada".into())
}

fn by() -> By {
    By { actor: "usherd".into(), reason: String::new(), request_id: String::new() }
}

fn room(quotas: &Quotas, store: &Store, now: Timestamp) -> Room {
    quotas.room(store, &[(ours(), LIMITS)], now).unwrap()
}

/// Begins as many messages as there is room for, up to `wanted`; how many that were.
async fn begin(quotas: &Arc<Quotas>, store: &Store, wanted: u64, now: Timestamp) -> u64 {
    let n = room(quotas, store, now).messages.min(wanted);
    let mut allowance = quotas.reserve(store, vec![ours()], n, now).unwrap();
    let debit = allowance.debit(n as u32, now);
    store.charge(&by(), &debit).await.unwrap();
    allowance.charged(n as u32);
    n
}

#[tokio::test]
async fn an_hour_takes_as_many_as_it_allows_and_the_next_one_as_many_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let quotas = Arc::new(Quotas::default());
    assert_eq!(begin(&quotas, &store, 30, NOW).await, 30);
    assert_eq!(begin(&quotas, &store, 30, NOW).await, 20);
    let full = room(&quotas, &store, NOW).full.unwrap();
    assert_eq!((full.used, full.limit, full.daily, full.until), (50, 50, false, NOW.plus_millis(10 * MINUTE)));
    let mut now = NOW.plus_millis(10 * MINUTE);
    for _ in 0..3 {
        assert_eq!(begin(&quotas, &store, 60, now).await, 50);
        now = now.plus_millis(60 * MINUTE);
    }
    let full = room(&quotas, &store, now).full.unwrap();
    assert_eq!((full.used, full.daily, full.until), (200, true, Hour::of(NOW).end_of_day()));
    assert_eq!(begin(&quotas, &store, 60, full.until).await, 50, "the day has turned");
}

#[tokio::test]
async fn what_is_reserved_is_not_given_out_twice_and_comes_back_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let quotas = Arc::new(Quotas::default());
    let allowance = quotas.reserve(&store, vec![ours(), ada()], 45, NOW).unwrap();
    assert_eq!(room(&quotas, &store, NOW).messages, 5);
    let hers = quotas.room(&store, &[(ours(), LIMITS), (ada(), Limits { hour: 46, day: 99 })], NOW).unwrap();
    assert_eq!((hers.messages, hers.full.map(|full| full.payer)), (1, Some(ada())), "the tighter one binds");
    drop(allowance);
    assert_eq!(room(&quotas, &store, NOW).messages, 50);
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_a_clock_set_back_opens_no_hour_again() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        assert_eq!(begin(&Arc::default(), &store, 40, NOW.plus_millis(120 * MINUTE)).await, 40);
        store.engine().clone().close().await.unwrap();
    }
    let store = open(dir.path());
    let quotas = Arc::new(Quotas::default());
    // The clock is two hours behind what was charged: that hour counts on.
    assert_eq!(begin(&quotas, &store, 40, NOW).await, 10);
    assert_eq!(room(&quotas, &store, NOW).full.unwrap().until, NOW.plus_millis(130 * MINUTE));
    // An hour that lies years ahead was the mistake.
    begin(&quotas, &store, 1, NOW.plus_millis(1_000 * 24 * 60 * MINUTE)).await;
    assert_eq!(room(&Quotas::default(), &store, NOW.plus_millis(130 * MINUTE)).messages, 50);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn no_hour_and_no_day_ever_holds_more_than_it_may(
        steps in prop::collection::vec((0..70_u64, 0..50_i64, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            let mut quotas = Arc::new(Quotas::default());
            let mut now = NOW;
            let mut hours: BTreeMap<u32, u64> = BTreeMap::new();
            for (wanted, minutes, back, restart) in steps {
                now = now.plus_millis(minutes * MINUTE * if back { -1 } else { 2 });
                if restart {
                    quotas = Arc::default();
                }
                let n = room(&quotas, &store, now).messages.min(wanted);
                let mut allowance = quotas.reserve(&store, vec![ours()], n, now).unwrap();
                // Half of what was set aside is sent, and the clock has gone on meanwhile.
                now = now.plus_millis(MINUTE);
                let sent = n.div_ceil(2);
                let debit = allowance.debit(sent as u32, now);
                *hours.entry(debit.hour.0).or_default() += sent;
                store.charge(&by(), &debit).await.unwrap();
                allowance.charged(sent as u32);
            }
            let mut days: BTreeMap<u32, u64> = BTreeMap::new();
            for (hour, sent) in hours {
                assert!(sent <= LIMITS.hour, "{sent} in one hour");
                *days.entry(Hour(hour).day()).or_default() += sent;
            }
            assert!(days.values().all(|sent| *sent <= LIMITS.day), "{days:?}");
        });
    }
}
