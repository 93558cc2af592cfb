//! Where providers report: `/hooks/<provider's name>`, on a listener of its own behind a reverse proxy.
//!
//! Promises: a caller is answered 200 only once its reports are durable; who is not believed learns nothing but that, and the
//! operator why; no body is read further than its scheme can need, nor for longer than [`PATIENCE`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use usher_common::model::{Channel, ProviderKind};

use crate::clock::Clock;
use crate::dispatch::Shared;
use crate::failpoint::hurried;
use crate::monitor::Metrics;
use crate::receipts::read::Post;
use crate::receipts::verify::{Call, Key, Scheme, hub_challenge, verify};
use crate::receipts::{Desk, Filed, Heard, Kind, read};

/// What stands before a provider's name in the address that it reports to.
pub const HOOKS: &str = "/hooks/";

/// Time for a body to come in.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who is turned away is told of in the log this often at most, for each provider.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// Reports that came within this are tried again this often, all others less often.
const YOUNG: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_secs(2);
const LOOK_AT_ALL: u32 = 30;
const SWEEP: u32 = 1_800;
/// The first of them, where the daemon was told to hurry.
const HURRY: Duration = Duration::from_millis(200);

/// A provider that may call.
#[derive(Debug, Clone)]
pub struct HookCaller {
    /// Its name in the configuration.
    pub name: String,
    /// How its reports are read.
    pub kind: ProviderKind,
    /// What it carries.
    pub channel: Channel,
    /// How it signs.
    pub scheme: Scheme,
    /// With what; none, and nobody is believed.
    pub keys: Vec<Key>,
    /// What Meta shows in its handshake.
    pub verify_token: Option<SecretString>,
    /// The address that it was told, without a query.
    pub url: String,
}

/// The doors for reports.
pub struct Hooks {
    callers: BTreeMap<String, Caller>,
    desk: Desk,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

struct Caller {
    is: HookCaller,
    /// When it was last told of in the log that somebody was turned away, and how many since.
    said: Mutex<(Option<Duration>, u64)>,
}

impl Hooks {
    /// Doors for these callers.
    pub fn new(
        callers: Vec<HookCaller>,
        desk: Desk,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Arc<Self> {
        let callers = callers.into_iter().map(|is| (is.name.clone(), Caller { is, said: Mutex::default() })).collect();
        Arc::new(Self { callers, desk, shared, metrics, clock })
    }

    /// The routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().route(&format!("{HOOKS}{{name}}"), get(handshake).post(report)).with_state(Arc::clone(self))
    }

    /// Tries again what waits for its message, and clears away what is too old, until `stop` is cancelled.
    pub async fn look_after(&self, stop: CancellationToken) {
        let mut turn = 0_u32;
        loop {
            if let Err(error) = self.look(turn).await {
                tracing::error!(%error, "reports that wait could not be looked at");
            }
            turn = turn.wrapping_add(1);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(hurried(LOOK, HURRY)) => {}
            }
        }
    }

    async fn look(&self, turn: u32) -> Result<(), crate::store::Error> {
        let waiting = self.shared.store().orphans_waiting()?;
        self.metrics.reports_waiting(waiting);
        if waiting > 0 {
            let young = self.clock.now().plus_millis(-(YOUNG.as_millis() as i64));
            let filed = self.desk.match_again((!turn.is_multiple_of(LOOK_AT_ALL)).then_some(young)).await?;
            self.tell(&filed);
        }
        if turn.is_multiple_of(SWEEP) {
            let given_up = self.desk.sweep().await?;
            if given_up > 0 {
                let text = format!("{given_up} reports of the last week found no message of ours and are forgotten");
                self.shared.warn("reports", text);
            }
        }
        Ok(())
    }

    /// Shows what moved.
    pub(super) fn tell(&self, filed: &Filed) {
        for campaign in &filed.campaigns {
            self.shared.look(*campaign);
        }
        for lane in &filed.lanes {
            self.shared.touched(*lane);
        }
    }

