//! What every engine behind [`Store`] has to do, in the words of its operations: the books balance after each of them,
//! a message has one owner at a time, and what was acknowledged is there after a start. [`open`] is the only place that
//! knows which engine stands beneath.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use usher_common::model::{
    CampaignState, Channel, Deed, Deeds, GuestId, MessageId, MessageState, OutcomeClass, Timestamp,
};

use super::engine::{Engine, Options};
use super::*;

mod charges;
mod lists;
mod over;
mod papers;
#[path = "receipts_tests.rs"]
mod receipts_tests;
mod switched;

const LEASE: Duration = Duration::from_mins(1);
const START: Duration = Duration::from_secs(1_001);
const NOW: Timestamp = Timestamp(1_000_000);
const DAY: i64 = 7;

pub(super) fn open(dir: &Path) -> Store {
    let options = Options::new(dir.to_owned(), [9; 32], "boot-1".into(), Arc::new(|| NOW));
    Store::new(Engine::open(options).unwrap().0)
}

fn by() -> By {
    By { actor: "ana".into(), reason: "a test".into(), request_id: "r1".into() }
}

/// A store with one running campaign, and how far its audience has been walked.
struct Desk {
    dir: tempfile::TempDir,
    store: Store,
    campaign: CampaignRow,
    guests: u64,
}

impl Desk {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let list = store.list_ensure(&by(), "everyone", NOW).await.unwrap();
        let new = NewCampaign {
            name_hash: [1; 16],
            sealed_spec: vec![7; 100],
            organisation: "ada-and-ben".into(),
            list,
            channels: vec![Channel::Email, Channel::Sms],
        };
        let id = store.campaign_create(&by(), &new, NOW).await.unwrap();
        let campaign = store.campaign(id).unwrap();
        let mut desk = Self { dir, store, campaign, guests: 0 };
        desk.turn(CampaignState::Running).await;
        desk
    }

    /// Puts the campaign into a state, as the rooms above do.
    async fn turn(&mut self, state: CampaignState) {
        let row = self.store.campaign(self.campaign.id).unwrap();
        let record = CampaignRecord { state, ..row.record.clone() };
        let audit = AuditEntry::Act { act: "campaign.turn".into(), object: row.id.to_string(), detail: String::new() };
        self.store.campaign_update(&by(), &row, &record, None, audit).await.unwrap();
        self.campaign = self.store.campaign(row.id).unwrap();
    }

    /// One message each by `channel` to `guests` more guests.
    async fn expand(&mut self, channel: Channel, guests: u64) {
        let messages: Vec<NewMessage> =
            (0..guests).map(|n| NewMessage { guest: GuestId(self.guests + n), channel }).collect();
        self.guests += guests;
        let cursor = Some(GuestId(self.guests - 1));
        let part = Expansion { cursor, guests, unreachable: 0, last: false, messages };
        self.campaign = self.store.expand(&by(), &self.campaign, &part, NOW).await.unwrap();
    }

    fn lane(&self, channel: Channel) -> Lane {
        Lane { campaign: self.campaign.id, channel }
    }

    fn claim(&self, channel: Channel, limit: usize) -> Vec<Claim> {
        self.store.claim(self.lane(channel), (limit, limit), "one", NOW, START, LEASE).unwrap()
    }

    async fn intend(&self, claims: &[Claim]) -> Result<(), Error> {
        let intents: Vec<IntentWrite<'_>> =
            claims.iter().map(|claim| IntentWrite { claim, intent: intent(claim) }).collect();
        let fresh = claims.iter().filter(|claim| !claim.record.was_charged()).count();
        let debit = Debit { payers: self.campaign.record.payers(), hour: Hour::of(NOW), messages: fresh as u32 };
        self.store.record_intents(&by(), &intents, &debit).await
    }

    async fn come_of(&self, claims: &[Claim], next: &Next) -> Result<(), Error> {
        let outcomes: Vec<OutcomeWrite> = claims.iter().map(|claim| outcome(claim, next.clone())).collect();
        self.store.record_outcomes(&by(), &outcomes, DAY).await
    }

    fn count(&self, state: MessageState) -> u64 {
        self.store.campaign_counts(self.campaign.id).unwrap().total().get(state)
    }

    /// The engine is closed and opened again: what was acknowledged is all that is left.
    async fn restart(&mut self) {
        self.store.engine().clone().close().await.unwrap();
        self.store = open(self.dir.path());
    }

    /// The counters say what a walk over all messages says, and each guest stands there once.
    fn balances(&self) {
        let rows = self.store.messages(self.campaign.id, None, None, usize::MAX).unwrap().messages;
        let mut walked: BTreeMap<(Channel, MessageState), u64> = BTreeMap::new();
        let mut guests = BTreeSet::new();
        for row in &rows {
            *walked.entry((row.record.channel, row.state())).or_default() += 1;
            assert!(guests.insert(row.record.guest), "{} twice", row.record.guest);
        }
        let counts = self.store.campaign_counts(self.campaign.id).unwrap();
        for (channel, states) in &counts.states {
            for state in MessageState::ALL {
                let walked = walked.remove(&(*channel, state)).unwrap_or_default();
                assert_eq!(states.get(state), walked, "{channel:?} {state:?}");
            }
        }
        assert_eq!(walked, BTreeMap::new(), "messages that no counter knows");
        assert_eq!(counts.total().total(), self.guests, "nobody was lost");
        let taken: u64 = counts.providers.values().sum();
        assert_eq!(taken, counts.total().accepted);
    }
}

