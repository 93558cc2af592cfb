//! Messages: how they come to be, and the protocol of intent and outcome around every attempt.

use usher_common::model::{AttemptNo, CampaignId, Channel, GuestId, MessageId, MessageState, OutcomeClass, Timestamp};

use super::claims::{Claim, Lane};
use super::engine::{Change, Precondition};
use super::queue::Moves;
use super::quotas::Debit;
use super::records::{AttemptRecord, AuditEntry, CampaignRecord, IntentRecord, MAX_ATTEMPTS, MessageRecord};
use super::{By, CampaignRow, Error, Sequence, Store, campaigns, counts, put, receipts, space};
use usher_common::model::CampaignState;

/// Attempts that the tag of an intent tells apart: an outcome counts for the attempt that it speaks of, and for no later
/// one, whoever else writes meanwhile.
const TOLD_APART: u32 = 8;
/// From here on the tag says that the outcome is in doubt: the intent is kept until it is settled.
const IN_DOUBT: u8 = 16;

/// The tag of an intent whose request is under way.
fn under_way(attempt: AttemptNo) -> u8 {
    (attempt.0 % TOLD_APART) as u8
}

/// The tag of an intent whose outcome is in doubt.
fn in_doubt(attempt: AttemptNo) -> u8 {
    IN_DOUBT + under_way(attempt)
}

/// A message that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMessage {
    /// Whom it is for.
    pub guest: GuestId,
    /// How it will travel.
    pub channel: Channel,
}

/// The next part of a campaign's audience, turned into messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The last guest that was looked at.
    pub cursor: Option<GuestId>,
    /// Guests of the audience in this part.
    pub guests: u64,
    /// Those of them without a usable address.
    pub unreachable: u64,
    /// Whether this was the last part.
    pub last: bool,
    /// The messages, at most 1,000.
    pub messages: Vec<NewMessage>,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The record.
    pub record: MessageRecord,
    /// The attempt under way or in doubt.
    pub intent: Option<IntentRecord>,
}

impl StoredMessage {
    /// Where it stands, an attempt under way included.
    pub fn state(&self) -> MessageState {
        if self.intent.is_some() && self.record.state == MessageState::Queued {
            MessageState::Sending
        } else {
            self.record.state
        }
    }
}

/// An attempt that is about to be made.
#[derive(Debug, Clone)]
pub struct IntentWrite<'a> {
    /// The claim that it uses up.
    pub claim: &'a Claim,
    /// The intent.
    pub intent: IntentRecord,
}

/// An intent that was found at start, or waits in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIntent {
    /// The message.
    pub message: StoredMessage,
    /// The intent.
    pub intent: IntentRecord,
    /// Whether it is known to be in doubt already.
    pub in_doubt: bool,
}

impl OpenIntent {
    /// What its attempt came to, in these words; what is known of it from before stays.
    pub fn came_to(&self, class: OutcomeClass, code: &str, detail: String) -> AttemptRecord {
        let known = self.message.record.attempts.iter().find(|attempt| attempt.no == self.intent.attempt);
        AttemptRecord {
            no: self.intent.attempt,
            provider: self.intent.provider.clone(),
            started: self.intent.started,
            class,
            code: code.to_owned(),
            detail,
            provider_id: known.map_or(String::new(), |attempt| attempt.provider_id.clone()),
            latency_ms: known.map_or(0, |attempt| attempt.latency_ms),
            barred: false,
        }
    }

    /// An outcome for its attempt.
    pub fn outcome(&self, attempt: AttemptRecord, next: Next, by_provider_id: bool) -> OutcomeWrite {
        OutcomeWrite {
            lane: Lane { campaign: self.message.campaign, channel: self.intent.channel },
            message: self.message.id,
            record: self.message.record.clone(),
            attempt,
            next,
            by_provider_id,
        }
    }
}

/// What becomes of a message after an attempt, or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A provider took it.
    Accepted,
    /// It will not arrive.
    Failed {
        /// In a few words, never personal.
        why: String,
    },
    /// It may not be sent.
    Suppressed {
        /// In a few words, never personal.
        why: String,
    },
    /// Its time ran out.
    Expired,
    /// It waits for its turn again.
    Queue,
    /// It waits for a time.
    Retry {
        /// When.
        at: Timestamp,
        /// In a few words, never personal.
        why: String,
    },
    /// It waits for its turn on another channel.
    Switch {
        /// Which.
        to: Channel,
        /// In a few words, never personal.
        why: String,
    },
    /// Its outcome is in doubt.
    Unknown {
        /// In a few words, never personal.
        why: String,
    },
}

