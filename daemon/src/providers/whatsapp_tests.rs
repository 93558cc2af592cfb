//! The adapter for WhatsApp against its table of answers, and against a server that misbehaves.

use reqwest::header::{HeaderMap, HeaderName};
use usher_common::model::WhatsAppParameter;

use super::*;
use crate::providers::fake::{Act, Fake, answer_to};
use crate::providers::table::{message, rows};

const GUEST: &str = "+16505551234";

fn config() -> ProviderConfig {
    let mut config = ProviderConfig::named("whatsapp-1", ProviderKind::WhatsApp);
    config.account = Some("106540352242922".to_owned());
    config.secret = Some("EAAG-secret".into());
    config.request_timeout_ms = 300;
    config
}

fn at(url: &str) -> WhatsApp {
    WhatsApp::new(&ProviderConfig { base_url: Some(url.to_owned()), ..config() }).unwrap()
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Reply { status, headers: map, body: body.into() }
}

fn fault(status: u16, code: u32) -> Reply {
    let error = json!({
        "message": format!("(#{code}) no"), "type": "OAuthException", "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": "In other words, no."}, "fbtrace_id": "A",
    });
    reply(status, &[], json!({"error": error}).to_string())
}

fn template(parameters: &[(&str, &str)]) -> WhatsAppTemplate {
    let parameter = |(name, text): &(&str, &str)| WhatsAppParameter { name: (*name).into(), text: (*text).into() };
    WhatsAppTemplate {
        name: "invitation_2".to_owned(),
        language: "en_GB".to_owned(),
        parameters: parameters.iter().map(parameter).collect(),
    }
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    for row in rows("whatsapp") {
        if row.http == "5xx / timeout" {
            for act in [Act::Hang, Act::Reset, Act::Close, Act::Answer(504, "", "<html>".to_owned())] {
                row.expect(&answer_to(act, config(), |c| WhatsApp::new(c).unwrap(), GUEST).await);
            }
            row.expect(&classify(&fault(500, 999_999)));
            continue;
        }
        let status: u16 = row.http.parse().unwrap();
        for codes in row.code.split(", ") {
            let (first, last) = codes.split_once('-').unwrap_or((codes, codes));
            for code in first.parse::<u32>().unwrap()..=last.parse().unwrap() {
                let answer = classify(&fault(status, code));
                assert_eq!((answer.code.as_str(), answer.detail.as_str()), (&*code.to_string(), "In other words, no."));
                row.expect(&answer);
                // Meta asks not to rely on the status.
                row.expect(&classify(&fault(400, code)));
            }
        }
    }
}

#[test]
fn a_good_status_without_an_id_is_doubt() {
    let held = r#"{"messages":[{"id":"wamid.1","message_status":"held_for_quality_assessment"}]}"#;
    let held = classify(&reply(200, &[], held));
    assert_eq!((held.class, held.code.as_str()), (OutcomeClass::Accepted, "held_for_quality_assessment"));
    assert_eq!(held.provider_id, "wamid.1");
    for body in ["", "{}", r#"{"messages":[]}"#, r#"{"messages":[{"id":""}]}"#] {
        assert_eq!(classify(&reply(200, &[], body)).class, OutcomeClass::Unknown, "{body}");
    }
}

#[test]
fn the_wait_is_what_meta_says_where_it_says_something() {
    let wait = |code, headers: &[(&'static str, &str)]| {
        let mut reply = reply(400, headers, fault(400, code).body);
        reply.status = 400;
        classify(&reply).retry_after
    };
    let usage = r#"{"1020":[{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":19},
                            {"type":"pages","estimated_time_to_regain_access":3}]}"#
        .replace('\n', " ");
    let usage = ("x-business-use-case-usage", usage.as_str());
    assert_eq!(wait(80_007, &[usage]), Some(Duration::from_mins(19)));
    assert_eq!(wait(80_007, &[("x-business-use-case-usage", "nonsense")]), None);
    assert_eq!(wait(130_429, &[]), None);
    assert_eq!(wait(131_048, &[]), Some(SLOW_WAIT));
    assert_eq!(wait(131_026, &[usage]), None);
}