fn intent(claim: &Claim) -> IntentRecord {
    IntentRecord {
        attempt: claim.record.next_attempt(),
        channel: claim.lane.channel,
        provider: "resend".into(),
        key: format!("{}-1", claim.id.message),
        body_hash: [3; 32],
        place: 0,
        of: 1,
        started: NOW,
        fence: claim.id.fence,
    }
}

fn outcome(claim: &Claim, next: Next) -> OutcomeWrite {
    let attempt = AttemptRecord {
        no: claim.record.next_attempt(),
        provider: "resend".into(),
        started: NOW,
        class: OutcomeClass::NotSent,
        code: "200".into(),
        detail: String::new(),
        provider_id: String::new(),
        latency_ms: 5,
        barred: false,
    };
    OutcomeWrite {
        lane: claim.lane,
        message: claim.id.message,
        record: claim.record.clone(),
        attempt,
        next,
        by_provider_id: false,
    }
}

fn ids(claims: &[Claim]) -> Vec<MessageId> {
    claims.iter().map(|claim| claim.id.message).collect()
}

#[tokio::test]
async fn a_new_campaign_and_the_key_under_which_it_was_asked_for_are_one_commit() {
    let desk = Desk::new().await;
    assert_eq!(desk.store.act("r1").unwrap(), Some(ActRecord::Campaign(desk.campaign.id.0)));
    let version = |space, key: &[u8]| desk.store.engine.get(space, key).unwrap().unwrap().version;
    assert_eq!(version(space::ACT, b"r1"), version(space::CAMPAIGN_NAME, &[1; 16]));
}

#[tokio::test]
async fn a_part_of_the_audience_becomes_messages_once() {
    let mut desk = Desk::new().await;
    let before = desk.campaign.clone();
    desk.expand(Channel::Sms, 5).await;
    let again = Expansion {
        cursor: Some(GuestId(4)),
        guests: 1,
        unreachable: 0,
        last: true,
        messages: vec![NewMessage { guest: GuestId(0), channel: Channel::Sms }],
    };
    let refused = desk.store.expand(&by(), &before, &again, NOW).await.unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    assert_eq!(desk.count(MessageState::Queued), 5);
    assert_eq!((desk.campaign.record.guests, desk.campaign.record.cursor), (5, Some(GuestId(4))));
    desk.balances();
}

#[tokio::test]
async fn a_message_has_one_owner_until_it_is_let_go() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 10).await;
    let first = desk.claim(Channel::Email, 6);
    let second = desk.claim(Channel::Email, 6);
    assert_eq!((first.len(), second.len()), (6, 4));
    let all: BTreeSet<_> = ids(&first).into_iter().chain(ids(&second)).collect();
    assert_eq!(all.len(), 10, "somebody was claimed twice");
    assert_eq!(desk.claim(Channel::Sms, 6), [], "a lane is a channel's own");
    desk.store.release(&[first[2].id, first[4].id]);
    assert_eq!(ids(&desk.claim(Channel::Email, 6)), [first[2].id.message, first[4].id.message]);
}

