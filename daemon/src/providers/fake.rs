//! A small HTTP server for the adapters' tests, which answers or misbehaves as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::settings::ProviderConfig;
use super::{Answer, Provider};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Answers with a status, further header lines and a body.
    Answer(u16, &'static str, String),
    /// Reads it all, then resets the connection.
    Reset,
    /// Reads it all, then closes the connection.
    Close,
    /// Reads it all and says nothing.
    Hang,
    /// Answers 200 and half a body.
    Half,
    /// Answers, then closes the connection while it is idle.
    AnswerAndClose(String),
    /// Accepts the connection and does nothing at all.
    Deaf,
}

/// A running server; it ends with the value.
pub(super) struct Fake {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Starts one that does `act` with every request.
    pub(super) async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, act.clone(), Arc::clone(&record)));
            }
        });
        Self { url, seen, task }
    }

    /// The requests that arrived whole: head and body.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, act: Act, seen: Arc<Mutex<Vec<String>>>) {
    if matches!(act, Act::Deaf) {
        tokio::time::sleep(Duration::from_mins(1)).await;
        return;
    }
    while let Some(request) = request(&mut stream).await {
        seen.lock().unwrap().push(request);
        match &act {
            Act::Answer(status, head, body) => {
                let answer = format!("HTTP/1.1 {status} X\r\n{head}content-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Act::AnswerAndClose(body) => {
                let answer = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                return;
            }
            Act::Reset => return stream.set_zero_linger().unwrap(),
            Act::Close => return,
            Act::Half => {
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 400\r\n\r\n{\"id\":").await.unwrap();
                return;
            }
            Act::Hang | Act::Deaf => tokio::time::sleep(Duration::from_mins(1)).await,
        }
    }
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An address on which nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The answer to `message` from the provider that `build` makes of `config`, while the server does `act`.
pub(super) async fn answer_to<P: Provider>(
    act: Act,
    mut config: ProviderConfig,
    build: impl Fn(&ProviderConfig) -> P,
    to: &str,
) -> Answer {
    let fake = Fake::start(act).await;
    config.base_url = Some(fake.url.clone());
    let provider = build(&config);
    let request = provider.prepare(&[super::table::message(to)], "key-1").unwrap();
    let answer = provider.send(&request).await.remove(0);
    assert_eq!(fake.seen().len(), 1, "exactly one attempt");
    answer
}
