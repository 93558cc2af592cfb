//! Resend: each refusal by its status and name, batches, idempotency, look-ups.

use crate::support::{answer, builder, client, email, post_batch, post_email, start};
use serde_json::{Value, json};
use usher_sim::{Config, FaultKind, Latency, Provider, ResendConfig, Simulator};

async fn started(resend: ResendConfig) -> Simulator {
    Simulator::start(Config { resend, ..Config::default() }).await.unwrap()
}

/// The right e-mail with one field replaced; null takes it away.
fn with(field: &str, value: Value) -> Value {
    let mut body = email("m", "guest@example.com");
    match value {
        Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
        value => body[field] = value,
    }
    body
}

#[tokio::test]
async fn an_accepted_email_is_answered_with_its_id_recorded_and_found() {
    let simulator = start().await;
    let client = client();
    let request = post_email(&client, &simulator, &email("m-1", "Guest <guest@example.com>"));
    let (status, body) = answer(request.header("idempotency-key", "key-1")).await;
    assert_eq!(status, 200);
    let id = body["id"].as_str().unwrap();
    let record = simulator.record().by_message("m-1");
    assert_eq!(record.len(), 1);
    assert_eq!(record[0].provider_id, id);
    assert_eq!(record[0].recipient, "guest@example.com");
    assert_eq!(record[0].idempotency_key.as_deref(), Some("key-1"));
    assert_eq!(id.as_bytes()[14], b'4', "a version 4 UUID: {id}");

    let get = |key: &str, id: &str| client.get(format!("{}/emails/{id}", simulator.resend_url())).bearer_auth(key);
    let (status, shown) = answer(get("re_simulator", id)).await;
    assert_eq!((status, &shown["subject"], &shown["last_event"]), (200, &json!("Save the date"), &json!("sent")));
    assert_eq!(answer(get("re_simulator", "00000000-0000-4000-8000-000000000000")).await.0, 404);
    assert_eq!(answer(get("re_sending", id)).await.1["name"], "restricted_api_key");
    simulator.stop().await;
}

#[tokio::test]
async fn every_recipient_is_recorded_and_markers_set_the_last_event() {
    let simulator = start().await;
    let client = client();
    let mut body = email("m", "a@example.com");
    body["cc"] = json!(["b@example.com"]);
    body["bcc"] = json!("bounced@example.com");
    let (_, sent) = answer(post_email(&client, &simulator, &body)).await;
    assert_eq!(simulator.record().recipients(), ["a@example.com", "b@example.com", "bounced@example.com"]);
    let url = format!("{}/emails/{}", simulator.resend_url(), sent["id"].as_str().unwrap());
    assert_eq!(answer(client.get(url).bearer_auth("re_simulator")).await.1["last_event"], "bounced");
    simulator.stop().await;
}