#[tokio::test]
async fn a_claim_whose_lease_is_over_can_do_nothing_any_more() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 1).await;
    let late = desk.claim(Channel::Sms, 1);
    assert_eq!(desk.store.expire_claims(START + Duration::from_secs(59)), []);
    assert_eq!(desk.store.expire_claims(START + LEASE), [("one".to_owned(), late[0].id.message)]);
    let refused = desk.intend(&late).await.unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    desk.store.release(&[late[0].id]);
    let fresh = desk.claim(Channel::Sms, 1);
    assert!(fresh[0].id.fence > late[0].id.fence);
    let refused = desk.store.record_refusals(&by(), &[(late[0].clone(), Next::Expired)], Vec::new(), NOW).await;
    assert!(matches!(refused, Err(Error::Changed { .. })), "{refused:?}");
    desk.intend(&fresh).await.unwrap();
    assert_eq!(desk.count(MessageState::Sending), 1);
    desk.balances();
}

#[tokio::test]
async fn nothing_is_begun_unless_the_campaign_runs() {
    let states = [CampaignState::Paused, CampaignState::Cancelled, CampaignState::Approved, CampaignState::Settling];
    for state in states {
        let mut desk = Desk::new().await;
        desk.expand(Channel::Sms, 3).await;
        let claims = desk.claim(Channel::Sms, 3);
        desk.turn(state).await;
        let refused = desk.intend(&claims).await.unwrap_err();
        assert!(matches!(refused, Error::Changed { .. }), "{state:?}: {refused}");
        assert_eq!((desk.count(MessageState::Queued), desk.count(MessageState::Sending)), (3, 0));
        assert_eq!(desk.store.open_intents().unwrap(), []);
    }
}

#[tokio::test]
async fn one_lost_claim_holds_up_its_whole_request() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 4).await;
    let claims = desk.claim(Channel::Email, 4);
    desk.store.release(&[claims[3].id]);
    assert!(matches!(desk.intend(&claims).await, Err(Error::Changed { .. })));
    assert_eq!(desk.store.open_intents().unwrap(), [], "all or none");
    desk.intend(&claims[..3]).await.unwrap();
    assert_eq!(desk.store.open_intents().unwrap().len(), 3);
    desk.balances();
}

#[tokio::test]
async fn each_outcome_has_its_state_its_reason_and_its_place() {
    let why = || "mailbox unavailable".to_owned();
    let later = Timestamp(NOW.0 + 60_000);
    let cases = [
        (Next::Accepted, MessageState::Accepted, 0, false),
        (Next::Failed { why: why() }, MessageState::Failed, 1, false),
        (Next::Suppressed { why: why() }, MessageState::Suppressed, 1, false),
        (Next::Expired, MessageState::Expired, 1, false),
        (Next::Queue, MessageState::Queued, 0, true),
        (Next::Retry { at: later, why: why() }, MessageState::Queued, 0, false),
        (Next::Unknown { why: why() }, MessageState::Unknown, 0, false),
    ];
    for (next, state, reasons, claimable) in cases {
        let mut desk = Desk::new().await;
        desk.expand(Channel::Email, 1).await;
        let claims = desk.claim(Channel::Email, 1);
        desk.intend(&claims).await.unwrap();
        desk.come_of(&claims, &next).await.unwrap();
        assert_eq!(desk.count(state), 1, "{next:?}");
        desk.balances();
        let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
        assert_eq!(counts.reasons.values().sum::<u64>(), reasons, "{next:?}");
        assert_eq!(desk.store.accepted_on(DAY).unwrap(), u64::from(next == Next::Accepted));
        assert_eq!(desk.claim(Channel::Email, 1).len(), usize::from(claimable), "{next:?}");
        let doubt = desk.store.open_intents().unwrap();
        assert_eq!(doubt.iter().filter(|open| open.in_doubt).count(), usize::from(state == MessageState::Unknown));
        let message = desk.store.message(desk.campaign.id, claims[0].id.message).unwrap().unwrap();
        assert_eq!(message.record.attempts.len(), 1);
        if let Next::Retry { at, .. } = next {
            let lane = desk.lane(Channel::Email);
            assert_eq!(desk.store.next_retry(lane).unwrap(), Some(at));
            let early = Timestamp(at.0 - 1);
            assert_eq!(desk.store.claim(lane, (1, 1), "one", early, START, LEASE).unwrap(), []);
            let due = desk.store.claim(lane, (1, 1), "one", at, START, LEASE).unwrap();
            assert_eq!((due.len(), due[0].due), (1, Some(at)));
            desk.intend(&due).await.unwrap();
            desk.come_of(&due, &Next::Accepted).await.unwrap();
            desk.balances();
        }
    }
}

