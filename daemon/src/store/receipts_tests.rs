//! Reports in the store: the books balance after each, an event counts once, and what waits is bounded.

use super::*;

/// Takes so many messages to where `next` says, and gives them back as a report finds them.
async fn at(desk: &mut Desk, n: u64, next: &Next) -> Vec<HeldMessage> {
    desk.expand(Channel::Sms, n).await;
    let claims = desk.claim(Channel::Sms, n as usize);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims, next).await.unwrap();
    claims.iter().map(|claim| desk.store.held(claim.id.message).unwrap().unwrap()).collect()
}

fn moved(from: &HeldMessage, to: MessageState) -> ReceiptMove {
    let (why, provider, provider_id) = ("told".into(), "resend".into(), "p1".into());
    ReceiptMove { from: from.clone(), to, switch: None, why, provider, provider_id }
}

async fn record(desk: &Desk, write: &ReceiptWrite) -> Result<(), Error> {
    desk.store.record_receipts(&by(), "resend", write, (NOW, DAY)).await
}

/// Counters as a walk has them, and everybody there; `taken` was said by a provider.
fn balances(desk: &Desk, taken: u64) {
    let rows = desk.store.messages(desk.campaign.id, None, None, usize::MAX).unwrap().messages;
    let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
    for state in MessageState::ALL {
        let walked = rows.iter().filter(|row| row.state() == state).count() as u64;
        assert_eq!(counts.total().get(state), walked, "{state}");
    }
    assert_eq!(counts.providers.values().sum::<u64>(), taken);
    assert_eq!(desk.store.accepted_on(DAY).unwrap(), taken);
}

#[tokio::test]
async fn a_message_is_found_by_its_id_alone_and_no_other_is() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 3).await;
    desk.expand(Channel::Sms, 2).await;
    let rows = desk.store.messages(desk.campaign.id, None, None, 100).unwrap().messages;
    assert_eq!(rows.len(), 5);
    for row in &rows {
        let held = desk.store.held(row.id).unwrap().unwrap();
        assert_eq!(
            (held.campaign, held.state(), held.record),
            (row.campaign, MessageState::Queued, row.record.clone())
        );
    }
    let last = rows.iter().map(|row| row.id.0).max().unwrap();
    for nobody in [0, last + 1, u64::MAX] {
        assert_eq!(desk.store.held(MessageId(nobody)).unwrap(), None, "{nobody}");
    }
}

#[tokio::test]
async fn reports_move_messages_and_their_counters_together() {
    let mut desk = Desk::new().await;
    let held = at(&mut desk, 3, &Next::Accepted).await;
    balances(&desk, 3);
    let moves = vec![moved(&held[0], MessageState::Delivered), moved(&held[1], MessageState::Failed)];
    record(&desk, &ReceiptWrite { moves, ..ReceiptWrite::default() }).await.unwrap();
    balances(&desk, 3);
    assert_eq!(desk.count(MessageState::Failed), 1);
    assert_eq!(desk.store.campaign_counts(desk.campaign.id).unwrap().reasons["told"], 1);
    // Who saw it as it was before has to look again.
    let stale = ReceiptWrite { moves: vec![moved(&held[0], MessageState::Failed)], ..ReceiptWrite::default() };
    assert!(matches!(record(&desk, &stale).await, Err(Error::Changed { .. })));
    desk.restart().await;
    balances(&desk, 3);
    assert_eq!(desk.store.held(held[0].id).unwrap().unwrap().state(), MessageState::Delivered);
}

#[tokio::test]
async fn doubt_is_settled_by_a_report_and_stays_so() {
    for to in [MessageState::Accepted, MessageState::Delivered, MessageState::Failed] {
        let mut desk = Desk::new().await;
        let held = at(&mut desk, 1, &Next::Unknown { why: "timeout".into() }).await;
        assert_eq!(desk.store.open_intents().unwrap().len(), 1);
        record(&desk, &ReceiptWrite { moves: vec![moved(&held[0], to)], ..ReceiptWrite::default() }).await.unwrap();
        assert_eq!(desk.store.open_intents().unwrap(), []);
        balances(&desk, 1);
        let attempt = desk.store.held(held[0].id).unwrap().unwrap().record.attempts.pop().unwrap();
        assert_eq!((attempt.class, attempt.provider_id.as_str()), (OutcomeClass::Accepted, "p1"));
    }
}

