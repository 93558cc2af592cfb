//! Every signed request of the vectors, judged as its SDKs judge it, and what they leave open.

use serde_json::Value;

use super::*;

const FILES: [(&str, &str, usize); 7] = [
    ("meta_hub_challenge", include_str!("../../tests/data/receipts/signatures/meta_hub_challenge.json"), 13),
    ("meta_whatsapp", include_str!("../../tests/data/receipts/signatures/meta_whatsapp.json"), 26),
    ("resend_svix", include_str!("../../tests/data/receipts/signatures/resend_svix.json"), 31),
    ("sendgrid", include_str!("../../tests/data/receipts/signatures/sendgrid.json"), 30),
    ("slack", include_str!("../../tests/data/receipts/signatures/slack.json"), 29),
    ("twilio", include_str!("../../tests/data/receipts/signatures/twilio.json"), 36),
    ("twilio_sharedkey", include_str!("../../tests/data/receipts/signatures/twilio_sharedkey.json"), 14),
];

fn headers(of: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in of["headers"].as_object().unwrap() {
        let name: axum::http::HeaderName = name.to_lowercase().parse().unwrap();
        headers.append(name, value.as_str().unwrap().parse().unwrap());
    }
    headers
}

fn body(of: &Value) -> Vec<u8> {
    let text = of["body"].as_str().unwrap();
    if of["body_encoding"] == "base64" { STANDARD.decode(text).unwrap() } else { text.as_bytes().to_vec() }
}

/// The keys that somebody would have configured for whom the vector was made.
fn keys(of: &Value) -> (Scheme, Vec<Key>) {
    let text = of["secret"].as_str().or_else(|| of["public_key"].as_str()).unwrap();
    let scheme = match of["scheme"].as_str().unwrap() {
        "twilio-hmac-sha1" => Scheme::Twilio,
        "twilio-sharedkey" => {
            let has_token = of["headers"]["X-Twilio-Webhooks-Signature-Settings"].is_null();
            if !has_token {
                let both = [Algorithm::Sha256, Algorithm::Sha1];
                return (Scheme::Twilio, both.map(|algorithm| Key::twilio_shared(text, algorithm)).to_vec());
            }
            Scheme::Twilio
        }
        "sendgrid-ecdsa-p256-sha256" => Scheme::SendGrid,
        "svix-v1-hmac-sha256" => Scheme::Svix,
        "slack-v0-hmac-sha256" => Scheme::Slack,
        "meta-x-hub-signature-256" => Scheme::Meta,
        other => panic!("a scheme that nobody checks: {other}"),
    };
    (scheme, vec![Key::new(scheme, text).unwrap()])
}

fn judge(of: &Value, keys: &[Key], scheme: Scheme) -> Result<(), Refused> {
    let (headers, body) = (headers(of), body(of));
    let call = Call { get: of["method"] == "GET", url: of["url"].as_str().unwrap(), headers: &headers, body: &body };
    verify(scheme, keys, &call, Timestamp(of["now"].as_i64().unwrap() * 1000))
}

fn vectors() -> impl Iterator<Item = Value> {
    FILES.iter().flat_map(|(name, text, count)| {
        let all: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(all.len(), *count, "{name}");
        all
    })
}

#[test]
fn every_signed_request_is_judged_as_its_provider_would() {
    let mut seen = 0;
    for vector in vectors() {
        seen += 1;
        let id = vector["id"].as_str().unwrap();
        let accept = vector["expect"] == "accept";
        if vector["scheme"] == "meta-hub-challenge" {
            let query = vector["url"].as_str().unwrap().split_once('?').map_or("", |(_, query)| query);
            let answer = hub_challenge(query, &[vector["verify_token"].as_str().unwrap()]);
            assert_eq!(answer.as_deref(), vector["expect_response"]["body"].as_str().filter(|_| accept), "{id}");
            continue;
        }
        let (scheme, keys) = keys(&vector);
        let verdict = judge(&vector, &keys, scheme);
        assert_eq!(verdict.is_ok(), accept, "{id}: {} ({verdict:?})", vector["reason"]);
    }
    assert_eq!(seen, 179);
}

