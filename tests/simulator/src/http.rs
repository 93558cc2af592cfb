//! The HTTP shell around a provider: connections, bodies, faults, delays. What is a right answer, the provider decides.
//! Promises: the provider's decision is synchronous and made at most once a request; a fault acts on the side of acceptance
//! that it names; a client that leaves ends the request.

use crate::config::Latencies;
use crate::fault::{FaultBoard, FaultKind, Moment};
use crate::provider::Provider;
use crate::record::Record;
use crate::resend::InFlight;
use crate::server::Ending;
use crate::tally::Tally;
use crate::wire::{Fate, Wire};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

/// What all providers share.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(crate) record: Arc<Record>,
    pub(crate) faults: FaultBoard,
    pub(crate) tally: Tally,
    pub(crate) started: Instant,
    pub(crate) latencies: Latencies,
}

/// A provider's answer, before any fault.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// The status that it is counted under, where HTTP's does not tell how the request fared.
    pub(crate) counted: StatusCode,
    /// Keeps an idempotency key "in flight" until the answer leaves.
    pub(crate) in_flight: Option<InFlight>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let (headers, body) = (Vec::new(), body.into());
        Self { status, headers, content_type, body, counted: status, in_flight: None }
    }

    pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self::new(status, "application/json", body)
    }

    pub(crate) fn counted_as(self, counted: StatusCode) -> Self {
        Self { counted, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }
}

/// A provider that is spoken over HTTP.
pub(crate) trait HttpProvider: Send + Sync + 'static {
    const PROVIDER: Provider;
    /// Largest body read, in bytes; more is answered 413.
    const MAX_BODY: usize;

    /// Whether the request asks to send (a fault's scope).
    fn sends(method: &Method, path: &str) -> bool;

    /// Judges the request, records what is accepted, answers.
    fn process(&self, head: &Parts, body: &Bytes, now: Instant) -> Answer;

    /// An error in the provider's shape at that path; `code` overrides the usual one of that status.
    fn failure(&self, path: &str, status: StatusCode, code: Option<&str>) -> Answer;

    /// "Too many requests", as that path says it.
    fn throttled(&self, path: &str, retry_after: Option<u32>) -> Answer;

    /// "Wrong credentials", as that path says it.
    fn unauthorised(&self, path: &str) -> Answer;
}

/// Serves one connection until it ends.
pub(crate) async fn serve<P: HttpProvider>(wire: Wire, ending: Ending, provider: Arc<P>, hall: Arc<Hall>) {
    let fate = wire.fate();
    let service = service_fn(|request| {
        let (provider, hall, fate) = (Arc::clone(&provider), Arc::clone(&hall), Arc::clone(&fate));
        async move { Ok::<_, Infallible>(respond(&*provider, &hall, &fate, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).pipeline_flush(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
    tokio::select! {
        // How a client's connection fails is the client's affair.
        _ = connection.as_mut() => return,
        () = fate.cut() => return,
        () = ending.stop.cancelled() => return,
        () = ending.drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = fate.cut() => {}
        () = ending.stop.cancelled() => {}
    }
}

async fn respond<P: HttpProvider>(
    provider: &P,
    hall: &Hall,
    fate: &Fate,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let tally = hall.tally.of(P::PROVIDER);
    let nth = tally.request();
    let sends = P::sends(request.method(), request.uri().path());
    let strike = hall.faults.judge(P::PROVIDER, if sends { Moment::Send } else { Moment::Probe });
    if strike.kind.is_some() || !strike.delay.is_zero() {
        tally.fault();
    }
    if strike.kind == Some(FaultKind::Hang) {
        return pending().await;
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, P::MAX_BODY).collect().await else {
        let too_large = provider.failure(head.uri.path(), StatusCode::PAYLOAD_TOO_LARGE, None);
        tally.answer(too_large.counted.as_u16());
        return written(too_large);
    };
    let prevented = strike.kind.as_ref().is_some_and(FaultKind::prevents_acceptance);
    let own = (!prevented).then(|| provider.process(&head, &body.to_bytes(), Instant::now()));
    let delay = strike.delay + hall.latencies.delay(P::PROVIDER, nth);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answer = match (strike.kind, own) {
        (Some(kind), own) => struck(provider, head.uri.path(), fate, &kind, own).await,
        (None, Some(own)) => own,
        (None, None) => unreachable!("only a fault prevents an answer of the provider's own"),
    };
    tally.answer(answer.counted.as_u16());
    written(answer)
}

/// What the client sees when a fault struck. `own` lives until then: it may hold an idempotency key in flight.
async fn struck<P: HttpProvider>(
    provider: &P,
    path: &str,
    fate: &Fate,
    kind: &FaultKind,
    own: Option<Answer>,
) -> Answer {
    match kind {
        FaultKind::Status { status, code, .. } => {
            let status = StatusCode::from_u16(*status).expect("checked when the fault was set");
            provider.failure(path, status, code.as_deref())
        }
        FaultKind::Throttle { retry_after } => provider.throttled(path, *retry_after),
        FaultKind::AuthFailure => provider.unauthorised(path),
        FaultKind::WrongBody { .. } => {
            Answer::new(StatusCode::OK, "text/html; charset=utf-8", "<html><body>It works!</body></html>")
        }
        FaultKind::Reset { .. } => {
            fate.reset();
            pending().await
        }
        FaultKind::HangAfterAccept { .. } => {
            // Moved in, so that the key stays in flight for as long as the client waits.
            let _held = own;
            pending().await
        }
        FaultKind::Hang
        | FaultKind::Refuse
        | FaultKind::Slow { .. }
        | FaultKind::ExpiredCertificate
        | FaultKind::Reply { .. }
        | FaultKind::Drop { .. } => {
            own.unwrap_or_else(|| provider.failure(path, StatusCode::INTERNAL_SERVER_ERROR, None))
        }
    }
}

fn written(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    response
}

/// A header as text; what is not text counts as absent.
pub(crate) fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

/// The key in `Authorization: Bearer …`.
pub(crate) fn bearer(head: &Parts) -> Option<&str> {
    header(head, "authorization")?.strip_prefix("Bearer ").map(str::trim)
}
