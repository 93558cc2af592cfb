//! The adapter for Twilio against its table of answers, and against a server that misbehaves.

use reqwest::header::HeaderMap;
use serde_json::json;

use super::*;
use crate::providers::fake::{Act, Fake, answer_to, nobody};
use crate::providers::table::{message, rows};

const GUEST: &str = "+14155550123";

fn config() -> ProviderConfig {
    let mut config = ProviderConfig::named("twilio-1", ProviderKind::Twilio);
    config.account = Some("AC0123456789abcdef0123456789abcdef".to_owned());
    config.secret = Some("token".into());
    config.sender = Some("+15005550006".to_owned());
    config.request_timeout_ms = 300;
    config
}

fn at(url: &str) -> Twilio {
    Twilio::new(&ProviderConfig { base_url: Some(url.to_owned()), ..config() }).unwrap()
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply { status, headers: HeaderMap::new(), body: body.into() }
}

async fn refused() -> Answer {
    let twilio = at(&nobody().await);
    let request = twilio.prepare(&[message(GUEST)], "k").unwrap();
    twilio.send(&request).await.remove(0)
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    for row in rows("twilio") {
        match row.http.as_str() {
            "timeout / connection lost after request sent" => {
                for act in [Act::Hang, Act::Reset, Act::Close, Act::Half] {
                    row.expect(&answer_to(act, config(), |c| Twilio::new(c).unwrap(), GUEST).await);
                }
            }
            "connect error / TLS error before request sent" => row.expect(&refused().await),
            _ => {
                for (status, code) in row.statuses().into_iter().flat_map(|s| row.code.split(", ").map(move |c| (s, c)))
                {
                    let answer = match code.parse::<u32>() {
                        Ok(code) => classify(&reply(status, json!({"code": code, "message": "m"}).to_string())),
                        Err(_) if code == "none" => classify(&reply(status, "<html>")),
                        Err(error) => panic!("row not covered ({error}): {row:?}"),
                    };
                    row.expect(&answer);
                }
            }
        }
    }
}

