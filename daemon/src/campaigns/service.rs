//! Campaigns from draft to end: everything that an operator does with them, and what is told of them.
//!
//! What is written here is decided by the pure rooms beside it ([`super::lifecycle`], [`super::template`]); sending is
//! the dispatcher's. Words are pinned at approval: what was approved is what is sent, whatever happens to the template.

use std::sync::{Arc, PoisonError, RwLock};

use usher_common::model::{
    Audience, CampaignDetail, CampaignId, CampaignRow, CampaignSpec, CampaignState, Channel, ChannelProgress, Guest,
    GuestId, Reach, Schedule, StateCounts, TemplateBody, Timestamp,
};

use super::builtin;
use super::compose::Kit;
use super::context::Context;
use super::draft;
use super::error::{CampaignError, spec_error};
use super::lifecycle::{self, Event};
use super::template::Template;
use super::whatsapp::Approved;
use crate::config::Organisation;
use crate::guests::{GuestBook, Segment, address_on};
use crate::store::{self, AuditEntry, By, CampaignRecord, Store};

/// Days for which a deleted campaign can be restored.
pub const RESTORE_DAYS: i64 = 30;
/// Hours for which a message is worth sending, where its author did not say.
const EXPIRES_AFTER_HOURS: u32 = 72;
/// Reasons that a campaign's detail lists.
const REASONS: usize = 20;

/// Guests of an audience, and where the next window of it begins; `None` at its end.
pub type Window = (Vec<(GuestId, Guest)>, Option<GuestId>);

/// Campaigns. Cheap to clone.
#[derive(Clone)]
pub struct Campaigns {
    book: GuestBook,
    organisations: Arc<RwLock<Vec<Arc<Organisation>>>>,
    /// Signs opt-out links and message ids.
    secret: Arc<[u8]>,
}

impl Campaigns {
    /// Campaigns of these organisations over a guest book; `secret` signs opt-out links and message ids.
    pub fn new(book: GuestBook, organisations: &[Organisation], secret: &[u8]) -> Self {
        let campaigns = Self { book, organisations: Arc::default(), secret: secret.into() };
        campaigns.set_organisations(organisations);
        campaigns
    }

    /// The organisations that are configured, by name.
    pub fn organisation_names(&self) -> Vec<String> {
        let organisations = self.organisations.read().unwrap_or_else(PoisonError::into_inner);
        organisations.iter().map(|organisation| organisation.name.clone()).collect()
    }

    /// Takes these organisations over in place of those before.
    pub fn set_organisations(&self, organisations: &[Organisation]) {
        // A list of pointers is whole whoever panicked beside it.
        *self.organisations.write().unwrap_or_else(PoisonError::into_inner) =
            organisations.iter().cloned().map(Arc::new).collect();
    }

    /// The guest book.
    pub fn book(&self) -> &GuestBook {
        &self.book
    }

    pub(crate) fn store(&self) -> &Store {
        self.book.store()
    }

    /// An organisation by its name.
    pub fn organisation(&self, name: &str) -> Result<Arc<Organisation>, CampaignError> {
        let organisations = self.organisations.read().unwrap_or_else(PoisonError::into_inner);
        organisations.iter().find(|o| o.name == name).cloned().ok_or_else(|| {
            let known: Vec<&str> = organisations.iter().map(|o| o.name.as_str()).collect();
            let hint = match known.as_slice() {
                [] => ": the daemon's configuration has no [[organisation]] yet".to_owned(),
                known => format!("; known are: {}", known.join(", ")),
            };
            CampaignError::Unknown { field: "organisation", name: name.to_owned(), hint }
        })
    }

    /// A template by its name, built in or one's own.
    pub fn template(&self, name: &str) -> Result<TemplateBody, CampaignError> {
        if let Some(body) = builtin::find(name) {
            return Ok(body.body());
        }
        match self.store().template(name)? {
            Some((_, body)) => Ok(body),
            None => Err(CampaignError::Unknown {
                field: "template",
                name: name.to_owned(),
                hint: ": see `usher template list`".to_owned(),
            }),
        }
    }

    /// A text as the store keeps it.
    pub(super) fn sealed(&self, spec: &CampaignSpec) -> Result<Vec<u8>, CampaignError> {
        Ok(self.book.vault().seal_blob(b"campaign spec", spec)?.into_bytes())
    }

    /// The columns that its list has beside the usual ones.
    pub(super) fn custom(&self, spec: &CampaignSpec) -> Result<Vec<String>, CampaignError> {
        Ok(self.store().list(spec.audience.list())?.custom)
    }

    /// A name as the store knows it.
    pub(super) fn name_hash(&self, name: &str) -> [u8; 16] {
        self.book.vault().index_hash("campaign name", &name.to_lowercase())
    }

