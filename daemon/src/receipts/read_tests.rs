//! Every sample of a report, and what it is in normal form.

use super::*;

/// A sample, and the kinds of its reports.
type Sample = (&'static str, &'static [Kind]);

const TWILIO: [Sample; 16] = [
    ("inbound_message", &[Kind::Nothing]),
    ("inbound_stop_optout", &[Kind::OptOut]),
    ("status_canceled", &[Kind::Failed]),
    ("status_delivered", &[Kind::Delivered]),
    ("status_failed_21610", &[Kind::WithheldOptedOut]),
    ("status_failed_30001", &[Kind::Failed]),
    ("status_queued", &[Kind::Sent]),
    ("status_queued_messaging_service", &[Kind::Sent]),
    ("status_read_whatsapp_channel", &[Kind::Read]),
    ("status_sending", &[Kind::Sent]),
    ("status_sent", &[Kind::Sent]),
    ("status_undelivered_30003", &[Kind::Failed]),
    ("status_undelivered_30005", &[Kind::HardBounce]),
    ("status_undelivered_30006", &[Kind::HardBounce]),
    ("status_undelivered_30007", &[Kind::Failed]),
    ("status_undelivered_30008", &[Kind::Doubtful]),
];

const SENDGRID: [Sample; 17] = [
    ("event_account_status_change", &[Kind::Account]),
    ("event_bounce", &[Kind::HardBounce]),
    ("event_bounce_async_no_message_id", &[Kind::HardBounce]),
    ("event_bounce_blocked", &[Kind::SoftBounce]),
    ("event_click", &[Kind::Clicked]),
    ("event_deferred", &[Kind::Delayed]),
    ("event_delivered", &[Kind::Delivered]),
    ("event_dropped", &[Kind::WithheldBounced]),
    ("event_dropped_unsubscribed", &[Kind::WithheldOptedOut]),
    ("event_group_resubscribe", &[Kind::OptIn]),
    ("event_group_unsubscribe", &[Kind::OptOut]),
    ("event_open", &[Kind::Opened]),
    ("event_open_machine", &[Kind::Nothing]),
    ("event_processed", &[Kind::Sent]),
    ("event_spamreport", &[Kind::Complaint]),
    ("event_unsubscribe", &[Kind::OptOut]),
    (
        "events_all_in_one_post",
        &[
            Kind::Sent,
            Kind::WithheldBounced,
            Kind::WithheldOptedOut,
            Kind::Delivered,
            Kind::Delayed,
            Kind::HardBounce,
            Kind::SoftBounce,
            Kind::HardBounce,
            Kind::Opened,
            Kind::Nothing,
            Kind::Clicked,
            Kind::Complaint,
            Kind::OptOut,
            Kind::OptOut,
            Kind::OptIn,
            Kind::Account,
        ],
    ),
];

const RESEND: [Sample; 11] = [
    ("email.bounced", &[Kind::HardBounce]),
    ("email.bounced.transient", &[Kind::SoftBounce]),
    ("email.clicked", &[Kind::Clicked]),
    ("email.complained", &[Kind::Complaint]),
    ("email.delivered", &[Kind::Delivered]),
    ("email.delivery_delayed", &[Kind::Delayed]),
    ("email.failed", &[Kind::Failed]),
    ("email.opened", &[Kind::Opened]),
    ("email.scheduled", &[Kind::Sent]),
    ("email.sent", &[Kind::Sent]),
    ("email.suppressed", &[Kind::WithheldBounced]),
];

const WHATSAPP: [Sample; 19] = [
    ("account_update_restriction", &[Kind::Account]),
    ("message_button_unsubscribe", &[Kind::OptOut]),
    ("message_text_stop", &[Kind::OptOut]),
    ("status_delivered", &[Kind::Delivered]),
    ("status_delivered_free_service", &[Kind::Delivered]),
    ("status_failed_130472", &[Kind::Failed]),
    ("status_failed_131026", &[Kind::Failed]),
    ("status_failed_131047", &[Kind::Failed]),
    ("status_failed_131048", &[Kind::Failed]),
    ("status_failed_131049", &[Kind::Failed]),
    ("status_failed_131050", &[Kind::WithheldOptedOut]),
    ("status_failed_131053", &[Kind::Failed]),
    ("status_played", &[Kind::Read]),
    ("status_read", &[Kind::Read]),
    ("status_sent", &[Kind::Sent]),
    ("status_sent_v23_legacy_conversation", &[Kind::Sent]),
    ("statuses_batch", &[Kind::Sent, Kind::Delivered, Kind::Failed]),
    ("template_status_paused", &[Kind::Account]),
    ("value_errors_130429", &[Kind::Account]),
];

