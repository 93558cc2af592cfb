//! Twilio: each refusal by its status and code, look-ups, account, balance.

use crate::support::{SID, answer, callback, client, get_twilio, post_sms, sms, start};
use serde_json::{Value, json};
use usher_sim::{Config, FaultKind, Provider, Simulator, TwilioAccount, TwilioConfig, When};

async fn started(twilio: TwilioConfig) -> Simulator {
    Simulator::start(Config { twilio, ..Config::default() }).await.unwrap()
}

const SERVICE: &str = "MG00000000000000000000000000000001";

#[tokio::test]
async fn an_accepted_sms_is_answered_in_full_recorded_and_found() {
    let simulator = start().await;
    let client = client();
    let hook = callback("m-1");
    let (status, body) = answer(post_sms(&client, &simulator, &sms("+447911123456", &hook))).await;
    assert_eq!(status, 201);
    for (field, value) in [
        ("account_sid", json!(SID)),
        ("to", json!("+447911123456")),
        ("from", json!("+15005550006")),
        ("body", json!("Do come!")),
        ("status", json!("queued")),
        ("num_segments", json!("1")),
        ("num_media", json!("0")),
        ("price", Value::Null),
        ("date_sent", Value::Null),
        ("error_code", Value::Null),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let entry = &simulator.record().by_message("m-1")[0];
    assert_eq!(body["sid"], entry.provider_id);
    let (status, shown) =
        answer(get_twilio(&client, &simulator, &format!("{SID}/Messages/{}.json", entry.provider_id))).await;
    assert_eq!((status, &shown["sid"], &shown["status"]), (200, &body["sid"], &json!("sent")));
    let missing = format!("{SID}/Messages/SM{}.json", "0".repeat(32));
    assert_eq!(answer(get_twilio(&client, &simulator, &missing)).await.1["code"], 20404);
    simulator.stop().await;
}

#[tokio::test]
async fn a_messaging_service_is_accepted_without_segments_and_schedules() {
    let simulator = start().await;
    let client = client();
    let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).to_string();
    let base = [("To", "+447911123456"), ("MessagingServiceSid", SERVICE), ("Body", "x")];
    let (_, body) = answer(post_sms(&client, &simulator, &base)).await;
    assert_eq!(
        (&body["status"], &body["num_segments"], &body["from"]),
        (&json!("accepted"), &json!("0"), &Value::Null)
    );
    let scheduled = [&base[..], &[("ScheduleType", "fixed"), ("SendAt", &at)]].concat();
    assert_eq!(answer(post_sms(&client, &simulator, &scheduled)).await.1["status"], "scheduled");
    simulator.stop().await;
}

