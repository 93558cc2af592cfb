//! The prober: asks providers how they are, by the request that sends nothing. All at once; a slow one delays nobody.
//!
//! Each minute at rest; every five seconds while a campaign of its channel runs or is due soon, and every two while a
//! provider is suspect; at once when its breaker asks. It also lets time pass for breakers that nobody asks, and has them kept.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::protocol::Level;

use super::account::{Account, Turn};
use super::breaker::probing;
use super::shared::Shared;
use crate::providers::Probe;
use crate::store::Error;

/// How long before a campaign is due its providers are watched as if it ran.
const SOON: Duration = Duration::from_mins(10);
/// Scheduled campaigns are looked through this often.
const SCHEDULE_LOOK: Duration = Duration::from_secs(5);

/// Probes until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let probes = shared.accounts().iter().map(|account| watch(Arc::clone(&shared), Arc::clone(account)));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        _ = futures_util::future::join_all(probes) => {}
    }
}

/// Looks after one provider.
async fn watch(shared: Arc<Shared>, account: Arc<Account>) {
    let mut last: Option<Duration> = None;
    let mut was_well = true;
    let mut busy = (Duration::ZERO, false);
    loop {
        let now = shared.clock.mono();
        if let Some(turn) = account.tick() {
            shared.turned(&account, &turn);
        }
        keep(&shared, &account).await;
        if now >= busy.0 {
            busy = (now + SCHEDULE_LOOK, shared.expects_traffic(account.channel(), SOON));
        }
        let outlook = account.outlook(busy.1);
        let plan = probing::plan(now, last, outlook, shared.settings.probe_every, shared.settings.probe_limit);
        if plan.due {
            last = Some(now);
            let (found, turn) = probe(&shared, &account, plan.limit).await;
            if let Some(turn) = turn {
                shared.turned(&account, &turn);
            }
            if was_well && !found.passed() {
                tell(&shared, &account, Level::Warning, &format!("probe failed: {}", found.detail()));
            } else if !was_well && found.passed() {
                tell(&shared, &account, Level::Info, "probe passed again");
            }
            was_well = found.passed();
            if let Probe::Unclear(detail) = &found {
                tracing::debug!(provider = account.provider.name(), detail, "the probe cannot see everything");
            }
            shared.wake.notify_one();
            // It may have taken as long as it is to the next one.
            continue;
        }
        tokio::time::sleep(plan.wait).await;
    }
}

/// Makes a probe. What hangs is often seen by the messages before the probe has failed, so time passes for the breaker
/// meanwhile.
async fn probe(shared: &Shared, account: &Account, limit: Duration) -> (Probe, Option<Turn>) {
    let mut probe = std::pin::pin!(account.probe(limit));
    loop {
        tokio::select! {
            biased;
            done = &mut probe => return done,
            () = tokio::time::sleep(probing::PRESSING_LOOK) => {
                if let Some(turn) = account.tick() {
                    shared.turned(account, &turn);
                }
            }
        }
    }
}

/// Takes over what the last run knew of the breakers.
pub(super) fn recover(shared: &Shared) -> Result<(), Error> {
    for account in shared.accounts() {
        if let Some(kept) = shared.store().breaker(account.provider.name())?
            && let Some(turn) = account.resume(&kept)
        {
            shared.turned(account, &turn);
        }
    }
    Ok(())
}

/// Has a breaker kept that has turned. By one task a provider, so that an older row never replaces a newer one.
async fn keep(shared: &Shared, account: &Account) {
    let Some(record) = account.to_keep() else { return };
    let by = super::by_dispatcher();
    if let Err(error) = shared.store().keep_breaker(&by, account.provider.name(), &record).await {
        // Nothing that was promised is lost: after a restart it would be closed, and find out for itself.
        tracing::warn!(provider = account.provider.name(), %error, "the breaker's state could not be kept");
    }
}

fn tell(shared: &Shared, account: &Account, level: Level, text: &str) {
    shared.board.tell(shared.clock.now(), level, format!("provider {}", account.provider.name()), text);
}
