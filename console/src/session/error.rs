//! What can go wrong between here and the daemon; each message says what was tried, with what, and what to do.

use std::path::PathBuf;

use usher_common::protocol::{DecodeError, Problem, TYPES};

/// A session that could not begin, or that ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No socket at the path.
    #[error(
        "no daemon at {path}: the socket does not exist\n  \
         Is usherd running (`systemctl status usherd`)? Another path: --socket PATH or USHER_SOCKET."
    )]
    NoSocket {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A socket that nobody listens on.
    #[error(
        "no daemon at {path}: the socket is there, but nobody answers\n  \
         usherd has stopped or is starting: `systemctl status usherd`, `journalctl -u usherd -n 50`."
    )]
    NobodyListens {
        /// Its path.
        path: PathBuf,
    },
    /// The socket may not be opened.
    #[error(
        "permission denied at {path}\n  \
         Your user must be in the socket's group (`ls -l {path}` names it); after being added, log in anew."
    )]
    SocketDenied {
        /// Its path.
        path: PathBuf,
    },
    /// Longer than the operating system takes.
    #[error(
        "socket path of {len} bytes is too long: {path}\n  \
         The operating system takes at most 107. Use a shorter path or a symbolic link to its folder."
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
    /// The road is broken.
    #[error("cannot reach the daemon at {target}: {source}\n  Check the address, and that usherd listens there.")]
    Unreachable {
        /// Where.
        target: String,
        /// Why.
        source: std::io::Error,
    },
    /// ssh ended before the relay spoke.
    #[error("ssh to {host} did not reach a daemon: {said}\n  Try `ssh {host} usher status` to see it alone.")]
    Ssh {
        /// The host.
        host: String,
        /// What was printed instead of the relay's first line.
        said: String,
    },
    /// The daemon does not let this caller in.
    #[error(
        "the daemon at {target} refused this caller ({status})\n  Check the token (--token-file) or your user's role."
    )]
    Denied {
        /// Where.
        target: String,
        /// Its HTTP status.
        status: u16,
    },
    /// It has no session to give now.
    #[error(
        "the daemon at {target} has no session to give now ({status})\n  It is starting, stopping or full: try again."
    )]
    Busy {
        /// Where.
        target: String,
        /// Its HTTP status.
        status: u16,
    },
    /// Something answers that does not speak this protocol.
    #[error(
        "what answers at {target} does not speak this console's protocol: {said}\n  \
         This console is {}, types {TYPES}. Install the console of the daemon's version (`usherd --version`).",
        env!("CARGO_PKG_VERSION")
    )]
    Incompatible {
        /// Where.
        target: String,
        /// What it said.
        said: String,
    },
    /// A frame that cannot be read.
    #[error("the daemon sent what cannot be read\n  Its version and this console's may differ: `usher --version`.")]
    Frame(#[from] DecodeError),
    /// The daemon ended the session.
    #[error("the daemon closed the session: {0}")]
    Goodbye(String),
    /// The line broke.
    #[error("the line to the daemon broke: {0}")]
    Lost(String),
    /// Nothing was heard for too long.
    #[error("the daemon said nothing for {0} s: the line is taken for dead")]
    Silent(u64),
}

impl SessionError {
    /// Whether trying again alone cannot help: a person must change something.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::Incompatible { .. } | Self::PathTooLong { .. })
    }
}

/// A call that brought no answer, or the daemon's no.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon refused, or failed.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The line broke before the answer came: an act may have been done or not.
    #[error(
        "the line broke before the daemon answered ({0})\n  Whether it was done is not known: look before doing it again."
    )]
    Lost(String),
    /// The daemon speaks other types than this console, so it could misread an act.
    #[error(
        "not done: the daemon is {daemon} (types {theirs}), this console is {} (types {TYPES}), and acts need the same types\n  \
         Install the console of the daemon's version.",
        env!("CARGO_PKG_VERSION")
    )]
    OtherTypes {
        /// The daemon's version.
        daemon: String,
        /// The daemon's types.
        theirs: String,
    },
    /// A request larger than the daemon takes.
    #[error("not sent: the request has {len} bytes, and the daemon takes {cap} at once")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The cap in bytes.
        cap: usize,
    },
}
