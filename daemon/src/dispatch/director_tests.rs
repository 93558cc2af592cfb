//! Campaigns whose end changes when providers report.

use usher_common::model::{MessageId, MessageState};

use super::super::house::{NOW, by, house};
use super::*;
use crate::store::{HeldMessage, ReceiptMove, ReceiptWrite};

/// A report moves the one message of the campaign.
async fn report(shared: &Shared, to: MessageState) {
    let from: HeldMessage = shared.store().held(MessageId(1)).unwrap().unwrap();
    let (why, provider) = ("it bounced".to_owned(), "resend".to_owned());
    let moves = vec![ReceiptMove { from, to, switch: None, why, provider, provider_id: String::new() }];
    let write = ReceiptWrite { moves, ..ReceiptWrite::default() };
    shared.store().record_receipts(&by(), "resend", &write, (NOW, NOW.0 / 86_400_000)).await.unwrap();
}

#[tokio::test]
async fn a_finished_campaign_whose_message_bounces_afterwards_is_partial_and_can_send_it_again() {
    let (_folder, shared, id) = house().await;
    let state = || shared.store().campaign(id).unwrap().record.state;
    report(&shared, MessageState::Accepted).await;
    direct(&shared, id).await.unwrap();
    assert_eq!(state(), CampaignState::Finished);
    direct(&shared, id).await.unwrap();
    assert_eq!(state(), CampaignState::Finished, "it stays so by itself");

    report(&shared, MessageState::Failed).await;
    assert!(concerns(&shared.store().campaign(id).unwrap()), "a start looks at it too");
    direct(&shared, id).await.unwrap();
    assert_eq!(state(), CampaignState::Partial);
    assert!(lifecycle::next(state(), Event::Resend).is_ok());
}