#[tokio::test]
async fn each_wrong_field_is_refused_by_name_and_nothing_is_recorded() {
    let simulator =
        started(ResendConfig { verified_domains: vec!["example.com".into()], ..ResendConfig::default() }).await;
    let client = client();
    let many: Vec<String> = (0..51).map(|n| format!("g{n}@example.com")).collect();
    let tag = |name: &str, value: &str| json!([{ "name": name, "value": value }]);
    let cases = [
        (with("from", Value::Null), 422, "missing_required_field"),
        (with("to", Value::Null), 422, "missing_required_field"),
        (with("subject", Value::Null), 422, "missing_required_field"),
        (with("text", Value::Null), 422, "missing_required_field"),
        (with("from", json!("nobody")), 422, "invalid_from_address"),
        (with("from", json!("a@elsewhere.example")), 403, "validation_error"),
        (with("from", json!(7)), 422, "validation_error"),
        (with("subject", json!(["x"])), 422, "validation_error"),
        (with("to", json!("not an address")), 422, "validation_error"),
        (with("to", json!([])), 422, "validation_error"),
        (with("to", json!(many)), 422, "validation_error"),
        (with("to", json!("guest@invalid.example")), 422, "validation_error"),
        (with("cc", json!("nobody")), 422, "validation_error"),
        (with("bcc", json!([1])), 422, "validation_error"),
        (with("reply_to", json!("nobody")), 422, "validation_error"),
        (with("headers", json!({ "X-A": 1 })), 422, "validation_error"),
        (with("tags", tag("a b", "c")), 422, "validation_error"),
        (with("tags", tag("a", "ü")), 422, "validation_error"),
        (with("tags", tag("a", "")), 422, "validation_error"),
        (with("tags", tag(&"n".repeat(257), "v")), 422, "validation_error"),
        (with("tags", json!([{ "name": "a" }])), 422, "validation_error"),
        (with("attachments", json!([{ "filename": "a.txt" }])), 422, "invalid_attachment"),
        (with("attachments", json!([{ "content": "%%%" }])), 422, "invalid_attachment"),
        (with("scheduled_at", json!("tomorrow-ish")), 422, "validation_error"),
        (with("template", json!({ "id": "t" })), 422, "validation_error"),
        (json!([]), 422, "validation_error"),
    ];
    for (body, status, name) in cases {
        let (got, refusal) = answer(post_email(&client, &simulator, &body)).await;
        assert_eq!((got, refusal["name"].as_str()), (status, Some(name)), "{body} -> {refusal}");
        assert_eq!(refusal["statusCode"], status);
        assert!(refusal["message"].is_string());
    }
    assert_eq!(simulator.record().total(), 0);
    // What stands just inside the limits passes.
    for body in [with("to", json!(many[..50])), with("tags", tag(&"n".repeat(256), "v")), with("unheard_of", json!(1))]
    {
        assert_eq!(answer(post_email(&client, &simulator, &body)).await.0, 200, "{body}");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn keys_paths_methods_and_the_edge_are_judged_before_the_body() {
    let simulator = start().await;
    let (client, url) = (client(), simulator.resend_url());
    let body = email("m", "guest@example.com");
    let emails = || client.post(format!("{url}/emails")).json(&body);
    let cases = [
        (emails(), 401, "missing_api_key"),
        (emails().header("authorization", "Basic abc"), 401, "missing_api_key"),
        (emails().bearer_auth("re_wrong"), 403, "invalid_api_key"),
        (emails().bearer_auth("re_suspended"), 403, "suspended_api_key"),
        (client.get(format!("{url}/domains")).bearer_auth("re_sending"), 401, "restricted_api_key"),
        (client.get(format!("{url}/nothing")).bearer_auth("re_simulator"), 404, "not_found"),
        (client.get(format!("{url}/emails")).bearer_auth("re_simulator"), 405, "method_not_allowed"),
        (client.post(format!("{url}/domains")).bearer_auth("re_simulator"), 405, "method_not_allowed"),
        (client.post(format!("{url}/emails")).bearer_auth("re_simulator").body("x"), 400, "validation_error"),
        (
            client
                .post(format!("{url}/emails"))
                .bearer_auth("re_simulator")
                .body("{")
                .header("content-type", "application/json"),
            400,
            "validation_error",
        ),
    ];
    for (request, status, name) in cases {
        let (got, refusal) = answer(request).await;
        assert_eq!((got, refusal["name"].as_str()), (status, Some(name)), "{refusal}");
    }
    assert_eq!(answer(emails().bearer_auth("re_sending")).await.0, 200, "a sending key sends");
    let bare = builder().build().unwrap();
    let (status, text) = answer(post_email(&bare, &simulator, &body)).await;
    assert_eq!((status, text), (403, json!("error code: 1010")));
    simulator.stop().await;
}

#[tokio::test]
async fn one_key_sends_once_and_another_payload_is_refused() {
    let simulator = start().await;
    let client = client();
    let send = |body: Value, key: &str| answer(post_email(&client, &simulator, &body).header("idempotency-key", key));
    let first = send(email("m", "guest@example.com"), "k").await;
    assert_eq!(send(email("m", "guest@example.com"), "k").await, first);
    assert_eq!(simulator.record().total(), 1);
    assert_eq!(simulator.counts(Provider::Resend).replayed, 1);
    let (status, refusal) = send(email("m", "other@example.com"), "k").await;
    assert_eq!((status, refusal["name"].as_str()), (409, Some("invalid_idempotent_request")));
    assert_eq!(send(email("m", "guest@example.com"), &"k".repeat(256)).await.0, 200);
    for key in [String::new(), "k".repeat(257)] {
        let (status, refusal) = send(email("m", "guest@example.com"), &key).await;
        assert_eq!((status, refusal["name"].as_str()), (400, Some("invalid_idempotency_key")), "{} long", key.len());
    }
    // A refused request does not use its key up.
    assert_eq!(send(with("to", json!("x")), "later").await.0, 422);
    assert_eq!(send(email("m2", "guest@example.com"), "later").await.0, 200);
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_in_flight_is_refused_until_the_first_request_ends() {
    let simulator = start().await;
    let client = client();
    simulator.fault(Provider::Resend, FaultKind::HangAfterAccept { accepted: true }).await.unwrap();
    let body = email("m", "guest@example.com");
    let send = || post_email(&client, &simulator, &body).header("idempotency-key", "k");
    let hanging = tokio::spawn(send().send());
    simulator.record().wait_for_count(1).await;
    simulator.clear(Provider::Resend).await.unwrap();
    let (status, refusal) = answer(send()).await;
    assert_eq!((status, refusal["name"].as_str()), (409, Some("concurrent_idempotent_requests")));
    hanging.abort();
    // The simulator learns of the hang-up in its own time.
    let (status, original) = loop {
        let answer = answer(send()).await;
        if answer.0 != 409 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (status, original["id"].as_str()),
        (200, Some(simulator.record().entries(0, 1)[0].provider_id.as_str()))
    );
    assert_eq!(simulator.record().total(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_strict_batch_is_all_or_nothing() {
    let simulator = start().await;
    let client = client();
    let good: Vec<Value> = (0..100).map(|n| email(&format!("m{n}"), &format!("g{n}@example.com"))).collect();
    let (status, body) = answer(post_batch(&client, &simulator, &json!(good))).await;
    assert_eq!((status, body["data"].as_array().unwrap().len()), (200, 100));
    assert_eq!(body.get("errors"), None);
    for (item, entry) in body["data"].as_array().unwrap().iter().zip(simulator.record().entries(0, 100)) {
        assert_eq!(item["id"], entry.provider_id);
    }
    let mut bad = good[..3].to_vec();
    bad[1]["to"] = json!("nobody");
    let too_many: Vec<Value> = (0..101).map(|_| good[0].clone()).collect();
    let mut scheduled = good[0].clone();
    scheduled["scheduled_at"] = json!("2026-12-01T10:00:00Z");
    let mut attached = good[0].clone();
    attached["attachments"] = json!([{ "content": "YQ==", "filename": "a" }]);
    let mistyped = json!([{ "from": 1 }]);
    for body in [json!(bad), json!([]), json!(too_many), json!([scheduled]), json!([attached]), mistyped, json!({})] {
        assert_eq!(answer(post_batch(&client, &simulator, &body)).await.0, 422);
    }
    assert_eq!(simulator.record().total(), 100);
    simulator.stop().await;
}

#[tokio::test]
async fn a_permissive_batch_sends_what_is_right_and_names_the_rest() {
    let simulator = start().await;
    let client = client();
    let mut wrong = email("m1", "x");
    wrong.as_object_mut().unwrap().remove("to");
    let body = json!([email("m0", "a@example.com"), wrong, email("m2", "c@example.com"), { "from": 1 }]);
    let send = || post_batch(&client, &simulator, &body).header("idempotency-key", "b");
    let (status, answered) = answer(send().header("x-batch-validation", "permissive")).await;
    assert_eq!((status, answered["data"].as_array().unwrap().len()), (200, 2));
    let indices: Vec<_> = answered["errors"].as_array().unwrap().iter().map(|error| error["index"].clone()).collect();
    assert_eq!(indices, [1, 3]);
    assert_eq!(simulator.record().recipients(), ["a@example.com", "c@example.com"]);
    assert_eq!(
        answer(send().header("x-batch-validation", "permissive")).await.1,
        answered,
        "one key for the whole batch"
    );
    assert_eq!(simulator.record().total(), 2);
    assert_eq!(answer(post_batch(&client, &simulator, &body).header("x-batch-validation", "maybe")).await.0, 422);
    simulator.stop().await;
}

#[tokio::test]
async fn a_rate_limit_answers_429_with_its_headers() {
    let simulator = started(ResendConfig { requests_per_second: Some(3), ..ResendConfig::default() }).await;
    let client = client();
    let body = email("m", "guest@example.com");
    let mut granted = 0;
    // More requests than any two seconds allow, so the limit is met whatever the time.
    let refused = loop {
        let response = post_email(&client, &simulator, &body).send().await.unwrap();
        if response.status() == 429 {
            break response;
        }
        assert_eq!(response.headers()["ratelimit-limit"], "3");
        granted += 1;
        assert!(granted < 10_000, "the limit was never met");
    };
    assert_eq!(refused.headers()["ratelimit-remaining"], "0");
    assert_eq!(refused.headers()["ratelimit-reset"], "1");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(crate::support::read(refused).await.1["name"], "rate_limit_exceeded");
    assert_eq!(simulator.record().total(), granted);
    simulator.stop().await;
}

#[tokio::test]
async fn a_thousand_at_once_are_recorded_exactly() {
    let simulator =
        started(ResendConfig { latency: Latency::Uniform { min_ms: 0.0, max_ms: 5.0 }, ..ResendConfig::default() })
            .await;
    let client = client();
    let sends = (0..1_000).map(|n| {
        let request = post_email(&client, &simulator, &email(&format!("m{n}"), &format!("g{n}@example.com")));
        tokio::spawn(async move { answer(request).await })
    });
    let sends: Vec<_> = sends.collect();
    let mut ids = std::collections::HashSet::new();
    for (n, send) in sends.into_iter().enumerate() {
        let (status, body) = send.await.unwrap();
        assert_eq!(status, 200);
        let entries = simulator.record().by_message(&format!("m{n}"));
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].provider_id, body["id"]);
        ids.insert(entries[0].provider_id.clone());
    }
    assert_eq!((ids.len(), simulator.record().total()), (1_000, 1_000));
    assert_eq!(simulator.record().recipients().len(), 1_000);
    assert_eq!(simulator.record().duplicates(), []);
    assert_eq!(simulator.counts(Provider::Resend).succeeded, 1_000);
    simulator.stop().await;
}
