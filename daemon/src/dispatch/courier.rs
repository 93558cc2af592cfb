//! A courier: takes a handful of messages of one lane to one provider, through gate, intent, request and outcome.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use usher_common::model::{AttemptNo, Channel, MessageId, OutcomeClass};

use super::account::{Account, Slots};
use super::breaker::{Call, Leave};
use super::ledger::Entry;
use super::next::{Situation, bars, next};
use super::quota::Allowance;
use super::shared::Shared;
use crate::campaigns::compose::{ComposeError, Composed, Kit};
use crate::failpoint;
use crate::guests::address_on;
use crate::providers::{Answer, Outgoing, PrepareError, Prepared, Sender};
use crate::store::{
    AttemptRecord, AuditEntry, Claim, Error, IntentRecord, IntentWrite, Lane, MessageRecord, Next, OutcomeWrite,
    TURNED_AWAY,
};

/// A request goes out within this of being judged by the gate, else it is judged anew.
const FRESH: Duration = Duration::from_secs(2);

/// What a courier is given.
pub(super) struct Load {
    pub(super) account: Arc<Account>,
    pub(super) lane: Lane,
    pub(super) organisation: u64,
    pub(super) claims: Vec<Claim>,
    pub(super) slots: Slots,
    pub(super) allowance: Allowance,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A message that passed the gate.
struct Ready {
    claim: Claim,
    outgoing: Outgoing,
}

/// A message that is not sent now, and what the audit trail is told of it.
pub(super) struct Refused {
    next: Next,
    audit: Option<Box<AuditEntry>>,
}

impl Refused {
    fn plain(next: Next) -> Self {
        Self { next, audit: None }
    }
}

/// A message with its place in a request.
struct Member {
    ready: Ready,
    permit: Option<OwnedSemaphorePermit>,
}

/// One request with the messages it carries.
struct Request {
    prepared: Prepared,
    members: Vec<Member>,
}

/// Carries a load to its end.
pub(super) async fn carry(shared: Arc<Shared>, ledger: mpsc::Sender<Entry>, mut load: Load) {
    let judged = shared.clock.mono();
    let count = load.claims.len();
    let lane = load.lane;
    let organisation = load.organisation;
    let mut requests = judge(&shared, &mut load).await;
    if shared.stops(lane, organisation, &load.account) {
        // Held or drained while they were composed: they go back as they were.
        let claims = requests.iter().flat_map(|request| &request.members).map(|member| member.ready.claim.id);
        shared.store().release(&claims.collect::<Vec<_>>());
        requests.clear();
    }
    // What goes alone needs more requests than were reserved, what was refused fewer.
    load.account.adjust(&load.slots, requests.len() as u32);
    let leave = load.slots.leave;
    let requests = make_durable(&shared, &mut load, requests).await;
    let mut under_way: FuturesUnordered<_> =
        requests.into_iter().map(|request| send(&shared, &load, leave, request, judged)).collect();
    while let Some(entries) = under_way.next().await {
        for entry in entries {
            if ledger.send(entry).await.is_err() {
                // The ledger ends only when the store has failed; the intents say what was under way.
                return;
            }
        }
        shared.wake.notify_one();
    }
    drop(under_way);
    let now = shared.clock.mono();
    shared.lane(lane, |state| {
        state.in_flight = state.in_flight.saturating_sub(count);
        state.moved = now;
    });
    shared.wake.notify_one();
}

/// Asks the gate about every message and puts those that pass into requests. The others are recorded.
async fn judge(shared: &Shared, load: &mut Load) -> Vec<Request> {
    let lane = load.lane;
    let claims = std::mem::take(&mut load.claims);
    let kit = match shared.kit(lane.campaign) {
        Ok(kit) => kit,
        Err(error) => {
            tracing::error!(campaign = %lane.campaign, %error, "a campaign's words cannot be read");
            shared.store().release(&claims.iter().map(|c| c.id).collect::<Vec<_>>());
            return Vec::new();
        }
    };
    let guests: Vec<u64> = claims.iter().map(|claim| claim.record.guest.0).collect();
    if let Err(error) = shared.campaigns().book().vault().warm(&guests) {
        tracing::warn!(%error, "the keys of guests could not be read together; each is tried by itself");
    }
    let mut ready = Vec::new();
    let mut refusals = Vec::new();
    let mut audit = Vec::new();
    for claim in claims {
        match letter(shared, &kit, &claim) {
            Ok(outgoing) => match load.account.take_turn(&outgoing.to) {
                Ok(()) => ready.push(Ready { claim, outgoing }),
                Err(wait) => {
                    let at = shared.clock.now().plus_millis(wait.as_millis() as i64);
                    refusals.push((claim, Next::Retry { at, why: "waits for its turn at this address".to_owned() }));
                }
            },
            Err(refused) => {
                audit.extend(refused.audit.map(|entry| *entry));
                refusals.push((claim, refused.next));
            }
        }
    }
    let mut requests = Vec::new();
    let (alone, ready): (Vec<Ready>, Vec<Ready>) = ready.into_iter().partition(|r| goes_alone(&r.claim));
    for one in alone {
        prepare(shared, load, vec![one], &kit, &mut requests, &mut refusals);
    }
    let mut ready = ready.into_iter().peekable();
    while ready.peek().is_some() {
        let group: Vec<Ready> = ready.by_ref().take(load.account.batch).collect();
        prepare(shared, load, group, &kit, &mut requests, &mut refusals);
    }
    refuse(shared, lane, &refusals, audit).await;
    requests
}

/// Whether a message was in a batch that was refused: then it is sent by itself, so that the answer is its own.
fn goes_alone(claim: &Claim) -> bool {
    claim.record.attempts.last().is_some_and(|a| a.class == OutcomeClass::Refused)
}

/// Makes one request of a group; where that fails for one message, without it.
fn prepare(
    shared: &Shared,
    load: &mut Load,
    group: Vec<Ready>,
    kit: &Kit,
    requests: &mut Vec<Request>,
    refusals: &mut Vec<(Claim, Next)>,
) {
    let mut group = group;
    while !group.is_empty() {
        let outgoing: Vec<Outgoing> = group.iter().map(|r| r.outgoing.clone()).collect();
        match load.account.provider.prepare(&outgoing, &key(&kit.secret, &outgoing)) {
            Ok(prepared) => {
                let members = group.into_iter().map(|ready| Member { ready, permit: load.permit.split(1) }).collect();
                requests.push(Request { prepared, members });
                return;
            }
            Err(error) => {
                let culprit = culprit(&error).and_then(|id| group.iter().position(|r| r.claim.id.message == id));
                let mut bad = group.remove(culprit.unwrap_or(0));
                let next = match &error {
                    PrepareError::Elsewhere { .. } => turn_away(shared, kit, &load.account, &mut bad, &error.answer()),
                    PrepareError::Recipient { .. } => failed("the recipient's address cannot be written"),
                    PrepareError::Sender { .. } => failed("the sender's address cannot be written"),
                    _ => failed("the provider cannot carry the message"),
                };
                refusals.push((bad.claim, next));
            }
        }
    }
}

fn failed(why: &str) -> Next {
    Next::Failed { why: why.to_owned() }
}

/// Bars a provider that does not reach a message's recipient. It counts as an attempt, so that it shows in the message's
/// story and is not made again.
fn turn_away(shared: &Shared, kit: &Kit, account: &Account, bad: &mut Ready, answer: &Answer) -> Next {
    let now = shared.clock.now();
    let record = &mut bad.claim.record;
    let mut tried = attempt(account, record.next_attempt(), now, 0, answer, &bad.outgoing.to);
    TURNED_AWAY.clone_into(&mut tried.code);
    record.attempts.push(tried);
    if alternative(shared, account, record) {
        Next::Retry { at: now, why: "goes by another provider of the channel".to_owned() }
    } else {
        let failed = failed("no provider of the channel reaches this recipient");
        shared.or_down(failed, OutcomeClass::Recipient, kit, &bad.claim)
    }
}

fn culprit(error: &PrepareError) -> Option<MessageId> {
    match error {
        PrepareError::Recipient { message, .. }
        | PrepareError::Elsewhere { message, .. }
        | PrepareError::Sender { message, .. }
        | PrepareError::Content { message, .. } => Some(*message),
        PrepareError::Count { .. } | PrepareError::Key { .. } => None,
    }
}

/// The idempotency key: the same for the same attempts at the same messages, in any process.
pub(super) fn key(secret: &[u8], messages: &[Outgoing]) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(b"usher idempotency key v1");
    hash.update(&(secret.len() as u64).to_le_bytes());
    hash.update(secret);
    for message in messages {
        hash.update(&message.message.0.to_le_bytes());
        hash.update(&message.attempt.0.to_le_bytes());
    }
    format!("usher-{}", &hash.finalize().to_hex()[..40])
}

