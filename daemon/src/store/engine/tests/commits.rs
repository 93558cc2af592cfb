//! What a commit promises while nothing goes wrong.

use super::*;

#[tokio::test]
async fn a_commit_is_seen_by_every_read_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, report) = Engine::open(options(dir.path())).unwrap();
    assert_eq!((report.lsn, report.index, report.timeline), (0, IndexStart::Created, 1));
    let first = engine.commit(changing(vec![put("a", "1"), put("b", "2"), merge("n", 5)])).await.unwrap();
    assert_eq!((first.lsn, first.merged.clone()), (1, vec![5]));
    let row = engine.get(ROWS, b"a").unwrap().unwrap();
    assert_eq!((row.version, row.state, row.value.as_slice()), (1, 1, b"1".as_slice()));
    assert_eq!(engine.counter(COUNTS, b"n").unwrap(), 5);
    let second = engine.commit(changing(vec![delete("a"), merge("n", -7)])).await.unwrap();
    assert_eq!((second.lsn, second.merged), (2, vec![-2]));
    assert_eq!(engine.get(ROWS, b"a").unwrap(), None);
    assert_eq!(engine.counter(COUNTS, b"n").unwrap(), -2);
    assert_eq!(engine.counter(COUNTS, b"never").unwrap(), 0);
    assert!(engine.counter(ROWS, b"b").is_err());
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_refused_commit_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    engine.commit(changing(vec![put("a", "1")])).await.unwrap();
    let mut late = changing(vec![put("a", "2"), put("b", "2")]);
    late.audit = vec![b"never".to_vec()];
    late.expect = vec![
        Precondition::StateIn { space: ROWS, key: b"a".to_vec(), states: 0b10 },
        Precondition::Version { space: ROWS, key: b"a".to_vec(), version: 9 },
    ];
    let refused = engine.commit(late).await.unwrap_err();
    assert!(matches!(refused, CommitError::Conflict { which: 1, .. }), "{refused}");
    assert_eq!(engine.health().lsn, 1);
    assert_eq!(engine.get(ROWS, b"b").unwrap(), None);
    let too_large = engine.commit(changing(vec![put("a", vec![0; MAX_VALUE + 1])])).await.unwrap_err();
    assert!(matches!(too_large, CommitError::TooLarge { limit: MAX_ROW, .. }));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_fence_that_was_raised_again_ends_its_old_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    let token = engine.fences().raise(4);
    let fenced = || {
        let mut commit = changing(vec![put("a", "1")]);
        commit.expect = vec![Precondition::Fence { resource: 4, token }];
        commit
    };
    engine.commit(fenced()).await.unwrap();
    engine.fences().raise(4);
    assert!(matches!(engine.commit(fenced()).await, Err(CommitError::Conflict { which: 0, .. })));
    engine.close().await.unwrap();
}

#[tokio::test]
async fn scans_keep_to_their_keyspace_and_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    let top = Space::new(255);
    let in_top = Change::Put { space: top, key: vec![255, 255], state: 0, value: vec![] };
    let changes = vec![put("a", "1"), put("ab", "2"), put([b'a', 255], "3"), put("b", "4"), merge("a", 1), in_top];
    engine.commit(changing(changes)).await.unwrap();
    let keys = |rows: &mut dyn Iterator<Item = Result<(Vec<u8>, Row), StoreError>>| -> Vec<Vec<u8>> {
        rows.map(|row| row.unwrap().0).collect()
    };
    let (a, ab, aff, b) = (b"a".to_vec(), b"ab".to_vec(), vec![b'a', 255], b"b".to_vec());
    let all = keys(&mut engine.scan(ROWS, Bound::Unbounded, Bound::Unbounded));
    assert_eq!(all, [a.clone(), ab.clone(), aff.clone(), b.clone()]);
    assert_eq!(keys(&mut engine.scan_prefix(ROWS, b"a")), [a.clone(), ab.clone(), aff.clone()]);
    assert_eq!(keys(&mut engine.scan_prefix(ROWS, &aff)), std::slice::from_ref(&aff));
    let between = engine.scan(ROWS, Bound::Excluded(b"a"), Bound::Included(b"b"));
    assert_eq!(keys(&mut between.rev()), [b, aff, ab]);
    assert_eq!(keys(&mut engine.scan(ROWS, Bound::Included(b"z"), Bound::Excluded(b"a"))), Vec::<Vec<u8>>::new());
    assert_eq!(keys(&mut engine.scan(top, Bound::Unbounded, Bound::Unbounded)), [vec![255, 255]]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_that_read_and_write_back_lose_no_update() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    engine.commit(changing(vec![put("n", 0_u64.to_le_bytes())])).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut conflicts = 0;
                let mut done = 0;
                while done < 20 {
                    let row = engine.get(ROWS, b"n").unwrap().unwrap();
                    let n = u64::from_le_bytes(row.value.try_into().unwrap());
                    let mut commit = changing(vec![put("n", (n + 1).to_le_bytes()), merge("n", 1)]);
                    commit.expect =
                        vec![Precondition::Version { space: ROWS, key: b"n".to_vec(), version: row.version }];
                    match engine.commit(commit).await {
                        Ok(_) => done += 1,
                        Err(CommitError::Conflict { .. }) => conflicts += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                conflicts
            })
        })
        .collect();
    let mut conflicts = 0;
    for task in tasks {
        conflicts += task.await.unwrap();
    }
    let row = engine.get(ROWS, b"n").unwrap().unwrap();
    assert_eq!(u64::from_le_bytes(row.value.try_into().unwrap()), 320);
    assert_eq!(engine.counter(COUNTS, b"n").unwrap(), 320);
    assert!(conflicts > 0, "the tasks never met, so nothing was tried");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_wait_together_share_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    for round in 0..20 {
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let engine = engine.clone();
                tokio::spawn(async move { engine.commit(changing(vec![put(format!("{round}-{n}"), "x")])).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
    let lsn = engine.health().lsn;
    assert_eq!(lsn, 1280);
    engine.close().await.unwrap();
    let path = &super::segments(dir.path())[0];
    let mut stream = segment::SegmentStream::open(path, false, u64::MAX).unwrap();
    let mut frames = 0;
    while stream.next_sound().unwrap().is_some() {
        frames += 1;
    }
    assert!(frames < lsn / 2, "{frames} frames for {lsn} commits");
}

#[tokio::test]
async fn after_closing_other_handles_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = Engine::open(options(dir.path())).unwrap();
    let other = engine.clone();
    engine.close().await.unwrap();
    assert!(matches!(other.commit(changing(vec![put("a", "1")])).await, Err(CommitError::Stopped { .. })));
    assert!(other.checkpoint().await.is_err());
    assert!(other.close().await.is_err());
}

#[tokio::test]
async fn everything_on_disk_is_private() {
    use std::os::unix::fs::PermissionsExt;
    fn check(dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
            if path.is_dir() {
                check(&path);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.segment_bytes = 200;
    let (engine, _) = Engine::open(options).unwrap();
    for n in 0..4 {
        engine.commit(changing(vec![put(format!("{n}"), vec![1; 100])])).await.unwrap();
    }
    engine.checkpoint().await.unwrap();
    engine.close().await.unwrap();
    check(dir.path());
}
