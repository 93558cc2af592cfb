//! Twilio's errors: codes, statuses and usual texts.
//! Promises: every body is `{"code", "message", "more_info", "status"}`; a client decides on the code.

use crate::http::Answer;
use hyper::StatusCode;
use std::borrow::Cow;

/// An error that Twilio answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: Cow<'static, str>,
}

/// Code, status, and text. 20001, 20004 and the 3511x codes come from Twilio's public list; the HTTP status of 14107, 20005,
/// 20006, 20008 and 21611 is assumed.
const USUAL: [(u32, u16, &str); 41] = [
    (14_107, 429, "SMS send rate limit exceeded"),
    (20_001, 400, "Invalid parameter"),
    (20_003, 401, "Authenticate"),
    (20_004, 405, "Method not allowed"),
    (20_005, 401, "Account not active"),
    (20_006, 403, "Access denied"),
    (20_008, 401, "Resource not accessible with Test Account Credentials"),
    (20_403, 403, "Forbidden"),
    (20_404, 404, "The requested resource was not found"),
    (20_429, 429, "Too Many Requests"),
    (20_500, 500, "Internal Server Error"),
    (20_503, 503, "Service unavailable"),
    (21_211, 400, "Invalid 'To' Phone Number"),
    (21_212, 400, "Invalid 'From' Phone Number"),
    (21_408, 400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    (21_601, 400, "Phone number is not a valid SMS-capable inbound phone number"),
    (21_602, 400, "Message body is required."),
    (21_603, 400, "A 'From' or 'MessagingServiceSid' parameter is required."),
    (21_604, 400, "A 'To' phone number is required."),
    (21_606, 400, "The 'From' phone number is not a valid message-capable Twilio phone number for this destination."),
    (21_608, 400, "The number is unverified. Trial accounts cannot send messages to unverified numbers."),
    (21_609, 400, "The 'StatusCallback' URL is not a valid URL."),
    (21_610, 400, "Attempt to send to unsubscribed recipient"),
    (21_611, 400, "This 'From' number has exceeded the maximum number of queued messages"),
    (21_612, 400, "The 'To' phone number is not currently reachable using the 'From' phone number via SMS."),
    (21_614, 400, "'To' number is not a valid mobile number"),
    (21_617, 400, "The concatenated message body exceeds the 1600 character limit."),
    (21_618, 400, "The message body cannot be sent."),
    (21_620, 400, "Invalid media URL(s)"),
    (21_654, 400, "ContentSid Required"),
    (21_656, 400, "The Content Variables parameter is invalid."),
    (21_659, 400, "The 'From' number is not a Twilio phone number or Short Code country mismatch"),
    (21_701, 400, "The Messaging Service does not exist."),
    (21_703, 400, "The Messaging Service has no number available for this destination."),
    (21_704, 400, "The Messaging Service contains no phone numbers."),
    (21_705, 400, "The Messaging Service is invalid."),
    (21_910, 400, "Invalid From and To pair. From and To should be of the same channel"),
    (30_007, 400, "Message filtered"),
    (35_111, 400, "ScheduleType must be 'fixed' when SendAt is given"),
    (35_114, 400, "SendAt must be between 15 minutes and 35 days in the future"),
    (35_118, 400, "MessagingServiceSid is required to schedule a message"),
];

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// An error with its usual status and text; a code that is not known becomes a 400.
    pub(crate) fn usual(code: u32) -> Self {
        let known = USUAL.iter().find(|(known, ..)| *known == code);
        let (_, status, text) = *known.unwrap_or(&(code, 400, "The request cannot be processed."));
        Self::new(status, code, text)
    }

    /// The usual error with the value at fault behind its text.
    pub(crate) fn about(code: u32, value: &str) -> Self {
        let usual = Self::usual(code);
        Self { message: format!("{}: {value}", usual.message).into(), ..usual }
    }

    /// What comes with a status alone. A gateway in front of the API answers 502 and 504, and not in JSON.
    pub(crate) fn for_status(status: StatusCode) -> Answer {
        if matches!(status.as_u16(), 502 | 504) {
            let text = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
            return Answer::new(status, "text/html", text);
        }
        let by_status = USUAL.iter().filter(|(code, ..)| *code / 1_000 == 20).find(|row| row.1 == status.as_u16());
        let code = by_status.map_or(if status.is_server_error() { 20_500 } else { 20_001 }, |row| row.0);
        Self { status: status.as_u16(), ..Self::usual(code) }.answer()
    }

    pub(crate) fn answer(&self) -> Answer {
        let body = serde_json::json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        });
        let status = StatusCode::from_u16(self.status).expect("statuses here are from the table or checked");
        Answer::json(status, body.to_string().into_bytes())
    }
}
