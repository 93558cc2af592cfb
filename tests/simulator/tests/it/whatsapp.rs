//! WhatsApp: codes, templates, windows, and throttling that is called a bad request.

use crate::support::{answer, chat, client, post_chat, read, start};
use serde_json::{Value, json};
use usher_sim::{Config, Fault, FaultKind, Marker, Provider, Simulator, Template, TemplateStatus, WhatsAppConfig};

const GUEST: &str = "+447911123456";
const NUMBER: &str = "100000000000001";

async fn started(whatsapp: WhatsAppConfig) -> Simulator {
    Simulator::start(Config { whatsapp, ..Config::default() }).await.unwrap()
}

fn text(body: &str) -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": GUEST, "type": "text",
        "text": { "preview_url": false, "body": body },
    })
}

/// The right template message with one field replaced, by its JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = chat("m", GUEST);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match value {
        Value::Null => drop(parent.as_object_mut().unwrap().remove(name)),
        value => parent[name] = value,
    }
    body
}

fn template(name: &str, status: TemplateStatus) -> Template {
    Template { name: name.into(), language: "en_US".into(), header: 0, body: 1, status }
}

#[tokio::test]
async fn an_accepted_template_is_answered_with_its_wamid_and_recorded() {
    let simulator = start().await;
    let (status, said) = answer(post_chat(&client(), &simulator, &chat("m-1", "44 7911 123456"))).await;
    let record = simulator.record().by_message("m-1");
    assert_eq!((status, record.len()), (200, 1));
    assert_eq!(record[0].recipient, GUEST);
    assert!(record[0].provider_id.starts_with("wamid."));
    let expected = json!({
        "messaging_product": "whatsapp",
        "contacts": [{ "input": "44 7911 123456", "wa_id": "447911123456" }],
        "messages": [{ "id": record[0].provider_id, "message_status": "accepted" }],
    });
    assert_eq!(said, expected);
    simulator.stop().await;
}