    /// A campaign as its author wrote it.
    pub fn spec(&self, id: CampaignId) -> Result<CampaignSpec, CampaignError> {
        let sealed = self.store().campaign_spec(id)?;
        Ok(self.book.vault().open_blob(b"campaign spec", &sealed)?)
    }

    /// Everything that the letters of a campaign share: its words as they were pinned at approval, else those of its
    /// template now.
    pub fn kit(&self, id: CampaignId) -> Result<Kit, CampaignError> {
        let spec = self.spec(id)?;
        let body: TemplateBody = match self.store().campaign_body(id)? {
            Some(sealed) => self.book.vault().open_blob(b"campaign body", &sealed)?,
            None => self.template(&spec.template)?,
        };
        let organisation = Organisation::clone(&*self.organisation(&spec.organisation)?);
        let mut values = organisation.values.clone();
        values.extend(spec.values.iter().map(|(k, v)| (k.clone(), v.clone())));
        let record = self.store().campaign(id)?.record;
        let custom = self.custom(&spec)?;
        Ok(Kit {
            campaign: id,
            list: spec.audience.list(),
            class: spec.class,
            organisation,
            channels: spec.channels.clone(),
            reach: spec.reach,
            template: Template::compile_with(&body, &custom)?,
            approved: approved(&spec, &custom)?,
            values: Context::new(&values),
            secret: self.secret.to_vec(),
            date: record.due.unwrap_or(record.created),
        })
    }

    /// The next guests of a campaign's audience after `cursor`, and where it stands then; `None` at its end.
    pub fn audience(
        &self,
        spec: &CampaignSpec,
        segment: Option<&Segment>,
        cursor: Option<GuestId>,
        limit: usize,
    ) -> Result<Window, CampaignError> {
        if let Audience::Picked { list, guests } = &spec.audience {
            let mut picked: Vec<GuestId> = guests.iter().copied().filter(|g| cursor.is_none_or(|c| *g > c)).collect();
            picked.sort_unstable();
            picked.dedup();
            let more = picked.len() > limit;
            picked.truncate(limit);
            let next = if more { picked.last().copied() } else { None };
            let mut found = Vec::new();
            for id in picked {
                if let Some(row) = self.book.get(*list, id)? {
                    found.push((id, row.guest));
                }
            }
            return Ok((found, next));
        }
        let (rows, next) = self.book.page(spec.audience.list(), segment, cursor, limit)?;
        Ok((rows.into_iter().map(|row| (row.id, row.guest)).collect(), next))
    }

    /// The segment of a campaign's audience, where it has one.
    pub fn segment(&self, spec: &CampaignSpec) -> Result<Option<Segment>, CampaignError> {
        match &spec.audience {
            Audience::Segment { list, expression } => Ok(self.book.segment(*list, expression)?),
            Audience::List(_) | Audience::Picked { .. } => Ok(None),
        }
    }

    /// A campaign's row, if it is still as the operator saw it.
    pub fn row(&self, id: CampaignId, seen: Option<u64>) -> Result<store::CampaignRow, CampaignError> {
        let row = self.store().campaign(id)?;
        if seen.is_some_and(|version| version != row.version) {
            return Err(CampaignError::Seen { id });
        }
        Ok(row)
    }

    /// Approves it: its words are pinned from here on. Whoever calls has checked that it could go out.
    pub async fn approve(&self, by: &By, row: &store::CampaignRow) -> Result<(), CampaignError> {
        refuse_deleted(row)?;
        let state = lifecycle::next(row.record.state, Event::Approve)?;
        let spec = self.spec(row.id)?;
        let body = self.book.vault().seal_blob(b"campaign body", &self.template(&spec.template)?)?.into_bytes();
        let record = CampaignRecord { state, approved_by: by.actor.clone(), ..row.record.clone() };
        self.store().campaign_update(by, row, &record, Some(&body), act("campaign.approve", row.id)).await?;
        Ok(())
    }

    /// Starts it, or gives it its hour.
    pub async fn send(
        &self,
        by: &By,
        row: &store::CampaignRow,
        schedule: Option<Schedule>,
        now: Timestamp,
    ) -> Result<CampaignState, CampaignError> {
        let spec = self.spec(row.id)?;
        let Some((state, due)) = start(row, &spec, schedule, now)? else { return Ok(row.record.state) };
        let hours = if spec.expires_after_hours == 0 { EXPIRES_AFTER_HOURS } else { spec.expires_after_hours };
        let expires = Some(due.plus_millis(i64::from(hours) * 3_600_000));
        let record = CampaignRecord { state, due: Some(due), expires, ..row.record.clone() };
        self.store().campaign_update(by, row, &record, None, act("campaign.send", row.id)).await?;
        Ok(state)
    }

