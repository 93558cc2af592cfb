//! Frames over a WebSocket: the handshake with its choice of codec, then whole frames both ways.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use usher_common::protocol::{
    CLIENT_FRAME_CAP, ClientFrame, Codec, JSON_SUBPROTOCOL, SERVER_FRAME_CAP, SESSION_PATH, ServerFrame, TYPES,
    Welcome, bincode_subprotocol, decode, encode,
};

use super::road::{self, Asking, Road};
use super::{CallError, SessionError, Target};

/// How long handshake and welcome may take.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// How long a write may wait for a daemon that does not read.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// An open session: the welcome, and the two directions.
pub(super) struct Wire {
    pub(super) welcome: Welcome,
    pub(super) codec: Codec,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame.
    Frame(ServerFrame),
    /// The answer to a ping: its payload.
    Pong(Vec<u8>),
}

/// Frames from the daemon. `next` can be dropped half-way without losing anything.
pub(super) struct Reader {
    stream: SplitStream<WebSocketStream<Box<dyn Road>>>,
    codec: Codec,
}

/// Frames to the daemon.
pub(super) struct Writer {
    sink: SplitSink<WebSocketStream<Box<dyn Road>>, Message>,
    codec: Codec,
}

impl Wire {
    /// Opens the road, shakes hands, says who is there and reads the welcome.
    pub(super) async fn open(target: &Target, asking: Asking) -> Result<Self, SessionError> {
        let road = road::open(target, asking).await?;
        let late = || SessionError::Lost(format!("no welcome within {} s", WELCOME_WITHIN.as_secs()));
        tokio::time::timeout(WELCOME_WITHIN, Self::greet(target, road)).await.map_err(|_| late())?
    }

    async fn greet(target: &Target, road: Box<dyn Road>) -> Result<Self, SessionError> {
        let incompatible = |said: String| SessionError::Incompatible { target: target.to_string(), said };
        let mut request = format!("ws://{}{SESSION_PATH}", target.authority())
            .into_client_request()
            .map_err(|e| incompatible(e.to_string()))?;
        let offer = format!("{}, {JSON_SUBPROTOCOL}", bincode_subprotocol());
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", header(target, &offer)?);
        if let Target::Ws { token: Some(token), .. } = target {
            let mut bearer = header(target, &format!("Bearer {token}"))?;
            bearer.set_sensitive(true);
            headers.insert("authorization", bearer);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            .max_message_size(Some(SERVER_FRAME_CAP))
            .max_frame_size(Some(SERVER_FRAME_CAP));
        let (socket, response) = tokio_tungstenite::client_async_with_config(request, road, Some(config))
            .await
            .map_err(|e| not_greeted(target, e))?;
        let chosen = response.headers().get("sec-websocket-protocol").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let codec = if chosen == JSON_SUBPROTOCOL { Codec::Json } else { Codec::Bincode };
        let (sink, stream) = socket.split();
        let (mut writer, mut reader) = (Writer { sink, codec }, Reader { stream, codec });
        let client = format!("usher {}", env!("CARGO_PKG_VERSION"));
        writer.send(&ClientFrame::Hello { client }).await?;
        loop {
            match reader.next().await? {
                Heard::Frame(ServerFrame::Welcome(welcome)) => return Ok(Self { welcome, codec, reader, writer }),
                Heard::Frame(ServerFrame::Goodbye { reason }) => return Err(SessionError::Goodbye(reason)),
                Heard::Frame(_) => return Err(incompatible("its first frame is no welcome".to_owned())),
                Heard::Pong(_) => {}
            }
        }
    }

    /// Why acts cannot be sent on this line; `None` when they can.
    pub(super) fn acts_refused(welcome: &Welcome) -> Option<CallError> {
        (welcome.types != TYPES)
            .then(|| CallError::OtherTypes { daemon: welcome.version.clone(), theirs: welcome.types.clone() })
    }
}

fn header(target: &Target, text: &str) -> Result<HeaderValue, SessionError> {
    HeaderValue::from_str(text).map_err(|_| SessionError::Unreachable {
        target: target.to_string(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "the token has characters that no header takes"),
    })
}

fn not_greeted(target: &Target, error: WsError) -> SessionError {
    let target = target.to_string();
    match error {
        WsError::Http(response) => match response.status().as_u16() {
            status @ (401 | 403) => SessionError::Denied { target, status },
            status @ (429 | 503) => SessionError::Busy { target, status },
            status => {
                let words = refusal(response.body().as_deref().unwrap_or_default());
                let said = format!("it answered HTTP {status}{}{words}", if words.is_empty() { "" } else { ": " });
                SessionError::Incompatible { target, said }
            }
        },
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
            SessionError::Incompatible { target, said: "it speaks neither this console's bincode nor JSON".to_owned() }
        }
        WsError::Io(source) => SessionError::Unreachable { target, source },
        WsError::ConnectionClosed | WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
            SessionError::Lost("it closed during the handshake".to_owned())
        }
        other => SessionError::Incompatible { target, said: other.to_string() },
    }
}

