//! The guest book: guests in the clear for those who may see them, sealed for the store.
//!
//! A guest is known by its e-mail address, else by its number and name; the same row again changes nothing, a changed row updates
//! the columns that its file has and no others. Each guest carries where its data came from and who vouches for it.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_common::model::{
    Channel, Guest, GuestChange, GuestId, GuestListRow, GuestRow, ListId, Provenance, Timestamp,
};
use usher_common::protocol::GuestName;

use super::{Defaults, EditError, EmailAddress, Exporter, PhoneNumber, Segment, SegmentError, apply_all};
use crate::store::{self, AuditEntry, By, GuestUpsert, Sequence, Store, StoredGuest};
use crate::vault::{Vault, VaultError};

/// Guests that one page or export window holds at most.
pub const PAGE: usize = 1000;

/// Guests that are written in one commit.
pub(super) const BATCH: usize = 250;

/// Why something could not be done with guests.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A segment expression.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A change by hand.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Nobody by that name.
    #[error("there is no guest {name} on list {list}: look with `usher guests list {list}`")]
    NoGuest {
        /// What was asked for.
        name: String,
        /// The list's name.
        list: String,
    },
    /// Somebody has that address already.
    #[error("guest {guest} of that list has this address already: edit that one, or leave the address out")]
    Known {
        /// Who.
        guest: GuestId,
    },
    /// A list that is still needed.
    #[error("the list {list} is needed by {campaigns}: cancel or delete what shall not be sent, or wait for its end")]
    InUse {
        /// The list's name.
        list: String,
        /// The campaigns, each with its state.
        campaigns: String,
    },
    /// The daemon stops.
    #[error(
        "{done} guests are done, the others are as they were, since the daemon stops: repeat the act when it is there again"
    )]
    GivenUp {
        /// How many.
        done: u64,
    },
    /// The file of an import.
    #[error(transparent)]
    Import(#[from] super::ImportError),
}

/// What is sealed of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) guest: Guest,
    pub(super) provenance: Provenance,
}

/// The guest book. Cheap to clone.
#[derive(Clone)]
pub struct GuestBook {
    store: Store,
    vault: Arc<Vault>,
}

impl GuestBook {
    /// The book over a store and a vault.
    pub fn new(store: Store, vault: Arc<Vault>) -> Self {
        Self { store, vault }
    }

    /// The store beneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The vault beneath.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// All lists.
    pub fn lists(&self) -> Result<Vec<GuestListRow>, BookError> {
        let lists = self.store.lists()?;
        Ok(lists
            .into_iter()
            .map(|(id, record, guests)| GuestListRow { id, name: record.name, guests, changed: record.changed })
            .collect())
    }

    /// One guest, opened.
    pub fn open(&self, stored: &StoredGuest) -> Result<GuestRow, BookError> {
        let sealed: Sealed = self.vault.open_sealed(stored.id.0, &aad(stored.list, stored.id), &stored.sealed)?;
        Ok(GuestRow {
            id: stored.id,
            list: stored.list,
            guest: sealed.guest,
            provenance: sealed.provenance,
            version: stored.version,
        })
    }

    /// A guest by id; `None` once it was deleted.
    pub fn get(&self, list: ListId, id: GuestId) -> Result<Option<GuestRow>, BookError> {
        self.store.guest(list, id)?.map(|stored| self.open(&stored)).transpose()
    }

    /// A guest as somebody names it.
    pub fn find(&self, list: ListId, name: &GuestName) -> Result<GuestRow, BookError> {
        let found = match name {
            GuestName::Id(id) => self.get(list, *id)?,
            GuestName::Address(text) => match self.by_address(list, text)? {
                Some(id) => self.get(list, id)?,
                None => None,
            },
        };
        let list_name = self.store.list(list)?.name;
        found.ok_or_else(|| BookError::NoGuest {
            name: match name {
                GuestName::Id(id) => id.to_string(),
                GuestName::Address(text) => text.clone(),
            },
            list: list_name,
        })
    }

    fn by_address(&self, list: ListId, text: &str) -> Result<Option<GuestId>, BookError> {
        let mut hashes = Vec::new();
        if let Ok(email) = EmailAddress::parse(text) {
            hashes.push(self.email_hash(&email.stored));
        }
        if let Ok(phone) = PhoneNumber::parse(text, "") {
            hashes.push(self.phone_hash(&phone.e164));
        }
        for hash in hashes {
            if let Some(record) = self.store.guest_by_address(list, &hash)? {
                return Ok(Some(record.guest));
            }
        }
        Ok(None)
    }

