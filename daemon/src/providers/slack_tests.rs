//! The adapter for Slack, both as a bot and as a webhook, against its table of answers and a server that misbehaves.

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::*;
use crate::providers::fake::{Act, Fake, answer_to};
use crate::providers::settings::SlackWebhookConfig;
use crate::providers::table::{message, rows};

const GUEST: &str = "U012AB3CD";

fn config() -> ProviderConfig {
    let mut config = ProviderConfig::named("slack-1", ProviderKind::Slack);
    config.secret = Some("xoxb-secret".into());
    config.request_timeout_ms = 300;
    config
}

fn bot(url: &str) -> Slack {
    Slack::new(&ProviderConfig { base_url: Some(url.to_owned()), ..config() }).unwrap()
}

fn hook(url: &str) -> Slack {
    let webhook = SlackWebhookConfig { url: format!("{url}/services/T/B/x").into(), channel: GUEST.to_owned() };
    Slack::new(&ProviderConfig { slack_webhook: Some(webhook), ..config() }).unwrap()
}

fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Reply { status, headers: map, body: body.into() }
}

fn no(status: u16, word: &str) -> Reply {
    reply(status, &[], json!({"ok": false, "error": word}).to_string())
}

/// The words of a row; a star stands for anything.
fn words(code: &str) -> impl Iterator<Item = String> {
    code.split(" | ").map(|word| word.replace('*', "something"))
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    for row in rows("slack") {
        let (hooks, http) = row.http.strip_prefix("webhook ").map_or((false, row.http.as_str()), |rest| (true, rest));
        if http == "5xx / timeout" {
            for act in [Act::Hang, Act::Reset, Act::Close, Act::Answer(503, "", String::new())] {
                row.expect(&answer_to(act, config(), |c| Slack::new(c).unwrap(), GUEST).await);
            }
            row.expect(&classify(&no(500, "channel_not_found")));
            row.expect(&classify_hook(&reply(502, &[], "<html>")));
            continue;
        }
        let statuses = http.trim_end_matches(" (status U)").split('/').map(|status| status.parse::<u16>().unwrap());
        for (status, word) in statuses.flat_map(|status| words(&row.code).map(move |word| (status, word))) {
            let answer = match (hooks, word.as_str()) {
                (true, "-") => classify_hook(&reply(status, &[("retry-after", "1")], "rate_limited")),
                (true, word) => classify_hook(&reply(status, &[], word.to_owned())),
                (false, word) => classify(&no(status, word)),
            };
            if answer.class != OutcomeClass::Accepted && word != "-" && status < 500 {
                assert_eq!(answer.code, word, "{row:?}");
            }
            row.expect(&answer);
        }
    }
}

