//! One client's session: frames in, answers and updates out. A client that reads slowly holds up itself alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use usher_common::protocol::{
    CLIENT_FRAME_CAP, ClientFrame, Codec, Have, Problem, ProblemCode, ServerFrame, TYPES, Topic, Welcome, decode,
    encode,
};

use super::progress::Progress;
use super::{Api, Caller};

/// Silence is broken this often, so that a client can tell a quiet daemon from a dead line.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Updates are sent at most this often.
const GAP: Duration = Duration::from_millis(250);
/// A client that does not take a frame for this long is gone.
const STALLED: Duration = Duration::from_secs(30);
/// Calls of one client that are worked on at once; more wait in its own line.
const CALLS: usize = 16;
/// Events in one frame.
const EVENTS: usize = 200;

struct Session {
    api: Arc<Api>,
    caller: Arc<Caller>,
    socket: WebSocket,
    codec: Codec,
    follows: HashMap<Topic, Option<Have>>,
    /// The last event that was sent; `None` while the log is not followed.
    log: Option<u64>,
}

/// Why a session ended.
enum End {
    /// The client went, or its line broke.
    Gone,
    /// The daemon stops.
    Stop,
}

/// Serves one client until it goes or `stop` is cancelled.
pub(super) async fn serve(api: Arc<Api>, caller: Caller, socket: WebSocket, codec: Codec, stop: CancellationToken) {
    let mut session = Session { api, caller: Arc::new(caller), socket, codec, follows: HashMap::new(), log: None };
    let end = session.run(&stop).await.err().unwrap_or(End::Gone);
    for topic in session.follows.keys() {
        session.api.board.follow(*topic, false);
    }
    session.api.forget_imports(&session.caller).await;
    if matches!(end, End::Stop) {
        let goodbye = ServerFrame::Goodbye { reason: "the daemon stops".to_owned() };
        let bytes = encode(session.codec, &goodbye);
        let _ = session.send(bytes.into()).await;
        let close = CloseFrame { code: close_code::AWAY, reason: "the daemon stops".into() };
        let _ = tokio::time::timeout(Duration::from_secs(1), session.socket.send(Message::Close(Some(close)))).await;
    }
}

impl Session {
    async fn run(&mut self, stop: &CancellationToken) -> Result<(), End> {
        let welcome = ServerFrame::Welcome(Welcome {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            types: TYPES.to_owned(),
            epoch: self.api.board.epoch(),
            environment: self.api.environment.clone(),
            actor: self.caller.name.clone(),
            now: self.api.clock.now(),
        });
        self.send(encode(self.codec, &welcome).into()).await?;
        let (answers, mut answered) = mpsc::channel::<Bytes>(CALLS);
        let calls = Arc::new(Semaphore::new(CALLS));
        let mut pulse = self.api.board.pulse();
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seq = 0;
        let (mut due, mut ready_at) = (false, tokio::time::Instant::now());
        loop {
            let room = calls.available_permits() > 0;
            tokio::select! {
                () = stop.cancelled() => return Err(End::Stop),
                Some(answer) = answered.recv() => self.send(answer).await?,
                message = self.socket.recv(), if room => {
                    let Some(Ok(message)) = message else { return Err(End::Gone) };
                    self.receive(message, &answers, &calls).await?;
                }
                changed = pulse.changed(), if !due => {
                    changed.map_err(|_| End::Stop)?;
                    due = true;
                }
                // The first change after a quiet time goes out at once; whatever else changes within the gap goes out
                // together. Calls are read and answered meanwhile.
                () = tokio::time::sleep_until(ready_at), if due => {
                    due = false;
                    self.update().await?;
                    ready_at = tokio::time::Instant::now() + GAP;
                }
                _ = beat.tick() => {
                    seq += 1;
                    let heartbeat = ServerFrame::Heartbeat { seq, now: self.api.clock.now() };
                    self.send(encode(self.codec, &heartbeat).into()).await?;
                }
            }
        }
    }

