//! One connection as a library: calls, many in flight, and topics to follow.
//!
//! A task of its own owns the line. It never waits for whoever follows a topic: one who does not keep up with a topic of
//! state gets, when there is room again, what changed in the meantime; one who does not keep up with events is told how
//! many were skipped. When the line breaks, calls in flight fail and streams end: a client connects anew, or uses
//! [`super::Link`].

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot, watch};
use usher_common::protocol::{
    Act, Answer, CLIENT_FRAME_CAP, ClientFrame, Codec, Have, LogEvent, Reply, Request, Row, ServerFrame, Topic,
    Welcome, encode,
};

use super::ledger::{Ledger, Verdict};
use super::road::Asking;
use super::wire::{Heard, Reader, Wire, Writer};
use super::{CallError, SessionError, Target};

/// Commands that wait for the line.
const COMMANDS: usize = 256;
/// Updates that wait for a follower.
const UPDATES: usize = 256;
/// A heartbeat comes every 5 s: six missed ones are a dead line.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection to a daemon. Cheap to clone; the line closes with the last clone and the last [`Updates`].
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
struct Shared {
    welcome: Welcome,
    codec: Codec,
    next: AtomicU64,
}

/// What happened to a topic that is followed.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The topic as it is; whatever was known of it is void.
    Snapshot(Vec<Row>),
    /// What changed.
    Delta {
        /// Rows that are new or changed, whole.
        rows: Vec<Row>,
        /// Keys of rows that went.
        gone: Vec<String>,
    },
    /// Events, in order.
    Events {
        /// How many were dropped before these.
        skipped: u64,
        /// The events.
        events: Vec<LogEvent>,
    },
}

/// The updates of one topic; ends when the line breaks. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Updates {
    topic: Topic,
    inbox: mpsc::Receiver<Update>,
    commands: mpsc::Sender<Command>,
}

/// Who waits for the end of a call.
#[derive(Debug)]
struct Caller {
    answer: oneshot::Sender<Result<Reply, CallError>>,
    /// How far it is: done, and of how much.
    words: watch::Sender<(u64, u64)>,
}

#[derive(Debug)]
enum Command {
    Call { id: u64, bytes: Vec<u8>, caller: Caller },
    Follow { topic: Topic, updates: mpsc::Sender<Update> },
    Leave { topic: Topic },
}

impl Client {
    /// Connects and waits for the daemon's welcome. An ssh target may ask for a password on the terminal.
    pub async fn connect(target: &Target) -> Result<Self, SessionError> {
        let Wire { welcome, codec, reader, writer } = Wire::open(target, Asking::Allowed).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let line = Line {
            reader,
            writer,
            codec,
            ledger: Ledger::default(),
            calls: HashMap::new(),
            followers: HashMap::new(),
            closed: None,
        };
        tokio::spawn(line.run(inbox));
        let shared = Shared { welcome, codec, next: AtomicU64::new(1) };
        Ok(Self { shared: Arc::new(shared), commands })
    }

    /// Who answered, and whom it takes us for.
    pub fn welcome(&self) -> &Welcome {
        &self.shared.welcome
    }

    /// The codec that was agreed on.
    pub fn codec(&self) -> Codec {
        self.shared.codec
    }

    /// Asks, or acts. Many calls can be in flight; answers come in any order. Waits as long as the line lives.
    ///
    /// An act whose line breaks before the answer ([`CallError::Lost`]) may be sent again under the same key.
    pub async fn call(&self, request: Request, act: Option<Act>) -> Result<Reply, CallError> {
        self.call_telling(request, act, |_, _| ()).await
    }

