//! Store and dispatch as they are, from a campaign's release to its end, in simulated time.

mod house;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use usher_common::model::{CampaignState, Channel, MessageState, OutcomeClass, Schedule, Steer, Target};

use self::house::{Company, House, NOW, answer, by, organisation, reaching};
use super::breaker::Permit;
use crate::campaigns::lifecycle::Event;
use crate::config::Tier;
use crate::providers::{Answer, Probe, Scope};
use crate::receipts::{Desk, Elsewhere, Kind, Report};
use crate::store::Lane;

const DAY: Duration = Duration::from_hours(24);

/// A house with these providers.
async fn house(companies: &[&Arc<Company>]) -> (TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder, NOW, &organisation(), companies).await;
    (folder, house)
}

/// The addresses of so many guests.
fn everybody(count: usize) -> Vec<String> {
    let mut all: Vec<String> = (0..count).map(|n| format!("g{n}@guest.example")).collect();
    all.sort();
    all
}

fn sorted(mut to: Vec<String>) -> Vec<String> {
    to.sort();
    to
}

/// A provider that has broken.
fn broken(name: &'static str, class: OutcomeClass) -> Company {
    Company { usual: Some(answer(class)), probe: Probe::Down("refused".to_owned()), ..Company::new(name, 1) }
}

