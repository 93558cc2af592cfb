//! Fuzz targets: what comes from outside, or from a disk, as any bytes at all. Each must come back, and quickly, whatever it
//! is given; what it answers is a promise of its own, and is checked here.
//!
//! Two engines drive them: `usher-fuzz` mutates a kept corpus without knowing the code, in the ordinary build; and
//! `cargo fuzz`, below `coverage/`, follows the code's own branches. `docs/fuzzing.md` says how either is run.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use usher_common::model::{Channel, ProviderKind, Timestamp};
use usher_common::protocol::{CLIENT_FRAME_CAP, ClientFrame, Codec, SERVER_FRAME_CAP, ServerFrame, decode, encode};
use usherd::receipts::verify::{Call, Key, Scheme, verify};
use usherd::receipts::{Heard, MailReport, read, read_mail};
use usherd::store::engine::survey;

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line and its folder in the corpus.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// An input that it takes, from which the first ones are made.
    pub seed: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "webhook", run: webhook, seed: webhook_seeds },
    Target { name: "mail", run: mail, seed: mail_seeds },
    Target { name: "log_frame", run: log_frame, seed: log_seeds },
    Target { name: "console_frame", run: console_frame, seed: console_seeds },
];

/// A provider's report as it comes in: a byte that says whose, headers by line, an empty line, the body.
pub fn webhook(input: &[u8]) {
    const KINDS: [(ProviderKind, Scheme, Channel, &str); 6] = [
        (ProviderKind::Resend, Scheme::Svix, Channel::Email, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (ProviderKind::Twilio, Scheme::Twilio, Channel::Sms, "12345"),
        (ProviderKind::SendGrid, Scheme::SendGrid, Channel::Email, SENDGRID_KEY),
        (ProviderKind::WhatsApp, Scheme::Meta, Channel::WhatsApp, "app-secret-of-a-test"),
        (ProviderKind::Slack, Scheme::Slack, Channel::Slack, "8f742231b10e8888abcd99yyyzzz85a5"),
        (ProviderKind::Webhook, Scheme::Usher, Channel::Sms, "a-secret-of-sixteen-letters"),
    ];
    let Some((&whose, rest)) = input.split_first() else { return };
    let (kind, scheme, channel, secret) = KINDS[usize::from(whose) % KINDS.len()];
    let (head, body) = split(rest);
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let url = std::str::from_utf8(head).unwrap_or("https://hooks.example/hooks/x");
    let call = Call { get: whose >= 128, url, headers: &headers, body };
    let key = Key::new(scheme, secret).expect("these keys are of their scheme's form");
    let now = Timestamp(1_800_000_000_000);
    // Nobody who does not know the secret is believed, whatever is sent.
    let believed = verify(scheme, std::slice::from_ref(&key), &call, now).is_ok();
    assert!(!believed || is_signed(&headers, url), "a forged report of {kind:?} was believed");
    let post = usherd::receipts::read::Post { query: url, delivery: "d", body };
    if let Ok(Heard::Reports(reports)) = read(kind, channel, &post) {
        for report in reports {
            assert!(report.detail.len() <= 4_096 && report.code.len() <= 4_096, "a report of {kind:?} without bounds");
        }
    }
}

/// A signature needs a header or a parameter to be in.
fn is_signed(headers: &HeaderMap, url: &str) -> bool {
    !headers.is_empty() || url.contains("sha256") || url.contains("ignature")
}

/// P-256, as SendGrid's page shows it; from its own examples.
const SENDGRID_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";

fn split(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (&[], input),
    }
}

/// A mail, as a mail server hands it over: what is read of it is bounded, and the same when it is read again.
pub fn mail(input: &[u8]) {
    let Ok(reports) = read_mail(input) else { return };
    assert!(reports.len() <= 16, "{} reports in one mail", reports.len());
    for report in &reports {
        let texts = report.names.iter().chain(&report.addresses);
        let longest = texts.chain([&report.code, &report.detail]).map(String::len).max();
        assert!(longest < Some(16_384) && report.names.len() + report.addresses.len() <= 64, "a report without bounds");
        let text = serde_json::to_string(report).expect("a report can be written");
        assert_eq!(&serde_json::from_str::<MailReport>(&text).expect("and read back"), report);
    }
    assert_eq!(read_mail(input), Ok(reports));
}

/// A segment of the commit log, as it lies and with its first frame's checksum made right, so that what is behind the checksum
/// is reached too.
pub fn log_frame(input: &[u8]) {
    let as_it_is = survey(input);
    assert!(as_it_is.bytes <= input.len() as u64);
    let Some((lead, rest)) = input.split_at_checked(8) else { return };
    let mut mended = Vec::with_capacity(input.len());
    mended.extend((rest.len() as u32).to_le_bytes());
    mended.extend(crc32c::crc32c(rest).to_le_bytes());
    mended.extend(rest);
    let found = survey(&mended);
    assert!(found.frames <= 1 && found.bytes <= mended.len() as u64, "one frame has one length");
    let _ = lead;
}

