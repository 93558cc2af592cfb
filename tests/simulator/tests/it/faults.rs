//! Each kind of fault, as a plain client meets it, and what the record says of it.

use crate::support::{SID, answer, callback, client, email, get_twilio, post_email, post_sms, read, sms, start};
use serde_json::json;
use std::time::Duration;
use usher_sim::{Config, Fault, FaultError, FaultKind, Latency, Provider, Scope, Simulator, When};

/// Sends one SMS and says what became of it: the status, or how the connection failed.
async fn send(simulator: &Simulator, message: &str) -> Result<u16, reqwest::Error> {
    let hook = callback(message);
    let sent = post_sms(&client(), simulator, &sms("+447911123456", &hook)).send().await;
    sent.map(|response| response.status().as_u16())
}

fn in_chain(error: &reqwest::Error, kind: std::io::ErrorKind) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == kind) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test]
async fn refuse_closes_the_port_and_opens_the_same_one_again() {
    let simulator = start().await;
    let kept_alive = client();
    let hook = callback("m");
    let form = sms("+447911123456", &hook);
    for _ in 0..3 {
        let address = simulator.twilio_url();
        assert_eq!(answer(post_sms(&kept_alive, &simulator, &form)).await.0, 201);
        simulator.fault(Provider::Twilio, FaultKind::Refuse).await.unwrap();
        let fresh = send(&simulator, "m").await.unwrap_err();
        assert!(fresh.is_connect() && in_chain(&fresh, std::io::ErrorKind::ConnectionRefused), "{fresh:?}");
        assert!(post_sms(&kept_alive, &simulator, &form).send().await.is_err(), "an idle connection is closed, too");
        assert_eq!(answer(post_email(&client(), &simulator, &email("m", "a@example.com"))).await.0, 200);
        simulator.clear(Provider::Twilio).await.unwrap();
        assert_eq!(simulator.twilio_url(), address);
        assert_eq!(send(&simulator, "m").await.unwrap(), 201);
    }
    assert_eq!(simulator.record().count(Provider::Twilio), 6);
    simulator.stop().await;
}

#[tokio::test]
async fn hangs_never_answer_and_accept_as_told() {
    let simulator = start().await;
    for (fault, accepted) in [
        (FaultKind::Hang, false),
        (FaultKind::HangAfterAccept { accepted: false }, false),
        (FaultKind::HangAfterAccept { accepted: true }, true),
    ] {
        let before = simulator.record().total();
        let struck = simulator.counts(Provider::Twilio).faults;
        let id = simulator.fault(Provider::Twilio, fault.clone()).await.unwrap();
        let hook = callback("m");
        let client = client();
        let mut waiting = tokio::spawn(post_sms(&client, &simulator, &sms("+447911123456", &hook)).send());
        while simulator.counts(Provider::Twilio).faults == struck {
            tokio::task::yield_now().await;
        }
        simulator.record().wait_for_count(before + u64::from(accepted)).await;
        let answered = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
        assert!(answered.is_err(), "{fault:?}: {answered:?}");
        waiting.abort();
        assert_eq!(simulator.record().total() - before, u64::from(accepted), "{fault:?}");
        assert!(simulator.lift(id).await.unwrap());
    }
    assert_eq!(send(&simulator, "m").await.unwrap(), 201);
    simulator.stop().await;
}