const SLACK: [Sample; 4] = [
    ("event_app_rate_limited", &[Kind::Account]),
    ("event_app_uninstalled", &[Kind::Account]),
    ("event_message", &[Kind::OptOut]),
    ("event_tokens_revoked", &[Kind::Account]),
];

fn file(folder: &str, name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/receipts/payloads/{folder}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

fn heard(kind: ProviderKind, query: &str, body: &[u8]) -> Vec<Report> {
    let post = Post { query, delivery: "msg_1", body };
    match read(kind, Channel::Sms, &post).unwrap() {
        Heard::Reports(reports) => reports,
        Heard::Challenge(_) => panic!("a handshake"),
    }
}

/// The body as it comes: Twilio's samples are forms, told in JSON.
fn body(kind: ProviderKind, folder: &str, name: &str) -> Vec<u8> {
    let bytes = file(folder, name);
    if kind == ProviderKind::Twilio {
        let told: Value = serde_json::from_slice(&bytes).unwrap();
        return told["raw"].as_str().unwrap().as_bytes().to_vec();
    }
    bytes
}

fn samples() -> Vec<(ProviderKind, &'static str, &'static [Sample])> {
    vec![
        (ProviderKind::Twilio, "twilio", &TWILIO),
        (ProviderKind::SendGrid, "sendgrid", &SENDGRID),
        (ProviderKind::Resend, "resend", &RESEND),
        (ProviderKind::WhatsApp, "whatsapp", &WHATSAPP),
        (ProviderKind::Slack, "slack", &SLACK),
    ]
}

#[test]
fn every_sample_is_of_the_kind_that_it_says() {
    let others = ["hub_challenge_request", "event_url_verification"];
    for (kind, folder, samples) in samples() {
        for (name, expected) in samples {
            let reports = heard(kind, "usher_message=m12", &body(kind, folder, name));
            let kinds: Vec<Kind> = reports.iter().map(|report| report.kind).collect();
            assert_eq!(&kinds, expected, "{folder}/{name}");
        }
        // None is left out.
        let path = format!("{}/tests/data/receipts/payloads/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = name.trim_end_matches(".json");
            assert!(others.contains(&name) || samples.iter().any(|(known, _)| *known == name), "{folder}/{name}");
        }
    }
}

#[test]
fn what_each_provider_carries_of_ours_is_found() {
    let twilio =
        heard(ProviderKind::Twilio, "a=b&usher_message=m4711", &body(ProviderKind::Twilio, "twilio", "status_sent"));
    assert_eq!(twilio[0].message, Some(MessageId(4711)));
    assert_eq!(twilio[0].provider_id, "SMa1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4");
    let with = |folder: &str, name: &str, pointer: &str, key: &str, tag: Value| {
        let mut value: Value = serde_json::from_slice(&file(folder, name)).unwrap();
        value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.to_owned(), tag);
        value.to_string().into_bytes()
    };
    let sendgrid = with("sendgrid", "event_bounce_async_no_message_id", "/0", "usher_message", "m4711".into());
    let resend = with("resend", "email.delivered", "/data", "tags", serde_json::json!({"usher_message": "m4711"}));
    let paired = serde_json::json!([{"name": "usher_message", "value": "m4711"}]);
    let paired = with("resend", "email.delivered", "/data", "tags", paired);
    let status = "/entry/0/changes/0/value/statuses/0";
    let whatsapp = with("whatsapp", "status_read", status, "biz_opaque_callback_data", "m4711".into());
    let all = [
        heard(ProviderKind::SendGrid, "", &sendgrid),
        heard(ProviderKind::Resend, "", &resend),
        heard(ProviderKind::Resend, "", &paired),
        heard(ProviderKind::WhatsApp, "", &whatsapp),
    ];
    for reports in all {
        assert_eq!(reports[0].message, Some(MessageId(4711)), "{reports:?}");
    }
    // Another program's tag is not one of our ids.
    let other = with("sendgrid", "event_bounce", "/0", "usher_message", "4711".into());
    assert_eq!(heard(ProviderKind::SendGrid, "", &other)[0].message, None);
}

#[test]
fn every_event_has_a_name_of_its_own_and_the_same_one_when_told_again() {
    for (kind, folder, samples) in samples() {
        for (name, _) in samples {
            let bytes = body(kind, folder, name);
            let (once, twice) = (heard(kind, "", &bytes), heard(kind, "", &bytes));
            assert_eq!(once, twice);
            let mut names: Vec<&str> = once.iter().map(|report| report.event.as_str()).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(names.len() == count && !names.contains(&""), "{folder}/{name}");
        }
    }
}

