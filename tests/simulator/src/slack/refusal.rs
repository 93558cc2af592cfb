//! Slack's errors: words in a body, and the status only where it throttles or breaks.
//! Promises: the Web API answers `{"ok": false, "error"}` with 200; a webhook answers the bare word with a status that tells.

use crate::http::Answer;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// An error that Slack answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The word.
    pub(crate) error: Cow<'static, str>,
    /// What comes beside it.
    detail: Map<String, Value>,
}

impl Refusal {
    pub(crate) fn word(error: impl Into<Cow<'static, str>>) -> Self {
        Self { error: error.into(), detail: Map::new() }
    }

    /// With sentences about single fields.
    pub(crate) fn about(error: &'static str, message: &str) -> Self {
        Self::word(error).with("response_metadata", json!({ "messages": [format!("[ERROR] {message}")] }))
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.detail.insert(name.to_owned(), value);
        self
    }

    /// As the Web API says it. HTTP calls it a success; it is counted as what it is.
    pub(crate) fn answer(&self) -> Answer {
        let counted = match self.error.as_ref() {
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => StatusCode::TOO_MANY_REQUESTS,
            "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        };
        self.with_status(StatusCode::OK).counted_as(counted)
    }

    /// As the Web API says it, with a status of its own.
    pub(crate) fn with_status(&self, status: StatusCode) -> Answer {
        let mut body = self.detail.clone();
        body.insert("ok".to_owned(), false.into());
        body.insert("error".to_owned(), self.error.as_ref().into());
        Answer::json(status, Value::Object(body).to_string().into_bytes())
    }

    /// As an incoming webhook says it. The status of the words about teams and services is assumed.
    pub(crate) fn plain(&self) -> Answer {
        let (status, word) = match self.error.as_ref() {
            "channel_not_found" | "no_team" | "no_service" => (404, self.error.as_ref()),
            "is_archived" | "channel_is_archived" => (410, "channel_is_archived"),
            "ratelimited" | "rate_limited" => (429, "rate_limited"),
            "rollup_error" => (500, "rollup_error"),
            "invalid_token" | "action_prohibited" | "posting_to_general_channel_denied" => (403, self.error.as_ref()),
            "not_in_channel" => (403, "action_prohibited"),
            word if word.starts_with("restricted_action") => (403, "action_prohibited"),
            // Webhooks call every broken body by one name.
            "invalid_json" | "json_not_object" | "invalid_form_data" => (400, "invalid_payload"),
            word => (400, word),
        };
        text(StatusCode::from_u16(status).expect("statuses here are from the table"), word)
    }

    /// The usual word of a status, where a fault names none.
    pub(crate) fn for_status(status: StatusCode) -> Self {
        Self::word(match status.as_u16() {
            408 => "request_timeout",
            413 => "invalid_form_data",
            429 => "ratelimited",
            503 => "service_unavailable",
            500.. => "internal_error",
            401 | 403 => "invalid_auth",
            _ => "invalid_arguments",
        })
    }
}

/// What a webhook answers: words, called HTML.
pub(crate) fn text(status: StatusCode, word: &str) -> Answer {
    Answer::new(status, "text/html", word.to_owned())
}
