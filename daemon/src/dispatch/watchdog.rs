//! The watchdog: no message rots. Every state has a longest age, and somebody who ends it or says so.
//!
//! | state | longest age | then |
//! |---|---|---|
//! | held, queued | its campaign's time | it expires, whatever holds it (`director`) |
//! | queued, and its lane taken for empty | five seconds | it is looked at again (here) |
//! | queued, free to go | a minute without an outcome in its lane | an error is told, on the overview and in the log (here) |
//! | sending | five minutes | it is in doubt (`settler`) |
//! | unknown | as `doubt` says, step by step | it is left to an operator, and told on the overview with its age |
//! | accepted | for good | a provider that reports says more; one that does not leaves it there |
//!
//! All others are final.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::protocol::Level;

use super::Why;
use super::shared::{LaneState, Shared};
use crate::store::Lane;

/// Lanes are looked at this often.
const LOOK: Duration = Duration::from_secs(5);
/// So long may a lane be without an outcome while its messages could go.
const STILL: Duration = Duration::from_mins(1);

/// Watches until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut known: BTreeSet<Lane> = BTreeSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = shared.clock.mono();
        let lanes = shared.lanes();
        for (lane, state) in &lanes {
            if state.empty && state.in_flight == 0 {
                match shared.store().has_waiting(*lane) {
                    Ok(false) => {}
                    Ok(true) => {
                        // No way to this is known; whoever finds one mends it there.
                        tracing::error!(campaign = %lane.campaign, channel = %lane.channel, "a lane was taken for empty and is not");
                        shared.touched(*lane);
                    }
                    Err(error) => return shared.fail(format!("a lane could not be looked at: {error}")),
                }
            }
        }
        let still: BTreeSet<Lane> =
            lanes.into_iter().filter(|(_, state)| is_still(state, now)).map(|(lane, _)| lane).collect();
        for lane in still.difference(&known) {
            tell(&shared, *lane, Level::Error, "due messages and no outcome for a minute: see `usher campaign why`");
        }
        for lane in known.difference(&still) {
            tell(&shared, *lane, Level::Info, "moves again");
        }
        shared.note_still(still.iter().copied().collect());
        known = still;
    }
}

/// Whether a lane's messages could go, and nothing came of any for too long.
fn is_still(state: &LaneState, now: Duration) -> bool {
    let bound = state.hold.is_some_and(|hold| !matches!(hold.why, Why::Concurrency));
    let idle = state.empty && state.in_flight == 0;
    !bound && !idle && now.saturating_sub(state.moved) >= STILL
}

fn tell(shared: &Shared, lane: Lane, level: Level, text: &str) {
    shared.board.tell(
        shared.clock.now(),
        level,
        format!("campaign {}", lane.campaign),
        format!("{}: {text}", lane.channel),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Hold;

    #[test]
    fn only_what_could_go_and_does_not_is_told() {
        let moved = Duration::from_secs(100);
        let lane = || LaneState { moved, ..LaneState::default() };
        let held = |why| Some(Hold { why, until: None });
        let cases = [
            ("fresh", lane(), 159, false),
            ("still", lane(), 160, true),
            ("under way for a minute", LaneState { in_flight: 3, empty: true, ..lane() }, 160, true),
            ("nothing waits", LaneState { empty: true, ..lane() }, 1_000, false),
            ("breaker", LaneState { hold: held(Why::Breaker), ..lane() }, 1_000, false),
            ("held", LaneState { hold: held(Why::Held), ..lane() }, 1_000, false),
            ("quota", LaneState { hold: held(Why::Quota), ..lane() }, 1_000, false),
            (
                "as many as may be, and none of them ends",
                LaneState { hold: held(Why::Concurrency), ..lane() },
                160,
                true,
            ),
        ];
        for (name, state, seconds, still) in cases {
            assert_eq!(is_still(&state, Duration::from_secs(seconds)), still, "{name}");
        }
    }
}