    /// As [`Self::call`]; `told` hears of one that takes long how much is done, and of how much: 0 where the daemon does
    /// not know that.
    pub async fn call_telling(
        &self,
        request: Request,
        act: Option<Act>,
        mut told: impl FnMut(u64, u64),
    ) -> Result<Reply, CallError> {
        if request.answer() == Answer::Acts
            && let Some(refused) = Wire::acts_refused(&self.shared.welcome)
        {
            return Err(refused);
        }
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let bytes = encode(self.shared.codec, &ClientFrame::Call { id, request: Box::new(request), act });
        if bytes.len() > CLIENT_FRAME_CAP {
            return Err(CallError::TooLarge { len: bytes.len(), cap: CLIENT_FRAME_CAP });
        }
        let (answer, mut answered) = oneshot::channel();
        let (words, mut heard) = watch::channel((0, 0));
        let gone = || CallError::Lost("it was closed".to_owned());
        let caller = Caller { answer, words };
        self.commands.send(Command::Call { id, bytes, caller }).await.map_err(|_| gone())?;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.unwrap_or_else(|_| Err(gone())),
                Ok(()) = heard.changed() => {
                    let (done, total) = *heard.borrow_and_update();
                    told(done, total);
                }
            }
        }
    }

    /// Follows a topic: a snapshot, then every change. A second stream of the same topic ends the first.
    pub async fn follow(&self, topic: Topic) -> Result<Updates, CallError> {
        let (sender, inbox) = mpsc::channel(UPDATES);
        let follow = Command::Follow { topic, updates: sender };
        self.commands.send(follow).await.map_err(|_| CallError::Lost("it was closed".to_owned()))?;
        Ok(Updates { topic, inbox, commands: self.commands.clone() })
    }
}

impl Updates {
    /// The next update; `None` once the line broke.
    pub async fn next(&mut self) -> Option<Update> {
        self.inbox.recv().await
    }
}

impl Stream for Updates {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.inbox.poll_recv(cx)
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.inbox.close();
        // With a full queue the line notices by itself, when it next has something for this stream.
        let _ = self.commands.try_send(Command::Leave { topic: self.topic });
    }
}

struct Follower {
    updates: mpsc::Sender<Update>,
    /// What the follower was really handed.
    handed: Option<Have>,
    /// It missed something for lack of room.
    behind: bool,
    /// Events that it missed.
    skipped: u64,
}

struct Line {
    reader: Reader,
    writer: Writer,
    codec: Codec,
    ledger: Ledger,
    calls: HashMap<u64, Caller>,
    followers: HashMap<Topic, Follower>,
    closed: Option<SessionError>,
}

