//! Guest lists and guests. What is personal comes here sealed and leaves sealed.

use std::ops::Bound;

use usher_common::model::{GuestId, ListId, Timestamp};

use super::engine::{Change, Precondition};
use super::records::{AddressRecord, AuditEntry, ListRecord, SuppressionRecord};
use super::{By, Error, Sequence, Store, counts, put, space};

/// A guest as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGuest {
    /// Its id.
    pub id: GuestId,
    /// Its list.
    pub list: ListId,
    /// Row version.
    pub version: u64,
    /// The sealed record.
    pub sealed: Vec<u8>,
}

/// A guest to be written.
#[derive(Debug, Clone)]
pub struct GuestUpsert {
    /// Its id: of the guest that is there, or a fresh one.
    pub id: GuestId,
    /// The version that was read; `None` for a new guest.
    pub seen: Option<u64>,
    /// The sealed record.
    pub sealed: Vec<u8>,
    /// Keyed hashes of the addresses that lead to it now, and whether each one names it.
    pub addresses: Vec<([u8; 16], bool)>,
    /// Keyed hashes of addresses that led to it and do so no longer.
    pub left: Vec<[u8; 16]>,
}

/// What a batch of guests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upserted {
    /// New guests.
    pub added: u64,
    /// Guests that were there.
    pub changed: u64,
}

/// Rows of a list that are deleted in one commit.
const AT_ONCE: usize = 1000;

/// The condition that a list is there: nothing is put on one that was deleted meanwhile.
pub(super) fn there(list: ListId) -> Precondition {
    Precondition::StateIn { space: space::LIST, key: space::id(list.0), states: 1 }
}

/// The condition that nobody wrote to a list since it had this version.
fn unchanged(list: ListId, version: u64) -> Precondition {
    Precondition::Version { space: space::LIST, key: space::id(list.0), version }
}

fn changed(error: super::CommitError, list: ListId) -> Error {
    match error {
        super::CommitError::Conflict { .. } => Error::Changed { what: "guest list", name: list.to_string() },
        other => other.into(),
    }
}

impl Store {
    /// All guest lists with their sizes, in order of id.
    pub fn lists(&self) -> Result<Vec<(ListId, ListRecord, u64)>, Error> {
        let mut lists = Vec::new();
        for row in self.engine.scan_prefix(space::LIST, &[]) {
            let (key, row) = row?;
            let id = ListId(space::last_id(&key).unwrap_or_default());
            lists.push((id, super::decode(&row.value, "a guest list")?, self.guests_on(id)?));
        }
        Ok(lists)
    }

    /// A list by its id.
    pub fn list(&self, id: ListId) -> Result<ListRecord, Error> {
        self.read(space::LIST, &space::id(id.0), "a guest list")?
            .map(|(record, _)| record)
            .ok_or_else(|| Error::Missing { what: "guest list", name: id.to_string() })
    }

    /// A list by its name.
    pub fn list_named(&self, name: &str) -> Result<Option<ListId>, Error> {
        Ok(self.read::<u64>(space::LIST_NAME, name.as_bytes(), "a list's name")?.map(|(id, _)| ListId(id)))
    }

