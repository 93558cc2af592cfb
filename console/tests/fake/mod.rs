//! A daemon for tests: it speaks the protocol on a Unix socket, answers by a function, and says what it heard.

#![allow(dead_code)] // each test program uses a part of it

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as HttpRequest, Response};
use usher_common::model::Timestamp;
use usher_common::protocol::{
    CLIENT_FRAME_CAP, ClientFrame, Codec, JSON_SUBPROTOCOL, Problem, ProblemCode, Reply, Request, ServerFrame, TYPES,
    Welcome, bincode_subprotocol, decode, encode,
};

/// No test waits longer for a state.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What the daemon sends when it hears something.
pub(crate) type Answers = Arc<dyn Fn(&ClientFrame) -> Vec<ServerFrame> + Send + Sync>;

/// How the daemon behaves.
#[derive(Clone)]
pub(crate) struct Behaviour {
    /// Subprotocols that it speaks, best first.
    pub(crate) speaks: Vec<String>,
    /// Its message types.
    pub(crate) types: String,
    /// The status with which it refuses everybody, if it does.
    pub(crate) refuses: Option<u16>,
    /// What it says with that.
    pub(crate) because: &'static str,
    /// What it sends when it hears something.
    pub(crate) answer: Answers,
}

impl Behaviour {
    /// Speaks like this build, and answers by the function.
    pub(crate) fn new(answer: impl Fn(&ClientFrame) -> Vec<ServerFrame> + Send + Sync + 'static) -> Self {
        Self {
            speaks: vec![bincode_subprotocol(), JSON_SUBPROTOCOL.to_owned()],
            types: TYPES.to_owned(),
            refuses: None,
            because: "",
            answer: Arc::new(answer),
        }
    }

    /// Answers calls by the function, and nothing else.
    pub(crate) fn calls(reply: impl Fn(&Request) -> Result<Reply, Problem> + Send + Sync + 'static) -> Self {
        Self::new(move |frame| match frame {
            ClientFrame::Call { id, request, .. } => vec![ServerFrame::Reply { id: *id, result: reply(request) }],
            _ => Vec::new(),
        })
    }
}

/// A reply for what no test expects.
pub(crate) fn no_such_thing() -> Result<Reply, Problem> {
    Err(Problem::new(ProblemCode::NotFound, "no such thing", "ask for another"))
}

#[derive(Clone)]
enum Push {
    Frame(Box<ServerFrame>),
    Close,
}

/// A running daemon; it ends with this value.
pub(crate) struct Fake {
    folder: Arc<TempDir>,
    behaviour: Behaviour,
    pushes: broadcast::Sender<Push>,
    heard: mpsc::Receiver<ClientFrame>,
    heard_sender: mpsc::Sender<ClientFrame>,
    accepting: JoinHandle<()>,
}

impl Fake {
    /// Starts it in a folder of its own.
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let (pushes, _) = broadcast::channel(4096);
        let (heard_sender, heard) = mpsc::channel(4096);
        let accepting = accept(socket(&folder), behaviour.clone(), pushes.clone(), heard_sender.clone());
        Self { folder, behaviour, pushes, heard, heard_sender, accepting }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    /// Sends a frame to everybody attached.
    pub(crate) fn push(&self, frame: ServerFrame) {
        let _ = self.pushes.send(Push::Frame(Box::new(frame)));
    }

    /// Closes every session, and the socket.
    pub(crate) fn stop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(self.socket());
        let _ = self.pushes.send(Push::Close);
    }

    /// Opens the socket again.
    pub(crate) fn start_again(&mut self) {
        let (socket, behaviour) = (self.socket(), self.behaviour.clone());
        self.accepting = accept(socket, behaviour, self.pushes.clone(), self.heard_sender.clone());
    }

    /// The next frame that it hears for which the function gives something.
    pub(crate) async fn hears<T>(&mut self, mut wanted: impl FnMut(&ClientFrame) -> Option<T>) -> T {
        let search = async {
            loop {
                let frame = self.heard.recv().await.expect("the daemon runs");
                if let Some(found) = wanted(&frame) {
                    return found;
                }
            }
        };
        tokio::time::timeout(SOON, search).await.expect("it is heard soon")
    }

    /// Everything heard so far.
    pub(crate) fn heard_so_far(&mut self) -> Vec<ClientFrame> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("usherd.sock")
}

fn accept(
    socket: impl AsRef<Path>,
    behaviour: Behaviour,
    pushes: broadcast::Sender<Push>,
    heard: mpsc::Sender<ClientFrame>,
) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).expect("the socket is free");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Before the handshake: what is pushed from now on reaches this session.
            let inbox = pushes.subscribe();
            tokio::spawn(serve(stream, behaviour.clone(), inbox, heard.clone()));
        }
    })
}

async fn serve(
    stream: tokio::net::UnixStream,
    behaviour: Behaviour,
    mut pushed: broadcast::Receiver<Push>,
    heard: mpsc::Sender<ClientFrame>,
) {
    let mut codec = Codec::Bincode;
    #[allow(clippy::result_large_err)] // the type is the library's
    let shake = |request: &HttpRequest, mut response: Response| {
        if let Some(status) = behaviour.refuses {
            let mut refusal = ErrorResponse::new(Some(behaviour.because.to_owned()));
            refusal.headers_mut().insert("content-length", behaviour.because.len().into());
            *refusal.status_mut() = status.try_into().expect("a status");
            return Err(refusal);
        }
        let offered = request.headers().get("sec-websocket-protocol").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
        if let Some(chosen) = behaviour.speaks.iter().find(|name| offered.contains(&name.as_str())) {
            if chosen == JSON_SUBPROTOCOL {
                codec = Codec::Json;
            }
            response.headers_mut().insert("sec-websocket-protocol", chosen.parse().expect("a header"));
        }
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, shake).await else { return };
    let write = |frame: &ServerFrame| {
        let bytes = encode(codec, frame);
        match codec {
            Codec::Bincode => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON is UTF-8")),
        }
    };
    let welcome = Welcome {
        version: "0.1.0".to_owned(),
        types: behaviour.types.clone(),
        epoch: 7,
        environment: "test".to_owned(),
        actor: "ana".to_owned(),
        now: Timestamp(1_795_356_187_000),
    };
    if socket.send(write(&ServerFrame::Welcome(welcome))).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            message = socket.next() => {
                let bytes = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                    Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                };
                let frame: ClientFrame = decode(codec, &bytes, CLIENT_FRAME_CAP).expect("a client frame");
                let answers = (behaviour.answer)(&frame);
                let _ = heard.send(frame).await;
                for answer in answers {
                    if socket.send(write(&answer)).await.is_err() {
                        return;
                    }
                }
            }
            push = pushed.recv() => match push {
                Ok(Push::Frame(frame)) => {
                    if socket.send(write(&frame)).await.is_err() {
                        return;
                    }
                }
                Ok(Push::Close) | Err(_) => return,
            },
        }
    }
}
