//! Reports on their way to their messages: early, doubled, strange, and with whom they speak of.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use usher_common::model::{AttemptNo, CampaignState, Deeds, GuestId, ListId};

use super::*;
use crate::guests::{Intake, Source};
use crate::store::engine::{Engine, Options};
use crate::store::{
    AttemptRecord, AuditEntry, CampaignRecord, Claim, Debit, Expansion, Hour, IntentRecord, IntentWrite, Lane,
    NewCampaign, NewMessage, Next, OutcomeWrite,
};
use crate::vault::Vault;

const NOW: Timestamp = Timestamp(1_795_341_600_000);

/// Two guests, and one mail to each under way at `resend`.
pub(in crate::receipts) struct House {
    _folder: tempfile::TempDir,
    pub(in crate::receipts) desk: Desk,
    claims: Vec<Claim>,
}

impl House {
    pub(in crate::receipts) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let vault = Arc::new(Vault::open(folder.path(), None).unwrap().0);
        let options = Options::new(folder.path().join("store"), [1; 32], "boot".to_owned(), Arc::new(|| NOW));
        let store = Store::new(Engine::open(options).unwrap().0);
        let book = GuestBook::new(store.clone(), vault);
        let source = Source { file: "guests.csv", vouched_by: "Ada", country: "" };
        let mut intake = Intake::begin(book.clone(), by(), "everyone", source, false).unwrap();
        intake.push(b"name,email\nZoe,zoe@guest.example\nBen,ben@guest.example\n", NOW).await.unwrap();
        assert_eq!(intake.finish(NOW).await.unwrap().added, 2);
        let list = store.list_named("everyone").unwrap().unwrap();
        let claims = Self::under_way(&store, list).await;
        Self { _folder: folder, desk: Desk::new(book, Clock::manual(NOW)), claims }
    }

    async fn under_way(store: &Store, list: ListId) -> Vec<Claim> {
        let new = NewCampaign {
            name_hash: [1; 16],
            sealed_spec: vec![7],
            organisation: "ada-and-ben".to_owned(),
            list,
            channels: vec![Channel::Email],
        };
        let id = store.campaign_create(&by(), &new, NOW).await.unwrap();
        let row = store.campaign(id).unwrap();
        let record = CampaignRecord { state: CampaignState::Running, ..row.record.clone() };
        let audit = AuditEntry::Act { act: "campaign.turn".to_owned(), object: String::new(), detail: String::new() };
        store.campaign_update(&by(), &row, &record, None, audit).await.unwrap();
        let row = store.campaign(id).unwrap();
        let guests: Vec<GuestId> = store.guests(list, None, 9).unwrap().iter().map(|guest| guest.id).collect();
        let messages = guests.iter().map(|&guest| NewMessage { guest, channel: Channel::Email }).collect();
        let part = Expansion { cursor: guests.last().copied(), guests: 2, unreachable: 0, last: true, messages };
        store.expand(&by(), &row, &part, NOW).await.unwrap();
        let lane = Lane { campaign: id, channel: Channel::Email };
        let hour = Duration::from_hours(1);
        let claims = store.claim(lane, (9, 9), "one", NOW, hour, hour).unwrap();
        let intent = |claim: &Claim| IntentRecord {
            attempt: AttemptNo(1),
            channel: Channel::Email,
            provider: "resend".to_owned(),
            key: "k".to_owned(),
            body_hash: [0; 32],
            place: 0,
            of: 1,
            started: NOW,
            fence: claim.id.fence,
        };
        let intents: Vec<_> = claims.iter().map(|claim| IntentWrite { claim, intent: intent(claim) }).collect();
        let debit = Debit { payers: Vec::new(), hour: Hour(0), messages: 0 };
        store.record_intents(&by(), &intents, &debit).await.unwrap();
        assert_eq!(claims.len(), 2);
        claims
    }

    /// The provider's answers come in.
    pub(in crate::receipts) async fn answered(&self, next: &Next, class: OutcomeClass, provider_id: &str) {
        let outcome = |claim: &Claim| OutcomeWrite {
            lane: claim.lane,
            message: claim.id.message,
            record: claim.record.clone(),
            attempt: AttemptRecord {
                no: AttemptNo(1),
                provider: "resend".to_owned(),
                started: NOW,
                class,
                code: String::new(),
                detail: String::new(),
                provider_id: provider_id.to_owned(),
                latency_ms: 1,
                barred: false,
            },
            next: next.clone(),
            by_provider_id: false,
        };
        let writes: Vec<_> = self.claims.iter().map(outcome).collect();
        self.desk.store().record_outcomes(&by(), &writes, 1).await.unwrap();
    }

    pub(in crate::receipts) fn message(&self, n: usize) -> MessageId {
        self.claims[n].id.message
    }

    pub(in crate::receipts) fn state(&self, n: usize) -> MessageState {
        self.desk.store().held(self.claims[n].id.message).unwrap().unwrap().state()
    }

    fn report(&self, n: usize, event: &str, kind: Kind) -> Report {
        let message = Some(self.claims[n].id.message);
        Report { message, provider_id: "re-1".to_owned(), ..Report::of(event, kind) }.saying("c", "")
    }

    async fn file(&self, reports: &[Report]) -> Filed {
        self.desk.file("resend", reports).await.unwrap()
    }

    pub(in crate::receipts) fn is_suppressed(&self, address: &str) -> Option<String> {
        let hash = self.desk.hash(Channel::Email, address).unwrap();
        self.desk.store().suppression(&hash).unwrap().map(|record| record.reason)
    }
}

