//! What each channel gets: within its limits, escaped, and in its own format.

use std::collections::BTreeMap;

use super::*;
use usher_common::model::{IncidentId, Priority};

/// 2026-11-28T02:14:09Z.
const AT: Timestamp = Timestamp(1_795_832_049_000);

fn notice(alerts: usize) -> Notice {
    let alert = |n: usize| NoticeAlert {
        rule: "provider-down".into(),
        object: format!("provider p{n}"),
        state: AlertState::Firing,
        summary: format!("provider p{n} is down"),
        detail: "<script>503 & \u{fc}ber".into(),
        action: format!("usher provider why p{n}"),
        runbook: "provider-down".into(),
        value: 1.0,
        threshold: 1.0,
        since: AT,
        ended: None,
    };
    Notice {
        key: "provider-down#0".into(),
        reason: Reason::First,
        priority: Priority::P1,
        at: AT.plus_millis(1_000),
        step: 0,
        incident: Some(IncidentId(12)),
        group: BTreeMap::from([("rule".into(), "provider-down".into())]),
        alerts: (0..alerts).map(alert).collect(),
        more: 0,
    }
}

#[test]
fn a_text_message_says_what_where_how_bad_since_when_and_its_id_in_one_segment() {
    assert_eq!(
        sms(&notice(1), "production"),
        "production P1: provider p0 is down (<script>503 & ?ber) since 02:14Z (i12)"
    );
    let mut long = notice(3);
    long.alerts[0].detail = "x".repeat(500);
    let text = sms(&long, "production");
    assert_eq!((text.chars().count(), septets(&text)), (SMS, SMS), "{text}");
    assert!(text.contains("provider p0 is down and 2 more") && text.ends_with(".. since 02:14Z (i12)"), "{text}");
    long.incident = None;
    long.key = "r\u{e9}gle{1}#0".into();
    assert_eq!(septets(&sms(&long, "[staging]")), SMS, "{}", sms(&long, "[staging]"));
}

/// Places that a text takes in GSM 7-bit: 3GPP TS 23.038, 6.2.1, of which only ASCII is used here.
fn septets(text: &str) -> usize {
    let places = |c: char| match c {
        '[' | ']' | '{' | '}' | '\\' | '^' | '~' | '|' => 2,
        '`' => panic!("` is not in GSM 7-bit: {text}"),
        ' '..='~' => 1,
        _ => panic!("{c:?} makes all of it UCS-2: {text}"),
    };
    text.chars().map(places).sum()
}

#[test]
fn a_mail_is_escaped_and_says_what_to_do() {
    let mail = mail(&notice(2), "production");
    assert_eq!(mail.subject, "[production] P1: provider p0 is down and 1 more");
    assert!(
        mail.html.contains("&lt;script&gt;503 &amp; \u{fc}ber") && !mail.html.contains("<script>"),
        "{}",
        mail.html
    );
    assert!(
        mail.text.contains("do       usher provider why p1") && mail.text.contains("since    2026-11-28 02:14:09 UTC"),
        "{}",
        mail.text
    );
    let mut over = notice(1);
    over.reason = Reason::Resolved;
    over.alerts[0].state = AlertState::Resolved;
    over.alerts[0].ended = Some(AT.plus_millis(60_000));
    let mail = super::mail(&over, "production");
    assert_eq!(mail.subject, "[production] RESOLVED: provider p0 is down");
    assert!(mail.text.contains("over     2026-11-28 02:15:09 UTC") && !mail.text.contains("\n  do "), "{}", mail.text);
}

#[test]
fn slack_gets_blocks_within_its_limits_and_no_markup_of_others() {
    let mut many = notice(30);
    many.more = 70;
    many.alerts[0].summary = "<!channel> x".into();
    let sent = slack(&many, "production");
    let blocks = sent["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50 && blocks[0]["type"] == "header");
    let text = blocks[1]["text"]["text"].as_str().unwrap();
    assert!(text.starts_with("*&lt;!channel&gt; x*") && text.contains("first: `usher provider why p0`"), "{text}");
    let foot = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
    assert_eq!(foot, "... and 90 more · production · new · i12");
    assert!(blocks.iter().all(|block| block["text"]["text"].as_str().is_none_or(|text| text.chars().count() <= 3_000)));
}

/// Every field of Alertmanager's webhook, version 4, with its type; from its documentation of `webhook_config`.
fn is_version_4(body: &Value) -> Result<(), String> {
    let text = |of: &Value, key: &str| of[key].as_str().map(str::to_owned).ok_or(format!("{key} is no text in {of}"));
    let labels = |of: &Value, key: &str| {
        let map = of[key].as_object().ok_or(format!("{key} is no object"))?;
        if map.values().all(Value::is_string) { Ok(()) } else { Err(format!("{key} has a value that is no text")) }
    };
    if text(body, "version")? != "4" {
        return Err("not version 4".into());
    }
    for key in ["groupKey", "receiver", "externalURL"] {
        text(body, key)?;
    }
    if !matches!(text(body, "status")?.as_str(), "firing" | "resolved") || !body["truncatedAlerts"].is_u64() {
        return Err("status or truncatedAlerts".into());
    }
    for key in ["groupLabels", "commonLabels", "commonAnnotations"] {
        labels(body, key)?;
    }
    for alert in body["alerts"].as_array().ok_or("alerts is no list")? {
        labels(alert, "labels")?;
        labels(alert, "annotations")?;
        text(alert, "generatorURL")?;
        for key in ["startsAt", "endsAt"] {
            text(alert, key)?.parse::<jiff::Timestamp>().map_err(|error| format!("{key}: {error}"))?;
        }
        let fingerprint = text(alert, "fingerprint")?;
        if fingerprint.len() != 16 || !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("fingerprint {fingerprint}"));
        }
        if alert["labels"]["alertname"].as_str().is_none_or(str::is_empty) {
            return Err("no alertname".into());
        }
    }
    Ok(())
}

#[test]
fn the_webhook_is_alertmanagers_own() {
    let mut both = notice(2);
    both.alerts[1].state = AlertState::Resolved;
    both.alerts[1].ended = Some(AT);
    let body = alertmanager(&both, "ops", "production");
    assert_eq!(is_version_4(&body), Ok(()));
    assert_eq!((body["status"].as_str(), body["alerts"][1]["status"].as_str()), (Some("firing"), Some("resolved")));
    assert_ne!(body["alerts"][0]["fingerprint"], body["alerts"][1]["fingerprint"]);
    // The check can fail.
    let mut wrong = body.clone();
    wrong["alerts"][0]["startsAt"] = json!("yesterday");
    assert!(is_version_4(&wrong).is_err());
    wrong = body;
    wrong["commonLabels"]["severity"] = json!(1);
    assert!(is_version_4(&wrong).is_err());
}
