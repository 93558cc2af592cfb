//! The breaker of one provider account: whether to let messages through.
//!
//! Failures of the provider count; faults of a recipient or a message never do, and being asked to slow down is not a
//! failure. A few in a row make it *suspect*, which asks for a probe at once; a few more, or a failed probe while
//! suspect, or one answer that the account cannot be used, open it. Open, it waits longer each time; then one probe at a
//! time decides. A probe that never reports back gives up its place by itself, so that half-open cannot last for ever.
//!
//! `Breaker::why_open` is the one place where the rules stand; rules that look at rates and stalls belong there.

use std::time::Duration;

use usher_common::model::{BreakerState, OutcomeClass};

use super::Dice;
use crate::providers::Scope;

/// The numbers of a breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Failures in a row that make it suspect (`PROVIDER_FAILOVER_THRESHOLD`).
    pub suspect_after: u32,
    /// Failures in a row that open it.
    pub open_after: u32,
    /// How long it stays open the first time; `n` times that at the `n`th in a row.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
    /// How far that is spread by chance: 0.2 is ± 20 %.
    pub jitter: f64,
    /// How long a probe keeps its place.
    pub probe_limit: Duration,
    /// How long to wait between probes while suspect.
    pub suspect_probe_every: Duration,
    /// Healthy time that takes one from the count of openings in a row.
    pub forgive_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            suspect_after: 3,
            open_after: 5,
            open_for: Duration::from_secs(15),
            open_at_most: Duration::from_mins(5),
            jitter: 0.2,
            probe_limit: Duration::from_secs(30),
            suspect_probe_every: Duration::from_secs(5),
            forgive_after: Duration::from_mins(1),
        }
    }
}

/// Whether a message may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Go,
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

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// That many failures in a row.
    InARow,
    /// A probe failed while suspect or half-open.
    Probe,
    /// The provider says that this account or sender cannot be used.
    Unusable,
}

impl Cause {
    /// In a few words, for the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InARow => "failures in a row",
            Self::Probe => "a probe failed",
            Self::Unusable => "account or sender refused",
        }
    }
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
    /// Why it opened last; `None` if it is closed.
    pub cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Half-open from `until` on.
    Open {
        until: Duration,
        cause: Cause,
    },
}

/// The breaker of one provider account.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    since: Duration,
    failures: u32,
    opens: u32,
    probe: Option<(Ticket, Duration)>,
    last_probe: Option<Duration>,
    tickets: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings, now: Duration) -> Self {
        let state = State::Closed;
        Self { settings, state, since: now, failures: 0, opens: 0, probe: None, last_probe: None, tickets: 0 }
    }

    /// Whether a message, or a probe, may go now. Asking changes nothing.
    pub fn permit(&self, now: Duration) -> Permit {
        match (self.state, self.probe_ends(now)) {
            (State::Closed, _) => Permit::Go,
            (State::Open { until, .. }, _) if now < until => Permit::No { until },
            (State::Open { .. }, Some(until)) => Permit::No { until },
            (State::Open { .. }, None) => Permit::Probe,
        }
    }

    /// Whether it is closed, but a probe should be made now: it is suspect, and was not just probed.
    pub fn wants_probe(&self, now: Duration) -> bool {
        let rested = self.last_probe.is_none_or(|last| now >= last + self.settings.suspect_probe_every);
        self.suspect() && rested && self.probe_ends(now).is_none()
    }

    /// Takes the place of the one probe; `None` while another has it, or while the breaker is open. The probe is the
    /// provider's own, or, where it keeps keys, a real message.
    pub fn start_probe(&mut self, now: Duration) -> Option<Ticket> {
        if matches!(self.permit(now), Permit::No { .. }) || self.probe_ends(now).is_some() {
            return None;
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
        match (self.state, passed) {
            (State::Closed, true) => {}
            (State::Closed, false) if !self.suspect() => {}
            (State::Open { .. }, true) => self.close(now),
            (_, false) => self.open(Cause::Probe, now, dice),
        }
    }

    /// An attempt has ended. While open, late answers to earlier requests change nothing: the probe decides.
    pub fn on_outcome(&mut self, class: OutcomeClass, scope: Option<Scope>, now: Duration, dice: &mut Dice) {
        if self.state != State::Closed {
            return;
        }
        match class {
            OutcomeClass::Accepted => self.failures = 0,
            OutcomeClass::NotSent | OutcomeClass::Unknown => self.failures += 1,
            OutcomeClass::Recipient | OutcomeClass::Refused | OutcomeClass::Throttled | OutcomeClass::Unusable => {}
        }
        if let Some(cause) = self.why_open(class, scope) {
            self.open(cause, now, dice);
        }
    }

    /// What the screen shows.
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let (state, since, retry_at, cause) = match self.state {
            State::Closed => (BreakerState::Closed, self.since, None, None),
            State::Open { until, cause } if now < until => (BreakerState::Open, self.since, Some(until), Some(cause)),
            State::Open { until, cause } => (BreakerState::HalfOpen, until, None, Some(cause)),
        };
        let (failures, opens, suspect) = (self.failures, self.opens, self.suspect());
        Snapshot { state, since, retry_at, failures, opens, suspect, cause }
    }

    /// The rules by which an outcome opens a closed breaker.
    fn why_open(&self, class: OutcomeClass, scope: Option<Scope>) -> Option<Cause> {
        // A country that is not enabled says nothing about the others.
        let ours = !matches!(scope, Some(Scope::Region | Scope::Recipient));
        if class == OutcomeClass::Unusable && ours {
            return Some(Cause::Unusable);
        }
        (self.failures >= self.settings.open_after).then_some(Cause::InARow)
    }

    fn suspect(&self) -> bool {
        self.state == State::Closed && self.failures >= self.settings.suspect_after
    }

    /// When the probe under way loses its place; `None` if there is none.
    fn probe_ends(&self, now: Duration) -> Option<Duration> {
        self.probe.map(|(_, started)| started + self.settings.probe_limit).filter(|&end| now < end)
    }

    fn open(&mut self, cause: Cause, now: Duration, dice: &mut Dice) {
        if self.state == State::Closed {
            let healthy = now.saturating_sub(self.since).as_nanos() / self.settings.forgive_after.as_nanos().max(1);
            self.opens = self.opens.saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX));
        }
        self.opens = self.opens.saturating_add(1);
        let planned = self.settings.open_for.saturating_mul(self.opens).min(self.settings.open_at_most);
        let wait = planned.mul_f64(dice.around_one(self.settings.jitter)).min(self.settings.open_at_most);
        self.state = State::Open { until: now + wait, cause };
        self.since = now;
        self.probe = None;
    }

    fn close(&mut self, now: Duration) {
        self.state = State::Closed;
        self.since = now;
        self.failures = 0;
        self.probe = None;
        self.last_probe = None;
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