    /// What [`Self::send`] would do, in words that follow "campaign c1".
    pub fn would_send(
        &self,
        row: &store::CampaignRow,
        schedule: Option<Schedule>,
        now: Timestamp,
    ) -> Result<String, CampaignError> {
        let spec = self.spec(row.id)?;
        let hour = |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).map_or(String::new(), |at| at.to_string());
        Ok(match start(row, &spec, schedule, now)? {
            Some((CampaignState::Scheduled, due)) => format!("would be scheduled for {}", hour(due)),
            Some(_) => "would be sent at once: what a provider took cannot be taken back".to_owned(),
            None => format!("would stay scheduled for {}", row.record.due.map_or(String::new(), hour)),
        })
    }

    /// Moves it by an event that needs nothing else: start, pause, resume, cancel.
    pub async fn step(
        &self,
        by: &By,
        row: &store::CampaignRow,
        event: Event,
        now: Timestamp,
    ) -> Result<CampaignState, CampaignError> {
        refuse_deleted(row)?;
        let state = lifecycle::next(row.record.state, event)?;
        let ended = if state.is_ended() { Some(now) } else { row.record.ended };
        let record = CampaignRecord { state, ended, ..row.record.clone() };
        let name = format!("campaign.{}", event.as_str());
        self.store().campaign_update(by, row, &record, None, act(&name, row.id)).await?;
        Ok(state)
    }

    /// Puts it aside. One that sends must be paused or cancelled first.
    pub async fn delete(&self, by: &By, row: &store::CampaignRow, now: Timestamp) -> Result<(), CampaignError> {
        refuse_deleted(row)?;
        if matches!(row.record.state, CampaignState::Running | CampaignState::Settling) {
            return Err(CampaignError::NotReady(format!(
                "campaign {} is {}: pause or cancel it before deleting it",
                row.id, row.record.state
            )));
        }
        let hash = self.name_hash(&self.spec(row.id)?.name);
        self.store().campaign_delete(by, row, &hash, now).await?;
        Ok(())
    }

    /// Brings it back as it was, or under another name.
    pub async fn restore(
        &self,
        by: &By,
        row: &store::CampaignRow,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<(), CampaignError> {
        let Some(deleted) = row.record.deleted else {
            return Err(CampaignError::NotReady(format!("campaign {} is not deleted", row.id)));
        };
        if now.millis_since(deleted) > RESTORE_DAYS * 86_400_000 {
            return Err(CampaignError::NotReady(format!(
                "campaign {} was deleted more than {RESTORE_DAYS} days ago: it can only come back from a backup",
                row.id
            )));
        }
        let mut spec = self.spec(row.id)?;
        let renamed = match name {
            None => None,
            Some(name) => {
                spec.name = draft::usable_name(name)?;
                Some(self.sealed(&spec)?)
            }
        };
        if !row.record.state.is_ended() {
            self.store().list(row.record.list)?;
        }
        let restored = self.store().campaign_restore(by, row, &self.name_hash(&spec.name), renamed.as_deref()).await;
        match restored {
            Err(store::Error::Taken { .. }) => Err(CampaignError::NameTaken { id: row.id, name: spec.name }),
            other => {
                other?;
                Ok(())
            }
        }
    }

    /// What lists show of it. `rate` is in messages a second; `why` is what keeps it from moving.
    pub fn list_row(
        &self,
        row: &store::CampaignRow,
        counts: StateCounts,
        rate: f64,
        why: String,
    ) -> Result<CampaignRow, CampaignError> {
        let record = &row.record;
        let left = counts.open();
        let eta = (record.state == CampaignState::Running && record.expanded && rate > 0.05)
            .then(|| (left as f64 / rate).ceil() as u64);
        Ok(CampaignRow {
            id: row.id,
            name: self.spec(row.id)?.name,
            organisation: record.organisation.clone(),
            state: record.state,
            channels: record.channels.clone(),
            guests: record.guests,
            unreachable: record.unreachable,
            expanded: record.expanded,
            counts,
            rate,
            eta_seconds: eta,
            why,
            due: record.due,
            ended: record.ended,
            deleted: record.deleted,
            version: row.version,
        })
    }

    /// All that is known of it; `row` as lists show it.
    pub fn detail(&self, row: CampaignRow) -> Result<CampaignDetail, CampaignError> {
        let counts = self.store().campaign_counts(row.id)?;
        let channels = row
            .channels
            .iter()
            .map(|&channel| ChannelProgress {
                channel,
                counts: counts.states.get(&channel).copied().unwrap_or_default(),
                providers: counts
                    .providers
                    .iter()
                    .filter(|((c, _), _)| *c == channel)
                    .map(|((_, name), n)| (name.clone(), *n))
                    .collect(),
                deeds: counts.deeds.get(&channel).copied().unwrap_or_default(),
            })
            .collect();
        let mut reasons: Vec<(String, u64)> = counts.reasons.into_iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        reasons.truncate(REASONS);
        let approved_by = self.store().campaign(row.id)?.record.approved_by;
        Ok(CampaignDetail { spec: self.spec(row.id)?, row, channels, reasons, approved_by })
    }
}

