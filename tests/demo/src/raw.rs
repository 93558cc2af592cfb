//! A session that is nothing but a socket: for clients that send rubbish, and for those that never read.
//! Promises: nothing is read unless the caller reads; a client that stops reading is proved to be full, not assumed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::SinkExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use usher_common::model::ListId;
use usher_common::protocol::{ClientFrame, Codec, JSON_SUBPROTOCOL, Request, SESSION_PATH, Topic, encode};

use crate::TOKEN;

/// So small a receive buffer that what a deaf client has not read is soon the daemon's to keep, in bytes.
const EAR: u32 = 4096;
/// A daemon that has not taken a frame for this long does not read from this client any more.
const DEAF: Duration = Duration::from_secs(1);

/// A WebSocket over TCP that speaks JSON, before any frame.
pub type RawSession = WebSocketStream<TcpStream>;

/// Opens a session at the daemon's TCP port; frames are the caller's.
pub async fn raw_session(address: &str) -> anyhow::Result<RawSession> {
    raw_session_offering(address, JSON_SUBPROTOCOL).await
}

/// The same with an offer of subprotocols of one's own. The library's error can be had from a refusal.
pub async fn raw_session_offering(address: &str, offer: &str) -> anyhow::Result<RawSession> {
    let mut request = format!("ws://{address}{SESSION_PATH}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", offer.parse()?);
    headers.insert("authorization", format!("Bearer {TOKEN}").parse()?);
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(EAR)?;
    let stream = socket.connect(address.parse()?).await.context("connecting to the daemon's TCP port")?;
    Ok(tokio_tungstenite::client_async(request, stream).await.context("opening a WebSocket")?.0)
}

/// A client that follows everything, asks for page after page, and reads nothing.
pub struct DeafClient {
    /// Open as long as this lives.
    _socket: RawSession,
    /// Frames that it got rid of before the daemon stopped taking them.
    pub asked: u64,
}

impl DeafClient {
    /// Attaches one, and has it ask for the guests of `list` until the daemon takes no more of its frames: then every
    /// buffer on the way to it is full.
    pub async fn attach(address: &str, topics: &[Topic], list: ListId) -> anyhow::Result<Self> {
        let mut socket = raw_session(address).await?;
        for topic in topics {
            socket.send(text(&ClientFrame::Subscribe { topic: *topic, have: None })).await?;
        }
        for id in 0..1_000_000_u64 {
            let ask = Request::Guests { list, segment: String::new(), after: None, limit: 1_000 };
            let call = text(&ClientFrame::Call { id, request: Box::new(ask), act: None });
            match tokio::time::timeout(DEAF, socket.send(call)).await {
                Ok(sent) => sent.context("asking without listening")?,
                Err(_) => return Ok(Self { _socket: socket, asked: id }),
            }
        }
        bail!("the daemon answered a million calls of a client that reads nothing")
    }
}

/// A frame as it goes over the line in JSON.
pub fn text(frame: &ClientFrame) -> Message {
    Message::text(String::from_utf8_lossy(&encode(Codec::Json, frame)).into_owned())
}
