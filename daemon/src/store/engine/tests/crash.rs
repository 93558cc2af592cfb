//! A process that is killed, for real: what it had acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const CHILD: &str = "USHER_STORE_CRASH_DIR";

/// The process that gets killed: commits as fast as it can and tells what was acknowledged. Does nothing on its own.
#[test]
#[ignore = "the other half of the test below"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = options(Path::new(&dir));
        options.segment_bytes = 40_000;
        options.sled_flush_every = std::time::Duration::from_millis(20);
        let (engine, report) = Engine::open(options).unwrap();
        let start = report.lsn;
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        let key = format!("{start}-{task}-{n}");
                        engine.commit(changing(vec![put(&key, vec![task as u8; 80]), merge("n", 1)])).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "ack {key}").and_then(|()| out.flush()).unwrap();
                    }
                })
            })
            .collect();
        let engine = engine.clone();
        tokio::spawn(async move {
            loop {
                engine.checkpoint().await.unwrap();
            }
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::engine::tests::crash::child", "--ignored", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let enough = 100 + 173 * round;
        let acks = |line: String| line.split_once("ack ").map(|(_, key)| key.to_owned());
        acknowledged.extend(lines.by_ref().filter_map(acks).take(enough));
        child.kill().unwrap();
        // What it had still said before it died was acknowledged as well; a last line may be cut.
        let rest: Vec<String> = lines.filter_map(acks).collect();
        acknowledged.extend(rest.into_iter().rev().skip(1));
        child.wait().unwrap();
        let mut options = options(dir.path());
        if round % 2 == 1 {
            options.boot_id = "another".into();
        }
        let (engine, report) = Engine::open(options).unwrap();
        assert!(!matches!(report.index, IndexStart::Rebuilt { .. }), "{:?}", report.index);
        for key in &acknowledged {
            assert!(engine.get(ROWS, key.as_bytes()).unwrap().is_some(), "{key} is lost, round {round}");
        }
        let rows = engine.scan(ROWS, Bound::Unbounded, Bound::Unbounded).count() as i64;
        assert_eq!(engine.counter(COUNTS, b"n").unwrap(), rows, "a commit came apart");
        assert!(rows as usize >= acknowledged.len());
        let before = contents(&engine);
        runtime.block_on(engine.close()).unwrap();
        if round == 5 {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
            let (engine, _) = Engine::open(super::options(dir.path())).unwrap();
            assert!(contents(&engine) == before, "the rebuilt index is another");
            runtime.block_on(engine.close()).unwrap();
        }
    }
    assert!(acknowledged.len() > 1_000);
}
