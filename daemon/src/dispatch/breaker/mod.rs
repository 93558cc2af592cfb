//! The breaker of one provider account: whether to let messages through, and how many.
//!
//! Failures of the provider count; faults of a recipient or a message never do, and being asked to slow down is not a
//! failure. The rules by which a closed one opens stand in `Breaker::overdue` and `Breaker::on_outcome`, their numbers in
//! [`Settings`]. Open, it waits longer each time; then a probe decides, then 1, 2, 4, 8 messages at once; then it recovers,
//! with a share of its weight that grows. Nothing lasts for ever: what never reports back gives up its place by itself.
//!
//! It counts in lives: each opening begins one, and what belongs to an earlier life changes nothing. Memory is constant,
//! and what is called for each outcome neither allocates nor walks anything.

pub mod probing;

mod kept;
mod latency;
mod ramp;
mod settings;
mod tally;

use std::time::Duration;

use usher_common::model::{BreakerState, OutcomeClass};

use super::Dice;
use crate::providers::Scope;
use latency::Latencies;
use ramp::Ramp;
pub use settings::{Cause, Settings};
use tally::{Outcomes, UnderWay};

/// Between two looks at the requests under way, while there may be a stall.
const STALL_LOOK: Duration = Duration::from_millis(50);
/// Answers before a percentile is one.
const KNOWN: u64 = 20;
/// Answers of the day before it is a measure.
const DAY_KNOWN: u64 = 100;

/// Whether a message may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Go,
    /// So many may, and no more until some of them are through.
    Few(u32),
    /// One probe may: [`Breaker::start_probe`].
    Probe,
    /// Nothing may, at least until then.
    No {
        /// When to ask again.
        until: Duration,
    },
}

/// Names one probe, so that a late report of an earlier one is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// Leave to send, in one of the breaker's lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    life: u64,
    probe: Option<Ticket>,
}

impl Leave {
    /// Whether the message is the breaker's probe.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// A request that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    leave: Leave,
    started: Duration,
}

/// A breaker, as the screen shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Its state.
    pub state: BreakerState,
    /// Since when.
    pub since: Duration,
    /// When an open one lets a probe through.
    pub retry_at: Option<Duration>,
    /// Failures in a row.
    pub failures: u32,
    /// Openings in a row.
    pub opens: u32,
    /// Whether it is suspect.
    pub suspect: bool,
    /// Why it opened last; `None` if it is closed or recovering.
    pub cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Ready for a probe from `until` on.
    Open {
        until: Duration,
        cause: Cause,
    },
    HalfOpen {
        ramp: Ramp,
        cause: Cause,
    },
    /// Since `Breaker::since`.
    Recovering,
}

