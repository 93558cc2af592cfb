//! Where a daemon is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where a daemon is, and by which road.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// On this machine, by its Unix socket.
    Unix(PathBuf),
    /// By WebSocket on a loopback address.
    Ws {
        /// `ws://127.0.0.1:PORT`.
        url: String,
        /// The token, where the daemon asks for one.
        token: Option<String>,
    },
    /// On another machine, through ssh.
    Ssh {
        /// As ssh takes it: `host`, `user@host`, or a name from its configuration.
        host: String,
        /// The socket over there; `None` for its default.
        socket: Option<PathBuf>,
    },
}

/// An address that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a `ws://` address.
    #[error("`{0}` is no address of a daemon: write ws://127.0.0.1:PORT")]
    NotWs(String),
    /// Plain WebSocket to another machine.
    #[error("`{0}` is not on this machine, and ws:// is not encrypted: use --ssh HOST")]
    NotLoopback(String),
    /// ssh would take it for an option.
    #[error("`{0}` is no host name")]
    Host(String),
}

impl Target {
    /// A WebSocket on this machine.
    pub fn ws(url: &str, token: Option<String>) -> Result<Self, TargetError> {
        let place = url.strip_prefix("ws://").ok_or_else(|| TargetError::NotWs(url.to_owned()))?;
        let authority = place.split('/').next().unwrap_or_default();
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| TargetError::NotWs(url.to_owned()))?;
        port.parse::<u16>().map_err(|_| TargetError::NotWs(url.to_owned()))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !local {
            return Err(TargetError::NotLoopback(url.to_owned()));
        }
        Ok(Self::Ws { url: format!("ws://{authority}"), token })
    }

    /// A daemon behind ssh.
    pub fn ssh(host: &str, socket: Option<PathBuf>) -> Result<Self, TargetError> {
        let odd = host.is_empty() || host.starts_with('-') || host.chars().any(|c| c.is_whitespace() || c.is_control());
        if odd { Err(TargetError::Host(host.to_owned())) } else { Ok(Self::Ssh { host: host.to_owned(), socket }) }
    }

    /// Host and port of a WebSocket target.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Ws { url, .. } => url.strip_prefix("ws://").unwrap_or(url),
            Self::Unix(_) | Self::Ssh { .. } => "localhost",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Ws { url, .. } => f.write_str(url),
            Self::Ssh { host, .. } => write!(f, "ssh {host}"),
        }
    }
}

/// Without the token: it must never reach a log.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_websocket_stays_on_this_machine() {
        assert!(Target::ws("ws://127.0.0.1:7000", None).is_ok());
        assert!(Target::ws("ws://[::1]:7000/", None).is_ok());
        assert!(Target::ws("ws://localhost:7000", None).is_ok());
        assert_eq!(
            Target::ws("ws://10.0.0.8:7000", None),
            Err(TargetError::NotLoopback("ws://10.0.0.8:7000".to_owned()))
        );
        assert!(Target::ws("ws://127.0.0.1.example.org:7000", None).is_err());
        assert!(Target::ws("http://127.0.0.1:7000", None).is_err());
        assert!(Target::ws("ws://127.0.0.1", None).is_err());
    }

    #[test]
    fn a_host_cannot_be_an_option_of_ssh_and_a_token_is_not_printed() {
        assert!(Target::ssh("-oProxyCommand=evil", None).is_err());
        assert!(Target::ssh("ops@mail-1", None).is_ok());
        let target = Target::ws("ws://127.0.0.1:1", Some("s3cret".to_owned())).expect("a good address");
        assert!(!format!("{target:?} {target}").contains("s3cret"));
    }
}
