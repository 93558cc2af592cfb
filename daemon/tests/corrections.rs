//! What people want to take back: a draft that is wrong, a name that was taken, a list that nobody needs.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, which is what it is for")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use usher_common::model::{
    Audience, CampaignClass, CampaignId, CampaignSpec, CampaignState, Channel, GuestChange, GuestId, ListId, Reach,
    Schedule, Timestamp,
};
use usher_common::protocol::GuestName;
use usherd::campaigns::lifecycle::Event;
use usherd::campaigns::{CampaignError, Campaigns};
use usherd::config::{Config, Sources};
use usherd::guests::{BookError, GuestBook, Intake, Source};
use usherd::store::engine::{Engine, Options};
use usherd::store::{ActRecord, By, Store};
use usherd::vault::Vault;

const NOW: Timestamp = Timestamp(1_795_348_800_000);

fn by() -> By {
    By { actor: "ada".into(), reason: "a test".into(), request_id: "r1".into() }
}

struct House {
    folder: tempfile::TempDir,
    campaigns: Campaigns,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (vault, _) = Vault::open(folder.path(), None).unwrap();
        let options = Options::new(folder.path().join("store"), [7; 32], "boot".into(), Arc::new(|| NOW));
        let (engine, _) = Engine::open(options).unwrap();
        let book = GuestBook::new(Store::new(engine), Arc::new(vault));
        let campaigns = Campaigns::new(book, &organisations(folder.path()), b"secret");
        Self { folder, campaigns }
    }

    fn book(&self) -> &GuestBook {
        self.campaigns.book()
    }

    async fn list(&self) -> ListId {
        let fields = [("email", "ada@example.com"), ("name", "Ada")];
        let fields = fields.map(|(field, value)| GuestChange { field: field.into(), value: value.into() });
        self.book().add(&by(), "everyone", &fields, "Ada", NOW).await.unwrap().list
    }

    async fn import(&self, list: &str, csv: &str) -> Result<u64, BookError> {
        let source = Source { file: "guests.csv", vouched_by: "Ada", country: "" };
        let mut intake = Intake::begin(self.book().clone(), by(), list, source, false)?;
        intake.push(csv.as_bytes(), NOW).await?;
        Ok(intake.finish(NOW).await?.added)
    }

    fn state(&self, id: CampaignId) -> CampaignState {
        self.campaigns.row(id, None).unwrap().record.state
    }
}

fn organisations(folder: &Path) -> Vec<usherd::config::Organisation> {
    let file = folder.join("usherd.toml");
    std::fs::write(&file, "[[organisation]]\nname = \"ada-and-ben\"\n").unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    Config::load(&sources).unwrap().config.organisations
}

fn spec(name: &str, list: ListId) -> CampaignSpec {
    CampaignSpec {
        name: name.to_owned(),
        description: String::new(),
        organisation: "ada-and-ben".to_owned(),
        class: CampaignClass::Personal,
        channels: vec![Channel::Email],
        reach: Reach::Preferred,
        audience: Audience::List(list),
        template: "invitation".to_owned(),
        values: BTreeMap::new(),
        schedule: Schedule::Now,
        expires_after_hours: 0,
        whatsapp: None,
    }
}

#[tokio::test]
async fn an_edited_campaign_is_a_draft_again_with_the_words_of_its_template() {
    let house = House::open();
    let list = house.list().await;
    let id = house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    house.campaigns.approve(&by(), &house.campaigns.row(id, None).unwrap()).await.unwrap();
    assert!(house.book().store().campaign_body(id).unwrap().is_some());

    let edited = CampaignSpec { template: "wedding-week".into(), channels: vec![Channel::Sms], ..spec("Two", list) };
    let row = house.campaigns.row(id, None).unwrap();
    house.campaigns.edit(&by(), &row, edited.clone(), NOW).await.unwrap();
    assert_eq!(house.campaigns.spec(id).unwrap(), edited);
    let row = house.campaigns.row(id, None).unwrap();
    assert_eq!((row.record.state, row.record.channels.as_slice()), (CampaignState::Draft, &[Channel::Sms][..]));
    assert_eq!(row.record.approved_by, "");
    assert!(house.book().store().campaign_body(id).unwrap().is_none(), "approved words are pinned no longer");

    // Its old name is free, its new one is not.
    house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    let taken = house.campaigns.create(&by(), spec("two", list), NOW).await.unwrap_err();
    assert!(taken.to_string().contains("two"), "{taken}");
    let back = house.campaigns.edit(&by(), &row, spec("One", list), NOW).await.unwrap_err();
    assert!(back.to_string().contains("One"), "{back}");
}

#[tokio::test]
async fn a_campaign_and_the_request_that_wrote_it_are_remembered_together() {
    let house = House::open();
    let list = house.list().await;
    let id = house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    // One commit: who got no answer to the request and asks again is shown this campaign, whenever the daemon died.
    assert_eq!(house.book().store().act("r1").unwrap(), Some(ActRecord::Campaign(id.0)));
}

