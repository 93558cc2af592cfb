//! `usher relay`: what `usher --ssh HOST` runs over there. It copies bytes and knows no version of the protocol.

use std::io::Write as _;
use std::path::Path;

use tokio::io::AsyncWriteExt as _;

use super::exit::{Exit, Failure};
use crate::session::{RELAY_MAGIC, connect_socket};

pub(super) async fn run(socket: &Path) -> Result<Exit, Failure> {
    let mut daemon = connect_socket(socket).await?;
    {
        let mut out = std::io::stdout().lock();
        out.write_all(RELAY_MAGIC.as_bytes())?;
        out.flush()?;
    }
    let (mut from_daemon, mut to_daemon) = daemon.split();
    let (mut input, mut output) = (tokio::io::stdin(), tokio::io::stdout());
    // Either end closing ends the session.
    tokio::select! {
        _ = tokio::io::copy(&mut input, &mut to_daemon) => {}
        _ = tokio::io::copy(&mut from_daemon, &mut output) => {}
    }
    let _ = output.flush().await;
    Ok(Exit::Done)
}
