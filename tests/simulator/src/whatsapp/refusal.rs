//! Meta's errors: codes, statuses and usual texts.
//! Promises: every body is `{"error": {"message", "type", "code", …, "fbtrace_id"}}`; a client decides on the code.

use crate::http::Answer;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::json;
use std::borrow::Cow;

/// An error that the Graph API answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    message: Cow<'static, str>,
    details: Option<Cow<'static, str>>,
    subcode: Option<u32>,
}

/// Code, status, title. The statuses are those of an older copy of Meta's table; today's names none.
const USUAL: [(u32, u16, &str); 44] = [
    (0, 401, "Authentication Error"),
    (1, 400, "API Unknown"),
    (2, 503, "Service temporarily unavailable"),
    (3, 500, "API Method"),
    (4, 400, "Application request limit reached"),
    (10, 403, "Application does not have permission for this action"),
    (33, 400, "Parameter value is not valid"),
    (100, 400, "Invalid parameter"),
    (190, 401, "Invalid OAuth access token"),
    (200, 403, "Permissions error"),
    (368, 403, "Temporarily blocked for policies violations"),
    (80_007, 400, "Rate limit issues"),
    (130_403, 400, "User blocked by the business"),
    (130_429, 400, "Rate limit hit"),
    (130_472, 400, "User's number is part of an experiment"),
    (130_497, 403, "Business account is restricted from messaging users in this country"),
    (131_000, 500, "Something went wrong"),
    (131_005, 403, "Access denied"),
    (131_008, 400, "Required parameter is missing"),
    (131_009, 400, "Parameter value is not valid"),
    (131_016, 500, "Service unavailable"),
    (131_021, 400, "Recipient cannot be sender"),
    (131_026, 400, "Message undeliverable"),
    (131_030, 400, "Recipient phone number not in allowed list"),
    (131_031, 403, "Business Account locked"),
    (131_037, 400, "WhatsApp provided number needs display name approval before message can be sent"),
    (131_042, 400, "Business eligibility payment issue"),
    (131_045, 500, "Incorrect certificate"),
    (131_047, 400, "Re-engagement message"),
    (131_048, 400, "Spam rate limit hit"),
    (131_049, 400, "This message was not delivered to maintain healthy ecosystem engagement."),
    (131_050, 400, "User stopped marketing messages"),
    (131_051, 400, "Unsupported message type"),
    (131_056, 400, "(Business Account, Consumer Account) pair rate limit hit"),
    (131_057, 500, "Account in maintenance mode"),
    (132_000, 400, "Number of parameters does not match the expected number of params"),
    (132_001, 404, "Template name does not exist in the translation"),
    (132_005, 400, "Translated text too long"),
    (132_007, 400, "Template format character policy violated"),
    (132_012, 400, "Parameter format does not match format in the created template"),
    (132_015, 400, "Template is paused"),
    (132_016, 400, "Template is disabled"),
    (133_010, 400, "Phone number not registered"),
    (135_000, 400, "Generic user error"),
];

/// Codes that mean "too much": they come with 400, and are counted as what they are.
const THROTTLING: [u32; 5] = [4, 80_007, 130_429, 131_048, 131_056];

impl Refusal {
    /// An error with its usual status and text; a code that is not known becomes a 400.
    pub(crate) fn usual(code: u32) -> Self {
        let known = USUAL.iter().find(|(known, ..)| *known == code);
        let (_, status, title) = *known.unwrap_or(&(code, 400, "The request cannot be processed"));
        Self { status, code, message: format!("(#{code}) {title}").into(), details: None, subcode: None }
    }

    /// The usual error, with what it is about.
    pub(crate) fn about(code: u32, details: impl Into<Cow<'static, str>>) -> Self {
        Self { details: Some(details.into()), ..Self::usual(code) }
    }

    /// A parameter that is missing.
    pub(crate) fn missing(name: &str) -> Self {
        Self::about(100, format!("The parameter {name} is required."))
    }

    /// A message of its own.
    pub(crate) fn saying(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::usual(code) }
    }

    pub(crate) fn subcode(self, subcode: u32) -> Self {
        Self { subcode: Some(subcode), ..self }
    }

    /// The error for a status, under `code` if given.
    pub(crate) fn for_status(status: u16, code: Option<u32>) -> Self {
        let usual = match status {
            401 => 190,
            403 => 10,
            404 => 132_001,
            429 => 130_429,
            503 => 2,
            500.. => 131_000,
            _ => 100,
        };
        Self { status, ..Self::usual(code.unwrap_or(usual)) }
    }

    pub(crate) fn answer(&self, trace: &str) -> Answer {
        let kind = if self.code == 33 { "GraphMethodException" } else { "OAuthException" };
        let mut error = json!({ "message": self.message, "type": kind, "code": self.code });
        // What is WhatsApp's own says so; what is the Graph API's does not.
        if self.code >= 80_000 || self.details.is_some() {
            let title = self.message.split_once(") ").map_or(self.message.as_ref(), |(_, title)| title);
            let details = self.details.as_deref().unwrap_or(title);
            error["error_data"] = json!({ "messaging_product": "whatsapp", "details": details });
        }
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
        }
        error["fbtrace_id"] = trace.into();
        let status = StatusCode::from_u16(self.status).expect("statuses here are from the table or checked");
        let answer = Answer::json(status, json!({ "error": error }).to_string().into_bytes());
        let answer = match self.status {
            401 => answer.header("www-authenticate", HeaderValue::from_static(REALM)),
            _ => answer,
        };
        if THROTTLING.contains(&self.code) { answer.counted_as(StatusCode::TOO_MANY_REQUESTS) } else { answer }
    }
}

const REALM: &str = r#"OAuth "Facebook Platform" "invalid_token""#;
