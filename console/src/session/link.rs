//! The console's line: it never gives up, says how it stands, and resumes what was followed where it broke off.
//!
//! A task of its own, so that no key ever waits for the network. Its queues are bounded; when the console is slow, the
//! line stops reading and the daemon lets newer state replace older.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use usher_common::model::Timestamp;
use usher_common::protocol::{
    Act, Answer, CLIENT_FRAME_CAP, ClientFrame, LogEvent, Reply, Request, Row, ServerFrame, Topic, Welcome, encode,
};

use super::ledger::{Ledger, Verdict};
use super::road::Asking;
use super::wire::{Heard, Wire};
use super::{CallError, Retry, SessionError, Target};
use crate::clock::Clock;

/// Heartbeats come every 5 s: after three missed ones, what is on screen is called stale.
pub const STALE_AFTER: Duration = Duration::from_secs(15);
/// After that much silence the line is taken for dead and opened anew.
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// How often the round trip is measured.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Where a person has to change something, trying more often helps nobody.
const NEEDS_A_PERSON: Duration = Duration::from_secs(10);
/// Bound of both queues.
const QUEUE: usize = 256;

/// How the line stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Opening it for the first time.
    #[default]
    Connecting,
    /// Up; the round trip in milliseconds, once measured.
    Live(Option<u32>),
    /// Up, but nothing was heard for [`STALE_AFTER`].
    Stale,
    /// Down; tried again at a time of the console's monotonic clock.
    Backoff {
        /// Which try comes next, from 1.
        tries: u32,
        /// When.
        until: Duration,
        /// What went wrong.
        why: String,
    },
    /// What answers cannot be understood; tried again every 10 s.
    Incompatible(String),
    /// The daemon does not let this caller in; tried again every 10 s.
    Denied(String),
}

/// From the console to its line.
#[derive(Debug)]
pub enum LinkCommand {
    /// Follow a topic, over every reconnect.
    Follow(Topic),
    /// Follow it no longer.
    Leave(Topic),
    /// Ask or act; answered with the same tag, by an error when the line is down.
    Call {
        /// Comes back with the answer.
        tag: u64,
        /// What is asked.
        request: Box<Request>,
        /// For acts.
        act: Option<Act>,
    },
    /// Do not wait for the next try.
    RetryNow,
}

/// From the line to the console.
#[derive(Debug)]
pub enum LinkEvent {
    /// The line stands otherwise than before.
    State(LinkState),
    /// A daemon answered. `acts` says whether it speaks the same types, so that acts can be sent.
    Welcome {
        /// Who.
        welcome: Welcome,
        /// Whether acts can be sent.
        acts: bool,
    },
    /// A topic as it is.
    Snapshot {
        /// Which.
        topic: Topic,
        /// All rows.
        rows: Vec<Row>,
    },
    /// What changed of a topic.
    Delta {
        /// Which.
        topic: Topic,
        /// New or changed.
        rows: Vec<Row>,
        /// Gone.
        gone: Vec<String>,
    },
    /// What happened.
    Events {
        /// Left out before these.
        skipped: u64,
        /// In order.
        events: Vec<LogEvent>,
    },
    /// The daemon lives, and this is its clock.
    Heartbeat(Timestamp),
    /// How far a call is that takes long.
    Progress {
        /// The call's tag.
        tag: u64,
        /// What is done.
        done: u64,
        /// Of how much; 0 where the daemon does not know.
        total: u64,
    },
    /// An answer.
    Answer {
        /// The call's tag.
        tag: u64,
        /// What came of it.
        result: Result<Reply, CallError>,
    },
}

/// The console's end of the line. Dropping it closes the line.
#[derive(Debug)]
pub struct Link {
    /// To the line; never blocks the console: it uses `try_send`.
    pub commands: mpsc::Sender<LinkCommand>,
    /// From the line.
    pub events: mpsc::Receiver<LinkEvent>,
}

impl Link {
    /// Starts the line's task. With `ask`, the first ssh may ask for a password: only while the terminal is still free.
    pub fn start(target: Target, clock: Clock, ask: bool) -> Self {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (outbox, events) = mpsc::channel(QUEUE);
        let asking = if ask { Asking::Allowed } else { Asking::Forbidden };
        let task = Task { target, clock, inbox, outbox, ledger: Ledger::default(), retry: Retry::default() };
        tokio::spawn(async move {
            // Ends when the console has gone.
            let Gone = task.run(asking).await;
        });
        Self { commands, events }
    }
}

/// The console has gone.
struct Gone;

struct Task {
    target: Target,
    clock: Clock,
    inbox: mpsc::Receiver<LinkCommand>,
    outbox: mpsc::Sender<LinkEvent>,
    ledger: Ledger,
    retry: Retry,
}

