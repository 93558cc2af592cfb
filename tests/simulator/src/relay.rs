//! HTTPS before a provider that speaks plain HTTP here, as the real ones speak it: a relay with a certificate that can expire
//! and a door that can be shut. It knows nothing of what it carries.
//! Promises: a connection that the provider resets is reset; connections that are to end do so once the answer that they
//! owe is through; a dropped relay stops by itself.

use crate::server::{Door, Ending, Lifetime};
use crate::simulator::StartError;
use crate::tls::Certificates;
use crate::wire::Wire;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most that is carried at once, in bytes.
const PIECE: usize = 16 << 10;

/// A relay at work, on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Relay {
    door: Door,
    inside: Arc<Inside>,
    /// Stops everything when the relay is dropped.
    _guard: DropGuard,
}

#[derive(Debug)]
struct Inside {
    to: SocketAddr,
    certificates: Certificates,
    now: Mutex<Now>,
}

/// What a connection that comes now is met with.
#[derive(Debug)]
struct Now {
    expired: bool,
    /// Ends the connections that came until now.
    part: CancellationToken,
}

impl Relay {
    /// Starts one that carries to the provider at `to`, which need not listen yet.
    ///
    /// # Errors
    /// When no port can be had, or no certificates.
    pub async fn start(to: SocketAddr) -> Result<Self, StartError> {
        // Off the runtime's threads: key pairs take a while in a debug build.
        let making = tokio::task::spawn_blocking(Certificates::make).await;
        let certificates = making.expect("making certificates does not panic")?;
        let now = Mutex::new(Now { expired: false, part: CancellationToken::new() });
        let inside = Arc::new(Inside { to, certificates, now });
        let lifetime = Lifetime::default();
        let serving = Arc::clone(&inside);
        let door = Door::open(0, &lifetime, move |wire, ending| serve(wire, ending, Arc::clone(&serving)))
            .map_err(|source| StartError::Listen { whom: "relay", port: 0, source })?;
        Ok(Self { door, inside, _guard: lifetime.stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    /// The certificate to trust, in PEM. What it vouches for is named [`NAME`](crate::NAME), `localhost` or 127.0.0.1.
    pub fn ca_pem(&self) -> &str {
        &self.inside.certificates.ca_pem
    }

    /// Refuses connections from now on, and ends those that are there. Returns when it refuses.
    ///
    /// # Errors
    /// When the port could not be kept.
    pub async fn refuse(&self) -> Result<(), Arc<io::Error>> {
        self.door.set_open(false).await
    }

    /// Shows a certificate that has expired from now on, and ends the connections that came before.
    pub fn expire(&self) {
        self.inside.now().expired = true;
        self.part();
    }

    /// Ends the connections that are there, as a server does that has had enough of them; whoever comes is served.
    pub fn part(&self) {
        std::mem::take(&mut self.inside.now().part).cancel();
    }
}

impl Inside {
    /// Two values that are whole after every statement: a panic elsewhere does not spoil them.
    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a connection that comes now is met with.
    fn meet(&self) -> (TlsAcceptor, CancellationToken) {
        let now = self.now();
        let acceptor = if now.expired { &self.certificates.expired } else { &self.certificates.good };
        (acceptor.clone(), now.part.clone())
    }
}

async fn serve(wire: Wire, ending: Ending, inside: Arc<Inside>) {
    let (acceptor, part) = inside.meet();
    tokio::select! {
        // How a connection fails is the affair of the two that it joins.
        _ = carry(wire, &ending, inside.to, &acceptor, &part) => {}
        () = ending.stop.cancelled() => {}
    }
}

async fn carry(
    wire: Wire,
    ending: &Ending,
    to: SocketAddr,
    acceptor: &TlsAcceptor,
    part: &CancellationToken,
) -> io::Result<()> {
    let fate = wire.fate();
    let mut client = acceptor.accept(wire).await?;
    let mut provider = TcpStream::connect(to).await?;
    provider.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; PIECE], vec![0; PIECE]);
    // Whether the client waits for an answer. An answer of these providers comes in one piece.
    let mut owed = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => return Ok(()),
                n => {
                    owed = true;
                    provider.write_all(&up[..n]).await?;
                }
            },
            read = provider.read(&mut down) => match read {
                Ok(0) => return client.shutdown().await,
                Ok(n) => {
                    client.write_all(&down[..n]).await?;
                    client.flush().await?;
                    owed = false;
                }
                Err(error) => {
                    fate.reset();
                    return Err(error);
                }
            },
            () = ending.drain.cancelled(), if !owed => return client.shutdown().await,
            () = part.cancelled(), if !owed => return client.shutdown().await,
        }
    }
}
