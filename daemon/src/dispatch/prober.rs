//! The prober: asks providers how they are, by the request that sends nothing. All at once; a slow one delays nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::protocol::Level;

use super::account::Account;
use super::shared::Shared;
use crate::providers::Probe;

/// A suspect or half-open provider is looked at this often.
const LOOK: Duration = Duration::from_millis(500);
/// A probe of a suspect or half-open provider has failed after this.
const SUSPECT_LIMIT: Duration = Duration::from_secs(2);

/// Probes until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let probes = shared.accounts().iter().map(|account| watch(Arc::clone(&shared), Arc::clone(account)));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = futures_util::future::join_all(probes) => {}
    }
}

/// Looks after one provider.
async fn watch(shared: Arc<Shared>, account: Arc<Account>) {
    let mut last: Option<Duration> = None;
    let mut was_well = true;
    loop {
        let now = shared.clock.mono();
        let wants = account.wants_probe();
        if wants || last.is_none_or(|at| now.saturating_sub(at) >= shared.settings.probe_every) {
            last = Some(now);
            let limit = if wants { SUSPECT_LIMIT } else { shared.settings.probe_limit };
            let (found, turn) = account.probe(limit).await;
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
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(shared: &Shared, account: &Account, level: Level, text: &str) {
    shared.board.tell(shared.clock.now(), level, format!("provider {}", account.provider.name()), text);
}
