//! How far a long call has come, for whoever waits for it.
//!
//! Promises: it holds nobody up. What a client has no room for is left out, since a newer word follows.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Time between two words on one call. Its first word comes after as long: what is done by then has nothing to tell.
const GAP: Duration = Duration::from_millis(200);

/// Where one call tells how far it has come, and hears whether it shall go on.
pub(super) struct Progress {
    listener: Option<Listener>,
    stop: CancellationToken,
}

struct Listener {
    clock: Clock,
    /// When the call began, or last said something.
    told: Mutex<Duration>,
    tell: Box<dyn Fn(u64, u64) + Send + Sync>,
}

impl Progress {
    /// For a call that nobody asks how far it is. It is given up once `stop` is cancelled.
    pub(super) fn untold(stop: CancellationToken) -> Self {
        Self { listener: None, stop }
    }

    /// For a call that begins now. `tell` hears what is done, and of how much (0: that is not known), and must not
    /// block.
    pub(super) fn told(stop: CancellationToken, clock: Clock, tell: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        let told = Mutex::new(clock.mono());
        Self { listener: Some(Listener { clock, told, tell: Box::new(tell) }), stop }
    }

    /// So much is done, of so much. A break says that the daemon stops: what can be begun again shall end here.
    pub(super) fn at(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.say(done, total);
        if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn say(&self, done: u64, total: u64) {
        let Some(listener) = &self.listener else { return };
        let now = listener.clock.mono();
        {
            // A time is whole whoever panicked beside it.
            let mut told = listener.told.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(*told) < GAP {
                return;
            }
            *told = now;
        }
        (listener.tell)(done, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_word_comes_after_each_gap_and_a_stop_is_heard_at_once() {
        let (clock, stop) = (Clock::manual(usher_common::model::Timestamp(0)), CancellationToken::new());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let tell = move |done, total| ears.lock().unwrap().push((done, total));
        let progress = Progress::told(stop.clone(), clock.clone(), tell);
        assert!(progress.at(1, 9).is_continue());
        clock.advance(GAP);
        assert!(progress.at(2, 9).is_continue());
        assert!(progress.at(3, 9).is_continue());
        clock.advance(GAP);
        assert!(progress.at(4, 9).is_continue());
        assert_eq!(*heard.lock().unwrap(), [(2, 9), (4, 9)]);
        stop.cancel();
        assert!(progress.at(5, 9).is_break());
        assert!(Progress::untold(stop).at(1, 1).is_break());
    }
}
