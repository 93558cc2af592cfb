//! How soon somebody is told: the watch, the outbox and the channels as they are, with a real store and real requests, while readings
//! say that something broke, again and again. In every second fault the first channel of the page is dead.
//!
//! What is timed is from the moment at which the condition can be read to the moment at which a channel that lives has taken the
//! notice. How soon a condition can be read after a provider has broken is the breaker's matter: `docs/faults.md`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use usher_common::model::ProviderKind;
use usherd::clock::Clock;
use usherd::config::{Config, Sources};
use usherd::incidents::{AlertLine, Line as Way, Notifier, Watch};
use usherd::monitor::{Board, Metrics, Reading};
use usherd::providers::ProviderConfig;
use usherd::providers::poster::Poster;
use usherd::store::Store;
use usherd::store::engine::{Engine, Options};

use crate::table::{self, Line};

/// From the condition to the acceptance: what is allowed, and what is aimed at.
const ALLOWED: Duration = Duration::from_millis(380);
const AIM: Duration = Duration::from_millis(50);
/// Somebody who is not told within this is not told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes alerts, each at its time; closes connections without an answer while it is dead.
struct Receiver {
    address: String,
    dead: Arc<AtomicBool>,
    taken: Arc<Mutex<BTreeMap<String, Vec<Instant>>>>,
    heard: watch::Receiver<u64>,
}

impl Receiver {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let address = listener.local_addr()?.to_string();
        let dead = Arc::new(AtomicBool::new(false));
        let taken: Arc<Mutex<BTreeMap<String, Vec<Instant>>>> = Arc::default();
        let (told, heard) = watch::channel(0);
        let told = Arc::new(told);
        let (dies, books) = (Arc::clone(&dead), Arc::clone(&taken));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&dies), Arc::clone(&books), Arc::clone(&told)));
            }
        });
        Ok(Self { address, dead, taken, heard })
    }

    fn times(&self, object: &str) -> Vec<Instant> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(object).cloned().unwrap_or_default()
    }

    async fn until(&self, object: &str) -> anyhow::Result<Instant> {
        let mut heard = self.heard.clone();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(first) = self.times(object).first() {
                    return Ok(*first);
                }
                heard.changed().await.context("the receiver is gone")?;
            }
        });
        waited.await.with_context(|| format!("nobody was told of {object}"))?
    }
}

/// Answers requests on one connection until it is closed.
async fn serve(
    mut stream: tokio::net::TcpStream,
    dead: Arc<AtomicBool>,
    books: Arc<Mutex<BTreeMap<String, Vec<Instant>>>>,
    told: Arc<watch::Sender<u64>>,
) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut part = [0; 8192];
    loop {
        let Ok(n @ 1..) = stream.read(&mut part).await else { return };
        bytes.extend_from_slice(&part[..n]);
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let end = head + 4 + length.unwrap_or(0);
        if bytes.len() < end {
            continue;
        }
        if dead.load(Ordering::Relaxed) {
            return;
        }
        let body: serde_json::Value = serde_json::from_slice(&bytes[head + 4..end]).unwrap_or_default();
        let now = Instant::now();
        {
            let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
            for alert in body["alerts"].as_array().into_iter().flatten().filter(|alert| alert["status"] == "firing") {
                books.entry(alert["labels"]["object"].as_str().unwrap_or_default().to_owned()).or_default().push(now);
            }
        }
        told.send_modify(|n| *n += 1);
        bytes.drain(..end);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// Injects so many faults one after the other, and says how soon each was told.
pub(crate) async fn measure(times: u64) -> anyhow::Result<Vec<Line>> {
    let folder = tempfile::Builder::new().prefix("usher-bench-").tempdir().context("making a temporary folder")?;
    let (first, second) = (Receiver::start().await?, Receiver::start().await?);
    let clock = Clock::system();
    let wall = clock.clone();
    let options = Options::new(folder.path().join("store"), [7; 32], "bench".to_owned(), Arc::new(move || wall.now()));
    let (engine, _) = tokio::task::spawn_blocking(move || Engine::open(options)).await.context("opening")??;
    let store = Store::new(engine);
    let mut alerting =
        Config::load(&Sources::default()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?.config.alerting;
    alerting.page = vec!["first".to_owned(), "second".to_owned()];
    alerting.windows.clear();
    for rule in &mut alerting.rules {
        rule.keep = Duration::ZERO;
    }
    let line = |name: &str, receiver: &Receiver| {
        let config = ProviderConfig::named(name, ProviderKind::Webhook);
        let poster = Poster::new(&config, &format!("http://{}/", receiver.address), None)?;
        anyhow::Ok(AlertLine { name: name.to_owned(), line: Way::Webhook { poster } })
    };
    let lines = vec![line("first", &first)?, line("second", &second)?];
    let board = Board::new(1);
    let place = ("bench", folder.path().to_path_buf());
    let both = (store.clone(), clock.clone(), board.clone());
    let notifier = Notifier::new(lines, place, both.clone(), Arc::new(Metrics::default()));
    // 0: all is well; else the number of the fault that is on.
    let fault = Arc::new(AtomicU64::new(0));
    let on = Arc::clone(&fault);
    let source = Box::new(move || {
        let n = on.load(Ordering::Acquire);
        let object = if n == 0 { String::new() } else { format!("channel {n}") };
        let carriers = if n == 0 { 1.0 } else { 0.0 };
        vec![Reading { metric: "channel.open_providers", object, value: carriers, detail: "bench".to_owned() }]
    });
    let wake = Arc::new(Notify::new());
    let watch = Watch::new(&alerting, both, (source, Arc::clone(&wake)), Arc::clone(&notifier))?;
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&watch).run(stop.clone()));
    tokio::spawn(Arc::clone(&notifier).run(stop.clone()));

    let mut took: Vec<Duration> = Vec::new();
    for n in 1..=times {
        first.dead.store(n.is_multiple_of(2), Ordering::Relaxed);
        let living = if n.is_multiple_of(2) { &second } else { &first };
        let object = format!("channel {n}");
        fault.store(n, Ordering::Release);
        let begun = Instant::now();
        wake.notify_one();
        took.push(living.until(&object).await?.duration_since(begun));
        fault.store(0, Ordering::Release);
        while watch.page().alerts.iter().any(|alert| alert.object == object) {
            wake.notify_one();
            tokio::task::yield_now().await;
        }
    }
    stop.cancel();
    let twice = (1..=times).filter(|n| {
        let object = format!("channel {n}");
        first.times(&object).len() > 1 || second.times(&object).len() > 1
    });
    let twice = twice.count();
    store.engine().clone().close().await.context("closing")?;
    took.sort();
    if took.len() as u64 != times {
        bail!("{} of {times} faults were told", took.len());
    }
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let (half, most, worst) = (at(0.5), at(0.99), at(1.0));
    let slow = (most >= ALLOWED).then(|| format!("over {} ms", ALLOWED.as_millis()));
    let doubled = (twice as u64 * 100 > times).then(|| format!("{twice} were told twice by one channel"));
    Ok(vec![
        Line::new(format!("{} faults told, p99", table::count(took.len())), table::time(most))
            .beside(format!("{} ms allowed, {} ms aimed at", ALLOWED.as_millis(), AIM.as_millis()))
            .remark(format!(
                "half within {}, worst {}; the first channel dead in half; {twice} told twice by one",
                table::time(half),
                table::time(worst)
            ))
            .wrong(slow.or(doubled)),
    ])
}
