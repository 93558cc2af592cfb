//! Answers as the vendors document them, each provoked from the simulator and compared.
//! Promises: what a sample has, the answer has; ids, times and traces are compared by being there.

use crate::support::{answer, call_slack, chat, client, mail, note, post_chat, post_mail, start};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use usher_sim::{Config, Fault, FaultKind, Marker, Provider, SendGridConfig, Simulator, WhatsAppConfig};

/// The samples of one provider whose names begin like this: name, status, body.
fn samples(provider: &str, start: &str) -> Vec<(String, u16, Value)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/answers.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let named = all[provider].as_object().unwrap().iter().filter(|(name, _)| name.starts_with(start));
    let read = |(name, sample): (&String, &Value)| {
        (name.clone(), u16::try_from(sample["status"].as_u64().unwrap()).unwrap(), sample["body"].clone())
    };
    let found: Vec<_> = named.map(read).collect();
    assert!(!found.is_empty(), "no sample of {provider} begins with {start}");
    found
}

fn sample(provider: &str, name: &str) -> (u16, Value) {
    let (_, status, body) = samples(provider, name).into_iter().find(|(found, ..)| found == name).unwrap();
    (status, body)
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// An error of Meta's without what differs each time, and whether it had details.
fn bare(mut error: Value) -> (Value, bool) {
    let fields = error["error"].as_object_mut().unwrap();
    assert!(fields.remove("fbtrace_id").is_some_and(|trace| trace.is_string()));
    let data = fields.remove("error_data");
    assert!(data.as_ref().is_none_or(|data| data["details"].is_string() && data["messaging_product"] == "whatsapp"));
    (error, data.is_some())
}

#[tokio::test]
async fn metas_errors_are_those_of_the_samples() {
    let samples: Vec<_> =
        ["response_4", "response_5"].into_iter().flat_map(|start| samples("whatsapp", start)).collect();
    let recipient = |code: &Value| format!("+44{:08}", code.as_u64().unwrap());
    let mark = |(_, _, body): &(String, u16, Value)| {
        let code = &body["error"]["code"];
        Marker { contains: recipient(code), answer: code.to_string() }
    };
    let recipients = samples.iter().map(mark).collect();
    let whatsapp = WhatsAppConfig { recipients, ..WhatsAppConfig::default() };
    let simulator = Simulator::start(Config { whatsapp, ..Config::default() }).await.unwrap();
    let client = client();
    for (name, status, body) in samples {
        let code = &body["error"]["code"];
        let mut message = chat("m", &recipient(code));
        let url = |id: &str| format!("{}/v23.0/{id}/messages", simulator.whatsapp_url());
        let request = match code.as_u64().unwrap() {
            33 => client.post(url("123")).bearer_auth("EAAsimulator").json(&message),
            190 => client.post(url("100000000000001")).bearer_auth("EAAexpired").json(&message),
            100 => {
                message.as_object_mut().unwrap().remove("messaging_product");
                post_chat(&client, &simulator, &message)
            }
            _ => post_chat(&client, &simulator, &message),
        };
        let (got, said) = answer(request).await;
        assert_eq!((got, bare(said)), (status, bare(body)), "{name}");
    }
    assert_eq!(simulator.record().total(), 0);
    let (status, sent) = sample("whatsapp", "response_200_template_paced");
    let (got, said) = answer(post_chat(&client, &simulator, &chat("m", "+447911123456"))).await;
    assert_eq!((got, keys(&said)), (status, keys(&sent)));
    for part in ["/contacts/0", "/messages/0"] {
        assert_eq!(keys(said.pointer(part).unwrap()), keys(sent.pointer(part).unwrap()));
    }
    simulator.stop().await;
}

#[tokio::test]
async fn slacks_words_are_those_of_the_samples() {
    let simulator = start().await;
    let client = client();
    let post = |body: &Value| answer(call_slack(&client, &simulator, "chat.postMessage", body));
    let good = note("m", "C123ABC456");
    let mut crowded = good.clone();
    crowded["blocks"] = (0..51).map(|_| json!({ "type": "divider" })).collect();
    assert_eq!(post(&crowded).await, sample("slack", "response_200_invalid_blocks"));
    let url = format!("{}/api/chat.postMessage", simulator.slack_url());
    let unscoped = answer(client.post(&url).bearer_auth("xoxb-unscoped").json(&good)).await;
    assert_eq!(unscoped, sample("slack", "response_200_missing_scope"));
    simulator.fault(Provider::Slack, Fault::from(FaultKind::Throttle { retry_after: None }).times(1)).await.unwrap();
    assert_eq!(post(&good).await, sample("slack", "response_429_ratelimited"));

    let mut titled = good.clone();
    titled["username"] = json!("ecto1");
    let (said, wanted) = (post(&titled).await.1, sample("slack", "response_ok").1);
    assert_eq!(keys(&said), keys(&wanted));
    assert!(keys(&said["message"]).is_superset(&keys(&wanted["message"])), "{said}");
    let who = answer(call_slack(&client, &simulator, "auth.test", &json!({}))).await.1;
    assert_eq!(keys(&who), keys(&sample("slack", "auth_test_ok").1));

    // The status of a webhook's word follows from the word.
    let hook = format!("{}/services/T00000001/B00000001/simulator", simulator.slack_url());
    for (name, status, body) in samples("slack", "incoming_webhook_") {
        let word = body.as_str().unwrap();
        if word != "ok" {
            let fault = FaultKind::Status { status: 200, accepted: false, code: Some(word.to_owned()) };
            simulator.fault(Provider::Slack, Fault::from(fault).times(1)).await.unwrap();
        }
        let got = answer(client.post(&hook).json(&json!({ "text": "Do come!" }))).await;
        assert_eq!(got, (status, body), "{name}");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn sendgrids_texts_are_those_of_the_samples() {
    let sendgrid = SendGridConfig { verified_senders: vec!["example.com".into()], ..SendGridConfig::default() };
    let simulator = Simulator::start(Config { sendgrid, ..Config::default() }).await.unwrap();
    let client = client();
    let good = mail("m", "guest@example.com");
    let [mut nobody, mut wrong, mut stranger] = [good.clone(), good.clone(), good.clone()];
    nobody["personalizations"] = json!([{}]);
    wrong["personalizations"][0]["to"][0]["email"] = json!("nobody");
    stranger["from"]["email"] = json!("ann@elsewhere.example");
    for (body, name) in [(nobody, "response_400"), (wrong, "response_400_2"), (stranger, "response_403")] {
        assert_eq!(answer(post_mail(&client, &simulator, &body)).await, sample("sendgrid", name), "{name}");
    }
    for status in [401, 404, 405, 413, 429, 500, 502, 503, 504] {
        let fault = FaultKind::Status { status, accepted: false, code: None };
        simulator.fault(Provider::SendGrid, Fault::from(fault).times(1)).await.unwrap();
        let (got, said) = answer(post_mail(&client, &simulator, &good)).await;
        let (wanted, body) = sample("sendgrid", &format!("response_{status}"));
        // Some samples leave out what is null in others.
        assert_eq!((got, &said["errors"][0]["message"]), (wanted, &body["errors"][0]["message"]));
    }
    simulator.stop().await;
}