#[tokio::test]
async fn an_outcome_counts_once_and_only_after_its_intent() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 1).await;
    let claims = desk.claim(Channel::Sms, 1);
    assert!(matches!(desk.come_of(&claims, &Next::Accepted).await, Err(Error::Changed { .. })), "no intent yet");
    desk.intend(&claims).await.unwrap();
    assert!(matches!(desk.intend(&claims).await, Err(Error::Changed { .. })), "it has left the queue");
    desk.come_of(&claims, &Next::Accepted).await.unwrap();
    assert!(matches!(desk.come_of(&claims, &Next::Accepted).await, Err(Error::Changed { .. })), "told twice");
    assert_eq!(desk.count(MessageState::Accepted), 1);
    desk.balances();
}

#[tokio::test]
async fn doubt_is_settled_once_either_way() {
    for next in [Next::Accepted, Next::Queue, Next::Failed { why: "it was not taken".into() }] {
        let mut desk = Desk::new().await;
        desk.expand(Channel::Sms, 1).await;
        let claims = desk.claim(Channel::Sms, 1);
        desk.intend(&claims).await.unwrap();
        desk.come_of(&claims, &Next::Unknown { why: "timeout".into() }).await.unwrap();
        let open = desk.store.open_intents().unwrap().remove(0);
        assert!(open.in_doubt);
        let settled = OutcomeWrite { record: open.message.record.clone(), ..outcome(&claims[0], next.clone()) };
        desk.store.record_outcomes(&by(), std::slice::from_ref(&settled), DAY).await.unwrap();
        assert_eq!(desk.count(MessageState::Unknown), 0);
        assert_eq!(desk.store.open_intents().unwrap(), []);
        desk.balances();
        assert!(matches!(desk.store.record_outcomes(&by(), &[settled], DAY).await, Err(Error::Changed { .. })));
        desk.balances();
    }
}

#[tokio::test]
async fn an_outcome_counts_for_its_own_attempt_and_for_no_later_one() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 1).await;
    let first = desk.claim(Channel::Sms, 1);
    desk.intend(&first).await.unwrap();
    desk.come_of(&first, &Next::Queue).await.unwrap();
    let second = desk.claim(Channel::Sms, 1);
    desk.intend(&second).await.unwrap();
    let late = desk.come_of(&first, &Next::Accepted).await;
    assert!(matches!(late, Err(Error::Changed { .. })), "the first attempt's answer comes twice: {late:?}");
    desk.balances();
    desk.come_of(&second, &Next::Accepted).await.unwrap();
    assert_eq!((desk.count(MessageState::Accepted), desk.count(MessageState::Sending)), (1, 0));
    desk.balances();
}

#[tokio::test]
async fn a_start_finds_what_was_acknowledged_and_nothing_is_claimed() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 6).await;
    let claims = desk.claim(Channel::Sms, 5);
    desk.intend(&claims[..4]).await.unwrap();
    desk.come_of(&claims[..1], &Next::Accepted).await.unwrap();
    desk.come_of(&claims[1..2], &Next::Unknown { why: "reset".into() }).await.unwrap();
    desk.restart().await;
    let open: BTreeMap<MessageId, bool> =
        desk.store.open_intents().unwrap().into_iter().map(|open| (open.message.id, open.in_doubt)).collect();
    let expected = [(claims[1].id.message, true), (claims[2].id.message, false), (claims[3].id.message, false)];
    assert_eq!(open, BTreeMap::from(expected));
    desk.balances();
    assert_eq!(desk.claim(Channel::Sms, 9).len(), 2, "the one that was claimed before, and the one that never was");
}

