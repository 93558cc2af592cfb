//! The control endpoint: faults, the record and the counts over HTTP, on a port of its own.
//! Promises: JSON in and out, an error says what to do; a dump of the record is written page by page, never whole in memory.

use crate::fault::{Fault, FaultId};
use crate::provider::Provider;
use crate::script::{Span, fault_or_name};
use crate::server::Ending;
use crate::simulator::Stage;
use crate::wire::Wire;
use crate::{form, record::Record};
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Entries of the record in one piece of a dump.
const PAGE: usize = 1_000;
/// Largest request body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Body of `POST /faults`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    provider: Provider,
    #[serde(deserialize_with = "fault_or_name")]
    fault: Fault,
    #[serde(default, rename = "for")]
    lasting: Option<Span>,
}

type Written = Response<Either<Full<Bytes>, Dump>>;

/// Serves one connection until it ends.
pub(crate) async fn serve(wire: Wire, ending: Ending, stage: Arc<Stage>) {
    let service = service_fn(|request| {
        let stage = Arc::clone(&stage);
        async move { Ok::<_, Infallible>(respond(&stage, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        _ = connection => {}
        () = ending.stop.cancelled() => {}
    }
}

async fn respond(stage: &Arc<Stage>, request: Request<Incoming>) -> Written {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return wrong(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB");
    };
    let query = head.uri.query().unwrap_or_default();
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::GET, "/faults") => json_ok(&stage.hall.faults.list()),
        (&Method::POST, "/faults") => set_fault(stage, &body.to_bytes()).await,
        (&Method::DELETE, "/faults") => clear(stage, query).await,
        (&Method::DELETE, _) if path.starts_with("/faults/") => {
            let Ok(id) = path["/faults/".len()..].parse() else {
                return wrong(StatusCode::BAD_REQUEST, "a fault is named by the number that POST /faults answered");
            };
            match stage.lift(FaultId(id)).await {
                Ok(true) => json_ok(&json!({ "lifted": id })),
                Ok(false) => wrong(StatusCode::NOT_FOUND, "no such fault is in force: see GET /faults"),
                Err(error) => wrong(StatusCode::CONFLICT, &error.to_string()),
            }
        }
        (&Method::GET, "/record") => {
            let from = form::first(query, "from").map_or(Ok(0), |from| from.parse());
            match from {
                Ok(next) => dump(Arc::clone(&stage.hall.record), next),
                Err(_) => wrong(StatusCode::BAD_REQUEST, "`from` must be a sequence, a whole number"),
            }
        }
        (&Method::GET, "/counts") => json_ok(&stage.counts()),
        (&Method::GET, "/duplicates") => json_ok(&stage.hall.record.duplicates()),
        (&Method::GET, "/addresses") => json_ok(&stage.addresses()),
        (&Method::POST, "/reset") => match stage.reset().await {
            Ok(()) => json_ok(&json!({ "reset": true })),
            Err(error) => wrong(StatusCode::CONFLICT, &error.to_string()),
        },
        _ => wrong(StatusCode::NOT_FOUND, HELP),
    }
}

const HELP: &str = "there are: GET, POST, DELETE /faults, DELETE /faults/{id}, GET /record, GET /counts, GET /duplicates, \
                    GET /addresses, POST /reset";

async fn set_fault(stage: &Arc<Stage>, body: &[u8]) -> Written {
    let order: Order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return wrong(StatusCode::BAD_REQUEST, &format!("the fault cannot be read: {error}")),
    };
    match stage.fault(order.provider, order.fault).await {
        Ok(id) => {
            if let Some(Span(lasting)) = order.lasting {
                stage.lift_after(id, lasting);
            }
            json_ok(&json!({ "id": id }))
        }
        Err(error) => wrong(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn clear(stage: &Stage, query: &str) -> Written {
    let providers = match form::first(query, "provider").map(|name| Provider::from_name(&name)) {
        None => Provider::ALL.to_vec(),
        Some(Some(provider)) => vec![provider],
        Some(None) => {
            let names = Provider::ALL.map(Provider::name).join(", ");
            return wrong(StatusCode::BAD_REQUEST, &format!("`provider` must be one of {names}"));
        }
    };
    for provider in &providers {
        if let Err(error) = stage.clear(*provider).await {
            return wrong(StatusCode::CONFLICT, &error.to_string());
        }
    }
    json_ok(&json!({ "cleared": providers }))
}

fn json_ok(value: &impl Serialize) -> Written {
    let body = serde_json::to_vec(value).expect("these types have string keys and no fallible fields");
    written(StatusCode::OK, "application/json", Either::Left(Full::new(Bytes::from(body))))
}

fn wrong(status: StatusCode, error: &str) -> Written {
    let body = json!({ "error": error }).to_string();
    written(status, "application/json", Either::Left(Full::new(Bytes::from(body))))
}

fn dump(record: Arc<Record>, next: u64) -> Written {
    written(StatusCode::OK, "application/x-ndjson", Either::Right(Dump { record, next }))
}

fn written(status: StatusCode, content_type: &'static str, body: Either<Full<Bytes>, Dump>) -> Written {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The record as JSON lines, read as fast as the client takes them.
struct Dump {
    record: Arc<Record>,
    next: u64,
}

impl Body for Dump {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let page = self.record.entries(self.next, PAGE);
        let Some(last) = page.last() else { return Poll::Ready(None) };
        self.next = last.sequence + 1;
        let mut lines = Vec::with_capacity(page.len() * 256);
        for entry in &page {
            serde_json::to_writer(&mut lines, entry).expect("an entry is texts and numbers, and memory takes all");
            lines.push(b'\n');
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(lines)))))
    }
}
