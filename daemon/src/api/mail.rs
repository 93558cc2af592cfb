//! Where `usherd receive-mail` brings what came by mail: `/api/receipts/mail`, on the socket and the operator port alone.
//!
//! Promises: 200 means that everything is durable; 503, that it may be brought again, and counts once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};

use super::Hooks;
use crate::monitor::Metrics;
use crate::receipts::{Kind, MailAnswer, MailReport, Mailbox};

/// Where mail is brought to.
pub const MAIL_PATH: &str = "/api/receipts/mail";
/// Most bytes of what is brought.
const LIMIT: usize = 256 << 10;
/// Time for it to come in.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a mail is counted under that is no report, where several providers have mailboxes.
const NOBODY: &str = "mail";

/// One mail, taken apart.
#[derive(Debug, Serialize, Deserialize)]
pub struct MailPost {
    /// The provider whose mailbox it came to, where that is known.
    pub provider: Option<String>,
    /// What it reports; nothing where it is no report.
    pub reports: Vec<MailReport>,
}

/// The door for mail.
pub struct MailDoor {
    mailbox: Mailbox,
    hooks: Arc<Hooks>,
    metrics: Arc<Metrics>,
}

impl MailDoor {
    /// A door to a mailbox; `hooks` hears of what moved.
    pub fn new(mailbox: Mailbox, hooks: Arc<Hooks>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { mailbox, hooks, metrics })
    }

    async fn take(&self, post: &MailPost) -> Result<MailAnswer, (StatusCode, String)> {
        let named = post.provider.as_deref();
        if let Some(name) = named.filter(|name| !self.mailbox.knows(name)) {
            let why = format!("no provider of kind smtp is called `{name}`");
            return Err((StatusCode::UNPROCESSABLE_ENTITY, why));
        }
        let whose = self.mailbox.whose(named).unwrap_or(NOBODY);
        if post.reports.is_empty() {
            self.metrics.report(whose, Kind::Foreign.as_str());
            return Ok(MailAnswer::default());
        }
        let told = self.mailbox.file(named, &post.reports).await.map_err(|error| {
            tracing::error!(%error, "reports by mail could not be kept: whoever brought them is asked to repeat them");
            (StatusCode::SERVICE_UNAVAILABLE, "the reports could not be kept: see the daemon's log".to_owned())
        })?;
        if told.filed.doubled == 0 {
            for (provider, kind) in &told.believed {
                self.metrics.report(provider, kind.as_str());
            }
        }
        for _ in 0..told.unproved {
            self.metrics.report_refused(whose);
        }
        if told.unproved > 0 {
            let unproved = told.unproved;
            tracing::info!(provider = whose, unproved, "reports by mail quote no letter of ours: nothing follows");
        }
        self.hooks.tell(&told.filed);
        Ok(MailAnswer::from(&told))
    }
}

/// Takes one mail.
pub(super) async fn mail(State(door): State<Arc<MailDoor>>, body: Body) -> Response {
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, LIMIT).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "too much at once\n").into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let Ok(post) = serde_json::from_slice::<MailPost>(&body) else {
        return (StatusCode::BAD_REQUEST, "this is not what `usherd receive-mail` brings\n").into_response();
    };
    match door.take(&post).await {
        Ok(answer) => Json(answer).into_response(),
        Err((code, why)) => (code, why).into_response(),
    }
}
