//! Campaigns and templates.

use usher_common::model::{CampaignId, CampaignState, ListId, TemplateBody, Timestamp};

use super::engine::{Change, Precondition};
use super::records::{ActRecord, AuditEntry, CampaignRecord};
use super::{By, Error, Sequence, Store, pieces, put, space};

/// A campaign as it is stored, without its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRow {
    /// Its id.
    pub id: CampaignId,
    /// Row version.
    pub version: u64,
    /// The record.
    pub record: CampaignRecord,
}

/// A campaign to be written. Name and text come sealed; `name_hash` keeps names unique.
#[derive(Debug, Clone)]
pub struct NewCampaign {
    /// Keyed hash of its name.
    pub name_hash: [u8; 16],
    /// The sealed [`usher_common::model::CampaignSpec`].
    pub sealed_spec: Vec<u8>,
    /// In the clear, since limits are kept by it.
    pub organisation: String,
    /// Its list.
    pub list: ListId,
    /// Its channels.
    pub channels: Vec<usher_common::model::Channel>,
}

/// The tag of a campaign's row, by which commits are judged.
pub(super) fn state_byte(state: CampaignState) -> u8 {
    match state {
        CampaignState::Draft => 1,
        CampaignState::Approved => 2,
        CampaignState::Scheduled => 3,
        CampaignState::Running => 4,
        CampaignState::Paused => 5,
        CampaignState::Settling => 6,
        CampaignState::Finished => 7,
        CampaignState::Partial => 8,
        CampaignState::Cancelled => 9,
        CampaignState::Unknown => 31,
    }
}

/// The condition that a campaign is in one of these states.
pub(super) fn in_state(id: CampaignId, states: &[CampaignState]) -> Precondition {
    let states = states.iter().fold(0, |set, &state| set | 1 << state_byte(state));
    Precondition::StateIn { space: space::CAMPAIGN, key: space::id(id.0), states }
}

/// The change that writes a campaign's row.
pub(super) fn put_record(id: CampaignId, record: &CampaignRecord) -> Change {
    put(space::CAMPAIGN, space::id(id.0), state_byte(record.state), record)
}

