//! When a provider is probed next, and how long that probe may take. Pure: the time is handed in.

use std::time::Duration;

/// Time between probes while a campaign of the provider's channel runs, or is due soon.
const BUSY_EVERY: Duration = Duration::from_secs(5);
/// A probe has failed after this while the next is due in [`BUSY_EVERY`]: three of them in a row, the later ones under
/// [`SUSPECT_LIMIT`], have failed before 12 s are over.
const BUSY_LIMIT: Duration = Duration::from_millis(2_500);
/// Time between probes of a suspect provider.
pub(super) const SUSPECT_EVERY: Duration = Duration::from_secs(2);
/// A probe of a suspect or half-open provider has failed after this.
const SUSPECT_LIMIT: Duration = Duration::from_secs(2);
/// A provider is looked at this often; most looks find nothing to do.
const LOOK: Duration = Duration::from_millis(250);
/// The same while a probe is under way, or while time alone may open its breaker at any moment.
pub const PRESSING_LOOK: Duration = Duration::from_millis(50);
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// What is known of a provider when its next probe is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// Its breaker asks for a probe now.
    pub wanted: bool,
    /// It is suspect.
    pub suspect: bool,
    /// Time alone may open its breaker at any moment.
    pub pressing: bool,
    /// A campaign of its channel runs, or is due soon.
    pub busy: bool,
}

/// A probe, planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether it is to be made now.
    pub due: bool,
    /// When it has failed.
    pub limit: Duration,
    /// How long to wait before planning anew: until the next one is due, or until something may have changed.
    pub wait: Duration,
}

/// Plans a provider's next probe: its last one began at `last`, and at rest one is made `every` so often, which has failed
/// after `limit`.
pub fn plan(now: Duration, last: Option<Duration>, outlook: Outlook, every: Duration, limit: Duration) -> Plan {
    let every = match (outlook.suspect, outlook.busy) {
        (true, _) => every.min(SUSPECT_EVERY),
        (false, true) => every.min(BUSY_EVERY),
        (false, false) => every,
    };
    let limit = match (outlook.wanted || outlook.suspect, outlook.busy) {
        (true, _) => limit.min(SUSPECT_LIMIT),
        (false, true) => limit.min(BUSY_LIMIT),
        (false, false) => limit,
    };
    let look = if outlook.pressing { PRESSING_LOOK } else { LOOK };
    let rest = last.map_or(Duration::ZERO, |at| (at + every).saturating_sub(now));
    Plan { due: outlook.wanted || rest.is_zero(), limit, wait: rest.clamp(LEAST_WAIT, look) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_due_each_minute_sooner_with_work_and_at_once_on_suspicion() {
        let s = Duration::from_secs;
        let outlook = |wanted, suspect, busy| Outlook { wanted, suspect, pressing: false, busy };
        let due = |after: u64, outlook| plan(s(100 + after), Some(s(100)), outlook, s(60), s(30));
        let idle = outlook(false, false, false);
        assert_eq!((due(59, idle).due, due(60, idle).due, due(60, idle).limit), (false, true, s(30)));
        let busy = outlook(false, false, true);
        assert_eq!((due(4, busy).due, due(5, busy).due, due(5, busy).limit), (false, true, BUSY_LIMIT));
        let at_once = due(0, outlook(true, true, false));
        assert_eq!((at_once.due, at_once.limit), (true, s(2)));
        let suspect = outlook(false, true, true);
        assert_eq!((due(1, suspect).due, due(2, suspect).due, due(2, suspect).limit), (false, true, s(2)));
        assert!(plan(s(0), None, idle, s(60), s(30)).due, "at start");
        let rarely = plan(s(100), Some(s(99)), busy, s(1), s(1));
        assert_eq!((rarely.due, rarely.limit), (true, s(1)), "never rarer");
        let nearly = plan(Duration::from_millis(104_900), Some(s(100)), busy, s(60), s(30));
        assert_eq!((nearly.due, nearly.wait), (false, Duration::from_millis(100)), "not a moment late");
        assert_eq!(due(1, busy).wait, LOOK, "something may change until then");
        assert_eq!(due(1, Outlook { pressing: true, ..busy }).wait, PRESSING_LOOK);
    }
}