#[tokio::test]
async fn what_waits_is_cancelled_and_what_is_under_way_is_not() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 7).await;
    let claims = desk.claim(Channel::Sms, 3);
    desk.intend(&claims[..2]).await.unwrap();
    let at = Timestamp(NOW.0 + 1);
    desk.come_of(&claims[..1], &Next::Retry { at, why: "busy".into() }).await.unwrap();
    let id = desk.campaign.id;
    assert!(desk.store.cancel_waiting(&by(), id, 100, NOW).await.is_err(), "it still runs");
    desk.turn(CampaignState::Cancelled).await;
    let mut cancelled = 0;
    loop {
        match desk.store.cancel_waiting(&by(), id, 4, NOW).await.unwrap() {
            0 => break,
            some => cancelled += some,
        }
    }
    assert_eq!((cancelled, desk.count(MessageState::Cancelled), desk.count(MessageState::Sending)), (6, 6, 1));
    desk.come_of(&claims[1..2], &Next::Accepted).await.unwrap();
    desk.balances();
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// Any order of operations, starts in between included: the books balance after each, and the end is reached.
#[tokio::test]
async fn the_books_balance_after_any_order_of_operations() {
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let mut desk = Desk::new().await;
        let (mut claimed, mut sent): (Vec<Claim>, Vec<Claim>) = (Vec::new(), Vec::new());
        let mut clock = START;
        for step in 0..100 {
            let channel = [Channel::Email, Channel::Sms][dice.below(2)];
            match dice.below(9) {
                0 if desk.guests < 200 => desk.expand(channel, 1 + dice.below(20) as u64).await,
                0 | 1 => {
                    let lane = desk.lane(channel);
                    let limit = 1 + dice.below(8);
                    claimed.extend(desk.store.claim(lane, (limit, limit), "one", NOW, clock, LEASE).unwrap());
                }
                2 | 3 if !claimed.is_empty() => {
                    let one = claimed.swap_remove(dice.below(claimed.len()));
                    desk.intend(std::slice::from_ref(&one)).await.unwrap();
                    sent.push(one);
                }
                4 | 5 if !sent.is_empty() => {
                    let one = sent.swap_remove(dice.below(sent.len()));
                    let why = || "any".to_owned();
                    let next = match dice.below(6) {
                        0 => Next::Failed { why: why() },
                        1 => Next::Queue,
                        2 => Next::Retry { at: Timestamp(NOW.0 - 1), why: why() },
                        3 => Next::Unknown { why: why() },
                        _ => Next::Accepted,
                    };
                    desk.come_of(&[one], &next).await.unwrap();
                }
                6 if !claimed.is_empty() => {
                    let one = claimed.swap_remove(dice.below(claimed.len()));
                    let next = if dice.below(2) == 0 { Next::Expired } else { Next::Queue };
                    desk.store.record_refusals(&by(), &[(one, next)], Vec::new(), NOW).await.unwrap();
                }
                7 if !claimed.is_empty() => {
                    let one = claimed.swap_remove(dice.below(claimed.len()));
                    desk.store.release(&[one.id]);
                }
                8 if step % 10 == 0 => {
                    if dice.below(2) == 0 {
                        desk.restart().await;
                    } else {
                        clock += LEASE;
                        desk.store.expire_claims(clock);
                    }
                    claimed.clear();
                }
                _ => {}
            }
            desk.balances();
        }
        // Whatever is left can still be brought to an end: nothing is stuck where no operation finds it.
        desk.restart().await;
        for open in desk.store.open_intents().unwrap() {
            let lane = desk.lane(open.intent.channel);
            let id = ClaimId { message: open.message.id, fence: 0 };
            let claim = Claim { id, lane, record: open.message.record, due: None };
            let mut write = outcome(&claim, Next::Queue);
            write.attempt.no = open.intent.attempt;
            desk.store.record_outcomes(&by(), &[write], DAY).await.unwrap();
        }
        for channel in [Channel::Email, Channel::Sms] {
            loop {
                let rest = desk.claim(channel, 50);
                if rest.is_empty() {
                    break;
                }
                desk.intend(&rest).await.unwrap();
                desk.come_of(&rest, &Next::Accepted).await.unwrap();
            }
        }
        desk.balances();
        let total = desk.store.campaign_counts(desk.campaign.id).unwrap().total();
        assert_eq!(total.open() + total.unknown, 0, "seed {seed}: {total:?}");
    }
}