#[tokio::test(start_paused = true)]
async fn every_guest_is_written_to_once_in_full_batches_and_the_sum_agrees() {
    let one = Arc::new(Company { batch: 20, ..Company::new("one", 1) });
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(600, &[Channel::Email]).await;
    house.send(id).await;
    assert!(house.until_is(id, CampaignState::Finished).await < Duration::from_secs(20));
    assert_eq!(sorted(one.to()), everybody(600));
    let counts = house.counts(id);
    assert_eq!((counts.accepted, counts.total()), (600, 600));
    assert!(one.seen().len() <= 60, "{} requests for thirty full ones", one.seen().len());
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_one_provider_proves_not_sent_goes_by_the_next_and_the_first_is_left_alone() {
    let first = Arc::new(broken("first", OutcomeClass::NotSent));
    let second = Arc::new(Company::new("second", 2));
    let (_folder, house) = house(&[&first, &second]).await;
    let id = house.campaign(300, &[Channel::Email]).await;
    house.send(id).await;
    assert!(house.until_is(id, CampaignState::Finished).await < Duration::from_secs(30));
    assert_eq!(sorted(second.to()), everybody(300), "each once");
    assert!(matches!(house.shared.accounts()[0].candidate(0).permit, Permit::No { .. }), "it is shut");
    let asked = first.seen().len();
    assert!(asked <= 100, "it was asked {asked} times, as many as may be under way at once");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_goes_nowhere_else_and_its_campaign_ends_partial() {
    let first = Arc::new(Company::new("first", 1).saying([Some(answer(OutcomeClass::Unknown))]));
    let second = Arc::new(Company::new("second", 2));
    let (_folder, house) = house(&[&first, &second]).await;
    let id = house.campaign(3, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Settling).await;
    house.until_is(id, CampaignState::Partial).await;
    assert_eq!((sorted(first.to()), second.to()), (everybody(3), vec![]));
    let counts = house.counts(id);
    assert_eq!((counts.accepted, counts.unknown, counts.total()), (2, 1, 3));
    house.pass(Duration::from_hours(2)).await;
    assert_eq!(first.to().len() + second.to().len(), 3, "nor later");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn in_doubt_it_is_sent_again_by_the_same_provider_where_its_organisation_wants_that() {
    let first = Arc::new(Company::new("first", 1).saying([Some(answer(OutcomeClass::Unknown))]));
    let second = Arc::new(Company::new("second", 2));
    let mut organisation = organisation();
    organisation.resend_unknown = vec![usher_common::model::CampaignClass::Personal];
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder, NOW, &organisation, &[&first, &second]).await;
    let id = house.campaign(1, &[Channel::Email]).await;
    house.send(id).await;
    let took = house.until_is(id, CampaignState::Finished).await;
    assert!(took >= Duration::from_mins(10), "no report came in {took:?}");
    assert_eq!((first.to().len(), second.to().len()), (2, 0));
    let keys: Vec<String> = first.seen().into_iter().map(|seen| seen.key).collect();
    assert_ne!(keys[0], keys[1], "it is another attempt");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn where_keys_are_kept_the_same_request_is_made_again_under_its_key() {
    let keeping = |company: Company| Company { keeps_keys: Some(DAY), batch: 5, ..company };
    let doubt = || Some(answer(OutcomeClass::Unknown));
    // Being refused now says nothing of what was accepted then.
    let script = [doubt(), doubt(), Some(answer(OutcomeClass::Refused))];
    let one = Arc::new(keeping(Company::new("one", 1)).saying(script));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(5, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Finished).await;
    let seen = one.seen();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen.iter().all(|one| one.key == seen[0].key && one.to == seen[0].to), "{seen:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_in_doubt_after_minutes() {
    let silent = Arc::new(Company::new("one", 1).saying([None, None]));
    let (_folder, house) = house(&[&silent]).await;
    let id = house.campaign(2, &[Channel::Email]).await;
    house.send(id).await;
    house.until("both are under way", |_| silent.seen().len() == 2).await;
    house.pass(Duration::from_mins(4)).await;
    assert_eq!(house.counts(id).sending, 2);
    house.pass(Duration::from_mins(2)).await;
    assert_eq!((house.counts(id).unknown, house.counts(id).sending), (2, 0));
    assert_eq!(house.why(id, MessageState::Unknown), ["its answer was lost"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_to_wait_is_not_asked_until_then() {
    let wait = Duration::from_secs(90);
    let later = Answer { retry_after: Some(wait), ..answer(OutcomeClass::Throttled) };
    let one = Arc::new(Company::new("one", 1).saying([Some(later)]));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(1, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Finished).await;
    let at: Vec<Duration> = one.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(at.len(), 2);
    let waited = at[1].saturating_sub(at[0]);
    assert!(waited >= wait && waited < wait + Duration::from_secs(5), "{waited:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_goes_one_by_one_so_that_each_has_its_own_answer() {
    let refused = || Some(answer(OutcomeClass::Refused));
    let one = Arc::new(Company { batch: 4, ..Company::new("one", 1) }.saying([refused(), refused()]));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(4, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Partial).await;
    let sizes: Vec<usize> = one.seen().iter().map(|seen| seen.to.len()).collect();
    assert_eq!(sizes, [4, 1, 1, 1, 1]);
    let counts = house.counts(id);
    assert_eq!((counts.accepted, counts.failed), (3, 1));
    assert!(house.why(id, MessageState::Failed)[0].starts_with("the message was refused"));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn whom_one_provider_does_not_reach_another_does_and_whom_nobody_reaches_fails() {
    let far = ["g0@guest.example", "g1@guest.example"];
    let abroad = reaching(OutcomeClass::Unusable, Scope::Region);
    // The first does not write to two, the second does not serve the first that it is asked for.
    let first = Arc::new(Company { elsewhere: &["g0@guest.example", "g1@guest.example"], ..Company::new("first", 1) });
    let second = Arc::new(Company::new("second", 2).saying([Some(abroad)]));
    let (_folder, house) = house(&[&first, &second]).await;
    let id = house.campaign(4, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Partial).await;
    assert_eq!(sorted(first.to()), everybody(4)[2..]);
    assert_eq!(sorted(second.to()), far);
    let counts = house.counts(id);
    assert_eq!((counts.accepted, counts.failed), (3, 1));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_written_fails_alone_out_of_its_batch() {
    let one = Arc::new(Company { batch: 5, unwritable: &["g2@guest.example"], ..Company::new("one", 1) });
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(5, &[Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Partial).await;
    assert_eq!((one.seen().len(), one.to().len()), (1, 4));
    assert_eq!(house.why(id, MessageState::Failed), ["the recipient's address cannot be written"]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_campaign_begins_at_its_hour_and_not_before() {
    let one = Arc::new(Company::new("one", 1));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(2, &[Channel::Email]).await;
    let hour = Schedule::At { at: NOW.plus_millis(7_200_000), zone: "UTC".to_owned() };
    let row = house.campaigns.row(id, None).unwrap();
    house.campaigns.send(&by(), &row, Some(hour), house.clock.now()).await.unwrap();
    house.dispatcher.look(id);
    house.until_is(id, CampaignState::Scheduled).await;
    house.until_is(id, CampaignState::Finished).await;
    let at = one.seen()[0].at;
    assert!(at >= Duration::from_hours(2) && at < Duration::from_hours(2) + Duration::from_secs(5), "{at:?}");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_waits_what_goes_on_is_sent_and_what_is_cancelled_is_counted() {
    let first = Arc::new(broken("first", OutcomeClass::NotSent));
    let (_folder, house) = house(&[&first]).await;
    let id = house.campaign(700, &[Channel::Email]).await;
    house.send(id).await;
    house
        .until("its breaker is open", |house| {
            matches!(house.shared.accounts()[0].candidate(0).permit, Permit::No { .. })
        })
        .await;
    house.act(id, Event::Pause).await;
    house.pass(Duration::from_secs(5)).await;
    let asked = first.seen().len();
    house.pass(Duration::from_mins(30)).await;
    assert_eq!(first.seen().len(), asked, "nothing goes while it is paused");
    house.act(id, Event::Resume).await;
    house.pass(Duration::from_mins(5)).await;
    house.act(id, Event::Cancel).await;
    house.until("all are cancelled", |house| house.counts(id).cancelled == 700).await;
    assert_eq!((house.state(id), house.counts(id).total()), (CampaignState::Cancelled, 700));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_is_cancelled_before_it_is_expanded_accounts_for_everybody() {
    let one = Arc::new(Company::new("one", 1));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(300, &[Channel::Email]).await;
    let hour = Schedule::At { at: NOW.plus_millis(3_600_000), zone: "UTC".to_owned() };
    let row = house.campaigns.row(id, None).unwrap();
    house.campaigns.send(&by(), &row, Some(hour), house.clock.now()).await.unwrap();
    house.act(id, Event::Cancel).await;
    house.until("all are cancelled", |house| house.counts(id).cancelled == 300).await;
    house.pass(Duration::from_hours(2)).await;
    assert_eq!(one.seen(), []);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_in_its_time_expires() {
    let first = Arc::new(broken("first", OutcomeClass::NotSent));
    let (_folder, house) = house(&[&first]).await;
    let id = house.campaign_for(10, &[Channel::Email], 1).await;
    house.send(id).await;
    let took = house.until_is(id, CampaignState::Partial).await;
    let hour = Duration::from_hours(1);
    assert!(took >= hour && took < hour + Duration::from_secs(10), "{took:?}");
    let counts = house.counts(id);
    assert_eq!((counts.expired, counts.total()), (10, 10));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_are_begun_in_an_hour_than_the_tier_allows() {
    let one = Arc::new(Company::new("one", 1));
    let mut organisation = organisation();
    organisation.tier = Tier::Free;
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder, NOW, &organisation, &[&one]).await;
    let id = house.campaign(90, &[Channel::Email]).await;
    house.send(id).await;
    house.pass(Duration::from_mins(59)).await;
    assert_eq!((one.to().len(), house.counts(id).queued), (50, 40), "to the message");
    let took = house.until_is(id, CampaignState::Finished).await;
    assert!(took < Duration::from_mins(2), "{took:?}");
    assert_eq!(sorted(one.to()), everybody(90));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn by_another_channel_goes_what_its_own_does_not_reach_and_what_waits_too_long() {
    let sms = |company: Company| Company { channel: Channel::Sms, ..company };
    let dead = sms(Company::new("texts", 1)).saying([Some(answer(OutcomeClass::Recipient))]);
    let down = sms(broken("texts", OutcomeClass::NotSent));
    for (texts, by_mail, least) in [(dead, 1, Duration::ZERO), (down, 3, Duration::from_mins(10))] {
        let (texts, mail) = (Arc::new(texts), Arc::new(Company::new("mail", 1)));
        let mut organisation = organisation();
        organisation.fallback_to = vec![Channel::Email];
        let folder = tempfile::tempdir().unwrap();
        let house = House::start(&folder, NOW, &organisation, &[&texts, &mail]).await;
        let id = house.campaign(3, &[Channel::Sms, Channel::Email]).await;
        house.send(id).await;
        let took = house.until_is(id, CampaignState::Finished).await;
        assert!(took >= least && took < least + Duration::from_mins(2), "{took:?}");
        assert_eq!(mail.to().len(), by_mail);
        assert_eq!(house.counts(id).total(), 3);
        house.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_waits_for_as_long_as_that_holds_and_then_goes() {
    let one = Arc::new(Company::new("one", 1));
    let (_folder, house) = house(&[&one]).await;
    let id = house.campaign(20, &[Channel::Email]).await;
    house.shared.hold(&by(), &Target::All, Some(Duration::from_mins(30))).await.unwrap();
    house.send(id).await;
    house.pass(Duration::from_mins(29)).await;
    assert_eq!((one.seen(), house.counts(id).queued), (vec![], 20));
    let took = house.until_is(id, CampaignState::Finished).await;
    assert!(took < Duration::from_mins(2), "{took:?}");
    assert_eq!(sorted(one.to()), everybody(20));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_provider_takes_nothing_and_a_held_one_keeps_what_is_its() {
    let (first, second) = (Arc::new(Company::new("first", 1)), Arc::new(Company::new("second", 2)));
    let (_folder, house) = house(&[&first, &second]).await;
    let id = house.campaign(30, &[Channel::Email]).await;
    let provider = Target::Provider("first".to_owned());
    house.shared.hold(&by(), &provider, None).await.unwrap();
    house.send(id).await;
    house.pass(Duration::from_mins(10)).await;
    assert_eq!((first.seen(), second.seen()), (vec![], vec![]), "a hold moves nothing");
    house.shared.steer(&by(), "first", &Steer::Drain, Duration::from_hours(1)).await.unwrap();
    house.until_is(id, CampaignState::Finished).await;
    assert_eq!((first.seen(), sorted(second.to())), (vec![], everybody(30)));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_only_a_broken_provider_may_carry_waits_and_holds_nobody_up() {
    let abroad = reaching(OutcomeClass::Unusable, Scope::Region);
    let first = Arc::new(Company::new("first", 1).saying([Some(abroad)]));
    let second = Arc::new(Company { rank: 2, ..broken("second", OutcomeClass::NotSent) });
    let (_folder, house) = house(&[&first, &second]).await;
    let id = house.campaign_for(200, &[Channel::Email], 1).await;
    house.send(id).await;
    let took = house.until("all but one are accepted", |house| house.counts(id).accepted == 199).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    house.until_is(id, CampaignState::Partial).await;
    let counts = house.counts(id);
    assert_eq!((counts.accepted, counts.expired, counts.total()), (199, 1, 200));
    assert_eq!(
        (first.to().len(), sorted(first.to())),
        (200, everybody(200)),
        "whom it does not serve it hears of once"
    );
    let asked = second.seen().len();
    assert!(asked < 20, "what is shut is left alone, and was asked {asked} times");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_no_other_channel_waits_for_its_own() {
    let texts = Company { channel: Channel::Sms, ..broken("texts", OutcomeClass::NotSent) };
    let (texts, mail) = (Arc::new(texts), Arc::new(Company::new("mail", 1)));
    let mut organisation = organisation();
    organisation.fallback_to = vec![Channel::Slack];
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder, NOW, &organisation, &[&texts, &mail]).await;
    let id = house.campaign(3, &[Channel::Sms, Channel::Email]).await;
    house.send(id).await;
    house.pass(Duration::from_mins(40)).await;
    assert_eq!((house.counts(id).queued, mail.seen()), (3, vec![]));
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_bounces_goes_by_another_channel_also_after_its_campaigns_end() {
    let texts = Arc::new(Company { channel: Channel::Sms, ..Company::new("texts", 1) });
    let mail = Arc::new(Company::new("mail", 1));
    let mut organisation = organisation();
    organisation.fallback_to = vec![Channel::Email];
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(&folder, NOW, &organisation, &[&texts, &mail]).await;
    let id = house.campaign(3, &[Channel::Sms, Channel::Email]).await;
    house.send(id).await;
    house.until_is(id, CampaignState::Finished).await;
    let elsewhere: Arc<dyn Elsewhere> = Arc::<super::Shared>::clone(&house.shared);
    let desk = Desk::new(house.campaigns.book().clone(), house.clock.clone()).with_fallback(elsewhere);
    let sent = house.campaigns.book().store().messages(id, None, None, 1).unwrap().messages;
    let report = Report {
        event: "e1".to_owned(),
        message: Some(sent[0].id),
        provider_id: String::new(),
        recipient: None,
        kind: Kind::HardBounce,
        at: None,
        code: String::new(),
        detail: String::new(),
    };
    let filed = desk.file("texts", std::slice::from_ref(&report)).await.unwrap();
    assert_eq!((filed.moved, desk.file("texts", std::slice::from_ref(&report)).await.unwrap().doubled), (1, 1));
    assert_eq!(filed.lanes.into_iter().collect::<Vec<_>>(), [Lane { campaign: id, channel: Channel::Email }]);
    house.dispatcher.look(id);
    house.until("it has gone by mail", |_| mail.to().len() == 1).await;
    house.until_is(id, CampaignState::Finished).await;
    assert_eq!((texts.to().len(), house.counts(id).total()), (3, 3));
    house.close().await;
}
