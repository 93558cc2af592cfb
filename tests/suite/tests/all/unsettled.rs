//! What is settled by itself: a provider that can be looked into is asked, and what it never had goes again.

use usher_common::model::{CampaignId, CampaignState, Channel, MessageState};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, Plan, Stage, guest_list};
use usher_sim::{Fault, FaultKind, Provider, Scope, When};

/// A campaign of text messages to 60 guests, of which Twilio cuts off the answers to five, having taken them or not.
async fn cut_off(when: When) -> (Stage, Desk, CampaignId) {
    let extra = "[dispatch]\nabsent_after_seconds = 2\n".to_owned();
    let stage = Stage::set(Plan { extra, ..Plan::default() }).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(60, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let id = desk.draft("Invitations", list, &[Channel::Sms]).await.unwrap();
    let fault = Fault::from(FaultKind::Reset { when }).times(5).only(Scope::Sends);
    stage.simulator.fault(Provider::Twilio, fault).await.unwrap();
    desk.release(id).await.unwrap();
    (stage, desk, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_found_in_the_provider_s_list() {
    let (stage, desk, id) = cut_off(When::AfterAccept).await;
    let end = desk.until(id, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((end.row.state, end.row.counts.taken()), (CampaignState::Finished, 60));
    let record = stage.simulator.record();
    assert_eq!((record.total(), record.duplicates().len()), (60, 0));
    let stories = desk.stories(id).await.unwrap();
    let found: Vec<_> = stories.iter().filter(|story| story.attempts[0].code == "found").collect();
    assert_eq!(found.len(), 5);
    for story in found {
        let theirs = &record.by_message(&story.row.id.to_string())[0].provider_id;
        assert_eq!(&story.attempts[0].provider_id, theirs, "it is known by its own id, not by another's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_is_absent_and_goes_again() {
    let (stage, desk, id) = cut_off(When::BeforeAccept).await;
    let end = desk.until(id, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((end.row.state, end.row.counts.taken()), (CampaignState::Finished, 60));
    let record = stage.simulator.record();
    assert_eq!((record.total(), record.duplicates().len()), (60, 0));
    let again = desk.stories(id).await.unwrap().into_iter().filter(|story| story.attempts.len() == 2);
    let codes: Vec<String> = again.map(|story| story.attempts[0].code.clone()).collect();
    assert_eq!(codes, vec!["absent".to_owned(); 5], "first it was proved that they were not there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_s_hour_holds_to_the_message_through_a_kill() {
    let mut stage = Stage::set(Plan::default()).await.unwrap();
    stage.stop().await.unwrap();
    let text = std::fs::read_to_string(stage.configuration()).unwrap();
    std::fs::write(stage.configuration(), text.replace("tier = \"INTERNAL\"", "tier = \"FREE\"")).unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(80, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let (first, second) = (
        desk.send(list, &[Channel::Sms]).await.unwrap(),
        desk.draft("Another", list, &[Channel::Email]).await.unwrap(),
    );
    desk.release(second).await.unwrap();
    let begun = |desk: Desk| async move {
        let (a, b) = (desk.campaign(first).await.unwrap().row.counts, desk.campaign(second).await.unwrap().row.counts);
        a.total() + b.total() - a.queued - b.queued
    };
    desk.until(second, |c| c.row.why.contains("has begun 50 of the 50 messages of this hour")).await.unwrap();
    let record = stage.simulator.record();
    assert_eq!((begun(stage.desk().await.unwrap()).await, record.total()), (50, 50), "both campaigns together");
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.until(second, |c| c.row.why.contains("has begun 50 of the 50")).await.unwrap();
    assert_eq!((begun(stage.desk().await.unwrap()).await, record.total()), (50, 50), "a start opens no new hour");
    let Reply::Why(answers) =
        desk.ask(Request::Why { target: usher_common::model::Target::Campaign(second) }).await.unwrap()
    else {
        panic!("no answer")
    };
    assert!(answers[0].done.is_some(), "{}", answers[0].line);
    let waiting = desk.messages(second).await.unwrap().iter().filter(|m| m.state == MessageState::Queued).count();
    assert_eq!(answers[0].waiting, waiting as u64);
}