    /// Turns somebody away: why is for the log.
    fn refuse(&self, caller: &Caller, code: StatusCode, why: &dyn std::fmt::Display) -> Response {
        let name = &caller.is.name;
        self.metrics.report_refused(name);
        let mut said = caller.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.mono();
        said.1 += 1;
        if said.0.is_none_or(|last| now.saturating_sub(last) >= SAY_EVERY) {
            tracing::warn!(provider = %name, turned_away = said.1, "a report was turned away: {why}");
            *said = (Some(now), 0);
        }
        code.into_response()
    }

    async fn take(&self, caller: &Caller, query: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let HookCaller { name, kind, channel, scheme, keys, url, .. } = &caller.is;
        let url = if query.is_empty() { url.clone() } else { format!("{url}?{query}") };
        let call = Call { get: false, url: &url, headers, body };
        if let Err(why) = verify(*scheme, keys, &call, self.clock.now()) {
            return self.refuse(caller, StatusCode::UNAUTHORIZED, &why);
        }
        let delivery = ["svix-id", "webhook-id"].into_iter().find_map(|name| headers.get(name)?.to_str().ok());
        let post = Post { query, delivery: delivery.unwrap_or_default(), body };
        let reports = match read(*kind, *channel, &post) {
            Ok(Heard::Reports(reports)) => reports,
            Ok(Heard::Challenge(text)) => return plain(text),
            Err(why) => return self.refuse(caller, StatusCode::BAD_REQUEST, &why),
        };
        let filed = match self.desk.file(name, &reports).await {
            Ok(filed) => filed,
            Err(error) => {
                tracing::error!(provider = %name, %error, "reports could not be kept: the provider is asked to repeat them");
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
        };
        for kind in &filed.heard {
            self.metrics.report(name, kind.as_str());
        }
        for report in &reports {
            if report.kind == Kind::Account && filed.doubled == 0 {
                let text = format!("it reports of the account: {} {}", report.code, report.detail);
                self.shared.warn(&format!("provider {name}"), text.trim_end().to_owned());
            }
        }
        tracing::debug!(provider = %name, reports = reports.len(), ?filed, "reports were kept");
        self.tell(&filed);
        match kind {
            // Twilio takes what is answered to a guest's message for instructions: none.
            ProviderKind::Twilio => ([(header::CONTENT_TYPE, "text/xml")], "<Response/>").into_response(),
            _ => StatusCode::OK.into_response(),
        }
    }
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response()
}

/// Meta asks whether the address is ours.
async fn handshake(State(hooks): State<Arc<Hooks>>, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(caller) = hooks.callers.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    if caller.is.kind != ProviderKind::WhatsApp {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let token = caller.is.verify_token.as_ref().map(ExposeSecret::expose_secret);
    let tokens: Vec<&str> = token.into_iter().collect();
    if let Some(challenge) = hub_challenge(&query.unwrap_or_default(), &tokens) {
        return plain(challenge);
    }
    let why = "the handshake does not show webhook_verify_token: give Meta the one that is configured here";
    hooks.refuse(caller, StatusCode::FORBIDDEN, &why)
}

async fn report(
    State(hooks): State<Arc<Hooks>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(caller) = hooks.callers.get(&name) else {
        tracing::debug!("a report came for a provider that is not configured");
        return StatusCode::NOT_FOUND.into_response();
    };
    let limit = caller.is.scheme.body_limit();
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let why = format!("its body broke off, or has more than {limit} bytes");
            return hooks.refuse(caller, StatusCode::PAYLOAD_TOO_LARGE, &why);
        }
        Err(_) => return hooks.refuse(caller, StatusCode::REQUEST_TIMEOUT, &"its body did not come in time"),
    };
    hooks.take(caller, &query.unwrap_or_default(), &headers, &body).await
}
