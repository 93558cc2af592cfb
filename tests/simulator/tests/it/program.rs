//! `usher-sim` as a process: its line, its files, its end.

use crate::support::{answer, client};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher-sim"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn first_line(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn starts_from_a_file_says_where_it_is_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sim.toml");
    let text = r#"
        seed = 3
        [resend]
        api_keys = ["re_mine"]
        [sendgrid]
        api_keys = ["SG.mine"]
        [slack]
        tokens = ["xoxb-mine"]
        webhooks = [{ path = "T1/B1/mine", channel = "C00000009" }]
        [whatsapp]
        numbers = [{ id = "42", display = "+44 20 7946 0000" }]
        [[whatsapp.templates]]
        name = "invitation"
        language = "en_GB"
        body = 2
        [[step]]
        at = "0s"
        provider = "smtp"
        fault = "refuse"
    "#;
    std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    let ca = folder.path().join("ca.pem");
    let mut child = command().arg("--config").arg(&config).arg("--ca-file").arg(&ca).spawn().unwrap();
    let addresses = first_line(&mut child).await;
    let resend = addresses["resend_url"].as_str().unwrap();
    let domains = client().get(format!("{resend}/domains")).bearer_auth("re_mine");
    assert_eq!(answer(domains).await.0, 200);
    let counts = client().get(format!("{}/counts", addresses["control_url"].as_str().unwrap()));
    assert_eq!(answer(counts).await.1["resend"]["requests"], 1);
    let url = |name: &str, path: &str| format!("{}{path}", addresses[name].as_str().unwrap());
    for request in [
        client().get(url("sendgrid_url", "/v3/scopes")).bearer_auth("SG.mine"),
        client().post(url("slack_url", "/api/auth.test")).bearer_auth("xoxb-mine"),
        client().post(url("slack_url", "/services/T1/B1/mine")).body(r#"{"text":"Do come!"}"#),
        client().get(url("whatsapp_url", "/v23.0/42")).bearer_auth("EAAsimulator"),
    ] {
        let (status, said) = answer(request).await;
        assert!(status == 200 && said["ok"] != false, "{said}");
    }
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_wrong_file_and_a_taken_port_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sim.toml");
    std::fs::write(&config, "[resend]\napi_kys = []\n").unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let config = config.to_str().unwrap();
    for (flags, wanted) in [
        (["--config", config], "unknown field `api_kys`"),
        (["--config", "/nowhere/sim.toml"], "reading /nowhere/sim.toml"),
        (["--twilio-port", &port], "for twilio"),
        (["--sendgrid-port", &port], "for sendgrid"),
        (["--slack-port", &port], "for slack"),
        (["--whatsapp-port", &port], "for whatsapp"),
    ] {
        let mut child = command().args(flags).spawn().unwrap();
        let mut said = String::new();
        child.stderr.as_mut().unwrap().read_to_string(&mut said).await.unwrap();
        assert!(!child.wait().await.unwrap().success());
        assert!(said.contains(wanted), "{said}");
    }
}