    /// The list of that name, made when there is none.
    pub async fn list_ensure(&self, by: &By, name: &str, now: Timestamp) -> Result<ListId, Error> {
        if let Some(id) = self.list_named(name)? {
            return Ok(id);
        }
        let id = ListId(self.reserve(Sequence::List, 1, by).await?);
        let record = ListRecord { name: name.to_owned(), changed: now, custom: Vec::new() };
        let changes = vec![
            put(space::LIST, space::id(id.0), 0, &record),
            put(space::LIST_NAME, name.as_bytes().to_vec(), 0, &id.0),
        ];
        let expect = vec![Precondition::Absent { space: space::LIST_NAME, key: name.as_bytes().to_vec() }];
        let audit = vec![AuditEntry::Act { act: "list.create".into(), object: id.to_string(), detail: String::new() }];
        match self.commit(by, audit, expect, changes).await {
            Ok(_) => Ok(id),
            // Somebody made it between the look and the commit: theirs is as good.
            Err(super::CommitError::Conflict { .. }) => {
                self.list_named(name)?.ok_or_else(|| Error::Missing { what: "guest list", name: name.to_owned() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// A guest.
    pub fn guest(&self, list: ListId, id: GuestId) -> Result<Option<StoredGuest>, Error> {
        Ok(self.engine.get(space::GUEST, &space::guest(list, id))?.map(|row| StoredGuest {
            id,
            list,
            version: row.version,
            sealed: row.value,
        }))
    }

    /// Guests of a list in order of id, from behind `after` on, at most `limit`.
    pub fn guests(&self, list: ListId, after: Option<GuestId>, limit: usize) -> Result<Vec<StoredGuest>, Error> {
        let from = match after {
            Some(guest) => space::guest(list, GuestId(guest.0.saturating_add(1))),
            None => space::guest(list, GuestId(0)),
        };
        let to = space::guest(list, GuestId(u64::MAX));
        let mut guests = Vec::with_capacity(limit.min(1000));
        for row in self.engine.scan(space::GUEST, Bound::Included(&from), Bound::Included(&to)).take(limit) {
            let (key, row) = row?;
            let id = GuestId(space::last_id(&key).unwrap_or_default());
            guests.push(StoredGuest { id, list, version: row.version, sealed: row.value });
        }
        Ok(guests)
    }

    /// The guest to whom an address leads.
    pub fn guest_by_address(&self, list: ListId, hash: &[u8; 16]) -> Result<Option<AddressRecord>, Error> {
        Ok(self.read(space::ADDRESS, &space::address(list, hash), "an address")?.map(|(record, _)| record))
    }

    /// Adds columns of a list's own. Those that it has keep their place.
    pub async fn list_columns(&self, by: &By, id: ListId, columns: &[String]) -> Result<(), Error> {
        let mut record = self.list(id)?;
        let fresh: Vec<String> = columns.iter().filter(|c| !record.custom.contains(c)).cloned().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        record.custom.extend(fresh);
        let changes = vec![put(space::LIST, space::id(id.0), 0, &record)];
        self.commit(by, Vec::new(), Vec::new(), changes).await?;
        Ok(())
    }

    /// Writes guests, all or none. One that changed since it was read makes it [`Error::Changed`].
    pub async fn guests_write(
        &self,
        by: &By,
        list: ListId,
        guests: &[GuestUpsert],
        audit: AuditEntry,
        now: Timestamp,
    ) -> Result<Upserted, Error> {
        let mut done = Upserted::default();
        let mut expect = vec![there(list)];
        let mut changes = Vec::new();
        for guest in guests {
            let key = space::guest(list, guest.id);
            if let Some(version) = guest.seen {
                done.changed += 1;
                expect.push(Precondition::Version { space: space::GUEST, key: key.clone(), version });
            } else {
                done.added += 1;
                expect.push(Precondition::Absent { space: space::GUEST, key: key.clone() });
            }
            changes.push(Change::Put { space: space::GUEST, key, state: 0, value: guest.sealed.clone() });
            for hash in &guest.left {
                self.forget_address(list, guest.id, hash, &mut changes)?;
            }
            for (hash, identity) in &guest.addresses {
                let record = AddressRecord { guest: guest.id, identity: *identity };
                let there = self.guest_by_address(list, hash)?;
                // A number that already leads to somebody else keeps doing so, unless this guest is named by it.
                if there.is_none_or(|r| r.guest == guest.id || *identity) && there != Some(record) {
                    changes.push(put(space::ADDRESS, space::address(list, hash), 0, &record));
                }
            }
        }
        changes.extend(self.touch_list(list, now, i64::try_from(done.added).unwrap_or(i64::MAX))?);
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(_) => Ok(done),
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "a guest of list", name: list.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Deletes a guest's row and the ways to it. Its key is the vault's to destroy.
    pub async fn guest_delete(
        &self,
        by: &By,
        guest: &StoredGuest,
        hashes: &[[u8; 16]],
        now: Timestamp,
    ) -> Result<(), Error> {
        let key = space::guest(guest.list, guest.id);
        let mut changes = vec![Change::Delete { space: space::GUEST, key: key.clone() }];
        for hash in hashes {
            self.forget_address(guest.list, guest.id, hash, &mut changes)?;
        }
        changes.extend(self.touch_list(guest.list, now, -1)?);
        let audit = AuditEntry::Act {
            act: "guest.delete".into(),
            object: guest.id.to_string(),
            detail: guest.list.to_string(),
        };
        let expect = vec![Precondition::Version { space: space::GUEST, key, version: guest.version }];
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(_) => Ok(()),
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "guest", name: guest.id.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// The version of a list's own row, which changes with whatever is written to the list.
    pub fn list_version(&self, id: ListId) -> Result<u64, Error> {
        let row = self.engine.get(space::LIST, &space::id(id.0))?;
        row.map(|row| row.version).ok_or_else(|| Error::Missing { what: "guest list", name: id.to_string() })
    }

    /// Deletes the first guests of a list, at most 1,000, if nobody wrote to it since it had the version `seen`; how
    /// many. Their keys are the vault's to destroy, before.
    pub async fn list_clear(&self, by: &By, id: ListId, seen: u64) -> Result<u64, Error> {
        let keys = self.first_keys(space::GUEST, id)?;
        if keys.is_empty() {
            return Ok(0);
        }
        let n = keys.len() as u64;
        let mut changes: Vec<Change> =
            keys.into_iter().map(|key| Change::Delete { space: space::GUEST, key }).collect();
        changes.push(counts::list(id, -i64::try_from(n).unwrap_or(i64::MAX)));
        self.commit(by, Vec::new(), vec![unchanged(id, seen)], changes).await.map_err(|error| changed(error, id))?;
        Ok(n)
    }

    /// Deletes a list whose guests, `gone` of them, were cleared away, and the ways to them.
    ///
    /// `origin` is for the audit trail, sealed. The list's own row goes with the last commit: a deletion that a crash cut
    /// short is done by deleting the list again. A list that somebody writes to meanwhile stays, as [`Error::Changed`].
    pub async fn list_delete(
        &self,
        by: &By,
        id: ListId,
        seen: u64,
        (gone, origin): (u64, Vec<u8>),
    ) -> Result<(), Error> {
        let record = self.list(id)?;
        let expect = vec![unchanged(id, seen)];
        loop {
            let keys = self.first_keys(space::ADDRESS, id)?;
            if keys.is_empty() {
                break;
            }
            let changes = keys.into_iter().map(|key| Change::Delete { space: space::ADDRESS, key }).collect();
            self.commit(by, Vec::new(), expect.clone(), changes).await.map_err(|error| changed(error, id))?;
        }
        let changes = vec![
            Change::Delete { space: space::LIST, key: space::id(id.0) },
            Change::Delete { space: space::LIST_NAME, key: record.name.as_bytes().to_vec() },
        ];
        let audit = AuditEntry::Guests { act: "list.delete".into(), list: id.0, origin, counts: (0, 0, gone) };
        self.commit(by, vec![audit], expect, changes).await.map_err(|error| changed(error, id))?;
        Ok(())
    }

    /// The first rows of a list in a keyspace that is ordered by list.
    fn first_keys(&self, space: super::engine::Space, list: ListId) -> Result<Vec<Vec<u8>>, Error> {
        let rows = self.engine.scan_prefix(space, &space::id(list.0)).take(AT_ONCE);
        Ok(rows.map(|row| row.map(|(key, _)| key)).collect::<Result<_, _>>()?)
    }

    /// Whether an address must not be written to, and why.
    pub fn suppression(&self, hash: &[u8; 16]) -> Result<Option<SuppressionRecord>, Error> {
        Ok(self.read(space::SUPPRESSED, hash, "a suppression")?.map(|(record, _)| record))
    }

    /// Forbids an address from now on. What was forbidden before keeps its first reason.
    pub async fn suppress(&self, by: &By, hash: &[u8; 16], record: &SuppressionRecord) -> Result<(), Error> {
        let audit = AuditEntry::Act {
            act: "suppression.add".into(),
            object: record.reason.clone(),
            detail: record.evidence.clone(),
        };
        let expect = vec![Precondition::Absent { space: space::SUPPRESSED, key: hash.to_vec() }];
        match self.commit(by, vec![audit], expect, vec![put(space::SUPPRESSED, hash.to_vec(), 0, record)]).await {
            Ok(_) | Err(super::CommitError::Conflict { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn forget_address(
        &self,
        list: ListId,
        guest: GuestId,
        hash: &[u8; 16],
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        if self.guest_by_address(list, hash)?.is_some_and(|r| r.guest == guest) {
            changes.push(Change::Delete { space: space::ADDRESS, key: space::address(list, hash) });
        }
        Ok(())
    }

    fn touch_list(&self, list: ListId, now: Timestamp, delta: i64) -> Result<Vec<Change>, Error> {
        let record = ListRecord { changed: now, ..self.list(list)? };
        let mut changes = vec![put(space::LIST, space::id(list.0), 0, &record)];
        if delta != 0 {
            changes.push(counts::list(list, delta));
        }
        Ok(changes)
    }
}