#[tokio::test]
async fn what_has_begun_is_not_edited() {
    let house = House::open();
    let list = house.list().await;
    let id = house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    house.campaigns.step(&by(), &house.campaigns.row(id, None).unwrap(), Event::Cancel, NOW).await.unwrap();
    let row = house.campaigns.row(id, None).unwrap();
    let refused = house.campaigns.edit(&by(), &row, spec("Two", list), NOW).await.unwrap_err();
    assert!(matches!(refused, CampaignError::State(_)), "{refused}");
    assert_eq!(house.campaigns.spec(id).unwrap().name, "One");
}

#[tokio::test]
async fn a_campaign_whose_name_was_taken_comes_back_under_another() {
    let house = House::open();
    let list = house.list().await;
    let id = house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    house.campaigns.delete(&by(), &house.campaigns.row(id, None).unwrap(), NOW).await.unwrap();
    house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    let row = house.campaigns.row(id, None).unwrap();
    let taken = house.campaigns.restore(&by(), &row, None, NOW).await.unwrap_err();
    assert!(taken.to_string().contains(&format!("usher campaign restore {id} --name NEW")), "{taken}");
    house.campaigns.restore(&by(), &row, Some(" Another  one "), NOW).await.unwrap();
    assert_eq!(house.campaigns.spec(id).unwrap().name, "Another one");
    let taken = house.campaigns.create(&by(), spec("another one", list), NOW).await;
    assert!(taken.is_err(), "its new name is its own");
}

#[tokio::test]
async fn a_list_goes_with_its_guests_and_their_keys_once_nobody_needs_it() {
    let house = House::open();
    let list = house.list().await;
    let rows: Vec<String> = (0..2_500).map(|n| format!("guest{n}@example.com,Guest {n}")).collect();
    assert_eq!(house.import("everyone", &format!("email,name\n{}", rows.join("\n"))).await.unwrap(), 2_500);
    let id = house.campaigns.create(&by(), spec("One", list), NOW).await.unwrap();
    let needed = house.book().delete_list(&by(), list, &|_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(needed.to_string().contains(&format!("everyone is needed by {id} (draft)")), "{needed}");
    assert!(house.book().find(list, &GuestName::Address("ada@example.com".into())).is_ok(), "nothing went yet");

    house.campaigns.step(&by(), &house.campaigns.row(id, None).unwrap(), Event::Cancel, NOW).await.unwrap();
    assert_eq!(house.book().delete_list(&by(), list, &|_| ControlFlow::Continue(())).await.unwrap(), 2_501);
    let store = house.book().store();
    assert!(store.lists().unwrap().is_empty());
    assert_eq!((store.guests(list, None, 10).unwrap(), store.guests_on(list).unwrap()), (Vec::new(), 0));
    assert_eq!(house.book().vault().erased().len(), 2_501);
    assert_eq!(house.state(id), CampaignState::Cancelled, "what was sent stays told");
    assert!(house.campaigns.create(&by(), spec("Two", list), NOW).await.is_err());

    // The name is free, and the new list knows nobody of the old one.
    assert_eq!(house.import("everyone", "email\nada@example.com\n").await.unwrap(), 1);
    let again = store.list_named("everyone").unwrap().unwrap();
    assert_ne!(again, list);
    let row = house.book().get(again, GuestId(2_502)).unwrap().unwrap();
    assert_eq!(row.guest.email.as_deref(), Some("ada@example.com"));
    assert!(house.folder.path().exists());
}

#[tokio::test]
async fn files_without_a_guest_leave_no_list() {
    let house = House::open();
    for file in ["", "name,table\nAda,1\n", "ada@example.com,Ada\n", "email,name\n", "email,name\nnobody,Ada\n"] {
        let _ = house.import("ghost", file).await;
        assert!(house.book().lists().unwrap().is_empty(), "{file:?}");
    }
    assert_eq!(house.import("ghost", "email,table\nada@example.com,7\n").await.unwrap(), 1);
    let list = house.book().store().list_named("ghost").unwrap().unwrap();
    assert_eq!(house.book().store().list(list).unwrap().custom, ["table"]);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_and_the_past_is_told_in_its_zone() {
    let house = House::open();
    let list = house.list().await;
    for wrong in [
        CampaignSpec { template: "nope".into(), ..spec("One", list) },
        CampaignSpec { organisation: "nope".into(), ..spec("One", list) },
    ] {
        let refused = house.campaigns.create(&by(), wrong, NOW).await.unwrap_err();
        assert!(matches!(refused, CampaignError::Unknown { .. }), "{refused}");
    }
    let schedule = Schedule::At { at: Timestamp(1_577_872_800_000), zone: "Europe/London".into() };
    let past = house.campaigns.create(&by(), CampaignSpec { schedule, ..spec("One", list) }, NOW).await.unwrap_err();
    assert_eq!(
        past.to_string(),
        "schedule: 2020-01-01 10:00 Europe/London is in the past (it is 2026-11-22 12:00 Europe/London now): choose a \
         later one"
    );
}
