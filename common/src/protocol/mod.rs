//! How the daemon and its consoles speak: frames, requests, topics, and the two codecs that carry them.
//!
//! One WebSocket message is one frame. A client asks ([`ClientFrame::Call`]) and follows ([`ClientFrame::Subscribe`]);
//! the daemon answers, sends a snapshot of what is followed, and then only what changed. A client that was away says
//! what it has ([`Have`]) and gets the difference, if the daemon still is the same one.
//!
//! **Growing it.** Variants and fields are only appended, each change gives [`TYPES`] a new value (a test insists), and
//! a console whose hash differs falls back to JSON, where unknown fields are ignored.

mod codec;
mod frame;
mod problem;
mod reply;
mod request;
mod topic;

pub use codec::{Codec, DecodeError, JSON_SUBPROTOCOL, TYPES, bincode_subprotocol, decode, encode};
pub use frame::{ClientFrame, Have, ServerFrame, Welcome};
pub use problem::{Problem, ProblemCode};
pub use reply::{CsvPage, DoubtPage, EffectLine, GuestPage, MessagePage, Reply};
pub use request::{Act, Answer, GuestName, Request};
pub use topic::{Level, LogEvent, Row, Topic};

/// Largest frame in bytes that the daemon takes from a client: an import's chunk and its envelope.
pub const CLIENT_FRAME_CAP: usize = 512 * 1024;

/// Largest frame in bytes that a client takes from the daemon: a snapshot of ten thousand campaigns.
pub const SERVER_FRAME_CAP: usize = 8 * 1024 * 1024;

/// Bytes of a file in one [`Request::ImportChunk`].
pub const IMPORT_CHUNK: usize = 256 * 1024;

/// Path of the WebSocket on every listener.
pub const SESSION_PATH: &str = "/session";