#[test]
fn a_good_status_without_an_id_is_doubt() {
    assert_eq!(classify(&reply(201, r#"{"sid":"SM1","status":"queued"}"#)).provider_id, "SM1");
    for body in ["", "{}", r#"{"sid":""}"#] {
        assert_eq!(classify(&reply(201, body)).class, OutcomeClass::Unknown, "{body}");
    }
}

#[test]
fn a_code_that_nobody_knows_yet_proves_no_more_than_its_status() {
    let with = |status| classify(&reply(status, json!({"code": 29999}).to_string())).class;
    assert_eq!(with(400), OutcomeClass::Refused);
    assert_eq!(with(401), OutcomeClass::Unusable);
    assert_eq!(with(429), OutcomeClass::Throttled);
    assert_eq!(with(409), OutcomeClass::Unknown);
    // A known code does not turn a server's failure into proof.
    assert_eq!(classify(&reply(500, json!({"code": 21211}).to_string())).class, OutcomeClass::Unknown);
}

#[tokio::test]
async fn a_request_is_a_form_that_names_our_message() {
    let fake = Fake::start(Act::Answer(201, "", r#"{"sid":"SM9"}"#.to_owned())).await;
    let mut config = ProviderConfig { base_url: Some(fake.url.clone()), ..config() };
    config.status_callback = Some("https://usher.example/hooks/twilio?a=1".to_owned());
    let twilio = Twilio::new(&config).unwrap();
    let request = twilio.prepare(&[message(GUEST)], "k").unwrap();
    assert_eq!(request, Twilio::new(&config).unwrap().prepare(&[message(GUEST)], "k").unwrap());
    assert_eq!(twilio.send(&request).await[0].provider_id, "SM9");
    let seen = fake.seen().remove(0);
    assert!(seen.starts_with("POST /2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json HTTP/1.1"));
    assert!(
        seen.ends_with(
            "To=%2B14155550123&From=%2B15005550006&Body=Dear+Zo%C3%AB%2C%0A.we+marry.%0A\
         &StatusCallback=https%3A%2F%2Fusher.example%2Fhooks%2Ftwilio%3Fa%3D1%26usher_message%3Dm4711"
        ),
        "{seen}"
    );
    config.sender = Some(format!("MG{}", "0".repeat(32)));
    let service = Twilio::new(&config).unwrap().prepare(&[message(GUEST)], "k").unwrap();
    assert!(String::from_utf8_lossy(&service.bytes).contains("&MessagingServiceSid=MG0"));
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let twilio = at("http://127.0.0.1:1");
    for number in ["14155550123", "+0155550123", "+1", "+1415555012x", "whatsapp:+14155550123"] {
        assert_eq!(twilio.prepare(&[message(number)], "k").unwrap_err().class(), OutcomeClass::Recipient, "{number}");
    }
    for text in [String::new(), "x".repeat(1601)] {
        let refused = twilio.prepare(&[Outgoing { text, ..message(GUEST) }], "k").unwrap_err();
        assert_eq!(refused.class(), OutcomeClass::Refused);
    }
    assert!(twilio.prepare(&[message(GUEST), message(GUEST)], "k").is_err());
}

#[tokio::test]
async fn a_look_up_finds_the_same_text_to_the_same_number_since_the_attempt() {
    // 22 Nov 2026 10:00:00 UTC
    let since = Timestamp(1_795_341_600_000);
    let listed = |date: &str, body: &str, next: Option<&str>| {
        let one = json!({"sid": "SM1", "body": body, "to": GUEST, "direction": "outbound-api", "date_created": date});
        Act::Answer(200, "", json!({"messages": [one], "next_page_uri": next}).to_string())
    };
    let text = message(GUEST).text;
    let cases = [
        (listed("Sun, 22 Nov 2026 10:00:01 +0000", &text, None), "yes"),
        (listed("Sun, 22 Nov 2026 09:50:00 +0000", &text, None), "no"),
        (listed("Sun, 22 Nov 2026 10:00:01 +0000", "another", None), "another"),
        (listed("Sun, 22 Nov 2026 10:00:01 +0000", "another", Some("/more")), "incomplete"),
        // An account that keeps no texts: it may be this one.
        (listed("Sun, 22 Nov 2026 10:00:01 +0000", "", None), "another"),
        (listed("Sun, 22 Nov 2026 09:50:00 +0000", "", None), "no"),
        (Act::Answer(500, "", String::new()), "failed"),
        (Act::Answer(200, "", "nonsense".to_owned()), "failed"),
        (Act::Close, "failed"),
    ];
    for (act, expected) in cases {
        let fake = Fake::start(act.clone()).await;
        let found = match at(&fake.url).find(&message(GUEST), since).await {
            Found::Listed { fits, others, complete } => match (fits.as_slice(), others.as_slice(), complete) {
                ([one], [], true) if one == "SM1" => "yes",
                ([], [], true) => "no",
                ([], [one], true) if one == "SM1" => "another",
                ([], [_], false) => "incomplete",
                other => panic!("{other:?}"),
            },
            Found::Failed(_) => "failed",
            Found::NotOffered => "not offered",
        };
        assert_eq!(found, expected, "{act:?}");
        assert!(fake.seen()[0].contains("/Messages.json?To=%2B14155550123&PageSize=1000 "));
    }
}

#[test]
fn a_probe_believes_only_an_active_account() {
    assert!(judge_probe(&reply(200, r#"{"status":"active"}"#), false).passed());
    assert!(matches!(judge_probe(&reply(200, r#"{"status":"suspended"}"#), false), Probe::Unusable(_)));
    assert!(matches!(judge_probe(&reply(401, ""), false), Probe::Unusable(_)));
    assert!(matches!(judge_probe(&reply(401, ""), true), Probe::Unclear(_)));
    assert!(matches!(judge_probe(&reply(503, ""), true), Probe::Down(_)));
}
