//! SendGrid's errors: statuses, usual texts, and the field that each is about.
//! Promises: every body is `{"errors": [{"message", "field", "help"}]}`; there are no codes, so the texts are the vendor's.

use crate::http::Answer;
use hyper::StatusCode;
use serde_json::json;
use std::borrow::Cow;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Path of the field, as `personalizations.0.to.0.email`.
    pub(crate) field: Option<String>,
    pub(crate) message: Cow<'static, str>,
}

/// An error that SendGrid answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    flaws: Vec<Flaw>,
}

/// The usual text of each status.
const USUAL: [(u16, &str); 9] = [
    (400, "Bad Request"),
    (401, "The provided authorization grant is invalid, expired, or revoked"),
    (403, "access forbidden"),
    (404, "not found"),
    (405, "method not allowed"),
    (406, "not acceptable"),
    (413, "content too large"),
    (415, "Content-Type should be application/json."),
    (429, "too many requests"),
];

/// What an address that is none is answered with.
pub(crate) const BAD_ADDRESS: &str = "Does not contain a valid address.";

impl Flaw {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), message: message.into() }
    }
}

impl Refusal {
    /// Fields that are wrong, all of them.
    pub(crate) fn fields(flaws: Vec<Flaw>) -> Self {
        Self { status: 400, flaws }
    }

    /// A status with a text of its own.
    pub(crate) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, flaws: vec![Flaw { field: None, message: message.into() }] }
    }

    /// A status with its usual text; those of 500 and more share one.
    pub(crate) fn usual(status: u16) -> Self {
        let known = USUAL.iter().find(|(known, _)| *known == status).map(|(_, text)| *text);
        Self::new(status, known.unwrap_or("internal server error"))
    }

    pub(crate) fn unverified_sender() -> Self {
        let text = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is \
                    resolved. Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the \
                    Sender Identity requirements";
        Self { status: 403, flaws: vec![Flaw::new("from", text)] }
    }

    pub(crate) fn answer(&self) -> Answer {
        let one = |flaw: &Flaw| json!({ "message": flaw.message, "field": flaw.field, "help": null });
        let body = json!({ "errors": self.flaws.iter().map(one).collect::<Vec<_>>() });
        let status = StatusCode::from_u16(self.status).expect("statuses here are from the table or checked");
        Answer::json(status, body.to_string().into_bytes())
    }
}
