//! What of a breaker outlives the daemon: whether it is shut, until when, and how often in a row.
//!
//! Time is kept by the wall clock, which may have been set meanwhile: what is left of an open time is never longer than
//! it was planned, and never negative.

use std::time::Duration;

use usher_common::model::Timestamp;

use super::settings::{Cause, Settings};
use super::{Breaker, State};
use crate::store::BreakerRecord;

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.millis_since(from)).unwrap_or(0))
}

impl Breaker {
    /// What is kept of it. `wall` is the same moment as `now`.
    pub fn kept(&self, now: Duration, wall: Timestamp) -> BreakerRecord {
        let ago = |at: Duration| wall.plus_millis(-(now.saturating_sub(at).as_millis() as i64));
        let since = ago(self.since);
        let (open_until, cause) = match self.state {
            State::Closed | State::Recovering => (None, 0),
            State::Open { until, cause } => {
                (Some(wall.plus_millis(until.saturating_sub(now).as_millis() as i64)), cause.number())
            }
            // Nothing was decided: it begins with a probe again.
            State::HalfOpen { cause, .. } => (Some(wall), cause.number()),
        };
        BreakerRecord { since, open_until, recovering: self.state == State::Recovering, opens: self.opens, cause }
    }

    /// A breaker that goes on where the daemon's last run left it.
    pub fn resume(settings: Settings, kept: &BreakerRecord, now: Duration, wall: Timestamp) -> Self {
        let mut breaker = Self::new(settings, now);
        breaker.opens = kept.opens;
        if let Some(until) = kept.open_until {
            let planned = between(kept.since, until).min(settings.open_at_most);
            let left = between(wall, until).min(planned);
            breaker.state = State::Open { until: now + left, cause: Cause::of_number(kept.cause) };
        } else if kept.recovering {
            breaker.state = State::Recovering;
        } else {
            let healthy = between(kept.since, wall).as_nanos() / settings.forgive_after.as_nanos().max(1);
            breaker.opens = kept.opens.saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX));
        }
        breaker
    }
}

#[cfg(test)]
mod tests {
    use usher_common::model::BreakerState;

    use super::super::Permit;
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(open_until: Option<i64>, recovering: bool) -> BreakerRecord {
        let open_until = open_until.map(|seconds| Timestamp(seconds * 1_000));
        BreakerRecord { since: Timestamp(1_000_000), open_until, recovering, opens: 4, cause: Cause::Stall.number() }
    }

    fn resumed(kept: &BreakerRecord, wall_seconds: i64) -> Breaker {
        Breaker::resume(Settings::default(), kept, s(5), Timestamp(wall_seconds * 1_000))
    }

    #[test]
    fn an_open_time_goes_on_by_the_wall_clock_and_jumps_of_it_are_bounded() {
        let kept = record(Some(1_060), false);
        for (wall, left) in [(1_020, 40), (1_000, 60), (2_000, 0), (10, 60)] {
            let breaker = resumed(&kept, wall);
            let expected = if left == 0 { Permit::Probe } else { Permit::No { until: s(5 + left) } };
            assert_eq!(breaker.permit(s(5)), expected, "at {wall}");
            let shown = breaker.snapshot(s(5));
            assert_eq!((shown.opens, shown.cause), (4, Some(Cause::Stall)));
        }
        let absurd = resumed(&record(Some(9_999_999), false), 1_000);
        assert_eq!(absurd.permit(s(5)), Permit::No { until: s(5) + Settings::default().open_at_most });
    }

    #[test]
    fn recovery_begins_again_and_rest_is_forgiven() {
        let recovering = resumed(&record(None, true), 1_010);
        assert_eq!(recovering.snapshot(s(5)).state, BreakerState::Recovering);
        assert!((recovering.share(s(5)) - 0.1).abs() < 1e-9);
        assert_eq!(resumed(&record(None, false), 1_000 + 130).snapshot(s(5)).opens, 2, "two minutes, two forgiven");
        assert_eq!(resumed(&record(None, false), 10).snapshot(s(5)).opens, 4, "a clock set back forgives nothing");
    }

    #[test]
    fn what_is_kept_is_what_is_resumed() {
        let kept = record(Some(1_060), false);
        let again = resumed(&kept, 1_020).kept(s(5), Timestamp(1_020_000));
        assert_eq!((again.open_until, again.opens, again.cause), (kept.open_until, kept.opens, kept.cause));
    }
}