#[tokio::test]
async fn what_comes_before_its_outcome_waits_for_it() {
    let house = House::new().await;
    let reports = [house.report(0, "e1", Kind::Delivered), house.report(1, "e2", Kind::HardBounce)];
    let filed = house.file(&reports).await;
    assert_eq!((filed.waiting, filed.moved), (2, 0));
    assert_eq!(house.state(0), MessageState::Sending);
    assert_eq!(house.desk.match_again(None).await.unwrap(), Filed::default(), "still too early");
    assert_eq!(house.file(&reports).await.doubled, 2, "told again while it waits");

    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    let since = NOW.plus_millis(-1);
    assert_eq!(house.desk.match_again(Some(since)).await.unwrap().moved, 2);
    assert_eq!((house.state(0), house.state(1)), (MessageState::Delivered, MessageState::Failed));
    assert_eq!(house.desk.store().orphans_waiting().unwrap(), 0);
    // It named nobody, so its guest's own address it is.
    assert_eq!(house.is_suppressed("ben@guest.example").as_deref(), Some("bounced"));
    assert_eq!(house.is_suppressed("zoe@guest.example"), None);
}

#[tokio::test]
async fn several_reports_of_one_message_in_one_request_are_one_move() {
    let house = House::new().await;
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    let kinds = [Kind::HardBounce, Kind::Sent, Kind::Delivered, Kind::Nothing, Kind::Account, Kind::Foreign];
    let mut reports: Vec<Report> =
        kinds.iter().enumerate().map(|(n, &kind)| house.report(0, &format!("e{n}"), kind)).collect();
    reports.push(reports[0].clone());
    let filed = house.file(&reports).await;
    assert_eq!((filed.moved, filed.doubled, filed.waiting), (1, 1, 0));
    assert_eq!((house.state(0), house.state(1)), (MessageState::Failed, MessageState::Accepted));
}

#[tokio::test]
async fn a_report_that_does_not_fit_its_message_moves_nothing() {
    let house = House::new().await;
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    let other_id = Report { provider_id: "re-2".to_owned(), ..house.report(0, "e1", Kind::HardBounce) };
    assert_eq!(house.file(&[other_id]).await.moved, 0);
    assert_eq!(house.desk.file("sendgrid", &[house.report(0, "e2", Kind::HardBounce)]).await.unwrap().moved, 0);
    assert_eq!((house.state(0), house.is_suppressed("zoe@guest.example")), (MessageState::Accepted, None));
    // SendGrid's ids begin with the one that its answer had.
    let longer = Report { provider_id: "re-1.filter0001".to_owned(), ..house.report(0, "e3", Kind::Delivered) };
    assert_eq!(house.file(&[longer]).await.moved, 1);
}

#[tokio::test]
async fn in_doubt_the_address_has_to_be_the_guests() {
    let house = House::new().await;
    house.answered(&Next::Unknown { why: "timeout".to_owned() }, OutcomeClass::Unknown, "").await;
    let to = |n: usize, event: &str, address: &str| Report {
        recipient: Some((Channel::Email, address.to_owned())),
        ..house.report(n, event, Kind::Delivered)
    };
    let filed = house.file(&[to(0, "e1", "somebody@else.example"), to(1, "e2", "ben@GUEST.example")]).await;
    assert_eq!(filed.moved, 1);
    assert_eq!((house.state(0), house.state(1)), (MessageState::Unknown, MessageState::Delivered));
    assert_eq!(house.desk.store().open_intents().unwrap().len(), 1);
}

