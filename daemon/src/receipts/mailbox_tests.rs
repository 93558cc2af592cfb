//! What a report by mail has to prove before anything follows from it.

use super::super::desk::tests::House;
use super::super::mail::MailReport;
use super::*;
use usher_common::model::MessageState;

use crate::store::Next;

const SECRET: &[u8] = b"the secret of a test";

/// A house whose letters the provider has taken, and its mailbox.
async fn house(trusted: bool) -> (House, Mailbox) {
    let house = House::new().await;
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "").await;
    let providers = BTreeMap::from([("resend".to_owned(), trusted)]);
    let mailbox = Mailbox::new(house.desk.clone(), SECRET.to_vec(), providers);
    (house, mailbox)
}

/// A report of a guest's letter, with its mark.
fn report(house: &House, n: usize, kind: Kind, addresses: &[&str]) -> MailReport {
    let mark = mark::message_id(SECRET, house.message(n), "ada.example");
    MailReport {
        event: format!("{kind:?} {n} {addresses:?}"),
        names: vec!["strange@mx.example".to_owned(), mark],
        message: Some(house.message(n).to_string()),
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        kind,
        at: None,
        code: "5.1.1".to_owned(),
        detail: "550 5.1.1 <zoe@guest.example> unknown".to_owned(),
    }
}

/// The same without the mark, as somebody would write it who never saw the letter.
fn forged(house: &House, n: usize, kind: Kind, addresses: &[&str]) -> MailReport {
    let made_up = mark::message_id(b"another", house.message(n), "ada.example");
    MailReport { names: vec![made_up, house.message(n).to_string()], ..report(house, n, kind, addresses) }
}

#[tokio::test]
async fn a_bounce_that_quotes_the_letter_is_believed_once() {
    let (house, mailbox) = house(false).await;
    let bounce = [report(&house, 0, Kind::HardBounce, &["ZOE@guest.example"])];
    let told = mailbox.file(None, &bounce).await.unwrap();
    assert_eq!((told.filed.moved, told.filed.suppressed, told.unproved), (1, 1, 0));
    assert_eq!(told.believed, [("resend".to_owned(), Kind::HardBounce)]);
    assert_eq!(house.state(0), MessageState::Failed);
    assert_eq!(house.is_suppressed("zoe@guest.example").as_deref(), Some("bounced"));
    let again = mailbox.file(None, &bounce).await.unwrap();
    assert_eq!((again.filed.moved, again.filed.doubled), (0, 1));
}

#[tokio::test]
async fn whoever_never_saw_the_letter_moves_nothing() {
    let (house, mailbox) = house(false).await;
    for kind in [Kind::HardBounce, Kind::Complaint, Kind::OptOut, Kind::Delivered] {
        let told = mailbox.file(None, &[forged(&house, 0, kind, &["zoe@guest.example"])]).await.unwrap();
        assert_eq!((told.unproved, &told.filed), (1, &Filed::default()), "{kind:?}");
    }
    assert_eq!((house.state(0), house.is_suppressed("zoe@guest.example")), (MessageState::Accepted, None));
}

#[tokio::test]
async fn a_guest_who_knows_the_mark_of_an_own_letter_cannot_silence_another() {
    let (house, mailbox) = house(false).await;
    let told = mailbox.file(None, &[report(&house, 0, Kind::HardBounce, &["ben@guest.example"])]).await.unwrap();
    assert_eq!((told.filed.moved, told.filed.suppressed), (1, 0));
    assert_eq!((house.state(0), house.state(1)), (MessageState::Failed, MessageState::Accepted));
    assert_eq!((house.is_suppressed("zoe@guest.example"), house.is_suppressed("ben@guest.example")), (None, None));
    // A complaint is the guest's own, under whatever address it is made.
    let told = mailbox.file(None, &[report(&house, 0, Kind::Complaint, &["ben@guest.example"])]).await.unwrap();
    assert_eq!(told.filed.suppressed, 1);
    assert_eq!(house.is_suppressed("zoe@guest.example").as_deref(), Some("complained"));
    assert_eq!(house.is_suppressed("ben@guest.example"), None);
}

#[tokio::test]
async fn mail_that_the_guests_address_passes_on_fails_the_letter_and_the_address_by_what_came_back() {
    let (house, mailbox) = house(false).await;
    let onward = report(&house, 1, Kind::HardBounce, &["elsewhere@big.example", "ben@guest.example"]);
    let told = mailbox.file(None, &[onward]).await.unwrap();
    assert_eq!((told.filed.moved, told.filed.suppressed), (1, 1));
    assert_eq!(house.is_suppressed("ben@guest.example").as_deref(), Some("bounced"));
    assert_eq!(house.is_suppressed("elsewhere@big.example"), None);
}

#[tokio::test]
async fn a_trusted_mailbox_is_believed_of_an_address_and_of_a_letter_that_fits_it() {
    let (house, mailbox) = house(true).await;
    // A server that wrote a Message-ID of its own and left our header.
    let fits = forged(&house, 0, Kind::HardBounce, &["zoe@guest.example"]);
    let told = mailbox.file(None, &[fits]).await.unwrap();
    assert_eq!((told.filed.moved, told.filed.suppressed), (1, 1));
    let other = forged(&house, 1, Kind::HardBounce, &["zoe@guest.example"]);
    assert_eq!(mailbox.file(None, &[other]).await.unwrap().filed.moved, 0);
    let nobody = MailReport { message: None, ..forged(&house, 1, Kind::Delivered, &["ben@guest.example"]) };
    assert_eq!(mailbox.file(None, &[nobody]).await.unwrap().unproved, 1, "a message is never guessed");
    assert_eq!((house.state(0), house.state(1)), (MessageState::Failed, MessageState::Accepted));
}

#[tokio::test]
async fn a_letter_that_is_not_there_is_waited_for() {
    let (house, mailbox) = house(false).await;
    let names = vec![mark::message_id(SECRET, MessageId(99_999), "ada.example")];
    let early = MailReport { names, ..report(&house, 0, Kind::Delivered, &["zoe@guest.example"]) };
    let told = mailbox.file(None, std::slice::from_ref(&early)).await.unwrap();
    assert_eq!((told.filed.waiting, told.unproved), (1, 0));
    assert_eq!(mailbox.file(None, &[early]).await.unwrap().filed.doubled, 1);
}
