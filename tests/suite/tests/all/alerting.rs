//! Somebody is told: by a channel that does not hang on what broke, by the next when one is dead, by the machine itself when all are,
//! and once over a restart.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use usher_common::model::Channel;
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, PATIENCE, Plan, Stage, guest_list};
use usher_sim::{Config, Fault, FaultKind, Latency, Provider};

/// Takes what Alertmanager's webhooks send, and remembers it; answers 500 while it is told to.
struct Receiver {
    address: String,
    bodies: Arc<Mutex<Vec<(Instant, Value)>>>,
    heard: watch::Receiver<usize>,
    broken: watch::Sender<bool>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bodies: Arc<Mutex<Vec<(Instant, Value)>>> = Arc::default();
        let (told, heard) = watch::channel(0);
        let (broken, is_broken) = watch::channel(false);
        let kept = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, told, is_broken) = (Arc::clone(&kept), told.clone(), is_broken.clone());
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut part = [0; 4096];
                    // One request a connection: it is closed after the answer.
                    let body = loop {
                        let Ok(n @ 1..) = stream.read(&mut part).await else { return };
                        bytes.extend_from_slice(&part[..n]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((before, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = before.lines().find_map(|line| {
                            let (name, value) = line.split_once(':')?;
                            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                        });
                        if body.len() >= length.unwrap_or(0) {
                            break body.to_owned();
                        }
                    };
                    let status = if *is_broken.borrow() { "500 Broken" } else { "200 OK" };
                    if status.starts_with('2') {
                        let body = serde_json::from_str(&body).unwrap_or(Value::Null);
                        kept.lock().unwrap().push((Instant::now(), body));
                        told.send_modify(|n| *n += 1);
                    }
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, bodies, heard, broken }
    }

    fn of(&self, rule: &str, status: &str) -> Vec<(Instant, Value)> {
        let bodies = self.bodies.lock().unwrap();
        let fits = |body: &&(Instant, Value)| body.1["groupLabels"]["alertname"] == rule && body.1["status"] == status;
        bodies.iter().filter(fits).cloned().collect()
    }

    /// Waits for the first of a rule in a state.
    async fn until(&self, rule: &str, status: &str, stage: &Stage) -> (Instant, Value) {
        let mut heard = self.heard.clone();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = self.of(rule, status).into_iter().next() {
                    return found;
                }
                heard.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{rule} {status} was waited for:\n{}", stage.log()))
    }
}

fn plan(receivers: &[&Receiver]) -> Plan {
    let latency = Latency::Uniform { min_ms: 5.0, max_ms: 15.0 };
    let mut simulator = Config { seed: 9, ..Config::default() };
    simulator.resend.latency = latency;
    simulator.smtp.latency = latency;
    let names: Vec<String> = (0..receivers.len()).map(|n| format!("hook-{n}")).collect();
    let mut extra = format!("[alerting]\npage = \"{}\"\n", names.join(", "));
    for (name, receiver) in names.iter().zip(receivers) {
        extra += &format!(
            "[[alert_channel]]\nname = \"{name}\"\nkind = \"alertmanager\"\nurl = \"http://{}/hook\"\n",
            receiver.address
        );
    }
    let settings = [("resend".to_owned(), "rate_per_second = 50\nbatch_size = 1\n".to_owned())];
    Plan { simulator, extra, settings: settings.into(), ..Plan::default() }
}