enum Ended {
    Lost(SessionError),
    Gone,
}

impl From<Gone> for Ended {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<SessionError> for Ended {
    fn from(error: SessionError) -> Self {
        Self::Lost(error)
    }
}

impl Task {
    async fn run(mut self, mut asking: Asking) -> Gone {
        loop {
            let opened = {
                let open = Wire::open(&self.target, asking);
                tokio::pin!(open);
                loop {
                    tokio::select! {
                        opened = &mut open => break opened,
                        command = self.inbox.recv() => {
                            let Some(command) = command else { return Gone };
                            if let Err(gone) = offline(&mut self.ledger, &self.outbox, command).await {
                                return gone;
                            }
                        }
                    }
                }
            };
            asking = Asking::Forbidden;
            let ended = match opened {
                Ok(wire) => {
                    self.retry.live(self.clock.now().mono);
                    match self.live(wire).await {
                        Ended::Gone => return Gone,
                        Ended::Lost(error) => error,
                    }
                }
                Err(error) => error,
            };
            if let Err(gone) = self.wait(&ended).await {
                return gone;
            }
        }
    }

    async fn say(&self, event: LinkEvent) -> Result<(), Gone> {
        self.outbox.send(event).await.map_err(|_| Gone)
    }

    /// Waits for the next try, and answers commands meanwhile.
    async fn wait(&mut self, ended: &SessionError) -> Result<(), Gone> {
        let now = self.clock.now().mono;
        let mut pause = self.retry.failed(now, random());
        if ended.needs_a_person() {
            pause = NEEDS_A_PERSON;
        }
        let why = ended.to_string();
        let state = match ended {
            SessionError::Denied { .. } => LinkState::Denied(why),
            SessionError::Incompatible { .. } | SessionError::PathTooLong { .. } => LinkState::Incompatible(why),
            _ => LinkState::Backoff { tries: self.retry.tries(), until: now + pause, why },
        };
        self.say(LinkEvent::State(state)).await?;
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                command = self.inbox.recv() => match command {
                    None => return Err(Gone),
                    Some(LinkCommand::RetryNow) => return Ok(()),
                    Some(command) => offline(&mut self.ledger, &self.outbox, command).await?,
                },
            }
        }
    }

    /// The line while it is up.
    async fn live(&mut self, wire: Wire) -> Ended {
        let Wire { welcome, codec, mut reader, mut writer } = wire;
        let mut calls: HashMap<u64, u64> = HashMap::new();
        let ended: Result<std::convert::Infallible, Ended> = async {
            let acts = Wire::acts_refused(&welcome).is_none();
            self.say(LinkEvent::Welcome { welcome: welcome.clone(), acts }).await?;
            self.say(LinkEvent::State(LinkState::Live(None))).await?;
            for (topic, have) in self.ledger.resume() {
                writer.feed(encode(codec, &ClientFrame::Subscribe { topic, have })).await?;
            }
            writer.flush().await?;
            let mut heard_at = Instant::now();
            let mut rtt = None;
            let mut stale = false;
            let mut next_id = 1u64;
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let started = Instant::now();
            let mut pinged_at: Option<Instant> = None;
            loop {
                tokio::select! {
                    heard = reader.next() => {
                        let heard = heard?;
                        heard_at = Instant::now();
                        if stale {
                            stale = false;
                            self.say(LinkEvent::State(LinkState::Live(rtt))).await?;
                        }
                        match heard {
                            Heard::Pong(payload) => {
                                let sent = <[u8; 8]>::try_from(payload).map_or(0, u64::from_be_bytes);
                                let now = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                                let ms = u32::try_from(now.saturating_sub(sent) / 1000).unwrap_or(u32::MAX);
                                if rtt != Some(ms) {
                                    rtt = Some(ms);
                                    self.say(LinkEvent::State(LinkState::Live(rtt))).await?;
                                }
                            }
                            Heard::Frame(frame) => {
                                if let Some((topic, have)) = self.frame(frame, &mut calls).await? {
                                    writer.send(&ClientFrame::Subscribe { topic, have }).await?;
                                }
                            }
                        }
                    }
                    command = self.inbox.recv() => match command.ok_or(Gone)? {
                        LinkCommand::Follow(topic) => {
                            self.ledger.follow(topic);
                            let have = self.ledger.have(topic);
                            writer.send(&ClientFrame::Subscribe { topic, have }).await?;
                        }
                        LinkCommand::Leave(topic) => {
                            self.ledger.leave(topic);
                            writer.send(&ClientFrame::Unsubscribe { topic }).await?;
                        }
                        LinkCommand::Call { tag, request, act } => {
                            if request.answer() == Answer::Acts && let Some(refused) = Wire::acts_refused(&welcome) {
                                self.say(LinkEvent::Answer { tag, result: Err(refused) }).await?;
                                continue;
                            }
                            let id = next_id;
                            next_id += 1;
                            let bytes = encode(codec, &ClientFrame::Call { id, request, act });
                            if bytes.len() > CLIENT_FRAME_CAP {
                                let error = CallError::TooLarge { len: bytes.len(), cap: CLIENT_FRAME_CAP };
                                self.say(LinkEvent::Answer { tag, result: Err(error) }).await?;
                                continue;
                            }
                            calls.insert(id, tag);
                            writer.feed(bytes).await?;
                            writer.flush().await?;
                        }
                        LinkCommand::RetryNow => {
                            // Live: take every topic anew, for whoever doubts what is on screen.
                            for (topic, _) in self.ledger.resume() {
                                writer.feed(encode(codec, &ClientFrame::Subscribe { topic, have: None })).await?;
                            }
                            writer.flush().await?;
                        }
                    },
                    _ = second.tick() => {
                        let silent = heard_at.elapsed();
                        if silent >= DEAD_AFTER {
                            return Err(SessionError::Silent(silent.as_secs()).into());
                        }
                        if silent >= STALE_AFTER && !stale {
                            stale = true;
                            self.say(LinkEvent::State(LinkState::Stale)).await?;
                        }
                        if pinged_at.is_none_or(|at| at.elapsed() >= PING_EVERY) {
                            pinged_at = Some(Instant::now());
                            let now = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                            writer.ping(now.to_be_bytes().to_vec()).await?;
                        }
                    }
                }
            }
        }
        .await;
        let ended = match ended {
            Err(ended) => ended,
            Ok(never) => match never {},
        };
        if let Ended::Lost(error) = &ended {
            for tag in calls.into_values() {
                let result = Err(CallError::Lost(error.to_string()));
                if self.say(LinkEvent::Answer { tag, result }).await.is_err() {
                    return Ended::Gone;
                }
            }
        } else {
            writer.close().await;
        }
        ended
    }

    /// Hands one frame on; says what to ask for anew when something is missing.
    async fn frame(
        &mut self,
        frame: ServerFrame,
        calls: &mut HashMap<u64, u64>,
    ) -> Result<Option<(Topic, Option<usher_common::protocol::Have>)>, Ended> {
        let event = match frame {
            ServerFrame::Snapshot { topic, epoch, version, rows } => {
                match self.ledger.snapshot(topic, epoch, version) {
                    Verdict::Take => LinkEvent::Snapshot { topic, rows },
                    Verdict::Drop => return Ok(None),
                    Verdict::Resubscribe(have) => return Ok(Some((topic, have))),
                }
            }
            ServerFrame::Delta { topic, from, to, rows, gone } => match self.ledger.delta(topic, from, to) {
                Verdict::Take => LinkEvent::Delta { topic, rows, gone },
                Verdict::Drop => return Ok(None),
                Verdict::Resubscribe(have) => return Ok(Some((topic, have))),
            },
            ServerFrame::Progress { id, done, total } => match calls.get(&id) {
                Some(&tag) => LinkEvent::Progress { tag, done, total },
                None => return Ok(None),
            },
            ServerFrame::Events { skipped, events } => LinkEvent::Events { skipped, events },
            ServerFrame::Reply { id, result } => match calls.remove(&id) {
                Some(tag) => LinkEvent::Answer { tag, result: result.map_err(CallError::Refused) },
                None => return Ok(None),
            },
            ServerFrame::Heartbeat { now, .. } => LinkEvent::Heartbeat(now),
            ServerFrame::Goodbye { reason } => {
                return Err(SessionError::Goodbye(crate::text::clean(&reason)).into());
            }
            ServerFrame::Welcome(_) => return Ok(None),
        };
        self.say(event).await?;
        Ok(None)
    }
}

/// A command while the line is down.
async fn offline(ledger: &mut Ledger, outbox: &mpsc::Sender<LinkEvent>, command: LinkCommand) -> Result<(), Gone> {
    match command {
        LinkCommand::Follow(topic) => ledger.follow(topic),
        LinkCommand::Leave(topic) => ledger.leave(topic),
        LinkCommand::Call { tag, .. } => {
            let result = Err(CallError::Lost("it is down, nothing was sent".to_owned()));
            return outbox.send(LinkEvent::Answer { tag, result }).await.map_err(|_| Gone);
        }
        LinkCommand::RetryNow => {}
    }
    Ok(())
}

/// Between 0 and 1. Without randomness the schedule only loses its jitter.
fn random() -> f64 {
    let mut bytes = [0u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