#[tokio::test]
async fn words_of_ones_own_go_as_text_and_name_our_message() {
    let answer = json!({"messaging_product": "whatsapp", "messages": [{"id": "wamid.9"}]}).to_string();
    let fake = Fake::start(Act::Answer(200, "", answer)).await;
    let whatsapp = at(&fake.url);
    let request = whatsapp.prepare(&[message(GUEST)], "k").unwrap();
    assert_eq!(request, at(&fake.url).prepare(&[message(GUEST)], "k").unwrap());
    assert_eq!(whatsapp.send(&request).await[0].provider_id, "wamid.9");
    let seen = fake.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v23.0/106540352242922/messages HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer eaag-secret"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let expected = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": GUEST, "type": "text",
        "biz_opaque_callback_data": "m4711",
        "text": {"preview_url": false, "body": "Dear Zoë,\n.we marry.\n"},
    });
    assert_eq!(body, expected);
}

#[test]
fn an_approved_template_goes_with_its_places_filled_in() {
    let whatsapp = at("http://127.0.0.1:1");
    let sent = |template: WhatsAppTemplate| {
        let letter = Outgoing { template: Some(template), ..message(GUEST) };
        let request = whatsapp.prepare(&[letter], "k").unwrap();
        let mut body: Value = serde_json::from_slice(&request.bytes).unwrap();
        assert_eq!((&body["type"], body.get("text")), (&"template".into(), None));
        body["template"].take()
    };
    let language = json!({"code": "en_GB", "policy": "deterministic"});
    assert_eq!(sent(template(&[])), json!({"name": "invitation_2", "language": language}));
    let numbered = sent(template(&[("", "Zoë"), ("", "The Old Mill")]));
    let parameters = json!([{"type": "text", "text": "Zoë"}, {"type": "text", "text": "The Old Mill"}]);
    assert_eq!(numbered["components"], json!([{"type": "body", "parameters": parameters}]));
    let named = sent(template(&[("guest", "Zoë")]));
    let parameter = json!({"type": "text", "parameter_name": "guest", "text": "Zoë"});
    assert_eq!(named["components"][0]["parameters"], json!([parameter]));
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let whatsapp = at("http://127.0.0.1:1");
    let class = |message: Outgoing| whatsapp.prepare(&[message], "k").unwrap_err().class();
    for number in ["16505551234", "+0155550123", "zoe", ""] {
        assert_eq!(class(message(number)), OutcomeClass::Recipient, "{number}");
    }
    for text in [String::new(), "x".repeat(4097)] {
        assert_eq!(class(Outgoing { text, ..message(GUEST) }), OutcomeClass::Refused);
    }
    for text in [" ", "two\nlines", "a\ttab", "five     spaces", &"x".repeat(1025)] {
        let letter = Outgoing { template: Some(template(&[("", text)])), ..message(GUEST) };
        assert_eq!(class(letter), OutcomeClass::Refused, "{text:?}");
    }
    assert!(whatsapp.prepare(&[message(GUEST), message(GUEST)], "k").is_err());
}

#[test]
fn a_number_and_a_version_that_would_make_another_path_are_refused() {
    for (account, version) in [("1/2", "v23.0"), ("", "v23.0"), ("12", "23.0"), ("12", "v23.0/x"), ("12", "v.0")] {
        let config =
            ProviderConfig { account: Some(account.to_owned()), api_version: Some(version.to_owned()), ..config() };
        assert!(matches!(WhatsApp::new(&config), Err(BuildError::Value { .. })), "{account} {version}");
    }
}

#[tokio::test]
async fn a_probe_asks_for_the_number() {
    let error = |code: u32| json!({"error": {"code": code, "message": "no"}}).to_string();
    for (act, passed) in [
        (Act::Answer(200, "", r#"{"id":"106540352242922","quality_rating":"GREEN"}"#.to_owned()), true),
        (Act::Answer(200, "", "{}".to_owned()), false),
        (Act::Answer(401, "", error(190)), false),
        (Act::Answer(400, "", error(100)), false),
        (Act::Answer(400, "", error(4)), true),
        (Act::Answer(503, "", error(2)), false),
        (Act::Hang, false),
    ] {
        let fake = Fake::start(act.clone()).await;
        assert_eq!(at(&fake.url).probe().await.passed(), passed, "{act:?}");
        assert!(fake.seen()[0].starts_with("GET /v23.0/106540352242922?fields=id,"), "{:?}", fake.seen());
    }
}
