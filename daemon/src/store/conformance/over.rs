//! Campaigns that are over: their messages take less room and say the same, are found, and can be sent again.

use super::*;

/// Compacts to the end, some at a time; how many steps that took.
async fn compact(desk: &Desk, most: usize) -> usize {
    for step in 1.. {
        if desk.store.compact(&by(), desk.campaign.id, most).await.unwrap().done {
            return step;
        }
    }
    unreachable!("each step looks at more, and there is an end")
}

/// Everything that is told of a campaign's messages: all at once, in pages, by state and one by one.
fn told(desk: &Desk) -> Vec<StoredMessage> {
    let id = desk.campaign.id;
    let all = desk.store.messages(id, None, None, usize::MAX).unwrap().messages;
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = desk.store.messages(id, None, after, 7).unwrap();
        pages.extend(page.messages);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, all);
    let mut by_state: Vec<StoredMessage> = MessageState::ALL
        .into_iter()
        .flat_map(|state| desk.store.messages(id, Some(state), None, usize::MAX).unwrap().messages)
        .collect();
    by_state.sort_by_key(|message| message.id);
    assert_eq!(by_state, all);
    for message in &all {
        assert_eq!(desk.store.message(id, message.id).unwrap().as_ref(), Some(message));
    }
    all
}

#[tokio::test]
async fn an_ended_campaign_takes_less_room_and_says_the_same() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 600).await;
    for (n, next) in [
        Next::Accepted,
        Next::Failed { why: "no such number".into() },
        Next::Unknown { why: "timeout".into() },
        Next::Suppressed { why: "opted out".into() },
    ]
    .into_iter()
    .enumerate()
    {
        let claims = desk.claim(Channel::Sms, [500, 10, 3, 40][n]);
        desk.intend(&claims).await.unwrap();
        desk.come_of(&claims, &next).await.unwrap();
    }
    let refused = desk.store.compact(&by(), desk.campaign.id, 100).await.unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "it runs still: {refused}");
    desk.turn(CampaignState::Cancelled).await;
    while desk.store.cancel_waiting(&by(), desk.campaign.id, 100, NOW).await.unwrap() > 0 {}
    let before = told(&desk);
    assert_eq!(before.len(), 600);

    assert!(!desk.store.compact(&by(), desk.campaign.id, 100).await.unwrap().done);
    assert_eq!(told(&desk), before, "half-way");
    desk.restart().await;
    assert_eq!(compact(&desk, 100).await, 6, "it goes on where it was: 500 are left, and then none");
    assert_eq!(told(&desk), before);
    desk.restart().await;
    assert_eq!(told(&desk), before);
    desk.balances();
    let far = desk.store.compaction(desk.campaign.id).unwrap();
    assert_eq!(far.messages, 597, "what is in doubt keeps its row");
    assert!(far.after * 4 < far.before, "{far:?}");
    let rows = desk.store.engine().scan_prefix(space::MESSAGE, &[]).count();
    assert_eq!(rows, 3);

    // Doubt is settled as ever, and what is settled goes before what was kept.
    for open in desk.store.open_intents().unwrap() {
        let mut attempt = open.message.record.attempts[0].clone();
        attempt.no = open.intent.attempt;
        let (lane, message, record) = (desk.lane(Channel::Sms), open.message.id, open.message.record);
        let next = Next::Accepted;
        let write = OutcomeWrite { lane, message, record, attempt, next, by_provider_id: false };
        desk.store.record_outcomes(&by(), &[write], DAY).await.unwrap();
    }
    assert_eq!((desk.count(MessageState::Unknown), desk.count(MessageState::Accepted)), (0, 503));
    desk.balances();
    told(&desk);
}

#[tokio::test]
async fn what_still_waits_in_a_cancelled_campaign_keeps_its_row() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 5).await;
    desk.turn(CampaignState::Cancelled).await;
    compact(&desk, 1_000).await;
    assert_eq!(desk.store.compaction(desk.campaign.id).unwrap().messages, 0);
    assert_eq!(desk.store.cancel_waiting(&by(), desk.campaign.id, 100, NOW).await.unwrap(), 5);
    assert!(told(&desk).iter().all(|message| message.record.state == MessageState::Cancelled));
}

