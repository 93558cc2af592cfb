//! A message whose channel does not reach its guest goes by another: refused at once, lost later, or with nobody to take it;
//! each guest hears once, and who opted out of the other channel hears nothing by it.

use std::collections::BTreeMap;

use usher_common::model::{CampaignId, CampaignState, Channel, MessageDetail, OutcomeClass, Reach};
use usher_demo::{Desk, Plan, Reports, Stage, guest_list};
use usher_sim::{Fault, FaultKind, Provider, Scope};

const GUESTS: usize = 40;

fn plan() -> Plan {
    Plan {
        organisation: "fallback_to = \"email\"\nfallback_after_minutes = 1440\n".to_owned(),
        environment: BTreeMap::from([("USHERD_HURRY".to_owned(), "1".to_owned())]),
        ..Plan::default()
    }
}

/// A campaign by text message, else by e-mail; one channel a guest.
async fn draft(stage: &Stage) -> (Desk, CampaignId) {
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(GUESTS, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let mut spec = Desk::invitation("Invitations", list, &[Channel::Sms, Channel::Email]);
    spec.reach = Reach::Preferred;
    let id = desk.write(spec).await.unwrap();
    (desk, id)
}

async fn ended(stage: &Stage, desk: &Desk, id: CampaignId, by_email: usize) -> Vec<MessageDetail> {
    let end = desk.until(id, |c| c.row.state.is_ended() && c.row.counts.taken() == GUESTS as u64).await.unwrap();
    assert_eq!(end.row.state, CampaignState::Finished);
    assert_eq!(stage.simulator.record().duplicates().len(), 0);
    let of = |channel| end.channels.iter().find(|p| p.channel == channel).map_or(0, |p| p.counts.total());
    assert_eq!((of(Channel::Sms), of(Channel::Email)), ((GUESTS - by_email) as u64, by_email as u64));
    let stories = desk.stories(id).await.unwrap();
    let switched: Vec<MessageDetail> = stories.into_iter().filter(|s| s.row.channel == Channel::Email).collect();
    assert_eq!(switched.len(), by_email);
    switched
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_reached_by_text_message_hears_by_e_mail() {
    let stage = Stage::set(plan()).await.unwrap();
    let (desk, id) = draft(&stage).await;
    let refused = FaultKind::Status { status: 400, accepted: false, code: Some("21211".to_owned()) };
    let fault = Fault::from(refused).times(7).only(Scope::Sends);
    stage.simulator.fault(Provider::Twilio, fault).await.unwrap();
    desk.release(id).await.unwrap();
    for story in ended(&stage, &desk, id, 7).await {
        let classes: Vec<OutcomeClass> = story.attempts.iter().filter_map(|attempt| attempt.class).collect();
        assert_eq!(classes, [OutcomeClass::Recipient, OutcomeClass::Accepted]);
        assert_eq!(story.attempts[0].provider, "twilio");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_provider_to_take_text_messages_they_go_by_e_mail() {
    let stage = Stage::set(plan()).await.unwrap();
    let (desk, id) = draft(&stage).await;
    stage.simulator.fault(Provider::Twilio, Fault::from(FaultKind::Refuse)).await.unwrap();
    desk.release(id).await.unwrap();
    ended(&stage, &desk, id, GUESTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reported_lost_goes_by_e_mail_though_the_campaign_was_over() {
    let mut plan = plan();
    let reports = Reports::plan(&mut plan).unwrap();
    let stage = Stage::set(plan).await.unwrap();
    let (desk, id) = draft(&stage).await;
    desk.release(id).await.unwrap();
    ended(&stage, &desk, id, 0).await;
    let record = stage.simulator.record();
    let lost = record.entries(0, 3);
    for entry in &lost {
        assert_eq!(reports.twilio(entry, "undelivered", "30003").await.unwrap(), 200);
    }
    let switched = ended(&stage, &desk, id, 3).await;
    assert!(switched.iter().all(|story| story.attempts[1].class == Some(OutcomeClass::Accepted)), "{switched:?}");
    // Another word on the text message changes nothing about the mail.
    assert_eq!(reports.twilio(&lost[0], "failed", "30008").await.unwrap(), 200);
    ended(&stage, &desk, id, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_organisation_s_word_nothing_changes_its_channel() {
    let stage = Stage::set(Plan { organisation: String::new(), ..plan() }).await.unwrap();
    let (desk, id) = draft(&stage).await;
    let refused = FaultKind::Status { status: 400, accepted: false, code: Some("21211".to_owned()) };
    stage.simulator.fault(Provider::Twilio, Fault::from(refused).times(7).only(Scope::Sends)).await.unwrap();
    desk.release(id).await.unwrap();
    let end = desk.until(id, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((end.row.state, end.row.counts.failed), (CampaignState::Partial, 7));
    assert_eq!(stage.simulator.record().total(), GUESTS as u64 - 7);
}
