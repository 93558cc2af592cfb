//! Slack: words, channels, webhooks, and the limit of each channel.

use crate::support::{answer, call_slack, client, note, read, start};
use serde_json::{Value, json};
use usher_sim::{Config, Fault, FaultError, FaultKind, Provider, Simulator, SlackConfig};

const HOOK: &str = "T00000001/B00000001/simulator";
const CHANNEL: &str = "C123ABC456";

async fn started(slack: SlackConfig) -> Simulator {
    Simulator::start(Config { slack, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn json_and_forms_post_alike_and_are_recorded_under_their_ts() {
    let simulator = start().await;
    let client = client();
    let (status, json_said) = answer(call_slack(&client, &simulator, "chat.postMessage", &note("m-1", CHANNEL))).await;
    assert_eq!((status, &json_said["ok"], &json_said["channel"]), (200, &json!(true), &json!(CHANNEL)));
    assert_eq!(json_said.get("warning"), None);
    // `text`, `channel` and `metadata`, percent-encoded, with the token among them.
    let form = "token=xoxb-simulator&channel=C123ABC456&text=Do+come%21&metadata=%7B%22event_type%22%3A%22usher%22%2C\
                %22event_payload%22%3A%7B%22usher_message%22%3A%22m-2%22%7D%7D";
    let url = format!("{}/api/chat.postMessage", simulator.slack_url());
    let request = client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let (_, form_said) = answer(request).await;
    assert_eq!(form_said["message"]["text"], json_said["message"]["text"], "{form_said}");
    let record = simulator.record().entries(0, 10);
    let told: Vec<_> = record.iter().map(|one| (one.message.as_deref(), json!(one.provider_id))).collect();
    assert_eq!(told, [(Some("m-1"), json_said["ts"].clone()), (Some("m-2"), form_said["ts"].clone())]);
    assert_ne!(told[0].1, told[1].1);
    // Without a charset JSON is taken, with a warning.
    let (_, said) = answer(client.post(&url).bearer_auth("xoxb-simulator").json(&note("m-3", CHANNEL))).await;
    assert_eq!((&said["ok"], &said["warning"]), (&json!(true), &json!("missing_charset")));
    // A person is written to in a conversation of their own, and a name is a channel.
    let (_, direct) = answer(call_slack(&client, &simulator, "chat.postMessage", &note("m-4", "U123ABC456"))).await;
    assert_eq!(direct["channel"], "D123ABC456");
    let (_, named) = answer(call_slack(&client, &simulator, "chat.postMessage", &note("m-5", "#the-wedding"))).await;
    assert!(named["channel"].as_str().unwrap().starts_with('C'), "{named}");
    simulator.stop().await;
}

#[tokio::test]
async fn every_refusal_is_a_word_in_a_success_and_records_nothing() {
    let simulator = started(SlackConfig {
        channels: vec![CHANNEL.into(), "CARCHIVED1".into(), "COUTSIDE01".into(), "CREADONLY1".into()],
        ..SlackConfig::default()
    })
    .await;
    let client = client();
    let with = |field: &str, value: Value| {
        let mut body = note("m", CHANNEL);
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
            value => body[field] = value,
        }
        body
    };
    let blocks = |n: usize| json!((0..n).map(|_| json!({ "type": "divider" })).collect::<Vec<_>>());
    let mut markdown = with("text", Value::Null);
    markdown["markdown_text"] = json!("x".repeat(12_001));
    let attachments = json!((0..101).map(|_| json!({ "text": "x" })).collect::<Vec<_>>());
    let payload = |id: &str| json!({ "event_type": "usher", "event_payload": { "usher_message": id } });
    let cases = [
        (with("channel", Value::Null), "invalid_arguments"),
        (with("channel", json!("nowhere!")), "channel_not_found"),
        (with("channel", json!("C999999999")), "channel_not_found"),
        (with("channel", json!("CARCHIVED1")), "is_archived"),
        (with("channel", json!("COUTSIDE01")), "not_in_channel"),
        (with("channel", json!("CREADONLY1")), "restricted_action_read_only_channel"),
        (with("text", Value::Null), "no_text"),
        (with("text", json!("")), "no_text"),
        (with("text", json!(7)), "invalid_arguments"),
        (with("markdown_text", json!("*x*")), "markdown_text_conflict"),
        (markdown, "msg_too_long"),
        (with("blocks", json!("[{")), "invalid_blocks_format"),
        (with("blocks", json!({})), "invalid_blocks_format"),
        (with("blocks", blocks(51)), "invalid_blocks"),
        (with("blocks", json!([{ "type": "fireworks" }])), "invalid_blocks"),
        (with("blocks", json!([{ "type": "section" }])), "invalid_blocks"),
        (with("attachments", attachments), "too_many_attachments"),
        (with("metadata", json!("x")), "invalid_metadata_format"),
        (with("metadata", json!({ "event_type": "usher" })), "invalid_metadata_schema"),
        (with("metadata", payload(&"x".repeat(8_000))), "metadata_too_large"),
    ];
    let mut asked = 0;
    for (body, word) in cases {
        let (status, said) = answer(call_slack(&client, &simulator, "chat.postMessage", &body)).await;
        assert_eq!((status, &said["ok"], said["error"].as_str()), (200, &json!(false), Some(word)), "{body}");
        asked += 1;
    }
    let url = |method: &str| format!("{}/api/{method}", simulator.slack_url());
    let post = |kind: &str, body: &'static str| {
        let request = client.post(url("chat.postMessage")).bearer_auth("xoxb-simulator");
        request.header("content-type", kind).body(body)
    };
    let test = |token: &str| client.post(url("auth.test")).bearer_auth(token);
    let unscoped = client.post(url("chat.postMessage")).bearer_auth("xoxb-unscoped").json(&note("m", CHANNEL));
    for (request, word) in [
        (post("application/json", "{"), "invalid_json"),
        (post("application/json", "[]"), "json_not_object"),
        (post("text/plain", "x"), "invalid_post_type"),
        (client.post(url("auth.test")), "not_authed"),
        (test("xoxb-wrong"), "invalid_auth"),
        (test("xoxb-revoked"), "token_revoked"),
        (test("xoxb-simulator"), "-"),
        (client.post(url("chat.explode")).bearer_auth("xoxb-simulator"), "unknown_method"),
        (unscoped, "missing_scope"),
    ] {
        let (status, said) = answer(request).await;
        assert_eq!((status, said["error"].as_str().unwrap_or("-")), (200, word), "{said}");
        asked += u64::from(word != "-");
    }
    assert_eq!(simulator.record().total(), 0);
    let counts = simulator.counts(Provider::Slack);
    assert_eq!((counts.refused, counts.succeeded), (asked, 1), "a 200 that refuses is counted as refused");
    let (_, who) = answer(test("xoxb-unscoped")).await;
    assert_eq!((&who["ok"], &who["team_id"]), (&json!(true), &json!("T00000001")));
    simulator.stop().await;
}

#[tokio::test]
async fn webhooks_answer_in_plain_words_with_a_status_that_tells() {
    let simulator = start().await;
    let client = client();
    let to = |path: &str, body: &Value| client.post(format!("{}/services/{path}", simulator.slack_url())).json(body);
    let text = json!({ "text": "Do come!" });
    let cases = [
        (to(HOOK, &text), 200, "ok"),
        (to(HOOK, &json!({})), 400, "no_text"),
        (to(HOOK, &json!([])), 400, "invalid_payload"),
        (to(HOOK, &json!({ "text": "x", "blocks": [{ "type": "x" }] })), 400, "invalid_blocks"),
        (to("T99999999/B00000001/simulator", &text), 404, "no_team"),
        (to("T00000001/B99999999/simulator", &text), 404, "no_service"),
        (to("T00000001/B00000001", &text), 404, "no_service"),
        (to("T00000001/B00000001/guessed", &text), 403, "invalid_token"),
    ];
    for (request, status, word) in cases {
        assert_eq!(answer(request).await, (status, json!(word)));
    }
    let form = client.post(format!("{}/services/{HOOK}", simulator.slack_url()));
    let form =
        form.header("content-type", "application/x-www-form-urlencoded").body("payload=%7B%22text%22%3A%22x%22%7D");
    assert_eq!(answer(form).await, (200, json!("ok")));
    assert_eq!(simulator.record().recipients(), ["C00000001"]);
    assert_eq!(simulator.record().total(), 2);
    // Faults at a webhook speak its language, too.
    simulator.fault(Provider::Slack, Fault::from(FaultKind::Throttle { retry_after: Some(9) }).times(1)).await.unwrap();
    let throttled = to(HOOK, &text).send().await.unwrap();
    assert_eq!((throttled.status().as_u16(), &throttled.headers()["retry-after"]), (429, &"9".parse().unwrap()));
    assert_eq!(read(throttled).await.1, "rate_limited");
    let rollup = FaultKind::Status { status: 500, accepted: false, code: Some("rollup_error".into()) };
    simulator.fault(Provider::Slack, Fault::from(rollup).times(1)).await.unwrap();
    assert_eq!(answer(to(HOOK, &text)).await, (500, json!("rollup_error")));
    simulator.stop().await;
}

#[tokio::test]
async fn each_channel_has_a_limit_of_its_own() {
    let simulator = started(SlackConfig { messages_per_second: Some(1), ..SlackConfig::default() }).await;
    let client = client();
    let post = |channel: &str| call_slack(&client, &simulator, "chat.postMessage", &note("m", channel)).send();
    let mut granted = 0;
    let refused = loop {
        let response = post(CHANNEL).await.unwrap();
        if response.status() == 429 {
            break response;
        }
        granted += 1;
        assert!(granted < 10_000, "the limit was never met");
    };
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(read(refused).await.1, json!({ "ok": false, "error": "ratelimited" }));
    assert_eq!(read(post("C000000002").await.unwrap()).await.0, 200, "the neighbour is not concerned");
    assert_eq!(simulator.record().total(), granted + 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_word_on_demand_comes_with_200_at_slack_alone() {
    let simulator = start().await;
    let fault = FaultKind::Status { status: 200, accepted: true, code: Some("fatal_error".into()) };
    let elsewhere = simulator.fault(Provider::Twilio, fault.clone()).await;
    assert!(matches!(elsewhere, Err(FaultError::Senseless { .. })), "{elsewhere:?}");
    simulator.fault(Provider::Slack, fault).await.unwrap();
    let client = client();
    let (status, said) = answer(call_slack(&client, &simulator, "chat.postMessage", &note("m", CHANNEL))).await;
    assert_eq!((status, said), (200, json!({ "ok": false, "error": "fatal_error" })));
    assert_eq!(simulator.record().total(), 1, "some aspect of it succeeded");
    assert_eq!(simulator.counts(Provider::Slack).failed, 1);
    simulator.stop().await;
}
