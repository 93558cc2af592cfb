//! The prober: asks providers how they are, by the request that sends nothing. All at once; a slow one delays nobody.
//!
//! Each minute at rest; every five seconds while a provider is suspect, or while a campaign of its channel runs or is due
//! soon; at once when its breaker asks. It also lets time pass for breakers that nobody asks, and has them kept.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::protocol::Level;

use super::account::Account;
use super::shared::Shared;
use crate::providers::Probe;
use crate::store::Error;

/// A provider is looked at this often; most looks find nothing to do.
const LOOK: Duration = Duration::from_millis(250);
/// Time between probes while a campaign of the channel runs, or is due within [`SOON`].
const BUSY_EVERY: Duration = Duration::from_secs(5);
/// How long before a campaign is due its providers are watched as if it ran.
const SOON: Duration = Duration::from_mins(10);
/// Scheduled campaigns are looked through this often.
const SCHEDULE_LOOK: Duration = Duration::from_secs(5);
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

/// When a provider is probed next, and how long that probe may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    due: bool,
    limit: Duration,
}

/// Plans a provider's next probe. `wanted`: its breaker asks for one. `busy`: a campaign of its channel runs or is due.
fn plan(
    now: Duration,
    last: Option<Duration>,
    (wanted, suspect, busy): (bool, bool, bool),
    (every, limit): (Duration, Duration),
) -> Plan {
    let every = if busy { every.min(BUSY_EVERY) } else { every };
    let limit = match (wanted || suspect, busy) {
        (true, _) => limit.min(SUSPECT_LIMIT),
        // The next one is due by then, and one at a time is under way.
        (false, true) => limit.min(every),
        (false, false) => limit,
    };
    Plan { due: wanted || last.is_none_or(|at| now.saturating_sub(at) >= every), limit }
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
        let asks = (account.wants_probe(), account.is_suspect(), busy.1);
        let plan = plan(now, last, asks, (shared.settings.probe_every, shared.settings.probe_limit));
        if plan.due {
            last = Some(now);
            let (found, turn) = account.probe(plan.limit).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_due_each_minute_sooner_with_work_and_at_once_on_suspicion() {
        let s = Duration::from_secs;
        let usual = (s(60), s(30));
        let due = |after: u64, asks| plan(s(100 + after), Some(s(100)), asks, usual);
        let idle = (false, false, false);
        assert_eq!((due(59, idle).due, due(60, idle).due, due(60, idle).limit), (false, true, s(30)));
        let busy = (false, false, true);
        assert_eq!((due(4, busy).due, due(5, busy).due, due(5, busy).limit), (false, true, s(5)));
        assert_eq!(due(0, (true, true, false)), Plan { due: true, limit: s(2) });
        assert_eq!(due(5, (false, true, true)), Plan { due: true, limit: s(2) });
        assert!(plan(s(0), None, idle, usual).due, "at start");
        assert_eq!(plan(s(100), Some(s(98)), busy, (s(1), s(1))), Plan { due: true, limit: s(1) }, "never rarer");
    }
}