/// The breaker of one provider account.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    life: u64,
    since: Duration,
    /// Since when nothing opened it.
    well_since: Duration,
    turns: u64,
    failures: u32,
    failed_probes: u32,
    last_success: Duration,
    outcomes: Outcomes,
    under_way: UnderWay,
    latencies: Latencies,
    p99: Option<Duration>,
    p95: Option<Duration>,
    looked: Duration,
    stall_looked: Duration,
    opens: u32,
    probe: Option<(Ticket, Duration)>,
    last_probe: Option<Duration>,
    tickets: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            state: State::Closed,
            life: 0,
            since: now,
            well_since: now,
            turns: 0,
            failures: 0,
            failed_probes: 0,
            last_success: now,
            outcomes: Outcomes::new(now),
            under_way: UnderWay::new(now),
            latencies: Latencies::new(now),
            p99: None,
            p95: None,
            looked: now,
            stall_looked: now,
            opens: 0,
            probe: None,
            last_probe: None,
            tickets: 0,
        }
    }

    /// Whether a message, or a probe, may go now. Asking changes nothing.
    pub fn permit(&self, now: Duration) -> Permit {
        match self.state {
            State::Closed | State::Recovering => Permit::Go,
            State::Open { until, .. } if now < until => Permit::No { until },
            State::Open { .. } => Permit::Probe,
            State::HalfOpen { ramp, .. } if ramp.probing() => {
                self.probe_ends(now).map_or(Permit::Probe, |until| Permit::No { until })
            }
            State::HalfOpen { ramp, .. } => {
                let end = ramp.began + self.settings.half_open_limit;
                match ramp.free() {
                    0 => Permit::No { until: end.max(now + STALL_LOOK) },
                    // Its time is over, and the next tick says what follows.
                    _ if now >= end => Permit::No { until: now + STALL_LOOK },
                    free => Permit::Few(free),
                }
            }
        }
    }

    /// The share of its weight that it takes: below one only while it recovers.
    pub fn share(&self, now: Duration) -> f64 {
        if self.state != State::Recovering {
            return 1.0;
        }
        ramp::share(now.saturating_sub(self.since), self.settings.step).unwrap_or(1.0)
    }

    /// Whether it is closed, but a probe should be made now: it is suspect, and was not just probed.
    pub fn wants_probe(&self, now: Duration) -> bool {
        let rested = self.last_probe.is_none_or(|last| now >= last + self.settings.suspect_probe_every);
        self.suspect() && rested && self.probe_ends(now).is_none()
    }

    /// Whether time alone may open it at any moment: nothing comes back from requests that are under way, or a row of
    /// failures is long enough. It should be looked at more often then.
    pub fn is_pressing(&self, now: Duration) -> bool {
        let still = now >= self.last_success + self.settings.stall_after;
        let waits = self.under_way.total() >= self.settings.stall_requests && still;
        matches!(self.state, State::Closed | State::Recovering) && (waits || self.failures >= self.settings.open_after)
    }

    /// Takes the place of the one probe; `None` while another has it, or while no probe may go. The probe is the
    /// provider's own, or, where it keeps keys, a real message.
    pub fn start_probe(&mut self, now: Duration) -> Option<Ticket> {
        if self.probe_ends(now).is_some() {
            return None;
        }
        match (self.permit(now), self.state) {
            (Permit::No { .. } | Permit::Few(_), _) => return None,
            (Permit::Probe, State::Open { cause, .. } | State::HalfOpen { cause, .. }) => {
                self.turn(State::HalfOpen { ramp: Ramp::new(now), cause }, now);
            }
            _ => {}
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.probe = Some((ticket, now));
        self.last_probe = Some(now);
        Some(ticket)
    }

    /// A probe has come back. A report after its time, or of an earlier probe, is nothing.
    pub fn on_probe(&mut self, ticket: Ticket, passed: bool, now: Duration, dice: &mut Dice) {
        if self.probe.is_none_or(|(current, _)| current != ticket) || self.probe_ends(now).is_none() {
            return;
        }
        self.probe = None;
        match (&mut self.state, passed) {
            (State::HalfOpen { ramp, .. }, true) => ramp.on_probe_passed(),
            (State::HalfOpen { .. }, false) => self.open(Cause::Probe, now, dice),
            (_, true) => self.failed_probes = 0,
            (_, false) => {
                self.failed_probes += 1;
                let in_a_row = self.failed_probes >= self.settings.probes_failed;
                if in_a_row || self.failures >= self.settings.suspect_after {
                    self.open(Cause::Probe, now, dice);
                }
            }
        }
    }

    /// The place of a probe that was not made after all.
    pub fn drop_probe(&mut self, leave: Leave) {
        if leave.probe.is_some() && leave.probe == self.probe.map(|(ticket, _)| ticket) {
            self.probe = None;
        }
    }

    /// Leave for `n` messages that [`Self::permit`] just allowed, as a message's own probe or not.
    pub fn take(&mut self, n: u32, probe: Option<Ticket>) -> Leave {
        if let (State::HalfOpen { ramp, .. }, None) = (&mut self.state, probe) {
            ramp.take(n);
        }
        Leave { life: self.life, probe }
    }

    /// `n` of the messages that had leave are through, or are not sent after all.
    pub fn give_back(&mut self, leave: Leave, n: u32) {
        if let State::HalfOpen { ramp, .. } = &mut self.state
            && leave.life == self.life
            && leave.probe.is_none()
        {
            ramp.give_back(n);
        }
    }

    /// A request goes out.
    pub fn on_start(&mut self, leave: Leave, now: Duration) -> Call {
        if leave.life == self.life {
            self.under_way.start(now);
        }
        Call { leave, started: now }
    }

    /// A request has come back. Those of an earlier life change nothing.
    pub fn on_outcome(
        &mut self,
        call: Call,
        class: OutcomeClass,
        scope: Option<Scope>,
        now: Duration,
        dice: &mut Dice,
    ) {
        if call.leave.life != self.life {
            return;
        }
        self.under_way.end(call.started);
        self.tick(now, dice);
        if call.leave.life != self.life {
            return;
        }
        let failed = match class {
            OutcomeClass::Accepted => false,
            OutcomeClass::NotSent | OutcomeClass::Unknown => true,
            // A country that is not enabled says nothing about the others, a sender that is refused nothing about others'.
            OutcomeClass::Unusable if matches!(scope, None | Some(Scope::Account)) => {
                return self.open(Cause::Unusable, now, dice);
            }
            OutcomeClass::Recipient | OutcomeClass::Refused | OutcomeClass::Throttled | OutcomeClass::Unusable => {
                return self.drop_probe(call.leave);
            }
        };
        if let Some(ticket) = call.leave.probe {
            return self.on_probe(ticket, !failed, now, dice);
        }
        match &mut self.state {
            State::Open { .. } => {}
            State::HalfOpen { ramp, .. } if ramp.probing() => {}
            State::HalfOpen { .. } if failed => self.open(Cause::Trial, now, dice),
            State::HalfOpen { ramp, .. } => {
                self.last_success = now;
                if ramp.on_accepted(self.settings.trial_most) {
                    self.recover(now);
                }
            }
            State::Closed | State::Recovering => self.count(failed, now.saturating_sub(call.started), now, dice),
        }
    }

    /// Lets time pass: what is due by itself happens. Called before every question, and a few times a second besides.
    pub fn tick(&mut self, now: Duration, dice: &mut Dice) {
        match self.state {
            State::Open { .. } => {}
            State::HalfOpen { ramp, .. } => {
                if !ramp.probing() && now >= ramp.began + self.settings.half_open_limit {
                    let limit = self.stall_limit();
                    if self.under_way.as_old_as(limit, now) > 0 {
                        self.open(Cause::Lost, now, dice);
                    } else {
                        // Too few came to try all steps, and none of them failed.
                        self.recover(now);
                    }
                }
            }
            State::Closed | State::Recovering => {
                let recovered = ramp::share(now.saturating_sub(self.since), self.settings.step).is_none();
                if self.state == State::Recovering && recovered {
                    self.turn(State::Closed, now);
                }
                if let Some(cause) = self.overdue(now) {
                    self.open(cause, now, dice);
                }
            }
        }
    }

    /// Lets it come back as after a failure, with a share that grows: it was out of use, though nothing broke it.
    pub fn ease_in(&mut self, now: Duration) {
        if self.state == State::Closed {
            self.recover(now);
        }
    }

    /// What the screen shows.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let (state, since, retry_at, cause) = match self.state {
            State::Closed => (BreakerState::Closed, self.since, None, None),
            State::Open { until, cause } if now < until => (BreakerState::Open, self.since, Some(until), Some(cause)),
            State::Open { until, cause } => (BreakerState::HalfOpen, until, None, Some(cause)),
            State::HalfOpen { cause, .. } => (BreakerState::HalfOpen, self.since, None, Some(cause)),
            State::Recovering => (BreakerState::Recovering, self.since, None, None),
        };
        let (failures, opens, suspect) = (self.failures, self.opens, self.suspect());
        Snapshot { state, since, retry_at, failures, opens, suspect, cause }
    }

    /// How often it has turned; what is kept over a restart is written when this changes.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The 95th percentile of the last ten seconds' answers, as of the last second; `None` without answers.
    pub fn recent_p95(&self) -> Option<Duration> {
        self.p95
    }

    fn count(&mut self, failed: bool, latency: Duration, now: Duration, dice: &mut Dice) {
        self.outcomes.count(failed, now);
        if !failed {
            self.latencies.record(latency, now);
            self.failures = 0;
            self.failed_probes = 0;
            self.last_success = now;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == self.settings.suspect_after {
            // A probe from before says nothing about what begins now: another may go at once.
            self.last_probe = None;
        }
        let (all, bad) = self.outcomes.sums();
        let share = f64::from(bad) >= f64::from(all) * self.settings.rate_share;
        if self.in_a_row(now) {
            self.open(Cause::InARow, now, dice);
        } else if bad >= self.settings.rate_failures && all >= self.settings.rate_outcomes && share {
            self.open(Cause::Rate, now, dice);
        }
    }

    fn in_a_row(&self, now: Duration) -> bool {
        self.failures >= self.settings.open_after && now >= self.last_success + self.settings.quiet
    }

    /// The rules that time alone can fulfil.
    fn overdue(&mut self, now: Duration) -> Option<Cause> {
        if self.in_a_row(now) {
            return Some(Cause::InARow);
        }
        let still = now >= self.last_success + self.settings.stall_after;
        if still && self.under_way.total() >= self.settings.stall_requests && now >= self.stall_looked + STALL_LOOK {
            self.stall_looked = now;
            let limit = self.stall_limit();
            if self.under_way.as_old_as(limit, now) >= self.settings.stall_requests {
                return Some(Cause::Stall);
            }
        }
        if now.as_secs() == self.looked.as_secs() {
            return None;
        }
        self.looked = now;
        self.p99 = self.latencies.of_day(99, KNOWN);
        let (calls, p95) = self.latencies.recent(now);
        self.p95 = p95;
        let usual = self.latencies.of_day(95, DAY_KNOWN)?;
        let slow = usual.mul_f64(self.settings.slow_times).max(self.settings.slow_least);
        (calls >= u64::from(self.settings.slow_calls) && p95? >= slow).then_some(Cause::Slow)
    }

    /// How old a request must be to be called hanging.
    fn stall_limit(&self) -> Duration {
        let limit = self.p99.map_or(self.settings.stall_untold, |p99| p99 * self.settings.stall_p99);
        limit.max(self.settings.stall_after).min(UnderWay::OLDEST)
    }

    fn suspect(&self) -> bool {
        matches!(self.state, State::Closed | State::Recovering)
            && (self.failures >= self.settings.suspect_after || self.failed_probes > 0)
    }

    /// When the probe under way loses its place; `None` if there is none.
    fn probe_ends(&self, now: Duration) -> Option<Duration> {
        self.probe.map(|(_, started)| started + self.settings.half_open_limit).filter(|&end| now < end)
    }

    fn turn(&mut self, state: State, now: Duration) {
        self.state = state;
        self.since = now;
        self.turns += 1;
    }

    fn open(&mut self, cause: Cause, now: Duration, dice: &mut Dice) {
        if matches!(self.state, State::Closed | State::Recovering) {
            let healthy =
                now.saturating_sub(self.well_since).as_nanos() / self.settings.forgive_after.as_nanos().max(1);
            self.opens = self.opens.saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX));
        }
        self.opens = self.opens.saturating_add(1);
        let planned = self.settings.open_for.saturating_mul(self.opens).min(self.settings.open_at_most);
        let wait = planned.mul_f64(dice.around_one(self.settings.jitter)).min(self.settings.open_at_most);
        self.turn(State::Open { until: now + wait, cause }, now);
        self.life += 1;
        self.probe = None;
        self.under_way = UnderWay::new(now);
        self.latencies.drop_recent();
    }

    fn recover(&mut self, now: Duration) {
        self.turn(State::Recovering, now);
        self.well_since = now;
        self.last_success = now;
        self.failures = 0;
        self.failed_probes = 0;
        self.outcomes = Outcomes::new(now);
        self.probe = None;
        self.last_probe = None;
    }
}

#[cfg(test)]
mod tests;
