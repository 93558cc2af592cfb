//! Messages that change their channel: where they wait, how they are counted, and what is not charged twice for it.

use super::*;
use crate::store::{HeldMessage, ReceiptMove, ReceiptWrite};

fn to(channel: Channel) -> Next {
    Next::Switch { to: channel, why: "goes another way".into() }
}

fn queued(desk: &Desk, channel: Channel) -> u64 {
    let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
    counts.states.get(&channel).map_or(0, |states| states.queued)
}

#[tokio::test]
async fn what_waited_waits_on_the_other_channel_even_before_its_cursor() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 3).await;
    desk.expand(Channel::Email, 2).await;
    let emails = desk.claim(Channel::Email, 2);
    desk.intend(&emails).await.unwrap();
    desk.come_of(&emails, &Next::Accepted).await.unwrap();
    assert_eq!(desk.claim(Channel::Email, 1), [], "the look at this lane stands behind them");
    let claims = desk.claim(Channel::Sms, 2);
    let switched: Vec<(Claim, Next)> = claims.iter().map(|claim| (claim.clone(), to(Channel::Email))).collect();
    desk.store.record_refusals(&by(), &switched, Vec::new(), NOW).await.unwrap();
    assert_eq!((queued(&desk, Channel::Sms), queued(&desk, Channel::Email)), (1, 2));
    desk.balances();
    let here = desk.claim(Channel::Email, 9);
    assert_eq!(ids(&here), ids(&claims));
    assert!(here.iter().all(|claim| claim.record.channel == Channel::Email && claim.record.why == "goes another way"));
    desk.restart().await;
    assert_eq!(ids(&desk.claim(Channel::Email, 9)), ids(&claims));
    assert_eq!(desk.claim(Channel::Sms, 9).len(), 1);
}

#[tokio::test]
async fn what_was_refused_goes_another_way_at_the_price_of_one() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 1).await;
    let claims = desk.claim(Channel::Sms, 1);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims, &to(Channel::Email)).await.unwrap();
    desk.balances();
    assert_eq!(desk.store.open_intents().unwrap(), []);
    let again = desk.claim(Channel::Email, 1);
    assert_eq!(again[0].record.attempts.len(), 1, "the attempt stays in its story");
    desk.intend(&again).await.unwrap();
    desk.come_of(&again, &Next::Accepted).await.unwrap();
    desk.balances();
    let payer = Payer::Organisation("ada-and-ben".into());
    assert_eq!(desk.store.charged_in(&payer, Hour::of(NOW)).unwrap(), 1);
}

#[tokio::test]
async fn what_a_report_says_has_failed_waits_on_the_other_channel_in_the_same_commit() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Sms, 1).await;
    let claims = desk.claim(Channel::Sms, 1);
    desk.intend(&claims).await.unwrap();
    desk.come_of(&claims, &Next::Accepted).await.unwrap();
    assert_eq!(desk.claim(Channel::Email, 1), []);
    let held = |desk: &Desk| -> HeldMessage { desk.store.held(claims[0].id.message).unwrap().unwrap() };
    let from = held(&desk);
    let moved = ReceiptMove {
        from,
        to: MessageState::Failed,
        switch: Some(Channel::Email),
        why: "unreachable".into(),
        provider: "resend".into(),
        provider_id: String::new(),
    };
    let write = ReceiptWrite { moves: vec![moved], heard: vec![[1; 16]], ..ReceiptWrite::default() };
    desk.store.record_receipts(&by(), "resend", &write, (NOW, DAY)).await.unwrap();
    assert_eq!((queued(&desk, Channel::Email), desk.count(MessageState::Failed)), (1, 0));
    let counts = desk.store.campaign_counts(desk.campaign.id).unwrap();
    assert!(counts.reasons.is_empty(), "it has not failed: {:?}", counts.reasons);
    assert_eq!(held(&desk).record.attempts[0].class, OutcomeClass::Recipient, "its provider holds it no longer");
    assert_eq!(ids(&desk.claim(Channel::Email, 1)), ids(&claims));
}
