//! Guest lists: who is on them, by which address, and that two who write at once do not undo each other.

use usher_common::model::ListId;

use super::*;

/// A guest to be written, known by an address that names it and a number that it may share.
fn guest(id: u64, seen: Option<u64>, address: u8, number: u8) -> GuestUpsert {
    let addresses = vec![([address; 16], true), ([number; 16], false)];
    GuestUpsert { id: GuestId(id), seen, sealed: vec![id as u8; 20], addresses, left: Vec::new() }
}

fn act() -> AuditEntry {
    AuditEntry::Act { act: "guests.import".into(), object: String::new(), detail: String::new() }
}

async fn write(store: &Store, list: ListId, guests: &[GuestUpsert]) -> Result<Upserted, Error> {
    store.guests_write(&by(), list, guests, act(), NOW).await
}

fn whose(store: &Store, list: ListId, hash: u8) -> Option<u64> {
    store.guest_by_address(list, &[hash; 16]).unwrap().map(|record| record.guest.0)
}

async fn list() -> (tempfile::TempDir, Store, ListId) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let list = store.list_ensure(&by(), "everyone", NOW).await.unwrap();
    (dir, store, list)
}

#[tokio::test]
async fn a_list_has_one_name_and_columns_that_keep_their_place() {
    let (_dir, store, everyone) = list().await;
    let ana = by();
    let both = tokio::join!(store.list_ensure(&ana, "family", NOW), store.list_ensure(&ana, "family", NOW));
    let family = both.0.unwrap();
    assert_eq!(both.1.unwrap(), family, "two who make it at once have the same");
    assert_eq!(store.list_ensure(&by(), "family", NOW).await.unwrap(), family);
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    store.list_columns(&by(), family, &columns(&["table", "hotel"])).await.unwrap();
    store.list_columns(&by(), family, &columns(&["song", "table"])).await.unwrap();
    assert_eq!(store.list(family).unwrap().custom, ["table", "hotel", "song"]);
    let version = store.list_version(family).unwrap();
    store.list_columns(&by(), family, &columns(&["song"])).await.unwrap();
    assert_eq!(store.list_version(family).unwrap(), version, "nothing was new");
    let lists = store.lists().unwrap();
    let named: Vec<_> = lists.iter().map(|(id, record, size)| (*id, record.name.as_str(), *size)).collect();
    assert_eq!(named, [(everyone, "everyone", 0), (family, "family", 0)]);
}

#[tokio::test]
async fn guests_are_written_all_or_none_and_not_over_what_somebody_else_wrote() {
    let (_dir, store, list) = list().await;
    let done = write(&store, list, &[guest(1, None, 11, 90), guest(2, None, 12, 90)]).await.unwrap();
    assert_eq!((done.added, done.changed, store.guests_on(list).unwrap()), (2, 0, 2));
    assert_eq!(whose(&store, list, 90), Some(2), "in one write the later");
    let row = store.guest(list, GuestId(1)).unwrap().unwrap();
    let again = GuestUpsert { left: vec![[11; 16]], ..guest(1, Some(row.version), 21, 90) };
    let done = write(&store, list, &[again.clone(), guest(3, None, 13, 91)]).await.unwrap();
    assert_eq!((done.added, done.changed, store.guests_on(list).unwrap()), (1, 1, 3));
    assert_eq!((whose(&store, list, 11), whose(&store, list, 21)), (None, Some(1)));
    assert_eq!(whose(&store, list, 90), Some(2), "a shared number keeps leading where it led");

    let stale = write(&store, list, &[guest(4, None, 14, 92), again]).await;
    assert!(matches!(stale, Err(Error::Changed { .. })), "{stale:?}");
    assert_eq!((whose(&store, list, 14), store.guests_on(list).unwrap()), (None, 3), "nothing of it");
    let twice = write(&store, list, &[guest(3, None, 15, 93)]).await;
    assert!(matches!(twice, Err(Error::Changed { .. })), "{twice:?}");
    let ids = |after| store.guests(list, after, 2).unwrap().iter().map(|guest| guest.id.0).collect::<Vec<_>>();
    assert_eq!((ids(None), ids(Some(GuestId(2)))), (vec![1, 2], vec![3]));
}

