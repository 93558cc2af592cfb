//! What people wrote: texts of campaigns and templates, of any length, each under one name.

use usher_common::model::{CampaignId, ListId, TemplateBody};

use super::*;

/// The longest value is this long; a piece is 7 KiB.
const LONG: usize = 448 * 1024;

async fn store() -> (tempfile::TempDir, Store, ListId) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let list = store.list_ensure(&by(), "everyone", NOW).await.unwrap();
    (dir, store, list)
}

fn new(name: u8, list: ListId, sealed_spec: Vec<u8>) -> NewCampaign {
    NewCampaign {
        name_hash: [name; 16],
        sealed_spec,
        organisation: "ada-and-ben".into(),
        list,
        channels: vec![Channel::Email],
    }
}

fn act() -> AuditEntry {
    AuditEntry::Act { act: "campaign.approve".into(), object: String::new(), detail: String::new() }
}

fn row(store: &Store, id: CampaignId) -> CampaignRow {
    store.campaign(id).unwrap()
}

#[tokio::test]
async fn a_campaigns_name_is_its_own_until_it_is_deleted_and_again_when_it_comes_back() {
    let (_dir, store, list) = store().await;
    let id = store.campaign_create(&by(), &new(1, list, vec![1]), NOW).await.unwrap();
    let taken = store.campaign_create(&by(), &new(1, list, vec![2]), NOW).await;
    assert!(matches!(taken, Err(Error::Taken { .. })), "{taken:?}");
    assert_eq!(store.campaigns().unwrap().len(), 1);

    let before = row(&store, id);
    store.campaign_delete(&by(), &before, &[1; 16], NOW).await.unwrap();
    assert_eq!(row(&store, id).record.deleted, Some(NOW));
    let late = store.campaign_delete(&by(), &before, &[1; 16], NOW).await;
    assert!(matches!(late, Err(Error::Changed { .. })), "{late:?}");
    let other = store.campaign_create(&by(), &new(1, list, vec![3]), NOW).await.unwrap();
    assert_ne!(other, id);

    let deleted = row(&store, id);
    let taken = store.campaign_restore(&by(), &deleted, &[1; 16], None).await;
    assert!(matches!(taken, Err(Error::Taken { .. })), "{taken:?}");
    store.campaign_restore(&by(), &deleted, &[2; 16], Some(&[9, 9])).await.unwrap();
    assert_eq!((row(&store, id).record.deleted, store.campaign_spec(id).unwrap()), (None, vec![9, 9]));
    let taken = store.campaign_create(&by(), &new(2, list, vec![4]), NOW).await;
    assert!(matches!(taken, Err(Error::Taken { .. })), "{taken:?}");
    store.campaign_delete(&by(), &row(&store, id), &[2; 16], NOW).await.unwrap();
    store.campaign_restore(&by(), &row(&store, id), &[2; 16], None).await.unwrap();
    assert_eq!(store.campaign_spec(id).unwrap(), [9, 9], "its text is what it was");
}

#[tokio::test]
async fn of_a_list_that_is_gone_no_campaign_is_made() {
    let (_dir, store, list) = store().await;
    let seen = store.list_version(list).unwrap();
    store.list_delete(&by(), list, seen, (0, Vec::new())).await.unwrap();
    let made = store.campaign_create(&by(), &new(1, list, vec![1]), NOW).await;
    assert!(matches!(made, Err(Error::Missing { .. })), "{made:?}");
    assert_eq!(store.campaigns().unwrap(), []);
    assert!(matches!(store.campaign(CampaignId(77)), Err(Error::Missing { .. })));
    assert!(matches!(store.campaign_spec(CampaignId(77)), Err(Error::Missing { .. })));
}

#[tokio::test]
async fn a_rewritten_campaign_has_the_new_text_whole_and_no_pinned_words() {
    let (_dir, store, list) = store().await;
    let long: Vec<u8> = (0..LONG).map(|n| (n % 251) as u8).collect();
    let id = store.campaign_create(&by(), &new(1, list, long.clone()), NOW).await.unwrap();
    assert_eq!(store.campaign_spec(id).unwrap(), long);
    store.campaign_create(&by(), &new(2, list, vec![1]), NOW).await.unwrap();
    let draft = row(&store, id);
    store.campaign_update(&by(), &draft, &draft.record, Some(&long[..20_000]), act()).await.unwrap();
    assert_eq!(store.campaign_body(id).unwrap().as_deref(), Some(&long[..20_000]));

    let pinned = row(&store, id);
    let write = |row: &CampaignRow, name: u8, text: &[u8]| {
        let (store, row, text) = (store.clone(), row.clone(), text.to_vec());
        async move { store.campaign_rewrite(&by(), &row, &row.record, (&[1; 16], &[name; 16]), &text).await }
    };
    let taken = write(&pinned, 2, &[5]).await;
    assert!(matches!(taken, Err(Error::Taken { .. })), "{taken:?}");
    let late = write(&draft, 3, &[5]).await;
    assert!(matches!(late, Err(Error::Changed { .. })), "{late:?}");
    assert_eq!(store.campaign_spec(id).unwrap(), long, "nothing of either");

    // A shorter text leaves no end of the longer one behind it.
    write(&pinned, 1, &long[..8_000]).await.unwrap();
    assert_eq!((store.campaign_spec(id).unwrap(), store.campaign_body(id).unwrap()), (long[..8_000].to_vec(), None));
    write(&row(&store, id), 3, &[]).await.unwrap();
    assert_eq!(store.campaign_spec(id).unwrap(), [0; 0]);
    // The name that it had is free.
    store.campaign_create(&by(), &new(1, list, vec![1]), NOW).await.unwrap();
}

#[tokio::test]
async fn templates_are_kept_whole_and_none_is_another_ones_beginning() {
    let (dir, store, _) = store().await;
    let body = |text: &str, times: usize| TemplateBody { text: text.repeat(times), ..TemplateBody::default() };
    assert_eq!(store.template("save").unwrap(), None);
    store.template_save(&by(), "save", &body("é", 40_000), NOW).await.unwrap();
    store.template_save(&by(), "save-the-date", &body("b", 1), NOW).await.unwrap();
    store.template_save(&by(), "save", &body("a", 9_000), Timestamp(5)).await.unwrap();
    store.engine().clone().close().await.unwrap();
    drop(store);
    let store = open(dir.path());
    let kept = [("save".to_owned(), Timestamp(5), body("a", 9_000)), ("save-the-date".to_owned(), NOW, body("b", 1))];
    assert_eq!(store.templates().unwrap(), kept);
}