#[tokio::test]
async fn resets_are_resets_on_either_side_of_acceptance() {
    let simulator = start().await;
    for (when, accepted) in [(When::BeforeAccept, 0), (When::AfterAccept, 1)] {
        simulator.record().reset();
        simulator.fault(Provider::Twilio, Fault::from(FaultKind::Reset { when }).times(1)).await.unwrap();
        let error = send(&simulator, "m").await.unwrap_err();
        assert!(in_chain(&error, std::io::ErrorKind::ConnectionReset), "{error:?}");
        assert_eq!(simulator.record().total(), accepted);
        assert_eq!(send(&simulator, "m").await.unwrap(), 201, "it strikes once");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn statuses_come_in_the_providers_shape_and_accept_as_told() {
    let simulator = start().await;
    let client = client();
    let hook = callback("m");
    let status =
        |status, accepted, code: Option<&str>| FaultKind::Status { status, accepted, code: code.map(str::to_owned) };
    for (fault, code) in [
        (status(500, false, None), json!(20500)),
        (status(503, true, None), json!(20503)),
        (status(401, false, Some("20005")), json!(20005)),
        (FaultKind::AuthFailure, json!(20003)),
        (FaultKind::Throttle { retry_after: None }, json!(20429)),
    ] {
        simulator.reset().await.unwrap();
        let accepted = matches!(&fault, FaultKind::Status { accepted: true, .. });
        simulator.fault(Provider::Twilio, fault).await.unwrap();
        let (_, body) = answer(post_sms(&client, &simulator, &sms("+447911123456", &hook))).await;
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(simulator.record().total(), u64::from(accepted));
    }
    simulator.reset().await.unwrap();
    simulator.fault(Provider::Twilio, status(502, false, None)).await.unwrap();
    let gateway = post_sms(&client, &simulator, &sms("+447911123456", &hook)).send().await.unwrap();
    assert_eq!((gateway.status().as_u16(), gateway.headers()["content-type"].to_str().unwrap()), (502, "text/html"));

    let mail = email("m", "guest@example.com");
    for (fault, name) in [
        (status(500, false, None), "internal_server_error"),
        (status(503, false, None), "service_unavailable"),
        (status(429, false, Some("daily_quota_exceeded")), "daily_quota_exceeded"),
        (status(451, false, None), "security_error"),
        (FaultKind::AuthFailure, "invalid_api_key"),
    ] {
        simulator.reset().await.unwrap();
        simulator.fault(Provider::Resend, fault).await.unwrap();
        assert_eq!(answer(post_email(&client, &simulator, &mail)).await.1["name"], name);
    }
    simulator.reset().await.unwrap();
    simulator.fault(Provider::Resend, FaultKind::Throttle { retry_after: Some(7) }).await.unwrap();
    let throttled = post_email(&client, &simulator, &mail).send().await.unwrap();
    assert_eq!(throttled.headers()["retry-after"], "7");
    assert_eq!(read(throttled).await.1["name"], "rate_limit_exceeded");
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_under_an_accepted_error_replays_and_under_a_refused_one_is_free() {
    let simulator = start().await;
    let client = client();
    let body = email("m", "guest@example.com");
    let send = || post_email(&client, &simulator, &body).header("idempotency-key", "k");
    for accepted in [false, true] {
        let fault = FaultKind::Status { status: 500, accepted, code: None };
        simulator.fault(Provider::Resend, Fault::from(fault).times(1)).await.unwrap();
        assert_eq!(answer(send()).await.0, 500);
        assert_eq!(simulator.record().total(), u64::from(accepted));
    }
    assert_eq!(answer(send()).await.0, 200);
    assert_eq!(simulator.record().total(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn wrong_bodies_say_success_and_mean_nothing() {
    let simulator = start().await;
    simulator.fault(Provider::Resend, FaultKind::WrongBody { accepted: true }).await.unwrap();
    let (status, body) = answer(post_email(&client(), &simulator, &email("m", "a@example.com"))).await;
    assert_eq!(status, 200);
    assert!(body.is_string(), "{body}");
    assert_eq!(simulator.record().total(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_slow_answer_was_accepted_before_it_was_late() {
    let simulator = start().await;
    simulator.fault(Provider::Twilio, FaultKind::Slow { latency: Latency::Fixed { ms: 60_000.0 } }).await.unwrap();
    let hook = callback("m");
    let waiting = tokio::spawn(post_sms(&client(), &simulator, &sms("+447911123456", &hook)).send());
    simulator.record().wait_for_count(1).await;
    assert!(!waiting.is_finished());
    waiting.abort();
    simulator.stop().await;
}

#[tokio::test]
async fn a_percentage_with_a_seed_strikes_the_same_requests_again() {
    let run = async |seed| {
        let simulator = start().await;
        let fault = Fault::from(FaultKind::Status { status: 503, accepted: false, code: None }).percent(30.0, seed);
        simulator.fault(Provider::Twilio, fault).await.unwrap();
        let mut statuses = Vec::new();
        for n in 0..100 {
            statuses.push(send(&simulator, &n.to_string()).await.unwrap());
        }
        let accepted = simulator.record().total() as usize;
        assert_eq!(accepted, statuses.iter().filter(|status| **status == 201).count());
        simulator.stop().await;
        statuses
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
    let struck = first.iter().filter(|status| **status == 503).count();
    assert!((15..45).contains(&struck), "{struck} of 100 at 30 %");
}

#[tokio::test]
async fn a_scope_spares_the_other_requests() {
    let simulator = start().await;
    let client = client();
    let down = FaultKind::Status { status: 503, accepted: false, code: None };
    for (scope, sending, asking) in [(Scope::Sends, 503, 200), (Scope::Probes, 201, 503), (Scope::All, 503, 503)] {
        simulator.clear(Provider::Twilio).await.unwrap();
        simulator.fault(Provider::Twilio, Fault::from(down.clone()).only(scope)).await.unwrap();
        assert_eq!(send(&simulator, "m").await.unwrap(), sending);
        assert_eq!(answer(get_twilio(&client, &simulator, &format!("{SID}.json"))).await.0, asking);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn senseless_faults_are_refused_with_a_reason() {
    let simulator = start().await;
    for (provider, fault) in [
        (Provider::Smtp, Fault::from(FaultKind::WrongBody { accepted: false })),
        (Provider::Resend, FaultKind::ExpiredCertificate.into()),
        (Provider::Twilio, Fault::from(FaultKind::Refuse).percent(50.0, 0)),
        (Provider::Twilio, Fault::from(FaultKind::Hang).percent(0.0, 0)),
        (Provider::Twilio, FaultKind::Status { status: 302, accepted: false, code: None }.into()),
    ] {
        let refused = simulator.fault(provider, fault).await;
        assert!(matches!(refused, Err(FaultError::Senseless { .. })), "{refused:?}");
    }
    assert_eq!(send(&simulator, "m").await.unwrap(), 201);
    simulator.stop().await;
}

#[tokio::test]
async fn the_control_endpoint_sets_shows_and_lifts() {
    let simulator = start().await;
    let client = client();
    let control = simulator.control_url();
    let fault = |body: serde_json::Value| client.post(format!("{control}/faults")).json(&body);
    let order = json!({ "provider": "twilio", "fault": { "kind": "status", "status": 503, "percent": 100 } });
    let (status, body) = answer(fault(order)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(send(&simulator, "lost").await.unwrap(), 503);
    let shown = answer(client.get(format!("{control}/faults"))).await.1;
    assert_eq!((&shown[0]["struck"], &shown[0]["fault"]["kind"]), (&json!(1), &json!("status")));
    assert_eq!(answer(client.delete(format!("{control}/faults/{}", body["id"]))).await.0, 200);
    assert_eq!(send(&simulator, "kept").await.unwrap(), 201);

    assert_eq!(answer(fault(json!({ "provider": "twilio", "fault": "refuse" }))).await.0, 200);
    assert!(send(&simulator, "m").await.is_err());
    assert_eq!(answer(client.delete(format!("{control}/faults?provider=twilio"))).await.0, 200);
    assert_eq!(send(&simulator, "kept").await.unwrap(), 201);

    for wrong in [
        json!({ "provider": "twilio", "fault": "explode" }),
        json!({ "provider": "smtp", "fault": "wrong_body" }),
        json!({ "provider": "twilio", "fault": { "kind": "hang", "percnt": 5 } }),
        json!({ "provider": "twilio", "fault": "hang", "for": "-1s" }),
    ] {
        let (status, body) = answer(fault(wrong)).await;
        assert_eq!(status, 400);
        assert!(body["error"].is_string());
    }
    assert_eq!(answer(client.get(format!("{control}/nothing"))).await.0, 404);

    let dump = client.get(format!("{control}/record")).send().await.unwrap().text().await.unwrap();
    let lines: Vec<serde_json::Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["message"]).collect::<Vec<_>>(), ["kept", "kept"]);
    let tail = client.get(format!("{control}/record?from=1")).send().await.unwrap().text().await.unwrap();
    assert_eq!(tail.lines().count(), 1);
    assert_eq!(answer(client.get(format!("{control}/counts"))).await.1["twilio"]["accepted"], 2);
    assert_eq!(answer(client.get(format!("{control}/duplicates"))).await.1[0]["sequences"], json!([0, 1]));
    assert_eq!(answer(client.post(format!("{control}/reset"))).await.0, 200);
    assert_eq!(simulator.record().total(), 0);
    assert_eq!(simulator.counts(Provider::Twilio).requests, 0);
    simulator.stop().await;
}

#[tokio::test]
async fn a_script_begins_and_ends_its_faults() {
    let script = r#"
        [[step]]
        at = "0s"
        provider = "twilio"
        fault = { kind = "status", status = 503 }
        for = "400ms"
    "#;
    let config: Config = toml::from_str(script).unwrap();
    let simulator = Simulator::start(config).await.unwrap();
    let until = async |wanted| while send(&simulator, "m").await.unwrap() != wanted {};
    until(503).await;
    until(201).await;
    simulator.stop().await;
}
