//! The named checks around a deploy, by the programs that make them: what is well passes, what was broken is named with what to do,
//! and DNS is asked of a server of our own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;
use tokio::net::UdpSocket;
use usher_demo::{PATIENCE, Plan, Stage};
use usher_sim::{Fault, FaultKind, Provider};

/// A name server that knows these TXT records and no other names, for as long as the test runs.
async fn name_server(records: BTreeMap<String, Vec<String>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = answer(&buffer[..length], &records) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    address
}

/// RFC 1035 §4: the question again, and a TXT record for each text.
fn answer(question: &[u8], records: &BTreeMap<String, Vec<String>>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *question.get(at)? > 0 {
        let length = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let end = at + 5;
    let known = records.get(&labels.join("."));
    let texts = known.map_or(&[][..], Vec::as_slice);
    let mut reply = question.get(..2)?.to_vec();
    reply.extend([
        0x81,
        if known.is_some() { 0x80 } else { 0x83 },
        0,
        1,
        0,
        u8::try_from(texts.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(question.get(12..end)?);
    for text in texts {
        let pieces: Vec<u8> = text
            .as_bytes()
            .chunks(255)
            .flat_map(|piece| std::iter::once(u8::try_from(piece.len()).unwrap_or(255)).chain(piece.iter().copied()))
            .collect();
        reply.extend([0xC0, 12, 0, 16, 0, 1, 0, 0, 0, 0]);
        reply.extend(u16::try_from(pieces.len()).ok()?.to_be_bytes());
        reply.extend(pieces);
    }
    Some(reply)
}

fn records(spf: &str) -> BTreeMap<String, Vec<String>> {
    let domain = "ada-and-ben.example";
    let key = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
    BTreeMap::from([
        (domain.to_owned(), vec![spf.to_owned(), "something-verification=1".to_owned()]),
        (format!("resend._domainkey.{domain}"), vec![key]),
        (format!("_dmarc.{domain}"), vec!["v=DMARC1; p=reject".to_owned()]),
    ])
}

async fn stage(spf: &str) -> Stage {
    let server = name_server(records(spf)).await;
    let environment = BTreeMap::from([("USHER_HEALTH_DNS_SERVER".to_owned(), server.to_string())]);
    Stage::set(Plan { environment, ..Plan::default() }).await.unwrap()
}

/// What a set of checks says: each name with its grade, reason and remedy, and the exit code.
async fn check(stage: &Stage, set: &str) -> (BTreeMap<String, (String, String, String)>, i32) {
    let made = stage.usher().args(["check", set, "--output", "json"]).output().await.unwrap();
    let rows: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{made:?}"));
    (by_name(&rows), made.status.code().unwrap())
}

fn by_name(rows: &Value) -> BTreeMap<String, (String, String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (text(row, "name"), (text(row, "grade"), text(row, "reason"), text(row, "remedy")))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_well_passes_and_names_what_was_asked() {
    let stage = stage("v=spf1 include:amazonses.com -all").await;
    let (found, code) = check(&stage, "pre-deploy").await;
    assert_eq!(code, 0, "{found:#?}");
    for name in [
        "campaigns.running",
        "campaigns.due",
        "messages.in-doubt",
        "store.commit",
        "store.room",
        "disk.sync",
        "clock.outside",
        "provider.resend.status",
        "provider.resend.rate-limit",
        "provider.twilio.balance",
        "dns.ada-and-ben.example.spf",
        "dns.ada-and-ben.example.dkim.resend",
        "dns.ada-and-ben.example.dmarc",
    ] {
        let (grade, reason, _) = found.get(name).unwrap_or_else(|| panic!("{name} is missing in {found:#?}"));
        assert_eq!(grade, "pass", "{name}: {reason}");
    }
    assert_eq!(found["provider.resend.certificate"].0, "skip", "the simulator speaks without TLS");
    for set in ["smoke", "post-deploy"] {
        let (found, code) = check(&stage, set).await;
        assert_eq!(code, 0, "{set}: {found:#?}");
        assert!(found.contains_key("store.commit") && found.contains_key("channel.email"), "{found:#?}");
    }
    // The same from the machine, whether the daemon runs or not.
    let doctor = tokio::process::Command::new(&stage.programs().usherd)
        .args(["doctor", "--output", "json", "--config"])
        .arg(stage.configuration())
        .env_clear()
        .output()
        .await
        .unwrap();
    let found = by_name(&serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{doctor:?}")));
    assert_eq!(found["provider.twilio.status"].0, "pass", "{found:#?}");
    assert!(found["daemon.socket"].1.starts_with("a daemon answers"), "{found:#?}");
    assert!(found.contains_key("disk.inodes") && found.contains_key("limits.open-files"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_is_named_with_what_to_do() {
    let stage = stage("v=spf1 +all").await;
    let broken = FaultKind::Status { status: 503, accepted: false, code: None };
    stage.simulator.fault(Provider::Twilio, Fault::from(broken)).await.unwrap();
    let changed = std::fs::read_to_string(stage.configuration()).unwrap();
    std::fs::write(stage.configuration(), changed.replace("environment = \"", "environment = \"not-")).unwrap();
    let (found, code) = check(&stage, "pre-deploy").await;
    assert_eq!(code, 1, "{found:#?}");
    let (grade, reason, remedy) = &found["dns.ada-and-ben.example.spf"];
    assert_eq!(
        (grade.as_str(), reason.as_str()),
        ("fail", "ada-and-ben.example lets everybody send in its name (+all)")
    );
    assert_eq!(remedy, "end the record with -all or ~all");
    assert_eq!(found["provider.twilio.status"].0, "fail", "{found:#?}");
    assert_eq!(found["provider.twilio.balance"].0, "warn", "{found:#?}");
    let (grade, reason, _) = &found["configuration"];
    assert_eq!(grade, "warn", "{reason}");
    assert!(reason.contains("environment"), "{reason}");

    std::fs::write(stage.configuration(), "environment = 3\n").unwrap();
    let (found, _) = check(&stage, "post-deploy").await;
    assert_eq!(found["configuration"].0, "fail", "{found:#?}");
    // A channel whose only provider is down is what a smoke check is for; its probes need a few seconds to say so.
    let begun = Instant::now();
    loop {
        let (found, code) = check(&stage, "smoke").await;
        if found["channel.sms"].0 == "fail" {
            assert_eq!(code, 1, "{found:#?}");
            assert!(found["provider.twilio.breaker"].1.starts_with("its breaker is"), "{found:#?}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:#?}");
    }
}
