//! Which provider carries a message now, or why none does.
//!
//! Providers of one rank are a set, and share its messages by weight; the next rank carries what this one cannot, and
//! what a recovering one does not take yet. What is in doubt at one provider never goes to another, whatever else is free.
//! When all are broken, messages wait: sending to a provider that is known to be down only makes more doubt. Chance is
//! handed in as one throw.

use std::time::Duration;

use usher_common::model::OutcomeClass;

use super::Permit;
use crate::providers::Traits;

/// Keys are trusted until this long before the provider forgets them.
const KEY_MARGIN: Duration = Duration::from_mins(10);

/// Whether a provider has room, besides its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It has.
    Free,
    /// Its own pace has none until then. The standby is no second lane: the message waits.
    Pace(Duration),
    /// As many requests as it may have are under way.
    Full,
    /// The provider asked us to wait until then; another may go at once.
    Paused(Duration),
}

/// What an operator keeps in force over a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steered {
    /// Nothing that stops it.
    Free,
    /// It takes nothing new: others carry its messages.
    Drained,
    /// Nothing moves: what it would carry waits.
    Held,
}

/// One provider of the message's channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which one, as the caller counts them.
    pub provider: usize,
    /// Whether the message may go by it at all.
    pub enabled: bool,
    /// Whether an operator lets it send.
    pub steered: Steered,
    /// Place in the channel's order; those of equal rank are a set.
    pub rank: u32,
    /// Its part of what the set carries, above zero.
    pub weight: f64,
    /// The share of that which it takes now: below one while it recovers.
    pub share: f64,
    /// What its breaker says.
    pub permit: Permit,
    /// Whether it has room.
    pub room: Room,
    /// What it can do.
    pub traits: Traits,
}

/// What came of the message's last attempt with a provider. An attempt in doubt stays `Unknown` here until it is
/// settled, also when a repetition was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Which provider.
    pub provider: usize,
    /// Its class.
    pub class: OutcomeClass,
    /// When the attempt began.
    pub at: Duration,
    /// From when the same provider may be tried again: [`Backoff::again_at`](super::Backoff::again_at).
    pub again_at: Duration,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Send it with this provider.
    Send {
        /// Which one.
        provider: usize,
        /// Whether it takes the place of the breaker's probe.
        probe: bool,
    },
    /// Send the same bytes under the same key once more; the provider will not act twice on them.
    Repeat {
        /// Which one.
        provider: usize,
        /// Whether it takes the place of the breaker's probe.
        probe: bool,
    },
    /// Keep it.
    Hold(Hold),
    /// There is nothing more to send: an earlier answer was final.
    Stop {
        /// That answer's class.
        class: OutcomeClass,
    },
}

/// Why a message is kept, and until when at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// What binds it.
    pub why: Why,
    /// When to ask again; `None`: when something changes.
    pub until: Option<Duration>,
}

/// What keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No provider that could carry it is set up and enabled.
    NoProvider,
    /// Its last attempt is in doubt, and waits to be settled.
    InDoubt,
    /// Every breaker is open.
    Breaker,
    /// Every provider asked us to wait.
    Paused,
    /// The pace has no room.
    Pace,
    /// Too many requests are under way.
    Concurrency,
    /// It waits before it tries again.
    Backoff,
    /// Every provider is drained, or cannot.
    Drained,
    /// An operator holds it.
    Held,
    /// It was let go a moment ago, and begins at a moment of its own.
    LetGo,
    /// The organisation or the user has begun as many as they may.
    Quota,
}

impl Why {
    /// In a few words, for the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoProvider => "no provider can carry it",
            Self::InDoubt => "the last attempt is in doubt",
            Self::Breaker => "breaker open",
            Self::Paused => "the provider asked us to wait",
            Self::Pace => "pace",
            Self::Concurrency => "concurrency",
            Self::Backoff => "waits before the next try",
            Self::Drained => "its providers are drained",
            Self::Held => "held by an operator",
            Self::LetGo => "let go; begins within seconds",
            Self::Quota => "as many were begun as the hour or the day allows",
        }
    }
}

/// Routes one message among `candidates`, best rank first. `utf8`: its address needs SMTPUTF8. `throw`: chance, in
/// `0.0..1.0`; the same throw gives the same route.
pub fn route(candidates: &[Candidate], tried: &[Tried], utf8: bool, throw: f64, now: Duration) -> Route {
    use OutcomeClass::{Accepted, Recipient, Refused, Unknown};
    if let Some(last) = tried.iter().find(|tried| matches!(tried.class, Accepted | Recipient | Refused)) {
        return Route::Stop { class: last.class };
    }
    if let Some(doubt) = tried.iter().find(|tried| tried.class == Unknown) {
        return repeat(candidates, doubt, now);
    }
    let mut holds = Holds::default();
    let mut throw = throw;
    let mut passed_over = None;
    // Those that this message has not tried come first: one that just failed it is the worse guess.
    for fresh in [true, false] {
        for set in candidates.chunk_by(|a, b| a.rank == b.rank) {
            let asked = Asked { tried, utf8, fresh, now };
            let ready = |candidate: &&Candidate| matches!(asked.of(candidate), Some(Ok(_)));
            let share = set.iter().filter(ready).map(|candidate| candidate.share).fold(0.0, f64::max);
            if share > 0.0 {
                let chosen = pick(set.iter().filter(ready), (throw / share).min(1.0));
                let send = chosen
                    .map(|chosen| Route::Send { provider: chosen.provider, probe: chosen.permit == Permit::Probe });
                match send {
                    Some(send) if throw < share => return send,
                    // A recovering one leaves this message to the next rank, if there is one that can.
                    send => passed_over = passed_over.or(send),
                }
                throw = (throw - share) / (1.0 - share);
                continue;
            }
            for candidate in set {
                match asked.of(candidate) {
                    // A hold moves nothing.
                    Some(Err(hold @ Hold { why: Why::Held, .. })) => return passed_over.unwrap_or(Route::Hold(hold)),
                    // Room that we deny ourselves is no failure of the provider, and no reason to move on.
                    Some(Err(hold @ Hold { why: Why::Pace | Why::Concurrency, .. })) if fresh => {
                        return passed_over.unwrap_or(Route::Hold(hold));
                    }
                    Some(Err(hold)) => holds.add(hold.why, hold.until),
                    _ => {}
                }
            }
        }
    }
    passed_over.unwrap_or(Route::Hold(holds.earliest()))
}