#[tokio::test]
async fn what_waits_to_go_again_does_not_once_it_is_known_to_have_gone() {
    let later = Next::Retry { at: Timestamp(NOW.0 + 5_000), why: "not sent".into() };
    for next in [Next::Queue, later] {
        let mut desk = Desk::new().await;
        let held = at(&mut desk, 2, &next).await;
        // Even one that is claimed: its intent is refused.
        let claims = desk.claim(Channel::Sms, 2);
        let moves = held.iter().map(|held| moved(held, MessageState::Delivered)).collect();
        record(&desk, &ReceiptWrite { moves, ..ReceiptWrite::default() }).await.unwrap();
        balances(&desk, 2);
        if !claims.is_empty() {
            assert!(matches!(desk.intend(&claims).await, Err(Error::Changed { .. })));
        }
        desk.restart().await;
        assert!(
            desk.store
                .claim(desk.lane(Channel::Sms), (9, 9), "one", Timestamp(i64::MAX), START, LEASE)
                .unwrap()
                .is_empty()
        );
        balances(&desk, 2);
    }
}

#[tokio::test]
async fn a_message_that_was_put_together_with_others_gets_a_row_again() {
    let mut desk = Desk::new().await;
    let held = at(&mut desk, 3, &Next::Accepted).await;
    desk.turn(CampaignState::Finished).await;
    assert_eq!(desk.store.compact(&by(), desk.campaign.id, 100).await.unwrap().messages, 3);
    let packed = desk.store.held(held[1].id).unwrap().unwrap();
    assert_eq!(packed.record, held[1].record);
    let write = ReceiptWrite { moves: vec![moved(&packed, MessageState::Delivered)], ..ReceiptWrite::default() };
    record(&desk, &write).await.unwrap();
    assert!(matches!(record(&desk, &write).await, Err(Error::Changed { .. })), "it has a row of its own now");
    balances(&desk, 3);
    assert_eq!(desk.store.held(held[1].id).unwrap().unwrap().state(), MessageState::Delivered);
}

#[tokio::test]
async fn an_event_is_known_for_a_week_and_then_forgotten() {
    let desk = Desk::new().await;
    let write = ReceiptWrite { heard: vec![[1; 16]], ..ReceiptWrite::default() };
    record(&desk, &write).await.unwrap();
    assert!(matches!(record(&desk, &write).await, Err(Error::Changed { .. })), "told twice at once");
    for (day, known) in [(DAY, true), (DAY + 7, true), (DAY + 8, false)] {
        assert_eq!(desk.store.was_heard(&[1; 16], day).unwrap(), known, "{day}");
    }
    desk.store.sweep_receipts(&by(), (NOW, DAY + 7)).await.unwrap();
    assert!(desk.store.was_heard(&[1; 16], DAY).unwrap());
    desk.store.sweep_receipts(&by(), (NOW, DAY + 8)).await.unwrap();
    assert!(!desk.store.was_heard(&[1; 16], DAY).unwrap());
}

fn orphan(n: u64) -> Orphan {
    let mut event = [0; 16];
    event[8..].copy_from_slice(&n.to_be_bytes());
    let record = OrphanRecord {
        provider: "resend".into(),
        message: Some(n),
        provider_id: String::new(),
        kind: "delivered".into(),
        code: String::new(),
        detail: String::new(),
        suppressed: false,
    };
    Orphan { came: Timestamp(NOW.0 + n.cast_signed()), event, record }
}

#[tokio::test]
async fn reports_without_a_message_wait_in_bounds() {
    let desk = Desk::new().await;
    for first in (0..10_400).step_by(400) {
        let wait = (first..first + 400).map(orphan).collect();
        record(&desk, &ReceiptWrite { wait, ..ReceiptWrite::default() }).await.unwrap();
    }
    assert_eq!(desk.store.orphans_waiting().unwrap(), 10_000);
    let oldest = desk.store.orphans(None, 2).unwrap();
    assert_eq!(oldest, [orphan(400), orphan(401)], "the oldest made room");
    assert_eq!(desk.store.orphans(Some(&oldest[1]), 1).unwrap(), [orphan(402)]);
    record(&desk, &ReceiptWrite { found: oldest, ..ReceiptWrite::default() }).await.unwrap();
    assert_eq!(desk.store.orphans_waiting().unwrap(), 9_998);
    // A week after the first thousand of them came.
    let week = Timestamp(NOW.0 + 7 * 24 * 3_600_000 + 1_400);
    assert_eq!(desk.store.sweep_receipts(&by(), (week, DAY)).await.unwrap(), 998);
    assert_eq!(desk.store.orphans_waiting().unwrap(), 9_000);
    assert_eq!(desk.store.orphans(None, usize::MAX).unwrap().len(), 9_000);
}

