//! What a message costs its payers: once, with its first intent, and nothing if it was never sent.

use super::*;

fn charged(desk: &Desk) -> u64 {
    let payer = Payer::Organisation("ada-and-ben".into());
    let hour = desk.store.charged_in(&payer, Hour::of(NOW)).unwrap();
    assert_eq!(desk.store.charged_on_day(&payer, Hour::of(NOW)).unwrap(), hour);
    hour
}

/// What comes of claims when an answer of this class does.
async fn answered(desk: &Desk, claims: &[Claim], class: OutcomeClass, next: Next) {
    let outcomes: Vec<OutcomeWrite> = claims
        .iter()
        .map(|claim| {
            let mut outcome = outcome(claim, next.clone());
            (outcome.attempt.class, outcome.attempt.started) = (class, NOW);
            outcome
        })
        .collect();
    desk.store.record_outcomes(&by(), &outcomes, DAY).await.unwrap();
}

#[tokio::test]
async fn a_message_is_charged_with_its_first_intent_and_never_again() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 3).await;
    let claims = desk.claim(Channel::Email, 3);
    assert_eq!(charged(&desk), 0);
    desk.intend(&claims).await.unwrap();
    assert_eq!(charged(&desk), 3);
    answered(&desk, &claims, OutcomeClass::NotSent, Next::Queue).await;
    let again = desk.claim(Channel::Email, 3);
    desk.intend(&again).await.unwrap();
    answered(&desk, &again, OutcomeClass::Accepted, Next::Accepted).await;
    desk.restart().await;
    assert_eq!(charged(&desk), 3, "a retry costs nothing, and what was sent is not given back");
}

#[tokio::test]
async fn what_ends_without_having_been_sent_is_given_back() {
    let gone = || Next::Failed { why: "gone".into() };
    let cases = [
        (OutcomeClass::NotSent, gone(), 0),
        (OutcomeClass::Unusable, gone(), 0),
        (OutcomeClass::Throttled, Next::Expired, 0),
        (OutcomeClass::Recipient, gone(), 1),
        (OutcomeClass::Refused, gone(), 1),
        (OutcomeClass::Unknown, Next::Unknown { why: "no answer".into() }, 1),
    ];
    for (class, next, expected) in cases {
        let mut desk = Desk::new().await;
        desk.expand(Channel::Email, 1).await;
        let claims = desk.claim(Channel::Email, 1);
        desk.intend(&claims).await.unwrap();
        answered(&desk, &claims, class, next.clone()).await;
        assert_eq!(charged(&desk), expected, "{class:?} {next:?}");
    }
}

#[tokio::test]
async fn what_is_swept_away_or_refused_after_a_failure_is_given_back_too() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 4).await;
    let claims = desk.claim(Channel::Email, 2);
    desk.intend(&claims).await.unwrap();
    answered(&desk, &claims, OutcomeClass::NotSent, Next::Queue).await;
    let again = desk.claim(Channel::Email, 1);
    desk.store.record_refusals(&by(), &[(again[0].clone(), Next::Expired)], Vec::new(), NOW).await.unwrap();
    assert_eq!(charged(&desk), 1);
    desk.turn(CampaignState::Cancelled).await;
    assert_eq!(desk.store.cancel_waiting(&by(), desk.campaign.id, 100, NOW).await.unwrap(), 3);
    assert_eq!(charged(&desk), 0);
    desk.balances();
}

#[tokio::test]
async fn without_room_for_new_ones_only_what_was_charged_is_claimed() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 6).await;
    let claims = desk.claim(Channel::Email, 3);
    desk.intend(&claims).await.unwrap();
    answered(&desk, &claims[1..2], OutcomeClass::NotSent, Next::Queue).await;
    let later = Timestamp(NOW.0 - 1);
    answered(&desk, &claims[2..3], OutcomeClass::NotSent, Next::Retry { at: later, why: "down".into() }).await;
    let lane = desk.lane(Channel::Email);
    let claim = |fresh| desk.store.claim(lane, (10, fresh), "one", NOW, START, LEASE).unwrap();
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.id.message).collect::<Vec<_>>();
    assert_eq!(ids(&claim(0)), [claims[2].id.message, claims[1].id.message]);
    assert_eq!((claim(0).len(), claim(2).len(), claim(9).len()), (0, 2, 1), "none is passed over");
}

#[tokio::test]
async fn what_waits_past_its_time_expires_whatever_it_waits_for() {
    let mut desk = Desk::new().await;
    desk.expand(Channel::Email, 5).await;
    let claims = desk.claim(Channel::Email, 3);
    desk.intend(&claims).await.unwrap();
    let later = Timestamp(NOW.0 + 60_000);
    answered(&desk, &claims[..1], OutcomeClass::NotSent, Next::Retry { at: later, why: "down".into() }).await;
    answered(&desk, &claims[1..2], OutcomeClass::Accepted, Next::Accepted).await;
    desk.turn(CampaignState::Paused).await;
    assert_eq!(desk.store.expire_waiting(&by(), desk.campaign.id, 100, NOW).await.unwrap(), 3);
    assert_eq!(
        (desk.count(MessageState::Expired), desk.count(MessageState::Sending)),
        (3, 1),
        "what is under way stays"
    );
    assert_eq!(charged(&desk), 2, "the one that was tried and never sent is given back");
    desk.balances();
    assert_eq!(desk.store.expire_waiting(&by(), desk.campaign.id, 100, NOW).await.unwrap(), 0);
}