/// Composes a claimed message and asks the gate.
fn letter(shared: &Shared, kit: &Kit, claim: &Claim) -> Result<Outgoing, Refused> {
    if let Some(expires) = shared.store().campaign(kit.campaign).ok().and_then(|row| row.record.expires)
        && shared.clock.now() >= expires
    {
        return Err(Refused::plain(Next::Expired));
    }
    judged_letter(shared, kit, claim.record.list, claim.record.guest, claim.lane.channel, claim.id.message)
        .map(|composed| outgoing(kit, composed, claim.id.message, claim.record.next_attempt()))
}

/// Composes a message and asks the gate, whoever sends it and why.
pub(super) fn judged_letter(
    shared: &Shared,
    kit: &Kit,
    list: usher_common::model::ListId,
    guest: usher_common::model::GuestId,
    channel: Channel,
    message: MessageId,
) -> Result<Composed, Refused> {
    let (composed, suppressed) = composed_letter(shared, kit, list, guest, channel, message)?;
    kit.gate(&composed, suppressed.as_deref()).map_err(|refusal| {
        shared.metrics.refusal();
        let entry = AuditEntry::Refusal {
            message: message.0,
            rule: refusal.rule.to_owned(),
            clause: refusal.clause.to_owned(),
            evidence: refusal.evidence.clone(),
        };
        Refused { next: Next::Suppressed { why: refusal.why() }, audit: Some(Box::new(entry)) }
    })?;
    Ok(composed)
}

