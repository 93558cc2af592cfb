//! Segments, checkpoints and readers.

use std::time::Duration;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_taken_under_load_and_the_log_after_it_make_the_exact_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.segment_bytes = 64 * 1024;
    let (engine, _) = Engine::open(options.clone()).unwrap();
    for n in 0..20 {
        let many = (0..200).map(|m| put(format!("k{:04}", n * 200 + m), vec![n as u8; 60])).collect();
        engine.commit(changing(many)).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let (engine, stop) = (engine.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut n = writer;
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let (one, other) = (n >> 8 & 0xfff, n >> 16 & 0xfff);
                    let change =
                        if n >> 30 == 0 { delete(format!("k{one:04}")) } else { put(format!("k{one:04}"), "new") };
                    engine
                        .commit(changing(vec![change, put(format!("k{other:04}"), n.to_le_bytes()), merge("n", 1)]))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let mut moved = 0;
    let mut last = None;
    for _ in 0..5 {
        let report = engine.checkpoint().await.unwrap();
        moved += report.to_lsn - report.from_lsn;
        last = Some(report);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(moved > 0, "nobody wrote during the walks, so nothing was tried");
    engine.commit(changing(vec![put("behind", "1")])).await.unwrap();
    let all = contents(&engine);
    wait_for("the closed segments to be compressed", || {
        segments(dir.path()).iter().filter(|path| path.extension().is_some_and(|end| end == "log")).count() == 1
    });
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    // Without the log's beginning the checkpoint must do.
    let needed = last.unwrap().from_lsn;
    for pair in segment::list(&dir.path().join("log")).unwrap().windows(2) {
        if pair[1].first_lsn <= needed {
            fs::remove_file(&pair[0].path).unwrap();
        }
    }
    let (engine, report) = Engine::open(options).unwrap();
    assert!(matches!(report.index, IndexStart::Rebuilt { checkpoint: Some(_), .. }), "{:?}", report.index);
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_checkpoint_gives_way_to_the_one_before_and_with_none_the_start_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    for n in 0..3 {
        engine.commit(changing(vec![put(format!("{n}"), "x")])).await.unwrap();
        engine.checkpoint().await.unwrap();
    }
    let all = contents(&engine);
    engine.close().await.unwrap();
    let known = checkpoint::list(&dir.path().join("checkpoints")).unwrap();
    assert_eq!(known.iter().map(|known| known.to).collect::<Vec<_>>(), [3, 2], "two are kept");
    let mut bytes = fs::read(&known[0].path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&known[0].path, bytes).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (engine, report) = Engine::open(options(dir.path())).unwrap();
    let IndexStart::Rebuilt { checkpoint, .. } = report.index else { panic!("{:?}", report.index) };
    assert_eq!(checkpoint.as_ref(), Some(&known[1].path));
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_changed_byte_in_a_checkpoint_is_noticed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    engine.commit(changing(vec![put("a", "some value")])).await.unwrap();
    let path = engine.checkpoint().await.unwrap().path;
    engine.close().await.unwrap();
    let plain = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    let read = || {
        let mut file = checkpoint::Checkpoint::open(&path)?;
        while file.next_row()?.is_some() {}
        Ok::<(), StoreError>(())
    };
    read().unwrap();
    for at in 0..plain.len() {
        let mut bad = plain.clone();
        bad[at] ^= 1;
        fs::write(&path, zstd::encode_all(bad.as_slice(), 1).unwrap()).unwrap();
        assert!(matches!(read(), Err(StoreError::BadCheckpoint { .. })), "byte {at}");
    }
}

#[tokio::test]
async fn readers_follow_the_log_over_segments_compressed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.segment_bytes = 300;
    let (engine, _) = Engine::open(options).unwrap();
    let mut tail = engine.log_reader(0);
    assert_eq!(tail.read().unwrap(), None);
    let watch = engine.watch();
    for n in 1..=20_u64 {
        let mut commit = changing(vec![put(format!("k{n}"), vec![7; 50])]);
        commit.audit = vec![n.to_le_bytes().to_vec()];
        engine.commit(commit).await.unwrap();
        assert_eq!(*watch.borrow(), n);
        let entry = tail.read().unwrap().unwrap();
        assert_eq!((entry.lsn, entry.timeline, entry.by.actor.as_str()), (n, 1, "ana"));
        assert_eq!(entry.audit, [n.to_le_bytes().to_vec()]);
        assert_eq!(
            entry.changes,
            [LoggedChange::Put { space: ROWS, key: format!("k{n}").into_bytes(), state: 1, value: vec![7; 50] }]
        );
        assert_eq!(tail.read().unwrap(), None);
        assert_eq!(tail.position(), n + 1);
    }
    assert!(engine.health().segments > 3);
    wait_for("the closed segments to be compressed", || {
        segments(dir.path()).iter().filter(|path| path.extension().is_some_and(|end| end == "log")).count() == 1
    });
    let mut again = engine.log_reader(7);
    let read: Vec<u64> = std::iter::from_fn(|| again.read().unwrap()).map(|entry| entry.lsn).collect();
    assert_eq!(read, (7..=20).collect::<Vec<_>>());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn segments_go_when_old_checkpointed_and_read_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (time, clock) = moved_clock(0);
    let mut options = options(dir.path());
    options.segment_bytes = 300;
    options.clock = clock;
    options.readers = vec!["audit".into()];
    let (engine, _) = Engine::open(options.clone()).unwrap();
    for n in 0..20 {
        engine.commit(changing(vec![put(format!("k{n}"), vec![7; 50])])).await.unwrap();
    }
    let many = engine.health().segments;
    assert!(many > 3);
    let all = contents(&engine);
    // Two, since the older of the two kept is what counts.
    engine.checkpoint().await.unwrap();
    engine.checkpoint().await.unwrap();
    time.store(8 * 24 * 3_600_000, Ordering::SeqCst);
    engine.retain("audit", 2);
    wait_for("compression", || segments(dir.path()).iter().filter(|p| p.extension().unwrap() == "log").count() == 1);
    engine.retain("audit", 2);
    assert_eq!(engine.health().segments, many);
    engine.retain("audit", 21);
    wait_for("the old segments to go", || engine.health().segments == 1);
    assert_eq!(engine.health().upkeep, None);
    assert!(engine.log_reader(1).read().is_err(), "what is gone is not passed over in silence");
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (engine, _) = Engine::open(options.clone()).unwrap();
    assert_eq!(contents(&engine), all);
    engine.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::remove_dir_all(dir.path().join("checkpoints")).unwrap();
    assert!(matches!(Engine::open(options), Err(StoreError::Irreparable { .. })));
}

#[tokio::test]
async fn at_its_cap_the_log_takes_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.log_cap_bytes = 2_000;
    options.segment_bytes = 600;
    options.keep_log = Duration::ZERO;
    let (engine, _) = Engine::open(options.clone()).unwrap();
    let mut made = 0;
    let refused = loop {
        match engine.commit(changing(vec![put(format!("k{made}"), vec![made; 100])])).await {
            Ok(_) => made += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, CommitError::LogFull { cap: 2_000, .. }), "{refused}");
    assert_eq!((contents(&engine).len(), engine.health().failed), (usize::from(made), None));
    engine.checkpoint().await.unwrap();
    engine.checkpoint().await.unwrap();
    wait_for("room", || engine.health().segments == 1);
    engine.commit(changing(vec![put("room", "again")])).await.unwrap();
    engine.close().await.unwrap();
}
