//! The settler: looks after attempts whose outcome is in doubt.
//!
//! After a start every intent without an outcome is in doubt, and so is one whose request is under way for longer than any
//! request takes. What is done about it, and in which order, `doubt` says. Where the provider keeps idempotency keys, the same
//! bytes under the same key ask it again: it answers what it answered then, and sends nothing twice. The bytes are made anew
//! and must have the hash that the intent recorded, and every message of the request must still pass the gate. Where it can be
//! looked into, it is asked for the message. By itself nothing in doubt ever goes to another provider, unless a complete list
//! has proved that it was not taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{CampaignId, CampaignState, OutcomeClass, Timestamp};
use usher_common::protocol::Level;

use super::account::Account;
use super::controls;
use super::courier;
use super::doubt::{self, Doubt, Step};
use super::lookup;
use super::shared::Shared;
use crate::failpoint;
use crate::providers::{Answer, Outgoing};
use crate::store::{BY_RULE, Error, IntentRecord, Lane, Next, OpenIntent, OutcomeWrite};

/// Open intents are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// First wait before a request in doubt is repeated, and the longest one.
const WAIT: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_mins(1);
/// Both, where the daemon was told to hurry.
const HURRY: Duration = Duration::from_millis(200);
/// Longer than this no request is under way: whatever has become of it, nobody will tell.
const LOST: Duration = Duration::from_mins(5);
/// Intents that are marked in one commit.
const PART: usize = 200;

/// Marks what the last run left under way as in doubt.
pub(super) async fn recover(shared: &Shared) -> Result<(), Error> {
    let open: Vec<OpenIntent> = shared.store().open_intents()?.into_iter().filter(|o| !o.in_doubt).collect();
    let by = super::by_dispatcher();
    let day = shared.clock.day();
    for part in open.chunks(PART) {
        let why = "the daemon stopped before the answer came";
        let writes: Vec<OutcomeWrite> = part.iter().map(|open| in_doubt(open, "stopped", why)).collect();
        failpoint::hit("dispatch.recovery.before-doubt");
        shared.store().record_outcomes(&by, &writes, day).await?;
        failpoint::hit("dispatch.recovery.after-doubt");
    }
    if !open.is_empty() {
        let text = format!("{} attempts were under way when the daemon stopped: their outcome is in doubt", open.len());
        shared.board.tell(shared.clock.now(), Level::Warning, "daemon", text);
    }
    Ok(())
}

/// The outcome of an attempt of which nothing more will be heard.
fn in_doubt(open: &OpenIntent, code: &str, why: &str) -> OutcomeWrite {
    let attempt = open.came_to(OutcomeClass::Unknown, code, why.to_owned());
    open.outcome(attempt, Next::Unknown { why: why.to_owned() }, false)
}

/// Settles until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut waits: HashMap<String, (Duration, Duration)> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(failpoint::hurried(LOOK, HURRY)) => {}
        }
        let open = match shared.store().open_intents() {
            Ok(open) => open,
            Err(error) => return shared.fail(format!("open attempts could not be read: {error}")),
        };
        let (open, under_way): (Vec<OpenIntent>, Vec<OpenIntent>) = open.into_iter().partition(|one| one.in_doubt);
        if let Err(error) = give_up(&shared, &under_way).await {
            return shared.fail(format!("a lost attempt could not be recorded: {error}"));
        }
        shared.note_doubt(&open);
        let mut requests: BTreeMap<(String, String), Vec<OpenIntent>> = BTreeMap::new();
        for one in open {
            requests.entry((one.intent.provider.clone(), one.intent.key.clone())).or_default().push(one);
        }
        waits.retain(|key, _| requests.keys().any(|(_, k)| k == key));
        for ((provider, key), members) in requests {
            let now = shared.clock.mono();
            let (due, wait) = waits.get(&key).copied().unwrap_or((now, failpoint::hurried(WAIT, HURRY)));
            if now < due || stop.is_cancelled() {
                continue;
            }
            let account = shared.accounts().iter().find(|a| a.provider.name() == provider).cloned();
            // All of a request were sent in one moment, by one provider, for one campaign.
            let planned = members.first().map(|first| shared.step(first));
            let Some((next, account)) = planned.zip(account) else { continue };
            if next == Step::Repeat && !account.may_repeat() {
                // It was not asked, so the next look is not put off.
                continue;
            }
            // The look that proves something is made when it does.
            let proof = members.first().and_then(|first| shared.proof_in(first)).filter(|_| next != Step::Repeat);
            waits.insert(key, (now + proof.map_or(wait, |proof| wait.min(proof)), (wait * 2).min(LONGEST)));
            let done = match next {
                Step::Repeat => settle(&shared, &account, members).await,
                Step::LookUp { proves } => look_up(&shared, &account, &members, proves).await,
                Step::Resend => send_again(&shared, &account, &members).await,
                Step::Wait | Step::Leave => Ok(()),
            };
            if let Err(error) = done {
                return shared.fail(format!("a settled attempt could not be recorded: {error}"));
            }
        }
    }
}

