//! The frames themselves.

use serde::{Deserialize, Serialize};

use super::{Act, LogEvent, Problem, Reply, Request, Row, Topic};
use crate::model::Timestamp;

/// What a client still has of a topic from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The daemon's epoch in which it got that.
    pub epoch: u64,
    /// The version that it had come to.
    pub version: u64,
}

/// From a client to the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClientFrame {
    /// Who is there, for the log and the audit trail; first frame of a session, at most once.
    Hello {
        /// Program and version, e.g. `usher 0.1.0`.
        client: String,
    },
    /// Follow a topic: a snapshot, or what changed since `have`, and then every change.
    Subscribe {
        /// What to follow.
        topic: Topic,
        /// What the client has already.
        have: Option<Have>,
    },
    /// Follow no longer.
    Unsubscribe {
        /// What was followed.
        topic: Topic,
    },
    /// Ask or act.
    Call {
        /// Chosen by the client; the reply carries it.
        id: u64,
        /// What is asked.
        request: Box<Request>,
        /// Needed by requests that act; ignored by those that ask.
        act: Option<Act>,
    },
}

/// First frame from the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The daemon's version.
    pub version: String,
    /// The daemon's message types.
    pub types: String,
    /// The daemon's start, in milliseconds since 1970: versions of topics hold within it only.
    pub epoch: u64,
    /// The environment's name.
    pub environment: String,
    /// Who the daemon takes this client for.
    pub actor: String,
    /// The daemon's wall clock.
    pub now: Timestamp,
}

/// From the daemon to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// Who is there.
    Welcome(Welcome),
    /// A topic as it is; whatever the client had of it is void.
    Snapshot {
        /// Which topic.
        topic: Topic,
        /// The daemon's epoch.
        epoch: u64,
        /// The version that this is.
        version: u64,
        /// All rows.
        rows: Vec<Row>,
    },
    /// What changed. A client whose version is not `from` asks for the topic anew.
    Delta {
        /// Which topic.
        topic: Topic,
        /// The version that the client had.
        from: u64,
        /// The version that it has now. Versions between may be left out: a gap is normal for a slow line.
        to: u64,
        /// Rows that are new or changed, whole.
        rows: Vec<Row>,
        /// Keys of rows that went.
        gone: Vec<String>,
    },
    /// What happened, in order.
    Events {
        /// Events that were dropped before these because the client was too slow; they can be asked for by position.
        skipped: u64,
        /// The events.
        events: Vec<LogEvent>,
    },
    /// The answer to a call.
    Reply {
        /// The call's id.
        id: u64,
        /// What came of it.
        result: Result<Reply, Problem>,
    },
    /// How far a call has come that takes longer than a moment. None, or any number of them, before its reply.
    Progress {
        /// The call's id.
        id: u64,
        /// What is done, in whatever the call goes through: guests.
        done: u64,
        /// Of how many; 0 where that is not known before the end.
        total: u64,
    },
    /// Nothing else to say: sent every 5 s, so that silence means trouble.
    Heartbeat {
        /// Counts up by one.
        seq: u64,
        /// The daemon's wall clock.
        now: Timestamp,
    },
    /// The daemon closes the session, and says why.
    Goodbye {
        /// The reason, a sentence.
        reason: String,
    },
}
