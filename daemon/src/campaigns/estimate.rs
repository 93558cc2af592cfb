//! What sending a campaign would come to: how many it reaches, what would hold it back, and the words for one guest.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use usher_common::model::{Audience, Channel, Guest, GuestId, MessageId, Rendered};
use usher_common::protocol::GuestName;

use super::compose::Kit;
use super::error::CampaignError;
use super::service::{Campaigns, channels_for};
use super::sms;
use crate::config::Tier;

/// Guests that are looked at in one go.
const PART: usize = 500;

/// What a campaign would send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reckoning {
    /// Guests in the audience.
    pub guests: u64,
    /// Guests without a usable address on any of its channels.
    pub unreachable: u64,
    /// Messages and billed units by channel.
    pub channels: BTreeMap<Channel, (u64, u64)>,
    /// What would stop messages, with how many; a sentence each.
    pub obstacles: BTreeMap<String, u64>,
}

impl Campaigns {
    /// Goes through a campaign's whole audience, composing every letter and asking the gate. Takes about 30 µs a guest;
    /// belongs on a thread that may block. `told` hears after each part how many guests are done, and of how many; of
    /// 0 where a segment leaves that open; what it breaks off is [`CampaignError::GivenUp`].
    pub fn reckon(
        &self,
        id: usher_common::model::CampaignId,
        told: &dyn Fn(u64, u64) -> ControlFlow<()>,
    ) -> Result<Reckoning, CampaignError> {
        let spec = self.spec(id)?;
        let kit = self.kit(id)?;
        let segment = self.segment(&spec)?;
        let total = match &spec.audience {
            Audience::List(list) => self.book().store().guests_on(*list)?,
            Audience::Picked { guests, .. } => guests.len() as u64,
            Audience::Segment { .. } => 0,
        };
        let mut sum = Reckoning::default();
        let mut cursor = None;
        loop {
            let (guests, next) = self.audience(&spec, segment.as_ref(), cursor, PART)?;
            for (id, guest) in &guests {
                sum.guests += 1;
                let channels = channels_for(&spec, guest);
                if channels.is_empty() {
                    sum.unreachable += 1;
                }
                for channel in channels {
                    self.reckon_one(&kit, *id, guest, channel, &mut sum)?;
                }
            }
            if told(sum.guests, total).is_break() {
                return Err(CampaignError::GivenUp);
            }
            match next {
                Some(id) => cursor = Some(id),
                None => return Ok(sum),
            }
        }
    }

    fn reckon_one(
        &self,
        kit: &Kit,
        id: GuestId,
        guest: &Guest,
        channel: Channel,
        sum: &mut Reckoning,
    ) -> Result<(), CampaignError> {
        let (messages, units) = sum.channels.entry(channel).or_default();
        *messages += 1;
        let obstacle = match kit.compose(id, guest, channel, MessageId(0)) {
            Ok(letter) => {
                *units += if channel == Channel::Sms { u64::from(sms::measure(&letter.text).segments) } else { 1 };
                let hash = self.book().suppression_hash(channel, &letter.to);
                let suppressed = self.book().store().suppression(&hash)?.map(|record| record.reason);
                kit.gate(&letter, suppressed.as_deref())
                    .err()
                    .map(|refusal| format!("{channel}: {} ({}): {}", refusal.why(), refusal.clause, refusal.remedy))
            }
            Err(error) => Some(format!("{channel}: {error}")),
        };
        if let Some(obstacle) = obstacle {
            *sum.obstacles.entry(obstacle).or_default() += 1;
        }
        Ok(())
    }

    /// What one guest would get by each channel of a campaign: the guest that is named, else the first of the audience.
    pub fn preview(
        &self,
        id: usher_common::model::CampaignId,
        guest: Option<&GuestName>,
    ) -> Result<Vec<Rendered>, CampaignError> {
        let spec = self.spec(id)?;
        let (guest_id, guest) = match guest {
            Some(name) => {
                let row = self.book().find(spec.audience.list(), name)?;
                (row.id, row.guest)
            }
            None => self.first_guest(id)?.ok_or_else(|| nobody(id))?,
        };
        let kit = self.kit(id)?;
        let channels = channels_for(&spec, &guest);
        if channels.is_empty() {
            return Err(CampaignError::NotReady(format!("guest {guest_id} has no address on any of its channels")));
        }
        let letters = channels.into_iter().map(|channel| kit.compose(guest_id, &guest, channel, MessageId(0)));
        Ok(letters.collect::<Result<Vec<_>, _>>()?.into_iter().map(super::compose::Composed::rendered).collect())
    }

    /// The first guest of a campaign's audience.
    pub fn first_guest(&self, id: usher_common::model::CampaignId) -> Result<Option<(GuestId, Guest)>, CampaignError> {
        let spec = self.spec(id)?;
        let segment = self.segment(&spec)?;
        let mut cursor = None;
        loop {
            let (guests, next) = self.audience(&spec, segment.as_ref(), cursor, 1)?;
            match (guests.into_iter().next(), next) {
                (Some(first), _) => return Ok(Some(first)),
                (None, Some(id)) => cursor = Some(id),
                (None, None) => return Ok(None),
            }
        }
    }

    /// Whether a campaign could go out as it is: somebody to write to, within the tier, and nothing that would stop
    /// every message of a channel.
    pub fn check_ready(&self, id: usher_common::model::CampaignId, sum: &Reckoning) -> Result<(), CampaignError> {
        let recipients = sum.guests - sum.unreachable;
        if recipients == 0 {
            return Err(nobody(id));
        }
        let spec = self.spec(id)?;
        let organisation = self.organisation(&spec.organisation)?;
        if let Some(limits) = Tier::limits(organisation.tier)
            && recipients > u64::from(limits.recipients_per_campaign)
        {
            return Err(CampaignError::NotReady(format!(
                "{recipients} recipients are more than the tier {} of `{}` allows a campaign ({}): write to a smaller \
                 segment, or change the tier",
                organisation.tier.as_str(),
                organisation.name,
                limits.recipients_per_campaign
            )));
        }
        let messages: u64 = sum.channels.values().map(|c| c.0).sum();
        let stopped: u64 = sum.obstacles.values().sum();
        if messages > 0 && stopped == messages {
            let reasons: Vec<&str> = sum.obstacles.keys().map(String::as_str).take(3).collect();
            return Err(CampaignError::NotReady(format!("not one message could leave: {}", reasons.join("; "))));
        }
        // A whole channel that cannot leave is a mistake, not a few guests' misfortune.
        for (channel, (messages, _)) in &sum.channels {
            let prefix = format!("{channel}: ");
            let of_channel = sum.obstacles.iter().filter(|(text, _)| text.starts_with(&prefix));
            let stopped: u64 = of_channel.clone().map(|(_, n)| n).sum();
            if *messages > 0 && stopped == *messages {
                let why = of_channel.map(|(text, _)| text.as_str()).next().unwrap_or_default();
                return Err(CampaignError::NotReady(format!("no message by {channel} could leave: {why}")));
            }
        }
        Ok(())
    }
}

fn nobody(id: usher_common::model::CampaignId) -> CampaignError {
    CampaignError::NotReady(format!(
        "campaign {id} has no recipients: nobody in its audience has an address on its channels; look with `usher guests \
         list`"
    ))
}
