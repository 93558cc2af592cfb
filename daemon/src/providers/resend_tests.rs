//! The adapter for Resend against its table of answers, and against a server that misbehaves.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use usher_common::model::MessageId;

use super::*;
use crate::providers::fake::{Act, Fake, answer_to, nobody};
use crate::providers::table::{message, rows};

const GUEST: &str = "zoe@guest.example";

fn config() -> ProviderConfig {
    let mut config = ProviderConfig::named("resend-1", ProviderKind::Resend);
    config.secret = Some("re_secret".into());
    config.request_timeout_ms = 300;
    config
}

fn at(url: &str) -> Resend {
    Resend::new(&ProviderConfig { base_url: Some(url.to_owned()), ..config() }).unwrap()
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Reply { status, headers: map, body: body.into() }
}

fn fault(status: u16, name: &str, message: &str) -> Reply {
    reply(status, &[], json!({"statusCode": status, "name": name, "message": message}).to_string())
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    for row in rows("resend") {
        match row.http.as_str() {
            "timeout after request sent" => {
                row.expect(&answer_to(Act::Hang, config(), |c| Resend::new(c).unwrap(), GUEST).await);
            }
            _ if row.code.starts_with("error code: 1010") => {
                row.expect(&classify(&reply(row.statuses()[0], &[], "error code: 1010"), 1)[0]);
            }
            _ => {
                for (status, name) in
                    row.statuses().into_iter().flat_map(|s| row.code.split(" | ").map(move |c| (s, c)))
                {
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "row not covered: {row:?}");
                    let answer = classify(&fault(status, name, "We found an error."), 1).remove(0);
                    assert_eq!(answer.code, name);
                    row.expect(&answer);
                }
            }
        }
    }
}

#[test]
fn a_bad_recipient_is_only_blamed_when_it_is_alone() {
    let invalid = fault(422, "validation_error", "Invalid `to` field. The email address needs to follow …");
    assert_eq!(classify(&invalid, 1)[0].class, OutcomeClass::Recipient);
    let batch = classify(&invalid, 3);
    assert!(batch.len() == 3 && batch.iter().all(|answer| answer.class == OutcomeClass::Refused));
}