#[tokio::test]
async fn who_opts_out_is_suppressed_whatever_message_it_was() {
    let house = House::new().await;
    let stop = Report { recipient: Some((Channel::Sms, "+14155550123".to_owned())), ..Report::of("e1", Kind::OptOut) };
    let filed = house.file(&[stop]).await;
    assert_eq!((filed.suppressed, filed.waiting, filed.moved), (1, 0, 0));
    let hash = house.desk.hash(Channel::Sms, "+14155550123").unwrap();
    assert_eq!(house.desk.store().suppression(&hash).unwrap().unwrap().reason, "opted out");
}

#[tokio::test]
async fn reports_that_come_at_once_do_not_get_into_each_others_way() {
    let house = House::new().await;
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    let kinds = [Kind::Sent, Kind::Delivered, Kind::SoftBounce, Kind::Delivered];
    let reports: Vec<[Report; 1]> = (0..32).map(|n| [house.report(n % 2, &format!("e{n}"), kinds[n % 4])]).collect();
    let filed = futures_util::future::join_all(reports.iter().map(|report| house.file(report))).await;
    assert_eq!(filed.iter().map(|filed| filed.doubled).sum::<u64>(), 0);
    // Sent and soft bounces for the one, nothing but delivered for the other.
    assert_eq!((house.state(0), house.state(1)), (MessageState::Failed, MessageState::Delivered));
}

#[tokio::test]
async fn what_a_guest_did_is_counted_once_a_message_whatever_the_order() {
    let house = House::new().await;
    // Told before the outcome: it waits for it, and counts then.
    let early = [house.report(0, "e0", Kind::Opened), house.report(1, "e1", Kind::Read)];
    assert_eq!(house.file(&early).await.waiting, 2);
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    house.desk.match_again(None).await.unwrap();
    let kinds = [Kind::Opened, Kind::Clicked, Kind::Opened, Kind::Clicked, Kind::Complaint, Kind::Delivered];
    for (n, kind) in kinds.into_iter().enumerate() {
        house.file(&[house.report(0, &format!("again {n}"), kind)]).await;
    }
    // Neither by one who never had it nor of what is not there is anything counted, nor does the latter wait.
    let stranger = house.desk.file("sendgrid", &[house.report(1, "e2", Kind::Clicked)]).await.unwrap();
    assert_eq!(stranger, Filed { heard: vec![Kind::Clicked], ..Filed::default() });
    let nobody = Report { message: Some(MessageId(77_777)), ..house.report(1, "e3", Kind::Opened) };
    assert_eq!(house.file(&[nobody]).await.waiting, 0);
    let counts = house.desk.store().campaign_counts(CampaignId(1)).unwrap();
    let counted = Deeds { opened: 2, clicked: 1, complained: 1, unsubscribed: 0 };
    assert_eq!(counts.deeds, [(Channel::Email, counted)].into());
    assert_eq!((house.state(0), house.state(1)), (MessageState::Delivered, MessageState::Delivered), "read is arrived");
}

#[tokio::test]
async fn what_a_provider_withholds_has_failed_for_the_reason_that_it_gives_and_suppresses_for_it() {
    let house = House::new().await;
    house.answered(&Next::Accepted, OutcomeClass::Accepted, "re-1").await;
    let kinds = [(0, Kind::WithheldComplained), (1, Kind::WithheldOptedOut)];
    let reports: Vec<Report> = kinds.iter().map(|&(n, kind)| house.report(n, &format!("e{n}"), kind)).collect();
    assert_eq!(house.file(&reports).await.moved, 2);
    for (n, kind) in kinds {
        let held = house.desk.store().held(house.claims[n].id.message).unwrap().unwrap();
        assert_eq!((held.state(), held.record.why), (MessageState::Failed, format!("{} (c)", kind.why())));
    }
    let reasons = ["zoe@guest.example", "ben@guest.example"].map(|address| house.is_suppressed(address).unwrap());
    assert_eq!(reasons, ["complained", "opted out"]);
}

#[tokio::test]
async fn what_waits_for_a_message_that_never_comes_is_cleared_away_and_counted() {
    let house = House::new().await;
    let nobodys = Report { message: Some(MessageId(999)), ..Report::of("e1", Kind::Delivered) };
    assert_eq!(house.file(&[nobodys]).await.waiting, 1);
    assert_eq!((house.desk.sweep().await.unwrap(), house.desk.store().orphans_waiting().unwrap()), (0, 1));
    house.desk.clock.advance(Duration::from_hours(24 * 30));
    assert_eq!((house.desk.sweep().await.unwrap(), house.desk.store().orphans_waiting().unwrap()), (1, 0));
}