#[tokio::test]
async fn each_wrong_parameter_is_refused_with_its_code_and_nothing_is_recorded() {
    let simulator = started(TwilioConfig {
        senders: vec![
            "+15005550006".into(),
            "USHER".into(),
            "+15005550001".into(),
            "+15005550007".into(),
            "+15005550008".into(),
        ],
        messaging_services: vec![SERVICE.into()],
        ..TwilioConfig::default()
    })
    .await;
    let client = client();
    let (long, full) = ("x".repeat(1_601), "é".repeat(1_600));
    let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).to_string();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5)).to_string();
    // What replaces or, when empty, takes away a parameter of the right form; and the code.
    let cases: Vec<(Vec<(&str, &str)>, u32)> = vec![
        (vec![("To", "")], 21604),
        (vec![("From", "")], 21603),
        (vec![("Body", "")], 21602),
        (vec![("To", "447911123456")], 21211),
        (vec![("To", "+0447911123456")], 21211),
        (vec![("To", "+44791112345678901")], 21211),
        (vec![("To", "guest")], 21211),
        (vec![("From", "+44-12-345-x")], 21212),
        (vec![("From", "TwelveLetter")], 21212),
        (vec![("From", "+15005550099")], 21659),
        (vec![("From", "whatsapp:+15005550006")], 21910),
        (vec![("MessagingServiceSid", "MG1")], 21705),
        (vec![("MessagingServiceSid", "MG00000000000000000000000000000002")], 21701),
        (vec![("Body", &long)], 21617),
        (vec![("MediaUrl", "nowhere")], 21620),
        (vec![("ContentSid", "HX1")], 21654),
        (vec![("ContentVariables", "[1]")], 21656),
        (vec![("StatusCallback", "not a url")], 21609),
        (vec![("StatusCallback", "https://bad_host.example/x")], 21609),
        (vec![("ValidityPeriod", "36001")], 20001),
        (vec![("ValidityPeriod", "0")], 20001),
        (vec![("SmartEncoded", "maybe")], 20001),
        (vec![("SendAt", &at)], 35111),
        (vec![("SendAt", &at), ("ScheduleType", "fixed")], 35118),
        (vec![("SendAt", &soon), ("ScheduleType", "fixed"), ("MessagingServiceSid", SERVICE)], 35114),
        // The test numbers.
        (vec![("To", "+15005550001")], 21211),
        (vec![("To", "+15005550002")], 21612),
        (vec![("To", "+15005550003")], 21408),
        (vec![("To", "+15005550004")], 21610),
        (vec![("To", "+15005550009")], 21614),
        (vec![("From", "+15005550001")], 21212),
        (vec![("From", "+15005550007")], 21606),
        (vec![("From", "+15005550008")], 21611),
    ];
    let hook = callback("m");
    let formed = |change: &[(&'static str, &str)]| {
        let mut form: Vec<(String, String)> =
            sms("+447911123456", &hook).into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        for (name, value) in change {
            form.retain(|(known, _)| known != name);
            if !value.is_empty() {
                form.push(((*name).into(), (*value).into()));
            }
        }
        form
    };
    for (change, code) in &cases {
        let change: Vec<(&'static str, &str)> = change.iter().map(|(name, value)| (known(name), *value)).collect();
        let form = formed(&change);
        let pairs: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, body) = answer(post_sms(&client, &simulator, &pairs)).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{change:?} -> {body}");
        assert_eq!(body["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
        assert_eq!(body["status"], 400);
    }
    assert_eq!(simulator.record().total(), 0);
    for change in [vec![("From", "USHER")], vec![("Body", full.as_str())], vec![("Unheard", "of")]] {
        let form = formed(&change);
        let pairs: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(answer(post_sms(&client, &simulator, &pairs)).await.0, 201);
    }
    simulator.stop().await;
}

/// The parameter names of the table above, as constants.
fn known(name: &str) -> &'static str {
    let all = [
        "To",
        "From",
        "Body",
        "MessagingServiceSid",
        "MediaUrl",
        "ContentSid",
        "ContentVariables",
        "StatusCallback",
        "ValidityPeriod",
        "SmartEncoded",
        "SendAt",
        "ScheduleType",
    ];
    all.into_iter().find(|known| *known == name).unwrap()
}

#[tokio::test]
async fn test_numbers_are_ordinary_when_switched_off() {
    let simulator = started(TwilioConfig { magic_numbers: false, ..TwilioConfig::default() }).await;
    let hook = callback("m");
    assert_eq!(answer(post_sms(&client(), &simulator, &sms("+15005550001", &hook))).await.0, 201);
    simulator.stop().await;
}

#[tokio::test]
async fn credentials_account_path_and_method_are_judged() {
    let suspended =
        TwilioAccount { sid: format!("AC{}", "2".repeat(32)), status: "suspended".into(), ..TwilioAccount::default() };
    let accounts = vec![TwilioAccount::default(), TwilioAccount { token: "other".into(), keys: vec![], ..suspended }];
    let simulator = started(TwilioConfig { accounts, ..TwilioConfig::default() }).await;
    let (client, base) = (client(), format!("{}/2010-04-01/Accounts", simulator.twilio_url()));
    let messages = format!("{base}/{SID}/Messages.json");
    let second = format!("AC{}", "2".repeat(32));
    let form = "To=%2B447911123456&From=%2B15005550006&Body=x";
    let post = |url: &str| client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let cases = [
        (post(&messages), 401, 20003),
        (post(&messages).basic_auth(SID, Some("wrong")), 401, 20003),
        (post(&messages).bearer_auth("x"), 401, 20003),
        (post(&format!("{base}/{second}/Messages.json")).basic_auth(SID, Some("simulator")), 404, 20404),
        (post(&format!("{base}/{second}/Messages.json")).basic_auth(&second, Some("other")), 401, 20005),
        (post(&format!("{base}/{SID}/Nothing.json")).basic_auth(SID, Some("simulator")), 404, 20404),
        (client.delete(&messages).basic_auth(SID, Some("simulator")), 405, 20004),
        (client.post(&messages).basic_auth(SID, Some("simulator")).json(&json!({ "To": "+447911123456" })), 400, 21604),
    ];
    for (request, status, code) in cases {
        let (got, body) = answer(request).await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{body}");
    }
    let key = post(&messages).basic_auth("SK00000000000000000000000000000001", Some("simulator"));
    assert_eq!(answer(key).await.0, 201, "an API key sends");
    let account = client.get(format!("{base}/{second}.json")).basic_auth(&second, Some("other"));
    assert_eq!(answer(account).await.1["status"], "suspended");
    let balance = answer(get_twilio(&client, &simulator, &format!("{SID}/Balance.json"))).await;
    assert_eq!(balance, (200, json!({ "account_sid": SID, "balance": "100.00", "currency": "USD" })));
    simulator.stop().await;
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_by_number_and_day() {
    let simulator = start().await;
    let client = client();
    let unanswered = FaultKind::Reset { when: When::AfterAccept };
    simulator.fault(Provider::Twilio, unanswered).await.unwrap();
    let hook = callback("m");
    assert!(post_sms(&client, &simulator, &sms("+447911123456", &hook)).send().await.is_err());
    simulator.clear(Provider::Twilio).await.unwrap();
    for n in 0..3 {
        answer(post_sms(&client, &simulator, &sms("+447911000000", &callback(&n.to_string())))).await;
    }
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let list = |query: String| answer(get_twilio(&client, &simulator, &format!("{SID}/Messages.json?{query}")));
    // Around midnight the day may change between the two: then both days together have it.
    let (_, since) = list(format!("To=%2B447911123456&DateSent%3E={today}")).await;
    assert_eq!(since["messages"].as_array().unwrap().len(), 1);
    assert_eq!(since["messages"][0]["body"], "Do come!");
    let (_, none) = list("To=%2B447911123456&DateSent=2020-01-01".into()).await;
    assert_eq!(none["messages"], json!([]));
    let (_, page) = list("To=%2B447911000000&PageSize=2".into()).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 2);
    let next = page["next_page_uri"].as_str().unwrap().to_owned();
    let (_, rest) =
        answer(client.get(format!("{}{next}", simulator.twilio_url())).basic_auth(SID, Some("simulator"))).await;
    assert_eq!(rest["messages"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_page_uri"], Value::Null);
    assert_eq!(list("PageSize=1001".into()).await.0, 400);
    assert_eq!(list("DateSent=soon".into()).await.0, 400);
    simulator.stop().await;
}

#[tokio::test]
async fn a_rate_limit_answers_20429() {
    let simulator = started(TwilioConfig { requests_per_second: Some(2), ..TwilioConfig::default() }).await;
    let client = client();
    let hook = callback("m");
    let mut granted = 0;
    let refused = loop {
        let (status, body) = answer(post_sms(&client, &simulator, &sms("+447911123456", &hook))).await;
        if status == 429 {
            break body;
        }
        granted += 1;
        assert!(granted < 10_000, "the limit was never met");
    };
    assert_eq!(refused["code"], 20429);
    assert_eq!(simulator.record().total(), granted);
    simulator.stop().await;
}
