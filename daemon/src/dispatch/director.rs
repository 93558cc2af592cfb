//! The director: moves campaigns through their lives. Starts those whose hour has come, turns their guests into messages
//! part by part, ends them by the equation, and clears away what a cancelled one left waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignId, CampaignState, Channel, StateCounts};
use usher_common::protocol::Level;

use super::doubt;
use super::shared::Shared;
use crate::campaigns::lifecycle::{self, Event};
use crate::campaigns::{CampaignError, channels_for};
use crate::failpoint;
use crate::store::{AuditEntry, CampaignRecord, CampaignRow, Error, Expansion, NewMessage};

/// Guests that are turned into messages in one commit.
const PART: usize = 250;
/// Parts of one campaign before another one has its turn.
const PARTS: usize = 8;
/// Hours and settling times are looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Waiting messages of a cancelled campaign that are cleared away in one commit.
const SWEEP: usize = 500;

/// Directs until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut open: BTreeMap<CampaignId, CampaignState> = BTreeMap::new();
    match shared.store().campaigns() {
        Ok(rows) => open.extend(rows.iter().filter(|r| concerns(r)).map(|r| (r.id, r.record.state))),
        Err(error) => return shared.fail(format!("campaigns could not be read: {error}")),
    }
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut busy = false;
        for id in shared.take_to_direct() {
            open.entry(id).or_default();
        }
        for id in open.keys().copied().collect::<Vec<_>>() {
            match direct(&shared, id).await {
                Ok(Some((state, more))) => {
                    busy |= more;
                    open.insert(id, state);
                }
                Ok(None) => {
                    open.remove(&id);
                }
                // Somebody changed it at the same time: it is looked at again right away.
                Err(CampaignError::Store(Error::Changed { .. })) => busy = true,
                Err(CampaignError::Store(error @ (Error::Commit(_) | Error::Read(_)))) => {
                    return shared.fail(format!("campaign {id} could not be moved on: {error}"));
                }
                Err(error) => {
                    tracing::error!(campaign = %id, %error, "a campaign could not be moved on");
                    open.remove(&id);
                }
            }
            if stop.is_cancelled() {
                return;
            }
        }
        if busy {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.stir.notified() => tokio::time::sleep(Duration::from_millis(20)).await,
            _ = tick.tick() => {}
        }
    }
}

/// Whether there is anything to do for a campaign.
fn concerns(row: &CampaignRow) -> bool {
    row.record.deleted.is_none()
        && matches!(
            row.record.state,
            CampaignState::Scheduled
                | CampaignState::Running
                | CampaignState::Settling
                | CampaignState::Paused
                // What providers report afterwards may turn one into the other.
                | CampaignState::Finished
                | CampaignState::Partial
                | CampaignState::Cancelled
        )
}