    async fn receive(
        &mut self,
        message: Message,
        answers: &mpsc::Sender<Bytes>,
        calls: &Arc<Semaphore>,
    ) -> Result<(), End> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
        };
        let frame = match decode::<ClientFrame>(self.codec, &bytes, CLIENT_FRAME_CAP) {
            Ok(frame) => frame,
            Err(error) => return self.refuse(&bytes, &error.to_string()).await,
        };
        match frame {
            ClientFrame::Hello { client } => {
                tracing::debug!(actor = self.caller.name, client, "a client says hello");
            }
            ClientFrame::Subscribe { topic: Topic::Log, have } => {
                let known = have.filter(|h| h.epoch == self.api.board.epoch());
                self.log = Some(known.map_or(0, |h| h.version));
                self.update().await?;
            }
            ClientFrame::Subscribe { topic, have } => {
                if self.follows.insert(topic, have).is_none() {
                    self.api.board.follow(topic, true);
                }
                self.api.interest(topic);
                self.update().await?;
            }
            ClientFrame::Unsubscribe { topic: Topic::Log } => self.log = None,
            ClientFrame::Unsubscribe { topic } => {
                if self.follows.remove(&topic).is_some() {
                    self.api.board.follow(topic, false);
                }
            }
            ClientFrame::Call { id, request, act } => {
                let permit = Arc::clone(calls).acquire_owned().await.map_err(|_| End::Stop)?;
                let (api, caller, answers, codec) =
                    (Arc::clone(&self.api), Arc::clone(&self.caller), answers.clone(), self.codec);
                let words = answers.clone();
                let tell = move |done, total| {
                    // Where there is no room, a newer word follows.
                    let _ = words.try_send(encode(codec, &ServerFrame::Progress { id, done, total }).into());
                };
                let progress = Progress::told(api.stop.clone(), api.clock.clone(), tell);
                tokio::spawn(async move {
                    let result = api.call(caller, *request, act, progress).await;
                    let bytes = encode(codec, &ServerFrame::Reply { id, result });
                    // The session may have ended meanwhile; what was done stands all the same.
                    let _ = answers.send(bytes.into()).await;
                    drop(permit);
                });
            }
        }
        Ok(())
    }

    /// Answers a frame that cannot be read: under its id where that much can be made out.
    async fn refuse(&mut self, bytes: &[u8], why: &str) -> Result<(), End> {
        let id = match self.codec {
            Codec::Json => serde_json::from_slice::<serde_json::Value>(bytes)
                .ok()
                .and_then(|v| v.get("Call")?.get("id")?.as_u64())
                .unwrap_or(0),
            Codec::Bincode => 0,
        };
        let problem = Problem::new(
            ProblemCode::Invalid,
            format!("this frame cannot be understood: {why}"),
            "see the protocol's documentation for the requests of this version",
        );
        let reply = ServerFrame::Reply { id, result: Err(problem) };
        self.send(encode(self.codec, &reply).into()).await
    }

    async fn update(&mut self) -> Result<(), End> {
        let topics: Vec<(Topic, Option<Have>)> = self.follows.iter().map(|(t, h)| (*t, *h)).collect();
        for (topic, have) in topics {
            if let Some((bytes, now)) = self.api.board.update(topic, self.codec, have) {
                self.follows.insert(topic, Some(now));
                self.send(bytes).await?;
            }
        }
        while let Some(position) = self.log {
            let (skipped, events) = self.api.board.events(position, EVENTS);
            let Some(last) = events.last() else { break };
            self.log = Some(last.position);
            let frame = ServerFrame::Events { skipped, events };
            self.send(encode(self.codec, &frame).into()).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), End> {
        let message = match self.codec {
            Codec::Bincode => Message::Binary(bytes),
            Codec::Json => match axum::extract::ws::Utf8Bytes::try_from(bytes) {
                Ok(text) => Message::Text(text),
                Err(_) => return Err(End::Gone),
            },
        };
        match tokio::time::timeout(STALLED, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                tracing::warn!(actor = self.caller.name, "a client took nothing for {STALLED:?}; its session is ended");
                Err(End::Gone)
            }
        }
    }
}