async fn send(desk: &Desk, guests: usize) {
    desk.import("everyone", guest_list(guests, 4).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    desk.send(list, &[Channel::Email]).await.unwrap();
}

async fn break_resend(stage: &Stage) -> Instant {
    let broken = FaultKind::Status { status: 503, accepted: false, code: None };
    let at = Instant::now();
    stage.simulator.fault(Provider::Resend, Fault::from(broken)).await.unwrap();
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_breaks_is_told_by_every_way_of_the_page_and_so_is_its_end() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let stage = Stage::set(plan(&[&one, &two])).await.unwrap();
    let desk = stage.desk().await.unwrap();
    let tested = stage.usher().args(["alert", "test", "--output", "json"]).output().await.unwrap();
    assert!(tested.status.success(), "{tested:?}");
    let trials: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!(trials.as_array().map(Vec::len), Some(2), "{trials}");
    assert!(trials.as_array().unwrap().iter().all(|trial| trial["taken"] == true), "{trials}");

    send(&desk, 2_000).await;
    let broke = break_resend(&stage).await;
    for receiver in [&one, &two] {
        let (at, body) = receiver.until("provider-down", "firing", &stage).await;
        let alert = &body["alerts"][0];
        assert_eq!(
            (alert["labels"]["object"].as_str(), alert["labels"]["severity"].as_str()),
            (Some("provider resend"), Some("P1"))
        );
        assert!(alert["annotations"]["action"].as_str().unwrap().starts_with("usher provider why resend"), "{alert}");
        println!("told {:?} after the fault began", at.duration_since(broke));
    }
    // That they took it is heard a moment after they have.
    let begun = Instant::now();
    loop {
        let Reply::Alerts(page) = desk.ask(Request::Alerts).await.unwrap() else { panic!("no alerts") };
        let down = page.alerts.iter().find(|alert| alert.rule == "provider-down").unwrap();
        assert!(down.state.is_active() && down.object == "provider resend" && down.quiet.is_empty(), "{down:?}");
        if down.told {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{down:?}");
    }
    let taken = stage.usher().args(["alert", "ack", "provider-down"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&taken.stdout).contains("is yours until"), "{taken:?}");
    let Reply::Alerts(page) = desk.ask(Request::Alerts).await.unwrap() else { panic!("no alerts") };
    assert!(page.alerts.iter().any(|alert| alert.acknowledged_until.is_some()), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_channel_delays_nobody_and_gets_it_when_it_is_back_once() {
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    dead.broken.send_replace(true);
    let mut stage = Stage::set(plan(&[&dead, &alive])).await.unwrap();
    let desk = stage.desk().await.unwrap();
    send(&desk, 2_000).await;
    break_resend(&stage).await;
    alive.until("provider-down", "firing", &stage).await;
    assert!(dead.of("provider-down", "firing").is_empty());
    // The dead one has said why not, and what the other one took is durable: nothing waits for it.
    let begun = Instant::now();
    loop {
        let Reply::Alerts(page) = desk.ask(Request::Alerts).await.unwrap() else { panic!("no alerts") };
        let row = |name: &str| page.channels.iter().find(|row| row.name == name).unwrap();
        let (dead, alive) = (row("hook-0"), row("hook-1"));
        assert!(dead.taken.is_none(), "{dead:?}");
        if dead.said.contains("500") && dead.waiting > 0 && alive.waiting == 0 && alive.taken.is_some() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{page:?}");
    }

    stage.kill().await.unwrap();
    dead.broken.send_replace(false);
    stage.start().await.unwrap();
    dead.until("provider-down", "firing", &stage).await;
    // What was told before the crash is not told again after it: a test that comes behind it is.
    stage.usher().args(["alert", "test"]).output().await.unwrap();
    alive.until("test", "firing", &stage).await;
    assert_eq!(alive.of("provider-down", "firing").len(), 1, "{:?}", alive.of("provider-down", "firing"));
    assert_eq!(dead.of("provider-down", "firing").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_keeps_it_quiet_and_its_end_tells_it() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let stage = Stage::set(plan(&[&one, &two])).await.unwrap();
    let desk = stage.desk().await.unwrap();
    let refused = stage.usher().args(["silence", "add", "provider-*", "--for", "1h"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("needs a reason"), "{refused:?}");
    let silenced = stage
        .usher()
        .args(["silence", "add", "provider-*", "--object", "*resend", "--for", "1h", "--reason", "we break it"])
        .output()
        .await
        .unwrap();
    assert!(silenced.status.success(), "{silenced:?}");
    send(&desk, 2_000).await;
    break_resend(&stage).await;
    let begun = Instant::now();
    loop {
        let Reply::Alerts(page) = desk.ask(Request::Alerts).await.unwrap() else { panic!("no alerts") };
        if let Some(alert) = page.alerts.iter().find(|alert| alert.rule == "provider-down") {
            assert!(!alert.told && alert.quiet.contains("silenced"), "{alert:?}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", stage.log());
    }
    assert!(one.of("provider-down", "firing").is_empty());
    let ended = stage.usher().args(["silence", "end", "1"]).output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    one.until("provider-down", "firing", &stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_told_the_machine_itself_says_it() {
    let stage = Stage::set(Plan { extra: String::new(), ..plan(&[]) }).await.unwrap();
    let desk = stage.desk().await.unwrap();
    assert!(stage.log().contains("nobody is woken"), "{}", stage.log());
    send(&desk, 2_000).await;
    break_resend(&stage).await;
    let file = stage.state().join("ALERT");
    let begun = Instant::now();
    while !std::fs::read_to_string(&file).unwrap_or_default().contains("provider resend is down") {
        assert!(begun.elapsed() < PATIENCE, "{}", stage.log());
        // Each question is answered in its time, which paces this.
        desk.ask(Request::Status).await.unwrap();
    }
    assert!(stage.log().contains("NOBODY COULD BE TOLD"), "{}", stage.log());
    let Reply::Alerts(page) = desk.ask(Request::Alerts).await.unwrap() else { panic!("no alerts") };
    let down = page.alerts.iter().find(|alert| alert.rule == "provider-down").unwrap();
    assert!(!down.told && down.quiet.contains("nobody could be told"), "{down:?}");
    // The levels follow the log within a second or two.
    loop {
        let Reply::Sla(rows) = desk.ask(Request::Sla).await.unwrap() else { panic!("no levels") };
        if rows.iter().any(|row| row.object == "provider resend" && row.windows[0].bad > 0) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rows:?}");
    }
}