#[test]
fn at_a_turn_over_either_key_is_good_and_a_third_is_not() {
    for vector in vectors().filter(|v| v["expect"] == "accept" && v["scheme"] != "meta-hub-challenge") {
        let (scheme, right) = keys(&vector);
        let other = match scheme {
            Scheme::SendGrid => {
                let text = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzUaZPgJLRxWOEDByHr5yr5h5mIvBcZFXdJia4oWFaeZmsZt7GWo9kSybf6IidJZV8UB0cCTFW4jW6oWr0E7Ig==";
                Key::new(scheme, text).unwrap()
            }
            _ => Key::new(scheme, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").or_else(|_| Key::new(scheme, "x")).unwrap(),
        };
        let id = &vector["id"];
        let mut both = right.clone();
        both.insert(0, other.clone());
        assert_eq!(judge(&vector, &both, scheme), Ok(()), "{id}");
        assert_eq!(judge(&vector, &[], scheme), Err(Refused::NoKey), "{id}");
        if vector["public_key"]
            != "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmzUaZPgJLRxWOEDByHr5yr5h5mIvBcZFXdJia4oWFaeZmsZt7GWo9kSybf6IidJZV8UB0cCTFW4jW6oWr0E7Ig=="
        {
            assert!(judge(&vector, &[other], scheme).is_err(), "{id}");
        }
    }
}

#[test]
fn the_algorithm_of_a_shared_key_is_not_the_callers_to_choose() {
    let all: Vec<Value> = serde_json::from_str(FILES[6].1).unwrap();
    let by_sha1 = all.iter().find(|v| v["id"] == "twilio_sharedkey-p02").unwrap();
    let only_sha256 = Key::twilio_shared(by_sha1["secret"].as_str().unwrap(), Algorithm::Sha256);
    assert!(matches!(judge(by_sha1, &[only_sha256], Scheme::Twilio), Err(Refused::Kind(_))));
}

#[test]
fn a_body_that_twilio_did_not_sign_is_not_believed() {
    let all: Vec<Value> = serde_json::from_str(FILES[5].1).unwrap();
    let mut get = all.iter().find(|v| v["id"] == "twilio-p14").unwrap().clone();
    let (scheme, keys) = keys(&get);
    assert_eq!(judge(&get, &keys, scheme), Ok(()));
    get["body"] = "{\"MessageStatus\":\"delivered\"}".into();
    assert_eq!(judge(&get, &keys, scheme), Err(Refused::Body));
}

#[test]
fn our_own_scheme_is_the_one_that_its_page_shows() {
    let page = include_str!("../../../docs/providers/webhook.md");
    let given = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("- {name}: `"))).unwrap();
        line.trim_end_matches('`').to_owned()
    };
    let key = Key::new(Scheme::Usher, &given("secret")).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("usher-timestamp", given("timestamp").parse().unwrap());
    headers.insert("usher-signature", given("signature").parse().unwrap());
    let body = given("body");
    let judge = |body: &str, off: i64| {
        let call = Call { get: false, url: "", headers: &headers, body: body.as_bytes() };
        let now = Timestamp((given("timestamp").parse::<i64>().unwrap() + off) * 1000);
        verify(Scheme::Usher, std::slice::from_ref(&key), &call, now)
    };
    assert_eq!(judge(&body, 0), Ok(()));
    assert_eq!((judge(&body, 300), judge(&body, -300)), (Ok(()), Ok(())));
    assert_eq!(judge(&body, 301), Err(Refused::Stale { seconds: 301, allowed: 300 }));
    assert_eq!(judge(&body, -301), Err(Refused::Stale { seconds: -301, allowed: 300 }));
    assert_eq!(judge("{\"version\":2}", 0), Err(Refused::Mismatch));
}

#[test]
fn keys_cannot_be_printed_and_wrong_ones_are_found_at_start() {
    assert_eq!(format!("{:?}", Key::new(Scheme::Meta, "hush").unwrap()), "Key");
    assert_eq!(Key::new(Scheme::SendGrid, "hush").err(), Some(KeyError::SendGrid));
    assert_eq!(Key::new(Scheme::Svix, "whsec_short").err(), Some(KeyError::Svix));
}
