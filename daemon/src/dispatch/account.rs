//! A provider account at work: the adapter with its breaker, pace, slots and figures behind one lock each call.

mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use usher_common::model::{BreakerState, Channel, Health, OutcomeClass, ProviderRow, Timestamp};

use super::breaker::probing::Outlook;
use super::breaker::{Call, Leave, Settings};
use super::concurrency::Concurrency;
use super::route::{Room, Steered};
use super::senders::Senders;
use super::weight::Weight;
use super::{Breaker, Candidate, Dice, Pace, Permit, RetryBudget, Spacing};
use crate::clock::Clock;
use crate::monitor::Window;
use crate::providers::{Answer, Probe, Provider, Traits};
use crate::store::BreakerRecord;

pub use slots::Slots;

/// What an account is set up with.
pub struct Setup {
    /// The adapter.
    pub provider: Arc<dyn Provider>,
    /// Place in its channel's order, from 1.
    pub rank: u32,
    /// Its part of what the providers of its rank carry; 1 where nothing was said.
    pub weight: f64,
    /// Requests a second; `None` for no limit of ours.
    pub rate: Option<f64>,
    /// Requests at once after a pause.
    pub burst: u32,
    /// Requests under way at once.
    pub max_in_flight: u32,
    /// Messages in one request.
    pub batch: usize,
    /// Price of one unit.
    pub unit_price: f64,
    /// Its currency.
    pub currency: String,
    /// The breaker's numbers.
    pub breaker: Settings,
}

struct State {
    breaker: Breaker,
    pace: Pace,
    spacing: Option<Spacing>,
    budget: RetryBudget,
    window: Window,
    concurrency: Concurrency,
    weight: Weight,
    senders: Senders,
    dice: Dice,
    in_flight: u32,
    accepted: u64,
    failures: u64,
    last: Option<(OutcomeClass, String, Timestamp)>,
    /// The state that was last told to somebody.
    told: BreakerState,
    /// The breaker's turns that are written to the store.
    written: u64,
}

/// A change of the breaker that somebody should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Why, in a few words.
    pub why: String,
}

/// A provider account at work.
pub struct Account {
    /// The adapter.
    pub provider: Arc<dyn Provider>,
    /// Place in its channel's order, from 1.
    pub rank: u32,
    /// Messages in one request.
    pub batch: usize,
    /// Price of one unit.
    pub unit_price: f64,
    /// Its currency.
    pub currency: String,
    clock: Clock,
    breaker: Settings,
    configured_weight: f64,
    state: Mutex<State>,
}

impl Account {
    /// Sets an account up, closed and idle.
    pub fn new(setup: Setup, clock: Clock, seed: u64) -> Self {
        let now = clock.mono();
        let batch = setup.batch.clamp(1, setup.provider.traits().batch_max.max(1));
        let state = State {
            breaker: Breaker::new(setup.breaker, now),
            pace: Pace::new(setup.rate, setup.burst, now),
            spacing: setup.provider.gap().map(Spacing::new),
            budget: RetryBudget::usual(now),
            window: Window::default(),
            concurrency: Concurrency::new(setup.max_in_flight),
            weight: Weight::new(setup.weight, now),
            senders: Senders::default(),
            dice: Dice::seeded(seed),
            in_flight: 0,
            accepted: 0,
            failures: 0,
            last: None,
            told: BreakerState::Closed,
            written: 0,
        };
        Self {
            provider: setup.provider,
            rank: setup.rank,
            batch,
            unit_price: setup.unit_price,
            currency: setup.currency,
            clock,
            breaker: setup.breaker,
            configured_weight: setup.weight,
            state: Mutex::new(state),
        }
    }

    /// What it carries.
    pub fn channel(&self) -> Channel {
        self.provider.channel()
    }