#[tokio::test]
async fn a_providers_id_leads_to_its_message_where_an_index_is_kept() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 2).await;
    let claims = desk.claim(Channel::Sms, 2);
    desk.intend(&claims).await.unwrap();
    let mut writes: Vec<OutcomeWrite> = claims.iter().map(|claim| outcome(claim, Next::Accepted)).collect();
    for (write, id) in writes.iter_mut().zip(["wamid.1", "wamid.2"]) {
        write.attempt.provider_id = id.into();
    }
    writes[0].by_provider_id = true;
    desk.store.record_outcomes(&by(), &writes, DAY).await.unwrap();
    let found = |provider, id, day| desk.store.held_by(provider, id, day).unwrap().map(|held| held.id);
    assert_eq!(found("resend", "wamid.1", DAY + 35), Some(claims[0].id.message));
    assert_eq!(found("resend", "wamid.1", DAY + 36), None);
    assert_eq!(found("other", "wamid.1", DAY), None, "another provider's");
    assert_eq!(found("resend", "wamid.2", DAY), None, "no index was asked for");
}

#[tokio::test]
async fn an_address_is_suppressed_once_and_keeps_its_first_reason() {
    let desk = Desk::new().await;
    for (n, reason) in [(1, "bounced"), (2, "complained")] {
        let record_of = SuppressionRecord { reason: reason.into(), since: Timestamp(n), evidence: "e".into() };
        let write = ReceiptWrite { suppress: vec![([5; 16], record_of)], ..ReceiptWrite::default() };
        record(&desk, &write).await.unwrap();
    }
    assert_eq!(desk.store.suppression(&[5; 16]).unwrap().unwrap().reason, "bounced");
}

#[tokio::test]
async fn what_a_guest_did_counts_once_and_with_its_commit() {
    let mut desk = Desk::new().await;
    let held = at(&mut desk, 2, &Next::Accepted).await;
    let done = |n: usize, deeds: &[Deed]| {
        let deeds = (Channel::Sms, deeds.iter().copied().collect());
        ReceiptWrite { deeds: [((held[n].campaign, held[n].id), deeds)].into(), ..ReceiptWrite::default() }
    };
    record(&desk, &done(0, &[Deed::Opened])).await.unwrap();
    record(&desk, &done(0, &[Deed::Opened, Deed::Clicked])).await.unwrap();
    record(&desk, &done(1, &[Deed::Complained])).await.unwrap();
    // A commit that is refused for something else counts nothing of it.
    let stale = moved(&held[1], MessageState::Delivered);
    record(&desk, &ReceiptWrite { moves: vec![stale.clone()], ..ReceiptWrite::default() }).await.unwrap();
    let refused = ReceiptWrite { moves: vec![stale], ..done(1, &[Deed::Unsubscribed]) };
    assert!(matches!(record(&desk, &refused).await, Err(Error::Changed { .. })));
    for restarted in [false, true] {
        if restarted {
            desk.restart().await;
            record(&desk, &done(0, &[Deed::Clicked])).await.unwrap();
        }
        let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
        let counted = Deeds { opened: 1, clicked: 1, complained: 1, unsubscribed: 0 };
        assert_eq!(counts.deeds, [(Channel::Sms, counted)].into());
        assert_eq!(desk.store.deeds(held[0].campaign, held[0].id).unwrap(), [Deed::Opened, Deed::Clicked].into());
    }
    balances(&desk, 2);
    let both = futures_util::future::join_all([(); 2].map(|()| record_again(&desk, done(1, &[Deed::Opened])))).await;
    assert!(both.iter().any(Result::is_ok), "{both:?}");
    let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
    assert_eq!(counts.deeds[&Channel::Sms].opened, 2, "at once, and by two");
}

async fn record_again(desk: &Desk, write: ReceiptWrite) -> Result<(), Error> {
    record(desk, &write).await
}
