//! The routes: the session, and what scripts and status pages ask.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use usher_common::model::{CampaignId, Channel, Health, MessageState, StateCounts};
use usher_common::protocol::{
    CLIENT_FRAME_CAP, Codec, JSON_SUBPROTOCOL, ProblemCode, Reply, Request, SESSION_PATH, bincode_subprotocol,
};

use super::mail::{MAIL_PATH, MailDoor, mail};
use super::progress::Progress;
use super::session::serve;
use super::{Api, Caller};

/// Bytes that a WebSocket reads at once: 128 KiB, the default, would be most of what a connection costs.
const READ_BUFFER: usize = 8 * 1024;

/// All routes, behind the question of who calls; `door` is for what comes by mail.
pub fn router(api: Arc<Api>, door: Arc<MailDoor>) -> Router {
    Router::new()
        .route(SESSION_PATH, get(session))
        .route("/api/health", get(health))
        .route("/api/communications/queue/status", get(queue))
        .route("/api/communications/campaigns/{id}/status", get(campaign))
        .route("/metrics", get(metrics))
        .route(MAIL_PATH, post(mail).with_state(door))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), admit))
        .with_state(api)
}

/// Lets in who is vouched for by the kernel, or brings the token. The comparison takes the same time whatever is brought.
async fn admit(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    if !caller.local {
        let brought = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer "))
            .unwrap_or_default();
        let known = api
            .token
            .as_ref()
            .is_some_and(|token| bool::from(token.expose_secret().as_bytes().ct_eq(brought.as_bytes())));
        if !known {
            let text = "send the operator token: `Authorization: Bearer …`\n";
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response();
        }
    }
    next.run(request).await
}

async fn session(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade
        .protocols([bincode_subprotocol(), JSON_SUBPROTOCOL.to_owned()])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(CLIENT_FRAME_CAP)
        .max_frame_size(CLIENT_FRAME_CAP);
    let codec = match upgrade.selected_protocol().and_then(|p| p.to_str().ok()) {
        Some(JSON_SUBPROTOCOL) => Codec::Json,
        Some(_) => Codec::Bincode,
        None => {
            let text =
                format!("no common subprotocol: this daemon speaks {} and {JSON_SUBPROTOCOL}\n", bincode_subprotocol());
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    upgrade.on_upgrade(move |socket| {
        let tasks = api.tasks.clone();
        tasks.track_future(async move {
            let (stop, shared) = (api.stop.clone(), Arc::clone(api.dispatcher.shared()));
            shared.count_client(true);
            serve(api, caller, socket, codec, stop).await;
            shared.count_client(false);
        })
    })
}

async fn health(State(api): State<Arc<Api>>) -> Response {
    let Some(overview) = api.board.overview() else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "critical", "why": "still starting"})))
            .into_response();
    };
    let shared = api.dispatcher.shared();
    let store = shared.store().engine().health().failed.is_none();
    let service = |channel: Channel| {
        let up = shared.accounts().iter().any(|a| a.channel() == channel && !a.is_open());
        if up { "available" } else { "unavailable" }
    };
    let status = match overview.health {
        Health::Ok => "healthy",
        Health::Critical => "critical",
        Health::Warning | Health::Unknown => "warning",
    };
    let connected = if store { "connected" } else { "disconnected" };
    let body = json!({
        "status": status,
        "checks": {
            "database": connected,
            // The index's page cache is part of the store and fails with it; there is no Redis, and the name stays for
            // those who watch it.
            "cache": connected,
            "redis": connected,
            "email_service": service(Channel::Email),
            "sms_service": service(Channel::Sms),
        },
        "metrics": {
            "queue_size": overview.counts.open(),
            "error_rate": overview.error_rate_percent,
            "response_time": overview.processing_p95_ms.unwrap_or(0),
        },
        "findings": overview.findings.iter().map(|(_, text)| text).collect::<Vec<_>>(),
    });
    let code = if status == "critical" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(body)).into_response()
}

fn counts(counts: &StateCounts) -> Value {
    MessageState::ALL.into_iter().map(|s| (s.as_str().to_owned(), json!(counts.get(s)))).collect()
}

async fn queue(State(api): State<Arc<Api>>) -> Response {
    let Some(overview) = api.board.overview() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let body = json!({
        "queue_size": overview.counts.open(),
        "states": counts(&overview.counts),
        "rate_per_second": overview.rate,
        "accepted_today": overview.accepted_today,
        "campaigns_open": overview.campaigns_open,
    });
    Json(body).into_response()
}

async fn campaign(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Response {
    let wrong = |code: StatusCode, text: String| (code, Json(json!({ "error": text }))).into_response();
    let id: CampaignId = match id.parse() {
        Ok(id) => id,
        Err(error) => return wrong(StatusCode::BAD_REQUEST, format!("{error}")),
    };
    let progress = Progress::untold(api.stop.clone());
    match api.call(Arc::new(caller), Request::Campaign { id }, None, progress).await {
        Ok(Reply::Campaign(detail)) => {
            let row = &detail.row;
            let body = json!({
                "id": row.id.to_string(),
                "name": row.name,
                "status": row.state.as_str(),
                "guests": row.guests,
                "unreachable": row.unreachable,
                "expanded": row.expanded,
                "messages": row.counts.total(),
                "states": counts(&row.counts),
                "channels": detail.channels.iter().map(|c| json!({
                    "channel": c.channel.as_str(), "states": counts(&c.counts), "providers": c.providers,
                    "sent": c.sent(), "deeds": c.deeds,
                })).collect::<Vec<_>>(),
                "rate_per_second": row.rate,
                "eta_seconds": row.eta_seconds,
                "why": row.why,
            });
            Json(body).into_response()
        }
        Ok(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(problem) => {
            let code = match problem.code {
                ProblemCode::NotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            wrong(code, problem.message)
        }
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.text()).into_response()
}
