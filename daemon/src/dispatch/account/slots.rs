//! Room for requests: what breaker, slots and pace allow at this moment, taken before a request is made and given back after it.

use std::time::Duration;

use super::{Account, Call, Leave, Permit, State};

/// Leave to make requests; given back when they have ended.
#[derive(Debug)]
pub struct Slots {
    /// Requests.
    pub requests: u32,
    /// Messages in them.
    pub messages: u32,
    /// The breaker's leave.
    pub leave: Leave,
}

impl Account {
    /// Messages that it could take now in one go: as many as its breaker, its slots and its pace allow.
    pub fn room_for(&self) -> usize {
        let now = self.clock.mono();
        let mut state = self.state_now(now);
        let free = state.concurrency.limit().saturating_sub(state.in_flight) as usize;
        match state.breaker.permit(now) {
            Permit::Go => {}
            Permit::Few(n) => return free.min(n as usize),
            Permit::Probe | Permit::No { .. } => return 1,
        }
        if self.batch > 1 {
            return if free > 0 { self.batch } else { 0 };
        }
        // Where the pace has none at all, one claim finds out why.
        free.min(256).min((state.pace.room(now) as usize).max(1))
    }

    /// Takes leave for so many messages, or for as many of them as there is room; `None` when there is none.
    pub fn reserve(&self, messages: usize) -> Option<Slots> {
        let now = self.clock.mono();
        let mut guard = self.state_now(now);
        let state = &mut *guard;
        let free = state.concurrency.limit().saturating_sub(state.in_flight) as usize;
        let (mut messages, probe) = match state.breaker.permit(now) {
            Permit::Go => (messages.min(free * self.batch), false),
            // Each may need a request of its own.
            Permit::Few(n) => (messages.min(n as usize).min(free), false),
            Permit::Probe => (1, true),
            Permit::No { .. } => return None,
        };
        // Never more at once than the burst that is left: a bucket in debt sends nothing for as long as that takes.
        messages = messages.min((state.pace.room(now) as usize).saturating_mul(self.batch));
        let requests = self.requests(messages);
        if messages == 0 || state.pace.take(requests, now).is_err() {
            return None;
        }
        let ticket = if probe { Some(state.breaker.start_probe(now)?) } else { None };
        state.in_flight += requests;
        let leave = state.breaker.take(messages as u32, ticket);
        Some(Slots { requests, messages: messages as u32, leave })
    }

    /// Whether one request that repeats what was sent before may go now, whatever is in it. A provider that is just coming
    /// back may be asked: nothing new rests on its answer.
    pub fn may_repeat(&self) -> bool {
        let now = self.clock.mono();
        repeats(&mut self.state_now(now), now)
    }

    /// Takes leave for such a request.
    pub fn reserve_repeat(&self) -> Option<Slots> {
        let now = self.clock.mono();
        let mut state = self.state_now(now);
        if !repeats(&mut state, now) || state.pace.take(1, now).is_err() {
            return None;
        }
        state.in_flight += 1;
        let leave = state.breaker.take(1, None);
        Some(Slots { requests: 1, messages: 1, leave })
    }

    fn requests(&self, messages: usize) -> u32 {
        messages.div_ceil(self.batch) as u32
    }

    /// Takes the turn of a message to `address`, or says how long it has to wait for it.
    pub fn take_turn(&self, address: &str) -> Result<(), Duration> {
        let now = self.clock.mono();
        self.state().spacing.as_mut().map_or(Ok(()), |spacing| spacing.take(address, now))
    }

    /// Of what was reserved, `needed` requests are made after all; each ends with [`Self::done`].
    pub fn adjust(&self, slots: &Slots, needed: u32) {
        let mut state = self.state();
        state.in_flight = (state.in_flight + needed).saturating_sub(slots.requests);
        state.pace.settle(slots.requests, needed);
        state.breaker.give_back(slots.leave, slots.messages.saturating_sub(needed));
        if needed == 0 {
            state.breaker.drop_probe(slots.leave);
        }
    }

    /// A request goes out.
    pub fn begin(&self, leave: Leave) -> Call {
        let now = self.clock.mono();
        self.state().breaker.on_start(leave, now)
    }

    /// A request goes out that took no slot, since a person waits for it.
    pub fn begin_unreserved(&self) -> Call {
        let now = self.clock.mono();
        let mut state = self.state_now(now);
        let leave = state.breaker.take(0, None);
        state.breaker.on_start(leave, now)
    }

    /// Gives a request's slot back, whatever became of it.
    pub fn done(&self, leave: Leave) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.breaker.give_back(leave, 1);
        state.breaker.drop_probe(leave);
    }
}

fn repeats(state: &mut State, now: Duration) -> bool {
    let allowed = matches!(state.breaker.permit(now), Permit::Go | Permit::Few(1..));
    allowed && state.in_flight < state.concurrency.limit() && state.pace.wait(1, now).is_none()
}