impl Line {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let silence = tokio::time::sleep(SILENCE);
        tokio::pin!(silence);
        let ended = loop {
            let step = tokio::select! {
                heard = self.reader.next() => {
                    silence.as_mut().reset(tokio::time::Instant::now() + SILENCE);
                    match heard {
                        Ok(Heard::Frame(frame)) => self.frame(frame).await,
                        Ok(Heard::Pong(_)) => Ok(()),
                        Err(e) => Err(e),
                    }
                }
                command = inbox.recv() => {
                    let Some(first) = command else {
                        self.writer.close().await;
                        return;
                    };
                    self.commands(first, &mut inbox).await
                }
                () = &mut silence => Err(SessionError::Silent(SILENCE.as_secs())),
            };
            if let Err(e) = step {
                break e;
            }
            if let Some(reason) = self.closed.take() {
                break reason;
            }
        };
        let why = ended.to_string();
        for (_, caller) in self.calls.drain() {
            let _ = caller.answer.send(Err(CallError::Lost(why.clone())));
        }
        inbox.close();
        while let Some(command) = inbox.recv().await {
            if let Command::Call { caller, .. } = command {
                let _ = caller.answer.send(Err(CallError::Lost(why.clone())));
            }
        }
    }

    /// Takes all commands that wait, and flushes once.
    async fn commands(&mut self, first: Command, inbox: &mut mpsc::Receiver<Command>) -> Result<(), SessionError> {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Call { id, bytes, caller } => {
                    self.calls.insert(id, caller);
                    self.writer.feed(bytes).await?;
                }
                Command::Follow { topic, updates } => {
                    self.ledger.leave(topic);
                    self.ledger.follow(topic);
                    self.followers.insert(topic, Follower { updates, handed: None, behind: false, skipped: 0 });
                    self.feed(&ClientFrame::Subscribe { topic, have: None }).await?;
                }
                // Only if that stream is still the one: a newer one may have taken its place.
                Command::Leave { topic } if self.followers.get(&topic).is_some_and(|f| f.updates.is_closed()) => {
                    self.leave(topic).await?;
                }
                Command::Leave { .. } => {}
            }
            next = inbox.try_recv().ok();
        }
        self.writer.flush().await
    }

    async fn leave(&mut self, topic: Topic) -> Result<(), SessionError> {
        self.ledger.leave(topic);
        self.followers.remove(&topic);
        self.feed(&ClientFrame::Unsubscribe { topic }).await
    }

    async fn feed(&mut self, frame: &ClientFrame) -> Result<(), SessionError> {
        self.writer.feed(encode(self.codec, frame)).await
    }

    async fn frame(&mut self, frame: ServerFrame) -> Result<(), SessionError> {
        match frame {
            ServerFrame::Reply { id, result } => {
                if let Some(caller) = self.calls.remove(&id) {
                    // Whoever asked may have gone.
                    let _ = caller.answer.send(result.map_err(CallError::Refused));
                }
                Ok(())
            }
            ServerFrame::Snapshot { topic, epoch, version, rows } => {
                let verdict = self.ledger.snapshot(topic, epoch, version);
                self.state(topic, verdict, Update::Snapshot(rows)).await
            }
            ServerFrame::Delta { topic, from, to, rows, gone } => {
                if self.followers.get(&topic).is_some_and(|f| f.behind && f.updates.capacity() == 0) {
                    return Ok(());
                }
                let verdict = self.ledger.delta(topic, from, to);
                self.state(topic, verdict, Update::Delta { rows, gone }).await
            }
            ServerFrame::Events { skipped, events } => self.events(skipped, events).await,
            ServerFrame::Progress { id, done, total } => {
                if let Some(caller) = self.calls.get(&id) {
                    caller.words.send_replace((done, total));
                }
                Ok(())
            }
            ServerFrame::Heartbeat { .. } => self.catch_up().await,
            ServerFrame::Goodbye { reason } => {
                self.closed = Some(SessionError::Goodbye(crate::text::clean(&reason)));
                Ok(())
            }
            ServerFrame::Welcome(_) => Ok(()),
        }
    }

    async fn state(&mut self, topic: Topic, verdict: Verdict, update: Update) -> Result<(), SessionError> {
        let Some(follower) = self.followers.get_mut(&topic) else { return Ok(()) };
        match verdict {
            Verdict::Drop => Ok(()),
            Verdict::Resubscribe(have) => self.writer.send(&ClientFrame::Subscribe { topic, have }).await,
            Verdict::Take => match follower.updates.try_send(update) {
                Ok(()) => {
                    follower.handed = self.ledger.have(topic);
                    follower.behind = false;
                    Ok(())
                }
                Err(mpsc::error::TrySendError::Full(_)) => {
                    follower.behind = true;
                    self.ledger.roll_back(topic, follower.handed);
                    Ok(())
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.leave(topic).await?;
                    self.writer.flush().await
                }
            },
        }
    }

    async fn events(&mut self, skipped: u64, events: Vec<LogEvent>) -> Result<(), SessionError> {
        let Some(follower) = self.followers.get_mut(&Topic::Log) else { return Ok(()) };
        let count = events.len() as u64;
        let skipped = follower.skipped.saturating_add(skipped);
        match follower.updates.try_send(Update::Events { skipped, events }) {
            Ok(()) => follower.skipped = 0,
            Err(mpsc::error::TrySendError::Full(_)) => follower.skipped = skipped.saturating_add(count),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.leave(Topic::Log).await?;
                self.writer.flush().await?;
            }
        }
        Ok(())
    }

    /// Asks anew for topics whose follower was full and has room again.
    async fn catch_up(&mut self) -> Result<(), SessionError> {
        let mut late = Vec::new();
        for (topic, follower) in &mut self.followers {
            if follower.behind && follower.updates.capacity() > 0 {
                follower.behind = false;
                late.push((*topic, follower.handed));
            }
        }
        for (topic, have) in late {
            self.feed(&ClientFrame::Subscribe { topic, have }).await?;
        }
        self.writer.flush().await
    }
}