/// Puts in doubt what is under way for longer than anything is.
async fn give_up(shared: &Shared, under_way: &[OpenIntent]) -> Result<(), Error> {
    let now = shared.clock.now();
    let lost = under_way.iter().filter(|one| now.millis_since(one.intent.started) > LOST.as_millis() as i64);
    let why = "its answer was lost";
    let writes: Vec<OutcomeWrite> = lost.take(PART).map(|one| in_doubt(one, "lost", why)).collect();
    if writes.is_empty() {
        return Ok(());
    }
    shared.warn("daemon", format!("{} attempts were under way for over {LOST:?}: they are in doubt", writes.len()));
    commit(shared, &writes).await
}

/// Makes outcomes durable; one that somebody else settled meanwhile is left as it is.
async fn commit(shared: &Shared, writes: &[OutcomeWrite]) -> Result<(), Error> {
    for part in writes.chunks(PART) {
        match shared.store().record_outcomes(&super::by_dispatcher(), part, shared.clock.day()).await {
            Ok(()) | Err(Error::Changed { .. }) => {}
            Err(error) => return Err(error),
        }
        for write in part {
            shared.touched(write.lane);
        }
    }
    Ok(())
}

/// Looks for messages in their provider's list, and records what that settles.
async fn look_up(shared: &Shared, account: &Account, members: &[OpenIntent], proves: bool) -> Result<(), Error> {
    let writes = lookup::look_up(shared, account, members, proves).await?;
    if writes.is_empty() {
        return Ok(());
    }
    let text = format!("{} messages in doubt were settled by looking for them", writes.len());
    shared.board.tell(shared.clock.now(), Level::Info, format!("provider {}", account.provider.name()), text);
    commit(shared, &writes).await
}

/// Sends messages in doubt again by the same provider, since their organisation wants that. The gate is asked when they go.
async fn send_again(shared: &Arc<Shared>, account: &Arc<Account>, members: &[OpenIntent]) -> Result<(), Error> {
    let Some(first) = members.first() else { return Ok(()) };
    if !may_go(shared, first.message.campaign)? {
        return Ok(());
    }
    let why = "no answer and no report came; sent again by the organisation's rule";
    let again = |open: &OpenIntent| {
        open.outcome(open.came_to(OutcomeClass::Unknown, BY_RULE, why.to_owned()), Next::Queue, false)
    };
    let writes: Vec<OutcomeWrite> = members.iter().map(again).collect();
    let text =
        format!("{} messages in doubt are sent again, as their organisation wants (resend_unknown)", writes.len());
    shared.board.tell(shared.clock.now(), Level::Warning, format!("provider {}", account.provider.name()), text);
    commit(shared, &writes).await
}

impl Shared {
    /// Until when an attempt in doubt is asked about by repeating it; `None` where its provider keeps no keys.
    pub fn asked_until(&self, intent: &IntentRecord) -> Option<Timestamp> {
        let account = self.accounts().iter().find(|account| account.provider.name() == intent.provider)?;
        let kept = account.traits().keeps_keys?;
        Some(intent.started.plus_millis(doubt::trusted(kept).as_millis() as i64))
    }

    /// What comes next for an attempt in doubt.
    fn step(&self, open: &OpenIntent) -> Step {
        let account = self.accounts().iter().find(|account| account.provider.name() == open.intent.provider);
        let traits = account.map(|account| account.traits());
        let rule = || {
            let spec = self.campaigns.spec(open.message.campaign).ok()?;
            let organisation = self.campaigns.organisation(&spec.organisation).ok()?;
            Some(organisation.resend_unknown.contains(&spec.class))
        };
        let age = self.clock.now().millis_since(open.intent.started).max(0).unsigned_abs();
        doubt::step(&Doubt {
            age: Duration::from_millis(age),
            channel: open.intent.channel,
            keys: traits.and_then(|traits| traits.keeps_keys),
            lookup: account.is_some_and(|account| self.looks_into(account)),
            absent_after: self.settings.absent_after,
            resend: account.is_some() && open.message.record.only_by().is_none() && rule().unwrap_or(false),
        })
    }

    /// In how long its absence from a list proves something; `None` where it does already.
    fn proof_in(&self, open: &OpenIntent) -> Option<Duration> {
        let at = open.intent.started.plus_millis(self.settings.absent_after.as_millis() as i64);
        let left = at.millis_since(self.clock.now());
        (left > 0).then(|| Duration::from_millis(left.unsigned_abs()))
    }

    /// What is done about an attempt in doubt, in a few words.
    pub fn doubt_step(&self, open: &OpenIntent) -> &'static str {
        self.step(open).as_str()
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
    let organisation = shared.store().campaign(first.message.campaign)?.record.organisation;
    let lane = Lane { campaign: first.message.campaign, channel: first.intent.channel };
    if !in_time || shared.stops(lane, controls::organisation(&organisation), account) {
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
    let Some(slots) = account.reserve_repeat() else { return Ok(()) };
    let begun = shared.clock.mono();
    let call = account.begin(slots.leave);
    failpoint::hit("dispatch.settler.before-repeat");
    let answers = account.provider.send(&prepared).await;
    failpoint::hit("dispatch.settler.after-repeat");
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
        // Only providers that keep keys are asked again, and these tell our id with every report.
        writes.push(member.outcome(attempt, Next::Accepted, false));
    }
    if writes.is_empty() {
        return Ok(());
    }
    let text = format!("{} messages in doubt were settled by asking again under their key", writes.len());
    shared.board.tell(shared.clock.now(), Level::Info, format!("provider {}", account.provider.name()), text);
    commit(shared, &writes).await?;
    failpoint::hit("dispatch.settler.after-commit");
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
