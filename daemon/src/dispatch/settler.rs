//! The settler: looks after attempts whose outcome is in doubt.
//!
//! After a start every intent without an outcome is in doubt. Where the provider keeps idempotency keys, the same bytes
//! under the same key ask it again: it answers what it answered then, and sends nothing twice. The bytes are made anew
//! and must have the hash that the intent recorded, and every message of the request must still pass the gate; else they
//! stay in doubt, for a receipt or an operator to settle. By itself nothing in doubt ever goes to another provider.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignId, CampaignState, OutcomeClass, Timestamp};
use usher_common::protocol::Level;

use super::account::Account;
use super::courier;
use super::shared::Shared;
use crate::providers::{Answer, Outgoing};
use crate::store::{AttemptRecord, Error, IntentRecord, Lane, Next, OpenIntent, OutcomeWrite};

/// Open intents are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// First wait before a request in doubt is repeated, and the longest one.
const WAIT: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_mins(1);
/// Keys are trusted for this much less than the provider says.
const MARGIN: Duration = Duration::from_mins(30);
/// Intents that are marked in one commit.
const PART: usize = 200;

/// Marks what the last run left under way as in doubt.
pub(super) async fn recover(shared: &Shared) -> Result<(), Error> {
    let open: Vec<OpenIntent> = shared.store().open_intents()?.into_iter().filter(|o| !o.in_doubt).collect();
    let by = super::by_dispatcher();
    let day = shared.clock.day();
    for part in open.chunks(PART) {
        let writes: Vec<OutcomeWrite> = part
            .iter()
            .map(|open| {
                let attempt = AttemptRecord {
                    no: open.intent.attempt,
                    provider: open.intent.provider.clone(),
                    started: open.intent.started,
                    class: OutcomeClass::Unknown,
                    code: "stopped".to_owned(),
                    detail: "the daemon stopped before the answer came".to_owned(),
                    provider_id: String::new(),
                    latency_ms: 0,
                    barred: false,
                };
                let next = Next::Unknown { why: "the daemon stopped before the answer came".to_owned() };
                write(open, attempt, next)
            })
            .collect();
        shared.store().record_outcomes(&by, &writes, day).await?;
    }
    if !open.is_empty() {
        let text = format!("{} attempts were under way when the daemon stopped: their outcome is in doubt", open.len());
        shared.board.tell(shared.clock.now(), Level::Warning, "daemon", text);
    }
    Ok(())
}

fn write(open: &OpenIntent, attempt: AttemptRecord, next: Next) -> OutcomeWrite {
    OutcomeWrite {
        lane: Lane { campaign: open.message.campaign, channel: open.intent.channel },
        message: open.message.id,
        record: open.message.record.clone(),
        attempt,
        next,
        // Only providers that keep keys are asked again, and these tell our id with every report.
        by_provider_id: false,
    }
}

/// Settles until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut waits: HashMap<String, (Duration, Duration)> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let open = match shared.store().open_intents() {
            Ok(open) => open,
            Err(error) => return shared.fail(format!("open attempts could not be read: {error}")),
        };
        let mut requests: BTreeMap<(String, String), Vec<OpenIntent>> = BTreeMap::new();
        for one in open.into_iter().filter(|o| o.in_doubt) {
            requests.entry((one.intent.provider.clone(), one.intent.key.clone())).or_default().push(one);
        }
        waits.retain(|key, _| requests.keys().any(|(_, k)| k == key));
        for ((provider, key), members) in requests {
            let now = shared.clock.mono();
            let (due, wait) = waits.get(&key).copied().unwrap_or((now, WAIT));
            if now < due || stop.is_cancelled() {
                continue;
            }
            waits.insert(key, (now + wait, (wait * 2).min(LONGEST)));
            let account = shared.accounts().iter().find(|a| a.provider.name() == provider);
            if let Some(account) = account
                && let Err(error) = settle(&shared, &Arc::clone(account), members).await
            {
                return shared.fail(format!("a settled attempt could not be recorded: {error}"));
            }
        }
    }
}

impl Shared {
    /// Until when an attempt in doubt is asked about by repeating it; `None` where its provider keeps no keys.
    pub fn asked_until(&self, intent: &IntentRecord) -> Option<Timestamp> {
        let account = self.accounts().iter().find(|account| account.provider.name() == intent.provider)?;
        let kept = account.traits().keeps_keys?;
        Some(intent.started.plus_millis(kept.saturating_sub(MARGIN).as_millis() as i64))
    }
}

