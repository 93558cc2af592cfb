//! A sender that a provider refuses stops nobody else: its messages go by another provider, everybody else's by this one.

use usher_common::model::{BreakerState, CampaignState, Channel, ProviderRow};
use usher_common::protocol::{Reply, Request};
use usher_demo::{Desk, Plan, Stage, guest_list};
use usher_sim::{Fault, FaultKind, Provider, Scope};

const OTHER: &str = "[[organisation]]\nname = \"cleo-and-dan\"\ntier = \"INTERNAL\"\npostal_address = \"2 Mill Lane, Bath BA1 1AA\"\n\
                     from_email = \"hello@cleo-and-dan.example\"\nunsubscribe_base = \"https://rsvp.cleo-and-dan.example\"\n\
                     [organisation.values]\nwedding_date = \"19 June 2027\"\nvenue_name = \"The New Mill\"\nceremony_time = \"14:00\"\n\
                     rsvp_deadline = \"1 May 2027\"\ncouple_names = \"Cleo & Dan\"\nrsvp_link = \"https://rsvp.cleo-and-dan.example\"\n\
                     reception_venue = \"The Yard\"\n";

async fn resend(desk: &Desk) -> ProviderRow {
    let Reply::Providers(rows) = desk.ask(Request::Providers).await.unwrap() else { panic!("no providers") };
    rows.into_iter().find(|row| row.name == "resend").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unverified_sender_goes_another_way_and_everybody_else_goes_on() {
    let stage = Stage::set(Plan { extra: OTHER.to_owned(), ..Plan::default() }).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(60, 8).as_bytes()).await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let unverified = FaultKind::Status { status: 403, accepted: false, code: Some("validation_error".to_owned()) };
    stage.simulator.fault(Provider::Resend, Fault::from(unverified).only(Scope::Sends)).await.unwrap();
    let first = desk.send(list, &[Channel::Email]).await.unwrap();
    let end = desk.until(first, |c| c.row.state.is_ended()).await.unwrap();
    assert_eq!((end.row.state, end.row.counts.taken()), (CampaignState::Finished, 60));
    assert_eq!(stage.simulator.counts(Provider::Smtp).accepted, 60, "all of it went by the other one");
    assert_eq!(resend(&desk).await.breaker, BreakerState::Closed, "its account is well");
    stage.simulator.clear(Provider::Resend).await.unwrap();
    let mut spec = Desk::invitation("Theirs", list, &[Channel::Email]);
    "cleo-and-dan".clone_into(&mut spec.organisation);
    let second = desk.write(spec).await.unwrap();
    desk.release(second).await.unwrap();
    desk.until(second, |c| c.row.state == CampaignState::Finished).await.unwrap();
    assert_eq!(stage.simulator.counts(Provider::Resend).accepted, 60, "nobody else was barred");
    assert!(stage.log().contains("it refuses the sender of organisation ada-and-ben"), "{}", stage.log());
}
