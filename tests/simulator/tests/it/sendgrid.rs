//! SendGrid: each refusal by its field, personalizations, keys, limits.

use crate::support::{answer, client, mail, post_mail, read, start};
use serde_json::{Value, json};
use usher_sim::{Config, Fault, FaultKind, Marker, Provider, SendGridConfig, Simulator};

async fn started(sendgrid: SendGridConfig) -> Simulator {
    Simulator::start(Config { sendgrid, ..Config::default() }).await.unwrap()
}

/// The right mail with one field replaced, by its JSON pointer; null takes a field of the top away.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = mail("m", "guest@example.com");
    let top = pointer.trim_start_matches('/');
    match value {
        Value::Null => drop(body.as_object_mut().unwrap().remove(top)),
        value if !top.contains('/') => body[top] = value,
        value => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    body
}

fn fields(refusal: &Value) -> Vec<&str> {
    refusal["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn an_accepted_mail_is_answered_with_a_header_and_recorded_for_each_recipient() {
    let simulator = start().await;
    let client = client();
    let mut body = mail("m-1", "a@example.com");
    body["personalizations"][0]["cc"] = json!([{ "email": "b@example.com", "name": "B" }]);
    body["personalizations"].as_array_mut().unwrap().push(json!({ "to": [{ "email": "a@example.com" }] }));
    body["custom_args"] = json!({ "usher_message": "m-2" });
    let response = post_mail(&client, &simulator, &body).send().await.unwrap();
    let id = response.headers()["x-message-id"].to_str().unwrap().to_owned();
    assert_eq!(read(response).await, (202, json!("")));
    let record = simulator.record().entries(0, 10);
    let reached: Vec<_> = record.iter().map(|one| (one.message.as_deref(), one.recipient.as_str())).collect();
    let expected = [(Some("m-1"), "a@example.com"), (Some("m-1"), "b@example.com"), (Some("m-2"), "a@example.com")];
    assert_eq!(reached, expected);
    assert!(record.iter().all(|one| one.provider_id == id), "one id for the whole request");

    body["mail_settings"] = json!({ "sandbox_mode": { "enable": true } });
    let sandbox = post_mail(&client, &simulator, &body).send().await.unwrap();
    assert_eq!((sandbox.status().as_u16(), sandbox.headers().get("x-message-id")), (200, None));
    assert_eq!(simulator.record().total(), 3);
    simulator.stop().await;
}

#[tokio::test]
async fn each_wrong_field_is_named_and_nothing_is_recorded() {
    let simulator = start().await;
    let client = client();
    let guests =
        |n: usize| (0..n).map(|i| json!({ "to": [{ "email": format!("g{i}@example.com") }] })).collect::<Vec<_>>();
    let to = |list: Value| json!([{ "to": list }]);
    let soon = jiff::Timestamp::now().as_second() + 73 * 3_600;
    let long = "x".repeat(10_000);
    let file = |content: &str, name: &str| json!([{ "content": content, "filename": name }]);
    let cases = [
        (with("/personalizations", Value::Null), "personalizations"),
        (with("/personalizations", json!([])), "personalizations"),
        (with("/personalizations", json!(guests(1_001))), "personalizations"),
        (with("/personalizations", json!([{}])), "personalizations.0.to"),
        (with("/personalizations", to(json!([]))), "personalizations.0.to"),
        (with("/personalizations", to(json!([{ "email": "nobody" }]))), "personalizations.0.to.0.email"),
        (with("/personalizations", to(json!([{ "name": "A" }]))), "personalizations.0.to.0.email"),
        (with("/personalizations", to(json!([{ "email": "g@invalid.example" }]))), "personalizations.0.to.0.email"),
        (with("/personalizations", to(json!([{ "email": 1 }]))), "personalizations.0.to.0.email"),
        (with("/personalizations/0/cc", json!([{ "email": "guest@example.com" }])), "personalizations"),
        (with("/personalizations/0/subject", json!("")), "personalizations.0.subject"),
        (with("/personalizations/0/custom_args", json!({ "a": 1 })), "personalizations.0.custom_args.a"),
        (with("/personalizations/0/custom_args", json!({ "a": long })), "personalizations.0.custom_args"),
        (with("/personalizations/0/headers", json!({ "Bcc": "x" })), "personalizations.0.headers"),
        (with("/personalizations/0/send_at", json!(soon)), "personalizations.0.send_at"),
        (with("/from", Value::Null), "from.email"),
        (with("/from", json!({ "email": "böse@example.com" })), "from.email"),
        (with("/from", json!("wedding@example.com")), "from"),
        (with("/reply_to", json!({ "email": "x" })), "reply_to.email"),
        (with("/reply_to_list", json!([{ "email": "x" }])), "reply_to_list.0.email"),
        (with("/subject", Value::Null), "subject"),
        (with("/subject", json!("")), "subject"),
        (with("/content", Value::Null), "content"),
        (with("/content", json!([{ "type": "text/plain", "value": "" }])), "content.0.value"),
        (
            with("/content", json!([{ "type": "text/html", "value": "b" }, { "type": "text/plain", "value": "a" }])),
            "content",
        ),
        (with("/attachments", file("%%%", "a.txt")), "attachments.0.content"),
        (with("/attachments", file("YQ==", "")), "attachments.0.filename"),
        (with("/template_id", json!("my-template")), "template_id"),
        (with("/categories", json!(["a", "a"])), "categories"),
        (with("/categories", json!(["x".repeat(256)])), "categories"),
        (with("/headers", json!({ "X-SG-ID": "1" })), "headers"),
        (with("/send_at", json!(soon)), "send_at"),
        (with("/asm", json!({ "groups_to_display": [1] })), "asm.group_id"),
        (with("/ip_pool_name", json!("x")), "ip_pool_name"),
    ];
    for (body, field) in cases {
        let (status, refusal) = answer(post_mail(&client, &simulator, &body)).await;
        assert_eq!((status, fields(&refusal).as_slice()), (400, [field].as_slice()), "{refusal}");
        assert!(refusal["errors"][0]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    // All that is wrong is named at once.
    let mut twice = with("/subject", Value::Null);
    twice["personalizations"][0]["to"][0]["email"] = json!("nobody");
    let refusal = answer(post_mail(&client, &simulator, &twice)).await.1;
    assert_eq!(fields(&refusal), ["personalizations.0.to.0.email", "subject"]);
    assert_eq!(simulator.record().total(), 0);
    // What stands just inside the limits passes.
    let templated = json!({
        "personalizations": guests(1_000), "from": { "email": "wedding@example.com" },
        "template_id": format!("d-{}", "0".repeat(32)), "unheard_of": 1,
    });
    for body in [templated, with("/send_at", json!(soon - 2 * 3_600)), with("/subject", json!("x"))] {
        assert_eq!(answer(post_mail(&client, &simulator, &body)).await.0, 202, "{body}");
    }
    assert_eq!(simulator.record().total(), 1_002);
    simulator.stop().await;
}

#[tokio::test]
async fn keys_paths_methods_and_senders_are_judged() {
    let sendgrid = SendGridConfig {
        verified_senders: vec!["example.com".into(), "ann@elsewhere.example".into()],
        recipients: vec![Marker { contains: "teapot".into(), answer: "413".into() }],
        ..SendGridConfig::default()
    };
    let simulator = started(sendgrid).await;
    let (client, url) = (client(), simulator.sendgrid_url());
    let body = mail("m", "guest@example.com");
    let send = || client.post(format!("{url}/v3/mail/send")).json(&body);
    let scopes = |key: &str| client.get(format!("{url}/v3/scopes")).bearer_auth(key);
    let plain = client.post(format!("{url}/v3/mail/send")).bearer_auth("SG.simulator");
    let cases = [
        (send(), 401, "authorization required"),
        (send().bearer_auth("SG.wrong"), 401, "The provided authorization grant is invalid, expired, or revoked"),
        (send().bearer_auth("SG.reading"), 403, "access forbidden"),
        (send().bearer_auth("SG.exhausted"), 401, "Maximum credits exceeded"),
        (scopes("SG.wrong"), 401, "The provided authorization grant is invalid, expired, or revoked"),
        (client.get(format!("{url}/v3/mail/send")).bearer_auth("SG.simulator"), 405, "method not allowed"),
        (client.get(format!("{url}/v3/nothing")).bearer_auth("SG.simulator"), 404, "not found"),
        (plain.try_clone().unwrap().body("x"), 415, "Content-Type should be application/json."),
        (plain.header("content-type", "application/json").body("{"), 400, "Bad Request"),
        (post_mail(&client, &simulator, &mail("m", "teapot@example.com")), 413, "content too large"),
    ];
    for (request, status, message) in cases {
        let (got, refusal) = answer(request).await;
        assert_eq!((got, refusal["errors"][0]["message"].as_str()), (status, Some(message)), "{refusal}");
    }
    for (from, status) in [("x@elsewhere.example", 403), ("ann@elsewhere.example", 202), ("x@EXAMPLE.com", 202)] {
        let body = with("/from", json!({ "email": from }));
        let (got, refusal) = answer(post_mail(&client, &simulator, &body)).await;
        assert_eq!(got, status, "{from}");
        if status == 403 {
            assert_eq!(fields(&refusal), ["from"]);
        }
    }
    let can_send = async |key: &str| {
        let (status, body) = answer(scopes(key)).await;
        assert_eq!(status, 200);
        body["scopes"].as_array().unwrap().contains(&json!("mail.send"))
    };
    assert!(can_send("SG.simulator").await && !can_send("SG.reading").await);
    simulator.stop().await;
}

#[tokio::test]
async fn a_limit_tells_when_to_come_back_and_faults_have_its_shape() {
    let simulator = started(SendGridConfig { requests_per_second: Some(2), ..SendGridConfig::default() }).await;
    let client = client();
    let body = mail("m", "guest@example.com");
    let mut granted = 0;
    let refused = loop {
        let response = post_mail(&client, &simulator, &body).send().await.unwrap();
        assert_eq!(response.headers()["x-ratelimit-limit"], "2");
        if response.status() == 429 {
            break response;
        }
        granted += 1;
        assert!(granted < 10_000, "the limit was never met");
    };
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    let reset: i64 = refused.headers()["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
    // The moment lies ahead, or came while this test was waiting for its turn.
    assert!(reset > 1_700_000_000 && reset <= jiff::Timestamp::now().as_second() + 2);
    assert_eq!(read(refused).await.1["errors"][0]["message"], "too many requests");
    assert_eq!(simulator.record().total(), granted);
    simulator.stop().await;

    let simulator = start().await;
    let fault =
        |status, code: Option<&str>| FaultKind::Status { status, accepted: false, code: code.map(str::to_owned) };
    for (fault, status, message) in [
        (fault(503, None), 503, "internal server error"),
        (fault(401, Some("Maximum credits exceeded")), 401, "Maximum credits exceeded"),
        (FaultKind::AuthFailure, 401, "The provided authorization grant is invalid, expired, or revoked"),
        (FaultKind::Throttle { retry_after: Some(30) }, 429, "too many requests"),
    ] {
        simulator.fault(Provider::SendGrid, Fault::from(fault).times(1)).await.unwrap();
        let (got, refusal) = answer(post_mail(&client, &simulator, &body)).await;
        assert_eq!((got, refusal["errors"][0]["message"].as_str()), (status, Some(message)));
    }
    assert_eq!(simulator.record().total(), 0);
    let counts = simulator.counts(Provider::SendGrid);
    assert_eq!((counts.requests, counts.refused, counts.throttled, counts.failed), (4, 2, 1, 1));
    simulator.stop().await;
}