/// Who carries a channel's messages as things stand, and what part of them: those of the first rank that can, but for room.
pub fn carriers(candidates: &[Candidate]) -> Vec<(usize, f64)> {
    let able = |candidate: &&Candidate| {
        candidate.enabled
            && candidate.steered == Steered::Free
            && matches!(candidate.permit, Permit::Go | Permit::Few(_) | Permit::Probe)
    };
    for set in candidates.chunk_by(|a, b| a.rank == b.rank) {
        let weight = |candidate: &Candidate| candidate.weight * candidate.share;
        let all: f64 = set.iter().filter(able).map(weight).sum();
        if all > 0.0 {
            return set.iter().filter(able).map(|candidate| (candidate.provider, weight(candidate) / all)).collect();
        }
    }
    Vec::new()
}

/// One question to each candidate.
struct Asked<'a> {
    tried: &'a [Tried],
    utf8: bool,
    fresh: bool,
    now: Duration,
}

impl Asked<'_> {
    /// Whether a candidate may send, and if so as a probe; `None` if it is not asked this time.
    fn of(&self, candidate: &Candidate) -> Option<Result<bool, Hold>> {
        if !candidate.enabled || (self.utf8 && !candidate.traits.smtp_utf8) {
            return None;
        }
        let earlier = self.tried.iter().rfind(|tried| tried.provider == candidate.provider);
        if earlier.is_none() != self.fresh {
            return None;
        }
        Some(match (may_send(candidate, self.now), earlier) {
            (Ok(_), Some(earlier)) if self.now < earlier.again_at => {
                Err(Hold { why: Why::Backoff, until: Some(earlier.again_at) })
            }
            (asked, _) => asked,
        })
    }
}

/// One of a set by weight: `throw` in `0.0..=1.0` falls on one of the stretches that the weights are laid out to.
fn pick<'a>(set: impl Iterator<Item = &'a Candidate> + Clone, throw: f64) -> Option<&'a Candidate> {
    let weight = |candidate: &Candidate| candidate.weight * candidate.share;
    let mut left = throw * set.clone().map(weight).sum::<f64>();
    let mut last = None;
    for candidate in set {
        last = Some(candidate);
        left -= weight(candidate);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// A message in doubt belongs to the provider where the doubt is.
fn repeat(candidates: &[Candidate], doubt: &Tried, now: Duration) -> Route {
    let in_doubt = Route::Hold(Hold { why: Why::InDoubt, until: None });
    let Some(candidate) = candidates.iter().find(|candidate| candidate.provider == doubt.provider) else {
        return in_doubt;
    };
    let kept_until = candidate.traits.keeps_keys.map(|kept| doubt.at + kept.saturating_sub(KEY_MARGIN));
    if !candidate.enabled || kept_until.is_none_or(|end| now >= end) {
        return in_doubt;
    }
    if now < doubt.again_at {
        return Route::Hold(Hold { why: Why::InDoubt, until: Some(doubt.again_at) });
    }
    match may_send(candidate, now) {
        Ok(probe) => Route::Repeat { provider: candidate.provider, probe },
        Err(hold) => Route::Hold(hold),
    }
}

/// Whether a candidate may send now, and if so whether as a probe.
fn may_send(candidate: &Candidate, now: Duration) -> Result<bool, Hold> {
    let hold = |why, until| Err(Hold { why, until });
    match candidate.steered {
        Steered::Free => {}
        Steered::Drained => return hold(Why::Drained, None),
        Steered::Held => return hold(Why::Held, None),
    }
    let probe = match candidate.permit {
        Permit::Go | Permit::Few(_) => false,
        Permit::No { until } => return hold(Why::Breaker, Some(until)),
        // A guest's message is no probe where nobody could say afterwards whether it was sent.
        Permit::Probe if candidate.traits.keeps_keys.is_none() => return hold(Why::Breaker, None),
        Permit::Probe => true,
    };
    match candidate.room {
        Room::Free => Ok(probe),
        Room::Full => hold(Why::Concurrency, None),
        Room::Pace(until) | Room::Paused(until) if until <= now => Ok(probe),
        Room::Pace(until) => hold(Why::Pace, Some(until)),
        Room::Paused(until) => hold(Why::Paused, Some(until)),
    }
}

/// Gathers why each candidate cannot; the one that ends first is the one to tell.
#[derive(Default)]
struct Holds {
    first: Option<Hold>,
}

impl Holds {
    fn add(&mut self, why: Why, until: Option<Duration>) {
        let sooner = match (self.first.map(|hold| hold.until), until) {
            (None, _) | (Some(None), Some(_)) => true,
            (Some(Some(known)), Some(new)) => new < known,
            (Some(_), None) => false,
        };
        if sooner {
            self.first = Some(Hold { why, until });
        }
    }

    fn earliest(self) -> Hold {
        self.first.unwrap_or(Hold { why: Why::NoProvider, until: None })
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