/// Whether a message of this campaign may go out now. Asking again sends what the provider has not got: not while the
/// campaign is paused, not once it is cancelled, and not when its time is over.
fn may_go(shared: &Shared, campaign: CampaignId) -> Result<bool, Error> {
    let record = shared.store().campaign(campaign)?.record;
    let stopped = matches!(record.state, CampaignState::Paused | CampaignState::Cancelled);
    Ok(!stopped && record.expires.is_none_or(|expires| shared.clock.now() < expires))
}

/// Repeats one request under its key, where that is allowed, and records what the provider says.
async fn settle(shared: &Arc<Shared>, account: &Arc<Account>, mut members: Vec<OpenIntent>) -> Result<(), Error> {
    members.sort_by_key(|m| m.intent.place);
    let Some(first) = members.first() else { return Ok(()) };
    let in_time = shared.asked_until(&first.intent).is_some_and(|until| shared.clock.now() < until);
    if account.is_open() || !in_time {
        return Ok(());
    }
    if members.len() != first.intent.of as usize || !may_go(shared, first.message.campaign)? {
        return Ok(());
    }
    let Ok(kit) = shared.kit(first.message.campaign) else { return Ok(()) };
    let mut outgoing: Vec<Outgoing> = Vec::with_capacity(members.len());
    for member in &members {
        let (record, id) = (&member.message.record, member.message.id);
        match courier::judged_letter(shared, &kit, record.list, record.guest, record.channel, id) {
            Ok(letter) => outgoing.push(courier::outgoing(&kit, letter, id, member.intent.attempt)),
            Err(_) => return Ok(()),
        }
    }
    let Ok(prepared) = account.provider.prepare(&outgoing, &first.intent.key) else { return Ok(()) };
    if prepared.hash != first.intent.body_hash {
        tracing::warn!(
            campaign = %first.message.campaign,
            "a request in doubt cannot be repeated: its guests or words have changed since"
        );
        return Ok(());
    }
    let Some(slots) = account.reserve(members.len()) else { return Ok(()) };
    account.adjust(&slots, 1);
    let begun = shared.clock.mono();
    let call = account.begin(slots.leave);
    let answers = account.provider.send(&prepared).await;
    let latency = shared.clock.mono().saturating_sub(begun);
    courier::count(shared, account, call, &answers, latency);
    account.done(slots.leave);
    record(shared, account, &members, &outgoing, &answers, latency).await
}

async fn record(
    shared: &Arc<Shared>,
    account: &Account,
    members: &[OpenIntent],
    outgoing: &[Outgoing],
    answers: &[Answer],
    latency: Duration,
) -> Result<(), Error> {
    let mut writes = Vec::new();
    for ((member, outgoing), answer) in members.iter().zip(outgoing).zip(answers) {
        // Only a word on this very request settles it. Being refused now says nothing of what was accepted then.
        if answer.class != OutcomeClass::Accepted {
            continue;
        }
        let (no, started) = (member.intent.attempt, member.intent.started);
        let attempt = courier::attempt(account, no, started, latency.as_millis() as u32, answer, &outgoing.to);
        writes.push(write(member, attempt, Next::Accepted));
    }
    if writes.is_empty() {
        return Ok(());
    }
    match shared.store().record_outcomes(&super::by_dispatcher(), &writes, shared.clock.day()).await {
        Ok(()) | Err(Error::Changed { .. }) => {}
        Err(error) => return Err(error),
    }
    let text = format!("{} messages in doubt were settled by asking again under their key", writes.len());
    shared.board.tell(shared.clock.now(), Level::Info, format!("provider {}", account.provider.name()), text);
    for write in writes {
        shared.touched(write.lane);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::house::{NOW, house, rewrite};
    use super::*;

    #[tokio::test]
    async fn nothing_is_asked_again_of_a_campaign_that_was_stopped_or_whose_time_is_over() {
        let (_folder, shared, id) = house().await;
        for (state, expires_in, goes) in [
            (CampaignState::Running, 1_000, true),
            (CampaignState::Settling, 1_000, true),
            (CampaignState::Partial, 1_000, true),
            (CampaignState::Paused, 1_000, false),
            (CampaignState::Cancelled, 1_000, false),
            (CampaignState::Running, 0, false),
        ] {
            let expires = Some(NOW.plus_millis(expires_in));
            rewrite(shared.store(), id, |record| (record.state, record.expires) = (state, expires)).await;
            assert_eq!(may_go(&shared, id).unwrap(), goes, "{state}, {expires_in} ms left");
        }
    }
}