/// Composes a message, for which the gate is not asked: it is not sent. With why its address is suppressed, if it is.
pub(super) fn composed_letter(
    shared: &Shared,
    kit: &Kit,
    list: usher_common::model::ListId,
    guest: usher_common::model::GuestId,
    channel: Channel,
    message: MessageId,
) -> Result<(Composed, Option<String>), Refused> {
    let failed = |why: &str| Refused::plain(Next::Failed { why: why.to_owned() });
    let book = shared.campaigns().book();
    let row = match book.get(list, guest) {
        Ok(Some(row)) => row,
        Ok(None) => return Err(Refused::plain(Next::Suppressed { why: "the guest was deleted".to_owned() })),
        Err(error) => {
            tracing::warn!(%guest, %error, "a guest cannot be opened");
            return Err(Refused::plain(Next::Suppressed { why: "the guest's data was erased".to_owned() }));
        }
    };
    let Some(address) = address_on(&row.guest, channel) else {
        return Err(failed("the guest has no address for this channel any more"));
    };
    let hash = book.suppression_hash(channel, address);
    let suppressed = match shared.store().suppression(&hash) {
        Ok(record) => record.map(|r| r.reason),
        Err(error) => {
            tracing::error!(%error, "the suppression list cannot be read; the message waits");
            let at = shared.clock.now().plus_millis(60_000);
            let why = "the suppression list cannot be read".to_owned();
            return Err(Refused::plain(Next::Retry { at, why }));
        }
    };
    let composed = kit.compose(guest, &row.guest, channel, message).map_err(|error| match error {
        ComposeError::NoAddress(_) => failed("the guest has no address for this channel any more"),
        ComposeError::Template(error) => Refused::plain(Next::Failed { why: format!("template: {error}") }),
        ComposeError::WhatsApp(error) => Refused::plain(Next::Failed { why: format!("WhatsApp template: {error}") }),
    })?;
    Ok((composed, suppressed))
}

