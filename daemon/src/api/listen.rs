//! Listeners: the Unix socket, always; TCP on loopback, when it is configured with a token.
//!
//! An accept loop of our own on hyper: `axum::serve` has no time-out for headers and does not wait for WebSockets.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Caller;

/// Connections that are served at once, all listeners together.
const CONNECTIONS: usize = 2000;
/// Time for a request's header to come in.
const HEADER: Duration = Duration::from_secs(5);

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("{} is in use: a daemon answers there; stop it, or set socket.path to another path", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket stands there.
    #[error("{} is not a socket: move it away, or set socket.path to another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The path does not fit a socket's address.
    #[error("the socket path {} has {len} bytes, and the system takes 107: set socket.path to a shorter one", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        len: usize,
    },
    /// Its folder is not there.
    #[error(
        "the socket {} cannot be made, since there is no folder {}: correct socket.path, or make the folder (under \
         systemd, with RuntimeDirectory= or tmpfiles.d)",
        path.display(), folder.display()
    )]
    NoFolder {
        /// The socket.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("listening on {place}: {source}")]
    Io {
        /// Where.
        place: String,
        /// What it said.
        source: io::Error,
    },
}

/// Opens the Unix socket. A socket file that nobody answers on was left by a daemon that died, and is replaced.
pub async fn unix(path: &Path, mode: u32) -> Result<UnixListener, ListenError> {
    let io = |source| ListenError::Io { place: path.display().to_string(), source };
    let len = path.as_os_str().len();
    if len > 107 {
        return Err(ListenError::TooLong { path: path.to_owned(), len });
    }
    // Not made here: a path that was mistyped would make a folder, and then wait where no console looks. Under systemd the
    // socket's unit brings its folder, or RuntimeDirectory= does.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(ListenError::NoFolder { path: path.to_owned(), folder: folder.to_owned() });
    }
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(ListenError::Taken { path: path.to_owned() });
        }
        std::fs::remove_file(path).map_err(io)?;
    }
    // Bound under a name of its own and renamed when its mode is right, so that nobody connects before.
    let early = path.with_extension("new");
    let _ = std::fs::remove_file(&early);
    let bind = if early.as_os_str().len() > 107 { path } else { &early };
    let listener = UnixListener::bind(bind).map_err(io)?;
    std::fs::set_permissions(bind, std::fs::Permissions::from_mode(mode)).map_err(io)?;
    if bind != path {
        std::fs::rename(bind, path).map_err(io)?;
    }
    Ok(listener)
}

/// Serves everything that arrives until `stop` is cancelled; `tasks` then still holds the sessions that say goodbye.
pub struct Doors {
    router: Router,
    tasks: TaskTracker,
    stop: CancellationToken,
    places: Arc<Semaphore>,
}

impl Doors {
    /// Doors to a router.
    pub fn new(router: Router, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { router, tasks, stop, places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Serves a Unix socket: who calls is told by the kernel.
    pub async fn serve_unix(&self, listener: UnixListener) {
        loop {
            let stream = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted.map(|(stream, _)| stream),
            };
            match stream {
                Ok(stream) => match stream.peer_cred() {
                    Ok(peer) => self.take(stream, Caller::local(peer.uid())),
                    Err(error) => tracing::warn!(%error, "a local client whose user cannot be told was sent away"),
                },
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    /// Serves a TCP port: who calls is told by the token that each request carries.
    pub async fn serve_tcp(&self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    let _ = stream.set_nodelay(true);
                    self.take(stream, Caller::remote(from));
                }
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    /// Accepting fails when descriptors run out; pausing leaves the processor to those who will free some.
    async fn accept_failed(&self, error: &io::Error) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }

    fn take<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, caller: Caller) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!("{CONNECTIONS} connections are open; one more was sent away");
            return;
        };
        let router = self.router.clone().layer(axum::Extension(caller));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                .with_upgrades();
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named_and_not_made() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("mistyped");
        let refused = unix(&folder.join("u.sock"), 0o660).await.unwrap_err();
        assert!(matches!(&refused, ListenError::NoFolder { folder: named, .. } if *named == folder), "{refused}");
        assert!(!folder.exists());
        std::fs::create_dir(&folder).unwrap();
        unix(&folder.join("u.sock"), 0o660).await.unwrap();
    }
}