impl Next {
    fn state(&self) -> MessageState {
        match self {
            Self::Accepted => MessageState::Accepted,
            Self::Failed { .. } => MessageState::Failed,
            Self::Suppressed { .. } => MessageState::Suppressed,
            Self::Expired => MessageState::Expired,
            Self::Queue | Self::Retry { .. } | Self::Switch { .. } => MessageState::Queued,
            Self::Unknown { .. } => MessageState::Unknown,
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Failed { why }
            | Self::Suppressed { why }
            | Self::Retry { why, .. }
            | Self::Switch { why, .. }
            | Self::Unknown { why } => why,
            Self::Expired => "its time ran out",
            Self::Accepted | Self::Queue => "",
        }
    }

    /// The lane in which a message of `lane` stands from here on.
    pub fn lane(&self, lane: Lane) -> Lane {
        if let Self::Switch { to, .. } = self { Lane { channel: *to, ..lane } } else { lane }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct OutcomeWrite {
    /// Where the message waited.
    pub lane: Lane,
    /// The message.
    pub message: MessageId,
    /// Its record from before.
    pub record: MessageRecord,
    /// The attempt.
    pub attempt: AttemptRecord,
    /// What follows.
    pub next: Next,
    /// Whether reports of the message may come without our id, so that it must be found by the provider's.
    pub by_provider_id: bool,
}

impl Store {
    /// Turns a part of a campaign's audience into messages, whose ids are in the order of their guests'.
    /// [`Error::Changed`] when the campaign was paused meanwhile.
    pub async fn expand(
        &self,
        by: &By,
        campaign: &CampaignRow,
        part: &Expansion,
        now: Timestamp,
    ) -> Result<CampaignRow, Error> {
        let first = if part.messages.is_empty() {
            0
        } else {
            self.reserve(Sequence::Message, part.messages.len() as u64, by).await?
        };
        let record = CampaignRecord {
            cursor: part.cursor.or(campaign.record.cursor),
            guests: campaign.record.guests + part.guests,
            unreachable: campaign.record.unreachable + part.unreachable,
            messages: campaign.record.messages + part.messages.len() as u64,
            expanded: part.last,
            ..campaign.record.clone()
        };
        let mut changes = vec![campaigns::put_record(campaign.id, &record)];
        let mut moves = Moves::default();
        for (n, new) in part.messages.iter().enumerate() {
            let id = MessageId(first + n as u64);
            let message = MessageRecord {
                state: MessageState::Queued,
                guest: new.guest,
                list: record.list,
                channel: new.channel,
                changed: now,
                retry_at: None,
                why: String::new(),
                attempts: Vec::new(),
            };
            changes.push(put_message(campaign.id, id, &message));
            moves.comes(Lane { campaign: campaign.id, channel: new.channel }, id);
        }
        changes.extend(receipts::run(campaign.id, first, part.messages.len() as u64));
        for channel in Channel::ALL {
            let n = part.messages.iter().filter(|m| m.channel == channel).count();
            if n > 0 {
                changes.push(counts::state(campaign.id, channel, MessageState::Queued, n as i64));
            }
        }
        let key = space::id(campaign.id.0);
        let mut expect = vec![Precondition::Version { space: space::CAMPAIGN, key, version: campaign.version }];
        moves.write(&mut expect, &mut changes);
        match self.commit(by, Vec::new(), expect, changes).await {
            Ok(done) => Ok(CampaignRow { id: campaign.id, version: done.lsn, record }),
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "campaign", name: campaign.id.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Makes the intents of one request durable, all or none, and charges those of them that are the first of their message.
    ///
    /// [`Error::Changed`] when the campaign does not run any more, or a claim was lost; then nothing may be sent.
    pub async fn record_intents(&self, by: &By, intents: &[IntentWrite<'_>], debit: &Debit) -> Result<(), Error> {
        let Some(first) = intents.first() else { return Ok(()) };
        let campaign = first.claim.lane.campaign;
        let mut expect = vec![campaigns::in_state(campaign, &[CampaignState::Running])];
        let mut changes = Vec::with_capacity(intents.len() + 8);
        let mut moves = Moves::default();
        for write in intents {
            let claim = write.claim;
            expect.push(Precondition::Fence { resource: claim.id.message.0, token: claim.id.fence });
            stops_waiting(claim, &mut moves, &mut expect, &mut changes);
            changes.push(put(
                space::INTENT,
                space::message(claim.lane.campaign, claim.id.message),
                under_way(write.intent.attempt),
                &write.intent,
            ));
        }
        moves.write(&mut expect, &mut changes);
        debit.write(&mut changes);
        let (channel, n) = (first.claim.lane.channel, intents.len() as i64);
        changes.push(counts::state(campaign, channel, MessageState::Queued, -n));
        changes.push(counts::state(campaign, channel, MessageState::Sending, n));
        let audit = AuditEntry::Intent {
            provider: first.intent.provider.clone(),
            messages: intents.iter().map(|w| (w.claim.id.message.0, w.intent.body_hash)).collect(),
        };
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(_) => {
                for write in intents {
                    self.used(write.claim.id);
                }
                Ok(())
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "campaign", name: campaign.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Records what came of attempts whose intents are durable, at most 500 at once.
    pub async fn record_outcomes(&self, by: &By, outcomes: &[OutcomeWrite], day: i64) -> Result<(), Error> {
        let mut expect = Vec::with_capacity(outcomes.len());
        let mut changes = Vec::with_capacity(outcomes.len() * 3);
        let mut moves = Moves::default();
        let mut tally = Tally::default();
        let mut audit: Vec<AuditEntry> = Vec::new();
        for outcome in outcomes {
            let (lane, id) = (outcome.lane, outcome.message);
            let key = space::message(lane.campaign, id);
            let states = 1 << under_way(outcome.attempt.no) | 1 << in_doubt(outcome.attempt.no);
            expect.push(Precondition::StateIn { space: space::INTENT, key: key.clone(), states });
            let from = match outcome.record.state {
                MessageState::Queued => MessageState::Sending,
                other => other,
            };
            let mut record = outcome.record.clone();
            record.attempts.retain(|a| a.no != outcome.attempt.no);
            record.attempts.push(outcome.attempt.clone());
            if record.attempts.len() > MAX_ATTEMPTS {
                record.attempts.remove(0);
            }
            self.give_back(lane.campaign, &record, &outcome.next, &mut changes)?;
            let at = Timestamp(outcome.attempt.started.0 + i64::from(outcome.attempt.latency_ms));
            move_on(&mut record, &outcome.next, at);
            changes.push(put_message(lane.campaign, id, &record));
            waits(lane, id, &outcome.next, &mut moves, &mut changes);
            tally.moved(lane, from, &outcome.next);
            if outcome.next == Next::Accepted {
                tally.accepted(lane, &outcome.attempt.provider);
                changes.extend(receipts::carried(outcome, day));
            }
            match outcome.next {
                Next::Unknown { .. } => {
                    if let Some(row) = self.engine.get(space::INTENT, &key)? {
                        let value = row.value;
                        changes.push(Change::Put {
                            space: space::INTENT,
                            key,
                            state: in_doubt(outcome.attempt.no),
                            value,
                        });
                    }
                }
                _ => changes.push(Change::Delete { space: space::INTENT, key }),
            }
            tell(&mut audit, &outcome.attempt, id);
        }
        moves.write(&mut expect, &mut changes);
        tally.write(day, &mut changes);
        match self.commit(by, audit, expect, changes).await {
            Ok(_) => {
                for outcome in outcomes {
                    if matches!(outcome.next, Next::Queue | Next::Switch { .. }) {
                        self.rewind(outcome.next.lane(outcome.lane), outcome.message);
                    }
                }
                Ok(())
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "an attempt of campaign", name: outcomes[0].lane.campaign.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Records claimed messages that will not be attempted now: refused by the gate, expired, or put off.
    pub async fn record_refusals(
        &self,
        by: &By,
        refusals: &[(Claim, Next)],
        audit: Vec<AuditEntry>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut expect = Vec::with_capacity(refusals.len() * 2);
        let mut changes = Vec::with_capacity(refusals.len() * 2);
        let mut moves = Moves::default();
        let mut tally = Tally::default();
        for (claim, next) in refusals {
            expect.push(Precondition::Fence { resource: claim.id.message.0, token: claim.id.fence });
            stops_waiting(claim, &mut moves, &mut expect, &mut changes);
            let mut record = claim.record.clone();
            self.give_back(claim.lane.campaign, &record, next, &mut changes)?;
            move_on(&mut record, next, now);
            changes.push(put_message(claim.lane.campaign, claim.id.message, &record));
            waits(claim.lane, claim.id.message, next, &mut moves, &mut changes);
            tally.moved(claim.lane, MessageState::Queued, next);
        }
        moves.write(&mut expect, &mut changes);
        tally.write(0, &mut changes);
        match self.commit(by, audit, expect, changes).await {
            Ok(_) => {
                for (claim, next) in refusals {
                    self.used(claim.id);
                    if matches!(next, Next::Switch { .. }) {
                        self.rewind(next.lane(claim.lane), claim.id.message);
                    }
                }
                Ok(())
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "messages of campaign", name: refusals[0].0.lane.campaign.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Every intent that is open: after a start, those whose requests were under way when the daemon ended.
    pub fn open_intents(&self) -> Result<Vec<OpenIntent>, Error> {
        let mut open = Vec::new();
        for row in self.engine.scan_prefix(space::INTENT, &[]) {
            let (key, row) = row?;
            let (Some(id), Some(campaign)) = (space::last_id(&key), space::last_id(key.get(..8).unwrap_or_default()))
            else {
                continue;
            };
            let intent: IntentRecord = super::decode(&row.value, "an intent")?;
            if let Some(message) = self.message(CampaignId(campaign), MessageId(id))? {
                open.push(OpenIntent { message, intent, in_doubt: row.state >= IN_DOUBT });
            }
        }
        Ok(open)
    }

    /// A message.
    pub fn message(&self, campaign: CampaignId, id: MessageId) -> Result<Option<StoredMessage>, Error> {
        let key = space::message(campaign, id);
        let Some((record, _)) = self.read::<MessageRecord>(space::MESSAGE, &key, "a message")? else {
            let kept = self.archived(campaign, id)?;
            return Ok(kept.map(|record| StoredMessage { id, campaign, record, intent: None }));
        };
        let intent = self.read::<IntentRecord>(space::INTENT, &key, "an intent")?.map(|(intent, _)| intent);
        Ok(Some(StoredMessage { id, campaign, record, intent }))
    }
}

/// Takes a claimed message from where it waits.
fn stops_waiting(claim: &Claim, moves: &mut Moves, expect: &mut Vec<Precondition>, changes: &mut Vec<Change>) {
    let (lane, id) = (claim.lane, claim.id.message);
    match claim.due {
        Some(due) => {
            let (space, key) = (space::RETRY, space::retry(lane.campaign, lane.channel, due, id));
            expect.push(Precondition::StateIn { space, key: key.clone(), states: 1 });
            changes.push(Change::Delete { space, key });
        }
        None => moves.goes(lane, id),
    }
}

pub(super) fn put_message(campaign: CampaignId, id: MessageId, record: &MessageRecord) -> Change {
    put(space::MESSAGE, space::message(campaign, id), space::state_byte(record.state), record)
}

/// Puts a message where it waits again, if it does.
fn waits(lane: Lane, id: MessageId, next: &Next, moves: &mut Moves, changes: &mut Vec<Change>) {
    match next {
        Next::Queue | Next::Switch { .. } => moves.comes(next.lane(lane), id),
        Next::Retry { at, .. } => {
            let key = space::retry(lane.campaign, lane.channel, *at, id);
            changes.push(Change::Put { space: space::RETRY, key, state: 0, value: Vec::new() });
        }
        _ => {}
    }
}

fn move_on(record: &mut MessageRecord, next: &Next, at: Timestamp) {
    record.state = next.state();
    record.changed = at;
    next.why().clone_into(&mut record.why);
    record.retry_at = if let Next::Retry { at, .. } = next { Some(*at) } else { None };
    if let Next::Switch { to, .. } = next {
        record.channel = *to;
    }
}

fn tell(audit: &mut Vec<AuditEntry>, attempt: &AttemptRecord, id: MessageId) {
    let told: (u64, u32, OutcomeClass) = (id.0, attempt.no.0, attempt.class);
    for entry in audit.iter_mut() {
        if let AuditEntry::Outcome { provider, outcomes } = entry
            && *provider == attempt.provider
        {
            outcomes.push(told);
            return;
        }
    }
    audit.push(AuditEntry::Outcome { provider: attempt.provider.clone(), outcomes: vec![told] });
}

/// Counters of one commit, added up so that each is changed once.
#[derive(Default)]
struct Tally {
    states: std::collections::BTreeMap<(Lane, MessageState), i64>,
    providers: std::collections::BTreeMap<(Lane, String), i64>,
    reasons: std::collections::BTreeMap<(CampaignId, String), i64>,
    accepted: i64,
}

impl Tally {
    fn moved(&mut self, lane: Lane, from: MessageState, next: &Next) {
        *self.states.entry((lane, from)).or_default() -= 1;
        *self.states.entry((next.lane(lane), next.state())).or_default() += 1;
        if matches!(next, Next::Failed { .. } | Next::Suppressed { .. } | Next::Expired) {
            *self.reasons.entry((lane.campaign, next.why().to_owned())).or_default() += 1;
        }
    }

    fn accepted(&mut self, lane: Lane, provider: &str) {
        *self.providers.entry((lane, provider.to_owned())).or_default() += 1;
        self.accepted += 1;
    }

    fn write(self, day: i64, changes: &mut Vec<Change>) {
        for ((lane, state), n) in self.states {
            if n != 0 {
                changes.push(counts::state(lane.campaign, lane.channel, state, n));
            }
        }
        for ((lane, provider), n) in self.providers {
            changes.push(counts::provider(lane.campaign, lane.channel, &provider, n));
        }
        for ((campaign, reason), n) in self.reasons {
            changes.push(counts::reason(campaign, &reason, n));
        }
        if self.accepted > 0 {
            changes.push(counts::accepted_on(day, self.accepted));
        }
    }
}