impl Store {
    /// Writes a campaign as a draft, and remembers that the request of `by` came to it.
    pub async fn campaign_create(&self, by: &By, new: &NewCampaign, now: Timestamp) -> Result<CampaignId, Error> {
        let name = new.name_hash.to_vec();
        if self.engine.get(space::CAMPAIGN_NAME, &name)?.is_some() {
            return Err(taken());
        }
        let id = CampaignId(self.reserve(Sequence::Campaign, 1, by).await?);
        let record = CampaignRecord {
            state: CampaignState::Draft,
            paused_from: None,
            organisation: new.organisation.clone(),
            list: new.list,
            channels: new.channels.clone(),
            cursor: None,
            guests: 0,
            unreachable: 0,
            messages: 0,
            expanded: false,
            created: now,
            due: None,
            expires: None,
            ended: None,
            settling: None,
            deleted: None,
            approved_by: String::new(),
        };
        let mut changes = vec![put_record(id, &record), put(space::CAMPAIGN_NAME, name.clone(), 0, &id.0)];
        changes.extend(self.pieces_put(space::CAMPAIGN_SPEC, &space::id(id.0), &new.sealed_spec)?);
        // With the campaign itself: a crash between the two would tell who asks again that the name is taken.
        if !by.request_id.is_empty() {
            changes.push(put(space::ACT, by.request_id.as_bytes().to_vec(), 0, &ActRecord::Campaign(id.0)));
        }
        let audit =
            AuditEntry::Act { act: "campaign.create".into(), object: id.to_string(), detail: new.organisation.clone() };
        let expect =
            vec![Precondition::Absent { space: space::CAMPAIGN_NAME, key: name }, super::guests::there(new.list)];
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(_) => Ok(id),
            // Either somebody took the name, or the list went.
            Err(super::CommitError::Conflict { .. }) => Err(self.list(new.list).err().unwrap_or_else(taken)),
            Err(e) => Err(e.into()),
        }
    }

    /// All campaigns in order of id, deleted ones too.
    pub fn campaigns(&self) -> Result<Vec<CampaignRow>, Error> {
        let mut rows = Vec::new();
        for row in self.engine.scan_prefix(space::CAMPAIGN, &[]) {
            let (key, row) = row?;
            rows.push(CampaignRow {
                id: CampaignId(space::last_id(&key).unwrap_or_default()),
                version: row.version,
                record: super::decode(&row.value, "a campaign")?,
            });
        }
        Ok(rows)
    }

    /// A campaign.
    pub fn campaign(&self, id: CampaignId) -> Result<CampaignRow, Error> {
        self.read(space::CAMPAIGN, &space::id(id.0), "a campaign")?
            .map(|(record, row)| CampaignRow { id, version: row.version, record })
            .ok_or_else(|| Error::Missing { what: "campaign", name: id.to_string() })
    }

    /// A campaign as its author wrote it, sealed.
    pub fn campaign_spec(&self, id: CampaignId) -> Result<Vec<u8>, Error> {
        self.pieces_get(space::CAMPAIGN_SPEC, &space::id(id.0))?
            .ok_or_else(|| Error::Missing { what: "text of campaign", name: id.to_string() })
    }

    /// The words that were pinned when it was approved, sealed; `None` before.
    pub fn campaign_body(&self, id: CampaignId) -> Result<Option<Vec<u8>>, Error> {
        self.pieces_get(space::CAMPAIGN_BODY, &space::id(id.0))
    }

    /// Changes a campaign, if nobody changed it since `row` was read. `body` pins its words.
    pub async fn campaign_update(
        &self,
        by: &By,
        row: &CampaignRow,
        record: &CampaignRecord,
        body: Option<&[u8]>,
        audit: AuditEntry,
    ) -> Result<u64, Error> {
        let mut changes = vec![put_record(row.id, record)];
        if let Some(body) = body {
            changes.extend(self.pieces_put(space::CAMPAIGN_BODY, &space::id(row.id.0), body)?);
        }
        self.campaign_commit(by, row, changes, audit).await
    }

    /// Puts a campaign aside and frees its name.
    pub async fn campaign_delete(
        &self,
        by: &By,
        row: &CampaignRow,
        name_hash: &[u8; 16],
        now: Timestamp,
    ) -> Result<u64, Error> {
        let record = CampaignRecord { deleted: Some(now), ..row.record.clone() };
        let changes =
            vec![put_record(row.id, &record), Change::Delete { space: space::CAMPAIGN_NAME, key: name_hash.to_vec() }];
        let audit =
            AuditEntry::Act { act: "campaign.delete".into(), object: row.id.to_string(), detail: String::new() };
        self.campaign_commit(by, row, changes, audit).await
    }

    /// Writes a campaign anew: its record and its text. Words that were pinned are so no longer. `before` is the hash of
    /// its name until now.
    pub async fn campaign_rewrite(
        &self,
        by: &By,
        row: &CampaignRow,
        record: &CampaignRecord,
        (before, now): (&[u8; 16], &[u8; 16]),
        sealed_spec: &[u8],
    ) -> Result<u64, Error> {
        let mut changes = vec![put_record(row.id, record)];
        if before != now {
            if self.engine.get(space::CAMPAIGN_NAME, now)?.is_some() {
                return Err(taken());
            }
            changes.push(Change::Delete { space: space::CAMPAIGN_NAME, key: before.to_vec() });
            changes.push(put(space::CAMPAIGN_NAME, now.to_vec(), 0, &row.id.0));
        }
        changes.extend(self.pieces_put(space::CAMPAIGN_SPEC, &space::id(row.id.0), sealed_spec)?);
        changes.extend(self.pieces_delete(space::CAMPAIGN_BODY, &space::id(row.id.0))?);
        let audit = AuditEntry::Act { act: "campaign.edit".into(), object: row.id.to_string(), detail: String::new() };
        self.campaign_commit(by, row, changes, audit).await
    }

    /// Brings a campaign back; its name must be free. `renamed` is its text, where that says another name than before.
    pub async fn campaign_restore(
        &self,
        by: &By,
        row: &CampaignRow,
        name_hash: &[u8; 16],
        renamed: Option<&[u8]>,
    ) -> Result<u64, Error> {
        if self.engine.get(space::CAMPAIGN_NAME, name_hash)?.is_some() {
            return Err(taken());
        }
        let record = CampaignRecord { deleted: None, ..row.record.clone() };
        let mut changes =
            vec![put_record(row.id, &record), put(space::CAMPAIGN_NAME, name_hash.to_vec(), 0, &row.id.0)];
        if let Some(spec) = renamed {
            changes.extend(self.pieces_put(space::CAMPAIGN_SPEC, &space::id(row.id.0), spec)?);
        }
        let audit =
            AuditEntry::Act { act: "campaign.restore".into(), object: row.id.to_string(), detail: String::new() };
        self.campaign_commit(by, row, changes, audit).await
    }

    async fn campaign_commit(
        &self,
        by: &By,
        row: &CampaignRow,
        changes: Vec<Change>,
        audit: AuditEntry,
    ) -> Result<u64, Error> {
        let expect =
            vec![Precondition::Version { space: space::CAMPAIGN, key: space::id(row.id.0), version: row.version }];
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(done) => Ok(done.lsn),
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "campaign", name: row.id.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Templates of one's own, by name.
    pub fn templates(&self) -> Result<Vec<(String, Timestamp, TemplateBody)>, Error> {
        let mut names: Vec<String> = Vec::new();
        for row in self.engine.scan_prefix(space::TEMPLATE, &[]) {
            let (key, _) = row?;
            let name = key.split(|&b| b == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        let mut templates = Vec::new();
        for name in names {
            if let Some((changed, body)) = self.template(&name)? {
                templates.push((name, changed, body));
            }
        }
        Ok(templates)
    }

    /// A template of one's own.
    pub fn template(&self, name: &str) -> Result<Option<(Timestamp, TemplateBody)>, Error> {
        match self.pieces_get(space::TEMPLATE, name.as_bytes())? {
            None => Ok(None),
            Some(bytes) => Ok(Some(super::decode_long(&bytes, "a template")?)),
        }
    }

    /// Writes a template of one's own.
    pub async fn template_save(&self, by: &By, name: &str, body: &TemplateBody, now: Timestamp) -> Result<(), Error> {
        let bytes = super::encode_long(&(now, body));
        let changes = self.pieces_put(space::TEMPLATE, name.as_bytes(), &bytes)?;
        let audit = AuditEntry::Act { act: "template.save".into(), object: name.to_owned(), detail: String::new() };
        self.commit(by, vec![audit], Vec::new(), changes).await?;
        Ok(())
    }
}

/// Longest value that [`Store::template_save`] and [`Store::campaign_create`] take, in bytes.
pub const MAX_TEXT: usize = pieces::MAX;

fn taken() -> Error {
    Error::Taken { what: "campaign", name: "that".to_owned() }
}