/// A frame of a console or a daemon, in both codecs: what is understood means the same when it is written again.
pub fn console_frame(input: &[u8]) {
    for codec in [Codec::Bincode, Codec::Json] {
        if let Ok(frame) = decode::<ClientFrame>(codec, input, CLIENT_FRAME_CAP) {
            let again = decode::<ClientFrame>(codec, &encode(codec, &frame), CLIENT_FRAME_CAP);
            assert!(again.is_ok_and(|again| same(&again, &frame)), "{frame:?} is not what it was");
        }
        if let Ok(frame) = decode::<ServerFrame>(codec, input, SERVER_FRAME_CAP) {
            let again = decode::<ServerFrame>(codec, &encode(codec, &frame), SERVER_FRAME_CAP);
            assert!(again.is_ok_and(|again| same(&again, &frame)), "{frame:?} is not what it was");
        }
    }
}

/// Whether two frames say the same. Compared as text, since a number that is none (NaN) does not equal itself; JSON has no
/// such numbers, and writes them as nothing.
fn same<T: std::fmt::Debug>(a: &T, b: &T) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

fn webhook_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x00svix-id:msg_1\nsvix-timestamp:1800000000\nsvix-signature:v1,AAAA\n\n{\"type\":\"email.delivered\",\"data\":{\"email_id\":\"e\",\"to\":[\"a@b.example\"],\"tags\":{\"usher_message\":\"m1\"}}}".to_vec(),
        b"\x01x-twilio-signature:AAAA\n\nMessageSid=SM1&MessageStatus=delivered&To=%2B12125550101&ErrorCode=30003".to_vec(),
        b"\x02x-twilio-email-event-webhook-timestamp:1800000000\nx-twilio-email-event-webhook-signature:AAAA\n\n[{\"event\":\"bounce\",\"email\":\"a@b.example\",\"sg_event_id\":\"x\",\"sg_message_id\":\"y\",\"status\":\"5.1.1\"}]".to_vec(),
        b"\x03x-hub-signature-256:sha256=00\n\n{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{\"statuses\":[{\"id\":\"wamid.1\",\"status\":\"failed\",\"errors\":[{\"code\":131026}]}]}}]}]}".to_vec(),
        b"\x04x-slack-signature:v0=00\nx-slack-request-timestamp:1800000000\n\n{\"type\":\"event_callback\",\"event\":{\"type\":\"message\"}}".to_vec(),
        b"\x05usher-signature:v1=00\nusher-timestamp:1800000000\n\n{\"reports\":[{\"id\":\"1\",\"message\":\"m1\",\"status\":\"delivered\"}]}".to_vec(),
    ]
}

fn mail_seeds() -> Vec<Vec<u8>> {
    let head = "From: m@x.example\nMessage-ID: <d@x.example>\nIn-Reply-To: <m1.00@a.example>\nMIME-Version: 1.0\n\
                Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n--b\n\nwords\n--b\n";
    let status = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\nOriginal-Envelope-Id: m1.00@a.example\n\n\
                  Final-Recipient: rfc822; z@g.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550\n 5.1.1 no\n\n--b\n";
    let letter = "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nMessage-ID: <m1.00@a.example>\n\
                  X-Usher-Message: m1\nTo: Z <z@g.example>\nSubject: =?utf-8?q?H=C3=B6?=\n\nDear Z\n--b--\n";
    let encoded = "Content-Type: text/rfc822-headers\nContent-Transfer-Encoding: base64\n\n\
                   TWVzc2FnZS1JRDogPG0xLjAwQGEuZXhhbXBsZT4KVG86IHpAZy5leGFtcGxlCg==\n--b--\n";
    let abuse = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: <z@g.example>\n\n--b\n";
    [[head, status, letter], [head, status, encoded], [head, abuse, letter]]
        .map(|parts| parts.concat().into_bytes())
        .to_vec()
}

fn log_seeds() -> Vec<Vec<u8>> {
    // Length and checksum are made right by the target; what follows is format, timeline, lsn, time and an empty payload.
    let mut frame = vec![0_u8; 8];
    frame.push(1);
    frame.extend(1_u64.to_le_bytes());
    frame.extend(1_u64.to_le_bytes());
    frame.extend(1_800_000_000_000_i64.to_le_bytes());
    frame.extend([0, 0]);
    vec![frame]
}

fn console_seeds() -> Vec<Vec<u8>> {
    let hello = ClientFrame::Hello { client: "usher 0.1.0".to_owned() };
    let beat = ServerFrame::Heartbeat { seq: 3, now: Timestamp(1_800_000_000_000) };
    [Codec::Bincode, Codec::Json].into_iter().flat_map(|codec| [encode(codec, &hello), encode(codec, &beat)]).collect()
}
