//! Every state that a start can find, and what it makes of it.

use proptest::prelude::*;

use super::*;

/// Closes a store with some rows in it and gives back what they were.
async fn some_rows(dir: &Path, commits: u32) -> Contents {
    let (engine, _) = Engine::open(options(dir)).unwrap();
    for n in 0..commits {
        let key = format!("k{}", n % 7);
        engine.commit(changing(vec![put(&key, format!("v{n}")), merge("n", 1)])).await.unwrap();
    }
    let all = contents(&engine);
    engine.close().await.unwrap();
    all
}

/// The last segment, with the offset at which each of its frames begins and the end.
fn frames(dir: &Path) -> (std::path::PathBuf, Vec<u64>) {
    let path = segments(dir).pop().unwrap();
    let mut stream = segment::SegmentStream::open(&path, false, u64::MAX).unwrap();
    let mut offsets = vec![stream.offset()];
    while let frame::Read1::Frame(..) = stream.next().unwrap() {
        offsets.push(stream.offset());
    }
    (path, offsets)
}

#[tokio::test]
async fn a_clean_stop_is_trusted_and_a_crash_of_the_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let all = some_rows(dir.path(), 10).await;
    let mut elsewhere = options(dir.path());
    elsewhere.boot_id = "boot-2".into();
    let (engine, report) = Engine::open(elsewhere).unwrap();
    assert_eq!((report.index, report.replayed, report.lsn), (IndexStart::Trusted, 0, 10));
    assert_eq!(contents(&engine), all);
    let crashed = image(dir.path());
    engine.close().await.unwrap();
    let mut same_boot = options(crashed.path());
    same_boot.boot_id = "boot-2".into();
    let (engine, report) = Engine::open(same_boot).unwrap();
    assert_eq!(report.index, IndexStart::Trusted);
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn after_a_reboot_the_index_is_proved_and_what_it_lacks_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    some_rows(dir.path(), 10).await;
    let mut never_flushed = options(dir.path());
    never_flushed.sled_flush_every = std::time::Duration::from_hours(1);
    let (engine, _) = Engine::open(never_flushed).unwrap();
    engine.commit(changing(vec![put("late", "1")])).await.unwrap();
    let all = contents(&engine);
    let crashed = image(dir.path());
    engine.close().await.unwrap();
    let mut rebooted = options(crashed.path());
    rebooted.boot_id = "boot-2".into();
    let (engine, report) = Engine::open(rebooted).unwrap();
    assert_eq!((report.index, report.lsn), (IndexStart::Proved, 11));
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_index_with_a_row_that_the_log_does_not_know_is_found_out_after_a_reboot() {
    let dir = tempfile::tempdir().unwrap();
    let all = some_rows(dir.path(), 10).await;
    Session { boot_id: BOOT.into(), closed_at: None }.write(dir.path()).unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    index.apply([(ROWS.key(b"k1"), Some(value::encode_row(2, 1, b"forged")))], None).unwrap();
    index.flush().unwrap();
    drop(index);
    let mut rebooted = options(dir.path());
    rebooted.boot_id = "boot-2".into();
    let (engine, report) = Engine::open(rebooted).unwrap();
    let IndexStart::Rebuilt { why, damaged: Some(damaged), .. } = report.index else { panic!("{:?}", report.index) };
    assert!(why.contains("the log proves"), "{why}");
    assert!(damaged.ends_with("index.damaged-1") && damaged.exists());
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

#[tokio::test]
async fn an_index_that_is_gone_or_garbage_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let all = some_rows(dir.path(), 40).await;
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let damages: [Damage<'_>; 5] = [
        ("gone", &|index| fs::remove_dir_all(index).unwrap()),
        ("empty", &|index| {
            fs::remove_dir_all(index).unwrap();
            fs::create_dir(index).unwrap();
        }),
        ("garbage in db", &|index| fs::write(index.join("db"), &garbage).unwrap()),
        ("garbage in conf", &|index| fs::write(index.join("conf"), b"\xff\x00garbage").unwrap()),
        ("db cut to nothing", &|index| fs::write(index.join("db"), b"").unwrap()),
    ];
    for (what, damage) in damages {
        let image = image(dir.path());
        damage(&image.path().join("index"));
        let (engine, report) = Engine::open(options(image.path())).unwrap();
        assert!(matches!(report.index, IndexStart::Rebuilt { .. }), "{what}: {:?}", report.index);
        assert_eq!(contents(&engine), all, "{what}");
        engine.commit(changing(vec![put("after", "1")])).await.unwrap();
        engine.close().await.unwrap();
        // One damaged index is kept, the last.
        fs::write(image.path().join("index/db"), &garbage).unwrap();
        let (engine, _) = Engine::open(options(image.path())).unwrap();
        engine.close().await.unwrap();
        let kept = fs::read_dir(image.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("index.damaged-"));
        assert_eq!(kept.count(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_last_frame_cut_at_any_byte_is_dropped_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let before = some_rows(dir.path(), 3).await;
    let at = frames(dir.path()).1.pop().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    engine.commit(changing(vec![put("torn", "x")])).await.unwrap();
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::remove_file(dir.path().join("session")).unwrap();
    let (path, offsets) = frames(dir.path());
    let end = *offsets.last().unwrap();
    assert!(at < end);
    let name = path.file_name().unwrap();
    for cut in at..end {
        let image = image(dir.path());
        let segment = image.path().join("log").join(name);
        fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(cut).unwrap();
        let (engine, report) = Engine::open(options(image.path())).unwrap();
        assert_eq!(report.lsn, 3, "cut at {cut}");
        let torn = report.torn.map(|torn| (torn.offset, torn.bytes));
        assert_eq!(torn, (cut > at).then_some((at, cut - at)), "cut at {cut}");
        assert_eq!(contents(&engine), before, "cut at {cut}");
        // The place is used again, and the log is whole.
        assert_eq!(engine.commit(changing(vec![put("next", "y")])).await.unwrap().lsn, 4);
        engine.close().await.unwrap();
        let (engine, report) = Engine::open(options(image.path())).unwrap();
        assert_eq!((report.lsn, report.torn), (4, None));
        assert!(engine.get(ROWS, b"next").unwrap().is_some());
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_middle_stops_the_start_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    some_rows(dir.path(), 5).await;
    let (path, offsets) = frames(dir.path());
    let good = fs::read(&path).unwrap();
    for at in (offsets[1]..offsets[2]).chain([offsets[4] - 1]) {
        let mut bad = good.clone();
        bad[at as usize] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let Err(error) = Engine::open(options(dir.path())) else { panic!("byte {at} was let through") };
        let expected = if at < offsets[2] { offsets[1] } else { offsets[3] };
        assert!(matches!(error, StoreError::BadFrame { offset, .. } if offset == expected), "byte {at}: {error}");
    }
    fs::write(&path, good).unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_has_lost_its_acknowledged_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    some_rows(dir.path(), 5).await;
    let (path, offsets) = frames(dir.path());
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(offsets[4]).unwrap();
    let refused = |known| {
        let Err(error) = Engine::open(options(dir.path())) else { panic!("it opened") };
        assert!(matches!(error, StoreError::LogShort { log: 4, known: k, .. } if k == known), "{error}");
    };
    refused(5);
    fs::remove_file(dir.path().join("session")).unwrap();
    refused(5);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (engine, report) = Engine::open(options(dir.path())).unwrap();
    assert_eq!(report.lsn, 4);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_alone_tells_that_the_end_of_the_log_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    for n in 0..3 {
        engine.commit(changing(vec![put("a", [n])])).await.unwrap();
    }
    engine.checkpoint().await.unwrap();
    engine.close().await.unwrap();
    let (path, offsets) = frames(dir.path());
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(offsets[2]).unwrap();
    fs::remove_file(dir.path().join("session")).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let Err(error) = Engine::open(options(dir.path())) else { panic!("it opened") };
    assert!(matches!(error, StoreError::LogShort { log: 2, known: 3, .. }), "{error}");
}

#[tokio::test]
async fn another_root_key_is_named_as_that() {
    let dir = tempfile::tempdir().unwrap();
    some_rows(dir.path(), 1).await;
    let mut other = options(dir.path());
    other.set_hash_key = [8; 32];
    assert!(matches!(Engine::open(other), Err(StoreError::WrongKey { .. })));
}

#[tokio::test]
async fn a_second_daemon_is_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    let Err(StoreError::Locked { pid, .. }) = Engine::open(options(dir.path())) else { panic!("two got in") };
    assert_eq!(pid, std::process::id().to_string());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn time_does_not_go_back_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (time, clock) = moved_clock(5_000);
    let open = || {
        let mut options = options(dir.path());
        options.clock = Arc::clone(&clock);
        Engine::open(options).unwrap().0
    };
    let engine = open();
    assert_eq!(engine.commit(changing(vec![])).await.unwrap().time, Timestamp(5_000));
    time.store(4_000, Ordering::SeqCst);
    assert_eq!(engine.commit(changing(vec![])).await.unwrap().time, Timestamp(5_000));
    engine.close().await.unwrap();
    let engine = open();
    assert_eq!(engine.commit(changing(vec![])).await.unwrap().time, Timestamp(5_000));
    time.store(6_000, Ordering::SeqCst);
    assert_eq!(engine.commit(changing(vec![])).await.unwrap().time, Timestamp(6_000));
    engine.close().await.unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    Merge(u8, i32),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    let step = prop_oneof![
        3 => (0..12_u8, value).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0..12_u8).prop_map(Step::Delete),
        2 => (0..4_u8, any::<i32>()).prop_map(|(key, delta)| Step::Merge(key, delta)),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 0..6), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever was committed, in segments of whatever size, with a checkpoint somewhere: the index made from nothing
    /// is the model, and the counters too.
    #[test]
    fn a_rebuilt_index_is_what_was_committed(
        commits in steps(), segment_bytes in 100_u64..3_000, checkpoint_at in 0..30_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut options = options(dir.path());
            options.segment_bytes = segment_bytes;
            let (engine, _) = Engine::open(options.clone()).unwrap();
            let mut rows: BTreeMap<Vec<u8>, (u64, Vec<u8>)> = BTreeMap::new();
            let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            for (n, steps) in commits.iter().enumerate() {
                if n == checkpoint_at {
                    engine.checkpoint().await.unwrap();
                }
                let lsn = n as u64 + 1;
                let mut changes = Vec::new();
                for step in steps {
                    match step {
                        Step::Put(key, value) => {
                            rows.insert(vec![*key], (lsn, value.clone()));
                            changes.push(put([*key], value));
                        }
                        Step::Delete(key) => {
                            rows.remove(&vec![*key]);
                            changes.push(delete([*key]));
                        }
                        Step::Merge(key, delta) => {
                            *counts.entry(vec![*key]).or_default() += i64::from(*delta);
                            changes.push(merge([*key], i64::from(*delta)));
                        }
                    }
                }
                assert_eq!(engine.commit(changing(changes)).await.unwrap().lsn, lsn);
            }
            engine.close().await.unwrap();
            fs::remove_dir_all(dir.path().join("index")).unwrap();
            let (engine, report) = Engine::open(options).unwrap();
            let rebuilt = matches!(report.index, IndexStart::Rebuilt { .. });
            assert!(rebuilt, "{:?}", report.index);
            let found = engine.scan(ROWS, Bound::Unbounded, Bound::Unbounded);
            let found: BTreeMap<_, _> = found.map(|row| row.unwrap()).map(|(k, r)| (k, (r.version, r.value))).collect();
            assert_eq!(found, rows);
            let found = engine.scan(COUNTS, Bound::Unbounded, Bound::Unbounded);
            let found: BTreeMap<_, _> = found.map(|row| row.unwrap()).map(|(k, r)| (k, r.total().unwrap())).collect();
            assert_eq!(found, counts);
            engine.close().await.unwrap();
        });
    }
}