#[tokio::test]
async fn a_message_that_is_written_after_all_has_a_row_of_its_own() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 20).await;
    let claims = desk.claim(Channel::Email, 20);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims, &Next::Accepted).await.unwrap();
    desk.turn(CampaignState::Finished).await;
    compact(&desk, 1_000).await;
    let mut expected = told(&desk);
    for n in [0, 7, 19] {
        let late = &mut expected[n];
        late.record.state = MessageState::Failed;
        late.record.why = "it bounced".into();
        let key = space::message(late.campaign, late.id);
        let row = put(space::MESSAGE, key, space::state_byte(MessageState::Failed), &late.record);
        desk.store.commit(&by(), Vec::new(), Vec::new(), vec![row]).await.unwrap();
    }
    assert_eq!(told(&desk), expected);
}

#[tokio::test]
async fn a_guest_s_messages_are_found_without_a_walk_wherever_they_are_kept() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 300).await;
    let id = desk.campaign.id;
    let look = |desk: &Desk| {
        let to = |guest| desk.store.messages_to(id, GuestId(guest)).unwrap();
        let of = |guest| to(guest).iter().map(|message| message.record.guest.0).collect::<Vec<_>>();
        let first = desk.guests - 300;
        [first, first + 1, first + 150, first + 299, first + 300].map(of)
    };
    let first = desk.guests - 300;
    let wanted = [vec![first], vec![first + 1], vec![first + 150], vec![first + 299], vec![]];
    assert_eq!(look(&desk), wanted);
    let claims = desk.claim(Channel::Sms, 300);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims, &Next::Failed { why: "no such number".into() }).await.unwrap();
    desk.turn(CampaignState::Partial).await;
    compact(&desk, 1_000).await;
    assert_eq!(desk.store.compaction(id).unwrap().messages, 300);
    assert_eq!(look(&desk), wanted, "packed");
}

#[tokio::test]
async fn what_failed_goes_back_to_its_queue_packed_or_not() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 6).await;
    let claims = desk.claim(Channel::Sms, 6);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims[..4], &Next::Failed { why: "no such number".into() }).await.unwrap();
    desk.come_of(&claims[4..], &Next::Accepted).await.unwrap();
    let id = desk.campaign.id;
    for packed in [false, true] {
        desk.turn(CampaignState::Partial).await;
        if packed {
            compact(&desk, 1_000).await;
            assert!(desk.store.compaction(id).unwrap().messages > 0);
        }
        let failed = desk.store.messages(id, Some(MessageState::Failed), None, 2).unwrap().messages;
        assert_eq!(failed.len(), 2);
        let row = desk.store.campaign(id).unwrap();
        let record = CampaignRecord { state: CampaignState::Running, ..row.record.clone() };
        let failed: Vec<MessageId> = failed.iter().map(|message| message.id).collect();
        assert_eq!(desk.store.send_again(&by(), &row, record.clone(), &failed, NOW).await.unwrap().len(), 2);
        // Whoever chose the same ones at the same time finds that they have not failed, and counts nothing twice.
        assert_eq!(desk.store.send_again(&by(), &row, record.clone(), &failed, NOW).await.unwrap(), []);
        let others = desk.store.messages(id, Some(MessageState::Failed), None, 1).unwrap().messages;
        let others: Vec<MessageId> = others.iter().map(|message| message.id).collect();
        if !others.is_empty() {
            let late = desk.store.send_again(&by(), &row, record, &others, NOW).await.unwrap_err();
            assert!(matches!(late, Error::Changed { .. }), "{late}");
        }
        desk.balances();
        let again = desk.claim(Channel::Sms, 9);
        assert_eq!(again.iter().map(|c| c.id.message).collect::<Vec<_>>(), failed);
        assert!(again.iter().all(|claim| claim.record.attempts.len() == 1), "the story goes on");
        desk.intend(&again).await.unwrap();
        desk.come_of(&again, &Next::Accepted).await.unwrap();
    }
    assert_eq!((desk.count(MessageState::Failed), desk.count(MessageState::Accepted)), (0, 6));
    desk.balances();
}