/// A composed letter as a provider takes it.
pub(super) fn outgoing(kit: &Kit, letter: Composed, message: MessageId, attempt: AttemptNo) -> Outgoing {
    let organisation = &kit.organisation;
    let email = letter.channel == Channel::Email;
    let address = match letter.channel {
        Channel::Email => organisation.from_email.clone(),
        Channel::Sms => organisation.sms_sender.clone(),
        // A number at WhatsApp and a bot in Slack are their own senders.
        Channel::WhatsApp | Channel::Slack => None,
    };
    Outgoing {
        message,
        attempt,
        to: letter.to,
        to_name: letter.to_name,
        from: Sender { address: address.unwrap_or_default(), name: organisation.from_name.clone() },
        reply_to: organisation.reply_to.clone().filter(|_| email),
        subject: letter.subject,
        text: letter.text,
        html: letter.html,
        headers: letter.headers,
        template: letter.template,
        rfc_message_id: letter.rfc_message_id,
        date: kit.date,
    }
}

/// Records messages that are not sent.
pub(super) async fn refuse(shared: &Shared, lane: Lane, refusals: &[(Claim, Next)], audit: Vec<AuditEntry>) {
    if refusals.is_empty() {
        return;
    }
    let by = super::by_dispatcher();
    let now = shared.clock.now();
    match shared.store().record_refusals(&by, refusals, audit, now).await {
        Ok(()) => {}
        // Cancelled or paused meanwhile, or a claim was taken back: whoever has them now judges anew.
        Err(Error::Changed { .. }) => {
            shared.store().release(&refusals.iter().map(|(claim, _)| claim.id).collect::<Vec<_>>());
        }
        Err(error) => shared.fail(format!("refused messages could not be recorded: {error}")),
    }
    let lanes: BTreeSet<Lane> = refusals.iter().map(|(_, next)| next.lane(lane)).chain([lane]).collect();
    for lane in lanes {
        shared.touched(lane);
    }
}

/// Makes the intents of all requests durable, in one commit where nothing stands in the way; what does not get through is
/// let go of and not sent.
async fn make_durable(shared: &Shared, load: &mut Load, requests: Vec<Request>) -> Vec<Request> {
    if requests.is_empty() {
        return requests;
    }
    let all: Vec<&Request> = requests.iter().collect();
    match write_intents(shared, load, &all).await {
        Ok(()) => return requests,
        Err(Error::Changed { .. }) => {}
        Err(error) => {
            shared.fail(format!("intents could not be recorded: {error}"));
            return Vec::new();
        }
    }
    let mut durable = Vec::new();
    for request in requests {
        match write_intents(shared, load, &[&request]).await {
            Ok(()) => durable.push(request),
            Err(Error::Changed { .. }) => {
                let ids: Vec<_> = request.members.iter().map(|m| m.ready.claim.id).collect();
                shared.store().release(&ids);
                load.account.done(load.slots.leave);
            }
            Err(error) => {
                shared.fail(format!("intents could not be recorded: {error}"));
                return durable;
            }
        }
    }
    durable
}

async fn write_intents(shared: &Shared, load: &mut Load, requests: &[&Request]) -> Result<(), Error> {
    let account = &load.account;
    let started = shared.clock.now();
    let mut intents = Vec::new();
    let mut fresh = 0;
    for request in requests {
        for (place, member) in request.members.iter().enumerate() {
            let claim = &member.ready.claim;
            fresh += u32::from(!claim.record.was_charged());
            let intent = IntentRecord {
                attempt: claim.record.next_attempt(),
                channel: claim.lane.channel,
                provider: account.provider.name().to_owned(),
                key: request.prepared.key.clone(),
                body_hash: request.prepared.hash,
                place: place as u32,
                of: request.members.len() as u32,
                started,
                fence: claim.id.fence,
            };
            intents.push(IntentWrite { claim, intent });
        }
    }
    let debit = load.allowance.debit(fresh, started);
    failpoint::hit("dispatch.intent.before-commit");
    shared.store().record_intents(&super::by_dispatcher(), &intents, &debit).await?;
    failpoint::hit("dispatch.intent.after-commit");
    load.allowance.charged(fresh);
    Ok(())
}

