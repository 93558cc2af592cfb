//! The adapter for SendGrid against its table of answers, and against a server that misbehaves.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::*;
use crate::providers::fake::{Act, Fake, answer_to, nobody};
use crate::providers::table::{message, rows};

const GUEST: &str = "zoe@guest.example";

fn config() -> ProviderConfig {
    let mut config = ProviderConfig::named("sendgrid-1", ProviderKind::SendGrid);
    config.secret = Some("SG.secret".into());
    config.request_timeout_ms = 300;
    config
}

fn at(url: &str) -> SendGrid {
    SendGrid::new(&ProviderConfig { base_url: Some(url.to_owned()), ..config() }).unwrap()
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Reply { status, headers: map, body: body.into() }
}

fn fault(status: u16, message: &str, field: Option<&str>) -> Reply {
    reply(status, &[], json!({"errors": [{"message": message, "field": field, "help": null}]}).to_string())
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    for row in rows("sendgrid") {
        match (row.http.as_str(), row.code.as_str()) {
            ("timeout after request sent", _) => {
                for act in [Act::Hang, Act::Reset, Act::Close] {
                    row.expect(&answer_to(act, config(), |c| SendGrid::new(c).unwrap(), GUEST).await);
                }
            }
            ("connect error before request sent", _) => {
                let refused = at(&nobody().await);
                let request = refused.prepare(&[message(GUEST)], "k").unwrap();
                row.expect(&refused.send(&request).await[0]);
            }
            ("400", code) if code.starts_with("field ~ personalizations") => {
                for field in
                    ["personalizations.0.to.0.email", "personalizations.0.cc.1.email", "personalizations.3.bcc.email"]
                {
                    row.expect(&classify(&fault(400, "Does not contain a valid address.", Some(field))));
                }
            }
            ("400", "any other errors[].field") => {
                let about = |field| classify(&fault(400, "The subject is required.", field));
                for field in
                    [None, Some("null"), Some("subject"), Some("personalizations.0.to"), Some("content.0.value")]
                {
                    row.expect(&about(field));
                }
                // The right place with another complaint, and the right complaint in another place.
                row.expect(&classify(&fault(400, "Too long.", Some("personalizations.0.to.0.email"))));
                row.expect(&classify(&fault(400, "Does not contain a valid address.", Some("from.email"))));
            }
            (_, code) => {
                for status in row.http.split('|').map(|status| status.parse().unwrap()) {
                    for text in code.split(" / ").map(|text| text.trim_matches('\'').trim_end_matches("...")) {
                        row.expect(&classify(&fault(status, text, None)));
                    }
                    if !matches!(status, 403) {
                        row.expect(&classify(&reply(status, &[], "<html>")));
                    }
                }
            }
        }
    }
}

#[test]
fn only_202_with_an_id_is_a_yes() {
    let yes = classify(&reply(202, &[("x-message-id", "14c5d75ce93.dfd.64b469")], ""));
    assert_eq!((yes.class, yes.provider_id.as_str()), (OutcomeClass::Accepted, "14c5d75ce93.dfd.64b469"));
    // 200 is what the sandbox answers, which sends nothing.
    for (status, headers) in [(202, vec![]), (200, vec![("x-message-id", "x")]), (204, vec![])] {
        assert_eq!(classify(&reply(status, &headers, "")).class, OutcomeClass::Unknown, "{status}");
    }
}

