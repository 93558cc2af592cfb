//! Listeners that can be closed and opened again at the same port, and the tasks that serve their connections.
//! Promises: while a door is shut, connecting is refused by the kernel; the port stays reserved, so it can always be opened
//! again; when the simulator stops, every task ends.

use crate::wire::Wire;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4_096;

/// What everything that runs needs in order to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifetime {
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Signals to one connection.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Finish what is in flight, then close.
    pub(crate) drain: CancellationToken,
    /// Close now.
    pub(crate) stop: CancellationToken,
}

/// Handle on one listener.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    wanted: watch::Sender<bool>,
    actual: watch::Receiver<Result<bool, Arc<io::Error>>>,
}

impl Door {
    /// Listens at `port` of 127.0.0.1 (0: any free one), and serves each connection with `serve`.
    pub(crate) fn open<F, Fut>(port: u16, lifetime: &Lifetime, serve: F) -> io::Result<Self>
    where
        F: Fn(Wire, Ending) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let socket = reserve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (wanted, want) = watch::channel(true);
        let (report, actual) = watch::channel(Ok(true));
        let keeper = Keeper { address, want, report, lifetime: lifetime.clone() };
        lifetime.tasks.spawn(keeper.run(listener, serve));
        Ok(Self { address, wanted, actual })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens or shuts, and returns when it is done.
    pub(crate) async fn set_open(&self, open: bool) -> Result<(), Arc<io::Error>> {
        self.wanted.send_replace(open);
        let mut actual = self.actual.clone();
        // The keeper ends only with the simulator; then there is nothing left to wait for.
        let Ok(state) = actual.wait_for(|state| state.as_ref().map_or(true, |is_open| *is_open == open)).await else {
            return Ok(());
        };
        state.clone().map(drop)
    }
}

/// Bound, not listening: the port is ours, and connecting to it is refused.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // A port that the kernel chooses must be nobody else's before it listens: with the address reusable, two programs
    // can be given the same one. Afterwards it has to be, or connections that just ended would keep us off our port.
    socket.set_reuseaddr(address.port() != 0)?;
    socket.bind(address)?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

struct Keeper {
    address: SocketAddr,
    want: watch::Receiver<bool>,
    report: watch::Sender<Result<bool, Arc<io::Error>>>,
    lifetime: Lifetime,
}

impl Keeper {
    async fn run<F, Fut>(mut self, listener: TcpListener, serve: F)
    where
        F: Fn(Wire, Ending) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut listener = listener;
        loop {
            let drain = self.lifetime.stop.child_token();
            tokio::select! {
                () = self.lifetime.stop.cancelled() => return,
                () = wants(&mut self.want, false) => {}
                () = accept(&listener, &self.lifetime, &drain, &serve) => {}
            }
            drop(listener);
            drain.cancel();
            let reopened = self.stay_shut().await;
            match reopened {
                Ok(Some(open)) => listener = open,
                Ok(None) => return,
                Err(error) => {
                    self.tell(Err(Arc::new(error)));
                    return;
                }
            }
            self.tell(Ok(true));
        }
    }

    /// Reports the door's state; the state before is of no interest.
    fn tell(&self, state: Result<bool, Arc<io::Error>>) {
        drop(self.report.send_replace(state));
    }

    /// Waits, with the port reserved, until it is to be opened; `None` when the simulator stops.
    async fn stay_shut(&mut self) -> io::Result<Option<TcpListener>> {
        let socket = reserve(self.address)?;
        self.tell(Ok(false));
        tokio::select! {
            () = self.lifetime.stop.cancelled() => return Ok(None),
            () = wants(&mut self.want, true) => {}
        }
        socket.listen(BACKLOG).map(Some)
    }
}

/// Returns when the door is wanted in that state; never, once nobody can want anything.
async fn wants(want: &mut watch::Receiver<bool>, open: bool) {
    if want.wait_for(|wanted| *wanted == open).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Takes connections until dropped.
async fn accept<F, Fut>(listener: &TcpListener, lifetime: &Lifetime, drain: &CancellationToken, serve: &F)
where
    F: Fn(Wire, Ending) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let ending = Ending { drain: drain.clone(), stop: lifetime.stop.clone() };
                lifetime.tasks.spawn(serve(Wire::new(stream), ending));
            }
            // Out of file descriptors, or the client was gone already: let others run, then go on.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}