#[tokio::test]
async fn a_deleted_guest_leaves_no_way_to_it_and_takes_nobody_elses() {
    let (_dir, store, list) = list().await;
    write(&store, list, &[guest(1, None, 11, 90)]).await.unwrap();
    write(&store, list, &[guest(2, None, 12, 90)]).await.unwrap();
    let gone = store.guest(list, GuestId(2)).unwrap().unwrap();
    store.guest_delete(&by(), &gone, &[[12; 16], [90; 16]], NOW).await.unwrap();
    assert_eq!((store.guest(list, GuestId(2)).unwrap(), store.guests_on(list).unwrap()), (None, 1));
    assert_eq!((whose(&store, list, 12), whose(&store, list, 90)), (None, Some(1)), "the number is the first one's");
    let again = store.guest_delete(&by(), &gone, &[], NOW).await;
    assert!(matches!(again, Err(Error::Changed { .. })), "{again:?}");
    assert_eq!(store.guests_on(list).unwrap(), 1);
}

#[tokio::test]
async fn a_list_goes_with_all_that_leads_to_it_unless_somebody_writes_to_it() {
    let (_dir, store, list) = list().await;
    // More than one commit clears away, of guests and of addresses.
    for part in 0..3 {
        let guests: Vec<GuestUpsert> = (0..400_u64)
            .map(|n| {
                let id = 1 + part * 400 + n;
                let mut hash = [0; 16];
                hash[..8].copy_from_slice(&id.to_be_bytes());
                let addresses = vec![(hash, true)];
                GuestUpsert { id: GuestId(id), seen: None, sealed: vec![1], addresses, left: Vec::new() }
            })
            .collect();
        write(&store, list, &guests).await.unwrap();
    }
    let seen = store.list_version(list).unwrap();
    assert_eq!(store.list_clear(&by(), list, seen).await.unwrap(), 1_000);
    assert_eq!((store.list_clear(&by(), list, seen).await.unwrap(), store.guests_on(list).unwrap()), (200, 0));
    assert_eq!(store.list_clear(&by(), list, seen).await.unwrap(), 0);

    write(&store, list, &[guest(2_000, None, 200, 201)]).await.unwrap();
    let late = store.list_delete(&by(), list, seen, (1_200, Vec::new())).await;
    assert!(matches!(late, Err(Error::Changed { .. })), "{late:?}");
    let late = store.list_clear(&by(), list, seen).await;
    assert!(matches!(late, Err(Error::Changed { .. })), "{late:?}");
    assert_eq!(store.guests_on(list).unwrap(), 1, "who was written meanwhile is there");

    let seen = store.list_version(list).unwrap();
    assert_eq!(store.list_clear(&by(), list, seen).await.unwrap(), 1);
    store.list_delete(&by(), list, seen, (1_201, vec![7])).await.unwrap();
    assert!(matches!(store.list(list), Err(Error::Missing { .. })));
    assert!(matches!(store.list_version(list), Err(Error::Missing { .. })));
    assert_eq!((store.list_named("everyone").unwrap(), whose(&store, list, 200)), (None, None));
    let gone = write(&store, list, &[guest(2_001, None, 202, 203)]).await;
    assert!(gone.is_err(), "nothing is put on a list that is gone");
}

#[tokio::test]
async fn who_must_not_be_written_to_keeps_the_first_reason_over_a_restart() {
    let (dir, store, _) = list().await;
    let record =
        |reason: &str| SuppressionRecord { reason: reason.to_owned(), since: NOW, evidence: "a form".to_owned() };
    assert_eq!(store.suppression(&[5; 16]).unwrap(), None);
    store.suppress(&by(), &[5; 16], &record("opted out")).await.unwrap();
    store.suppress(&by(), &[5; 16], &record("bounced")).await.unwrap();
    store.engine().clone().close().await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.suppression(&[5; 16]).unwrap(), Some(record("opted out")));
}