#[test]
fn the_wait_is_counted_by_sendgrids_own_clock() {
    let wait = |headers: &[(&'static str, &str)]| classify(&reply(429, headers, "")).retry_after;
    // 1793000060 is Mon, 26 Oct 2026 07:34:20 GMT.
    let date = ("date", "Mon, 26 Oct 2026 07:33:20 GMT");
    assert_eq!(wait(&[("x-ratelimit-reset", "1793000060"), date]), Some(Duration::from_mins(1)));
    assert_eq!(wait(&[("x-ratelimit-reset", "1792999999"), date]), None, "a window that is over");
    assert_eq!(wait(&[("x-ratelimit-reset", "1793000060")]), None, "no clock to count by");
    assert_eq!(wait(&[date]), None);
}

#[tokio::test]
async fn a_request_names_our_message_and_is_the_same_every_time() {
    let fake = Fake::start(Act::Answer(202, "x-message-id: sg-1\r\n", String::new())).await;
    let sendgrid = at(&fake.url);
    let request = sendgrid.prepare(&[message(GUEST)], "k").unwrap();
    assert_eq!(request, at(&fake.url).prepare(&[message(GUEST)], "k").unwrap());
    assert_eq!(sendgrid.send(&request).await[0].provider_id, "sg-1");

    let seen = fake.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for line in ["post /v3/mail/send http/1.1", "authorization: bearer sg.secret", "accept: application/json"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    let to = &body["personalizations"][0];
    assert_eq!(to["to"], json!([{"email": GUEST, "name": "Zoë, \"the\" Guest"}]));
    assert_eq!(to["custom_args"], json!({"usher_message": "m4711"}));
    assert_eq!(to["headers"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    assert_eq!(body["from"], json!({"email": "anna@wedding.example", "name": "Anna & Ben"}));
    assert_eq!(body["reply_to"], json!({"email": "couple@wedding.example"}));
    let types: Vec<&Value> = body["content"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(types, ["text/plain", "text/html"], "SendGrid wants them in this order");
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let sendgrid = at("http://127.0.0.1:1");
    let class = |message: &Outgoing| sendgrid.prepare(std::slice::from_ref(message), "k").unwrap_err().class();
    assert_eq!(class(&message("nobody")), OutcomeClass::Recipient);
    for (name, value) in [("Subject", "twice"), ("x-sg-id", "1"), ("X-A", "1\r\nBcc: all@guest.example")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        assert_eq!(class(&Outgoing { headers, ..message(GUEST) }), OutcomeClass::Refused, "{name}");
    }
    assert_eq!(class(&Outgoing { subject: String::new(), ..message(GUEST) }), OutcomeClass::Refused);
    assert_eq!(class(&Outgoing { text: "x".repeat(30_000_000), ..message(GUEST) }), OutcomeClass::Refused);
    assert!(matches!(
        sendgrid.prepare(&[message(GUEST), message(GUEST)], "k"),
        Err(PrepareError::Count { max: 1, got: 2, .. })
    ));
}

#[test]
fn a_senders_name_beyond_ascii_is_left_out_and_not_refused() {
    let mut from = message(GUEST);
    from.from.name = "Zoë & Ben".to_owned();
    let request = at("http://127.0.0.1:1").prepare(&[from], "k").unwrap();
    let body: Value = serde_json::from_slice(&request.bytes).unwrap();
    assert_eq!(body["from"], json!({"email": "anna@wedding.example"}));
}

#[tokio::test]
async fn a_probe_looks_for_the_right_to_send() {
    for (act, passed) in [
        (Act::Answer(200, "", r#"{"scopes":["mail.send","alerts.read"]}"#.to_owned()), true),
        (Act::Answer(200, "", r#"{"scopes":["alerts.read"]}"#.to_owned()), false),
        (Act::Answer(403, "", r#"{"errors":[{"message":"access forbidden"}]}"#.to_owned()), true),
        (Act::Answer(429, "", String::new()), true),
        (Act::Answer(401, "", r#"{"errors":[{"message":"authorization required"}]}"#.to_owned()), false),
        (Act::Answer(500, "", String::new()), false),
        (Act::Hang, false),
    ] {
        let fake = Fake::start(act.clone()).await;
        assert_eq!(at(&fake.url).probe().await.passed(), passed, "{act:?}");
        assert!(fake.seen()[0].starts_with("GET /v3/scopes "));
    }
}
