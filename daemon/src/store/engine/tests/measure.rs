//! What a commit costs; run by hand, in release: it prints, and fails for nothing.

use std::io::Write;
use std::time::Instant;

use super::*;

#[test]
#[ignore = "measures"]
fn commits_against_a_plain_fdatasync() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut file = fs::File::create(dir.path().join("plain")).unwrap();
    let rounds = 2_000;
    let since = Instant::now();
    for _ in 0..rounds {
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
    }
    let plain = since.elapsed() / rounds;
    println!("write of 600 bytes and fdatasync: {plain:?}, {:.0}/s", 1.0 / plain.as_secs_f64());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (tasks, rows, rounds) in
        [(1_u32, 1_u32, 3_000_u32), (16, 1, 1_500), (64, 1, 1_000), (256, 1, 400), (8, 100, 60), (2, 1_000, 30)]
    {
        for cap in [false, true] {
            let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            let mut options = options(dir.path());
            options.cache_bytes = 64 << 20;
            if cap {
                options.gather = std::time::Duration::ZERO;
            }
            runtime.block_on(async {
                let (engine, _) = Engine::open(options).unwrap();
                let since = Instant::now();
                let workers: Vec<_> = (0..tasks)
                    .map(|task| {
                        let engine = engine.clone();
                        tokio::spawn(async move {
                            let mut slowest = Vec::new();
                            for round in 0..rounds {
                                // Half of the rows are there already.
                                let changes = (0..rows)
                                    .map(|row| put(format!("{task:04}-{:08}", (round / 2) * rows + row), [9; 500]))
                                    .collect();
                                let since = Instant::now();
                                engine.commit(changing(changes)).await.unwrap();
                                slowest.push(since.elapsed());
                            }
                            slowest
                        })
                    })
                    .collect();
                let mut times = Vec::new();
                for worker in workers {
                    times.extend(worker.await.unwrap());
                }
                let took = since.elapsed().as_secs_f64();
                times.sort_unstable();
                let commits = f64::from(tasks * rounds);
                println!(
                    "{tasks:4} tasks x {rows:4} rows, gather {}: {:8.0} commits/s {:8.0} rows/s  p50 {:?} p99 {:?}",
                    if cap { "off" } else { "on " },
                    commits / took,
                    commits * f64::from(rows) / took,
                    times[times.len() / 2],
                    times[times.len() * 99 / 100],
                );
                engine.close().await.unwrap();
            });
        }
    }
}