/// The first words of a refusal's body: a daemon says there what it speaks. What is no text, such as a page, is left
/// away.
fn refusal(body: &[u8]) -> String {
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MOST)]);
    let text = crate::text::clean(text.trim());
    if text.starts_with('<') { String::new() } else { crate::text::cut(&text, MOST, "…") }
}

impl Reader {
    /// The next thing that arrives.
    pub(super) async fn next(&mut self) -> Result<Heard, SessionError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Heard::Frame(self.read(&bytes)?)),
                Some(Ok(Message::Text(text))) => return Ok(Heard::Frame(self.read(text.as_bytes())?)),
                Some(Ok(Message::Pong(payload))) => return Ok(Heard::Pong(payload.to_vec())),
                Some(Ok(Message::Close(Some(close)))) if !close.reason.is_empty() => {
                    return Err(SessionError::Goodbye(crate::text::clean(&close.reason)));
                }
                Some(Ok(Message::Close(_))) | None => return Err(SessionError::Lost("it was closed".to_owned())),
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Err(e)) => return Err(SessionError::Lost(e.to_string())),
            }
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<ServerFrame, SessionError> {
        Ok(decode(self.codec, bytes, SERVER_FRAME_CAP)?)
    }
}

impl Writer {
    /// Sends one frame, and what was fed before it.
    pub(super) async fn send(&mut self, frame: &ClientFrame) -> Result<(), SessionError> {
        self.feed(encode(self.codec, frame)).await?;
        self.flush().await
    }

    /// Puts an encoded frame in line; [`Self::flush`] sends it.
    pub(super) async fn feed(&mut self, bytes: Vec<u8>) -> Result<(), SessionError> {
        debug_assert!(bytes.len() <= CLIENT_FRAME_CAP, "the caller measures before it feeds");
        let message = match self.codec {
            Codec::Bincode => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
        };
        within(self.sink.feed(message)).await
    }

    /// Sends what was fed.
    pub(super) async fn flush(&mut self) -> Result<(), SessionError> {
        within(self.sink.flush()).await
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self, payload: Vec<u8>) -> Result<(), SessionError> {
        within(self.sink.send(Message::Ping(payload.into()))).await
    }

    /// Says good-bye; the line is being left, so failing does not matter.
    pub(super) async fn close(&mut self) {
        let _ = tokio::time::timeout(Duration::from_millis(200), self.sink.close()).await;
    }
}

async fn within(write: impl Future<Output = Result<(), WsError>>) -> Result<(), SessionError> {
    match tokio::time::timeout(WRITE_WITHIN, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(SessionError::Lost(e.to_string())),
        Err(_) => Err(SessionError::Silent(WRITE_WITHIN.as_secs())),
    }
}
