//! The message resource, as Twilio writes it: in the answer to a send, in look-ups, in lists.
//! Promises: pure; every number is a string; the fields and their nulls are those of the vendor's specification.

use super::submission::Submission;
use super::{ROOT, segments};
use jiff::Timestamp;
use serde::Serialize;

const RFC_2822: &str = "%a, %d %b %Y %H:%M:%S +0000";

/// What is known of a message whatever is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) account: &'a str,
    pub(super) sid: &'a str,
    pub(super) to: &'a str,
    pub(super) created: Timestamp,
    /// Asked for later, rather than just sent: by then it has left.
    pub(super) looked_up: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    account_sid: &'a str,
    api_version: &'static str,
    body: Option<&'a str>,
    date_created: &'a str,
    date_sent: Option<&'a str>,
    date_updated: &'a str,
    direction: &'static str,
    error_code: Option<u32>,
    error_message: Option<&'static str>,
    from: Option<&'a str>,
    messaging_service_sid: Option<&'a str>,
    num_media: String,
    num_segments: Option<String>,
    price: Option<&'static str>,
    price_unit: &'static str,
    sid: &'a str,
    status: &'static str,
    subresource_uris: Media,
    to: &'a str,
    uri: String,
}

#[derive(Serialize)]
struct Media {
    media: String,
}

impl Message<'_> {
    /// The resource as JSON; text, sender and service are null once the submission is no longer kept.
    pub(super) fn written(&self, submission: Option<&Submission<'_>>) -> Vec<u8> {
        let service = submission.and_then(|s| s.service.as_deref());
        let scheduled = submission.is_some_and(|s| s.send_at.is_some());
        let sent = self.looked_up && !scheduled;
        let status = match (scheduled, sent, service) {
            (true, ..) => "scheduled",
            (false, true, _) => "sent",
            (false, false, Some(_)) => "accepted",
            (false, false, None) => "queued",
        };
        let text = submission.map(|s| s.body.as_deref().unwrap_or_default());
        // With a service, no sender is chosen yet, so nothing is counted yet.
        let count = |text| if service.is_some() && !sent { 0 } else { segments::count(text) };
        let date = self.created.strftime(RFC_2822).to_string();
        let uri = format!("{ROOT}{}/Messages/{}", self.account, self.sid);
        let written = Written {
            account_sid: self.account,
            api_version: "2010-04-01",
            body: text,
            date_created: &date,
            date_sent: sent.then_some(&date),
            date_updated: &date,
            direction: "outbound-api",
            error_code: None,
            error_message: None,
            from: submission.and_then(|s| s.from.as_deref()),
            messaging_service_sid: service,
            num_media: submission.map_or(0, |s| s.media).to_string(),
            num_segments: text.map(|text| count(text).to_string()),
            price: None,
            price_unit: "USD",
            sid: self.sid,
            status,
            subresource_uris: Media { media: format!("{uri}/Media.json") },
            to: self.to,
            uri: format!("{uri}.json"),
        };
        serde_json::to_vec(&written).expect("texts and numbers can always be written")
    }
}
