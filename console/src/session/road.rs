//! Opens the bytes between here and the daemon: a socket, or ssh running the relay over there.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{SessionError, Target};

/// The relay's first line. What comes before it (a message of the day, an error) is not the daemon's.
pub const RELAY_MAGIC: &str = "usher-relay-1\n";

/// A socket path may be this long, one less than `sun_path` has room for.
const SOCKET_PATH_MAX: usize = 107;

/// What comes before the magic line is kept up to here, to be shown.
const PREAMBLE_MAX: usize = 16 * 1024;

/// How long a road may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// The same for ssh when it may ask a person for a password.
const OPEN_WITHIN_ASKING: Duration = Duration::from_mins(3);

/// Bytes both ways.
pub(super) trait Road: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Road for T {}

/// Whether ssh may ask a person for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Before the terminal is taken over.
    Allowed,
    /// Never: it would write over the screen and wait for keys that the console reads.
    Forbidden,
}

/// Opens the road to a target.
pub(super) async fn open(target: &Target, asking: Asking) -> Result<Box<dyn Road>, SessionError> {
    let limit = if asking == Asking::Allowed { OPEN_WITHIN_ASKING } else { OPEN_WITHIN };
    let opened = async {
        match target {
            Target::Unix(path) => Ok(Box::new(unix(path).await?) as Box<dyn Road>),
            Target::Ws { .. } => match TcpStream::connect(target.authority()).await {
                Ok(stream) => {
                    // Frames are small and each is awaited by a person.
                    let _ = stream.set_nodelay(true);
                    Ok(Box::new(stream) as Box<dyn Road>)
                }
                Err(source) => Err(SessionError::Unreachable { target: target.to_string(), source }),
            },
            Target::Ssh { host, socket } => Ok(Box::new(ssh(host, socket.as_deref(), asking).await?) as Box<dyn Road>),
        }
    };
    match tokio::time::timeout(limit, opened).await {
        Ok(result) => result,
        Err(_) => Err(SessionError::Unreachable {
            target: target.to_string(),
            source: io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())),
        }),
    }
}

/// The socket of a Unix target, for the relay, which speaks no protocol.
pub(crate) async fn connect_socket(path: &Path) -> Result<UnixStream, SessionError> {
    unix(path).await
}

async fn unix(path: &Path) -> Result<UnixStream, SessionError> {
    let len = path.as_os_str().as_bytes().len();
    let path = path.to_owned();
    if len > SOCKET_PATH_MAX {
        return Err(SessionError::PathTooLong { path, len });
    }
    UnixStream::connect(&path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SessionError::NoSocket { path },
        io::ErrorKind::ConnectionRefused => SessionError::NobodyListens { path },
        io::ErrorKind::PermissionDenied => SessionError::SocketDenied { path },
        _ => SessionError::Unreachable { target: path.display().to_string(), source },
    })
}

async fn ssh(host: &str, socket: Option<&Path>, asking: Asking) -> Result<SshRoad, SessionError> {
    let mut command = Command::new("ssh");
    command.arg("-T");
    if asking == Asking::Forbidden {
        command.args(["-o", "BatchMode=yes"]);
    }
    command.arg("--").arg(host).arg("usher");
    if let Some(socket) = socket {
        command.arg("--socket").arg(quote(&socket.to_string_lossy()));
    }
    command.arg("relay").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // While a person may be asked, ssh's own words belong on the terminal; later they would tear the screen.
    command.stderr(if asking == Asking::Allowed { Stdio::inherit() } else { Stdio::piped() });
    let failed = |said: String| SessionError::Ssh { host: host.to_owned(), said };
    let mut child = command.spawn().map_err(|e| failed(format!("cannot run ssh: {e}")))?;
    let (Some(input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("ssh came without pipes".to_owned()));
    };
    let mut stderr = child.stderr.take();
    if let Err(before) = skip_to_magic(&mut output).await {
        let mut said = String::from_utf8_lossy(&before).into_owned();
        if let Some(stderr) = stderr.as_mut() {
            let mut rest = Vec::new();
            let _ = stderr.take(PREAMBLE_MAX as u64).read_to_end(&mut rest).await;
            said.push_str(&String::from_utf8_lossy(&rest));
        }
        let said = crate::text::clean(said.trim());
        let said = if said.is_empty() { "it ended without a word".to_owned() } else { said };
        let hint = if asking == Asking::Forbidden { " (a reconnect cannot ask for a password)" } else { "" };
        return Err(failed(format!("{said}{hint}")));
    }
    if let Some(mut stderr) = stderr {
        // A full pipe would stop ssh.
        tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
    }
    Ok(SshRoad { input, output, _child: child })
}

/// Reads up to and with the magic line; gives back what came instead when it never comes.
async fn skip_to_magic(from: &mut (impl AsyncRead + Unpin)) -> Result<(), Vec<u8>> {
    let magic = RELAY_MAGIC.as_bytes();
    let mut before = Vec::new();
    while before.len() < PREAMBLE_MAX {
        // Byte by byte: what follows the magic line already belongs to the WebSocket.
        match from.read_u8().await {
            Ok(byte) => before.push(byte),
            Err(_) => return Err(before),
        }
        if before.ends_with(magic) {
            return Ok(());
        }
    }
    Err(before)
}

/// Quotes a word for the shell that ssh starts over there.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// ssh's standard input and output; it is ended with them.
struct SshRoad {
    input: ChildStdin,
    output: ChildStdout,
    _child: Child,
}

impl AsyncRead for SshRoad {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl AsyncWrite for SshRoad {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_before_the_magic_line_is_passed_over_and_what_follows_is_kept() {
        let mut bytes: &[u8] = b"Welcome to mail-1\nusher-relay-1\nGET /session";
        skip_to_magic(&mut bytes).await.expect("the line is there");
        assert_eq!(bytes, b"GET /session");
        let mut bytes: &[u8] = b"usher: command not found\n";
        assert_eq!(skip_to_magic(&mut bytes).await, Err(b"usher: command not found\n".to_vec()));
    }

    #[tokio::test]
    async fn a_path_that_does_not_fit_a_socket_is_refused_before_the_system_is_asked() {
        let path = format!("/{}", "x".repeat(110));
        assert!(matches!(unix(Path::new(&path)).await, Err(SessionError::PathTooLong { len: 111, .. })));
    }

    #[test]
    fn a_path_survives_the_shell_over_there() {
        assert_eq!(quote("/run/a b'c"), r"'/run/a b'\''c'");
    }
}
