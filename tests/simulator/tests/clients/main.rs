//! The vendors' own Python clients against the simulator, unmodified but for the address.
//! Promises: each sends, asks, and is refused at least once, and what it was told is what the record says; says loudly when
//! the clients are not installed.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use usher_sim::{Config, Provider, Simulator, SlackConfig};

const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// The interpreter that `.ci/run` installs the clients for.
fn python() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    Some(workspace.join("target/ci-tools/vendor-clients/bin/python")).filter(|path| path.exists())
}

/// What a script prints, or nothing where it cannot run.
async fn run(script: &str, arguments: &[&str]) -> Option<Value> {
    let Some(python) = python() else {
        // Straight to standard error: what the test harness captures of a passing test, nobody sees.
        let line =
            format!("SKIPPED: the vendors' Python clients are not installed (.ci/run does), so {script} did not run\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let mut command = Command::new(python);
    // Isolated: no proxy, no configuration and no module of this machine comes between client and simulator.
    command.arg("-I").arg(path).args(arguments).env_clear().env("LANG", "C.UTF-8").kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn twilios_client_sends_finds_and_is_refused() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    if let Some(told) = run("with_twilio.py", &[&simulator.twilio_url(), ACCOUNT, "simulator"]).await {
        let accepted = simulator.record().by_message("m-twilio");
        assert_eq!((accepted.len(), simulator.record().total()), (1, 1));
        assert_eq!(
            (&told["id"], &told["listed"]),
            (&json!(accepted[0].provider_id), &json!([accepted[0].provider_id]))
        );
        assert_eq!(accepted[0].recipient, "+447911123456");
        let expected = json!(["queued", "1", "Do come! 👍", "active", "USD"]);
        assert_eq!(json!(["status", "segments", "fetched", "account", "balance"].map(|name| &told[name])), expected);
        assert_eq!((&told["refused"]["status"], &told["refused"]["code"]), (&json!(400), &json!(21_211)));
        assert_eq!(told["stranger"], json!({ "status": 401, "code": 20_003 }));
    }
    simulator.stop().await;
}

#[tokio::test]
async fn sendgrids_client_sends_to_two_and_is_refused() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    if let Some(told) = run("with_sendgrid.py", &[&simulator.sendgrid_url(), "SG.simulator"]).await {
        assert_eq!((&told["status"], &told["body"]), (&json!(202), &json!("")));
        let accepted = simulator.record().entries(0, 10);
        let reached: Vec<_> = accepted.iter().map(|one| (one.message.as_deref(), one.recipient.as_str())).collect();
        // The client puts the personalization that was added last first.
        assert_eq!(reached, [(Some("m-sendgrid-2"), "b@example.com"), (Some("m-sendgrid-1"), "a@example.com")]);
        assert!(accepted.iter().all(|one| one.provider == Provider::SendGrid && told["id"] == one.provider_id));
        assert!(told["scopes"].as_array().unwrap().contains(&json!("mail.send")));
        let flaw = json!({
            "message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email", "help": null,
        });
        assert_eq!(told["refused"], json!({ "status": 400, "errors": [flaw] }));
        assert_eq!(told["stranger"]["status"], 401);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn resends_client_sends_repeats_and_is_refused() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    if let Some(told) = run("with_resend.py", &[&simulator.resend_url(), "re_simulator"]).await {
        let accepted = simulator.record().entries(0, 10);
        let ids: Vec<_> = accepted.iter().map(|one| json!(one.provider_id)).collect();
        assert_eq!(ids.len(), 3, "the repetition was not sent again");
        assert_eq!((&told["id"], &told["again"], &told["batch"]), (&ids[0], &ids[0], &json!(ids[1..])));
        assert_eq!(accepted[0].idempotency_key.as_deref(), Some("once"));
        assert_eq!((&told["subject"], &told["domains"]), (&json!("Save the date"), &json!(["verified"])));
        assert_eq!(told["refused"]["type"], "validation_error");
        assert_eq!(told["conflict"], json!({ "code": 409, "type": "invalid_idempotent_request" }));
        assert_eq!(simulator.counts(Provider::Resend).replayed, 1);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn slacks_client_posts_both_ways_and_is_refused() {
    let slack = SlackConfig { messages_per_second: Some(1), ..SlackConfig::default() };
    let hook = slack.webhooks[0].path.clone();
    let simulator = Simulator::start(Config { slack, ..Config::default() }).await.unwrap();
    if let Some(told) = run("with_slack.py", &[&simulator.slack_url(), "xoxb-simulator", &hook]).await {
        let accepted = simulator.record().by_message("m-slack");
        assert_eq!(accepted.len(), 1);
        assert_eq!((&told["ts"], &told["channel"]), (&json!(accepted[0].provider_id), &json!("C123ABC456")));
        assert_eq!((&told["text"], &told["warning"]), (&json!("Do come!"), &Value::Null));
        assert_eq!(told["hook"], json!({ "status": 200, "body": "ok" }));
        assert_eq!(told["dead"], json!({ "status": 403, "body": "invalid_token" }));
        assert_eq!(told["refused"], json!({ "status": 200, "error": "no_text", "wait": null }));
        assert_eq!(told["stranger"]["error"], "invalid_auth");
        assert_eq!(told["hurried"], json!({ "status": 429, "error": "ratelimited", "wait": "1" }));
        let channels: std::collections::BTreeSet<_> = simulator.record().recipients().into_iter().collect();
        assert_eq!(channels, ["C0000FAST", "C00000001", "C123ABC456"].map(str::to_owned).into());
    }
    simulator.stop().await;
}
