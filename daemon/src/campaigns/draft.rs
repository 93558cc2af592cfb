//! What an author writes: a campaign as a draft, and as often as it is corrected before it begins.
//!
//! Promises that nothing is stored that could not be sent for a reason that is known by then: names, tokens, segments and
//! hours are checked here, with what to do in each refusal.

use usher_common::model::{Audience, CampaignId, CampaignSpec, Schedule, TOKENS, Timestamp};

use super::error::{CampaignError, spec_error};
use super::lifecycle::{self, Event};
use super::schedule::in_zone;
use super::service::{Campaigns, approved, refuse_deleted};
use super::template::Template;
use crate::guests::nearest;
use crate::store::{self, By, CampaignRecord, NewCampaign};

/// Longest name of a campaign, in characters.
const NAME: usize = 80;

impl Campaigns {
    /// Checks what an author wrote and stores it as a draft.
    pub async fn create(&self, by: &By, spec: CampaignSpec, now: Timestamp) -> Result<CampaignId, CampaignError> {
        let spec = self.checked(spec, now)?;
        let new = NewCampaign {
            name_hash: self.name_hash(&spec.name),
            sealed_spec: self.sealed(&spec)?,
            organisation: spec.organisation.clone(),
            list: spec.audience.list(),
            channels: spec.channels.clone(),
        };
        Ok(self.book().store().campaign_create(by, &new, now).await.map_err(|e| named(e, spec.name))?)
    }

    /// Writes a campaign anew that has not begun: it is a draft again, whose words are those of its template.
    pub async fn edit(
        &self,
        by: &By,
        row: &store::CampaignRow,
        spec: CampaignSpec,
        now: Timestamp,
    ) -> Result<(), CampaignError> {
        refuse_deleted(row)?;
        let state = lifecycle::next(row.record.state, Event::Edit)?;
        let spec = self.checked(spec, now)?;
        let names = (self.name_hash(&self.spec(row.id)?.name), self.name_hash(&spec.name));
        let record = CampaignRecord {
            state,
            organisation: spec.organisation.clone(),
            list: spec.audience.list(),
            channels: spec.channels.clone(),
            due: None,
            expires: None,
            approved_by: String::new(),
            ..row.record.clone()
        };
        let sealed = self.sealed(&spec)?;
        let written = self.book().store().campaign_rewrite(by, row, &record, (&names.0, &names.1), &sealed).await;
        written.map_err(|e| named(e, spec.name))?;
        Ok(())
    }

    /// What an author wrote, if all of it can be used.
    fn checked(&self, mut spec: CampaignSpec, now: Timestamp) -> Result<CampaignSpec, CampaignError> {
        spec.name = usable_name(&spec.name)?;
        if spec.channels.is_empty() {
            return Err(spec_error("channels", "name at least one of email, sms, whatsapp, slack"));
        }
        let mut seen = Vec::new();
        spec.channels.retain(|c| {
            !seen.contains(c) && {
                seen.push(*c);
                true
            }
        });
        self.organisation(&spec.organisation)?;
        let custom = self.custom(&spec)?;
        Template::compile_with(&self.template(&spec.template)?, &custom)?;
        approved(&spec, &custom)?;
        for name in spec.values.keys() {
            check_value(name)?;
        }
        self.check_audience(&spec.audience)?;
        check_schedule(&spec.schedule, now)?;
        Ok(spec)
    }

    fn check_audience(&self, audience: &Audience) -> Result<(), CampaignError> {
        self.book().store().list(audience.list())?;
        match audience {
            Audience::List(_) => Ok(()),
            Audience::Segment { list, expression } => {
                if expression.trim().is_empty() {
                    return Err(spec_error("segment", "it is empty: write an expression, or choose the whole list"));
                }
                self.book().segment(*list, expression)?;
                Ok(())
            }
            Audience::Picked { list, guests } => {
                if guests.is_empty() {
                    return Err(spec_error("guests", "nobody is picked: name at least one guest"));
                }
                for guest in guests {
                    if self.book().store().guest(*list, *guest)?.is_none() {
                        return Err(spec_error("guests", format!("{guest} is not on list {list}")));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Values are given to tokens; what a guest brings along or the daemon makes is not for an author to set.
fn check_value(name: &str) -> Result<(), CampaignError> {
    const NOT_SET: [&str; 4] = ["guest_name", "dietary_requirements", "unsubscribe_link", "postal_address"];
    let known = || TOKENS.iter().map(|(token, _)| *token).filter(|token| !NOT_SET.contains(token));
    if NOT_SET.contains(&name) {
        return Err(spec_error("values", format!("`{name}` is filled in for each guest: leave it out")));
    }
    if known().any(|token| token == name) {
        return Ok(());
    }
    let hint = nearest(name, known()).map_or(String::new(), |n| format!(" (did you mean {n}?)"));
    let list = known().collect::<Vec<_>>().join(", ");
    Err(spec_error("values", format!("there is no token `{name}`{hint}; known are {list}")))
}

/// Refuses an hour that has passed.
pub(super) fn check_schedule(schedule: &Schedule, now: Timestamp) -> Result<(), CampaignError> {
    match schedule {
        Schedule::At { at, zone } if *at <= now => {
            let (at, now) = (in_zone(*at, zone), in_zone(now, zone));
            Err(spec_error("schedule", format!("{at} is in the past (it is {now} now): choose a later one")))
        }
        Schedule::At { .. } | Schedule::Now => Ok(()),
    }
}

/// A campaign's name with single spaces, if it is one.
pub(super) fn usable_name(name: &str) -> Result<String, CampaignError> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().count() > NAME {
        return Err(spec_error("name", format!("write 1 to {NAME} characters")));
    }
    Ok(name)
}

/// The store knows a name's hash alone; whoever reads the error knows the name.
fn named(error: store::Error, name: String) -> store::Error {
    match error {
        store::Error::Taken { what, .. } => store::Error::Taken { what, name },
        other => other,
    }
}
