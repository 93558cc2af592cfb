//! The providers that the benchmark sends to: the routes of Twilio and Resend that a send needs, at a few microseconds
//! a message.
//!
//! Promises: credentials are checked, every message's own id is read out of the request, and an id that came before is
//! counted; so a run can prove that everything came, and came once. Nothing else is judged: that is the simulator's work,
//! which costs more than the daemon that is to be measured.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// The account that texts are sent from.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Its password.
pub(crate) const SECRET: &str = "simulator";
/// The key that e-mail is sent with.
pub(crate) const KEY: &str = "re_simulator";
/// What stands before a message's id in a text's status callback, which is percent-encoded.
pub(crate) const TEXT_MARK: &str = "usher_message%3D";
/// What stands before a message's id in an e-mail's tags.
pub(crate) const MAIL_MARK: &str = "\"value\":\"";

/// `ACCOUNT:SECRET` in base64.
const TEXT_AUTHORIZATION: &str = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTpzaW11bGF0b3I=";
const MAIL_AUTHORIZATION: &str = "Bearer re_simulator";
/// Ids beyond this are not believed: they would cost memory.
const IDS: u64 = 1 << 31;

/// What came since it was last asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Requests that carried messages, and were answered with yes.
    pub(crate) requests: u64,
    /// Messages in them.
    pub(crate) messages: u64,
    /// Of these, messages whose id had come before.
    pub(crate) twice: u64,
    /// Requests that were refused: wrong credentials, or no id to be found.
    pub(crate) refused: u64,
    /// Most requests under way at the same time.
    pub(crate) most_at_once: u64,
}

impl Tally {
    /// What is wrong with it, when `sent` messages were sent and each should have come once.
    pub(crate) fn fault(&self, sent: usize) -> Option<String> {
        let mut faults = Vec::new();
        if self.messages != sent as u64 {
            faults.push(format!("{sent} were sent and {} came", self.messages));
        }
        if self.twice > 0 {
            faults.push(format!("{} came twice", self.twice));
        }
        if self.refused > 0 {
            faults.push(format!("{} requests were refused", self.refused));
        }
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

/// The first of the fullest requests that came, for whoever wants to send the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Where it was posted to.
    pub(crate) path: String,
    /// Its body.
    pub(crate) body: String,
    /// Messages in it.
    pub(crate) messages: usize,
}

#[derive(Default)]
struct Books {
    /// A bit for each id.
    seen: Vec<u64>,
    tally: Tally,
    sample: Sample,
    under_way: u64,
    ids: u64,
}

impl Books {
    fn enter(&mut self, path: &str, body: &[u8], ids: &[u64]) {
        self.tally.requests += 1;
        self.tally.messages += ids.len() as u64;
        for &id in ids {
            let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
            if word >= self.seen.len() {
                self.seen.resize((word + 1).next_power_of_two(), 0);
            }
            self.tally.twice += u64::from(self.seen[word] & bit != 0);
            self.seen[word] |= bit;
        }
        if ids.len() > self.sample.messages {
            let body = String::from_utf8_lossy(body).into_owned();
            self.sample = Sample { path: path.to_owned(), body, messages: ids.len() };
        }
    }