    /// What it can do.
    pub fn traits(&self) -> Traits {
        self.provider.traits()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Figures and counters are whole after every statement, so a panic elsewhere does not spoil them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state at this moment: what time alone changes has changed.
    fn state_now(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.breaker.tick(now, &mut state.dice);
        guard
    }

    /// Goes on with a breaker that the daemon's last run left.
    pub fn resume(&self, kept: &BreakerRecord) -> Option<Turn> {
        let (now, wall) = (self.clock.mono(), self.clock.now());
        let mut state = self.state();
        state.breaker = Breaker::resume(self.breaker, kept, now, wall);
        turn(&mut state, now)
    }

    /// Lets an account that was out of use come back with a share that grows.
    pub fn ease_in(&self) -> Option<Turn> {
        let now = self.clock.mono();
        let mut state = self.state_now(now);
        state.breaker.ease_in(now);
        turn(&mut state, now)
    }

    /// Messages a second that its pace allows; `None` without a limit.
    pub fn messages_a_second(&self) -> Option<f64> {
        let requests = self.state_now(self.clock.mono()).pace.rate_in_force();
        requests.is_finite().then_some(requests * self.batch as f64)
    }

    /// Gives it this weight in its set; `None`: the configured one.
    pub fn reweigh(&self, weight: Option<f64>) {
        self.state().weight.configure(weight.unwrap_or(self.configured_weight));
    }

    /// Lets time pass for an account that nobody asks for anything, and tells when that turned the breaker.
    pub fn tick(&self) -> Option<Turn> {
        let now = self.clock.mono();
        let mut state = self.state_now(now);
        turn(&mut state, now)
    }

    /// What is to be kept of the breaker, if it has turned since that was last asked.
    pub fn to_keep(&self) -> Option<BreakerRecord> {
        let mut state = self.state();
        let turns = state.breaker.turns();
        (turns != std::mem::replace(&mut state.written, turns))
            .then(|| state.breaker.kept(self.clock.mono(), self.clock.now()))
    }

    /// How the router sees it. `provider` is its place among the accounts.
    pub fn candidate(&self, provider: usize) -> Candidate {
        let now = self.clock.mono();
        let mut guard = self.state_now(now);
        let state = &mut *guard;
        let room = if let Some(until) = state.pace.paused(now) {
            Room::Paused(until)
        } else if state.in_flight >= state.concurrency.limit() {
            Room::Full
        } else if let Some(wait) = state.pace.wait(1, now) {
            Room::Pace(now + wait)
        } else {
            Room::Free
        };
        Candidate {
            provider,
            enabled: true,
            steered: Steered::Free,
            rank: self.rank,
            weight: state.weight.at(state.breaker.recent_p95(), now),
            share: state.breaker.share(now),
            permit: state.breaker.permit(now),
            room,
            traits: self.traits(),
        }
    }

    /// A message's first attempt was made.
    pub fn first_attempt(&self) {
        self.state().budget.on_first_attempt();
    }

    /// How long a message waits after its `attempts`-th attempt: full jitter, and longer when retries have used up their
    /// budget.
    pub fn backoff(&self, attempts: u32) -> Duration {
        let now = self.clock.mono();
        let mut state = self.state();
        let within = state.budget.take(now);
        let ceiling = super::Backoff::default().ceiling(if within { attempts } else { attempts.max(5) });
        ceiling.mul_f64(state.dice.unit()).max(Duration::from_millis(50))
    }

    /// Counts the answers of one request, and tells when they turned the breaker.
    pub fn on_answers(&self, call: Call, answers: &[Answer], latency: Duration) -> Option<Turn> {
        let (now, wall) = (self.clock.mono(), self.clock.now());
        let mut guard = self.state();
        let state = &mut *guard;
        let mut failed = 0;
        let mut accepted = 0;
        for answer in answers {
            match answer.class {
                OutcomeClass::Accepted => accepted += 1,
                OutcomeClass::Throttled if answer.scope != Some(crate::providers::Scope::Recipient) => {
                    state.pace.on_throttle(now);
                    state.concurrency.on_throttle(now);
                    // Without a word from the provider, a moment is long enough to see whether the halved rate is right.
                    state.pace.pause_until(now + answer.retry_after.unwrap_or(Duration::from_secs(1)));
                }
                OutcomeClass::NotSent | OutcomeClass::Unknown | OutcomeClass::Unusable => failed += 1,
                OutcomeClass::Recipient | OutcomeClass::Refused | OutcomeClass::Throttled => {}
            }
        }
        // One request is one event to the breaker, however many messages it carried.
        if let Some(worst) = answers.iter().max_by_key(|a| gravity(a.class)) {
            state.breaker.on_outcome(call, worst.class, worst.scope, now, &mut state.dice);
            match worst.class {
                OutcomeClass::Accepted => state.concurrency.on_accepted(state.in_flight),
                OutcomeClass::NotSent | OutcomeClass::Unknown => state.concurrency.on_failure(now),
                _ => {}
            }
            if gravity(worst.class) > gravity(OutcomeClass::Accepted) {
                let said = if worst.code.is_empty() { worst.class.as_str().to_owned() } else { worst.code.clone() };
                state.last = Some((worst.class, said, wall));
            }
        }
        state.weight.count(accepted, failed);
        state.accepted += u64::from(accepted);
        state.failures += u64::from(failed);
        state.window.record(now, accepted, failed, latency);
        turn(state, now)
    }

    /// Until when it is asked nothing in the name of an organisation, whose sender it refuses; `None` when it may.
    pub fn refuses_until(&self, organisation: u64) -> Option<Duration> {
        let now = self.clock.mono();
        self.state().senders.until(organisation, now)
    }

    /// Notes what these answers say of an organisation's sender; whether it is newly refused.
    pub fn on_sender(&self, organisation: u64, answers: &[Answer]) -> bool {
        let refused = |answer: &Answer| {
            answer.class == OutcomeClass::Unusable && answer.scope == Some(crate::providers::Scope::Sender)
        };
        let (now, mut guard) = (self.clock.mono(), self.state());
        let state = &mut *guard;
        if answers.iter().any(|answer| answer.class == OutcomeClass::Accepted) {
            state.senders.on_accepted(organisation);
        }
        answers.iter().any(refused) && state.senders.on_refused(organisation, now, &self.breaker, &mut state.dice)
    }

    /// What is known of it when its next probe is planned; `busy`: a campaign of its channel runs, or is due soon.
    pub fn outlook(&self, busy: bool) -> Outlook {
        let now = self.clock.mono();
        let state = self.state_now(now);
        let breaker = &state.breaker;
        Outlook {
            wanted: breaker.wants_probe(now) || matches!(breaker.permit(now), Permit::Probe),
            suspect: breaker.snapshot(now).suspect,
            pressing: breaker.is_pressing(now),
            busy,
        }
    }

    /// Makes the provider's own probe, which sends nothing, and tells when it turned the breaker.
    pub async fn probe(&self, limit: Duration) -> (Probe, Option<Turn>) {
        let ticket = {
            let now = self.clock.mono();
            self.state_now(now).breaker.start_probe(now)
        };
        let found = match tokio::time::timeout(limit, self.provider.probe()).await {
            Ok(found) => found,
            Err(_) => Probe::Down(format!("no answer within {limit:?}")),
        };
        let (now, wall) = (self.clock.mono(), self.clock.now());
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(ticket) = ticket {
            state.breaker.on_probe(ticket, found.passed(), now, &mut state.dice);
        }
        if !found.passed() {
            let class =
                if matches!(found, Probe::Unusable(_)) { OutcomeClass::Unusable } else { OutcomeClass::NotSent };
            state.last = Some((class, format!("probe: {}", found.detail()), wall));
        }
        let turned = turn(state, now);
        (found, turned)
    }

    /// Whether messages can go by it now, as far as its breaker is concerned.
    pub fn is_open(&self) -> bool {
        let now = self.clock.mono();
        !matches!(self.state_now(now).breaker.permit(now), Permit::Go)
    }

    /// What consoles show.
    pub fn row(&self) -> ProviderRow {
        let now = self.clock.mono();
        let at = |moment: Duration| self.clock.at(moment);
        let state = self.state_now(now);
        let breaker = state.breaker.snapshot(now);
        let paused = state.pace.paused(now);
        let figures = state.window.figures(now);
        let health = match breaker.state {
            BreakerState::Open | BreakerState::HalfOpen => Health::Critical,
            BreakerState::Recovering => Health::Warning,
            _ if breaker.suspect || paused.is_some() || figures.success.is_some_and(|s| s < 0.95) => Health::Warning,
            _ => Health::Ok,
        };
        ProviderRow {
            name: self.provider.name().to_owned(),
            kind: self.provider.kind(),
            channel: self.channel(),
            rank: self.rank,
            health,
            breaker: breaker.state,
            since: at(breaker.since),
            retry_at: breaker.retry_at.map(at),
            controls: Vec::new(),
            throttled_until: paused.map(at),
            in_flight: state.in_flight,
            accepted: state.accepted,
            failures: state.failures,
            success: figures.success,
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            rate: figures.rate,
            last_class: state.last.as_ref().map(|l| l.0),
            last_error: state.last.as_ref().map_or(String::new(), |l| l.1.clone()),
            last_error_at: state.last.as_ref().map(|l| l.2),
            history: figures.history,
        }
    }
}

/// Which of several answers speaks for a request.
fn gravity(class: OutcomeClass) -> u8 {
    match class {
        OutcomeClass::Recipient | OutcomeClass::Refused => 0,
        OutcomeClass::Accepted => 1,
        OutcomeClass::Throttled => 2,
        OutcomeClass::NotSent => 3,
        OutcomeClass::Unknown => 4,
        OutcomeClass::Unusable => 5,
    }
}

/// What has turned since somebody was last told.
fn turn(state: &mut State, now: Duration) -> Option<Turn> {
    let snapshot = state.breaker.snapshot(now);
    let from = std::mem::replace(&mut state.told, snapshot.state);
    let why = snapshot.cause.map_or("answers again", super::breaker::Cause::as_str);
    (snapshot.state != from).then(|| Turn { from, to: snapshot.state, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use usher_common::model::ProviderKind;

    use super::*;
    use crate::providers::{ProviderConfig, build};

    /// An account at Resend as it is when nothing is configured.
    fn resend(clock: &Clock) -> Account {
        resend_in_batches(clock, 100)
    }

    fn resend_in_batches(clock: &Clock, batch: usize) -> Account {
        let mut config = ProviderConfig::named("resend", ProviderKind::Resend);
        config.secret = Some("re_1".into());
        let setup = Setup {
            provider: build(&config).unwrap(),
            rank: 1,
            weight: 1.0,
            rate: Some(5.0),
            burst: 5,
            max_in_flight: 100,
            batch,
            unit_price: 0.0,
            currency: "USD".to_owned(),
            breaker: Settings::default(),
        };
        Account::new(setup, clock.clone(), 1)
    }

    #[tokio::test]
    async fn a_batch_is_one_request_to_the_pace() {
        let clock = Clock::manual(Timestamp(0));
        let account = resend(&clock);
        for batch in 0..5 {
            let slots = account.reserve(100).expect("five requests may go at once");
            assert_eq!((slots.messages, slots.requests), (100, 1), "batch {batch}");
        }
        assert!(account.reserve(100).is_none(), "the burst is used up");
        clock.advance(Duration::from_millis(201));
        let slots = account.reserve(100).expect("a fifth of a second is one request");
        assert_eq!(slots.messages, 100);
        account.adjust(&slots, 4);
        clock.advance(Duration::from_millis(600));
        assert!(account.reserve(1).is_none(), "three requests more are owed first");
        clock.advance(Duration::from_millis(201));
        assert!(account.reserve(1).is_some());
    }

    #[tokio::test]
    async fn no_more_go_at_once_than_the_burst_and_then_they_go_at_the_pace() {
        let clock = Clock::manual(Timestamp(0));
        let account = resend_in_batches(&clock, 1);
        assert_eq!(account.room_for(), 5);
        assert_eq!(account.reserve(100).map(|slots| slots.messages), Some(5), "the burst, however many wait");
        assert!(account.reserve(100).is_none());
        for _ in 0..10 {
            clock.advance(Duration::from_millis(201));
            assert_eq!(account.reserve(100).map(|slots| slots.messages), Some(1), "a fifth of a second is one");
        }
        clock.advance(Duration::from_millis(601));
        assert_eq!(account.room_for(), 3);
        assert_eq!(account.reserve(100).map(|slots| slots.messages), Some(3), "and three of them are three");
    }

    fn answer(class: OutcomeClass) -> Answer {
        let (code, detail, provider_id) = (String::new(), String::new(), String::new());
        Answer { class, scope: None, code, detail, provider_id, retry_after: None }
    }

    /// One request of one message from beginning to end.
    fn request(account: &Account, class: OutcomeClass) -> Option<Turn> {
        let slots = account.reserve(1).expect("there is room");
        account.adjust(&slots, 1);
        let call = account.begin(slots.leave);
        let turn = account.on_answers(call, &[answer(class)], Duration::from_millis(20));
        account.done(slots.leave);
        turn
    }

    #[tokio::test]
    async fn a_breaker_that_opened_is_open_in_the_next_run_and_comes_back_by_a_message() {
        let clock = Clock::manual(Timestamp(1_000_000));
        let account = resend(&clock);
        clock.advance(Duration::from_secs(5));
        assert_eq!(account.to_keep(), None, "nothing has turned");
        for n in 0..5 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(request(&account, OutcomeClass::NotSent).is_some(), n == 4);
        }
        let kept = account.to_keep().expect("it has turned");
        assert_eq!(account.to_keep(), None, "once a turn");
        assert!(account.reserve(1).is_none());

        let next = resend(&clock);
        let turn = next.resume(&kept).expect("it is not closed as it was told to be");
        assert_eq!((turn.to, next.is_open()), (BreakerState::Open, true));
        clock.advance(Duration::from_secs(20));
        // A Resend account keeps keys, so that a message may be the probe; no second one beside it.
        let probe = next.reserve(100).expect("its time has come");
        assert_eq!((probe.messages, probe.leave.is_probe(), next.reserve(1).is_none()), (1, true, true));
        let call = next.begin(probe.leave);
        next.on_answers(call, &[answer(OutcomeClass::Accepted)], Duration::from_millis(20));
        next.done(probe.leave);
        for most in [1, 2, 4, 8] {
            clock.advance(Duration::from_secs(2));
            let slots = next.reserve(100).expect("some may");
            assert_eq!((slots.messages, next.reserve(1).is_none()), (most, true));
            // Each goes in a request of its own.
            next.adjust(&slots, most);
            for _ in 0..most {
                let call = next.begin(slots.leave);
                next.on_answers(call, &[answer(OutcomeClass::Accepted)], Duration::from_millis(20));
                next.done(slots.leave);
            }
        }
        assert_eq!((next.row().breaker, next.row().in_flight), (BreakerState::Recovering, 0));
        clock.advance(Duration::from_mins(1));
        assert_eq!(next.tick().map(|turn| turn.to), Some(BreakerState::Closed));
    }

    #[tokio::test]
    async fn a_probe_message_that_is_not_sent_leaves_its_place_to_another() {
        let clock = Clock::manual(Timestamp(0));
        let account = resend(&clock);
        for _ in 0..5 {
            clock.advance(Duration::from_secs(1));
            request(&account, OutcomeClass::Unknown);
        }
        clock.advance(Duration::from_secs(20));
        let slots = account.reserve(1).expect("a probe");
        account.adjust(&slots, 0);
        assert!(account.reserve(1).is_some_and(|slots| slots.leave.is_probe()));
    }
}