#[test]
fn a_good_status_without_every_id_is_doubt() {
    let good = reply(200, &[], r#"{"data":[{"id":"a"},{"id":"b"}]}"#);
    let ids: Vec<_> = classify(&good, 2).into_iter().map(|answer| (answer.class, answer.provider_id)).collect();
    assert_eq!(ids, [(OutcomeClass::Accepted, "a".to_owned()), (OutcomeClass::Accepted, "b".to_owned())]);
    for (body, messages) in [(r#"{"data":[{"id":"a"}]}"#, 2), ("", 1), (r#"{"id":""}"#, 1), (r#"{"id":7}"#, 1)] {
        let answers = classify(&reply(200, &[], body), messages);
        assert!(answers.len() == messages && answers.iter().all(|a| a.class == OutcomeClass::Unknown), "{body}");
    }
}

#[test]
fn the_wait_is_what_the_provider_says() {
    let body = json!({"name": "rate_limit_exceeded", "message": "slow"}).to_string();
    let wait = |headers: &[(&'static str, &str)]| classify(&reply(429, headers, body.clone()), 1)[0].retry_after;
    assert_eq!(wait(&[("retry-after", "3"), ("ratelimit-reset", "9")]), Some(Duration::from_secs(3)));
    assert_eq!(wait(&[("ratelimit-reset", "9")]), Some(Duration::from_secs(9)));
    assert_eq!(wait(&[("retry-after", "soon")]), None);
    assert_eq!(classify(&fault(429, "daily_quota_exceeded", ""), 1)[0].retry_after, Some(QUOTA_WAIT));
    assert_eq!(classify(&fault(403, "invalid_api_key", ""), 1)[0].retry_after, None);
}

#[test]
fn words_that_nobody_knows_yet_prove_no_more_than_their_status() {
    for (status, class) in [
        (302, OutcomeClass::Unusable),
        (402, OutcomeClass::Unusable),
        (418, OutcomeClass::Refused),
        (408, OutcomeClass::Unknown),
        (429, OutcomeClass::Throttled),
        (503, OutcomeClass::Unknown),
    ] {
        assert_eq!(classify(&reply(status, &[], "<html>"), 1)[0].class, class, "bare {status}");
        assert_eq!(classify(&fault(status, "brand_new", ""), 1)[0].class, class, "named {status}");
    }
}

#[tokio::test]
async fn a_request_carries_key_tag_and_names_and_is_the_same_every_time() {
    let fake = Fake::start(Act::Answer(200, "", r#"{"id":"r-1"}"#.to_owned())).await;
    let resend = at(&fake.url);
    let request = resend.prepare(&[message(GUEST)], "key-1").unwrap();
    assert_eq!(request, at(&fake.url).prepare(&[message(GUEST)], "key-1").unwrap());
    let answer = resend.send(&request).await.remove(0);
    assert_eq!((answer.class, answer.provider_id.as_str()), (OutcomeClass::Accepted, "r-1"));

    let seen = fake.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for line in
        ["post /emails http/1.1", "idempotency-key: key-1", "user-agent: usherd/", "authorization: bearer re_secret"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["tags"], json!([{"name": "usher_message", "value": "m4711"}]));
    assert_eq!(body["from"], "Anna & Ben <anna@wedding.example>");
    assert_eq!(body["to"], r#""Zoë, \"the\" Guest" <zoe@guest.example>"#);
    assert_eq!(body["headers"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
}

#[tokio::test]
async fn a_batch_is_one_strict_request_with_an_answer_each() {
    let fake = Fake::start(Act::Answer(200, "", r#"{"data":[{"id":"a"},{"id":"b"}]}"#.to_owned())).await;
    let resend = at(&fake.url);
    let mut second = message("ben@guest.example");
    second.message = MessageId(4712);
    let request = resend.prepare(&[message(GUEST), second], "key-2").unwrap();
    let ids: Vec<_> = resend.send(&request).await.into_iter().map(|answer| answer.provider_id).collect();
    assert_eq!(ids, ["a", "b"]);
    let seen = fake.seen().remove(0);
    assert!(seen.starts_with("POST /emails/batch ") && seen.contains("x-batch-validation: strict"), "{seen}");
    assert!(seen.find("m4711").unwrap() < seen.find("m4712").unwrap());
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let resend = at("http://127.0.0.1:1");
    let count = resend.prepare(&vec![message(GUEST); 101], "k").unwrap_err();
    assert!(matches!(count, PrepareError::Count { max: 100, got: 101, .. }));
    assert!(matches!(resend.prepare(&[], "k"), Err(PrepareError::Count { .. })));
    assert!(matches!(resend.prepare(&[message(GUEST)], &"k".repeat(257)), Err(PrepareError::Key { .. })));
    assert!(matches!(resend.prepare(&[message(GUEST)], "k\r\nx: y"), Err(PrepareError::Key { .. })));
    let nowhere = resend.prepare(&[message("nobody")], "k").unwrap_err();
    assert_eq!(nowhere.class(), OutcomeClass::Recipient);
    let mut smuggled = message(GUEST);
    smuggled.headers = vec![("X-A".to_owned(), "1\r\nBcc: all@guest.example".to_owned())];
    assert!(matches!(resend.prepare(&[smuggled], "k"), Err(PrepareError::Content { .. })));
}

#[tokio::test]
async fn only_what_never_left_is_not_sent() {
    let refused = at(&nobody().await);
    let request = refused.prepare(&[message(GUEST)], "k").unwrap();
    assert_eq!(refused.send(&request).await[0].class, OutcomeClass::NotSent);
    for act in [Act::Reset, Act::Close, Act::Half, Act::Hang] {
        let answer = answer_to(act.clone(), config(), |c| Resend::new(c).unwrap(), GUEST).await;
        assert_eq!(answer.class, OutcomeClass::Unknown, "{act:?}: {answer:?}");
    }
}

#[tokio::test]
async fn tls_that_fails_or_never_comes_is_not_sent() {
    for act in [Act::Answer(200, "", String::new()), Act::Deaf] {
        let fake = Fake::start(act.clone()).await;
        let url = Some(fake.url.replace("http:", "https:"));
        let resend = Resend::new(&ProviderConfig { base_url: url, connect_timeout_ms: 150, ..config() }).unwrap();
        let request = resend.prepare(&[message(GUEST)], "k").unwrap();
        let answer = resend.send(&request).await.remove(0);
        assert_eq!((answer.class, answer.code.as_str()), (OutcomeClass::NotSent, "connect"), "{act:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_costs_no_attempt() {
    let fake = Fake::start(Act::AnswerAndClose(r#"{"id":"r"}"#.to_owned())).await;
    let resend = at(&fake.url);
    let request = resend.prepare(&[message(GUEST)], "k").unwrap();
    for n in 1..=5 {
        let answer = resend.send(&request).await.remove(0);
        // A close that crosses the request is doubt, and never a second request.
        assert!(matches!(answer.class, OutcomeClass::Accepted | OutcomeClass::Unknown), "{answer:?}");
        assert!(fake.seen().len() <= n);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_probe_knows_a_sending_key_from_a_bad_one() {
    for (act, passed) in [
        (Act::Answer(200, "", r#"{"data":[]}"#.to_owned()), true),
        (Act::Answer(401, "", r#"{"name":"restricted_api_key"}"#.to_owned()), true),
        (Act::Answer(429, "", r#"{"name":"rate_limit_exceeded"}"#.to_owned()), true),
        (Act::Answer(403, "", r#"{"name":"invalid_api_key"}"#.to_owned()), false),
        (Act::Answer(500, "", String::new()), false),
        (Act::Hang, false),
    ] {
        let fake = Fake::start(act.clone()).await;
        assert_eq!(at(&fake.url).probe().await.passed(), passed, "{act:?}");
        assert!(fake.seen()[0].starts_with("GET /domains "));
    }
}
