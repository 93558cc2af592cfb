//! The faults in force now, and what they do to the request at hand.
//! Promises: deciding is a pure function of the fault, its seed and how often it was asked; with no fault in force a request
//! pays one atomic load.

use super::{Fault, FaultId, FaultKind, Moment, Scope};
use crate::dice;
use crate::provider::Provider;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// A fault in force.
#[derive(Debug)]
struct Armed {
    id: FaultId,
    provider: Provider,
    fault: Fault,
    asked: AtomicU64,
    struck: AtomicU64,
}

/// What a request has to suffer.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    pub(crate) delay: Duration,
    pub(crate) kind: Option<FaultKind>,
}

/// The faults in force, of all providers.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    any: [AtomicBool; Provider::ALL.len()],
    armed: RwLock<Vec<Arc<Armed>>>,
    next: AtomicU64,
}

/// A fault in force, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InForce {
    /// To lift it.
    pub id: FaultId,
    /// Where.
    pub provider: Provider,
    /// What.
    pub fault: Fault,
    /// Requests that it has struck.
    pub struck: u64,
}

impl Armed {
    /// Whether the next request is struck; each call is one draw.
    fn strikes(&self) -> Option<u64> {
        let n = self.asked.fetch_add(1, Ordering::Relaxed);
        if dice::unit(self.fault.seed, n) * 100.0 >= self.fault.percent {
            return None;
        }
        let most = self.fault.times.unwrap_or(u64::MAX);
        let counted = self.struck.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |s| (s < most).then_some(s + 1));
        counted.ok().map(|_| n)
    }

    fn concerns(&self, provider: Provider, moment: Moment) -> bool {
        let in_scope = match self.fault.scope {
            Scope::All => true,
            Scope::Sends => moment == Moment::Send,
            Scope::Probes => moment != Moment::Send,
        };
        self.provider == provider && in_scope && self.fault.kind.shows_at(moment)
    }
}

impl FaultBoard {
    /// Puts a fault in force. The caller has checked it.
    pub(crate) fn arm(&self, provider: Provider, fault: Fault) -> FaultId {
        let id = FaultId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let armed = Armed { id, provider, fault, asked: AtomicU64::new(0), struck: AtomicU64::new(0) };
        self.change(|all| all.push(Arc::new(armed)));
        id
    }

    /// Lifts one fault, and says whether it was in force.
    pub(crate) fn lift(&self, id: FaultId) -> bool {
        self.change(|all| {
            let before = all.len();
            all.retain(|armed| armed.id != id);
            all.len() < before
        })
    }

    /// Lifts every fault of one provider.
    pub(crate) fn clear(&self, provider: Provider) {
        self.change(|all| all.retain(|armed| armed.provider != provider));
    }

    /// Whether the provider's listener is to be closed.
    pub(crate) fn refuses(&self, provider: Provider) -> bool {
        self.read(|all| all.iter().any(|armed| armed.provider == provider && armed.fault.kind == FaultKind::Refuse))
    }

    /// All faults in force, oldest first.
    pub(crate) fn list(&self) -> Vec<InForce> {
        self.read(|all| {
            let shown = all.iter().map(|armed| InForce {
                id: armed.id,
                provider: armed.provider,
                fault: armed.fault.clone(),
                struck: armed.struck.load(Ordering::Relaxed),
            });
            shown.collect()
        })
    }

    /// What strikes the request at hand: all delays add up, and of the rest the oldest that strikes counts.
    pub(crate) fn judge(&self, provider: Provider, moment: Moment) -> Strike {
        if !self.any[provider.index()].load(Ordering::Acquire) {
            return Strike::default();
        }
        self.read(|all| {
            let mut strike = Strike::default();
            for armed in all.iter().filter(|armed| armed.concerns(provider, moment)) {
                match &armed.fault.kind {
                    FaultKind::Slow { latency } => {
                        // Another seed than the one that chose the request, else delay and choice would go together.
                        strike.delay +=
                            armed.strikes().map_or(Duration::ZERO, |n| latency.sample(!armed.fault.seed, n));
                    }
                    kind if strike.kind.is_none() => strike.kind = armed.strikes().map(|_| kind.clone()),
                    _ => {}
                }
            }
            strike
        })
    }

    fn read<T>(&self, look: impl FnOnce(&[Arc<Armed>]) -> T) -> T {
        look(&self.armed.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, act: impl FnOnce(&mut Vec<Arc<Armed>>) -> T) -> T {
        let mut all = self.armed.write().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut all);
        for provider in Provider::ALL {
            let any = all.iter().any(|armed| armed.provider == provider);
            self.any[provider.index()].store(any, Ordering::Release);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;

    fn struck(board: &FaultBoard, n: usize) -> Vec<bool> {
        (0..n).map(|_| board.judge(Provider::Twilio, Moment::Send).kind.is_some()).collect()
    }

    #[test]
    fn a_percentage_is_kept_and_repeats_with_its_seed() {
        let run = |seed| {
            let board = FaultBoard::default();
            board.arm(Provider::Twilio, Fault::from(FaultKind::Hang).percent(20.0, seed));
            struck(&board, 5_000)
        };
        let first = run(9);
        assert_eq!(first, run(9));
        assert_ne!(first, run(10));
        let share = first.iter().filter(|struck| **struck).count();
        assert!((900..1_100).contains(&share), "{share} of 5000 at 20 %");
    }

    #[test]
    fn times_run_out_and_the_next_fault_takes_over() {
        let board = FaultBoard::default();
        board.arm(Provider::Twilio, Fault::from(FaultKind::Hang).times(2));
        board.arm(Provider::Twilio, Fault::from(FaultKind::AuthFailure).times(1));
        let kinds: Vec<_> = (0..4).map(|_| board.judge(Provider::Twilio, Moment::Send).kind).collect();
        assert_eq!(kinds, [Some(FaultKind::Hang), Some(FaultKind::Hang), Some(FaultKind::AuthFailure), None]);
        assert_eq!(board.list().iter().map(|fault| fault.struck).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn delays_add_up_and_leave_room_for_another_fault() {
        let board = FaultBoard::default();
        let slow = FaultKind::Slow { latency: Latency::Fixed { ms: 20.0 } };
        board.arm(Provider::Twilio, slow.clone().into());
        board.arm(Provider::Twilio, slow.into());
        board.arm(Provider::Twilio, FaultKind::Hang.into());
        let strike = board.judge(Provider::Twilio, Moment::Send);
        assert_eq!((strike.delay, strike.kind), (Duration::from_millis(40), Some(FaultKind::Hang)));
    }

    #[test]
    fn faults_stay_at_their_provider_until_lifted() {
        let board = FaultBoard::default();
        let id = board.arm(Provider::Resend, FaultKind::Refuse.into());
        board.arm(Provider::Twilio, FaultKind::Hang.into());
        assert!(board.refuses(Provider::Resend) && !board.refuses(Provider::Twilio));
        assert_eq!(board.judge(Provider::Resend, Moment::Send).kind, None, "a closed door is no answer");
        assert!(board.lift(id) && !board.lift(id));
        assert!(!board.refuses(Provider::Resend));
        board.clear(Provider::Twilio);
        assert_eq!(board.list(), []);
    }
}