    /// The segment of a list that an expression describes; an empty expression is everyone.
    pub fn segment(&self, list: ListId, expression: &str) -> Result<Option<Segment>, BookError> {
        if expression.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(Segment::parse(expression, &self.store.list(list)?.custom)?))
    }

    /// A window of guests that are in the segment: at most `limit`, and where the next one begins.
    ///
    /// Looks at no more than ten windows' worth of guests a call, so that a segment that fits nobody cannot hold up the
    /// daemon; then the window is short and `next` says where to go on.
    pub fn page(
        &self,
        list: ListId,
        segment: Option<&Segment>,
        after: Option<GuestId>,
        limit: usize,
    ) -> Result<(Vec<GuestRow>, Option<GuestId>), BookError> {
        let limit = limit.clamp(1, PAGE);
        let mut rows = Vec::new();
        let mut cursor = after;
        for _ in 0..10 {
            let guests = self.store.guests(list, cursor, limit)?;
            let at_end = guests.len() < limit;
            self.vault.warm(&guests.iter().map(|guest| guest.id.0).collect::<Vec<_>>())?;
            for stored in guests {
                cursor = Some(stored.id);
                let row = self.open(&stored)?;
                if segment.is_none_or(|s| s.matches(&row.guest)) {
                    rows.push(row);
                    if rows.len() == limit {
                        return Ok((rows, cursor));
                    }
                }
            }
            if at_end {
                return Ok((rows, None));
            }
        }
        Ok((rows, cursor))
    }

    /// A window of guests as CSV; with the header where it is the first one.
    pub fn export(
        &self,
        list: ListId,
        segment: Option<&Segment>,
        after: Option<GuestId>,
        limit: usize,
    ) -> Result<(String, u64, Option<GuestId>), BookError> {
        let exporter = Exporter::new(self.store.list(list)?.custom);
        let (rows, next) = self.page(list, segment, after, limit)?;
        let mut text = if after.is_none() { exporter.header() } else { String::new() };
        for row in &rows {
            text.push_str(&exporter.row(&row.guest, &row.provenance));
        }
        Ok((text, rows.len() as u64, next))
    }

    /// Where guests came from and who vouches for them, as the audit trail keeps it.
    pub(super) fn origin(&self, source: &str, vouched_by: &str) -> Result<Vec<u8>, BookError> {
        Ok(self.vault.seal_blob(b"audit.origin", &(source, vouched_by))?.into_bytes())
    }

    /// Whether a guest with these fields could be added to the list; makes nothing.
    pub fn check_add(&self, list_name: &str, fields: &[GuestChange]) -> Result<(), BookError> {
        let (guest, _) = apply_all(&Guest::default(), fields, &custom_columns(fields), &Defaults::default())?;
        if let Some(list) = self.store.list_named(list_name)?
            && let Some(there) = self.identity(list, &guest)?
        {
            return Err(BookError::Known { guest: there });
        }
        Ok(())
    }

    /// Adds one guest by hand.
    pub async fn add(
        &self,
        by: &By,
        list_name: &str,
        fields: &[GuestChange],
        vouched_by: &str,
        now: Timestamp,
    ) -> Result<GuestRow, BookError> {
        let custom = custom_columns(fields);
        let (guest, _) = apply_all(&Guest::default(), fields, &custom, &Defaults::default())?;
        let list = self.store.list_ensure(by, list_name, now).await?;
        if let Some(there) = self.identity(list, &guest)? {
            return Err(BookError::Known { guest: there });
        }
        self.store.list_columns(by, list, &custom).await?;
        let id = GuestId(self.store.reserve(Sequence::Guest, 1, by).await?);
        self.vault.ensure(&[id.0])?;
        let provenance =
            Provenance { source: "entered by hand".to_owned(), vouched_by: vouched_by.to_owned(), at: now };
        let write = self.upsert(list, id, None, None, guest, provenance)?;
        let audit = AuditEntry::Guests {
            act: "add".to_owned(),
            list: list.0,
            origin: self.origin("by hand", vouched_by)?,
            counts: (1, 0, 0),
        };
        self.store.guests_write(by, list, &[write], audit, now).await?;
        self.find(list, &GuestName::Id(id))
    }

    /// Changes one guest by hand.
    pub async fn edit(
        &self,
        by: &By,
        row: &GuestRow,
        changes: &[GuestChange],
        now: Timestamp,
    ) -> Result<GuestRow, BookError> {
        let write = self.edited(row, changes, now)?;
        let audit = AuditEntry::Act {
            act: "guest.edit".to_owned(),
            object: row.id.to_string(),
            detail: changes.iter().map(|c| c.field.as_str()).collect::<Vec<_>>().join(", "),
        };
        self.store.guests_write(by, row.list, &[write], audit, now).await?;
        self.find(row.list, &GuestName::Id(row.id))
    }

    /// Makes the same changes to every guest of a segment; answers how many changed. `told` hears how many that are so
    /// far; what it breaks off is [`BookError::GivenUp`].
    pub async fn bulk(
        &self,
        by: &By,
        list: ListId,
        segment: Option<&Segment>,
        changes: &[GuestChange],
        (now, told): (Timestamp, &(dyn Fn(u64) -> ControlFlow<()> + Sync)),
    ) -> Result<u64, BookError> {
        let mut done = 0;
        let mut cursor = None;
        loop {
            let (rows, next) = self.page(list, segment, cursor, BATCH)?;
            let writes = rows.iter().map(|row| self.edited(row, changes, now)).collect::<Result<Vec<_>, _>>()?;
            if !writes.is_empty() {
                done += writes.len() as u64;
                let audit = AuditEntry::Guests {
                    act: "bulk edit".to_owned(),
                    list: list.0,
                    origin: self.origin("by hand", "")?,
                    counts: (0, writes.len() as u64, 0),
                };
                self.store.guests_write(by, list, &writes, audit, now).await?;
            }
            match next {
                Some(_) if told(done).is_break() => return Err(BookError::GivenUp { done }),
                Some(id) => cursor = Some(id),
                None => return Ok(done),
            }
        }
    }

    /// What a change would write, if it is allowed.
    pub(crate) fn edited(
        &self,
        row: &GuestRow,
        changes: &[GuestChange],
        now: Timestamp,
    ) -> Result<GuestUpsert, BookError> {
        let custom = self.store.list(row.list)?.custom;
        let (guest, _) = apply_all(&row.guest, changes, &custom, &Defaults::default())?;
        if let Some(there) = self.identity(row.list, &guest)?
            && there != row.id
        {
            return Err(BookError::Known { guest: there });
        }
        let provenance = Provenance { at: now, ..row.provenance.clone() };
        self.upsert(row.list, row.id, Some(row.version), Some(&row.guest), guest, provenance)
    }

    /// Deletes a guest and destroys its key, so that no copy of it can be read any more.
    pub async fn delete(&self, by: &By, row: &GuestRow, now: Timestamp) -> Result<(), BookError> {
        let Some(stored) = self.store.guest(row.list, row.id)? else { return Ok(()) };
        let hashes: Vec<[u8; 16]> = self.hashes(&row.guest).into_iter().map(|(hash, _)| hash).collect();
        self.store.guest_delete(by, &stored, &hashes, now).await?;
        self.vault.erase(&[row.id.0])?;
        Ok(())
    }

    /// Campaigns that still need a list: neither ended nor deleted.
    fn needed_by(&self, list: ListId) -> Result<Vec<String>, BookError> {
        let rows = self.store.campaigns()?.into_iter().map(|row| (row.id, row.record));
        let needs = rows.filter(|(_, r)| r.list == list && r.deleted.is_none() && !r.state.is_ended());
        Ok(needs.map(|(id, record)| format!("{id} ({})", record.state)).collect())
    }

    /// Refuses where a campaign that has not ended still needs the list.
    pub fn check_unused(&self, list: ListId) -> Result<(), BookError> {
        let name = self.store.list(list)?.name;
        match self.needed_by(list)?.join(", ") {
            none if none.is_empty() => Ok(()),
            campaigns => Err(BookError::InUse { list: name, campaigns }),
        }
    }

    /// Deletes a list with all its guests and destroys their keys; answers how many they were. `told` hears how many
    /// rows are gone so far; what it breaks off is [`BookError::GivenUp`], and done by deleting the list again.
    ///
    /// The keys go first, so that a crash leaves guests that nobody can read, and never a key without its guest.
    pub async fn delete_list(
        &self,
        by: &By,
        list: ListId,
        told: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<u64, BookError> {
        self.check_unused(list)?;
        let seen = self.store.list_version(list)?;
        let mut ids: Vec<u64> = Vec::new();
        let mut cursor = None;
        loop {
            let guests = self.store.guests(list, cursor, PAGE)?;
            cursor = guests.last().map(|guest| guest.id);
            ids.extend(guests.iter().map(|guest| guest.id.0));
            if guests.len() < PAGE {
                break;
            }
        }
        if !ids.is_empty() {
            self.vault.erase(&ids)?;
        }
        let mut gone = 0;
        loop {
            match self.store.list_clear(by, list, seen).await? {
                0 => break,
                n => gone += n,
            }
            if told(gone).is_break() {
                return Err(BookError::GivenUp { done: gone });
            }
        }
        self.store.list_delete(by, list, seen, (gone, self.origin("by hand", "")?)).await?;
        Ok(gone)
    }

    /// The guest that this one would be: by its e-mail address, else by its number.
    pub(super) fn identity(&self, list: ListId, guest: &Guest) -> Result<Option<GuestId>, BookError> {
        for (hash, identity) in self.hashes(guest) {
            if identity {
                let there = self.store.guest_by_address(list, &hash)?;
                return Ok(there.filter(|record| record.identity).map(|record| record.guest));
            }
        }
        Ok(None)
    }

    /// What the store is to write for a guest. `before` is what it was, for the addresses that it leaves.
    pub(super) fn upsert(
        &self,
        list: ListId,
        id: GuestId,
        seen: Option<u64>,
        before: Option<&Guest>,
        guest: Guest,
        provenance: Provenance,
    ) -> Result<GuestUpsert, BookError> {
        let addresses = self.hashes(&guest);
        let left = before
            .map(|b| self.hashes(b))
            .unwrap_or_default()
            .into_iter()
            .map(|(hash, _)| hash)
            .filter(|hash| !addresses.iter().any(|(h, _)| h == hash))
            .collect();
        let sealed = self.vault.seal(id.0, &aad(list, id), &Sealed { guest, provenance })?.into_bytes();
        Ok(GuestUpsert { id, seen, sealed, addresses, left })
    }

    /// Hashes of a guest's addresses, each with whether it names the guest.
    fn hashes(&self, guest: &Guest) -> Vec<([u8; 16], bool)> {
        let mut hashes = Vec::new();
        if let Some(email) = &guest.email {
            hashes.push((self.email_hash(email), true));
        }
        if let Some(phone) = &guest.phone {
            if guest.email.is_none() {
                // Families share telephones: only number and name together tell who it is.
                let named = format!("phone:{phone} {}", guest.name.to_lowercase());
                hashes.push((self.vault.index_hash("address", &named), true));
            }
            hashes.push((self.phone_hash(phone), false));
        }
        if let (Some(slack), true) = (&guest.slack, hashes.is_empty()) {
            hashes.push((self.vault.index_hash("address", &format!("slack:{slack}")), true));
        }
        hashes
    }

    fn email_hash(&self, address: &str) -> [u8; 16] {
        self.vault.index_hash("address", &format!("email:{}", address.to_lowercase()))
    }

    fn phone_hash(&self, e164: &str) -> [u8; 16] {
        self.vault.index_hash("address", &format!("phone:{e164}"))
    }

    /// The hash by which an address is suppressed, whatever list it stands on.
    pub fn suppression_hash(&self, channel: Channel, address: &str) -> [u8; 16] {
        let kind = match channel {
            Channel::Email => "email",
            Channel::Sms | Channel::WhatsApp => "phone",
            Channel::Slack => "slack",
        };
        self.vault.index_hash("suppression", &format!("{kind}:{}", address.to_lowercase()))
    }
}

/// The address of a guest on a channel, where it can be reached by it.
pub fn address_on(guest: &Guest, channel: Channel) -> Option<&str> {
    match channel {
        Channel::Email => guest.email.as_deref(),
        Channel::Sms => guest.phone.as_deref().filter(|_| guest.phone_takes_sms),
        Channel::WhatsApp => guest.phone.as_deref().filter(|_| guest.phone_takes_sms),
        Channel::Slack => guest.slack.as_deref(),
    }
}

fn aad(list: ListId, id: GuestId) -> Vec<u8> {
    let mut aad = b"guest".to_vec();
    aad.extend(list.0.to_be_bytes());
    aad.extend(id.0.to_be_bytes());
    aad
}

/// The columns of one's own among these fields.
fn custom_columns(fields: &[GuestChange]) -> Vec<String> {
    let own = fields.iter().filter_map(|f| match super::Field::of(&f.field) {
        super::Field::Custom(key) => Some(key),
        _ => None,
    });
    own.collect()
}