/// The channels by which a guest hears of a campaign: all that reach it, or the first of its own order.
pub fn channels_for(spec: &CampaignSpec, guest: &Guest) -> Vec<Channel> {
    match spec.reach {
        Reach::All => spec.channels.iter().copied().filter(|c| address_on(guest, *c).is_some()).collect(),
        Reach::Preferred => ways(&spec.channels, guest).into_iter().take(1).collect(),
    }
}

/// Those of a campaign's channels that reach a guest, best first: in the guest's own order, then in the campaign's.
pub fn ways(channels: &[Channel], guest: &Guest) -> Vec<Channel> {
    let own = guest.preferred.iter().filter(|channel| channels.contains(channel));
    let mut ways: Vec<Channel> = Vec::with_capacity(channels.len());
    for channel in own.chain(channels) {
        if !ways.contains(channel) && address_on(guest, *channel).is_some() {
            ways.push(*channel);
        }
    }
    ways
}

/// The approved template that goes in place of a campaign's words on WhatsApp.
pub(super) fn approved(spec: &CampaignSpec, custom: &[String]) -> Result<Option<Approved>, CampaignError> {
    let compiled = spec.whatsapp.as_ref().map(|written| Approved::compile(written, custom)).transpose();
    compiled.map_err(|error| spec_error("whatsapp", error.to_string()))
}

pub(crate) fn refuse_deleted(row: &store::CampaignRow) -> Result<(), CampaignError> {
    match row.record.deleted {
        None => Ok(()),
        Some(_) => Err(CampaignError::NotReady(format!(
            "campaign {} is deleted: restore it first with `usher campaign restore {}`",
            row.id, row.id
        ))),
    }
}

/// The state that sending leads to and the hour that it is due; `None` where nothing changes: one that has its hour keeps
/// it until another is named, so that a script that is run again does not send months early.
fn start(
    row: &store::CampaignRow,
    spec: &CampaignSpec,
    schedule: Option<Schedule>,
    now: Timestamp,
) -> Result<Option<(CampaignState, Timestamp)>, CampaignError> {
    refuse_deleted(row)?;
    if schedule.is_none() && row.record.state == CampaignState::Scheduled {
        return Ok(None);
    }
    let schedule = schedule.unwrap_or_else(|| spec.schedule.clone());
    draft::check_schedule(&schedule, now)?;
    let (event, due) = match schedule {
        Schedule::Now => (Event::Start, now),
        Schedule::At { at, .. } => (Event::Schedule, at),
    };
    Ok(Some((lifecycle::next(row.record.state, event)?, due)))
}

fn act(name: &str, id: CampaignId) -> AuditEntry {
    AuditEntry::Act { act: name.to_owned(), object: id.to_string(), detail: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use usher_common::model::{CampaignClass, ListId, Reach};

    fn spec(reach: Reach) -> CampaignSpec {
        CampaignSpec {
            name: String::new(),
            description: String::new(),
            organisation: String::new(),
            class: CampaignClass::Personal,
            channels: vec![Channel::Email, Channel::Sms],
            reach,
            audience: Audience::List(ListId(1)),
            template: String::new(),
            values: BTreeMap::new(),
            schedule: Schedule::Now,
            expires_after_hours: 0,
            whatsapp: None,
        }
    }

    #[test]
    fn a_guest_hears_by_its_own_first_channel_or_by_all_that_reach_it() {
        let both = Guest {
            email: Some("a@example.com".into()),
            phone: Some("+12125550101".into()),
            phone_takes_sms: true,
            ..Guest::default()
        };
        assert_eq!(channels_for(&spec(Reach::Preferred), &both), [Channel::Email]);
        assert_eq!(channels_for(&spec(Reach::All), &both), [Channel::Email, Channel::Sms]);
        let prefers_sms = Guest { preferred: vec![Channel::WhatsApp, Channel::Sms], ..both.clone() };
        assert_eq!(channels_for(&spec(Reach::Preferred), &prefers_sms), [Channel::Sms]);
        let landline = Guest { phone_takes_sms: false, email: None, ..both };
        assert_eq!(channels_for(&spec(Reach::All), &landline), []);
    }
}
