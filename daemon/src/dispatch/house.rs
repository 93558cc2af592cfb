//! For tests: a store with one running campaign of one message, and a dispatcher's room around it that works only when asked.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use usher_common::model::{CampaignId, CampaignState, Channel, GuestId, Timestamp};

use super::{Settings, Shared};
use crate::campaigns::Campaigns;
use crate::clock::Clock;
use crate::guests::GuestBook;
use crate::monitor::{Board, Metrics};
use crate::store::engine::{Engine, Options};
use crate::store::{AuditEntry, By, CampaignRecord, Expansion, NewCampaign, NewMessage, Store};
use crate::vault::Vault;

pub(super) const NOW: Timestamp = Timestamp(1_795_341_600_000);

pub(super) fn by() -> By {
    By { actor: "ada".into(), reason: String::new(), request_id: String::new() }
}

/// The folder, the room and the campaign.
pub(super) async fn house() -> (TempDir, Arc<Shared>, CampaignId) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let vault = Arc::new(Vault::open(folder.path(), None).unwrap().0);
    let options = Options::new(folder.path().join("store"), [1; 32], "boot".to_owned(), Arc::new(|| NOW));
    let store = Store::new(Engine::open(options).unwrap().0);
    let list = store.list_ensure(&by(), "everyone", NOW).await.unwrap();
    let new = NewCampaign {
        name_hash: [1; 16],
        sealed_spec: vec![7],
        organisation: "ada-and-ben".to_owned(),
        list,
        channels: vec![Channel::Email],
    };
    let id = store.campaign_create(&by(), &new, NOW).await.unwrap();
    rewrite(&store, id, |record| record.state = CampaignState::Running).await;
    let messages = vec![NewMessage { guest: GuestId(1), channel: Channel::Email }];
    let part = Expansion { cursor: Some(GuestId(1)), guests: 1, unreachable: 0, last: true, messages };
    store.expand(&by(), &store.campaign(id).unwrap(), &part, NOW).await.unwrap();
    let settings = Settings {
        environment: "test".to_owned(),
        max_concurrent: 1,
        per_campaign: 1,
        batch: 1,
        probe_every: Duration::from_hours(1),
        probe_limit: Duration::from_secs(1),
        absent_after: Duration::from_mins(10),
        per_user: None,
        compact_after: Duration::from_hours(24),
        state_dir: folder.path().to_owned(),
        min_free_bytes: 0,
    };
    let campaigns = Campaigns::new(GuestBook::new(store, vault), &[], b"secret");
    let (clock, board) = (Clock::manual(NOW), Board::new(1));
    let shared = Shared::new(campaigns, Vec::new(), clock, settings, board, Arc::new(Metrics::default()));
    (folder, Arc::new(shared), id)
}

/// Writes a campaign's record anew.
pub(super) async fn rewrite(store: &Store, id: CampaignId, change: impl FnOnce(&mut CampaignRecord)) {
    let row = store.campaign(id).unwrap();
    let mut record = row.record.clone();
    change(&mut record);
    let audit = AuditEntry::Act { act: "campaign.turn".to_owned(), object: String::new(), detail: String::new() };
    store.campaign_update(&by(), &row, &record, None, audit).await.unwrap();
}
