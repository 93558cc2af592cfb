//! Trial letters: what a campaign would bring, sent once to somebody who asked for it. Not part of any equation, but
//! through the same composing, the same gate and the same adapters, and in the audit trail like everything that leaves.

use usher_common::model::{AttemptNo, CampaignId, Channel, Guest, GuestId, MessageId, OutcomeClass};

use super::courier;
use super::shared::Shared;
use crate::campaigns::CampaignError;
use crate::guests::{EmailAddress, PhoneNumber};
use crate::store::{AuditEntry, By, Sequence};

/// Why a trial letter was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The campaign.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// The address.
    #[error("`{to}` is not an address for {channel}: {why}")]
    Address {
        /// As it was given.
        to: String,
        /// For which channel.
        channel: Channel,
        /// What is wrong with it.
        why: String,
    },
    /// The law.
    #[error("the gate does not let it out: {0}")]
    Gate(String),
    /// No provider.
    #[error("no provider can carry {0} now: see `usher provider list`")]
    NoProvider(Channel),
    /// The provider.
    #[error("{provider} did not take it: {class} ({said})")]
    NotTaken {
        /// Which.
        provider: String,
        /// How it answered.
        class: OutcomeClass,
        /// What it said.
        said: String,
    },
}

impl From<crate::store::Error> for TrialError {
    fn from(error: crate::store::Error) -> Self {
        Self::Campaign(error.into())
    }
}

impl Shared {
    /// Sends a campaign's letter once to `to`, made out to `like`, and says by which provider and under which id.
    pub async fn trial(
        &self,
        by: &By,
        campaign: CampaignId,
        channel: Channel,
        to: &str,
        like: &Guest,
    ) -> Result<(String, String), TrialError> {
        let mut guest = like.clone();
        let bad = |why: String| TrialError::Address { to: to.to_owned(), channel, why };
        match channel {
            Channel::Email => {
                let parsed = EmailAddress::parse(to).map_err(|e| bad(e.to_string()))?;
                guest.email = Some(parsed.stored);
                guest.email_needs_utf8 = parsed.needs_utf8;
            }
            Channel::Sms | Channel::WhatsApp => {
                let parsed = PhoneNumber::parse(to, &like.country).map_err(|e| bad(e.to_string()))?;
                guest.phone = Some(parsed.e164);
                guest.phone_takes_sms = true;
            }
            Channel::Slack => guest.slack = Some(to.to_owned()),
        }
        let kit = self.campaigns.kit(campaign)?;
        let message = MessageId(self.store().reserve(Sequence::Message, 1, by).await?);
        let letter = kit.compose(GuestId(0), &guest, channel, message).map_err(CampaignError::from)?;
        let hash = self.campaigns.book().suppression_hash(channel, &letter.to);
        let suppressed = self.store().suppression(&hash)?.map(|r| r.reason);
        kit.gate(&letter, suppressed.as_deref()).map_err(|refusal| {
            TrialError::Gate(format!("{} ({}): {}", refusal.why(), refusal.clause, refusal.remedy))
        })?;
        let account = self
            .accounts
            .iter()
            .find(|a| a.channel() == channel && !a.is_open())
            .ok_or(TrialError::NoProvider(channel))?;
        let provider = account.provider.name().to_owned();
        let outgoing = courier::outgoing(&kit, letter, message, AttemptNo(1));
        let not_taken = |class, said: String| TrialError::NotTaken { provider: provider.clone(), class, said };
        let key = courier::key(&kit.secret, std::slice::from_ref(&outgoing));
        let prepared = account
            .provider
            .prepare(std::slice::from_ref(&outgoing), &key)
            .map_err(|error| not_taken(OutcomeClass::Refused, error.to_string()))?;
        let intent = AuditEntry::Intent { provider: provider.clone(), messages: vec![(message.0, prepared.hash)] };
        let told =
            AuditEntry::Act { act: "campaign.test".into(), object: campaign.to_string(), detail: message.to_string() };
        self.store().audit(by, &[told, intent]).await?;
        let begun = self.clock.mono();
        let call = account.begin_unreserved();
        let answers = account.provider.send(&prepared).await;
        courier::count(self, account, call, &answers, self.clock.mono().saturating_sub(begun));
        let Some(answer) = answers.into_iter().next() else {
            return Err(not_taken(OutcomeClass::Unknown, "no answer".to_owned()));
        };
        let outcome = AuditEntry::Outcome { provider: provider.clone(), outcomes: vec![(message.0, 1, answer.class)] };
        self.store().audit(by, &[outcome]).await?;
        if answer.class == OutcomeClass::Accepted {
            return Ok((provider, answer.provider_id));
        }
        let said = if answer.detail.is_empty() { answer.code } else { format!("{}: {}", answer.code, answer.detail) };
        Err(not_taken(answer.class, said))
    }
}