#[test]
fn a_good_answer_is_a_yes_only_with_its_channel_and_time_stamp() {
    let good = |body: &str| classify(&reply(200, &[], body.to_owned()));
    let yes = good(r#"{"ok":true,"channel":"D024BE91L","ts":"1503435956.000247","message":{}}"#);
    assert_eq!((yes.class, yes.provider_id.as_str()), (OutcomeClass::Accepted, "D024BE91L/1503435956.000247"));
    for body in ["", "ok", r#"{"ok":true}"#, r#"{"ok":true,"channel":"C1"}"#, r#"{"ok":true,"ts":"1.2"}"#] {
        assert_eq!(good(body).class, OutcomeClass::Unknown, "{body}");
    }
    assert_eq!(classify_hook(&reply(200, &[], "<html>ok</html>")).class, OutcomeClass::Unknown);
}

#[test]
fn the_wait_is_what_slack_says() {
    let wait = |status, word, headers: &[(&'static str, &str)]| {
        let body = json!({"ok": false, "error": word}).to_string();
        classify(&reply(status, headers, body)).retry_after
    };
    assert_eq!(wait(429, "ratelimited", &[("retry-after", "30")]), Some(Duration::from_secs(30)));
    assert_eq!(wait(200, "rate_limited", &[]), Some(GAP));
    assert_eq!(wait(200, "message_limit_exceeded", &[]), Some(FULL_WAIT));
    assert_eq!(wait(200, "channel_not_found", &[("retry-after", "30")]), None);
    let hooked = classify_hook(&reply(429, &[("retry-after", "1")], "rate_limited"));
    assert_eq!(hooked.retry_after, Some(Duration::from_secs(1)));
}

#[test]
fn a_word_that_nobody_knows_yet_proves_no_more_than_that_slack_said_no() {
    assert_eq!(classify(&no(200, "brand_new")).class, OutcomeClass::Refused);
    assert_eq!(classify(&no(403, "brand_new")).class, OutcomeClass::Unusable);
    assert_eq!(classify_hook(&reply(404, &[], "<html>")).class, OutcomeClass::Refused);
    let lacks = classify(&reply(200, &[], r#"{"ok":false,"error":"missing_scope","needed":"chat:write"}"#));
    assert_eq!(lacks.detail, "needs chat:write");
}

#[tokio::test]
async fn a_bot_writes_plain_words_that_call_nobody() {
    let answer = json!({"ok": true, "channel": "D1", "ts": "1.2"}).to_string();
    let fake = Fake::start(Act::Answer(200, "", answer)).await;
    let slack = bot(&fake.url);
    let text = "Dear <!channel> & co, see <https://x.example?a=1&b=2>".to_owned();
    let letter = Outgoing { text, ..message(GUEST) };
    let request = slack.prepare(std::slice::from_ref(&letter), "k").unwrap();
    assert_eq!(request, bot(&fake.url).prepare(&[letter], "k").unwrap());
    assert_eq!(slack.send(&request).await[0].provider_id, "D1/1.2");

    let seen = fake.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/chat.postMessage HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer xoxb-secret"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["channel"], GUEST);
    assert_eq!(body["text"], "Dear &lt;!channel&gt; &amp; co, see &lt;https://x.example?a=1&amp;b=2&gt;");
    assert_eq!(body["mrkdwn"], false);
    assert_eq!(body["metadata"]["event_payload"]["usher_message"], "m4711");
}

#[tokio::test]
async fn a_webhook_posts_for_its_own_channel_and_for_nobody_else() {
    let fake = Fake::start(Act::Answer(200, "", "ok".to_owned())).await;
    let slack = hook(&fake.url);
    let request = slack.prepare(&[message(GUEST)], "k").unwrap();
    assert_eq!(slack.send(&request).await[0].class, OutcomeClass::Accepted);
    let seen = fake.seen().remove(0);
    assert!(seen.starts_with("POST /services/T/B/x HTTP/1.1"), "{seen}");
    assert!(!seen.to_ascii_lowercase().contains("authorization"), "{seen}");
    let other = slack.prepare(&[message("U0OTHER")], "k").unwrap_err();
    let answer = other.answer();
    assert_eq!((answer.class, answer.scope), (OutcomeClass::Unusable, Some(Scope::Recipient)), "a bot may reach it");
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let slack = bot("http://127.0.0.1:1");
    for to in ["", "@anna", "#general", "u012ab3cd", "X012AB3CD", "U"] {
        assert_eq!(slack.prepare(&[message(to)], "k").unwrap_err().class(), OutcomeClass::Recipient, "{to}");
    }
    for text in [String::new(), "x".repeat(40_001), "&".repeat(8_001)] {
        let refused = slack.prepare(&[Outgoing { text, ..message(GUEST) }], "k").unwrap_err();
        assert_eq!(refused.class(), OutcomeClass::Refused);
    }
    assert!(slack.prepare(&[message(GUEST), message(GUEST)], "k").is_err());
    assert_eq!(slack.gap(), Some(GAP));
}

#[tokio::test]
async fn a_probe_of_a_bot_asks_who_it_is() {
    for (act, passed) in [
        (Act::Answer(200, "", r#"{"ok":true,"team":"Smith","user_id":"U1"}"#.to_owned()), true),
        (Act::Answer(200, "", r#"{"ok":false,"error":"invalid_auth"}"#.to_owned()), false),
        (Act::Answer(200, "", r#"{"ok":false,"error":"fatal_error"}"#.to_owned()), false),
        (Act::Answer(429, "retry-after: 30\r\n", r#"{"ok":false,"error":"ratelimited"}"#.to_owned()), true),
        (Act::Answer(500, "", String::new()), false),
        (Act::Hang, false),
    ] {
        let fake = Fake::start(act.clone()).await;
        assert_eq!(bot(&fake.url).probe().await.passed(), passed, "{act:?}");
        assert!(fake.seen()[0].starts_with("POST /api/auth.test "));
    }
}

#[tokio::test]
async fn a_probe_of_a_webhook_cannot_post_anything() {
    for (act, passed) in [
        (Act::Answer(400, "", "no_text".to_owned()), true),
        (Act::Answer(400, "", "invalid_payload".to_owned()), true),
        (Act::Answer(429, "", "rate_limited".to_owned()), true),
        (Act::Answer(404, "", "no_service".to_owned()), false),
        (Act::Answer(403, "", "invalid_token".to_owned()), false),
        (Act::Answer(410, "", "channel_is_archived".to_owned()), false),
        (Act::Answer(500, "", "rollup_error".to_owned()), false),
        (Act::Close, false),
    ] {
        let fake = Fake::start(act.clone()).await;
        assert_eq!(hook(&fake.url).probe().await.passed(), passed, "{act:?}");
        assert!(fake.seen()[0].ends_with("\r\n\r\n{}"), "{:?}", fake.seen());
    }
}