#[test]
fn nobody_is_named_in_what_is_kept() {
    for (kind, folder, samples) in samples() {
        for (name, _) in samples {
            for report in heard(kind, "", &body(kind, folder, name)) {
                let kept = format!("{} {}", report.code, report.detail);
                assert!(!kept.contains('@') && !kept.contains("1500"), "{folder}/{name}: {kept}");
                if let Some((_, address)) = &report.recipient {
                    assert!(!kept.contains(address.as_str()), "{folder}/{name}: {kept}");
                }
            }
        }
    }
    let body =
        br#"[{"event":"bounce","type":"bounce","email":"zoe@guest.example","reason":"550 <zoe@guest.example> no"}]"#;
    assert_eq!(heard(ProviderKind::SendGrid, "", body)[0].detail, "550 <<recipient>> no");
}

#[test]
fn a_word_that_nobody_knows_is_kept_and_no_error() {
    let cases: [(ProviderKind, &str); 6] = [
        (ProviderKind::Twilio, "MessageSid=SM1&MessageStatus=teleported"),
        (ProviderKind::SendGrid, r#"[{"event":"teleported"}, 7]"#),
        (ProviderKind::Resend, r#"{"type":"email.teleported"}"#),
        (
            ProviderKind::WhatsApp,
            r#"{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"moon","value":{}}]}]}"#,
        ),
        (ProviderKind::Slack, r#"{"type":"event_callback","event":{"type":"moon"}}"#),
        (ProviderKind::Webhook, r#"{"version":1,"state":"moon"}"#),
    ];
    for (kind, body) in cases {
        let reports = heard(kind, "", body.as_bytes());
        assert!(!reports.is_empty() && reports.iter().all(|report| report.kind == Kind::Foreign), "{reports:?}");
    }
}

#[test]
fn what_is_not_even_of_the_format_is_refused() {
    let cases = [(ProviderKind::SendGrid, "{}"), (ProviderKind::WhatsApp, "{}"), (ProviderKind::Webhook, "{}")];
    for (kind, body) in cases.into_iter().chain([(ProviderKind::Resend, "<html>"), (ProviderKind::Smtp, "{}")]) {
        assert!(
            read(kind, Channel::Sms, &Post { query: "", delivery: "", body: body.as_bytes() }).is_err(),
            "{kind:?}"
        );
    }
}

#[test]
fn slack_asks_whether_we_are_there() {
    let post = Post { query: "", delivery: "", body: &file("slack", "event_url_verification") };
    let expected = Heard::Challenge("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned());
    assert_eq!(read(ProviderKind::Slack, Channel::Slack, &post), Ok(expected));
}

#[test]
fn a_gateway_of_ones_own_reports_one_or_many() {
    let one = r#"{"version":1,"event":"e1","message":"m7","id":"g-1","state":"delivered","at":"2026-11-22T10:00:00Z"}"#;
    let report = &heard(ProviderKind::Webhook, "", one.as_bytes())[0];
    assert_eq!((report.kind, report.message, report.event.as_str()), (Kind::Delivered, Some(MessageId(7)), "e1"));
    assert_eq!(report.at, Some(usher_common::model::Timestamp(1_795_341_600_000)));
    let many = r#"{"version":1,"reports":[{"event":"e2","state":"bounced","to":"+41791234567"},{"event":"e3","state":"sent"}]}"#;
    let reports = heard(ProviderKind::Webhook, "", many.as_bytes());
    assert_eq!(reports[0].recipient, Some((Channel::Sms, "+41791234567".to_owned())));
    assert_eq!(reports.iter().map(|report| report.kind).collect::<Vec<_>>(), [Kind::HardBounce, Kind::Sent]);
}

#[test]
fn kinds_are_read_back_from_their_words() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_word(kind.as_str()), Some(kind));
    }
}

#[test]
fn on_whatsapp_a_guest_opts_out_by_a_preference_and_only_by_that_word() {
    let preference = |value: &str, at: u32| {
        format!(r#"{{"wa_id":"14155550123","value":"{value}","category":"marketing_messages","timestamp":{at}}}"#)
    };
    let all = [preference("stop", 1), preference("resume", 2), preference("pause", 3)].join(",");
    let change = format!(r#"{{"field":"user_preferences","value":{{"user_preferences":[{all}]}}}}"#);
    let body = format!(r#"{{"object":"whatsapp_business_account","entry":[{{"changes":[{change}]}}]}}"#);
    let reports = heard(ProviderKind::WhatsApp, "", body.as_bytes());
    let kinds: Vec<Kind> = reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [Kind::OptOut, Kind::OptIn, Kind::Foreign]);
    let guest = Some((Channel::WhatsApp, "+14155550123".to_owned()));
    assert!(reports.iter().all(|report| report.recipient == guest && report.message.is_none()), "{reports:?}");
    let events: std::collections::BTreeSet<&str> = reports.iter().map(|report| report.event.as_str()).collect();
    assert_eq!(events.len(), 3, "each is another event");
}