    /// Gives everything out and begins anew, but for the ids it gives, which are never given again.
    fn take(&mut self) -> Tally {
        let fresh = Self { ids: self.ids, under_way: self.under_way, ..Self::default() };
        std::mem::replace(self, fresh).tally
    }
}

/// Serves until standard input ends; says on standard output where. Each answer waits for `latency` first.
pub(crate) async fn serve(latency: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("opening the sink's port")?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let books = Arc::new(Mutex::new(Books::default()));
    let mut rest = Vec::new();
    let mut stdin = tokio::io::stdin();
    let mut ended = std::pin::pin!(tokio::io::AsyncReadExt::read_to_end(&mut stdin, &mut rest));
    loop {
        let stream = tokio::select! {
            _ = &mut ended => return Ok(()),
            accepted = listener.accept() => accepted.context("accepting a connection at the sink")?.0,
        };
        stream.set_nodelay(true)?;
        let books = Arc::clone(&books);
        let service = service_fn(move |request| answer(Arc::clone(&books), request, latency));
        tokio::spawn(async move {
            // A client that goes away is its own business; what it sent stands in the books.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    books: Arc<Mutex<Books>>,
    request: Request<Incoming>,
    latency: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(json(StatusCode::BAD_REQUEST, "{}".to_owned())) };
    let body = body.to_bytes();
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::POST, "/tally") => return Ok(json(StatusCode::OK, written(&open(&books).take()))),
        (&Method::GET, "/tally") => return Ok(json(StatusCode::OK, written(&open(&books).tally))),
        (&Method::GET, "/sample") => return Ok(json(StatusCode::OK, written(&open(&books).sample))),
        // What the daemon's probes ask.
        (&Method::GET, "/domains") => return Ok(json(StatusCode::OK, "{\"data\":[]}".to_owned())),
        (&Method::GET, _) => return Ok(json(StatusCode::OK, "{\"status\":\"active\"}".to_owned())),
        _ => {}
    }
    {
        let mut books = open(&books);
        books.under_way += 1;
        books.tally.most_at_once = books.tally.most_at_once.max(books.under_way);
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut books = open(&books);
    books.under_way -= 1;
    Ok(take(&mut books, path, head.headers.get(AUTHORIZATION), &body))
}

fn take(books: &mut Books, path: &str, authorization: Option<&HeaderValue>, body: &[u8]) -> Response<Full<Bytes>> {
    let (wanted, ids) = match path {
        "/emails" => (MAIL_AUTHORIZATION, serde_json::from_slice(body).ok().and_then(|mail| mail_ids(&[mail]))),
        "/emails/batch" => {
            (MAIL_AUTHORIZATION, serde_json::from_slice::<Vec<Mail<'_>>>(body).ok().and_then(|all| mail_ids(&all)))
        }
        _ => (TEXT_AUTHORIZATION, text_id(body).map(|id| vec![id])),
    };
    if authorization.is_none_or(|given| given != wanted) {
        books.tally.refused += 1;
        return json(StatusCode::UNAUTHORIZED, "{\"code\":20003,\"name\":\"invalid_api_key\"}".to_owned());
    }
    let Some(ids) = ids else {
        books.tally.refused += 1;
        return json(StatusCode::BAD_REQUEST, "{\"code\":21620,\"name\":\"validation_error\"}".to_owned());
    };
    books.enter(path, body, &ids);
    let first = books.ids;
    books.ids += ids.len() as u64;
    let mail = |n: usize| format!("{{\"id\":\"00000000-0000-4000-8000-{:012x}\"}}", first + n as u64);
    match path {
        "/emails" => json(StatusCode::OK, mail(0)),
        "/emails/batch" => {
            let all: Vec<String> = (0..ids.len()).map(mail).collect();
            json(StatusCode::OK, format!("{{\"data\":[{}]}}", all.join(",")))
        }
        _ => json(
            StatusCode::CREATED,
            format!(
                "{{\"sid\":\"SM{first:032x}\",\"account_sid\":\"{ACCOUNT}\",\"api_version\":\"2010-04-01\",\
                 \"status\":\"queued\",\"direction\":\"outbound-api\",\"num_segments\":\"1\",\"num_media\":\"0\",\
                 \"price\":null,\"price_unit\":\"USD\",\"error_code\":null,\"error_message\":null,\
                 \"uri\":\"/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{first:032x}.json\"}}"
            ),
        ),
    }
}

/// An e-mail, as far as it is looked at; the rest is read past.
#[derive(Deserialize)]
struct Mail<'a> {
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    tags: Vec<Tag<'a>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    name: &'a str,
    value: &'a str,
}

/// The ids of all of them, or nothing if one has none.
fn mail_ids(mails: &[Mail<'_>]) -> Option<Vec<u64>> {
    let ids = mails.iter().map(|mail| {
        let tag = mail.tags.iter().find(|tag| tag.name == "usher_message")?;
        if mail.to.is_empty() { None } else { believable(tag.value) }
    });
    ids.collect()
}

/// The id in a form that holds a recipient, a text and a status callback.
fn text_id(form: &[u8]) -> Option<u64> {
    let form = std::str::from_utf8(form).ok()?;
    let (mut to, mut body, mut id) = (false, false, None);
    for (name, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "To" => to = !value.is_empty(),
            "Body" => body = !value.is_empty(),
            "StatusCallback" => id = value.split_once(TEXT_MARK).and_then(|(_, id)| believable(id)),
            _ => {}
        }
    }
    if to && body { id } else { None }
}

fn believable(text: &str) -> Option<u64> {
    text.strip_prefix('m')?.parse().ok().filter(|id| *id < IDS)
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn written(what: &impl Serialize) -> String {
    serde_json::to_string(what).expect("numbers and texts are always JSON")
}

fn open(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    // Counters are whole after every statement.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";

    fn text(id: &str) -> String {
        format!("To=%2B12132000000&Body=Hello&StatusCallback=https%3A%2F%2Fhooks.example%2F%3Fusher_message%3D{id}")
    }

    fn post(books: &mut Books, path: &str, authorization: &'static str, body: &str) -> StatusCode {
        take(books, path, Some(&HeaderValue::from_static(authorization)), body.as_bytes()).status()
    }

    #[test]
    fn a_message_that_comes_twice_is_counted() {
        let mut books = Books::default();
        for id in ["m1", "m64", "m1"] {
            assert_eq!(post(&mut books, MESSAGES, TEXT_AUTHORIZATION, &text(id)), StatusCode::CREATED);
        }
        let tally = books.take();
        assert_eq!((tally.messages, tally.twice), (3, 1));
        assert_eq!(tally.fault(3).as_deref(), Some("1 came twice"));
        assert_eq!(post(&mut books, MESSAGES, TEXT_AUTHORIZATION, &text("m1")), StatusCode::CREATED);
        assert_eq!(books.take().fault(1), None, "taking the tally forgets the ids");
    }

    #[test]
    fn what_lacks_credentials_or_an_id_is_refused_and_counted() {
        let mut books = Books::default();
        assert_eq!(post(&mut books, MESSAGES, "Basic bm9ib2R5", &text("m1")), StatusCode::UNAUTHORIZED);
        assert_eq!(post(&mut books, MESSAGES, TEXT_AUTHORIZATION, &text("")), StatusCode::BAD_REQUEST);
        assert_eq!(
            post(&mut books, "/emails", MAIL_AUTHORIZATION, "{\"to\":\"a\",\"tags\":[]}"),
            StatusCode::BAD_REQUEST
        );
        assert_eq!(books.take().fault(1).as_deref(), Some("1 were sent and 0 came, 3 requests were refused"));
    }

    #[test]
    fn a_batch_counts_each_of_its_mails() {
        let mut books = Books::default();
        let mail = |id: u32| {
            format!(
                "{{\"to\":\"a\",\"html\":\"<p>\\\"x\\\"</p>\",\"tags\":[{{\"name\":\"usher_message\",\"value\":\"m{id}\"}}]}}"
            )
        };
        let batch = format!("[{},{}]", mail(7), mail(8));
        assert_eq!(post(&mut books, "/emails/batch", MAIL_AUTHORIZATION, &batch), StatusCode::OK);
        assert_eq!(post(&mut books, "/emails", MAIL_AUTHORIZATION, &mail(9)), StatusCode::OK);
        assert_eq!(books.sample.messages, 2);
        let tally = books.take();
        assert_eq!((tally.requests, tally.fault(3)), (2, None));
    }
}
