//! Trial letters: what a campaign would bring, or a line that tries a provider, sent once to somebody who asked for it. Not
//! part of any equation, but through the same adapters, and in the audit trail like everything that leaves; a campaign's
//! through the same composing and the same gate too. A person asks for it, so it goes out while sending is held.

use std::sync::Arc;

use usher_common::model::{AttemptNo, CampaignId, Channel, Guest, GuestId, MessageId, OutcomeClass};

use super::account::Account;
use super::courier;
use super::shared::Shared;
use super::steering::SteerError;
use crate::campaigns::CampaignError;
use crate::clock;
use crate::guests::{EmailAddress, PhoneNumber};
use crate::providers::{Outgoing, Sender};
use crate::store::{AuditEntry, By, Sequence};

/// Why a trial letter was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The campaign.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// The provider that was to be tried.
    #[error(transparent)]
    Which(#[from] SteerError),
    /// In whose name.
    #[error("say with --organisation in whose name: there are {}", .0.join(", "))]
    WhoseName(Vec<String>),
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
        let guest = addressed(like, channel, to)?;
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
            .find(|a| a.channel() == channel && self.carries(a))
            .ok_or(TrialError::NoProvider(channel))?;
        let outgoing = courier::outgoing(&kit, letter, message, AttemptNo(1));
        self.once(by, account, &outgoing, &kit.secret, ("campaign.test", campaign.to_string())).await
    }

    /// Sends one line by a provider, whatever its breaker or an operator says of it, and says under which id.
    pub async fn try_provider(
        &self,
        by: &By,
        name: &str,
        to: &str,
        organisation: Option<&str>,
    ) -> Result<(String, String), TrialError> {
        let account = self.account(name)?;
        let channel = account.channel();
        let names = self.campaigns.organisation_names();
        let organisation = match (organisation, names.as_slice()) {
            (Some(name), _) => self.campaigns.organisation(name)?,
            (None, [only]) => self.campaigns.organisation(only)?,
            (None, _) => return Err(TrialError::WhoseName(names)),
        };
        let guest = addressed(&Guest::default(), channel, to)?;
        let to = crate::guests::address_on(&guest, channel).unwrap_or(to).to_owned();
        let hash = self.campaigns.book().suppression_hash(channel, &to);
        if let Some(record) = self.store().suppression(&hash)? {
            return Err(TrialError::Gate(format!(
                "{} since {}",
                record.reason,
                clock::utc(record.since, self.clock.now())
            )));
        }
        let message = MessageId(self.store().reserve(Sequence::Message, 1, by).await?);
        let (now, email) = (self.clock.now(), channel == Channel::Email);
        let address = match channel {
            Channel::Email => organisation.from_email.clone(),
            Channel::Sms => organisation.sms_sender.clone(),
            Channel::WhatsApp | Channel::Slack => None,
        };
        let address = address.unwrap_or_default();
        let environment = &self.settings.environment;
        let text =
            format!("Usher ({environment}) tries its provider {name}: this came through at {}.", clock::utc(now, now));
        let domain = address.rsplit_once('@').map_or("usher", |parts| parts.1);
        let outgoing = Outgoing {
            message,
            attempt: AttemptNo(1),
            to,
            to_name: String::new(),
            from: Sender { address: address.clone(), name: organisation.from_name.clone() },
            reply_to: None,
            subject: if email { format!("Usher tries {name}") } else { String::new() },
            text,
            html: String::new(),
            headers: Vec::new(),
            template: None,
            rfc_message_id: if email { format!("<{message}.{}.test@{domain}>", now.0) } else { String::new() },
            date: now,
        };
        self.once(by, account, &outgoing, &now.0.to_be_bytes(), ("provider.test", format!("provider {name}"))).await
    }

    /// Sends one letter once, with what the audit trail is told before and after.
    async fn once(
        &self,
        by: &By,
        account: &Arc<Account>,
        outgoing: &Outgoing,
        secret: &[u8],
        (act, object): (&str, String),
    ) -> Result<(String, String), TrialError> {
        let (provider, message) = (account.provider.name().to_owned(), outgoing.message);
        let not_taken = |class, said: String| TrialError::NotTaken { provider: provider.clone(), class, said };
        let key = courier::key(secret, std::slice::from_ref(outgoing));
        let prepared = account
            .provider
            .prepare(std::slice::from_ref(outgoing), &key)
            .map_err(|error| not_taken(OutcomeClass::Refused, error.to_string()))?;
        let intent = AuditEntry::Intent { provider: provider.clone(), messages: vec![(message.0, prepared.hash)] };
        let told = AuditEntry::Act { act: act.to_owned(), object, detail: message.to_string() };
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

/// Somebody like `like` who can be reached by `channel` at `to`.
fn addressed(like: &Guest, channel: Channel, to: &str) -> Result<Guest, TrialError> {
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
    Ok(guest)
}
