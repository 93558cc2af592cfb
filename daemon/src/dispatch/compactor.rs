//! The compactor: puts the messages of campaigns that are over together, some hundred at a time, when there is nothing
//! better to do.
//!
//! Promises: while anything is being sent it makes one commit a second at most; whatever it has done is done for good,
//! and a start goes on from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignId, Timestamp};

use super::shared::Shared;
use crate::aside::aside;
use crate::failpoint;
use crate::store::{CampaignRow, Compaction, Error, Hour};

/// Campaigns that are over are looked for this often.
const LOOK: Duration = Duration::from_secs(5);
/// The same, where the daemon was told to hurry.
const HURRY: Duration = Duration::from_millis(200);
/// Hours for which it is kept how many messages were begun: longer than anything is given back, or a clock is wrong.
const KEPT_HOURS: u32 = 30 * 24;
/// Messages that one commit looks at.
const PART: usize = 512;
/// The rest after a commit is as long as it took, and at least this long.
const LEAST_REST: Duration = Duration::from_millis(2);
/// While messages are under way it is this long: a million would take half an hour and a bit then.
const BUSY_REST: Duration = Duration::from_secs(1);

/// Compacts until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut done: BTreeSet<CampaignId> = BTreeSet::new();
    loop {
        let ended = match shared.store().campaigns() {
            Ok(rows) => rows,
            Err(error) => return shared.fail(format!("campaigns could not be read: {error}")),
        };
        let (now, after) = (shared.clock.now(), shared.settings.compact_after);
        let days_ago = Hour(Hour::of(now).0.saturating_sub(KEPT_HOURS));
        if let Err(error) = shared.store().forget_charges(&super::by_dispatcher(), days_ago).await {
            return shared.fail(format!("what was charged days ago could not be forgotten: {error}"));
        }
        for row in ended.iter().filter(|row| is_due(row, now, after)) {
            if done.contains(&row.id) {
                continue;
            }
            match campaign(&shared, row.id, &stop).await {
                Ok(true) => {
                    done.insert(row.id);
                }
                Ok(false) => return,
                // It is looked at again with the next round.
                Err(Error::Changed { .. }) => {}
                Err(error @ (Error::Commit(_) | Error::Read(_))) => {
                    return shared.fail(format!("messages of campaign {} could not be put together: {error}", row.id));
                }
                Err(error) => {
                    tracing::error!(campaign = %row.id, %error, "its messages could not be put together");
                    done.insert(row.id);
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(failpoint::hurried(LOOK, HURRY)) => {}
        }
    }
}

/// Whether a campaign has been over for `after`.
fn is_due(row: &CampaignRow, now: Timestamp, after: Duration) -> bool {
    let Some(ended) = row.record.ended else { return false };
    row.record.state.is_ended() && now.millis_since(ended) >= i64::try_from(after.as_millis()).unwrap_or(i64::MAX)
}

/// Puts one campaign's messages together; false if it was stopped on the way.
async fn campaign(shared: &Arc<Shared>, id: CampaignId, stop: &CancellationToken) -> Result<bool, Error> {
    let mut far = shared.store().compaction(id)?;
    if far.done {
        return Ok(true);
    }
    // A cancelled campaign is over before the last of its messages is.
    if shared.store().campaign_counts(id)?.total().open() > 0 {
        return Err(Error::Changed { what: "campaign", name: id.to_string() });
    }
    while !far.done {
        let begun = shared.clock.mono();
        failpoint::hit("dispatch.compactor.before-commit");
        far = part(shared, id).await?;
        failpoint::hit("dispatch.compactor.after-commit");
        let took = shared.clock.mono().saturating_sub(begun);
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(rest(took, busy(shared))) => {}
        }
    }
    if far.messages > 0 {
        let each = |bytes: u64| bytes / far.messages;
        tracing::info!(
            campaign = %id,
            messages = far.messages,
            bytes_each_before = each(far.before),
            bytes_each = each(far.after),
            "the messages of a campaign that is over are put together"
        );
    }
    Ok(true)
}

/// One commit. Reading and packing take milliseconds, so they have a thread of their own.
async fn part(shared: &Arc<Shared>, id: CampaignId) -> Result<Compaction, Error> {
    let (shared, by) = (Arc::clone(shared), super::by_dispatcher());
    match aside(async move { shared.store().compact(&by, id, PART).await }).await {
        Ok(far) => far,
        // A panic ends the process in good order by itself.
        Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
    }
}

fn busy(shared: &Shared) -> bool {
    shared.permits.available_permits() < shared.settings.max_concurrent
}

fn rest(took: Duration, busy: bool) -> Duration {
    if busy { BUSY_REST } else { took.max(LEAST_REST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_half_of_an_idle_disk_and_steps_back_for_messages() {
        assert_eq!(rest(Duration::from_millis(9), false), Duration::from_millis(9));
        assert_eq!(rest(Duration::ZERO, false), LEAST_REST);
        assert_eq!(rest(Duration::from_millis(9), true), BUSY_REST);
    }
}