#[tokio::test]
async fn free_text_reaches_only_those_whose_window_is_open() {
    let simulator = start().await;
    let client = client();
    let (status, refusal) = answer(post_chat(&client, &simulator, &text("Hello"))).await;
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!(131_047)), "{refusal}");
    assert_eq!(simulator.record().total(), 0);
    simulator.stop().await;

    let simulator = started(WhatsAppConfig { open_windows: vec![GUEST.into()], ..WhatsAppConfig::default() }).await;
    let (status, said) = answer(post_chat(&client, &simulator, &text(&"x".repeat(4_096)))).await;
    assert_eq!((status, said["messages"][0].get("message_status")), (200, None), "{said}");
    for (body, code) in [
        (text(""), 100),
        (text(&"x".repeat(4_097)), 100),
        (json!({ "messaging_product": "whatsapp", "to": GUEST, "type": "image", "image": { "id": "1" } }), 131_051),
        (
            json!({ "messaging_product": "whatsapp", "to": "+15550001111", "type": "text", "text": { "body": "x" } }),
            131_021,
        ),
        (
            json!({ "messaging_product": "whatsapp", "to": "+447900000000", "type": "text", "text": { "body": "x" } }),
            131_047,
        ),
    ] {
        let (_, refusal) = answer(post_chat(&client, &simulator, &body)).await;
        assert_eq!(refusal["error"]["code"], code, "{body} -> {refusal}");
    }
    assert_eq!(simulator.record().total(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn templates_must_exist_in_their_language_with_their_parameters() {
    let templates = vec![
        template("invitation", TemplateStatus::Approved),
        template("new", TemplateStatus::Held),
        template("paused", TemplateStatus::Paused),
        template("disabled", TemplateStatus::Disabled),
    ];
    let simulator = started(WhatsAppConfig { templates, ..WhatsAppConfig::default() }).await;
    let client = client();
    let parameters = "/template/components/0/parameters";
    let (_, held) = answer(post_chat(&client, &simulator, &with("/template/name", json!("new")))).await;
    assert_eq!(held["messages"][0]["message_status"], "held_for_quality_assessment");
    let two = json!([{ "type": "text", "text": "Ann" }, { "type": "text", "text": "Bob" }]);
    let cases = [
        (with("/template/name", json!("unknown")), 404, 132_001),
        (with("/template/language/code", json!("de")), 404, 132_001),
        (with("/template/name", json!("paused")), 400, 132_015),
        (with("/template/name", json!("disabled")), 400, 132_016),
        (with("/template/components", Value::Null), 400, 132_000),
        (with(parameters, json!([])), 400, 132_000),
        (with(parameters, two), 400, 132_000),
        (with("/template/components/0/type", json!("header")), 400, 132_000),
        (with("/template/components/0/type", json!("tail")), 400, 100),
        (with(parameters, json!([{ "type": "text" }])), 400, 100),
        (with(parameters, json!([{ "type": "text", "text": "two\nlines" }])), 400, 100),
        (with("/template/name", Value::Null), 400, 100),
        (with("/template/language", Value::Null), 400, 100),
        (with("/template/language/policy", json!("fallback")), 400, 100),
        (with("/template", Value::Null), 400, 100),
        (with("/messaging_product", Value::Null), 400, 100),
        (with("/messaging_product", json!("telegram")), 400, 100),
        (with("/recipient_type", json!("crowd")), 400, 100),
        (with("/type", json!("telegram")), 400, 100),
        (with("/to", Value::Null), 400, 100),
        (with("/to", json!("nobody")), 400, 131_009),
        (with("/biz_opaque_callback_data", json!("x".repeat(513))), 400, 100),
    ];
    for (body, status, code) in cases {
        let (got, refusal) = answer(post_chat(&client, &simulator, &body)).await;
        assert_eq!((got, &refusal["error"]["code"]), (status, &json!(code)), "{body} -> {refusal}");
        assert!(refusal["error"]["fbtrace_id"].as_str().is_some_and(|trace| trace.len() == 23));
    }
    let details = answer(post_chat(&client, &simulator, &with(parameters, json!([])))).await.1;
    let wanted = "body: number of localizable_params (0) does not match the expected number of params (1)";
    assert_eq!(details["error"]["error_data"], json!({ "messaging_product": "whatsapp", "details": wanted }));
    assert_eq!(simulator.record().total(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn tokens_numbers_and_paths_are_judged() {
    let recipients = vec![Marker { contains: "+4479000".into(), answer: "131026".into() }];
    let simulator = started(WhatsAppConfig { recipients, ..WhatsAppConfig::default() }).await;
    let (client, url) = (client(), simulator.whatsapp_url());
    let send = |id: &str| client.post(format!("{url}/v23.0/{id}/messages")).json(&chat("m", GUEST));
    let get = |path: &str| client.get(format!("{url}{path}"));
    let typed = client.post(format!("{url}/v23.0/{NUMBER}/messages")).bearer_auth("EAAsimulator");
    let typed = typed.header("content-type", "text/plain").body(chat("m", GUEST).to_string());
    let cases = [
        (send(NUMBER), 401, 0, Value::Null),
        (send(NUMBER).bearer_auth("EAAwrong"), 401, 190, Value::Null),
        (send(NUMBER).bearer_auth("EAAexpired"), 401, 190, json!(463)),
        (send(NUMBER).bearer_auth("EAAunpermitted"), 403, 10, Value::Null),
        (send("999").bearer_auth("EAAsimulator"), 400, 33, Value::Null),
        (get("/latest/100000000000001").bearer_auth("EAAsimulator"), 400, 33, Value::Null),
        (get(&format!("/v23.0/{NUMBER}/messages")).bearer_auth("EAAsimulator"), 400, 33, Value::Null),
        (send(NUMBER).bearer_auth("EAAsimulator").body("{"), 400, 100, Value::Null),
        (typed, 400, 100, Value::Null),
        (post_chat(&client, &simulator, &chat("m", "+447900012345")), 400, 131_026, Value::Null),
    ];
    for (request, status, code, subcode) in cases {
        let (got, refusal) = answer(request).await;
        let error = &refusal["error"];
        assert_eq!((got, &error["code"], &error["error_subcode"]), (status, &json!(code), &subcode), "{refusal}");
    }
    assert_eq!(simulator.record().total(), 0);
    let number = format!("/v23.0/{NUMBER}");
    let (_, shown) = answer(get(&number).bearer_auth("EAAsimulator")).await;
    let usual = json!({
        "id": NUMBER, "display_phone_number": "+1 555-000-1111", "verified_name": "Simulator", "quality_rating": "GREEN",
    });
    assert_eq!(shown, usual);
    let asked = answer(get(&format!("{number}?fields=status,name_status&access_token=EAAsimulator"))).await.1;
    assert_eq!(asked, json!({ "id": NUMBER, "status": "CONNECTED", "name_status": "APPROVED" }));
    let (status, refusal) = answer(get(&format!("{number}?fields=shoe_size")).bearer_auth("EAAsimulator")).await;
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!(100)));
    simulator.stop().await;
}

#[tokio::test]
async fn throttling_is_a_bad_request_with_a_code_and_counted_as_what_it_is() {
    let simulator = started(WhatsAppConfig { messages_per_second: Some(2), ..WhatsAppConfig::default() }).await;
    let client = client();
    let body = chat("m", GUEST);
    let mut granted = 0;
    let refused = loop {
        let response = post_chat(&client, &simulator, &body).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        granted += 1;
        assert!(granted < 10_000, "the limit was never met");
    };
    assert_eq!(refused.headers().get("retry-after"), None);
    let (status, refusal) = read(refused).await;
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!(130_429)));
    assert_eq!(simulator.record().total(), granted);
    simulator.stop().await;

    let simulator = start().await;
    let fault =
        |status, code: Option<&str>| FaultKind::Status { status, accepted: false, code: code.map(str::to_owned) };
    for (fault, status, code) in [
        (FaultKind::Throttle { retry_after: None }, 400, 130_429),
        (fault(400, Some("131056")), 400, 131_056),
        (fault(503, None), 503, 2),
        (fault(500, None), 500, 131_000),
        (FaultKind::AuthFailure, 401, 190),
    ] {
        simulator.fault(Provider::WhatsApp, Fault::from(fault).times(1)).await.unwrap();
        let (got, refusal) = answer(post_chat(&client, &simulator, &body)).await;
        assert_eq!((got, &refusal["error"]["code"]), (status, &json!(code)), "{refusal}");
    }
    let counts = simulator.counts(Provider::WhatsApp);
    assert_eq!((counts.throttled, counts.failed, counts.refused, counts.accepted), (2, 2, 1, 0));
    simulator.stop().await;
}
