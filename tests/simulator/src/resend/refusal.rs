//! Resend's errors: names, statuses and usual texts.
//! Promises: every body is `{"statusCode", "name", "message"}`; a client decides on the name.

use crate::http::Answer;
use hyper::StatusCode;
use std::borrow::Cow;

/// An error that Resend answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) name: String,
    pub(crate) message: Cow<'static, str>,
}

/// Name, status, and text of each error that has a usual one.
const USUAL: [(&str, u16, &str); 21] = [
    ("invalid_idempotency_key", 400, "The key must be between 1-256 chars."),
    ("validation_error", 400, "We found an error with one or more fields in the request."),
    ("missing_api_key", 401, "Missing API key in the authorization header."),
    ("restricted_api_key", 401, "This API key is restricted to only send emails."),
    ("invalid_api_key", 403, "API key is invalid"),
    ("suspended_api_key", 403, "This API key is suspended"),
    ("invalid_permission", 403, "The token does not have the permission for this request."),
    ("not_found", 404, "The requested endpoint does not exist."),
    ("method_not_allowed", 405, "This endpoint does not support the specified HTTP method."),
    ("invalid_idempotent_request", 409, "Same idempotency key used with a different request payload."),
    ("concurrent_idempotent_requests", 409, "Same idempotency key used while original request is still in progress."),
    ("resource_locked", 409, "Another request is updating this resource."),
    ("missing_required_field", 422, "The request body is missing one or more required fields."),
    ("invalid_parameter", 422, "A parameter has a value that is not allowed."),
    ("rate_limit_exceeded", 429, "Too many requests. Please limit the number of requests per second."),
    ("daily_quota_exceeded", 429, "You have reached your daily email sending quota."),
    ("monthly_quota_exceeded", 429, "You have reached your monthly email sending quota."),
    ("security_error", 451, "We may have found a security issue with the request."),
    ("internal_server_error", 500, "An unexpected error occurred."),
    ("application_error", 500, "An unexpected error occurred."),
    ("service_unavailable", 503, "The service is temporarily unavailable."),
];

impl Refusal {
    pub(crate) fn new(status: u16, name: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, name: name.to_owned(), message: message.into() }
    }

    /// An error with its usual status and text; a name that is not known becomes a 422.
    pub(crate) fn usual(name: &str) -> Self {
        let known = USUAL.iter().find(|(known, ..)| *known == name);
        let (_, status, text) = *known.unwrap_or(&("", 422, "The request cannot be processed."));
        Self::new(status, name, text)
    }

    /// The error for a status, under `name` if given.
    pub(crate) fn for_status(status: u16, name: Option<&str>) -> Self {
        let by_status = USUAL.iter().find(|(_, known, _)| *known == status).map(|(name, ..)| *name);
        let fallback = if status < 500 { "invalid_parameter" } else { "internal_server_error" };
        let name = name.or(by_status).unwrap_or(fallback);
        Self { status, ..Self::usual(name) }
    }

    pub(crate) fn not_found(message: &'static str) -> Self {
        Self::new(404, "not_found", message)
    }

    /// A required field that is not there.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new(422, "missing_required_field", format!("Missing `{field}` field."))
    }

    /// A field whose value cannot be used, with what would do.
    pub(crate) fn invalid(field: &str, wanted: &str) -> Self {
        Self::new(422, "validation_error", format!("Invalid `{field}` field. {wanted}"))
    }

    /// A recipient that is no address.
    pub(crate) fn bad_address(field: &str) -> Self {
        Self::invalid(field, ADDRESS_WANTED)
    }

    /// A sender that is no address.
    pub(crate) fn bad_sender() -> Self {
        Self { name: "invalid_from_address".into(), ..Self::bad_address("from") }
    }

    pub(crate) fn answer(&self) -> Answer {
        let body = serde_json::json!({ "statusCode": self.status, "name": self.name, "message": self.message });
        let status = StatusCode::from_u16(self.status).expect("statuses here are from the table or checked");
        Answer::json(status, body.to_string().into_bytes())
    }
}

const ADDRESS_WANTED: &str =
    "The email address needs to follow the `email@example.com` or `Name <email@example.com>` format.";
