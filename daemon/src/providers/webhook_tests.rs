//! The adapter for a webhook of one's own against the contract in `docs/providers/webhook.md`, word by word.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use usher_common::model::Timestamp;

use super::*;
use crate::providers::fake::{Act, Fake};
use crate::providers::settings::WebhookConfig;
use crate::providers::table::message;

const PAGE: &str = include_str!("../../../docs/providers/webhook.md");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config(url: &str) -> ProviderConfig {
    let mut config = ProviderConfig::named("gateway-1", ProviderKind::Webhook);
    config.webhook = Some(WebhookConfig::at(&format!("{url}/send/"), Channel::Sms, SECRET.into()));
    config.request_timeout_ms = 300;
    config
}

fn with(config: &ProviderConfig) -> Webhook {
    Webhook::with_clock(config, Clock::manual(Timestamp(1_795_341_600_999))).unwrap()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: HeaderMap::new(), body: Bytes::from(body.to_owned()) }
}

/// The rows of the page's table whose header begins with `first`.
fn page_rows(first: &str) -> Vec<Vec<String>> {
    let header = format!("| {first} |");
    let rows = PAGE.lines().skip_while(|line| !line.starts_with(&header)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> =
        rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "the page has no table that begins with {first}");
    rows
}

#[test]
fn every_status_means_what_the_page_says() {
    for row in page_rows("status") {
        let [statuses, class, ..] = row.as_slice() else { panic!("{row:?}") };
        let (class, scope) = class.trim_matches('`').split_once("`, `").unwrap_or((class.trim_matches('`'), ""));
        for status in statuses.split(", ") {
            let (first, last) = status.split_once('–').unwrap_or((status, status));
            for status in first.parse::<u16>().unwrap()..=last.parse().unwrap() {
                let answer = classify(&reply(status, "<html>"));
                assert_eq!(answer.class.as_str(), class, "{status}");
                assert_eq!(answer.scope.map_or("", Scope::as_str), scope, "{status}");
            }
        }
    }
}

#[test]
fn the_example_on_the_page_is_what_is_sent() {
    let example = PAGE.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let request = with(&config("http://127.0.0.1:1")).prepare(&[message("+14155550123")], "k").unwrap();
    let mut sent: Value = serde_json::from_slice(&request.bytes).unwrap();
    // The links of a real letter are long; the page has a short one.
    sent["headers"][0]["value"] = "<https://u.example/o/t>".into();
    assert_eq!(serde_json::from_str::<Value>(example).unwrap(), sent);
}

#[test]
fn the_signature_on_the_page_is_right() {
    let quoted = |label: &str| {
        let line = PAGE.lines().find_map(|line| line.strip_prefix(&format!("- {label}: `"))).unwrap();
        line.trim_end_matches('`').to_owned()
    };
    let seconds = quoted("timestamp").parse().unwrap();
    assert_eq!(sign(quoted("secret").as_bytes(), seconds, quoted("body").as_bytes()), quoted("signature"));
}

#[test]
fn a_gateway_that_names_a_class_is_believed() {
    let named = |status, body: Value| classify(&reply(status, &body.to_string()));
    for class in ["recipient", "refused", "throttled", "not_sent", "unknown", "unusable"] {
        for status in [200, 400, 503] {
            assert_eq!(named(status, json!({"class": class})).class.as_str(), class, "{status}");
        }
    }
    let said = named(503, json!({"class": "unusable", "scope": "sender", "code": "E42", "detail": "no\nsender"}));
    assert_eq!((said.scope, said.code.as_str(), said.detail.as_str()), (Some(Scope::Sender), "E42", "no sender"));
    assert_eq!(named(200, json!({"id": "g-1"})).provider_id, "g-1");
    // A bad status with a good word is a proxy that does not know what it is talking about.
    assert_eq!(named(502, json!({"class": "accepted", "id": "g-1"})).class, OutcomeClass::Unknown);
    // What is not understood is as good as not said.
    assert_eq!(named(503, json!({"class": "hopeless"})).class, OutcomeClass::Unknown);
}

#[test]
fn a_code_can_hold_no_address() {
    for code in ["zoe@guest.example", "+14155550123", "two words", ""] {
        assert_eq!(classify(&reply(400, &json!({"code": code}).to_string())).code, "400", "{code}");
    }
}

#[test]
fn a_wait_is_taken_over_when_throttled_and_never_else() {
    let mut throttled = reply(429, "");
    throttled.headers.insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("7"));
    assert_eq!(classify(&throttled).retry_after, Some(Duration::from_secs(7)));
    throttled.status = 503;
    assert_eq!(classify(&throttled).retry_after, None);
}

#[tokio::test]
async fn a_request_is_signed_and_carries_its_key() {
    let fake = Fake::start(Act::Answer(202, "", r#"{"id":"g-7"}"#.to_owned())).await;
    let gateway = with(&ProviderConfig { secret: Some("bearer-7".into()), ..config(&fake.url) });
    let request = gateway.prepare(&[message("+14155550123")], "key-1").unwrap();
    assert_eq!(request, with(&config(&fake.url)).prepare(&[message("+14155550123")], "key-1").unwrap());
    assert_eq!(gateway.send(&request).await[0].provider_id, "g-7");
    let seen = fake.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let signature = sign(SECRET.as_bytes(), 1_795_341_600, body.as_bytes());
    let lines = [
        "POST /send/ HTTP/1.1",
        "idempotency-key: key-1",
        "authorization: Bearer bearer-7",
        "usher-timestamp: 1795341600",
        &format!("usher-signature: {signature}"),
    ];
    for line in lines {
        assert!(head.lines().any(|found| found.eq_ignore_ascii_case(line)), "{line} in {head}");
    }
}

#[test]
fn keys_are_kept_only_where_the_configuration_says_so() {
    let mut config = config("http://127.0.0.1:1");
    assert_eq!(with(&config).traits().keeps_keys, None);
    config.webhook.as_mut().unwrap().keeps_keys_hours = 24;
    assert_eq!(with(&config).traits().keeps_keys, Some(Duration::from_hours(24)));
    assert!(matches!(with(&config).prepare(&[message("x")], "k\r\nx: y"), Err(PrepareError::Key { .. })));
    assert_eq!(with(&config).prepare(&[message("")], "k").unwrap_err().class(), OutcomeClass::Recipient);
}

#[tokio::test]
async fn a_probe_is_signed_too_and_sends_nothing() {
    for row in page_rows("answer to a probe") {
        let [statuses, meaning, ..] = row.as_slice() else { panic!("{row:?}") };
        for status in statuses.split(", ") {
            let (first, _) = status.split_once('–').unwrap_or((status, status));
            let fake = Fake::start(Act::Answer(first.parse().unwrap(), "", String::new())).await;
            let found = with(&config(&fake.url)).probe().await;
            let word = match found {
                Probe::Up(_) => "up",
                Probe::Unclear(_) => "there, and no more is known",
                Probe::Unusable(_) => "unusable",
                Probe::Down(_) => "down",
            };
            assert_eq!(word, meaning, "{status}");
            let seen = fake.seen().remove(0);
            let signature = sign(SECRET.as_bytes(), 1_795_341_600, b"");
            assert!(seen.starts_with("GET /send/ ") && seen.contains(&signature), "{seen}");
        }
    }
    assert!(!with(&config(&crate::providers::fake::nobody().await)).probe().await.passed());
}