/// Sends one request and judges its answers.
async fn send(shared: &Arc<Shared>, load: &Load, leave: Leave, request: Request, judged: Duration) -> Vec<Entry> {
    let account = &load.account;
    let begun = shared.clock.mono();
    let started = shared.clock.now();
    let stale = begun.saturating_sub(judged) > FRESH;
    let answers = if stale {
        vec![kept_back("stale", "the disk was too slow: it is judged anew before it goes"); request.members.len()]
    } else if shared.stops(load.lane, load.organisation, account) {
        vec![kept_back("held", "held or drained before it left"); request.members.len()]
    } else {
        for member in &request.members {
            if member.ready.claim.record.attempts.is_empty() {
                account.first_attempt();
            }
        }
        let call = account.begin(leave);
        failpoint::hit("dispatch.request.before-send");
        let answers = account.provider.send(&request.prepared).await;
        failpoint::hit("dispatch.request.answered");
        let latency = shared.clock.mono().saturating_sub(begun);
        count(shared, account, call, &answers, latency);
        answers
    };
    account.done(leave);
    let in_batch = request.members.len() > 1;
    let latency_ms = shared.clock.mono().saturating_sub(begun).as_millis().min(u128::from(u32::MAX)) as u32;
    request
        .members
        .into_iter()
        .zip(answers)
        .map(|(member, answer)| {
            let Ready { claim, outgoing } = member.ready;
            let situation = Situation {
                now: shared.clock.now(),
                expires: None,
                backoff: account.backoff(claim.record.attempts.len() as u32 + 1),
                elsewhere: elsewhere(shared, account, &claim),
                alternative: alternative(shared, account, &claim.record),
                in_batch,
            };
            let attempt = attempt(account, claim.record.next_attempt(), started, latency_ms, &answer, &outgoing.to);
            let mut next = next(&answer, &situation);
            if matches!(next, Next::Failed { .. })
                && let Ok(kit) = shared.kit(load.lane.campaign)
            {
                next = shared.or_down(next, answer.class, &kit, &claim);
            }
            let write = OutcomeWrite {
                lane: claim.lane,
                message: claim.id.message,
                record: claim.record,
                attempt,
                next,
                by_provider_id: shared.goes_by_its_id(account),
            };
            Entry { write, permit: member.permit }
        })
        .collect()
}

/// The answer for a message that was kept back at the last moment.
fn kept_back(code: &str, detail: &str) -> Answer {
    Answer {
        class: OutcomeClass::NotSent,
        scope: None,
        code: code.to_owned(),
        detail: detail.to_owned(),
        provider_id: String::new(),
        retry_after: None,
    }
}

/// Counts the answers of a request everywhere they count.
pub(super) fn count(shared: &Shared, account: &Account, call: Call, answers: &[Answer], latency: Duration) {
    let (mut accepted, mut failed) = (0, 0);
    shared.metrics.request(account.provider.name(), latency.as_secs_f64());
    for answer in answers {
        shared.metrics.attempt(account.provider.name(), answer.class.as_str());
        match answer.class {
            OutcomeClass::Accepted => accepted += 1,
            OutcomeClass::NotSent | OutcomeClass::Unknown | OutcomeClass::Unusable => failed += 1,
            OutcomeClass::Recipient | OutcomeClass::Refused | OutcomeClass::Throttled => {}
        }
    }
    shared.count_attempts(accepted, failed, latency);
    if let Some(turn) = account.on_answers(call, answers, latency) {
        shared.turned(account, &turn);
    }
}

/// The record of an attempt that came to its end.
pub(super) fn attempt(
    account: &Account,
    no: AttemptNo,
    started: usher_common::model::Timestamp,
    latency_ms: u32,
    answer: &Answer,
    to: &str,
) -> AttemptRecord {
    AttemptRecord {
        no,
        provider: account.provider.name().to_owned(),
        started,
        class: answer.class,
        code: answer.code.clone(),
        detail: crate::providers::redact(&answer.detail, to),
        provider_id: answer.provider_id.clone(),
        latency_ms,
        barred: bars(answer),
    }
}

/// Whether another provider of the channel may carry a message at all, now or later.
fn alternative(shared: &Shared, account: &Account, record: &MessageRecord) -> bool {
    shared.accounts().iter().any(|other| {
        let name = other.provider.name();
        other.channel() == record.channel && name != account.provider.name() && !record.is_barred_at(name)
    })
}

/// Whether another provider of the channel could still be asked, that this message has not been through.
fn elsewhere(shared: &Shared, account: &Account, claim: &Claim) -> bool {
    shared.accounts().iter().any(|other| {
        let name = other.provider.name();
        other.channel() == claim.lane.channel
            && name != account.provider.name()
            && shared.carries(other)
            && !claim.record.is_barred_at(name)
            && !claim.record.attempts.iter().any(|a| a.provider == name)
    })
}