/// Does what is due for one campaign. `None` when there is nothing more to do for it until somebody acts; else its state,
/// and whether there is more to do right away.
async fn direct(shared: &Arc<Shared>, id: CampaignId) -> Result<Option<(CampaignState, bool)>, CampaignError> {
    let row = match shared.store().campaign(id) {
        Ok(row) => row,
        Err(Error::Missing { .. }) => {
            shared.set_due(id, None);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let state = row.record.state;
    let lanes_open = state == CampaignState::Running && row.record.deleted.is_none();
    shared.set_lanes(id, &row.record, lanes_open);
    let due = row.record.due.filter(|_| state == CampaignState::Scheduled && row.record.deleted.is_none());
    shared.set_due(id, due.map(|due| (due, row.record.channels.as_slice())));
    if !concerns(&row) {
        return Ok(None);
    }
    match state {
        CampaignState::Scheduled => {
            if row.record.due.is_some_and(|due| due <= shared.clock.now()) {
                let by = super::by_dispatcher();
                shared.campaigns().step(&by, &row, Event::Start, shared.clock.now()).await?;
                tell(shared, id, Level::Info, "its hour has come: it runs");
                shared.look(id);
                return Ok(Some((CampaignState::Running, true)));
            }
            Ok(Some((state, false)))
        }
        CampaignState::Running | CampaignState::Paused if expires(&row, shared) => {
            let by = super::by_dispatcher();
            let swept = shared.store().expire_waiting(&by, id, SWEEP, shared.clock.now()).await?;
            if swept > 0 {
                tell(
                    shared,
                    id,
                    Level::Warning,
                    format!("{swept} messages waited until their time ran out: they expire"),
                );
                shared.look(id);
                return Ok(Some((state, true)));
            }
            if state == CampaignState::Running { end(shared, &row).await } else { Ok(Some((state, false))) }
        }
        CampaignState::Paused => Ok(row.record.expires.map(|_| (state, false))),
        CampaignState::Running => {
            if !row.record.expanded {
                if shared.no_room().is_some() {
                    return Ok(Some((state, false)));
                }
                let expanded = expand(shared, row).await?;
                shared.look(id);
                return Ok(Some((state, !expanded)));
            }
            end(shared, &row).await
        }
        CampaignState::Settling | CampaignState::Partial | CampaignState::Finished => end(shared, &row).await,
        CampaignState::Cancelled => {
            // Guests that were not yet turned into messages are accounted for too: as cancelled.
            if !row.record.expanded && row.record.due.is_some() {
                expand(shared, row).await?;
                shared.look(id);
                return Ok(Some((state, true)));
            }
            let by = super::by_dispatcher();
            let swept = shared.store().cancel_waiting(&by, id, SWEEP, shared.clock.now()).await?;
            if swept > 0 {
                shared.look(id);
                return Ok(Some((state, true)));
            }
            let open = shared.store().campaign_counts(id)?.total().open() > 0;
            Ok(open.then_some((state, false)))
        }
        _ => Ok(None),
    }
}

fn tell(shared: &Shared, id: CampaignId, level: Level, text: impl Into<String>) {
    shared.board.tell(shared.clock.now(), level, format!("campaign {id}"), text);
}

/// Whether a campaign's time is over, and all that waits of it with it; what is not expanded yet is first.
fn expires(row: &CampaignRow, shared: &Shared) -> bool {
    row.record.expanded && row.record.expires.is_some_and(|expires| shared.clock.now() >= expires)
}

/// Turns the next guests into messages; whether all are.
async fn expand(shared: &Arc<Shared>, mut row: CampaignRow) -> Result<bool, CampaignError> {
    let campaigns = shared.campaigns();
    let spec = campaigns.spec(row.id)?;
    let segment = campaigns.segment(&spec)?;
    let by = super::by_dispatcher();
    for _ in 0..PARTS {
        let (guests, next) = campaigns.audience(&spec, segment.as_ref(), row.record.cursor, PART)?;
        let mut messages = Vec::new();
        let mut unreachable = 0;
        for (guest, data) in &guests {
            let channels: Vec<Channel> = channels_for(&spec, data);
            if channels.is_empty() {
                unreachable += 1;
            }
            messages.extend(channels.into_iter().map(|channel| NewMessage { guest: *guest, channel }));
        }
        let part = Expansion {
            cursor: next.or(guests.last().map(|(id, _)| *id)),
            guests: guests.len() as u64,
            unreachable,
            last: next.is_none(),
            messages,
        };
        failpoint::hit("dispatch.expansion.before-part");
        row = shared.store().expand(&by, &row, &part, shared.clock.now()).await?;
        if !part.last {
            failpoint::hit("dispatch.expansion.after-part");
        }
        for &channel in &row.record.channels {
            shared.touched(crate::store::Lane { campaign: row.id, channel });
        }
        if part.last {
            tell(
                shared,
                row.id,
                Level::Info,
                format!("{} guests became {} messages", row.record.guests, row.record.messages),
            );
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a campaign where the equation says so; where it has something to send again, an ended one runs.
async fn end(shared: &Arc<Shared>, row: &CampaignRow) -> Result<Option<(CampaignState, bool)>, CampaignError> {
    let counts = shared.store().campaign_counts(row.id)?;
    let total = counts.total();
    let now = shared.clock.now();
    if total.queued > 0
        && let Some(state) = lifecycle::reopened(row.record.state)
    {
        let record = CampaignRecord { state, ended: None, settling: None, ..row.record.clone() };
        let (object, detail) = (row.id.to_string(), format!("{} messages wait again", total.queued));
        let audit = AuditEntry::Act { act: "campaign.reopen".into(), object, detail };
        shared.store().campaign_update(&super::by_dispatcher(), row, &record, None, audit).await?;
        tell(shared, row.id, Level::Info, format!("{} messages wait again: it runs", total.queued));
        shared.look(row.id);
        return Ok(Some((state, true)));
    }
    let email = counts.states.get(&Channel::Email).is_some_and(|c| c.unknown > 0);
    let patience = doubt::patience(if email { Channel::Email } else { Channel::Sms }).as_millis() as i64;
    let settled = row.record.state == CampaignState::Partial
        || row.record.settling.is_some_and(|since| now.millis_since(since) >= patience);
    let Some(state) = lifecycle::outcome(row.record.expanded, row.record.messages, &total, settled) else {
        return Ok(Some((row.record.state, false)));
    };
    if state == row.record.state {
        return Ok((!state.is_ended()).then_some((state, false)));
    }
    let record = CampaignRecord {
        state,
        settling: if state == CampaignState::Settling { Some(now) } else { row.record.settling },
        // What bounces after the end makes another one of it, and no later one.
        ended: state.is_ended().then(|| row.record.ended.unwrap_or(now)),
        ..row.record.clone()
    };
    let audit = AuditEntry::Act { act: "campaign.end".into(), object: row.id.to_string(), detail: state.to_string() };
    failpoint::hit("dispatch.campaign.before-end");
    shared.store().campaign_update(&super::by_dispatcher(), row, &record, None, audit).await?;
    failpoint::hit("dispatch.campaign.after-end");
    let level = if state == CampaignState::Finished { Level::Info } else { Level::Warning };
    tell(shared, row.id, level, format!("{state}: {}", equation(row.record.messages, &total)));
    shared.look(row.id);
    Ok((state == CampaignState::Settling).then_some((state, true)))
}

/// The equation, in words.
fn equation(messages: u64, counts: &StateCounts) -> String {
    let parts: Vec<String> = usher_common::model::MessageState::ALL
        .into_iter()
        .filter(|&state| counts.get(state) > 0)
        .map(|state| format!("{} {state}", counts.get(state)))
        .collect();
    format!("{messages} messages = {}", if parts.is_empty() { "0".to_owned() } else { parts.join(" + ") })
}

#[cfg(test)]
#[path = "director_tests.rs"]
mod tests;
