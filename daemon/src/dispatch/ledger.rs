//! The ledger: outcomes on their way to the store, many in one commit.
//!
//! Each outcome holds its message's permit until it is durable, so that what a crash puts in doubt is never more than
//! what may be in flight. When the store stops, so does all sending.

use std::collections::BTreeSet;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Shared;
use crate::failpoint;
use crate::store::{By, Error, Lane, OutcomeWrite};

/// Outcomes in one commit.
const BATCH: usize = 400;
/// Outcomes that may wait; who would add one more waits itself.
pub(super) const QUEUE: usize = 2048;

/// One outcome with what it frees when it is durable.
pub(super) struct Entry {
    pub(super) write: OutcomeWrite,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Writes outcomes until every sender is gone.
pub(super) async fn keep(shared: std::sync::Arc<Shared>, mut entries: mpsc::Receiver<Entry>) {
    let by = super::by_dispatcher();
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let (writes, permits): (Vec<OutcomeWrite>, Vec<_>) = batch.drain(..).map(|e| (e.write, e.permit)).unzip();
        let day = shared.clock.day();
        let lanes: BTreeSet<Lane> = writes.iter().flat_map(|w| [w.lane, w.next.lane(w.lane)]).collect();
        failpoint::hit("dispatch.outcome.before-commit");
        if let Err(error) = write(&shared, &by, &writes, day).await {
            shared.fail(format!("outcomes of {} attempts could not be recorded: {error}", writes.len()));
            return;
        }
        failpoint::hit("dispatch.outcome.after-commit");
        drop(permits);
        for lane in lanes {
            shared.touched(lane);
        }
    }
}

/// All at once; one by one where something in the batch stands in the way.
async fn write(shared: &Shared, by: &By, writes: &[OutcomeWrite], day: i64) -> Result<(), Error> {
    let store = shared.store();
    match store.record_outcomes(by, writes, day).await {
        Err(Error::Changed { .. }) if writes.len() > 1 => {
            for one in writes {
                match store.record_outcomes(by, std::slice::from_ref(one), day).await {
                    Ok(()) => {}
                    // The intent is gone: somebody settled it meanwhile, and theirs stands.
                    Err(Error::Changed { .. }) => {
                        tracing::warn!(message = %one.message, "an outcome came for an attempt that was settled before");
                    }
                    Err(other) => return Err(other),
                }
            }
            Ok(())
        }
        Err(Error::Changed { .. }) => Ok(()),
        other => other,
    }
}
