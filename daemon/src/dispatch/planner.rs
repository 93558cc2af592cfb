//! The planner: whose turn it is, and who carries it.
//!
//! It never waits for a provider. It gives lanes their turns while there are permits, claims what fits, routes each
//! message and hands it to a courier; then it sleeps until something changes or the earliest hold is over.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignId, OutcomeClass, Timestamp};

use super::courier::{self, Load};
use super::ledger::Entry;
use super::shared::{LaneState, Shared};
use super::{Fair, Hold, LaneId, Route, Tried, Why, route};
use crate::store::{Claim, Error, Lane, MessageRecord, Next, Payer};

/// Who holds the claims of this process.
const OWNER: &str = "planner";
/// Claims are used within seconds; whoever holds one longer has lost it.
const LEASE: Duration = Duration::from_mins(1);
/// The longest sleep: a retry whose time nobody was told of is found within this.
const LOOK: Duration = Duration::from_secs(1);
/// A message that one of its providers may not carry looks again after this.
const PUT_OFF: Duration = Duration::from_secs(5);

/// Plans until `stop` is cancelled. The ledger ends when the last courier that holds its sender has ended.
pub(super) async fn run(shared: Arc<Shared>, ledger: mpsc::Sender<Entry>, stop: CancellationToken) {
    let mut fair = Fair::new(u32::try_from(shared.settings.batch).unwrap_or(100));
    loop {
        let woken = shared.wake.notified();
        let mut woken = std::pin::pin!(woken);
        woken.as_mut().enable();
        shared.planner_is_alive();
        let rest = match plan(&shared, &ledger, &mut fair) {
            Ok(rest) => rest,
            Err(error) => {
                shared.fail(format!("the queue could not be read: {error}"));
                return;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = woken => {}
            () = tokio::time::sleep(rest.min(LOOK)) => {}
        }
    }
}

/// What came of a lane's turn.
enum TurnEnd {
    /// So many messages are on their way.
    Took(usize),
    /// There is nothing in it that could be sent now.
    Empty,
    /// It cannot send now.
    Held(Hold),
}

/// Gives turns until nobody can use one; how long nothing will change by itself.
fn plan(shared: &Arc<Shared>, ledger: &mpsc::Sender<Entry>, fair: &mut Fair) -> Result<Duration, Error> {
    let now = shared.clock.mono();
    for (owner, message) in shared.store().expire_claims(now) {
        tracing::warn!(owner, %message, "a claim was held for {LEASE:?}, and was taken back");
    }
    let mut rest = LOOK;
    let mut ready: BTreeMap<LaneId, Lane> = BTreeMap::new();
    let mut payers: BTreeMap<Lane, Arc<[Payer]>> = BTreeMap::new();
    let mut touched: BTreeMap<Lane, u64> = BTreeMap::new();
    for (lane, state) in shared.lanes() {
        let id = fair_id(lane, &state);
        if let Some(hold) = shared.held(lane, state.organisation) {
            shared.lane(lane, |state| {
                state.hold = Some(hold);
                state.moved = now;
            });
            if let Some(until) = hold.until {
                rest = rest.min(until.saturating_sub(now)).max(Duration::from_millis(1));
            }
            fair.leave(id);
            continue;
        }
        if matches!(state.hold, Some(Hold { why: Why::Held | Why::LetGo, .. })) {
            shared.lane(lane, |state| state.hold = None);
        }
        if is_ready(shared, lane, &state)? {
            fair.join(id);
            ready.insert(id, lane);
            payers.insert(lane, Arc::clone(&state.payers));
            touched.insert(lane, state.touched);
        } else {
            fair.leave(id);
        }
    }
    while shared.permits.available_permits() > 0 {
        let Some((id, granted)) = fair.next(|id| ready.contains_key(&id)) else { break };
        let Some(&lane) = ready.get(&id) else { break };
        let payers = payers.get(&lane).map_or(&[][..], |payers| &payers[..]);
        match take_turn(shared, ledger, (lane, id.organisation, payers), granted as usize)? {
            TurnEnd::Took(n) => {
                fair.charge(id, n as u32);
                shared.lane(lane, |state| state.hold = None);
            }
            TurnEnd::Empty => {
                shared.found_empty(lane, touched.get(&lane).copied().unwrap_or_default());
                fair.leave(id);
                ready.remove(&id);
            }
            TurnEnd::Held(hold) => {
                shared.lane(lane, |state| {
                    state.hold = Some(hold);
                    // Whoever is bound does not stand still; that counts from where the bond ends.
                    if hold.why != Why::Concurrency {
                        state.moved = now;
                    }
                });
                if let Some(until) = hold.until {
                    rest = rest.min(until.saturating_sub(now)).max(Duration::from_millis(1));
                }
                fair.leave(id);
                ready.remove(&id);
            }
        }
    }
    Ok(rest)
}

fn is_ready(shared: &Shared, lane: Lane, state: &LaneState) -> Result<bool, Error> {
    if state.in_flight >= shared.settings.per_campaign {
        return Ok(false);
    }
    if state.empty {
        return Ok(shared.store().next_retry(lane)?.is_some_and(|due| due <= shared.clock.now()));
    }
    Ok(true)
}

/// A lane in the ring: organisations share with each other, and within each its lanes.
fn fair_id(lane: Lane, state: &LaneState) -> LaneId {
    let mut hasher = DefaultHasher::new();
    lane.hash(&mut hasher);
    LaneId { organisation: state.organisation, campaign: CampaignId(hasher.finish()) }
}

fn take_turn(
    shared: &Arc<Shared>,
    ledger: &mpsc::Sender<Entry>,
    (lane, organisation, payers): (Lane, u64, &[Payer]),
    granted: usize,
) -> Result<TurnEnd, Error> {
    let now = shared.clock.mono();
    let candidates = shared.candidates_for(lane.channel, organisation);
    let account = match route(&candidates, &[], false, shared.throw(), now) {
        Route::Send { provider, .. } => &shared.accounts[provider],
        Route::Hold(hold) => return Ok(TurnEnd::Held(hold)),
        Route::Repeat { .. } | Route::Stop { .. } => return Ok(TurnEnd::Empty),
    };
    let n = granted.min(account.room_for()).min(shared.permits.available_permits());
    if n == 0 {
        return Ok(TurnEnd::Held(Hold { why: Why::Concurrency, until: None }));
    }
    let room = shared.quota_room(payers, shared.clock.now())?;
    let fresh = usize::try_from(room.messages).unwrap_or(usize::MAX);
    let claims = shared.store().claim(lane, (n, fresh), OWNER, shared.clock.now(), now, LEASE)?;
    if claims.is_empty() {
        // What was charged before goes on; all that is left waits for the quota, if there is any left.
        let full = room.full.filter(|_| fresh == 0);
        return Ok(full.map_or(TurnEnd::Empty, |full| {
            let ahead = full.until.millis_since(shared.clock.now()).max(0).unsigned_abs();
            TurnEnd::Held(Hold { why: Why::Quota, until: Some(now + Duration::from_millis(ahead)) })
        }));
    }
    let mut groups: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
    let mut put_off = Vec::new();
    for claim in claims {
        match route_one(shared, &claim, organisation, now) {
            Route::Send { provider, .. } | Route::Repeat { provider, .. } => {
                groups.entry(provider).or_default().push(claim);
            }
            Route::Hold(hold) => put_off.push((claim, hold)),
            Route::Stop { .. } => {
                put_off.push((claim, Hold { why: Why::NoProvider, until: None }));
            }
        }
    }
    let mut took = 0;
    let mut full = None;
    for (provider, claims) in groups {
        match send_off(shared, ledger, (lane, payers), provider, claims)? {
            0 => full = Some(Hold { why: Why::Concurrency, until: None }),
            n => took += n,
        }
    }
    if !put_off.is_empty() {
        took += put_off.len();
        postpone(shared, lane, put_off);
    }
    Ok(match full {
        Some(reason) if took == 0 => TurnEnd::Held(reason),
        _ => TurnEnd::Took(took),
    })
}

/// Routes one message by what it has been through.
fn route_one(shared: &Shared, claim: &Claim, organisation: u64, now: Duration) -> Route {
    let mut candidates = shared.candidates_for(claim.lane.channel, organisation);
    for candidate in &mut candidates {
        let name = shared.accounts[candidate.provider].provider.name();
        candidate.enabled = !claim.record.is_barred_at(name) && claim.record.only_by().is_none_or(|only| only == name);
    }
    route(&candidates, &tried(shared, &claim.record, now), false, shared.throw(), now)
}

/// What the router is told of a message's past. Being throttled is no attempt. A message whose wait is over may be tried
/// again by whoever failed it, so only the order of preference remains of an old failure.
fn tried(shared: &Shared, record: &MessageRecord, now: Duration) -> Vec<Tried> {
    let places = |name: &str| shared.accounts.iter().position(|a| a.provider.name() == name);
    let counted = record.attempts.iter().filter(|a| matches!(a.class, OutcomeClass::NotSent | OutcomeClass::Unusable));
    counted
        .filter_map(|a| places(&a.provider).map(|provider| Tried { provider, class: a.class, at: now, again_at: now }))
        .collect()
}

/// Hands messages to a courier, as many as the account has room for; the others go back to their queue.
fn send_off(
    shared: &Arc<Shared>,
    ledger: &mpsc::Sender<Entry>,
    (lane, payers): (Lane, &[Payer]),
    provider: usize,
    mut claims: Vec<Claim>,
) -> Result<usize, Error> {
    let account = Arc::clone(&shared.accounts[provider]);
    let slots = account.reserve(claims.len());
    let n = slots.as_ref().map_or(0, |s| s.messages as usize);
    let back = claims.split_off(n.min(claims.len()));
    shared.let_go(lane, &back.iter().map(|c| c.id).collect::<Vec<_>>());
    let Some(slots) = slots else { return Ok(0) };
    let Ok(permit) = Arc::clone(&shared.permits).try_acquire_many_owned(n as u32) else {
        shared.let_go(lane, &claims.iter().map(|c| c.id).collect::<Vec<_>>());
        account.adjust(&slots, 0);
        return Ok(0);
    };
    let fresh = claims.iter().filter(|claim| !claim.record.was_charged()).count();
    let allowance = shared.quotas.reserve(shared.store(), payers.to_vec(), fresh as u64, shared.clock.now())?;
    let mut organisation = 0;
    shared.lane(lane, |state| {
        state.in_flight += n;
        organisation = state.organisation;
    });
    tracing::debug!(provider = account.provider.name(), messages = n, "messages go to a provider");
    let load = Load { account, lane, organisation, claims, slots, allowance, permit };
    tokio::spawn(courier::carry(Arc::clone(shared), ledger.clone(), load));
    Ok(n)
}

/// Gives messages that cannot go now a time to look again, so that they do not stand before others in the queue.
fn postpone(shared: &Arc<Shared>, lane: Lane, put_off: Vec<(Claim, Hold)>) {
    let (now, wall) = (shared.clock.mono(), shared.clock.now());
    let refusals: Vec<(Claim, Next)> = put_off
        .into_iter()
        .map(|(claim, hold)| {
            let wait = hold.until.map_or(PUT_OFF, |until| until.saturating_sub(now)).max(Duration::from_millis(100));
            let at: Timestamp = wall.plus_millis(wait.as_millis() as i64);
            let next = if shared.candidates(lane.channel).iter().any(|c| c.enabled) {
                Next::Retry { at, why: hold.why.as_str().to_owned() }
            } else {
                Next::Failed { why: Why::NoProvider.as_str().to_owned() }
            };
            (claim, next)
        })
        .collect();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        courier::refuse(&shared, lane, &refusals, Vec::new()).await;
    });
}
