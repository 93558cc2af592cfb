//! Work that blocks, out of everybody's way.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, spawn_blocking};

/// Does `work`, which blocks, on a thread of its own. A runtime that has a single thread does it in place: there is nobody
/// whose way it would be in but those who wait for their turn anyway, and a simulation stays in one order.
pub(crate) async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work.await);
    }
    spawn_blocking(move || runtime.block_on(work)).await
}
