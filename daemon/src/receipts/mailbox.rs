//! Whether a report that came by mail is true, and of what: what the desk is then told, as of any other provider's.
//!
//! Promises: a message moves and an address is suppressed only by a report that quotes the letter's Message-ID, which nobody
//! can make up ([`mark`]), and then only the address that the letter went to: a guest knows the mark of an own letter, and must
//! not be able to silence another guest by it. A mailbox that the configuration calls trusted is believed besides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_common::model::{Channel, MessageId, OutcomeClass};

use super::desk::{Desk, Filed};
use super::mail::MailReport;
use super::read::ours;
use super::report::{Kind, Report};
use crate::campaigns::mark;
use crate::store::{Error, HeldMessage};

/// Files what comes by mail.
pub struct Mailbox {
    desk: Desk,
    secret: Vec<u8>,
    /// The SMTP providers, and whether their mailbox is trusted.
    providers: BTreeMap<String, bool>,
}

/// What a mail came to.
#[derive(Debug, Clone, Default)]
pub struct MailFiled {
    /// What the desk did.
    pub filed: Filed,
    /// What was believed: the provider and what it said.
    pub believed: Vec<(String, Kind)>,
    /// Reports that do not prove that they speak of a letter of ours: nothing follows from them.
    pub unproved: u64,
}

/// What whoever brought a mail is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailAnswer {
    /// Messages that moved.
    pub moved: u64,
    /// Addresses that are suppressed.
    pub suppressed: u64,
    /// Reports that were heard before.
    pub doubled: u64,
    /// Reports that wait for their message.
    pub waiting: u64,
    /// Reports that prove nothing.
    pub unproved: u64,
}

impl Mailbox {
    /// A mailbox for these SMTP providers, each with whether its mailbox is trusted. `secret` is what Message-IDs are made with.
    pub fn new(desk: Desk, secret: Vec<u8>, providers: BTreeMap<String, bool>) -> Self {
        Self { desk, secret, providers }
    }

    /// Whether there is such an SMTP provider.
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    /// The provider whose mailbox it must be: the one that is named, or the only one.
    pub fn whose<'m>(&'m self, named: Option<&'m str>) -> Option<&'m str> {
        let only = || self.providers.keys().next().filter(|_| self.providers.len() == 1).map(String::as_str);
        named.or_else(only)
    }

    /// Files a mail's reports. Durable when it returns; an error means that some of them are not, and that all of them may be
    /// told again.
    pub async fn file(&self, named: Option<&str>, mail: &[MailReport]) -> Result<MailFiled, Error> {
        let mut told = MailFiled::default();
        let mut by_provider: BTreeMap<String, Vec<Report>> = BTreeMap::new();
        for one in mail {
            match self.judge(named, one)? {
                Some((provider, report)) => {
                    told.believed.push((provider.clone(), report.kind));
                    by_provider.entry(provider).or_default().push(report);
                }
                None => told.unproved += 1,
            }
        }
        for (provider, reports) in by_provider {
            told.filed.add(self.desk.file(&provider, &reports).await?);
        }
        Ok(told)
    }

    /// Whose report it is and what it says; `None` for one that proves nothing.
    fn judge(&self, named: Option<&str>, mail: &MailReport) -> Result<Option<(String, Report)>, Error> {
        let proved = mail.names.iter().find_map(|name| mark::read(&self.secret, name));
        let report = match proved {
            Some(message) => {
                let held = self.desk.store().held(message)?;
                let holder = held.as_ref().and_then(|held| self.holder(held));
                let provider = named.or(holder).or_else(|| self.whose(None)).map(str::to_owned);
                provider.map(|provider| (provider, self.proved(message, held.as_ref(), mail)))
            }
            None => self
                .whose(named)
                .filter(|provider| self.providers.get(*provider) == Some(&true))
                .and_then(|provider| Some((provider.to_owned(), trusted(mail)?))),
        };
        Ok(report.map(|(provider, report)| (provider, report.saying(&mail.code, &mail.detail))))
    }

    /// The SMTP provider that has a message, or may.
    fn holder<'h>(&self, held: &'h HeldMessage) -> Option<&'h str> {
        let may = |class| matches!(class, OutcomeClass::Accepted | OutcomeClass::Unknown);
        let under_way = held.intent.as_ref().map(|intent| intent.provider.as_str());
        let had = held.record.attempts.iter().rev().filter(|attempt| may(attempt.class));
        under_way.into_iter().chain(had.map(|attempt| attempt.provider.as_str())).find(|name| self.knows(name))
    }

    /// What is said of a letter that it proves to speak of.
    fn proved(&self, message: MessageId, held: Option<&HeldMessage>, mail: &MailReport) -> Report {
        let own = held.and_then(|held| self.desk.guest_hash(held, Channel::Email));
        let of_guest =
            |address: &&String| own.is_some_and(|own| self.desk.hash(Channel::Email, address.as_str()) == Some(own));
        let recipient = mail.addresses.iter().find(of_guest).map(|address| (Channel::Email, address.clone()));
        let kind = match mail.kind {
            // An address that the guest has no more, or that the guest's passes mail on to.
            Kind::HardBounce if recipient.is_none() && !mail.addresses.is_empty() => Kind::SoftBounce,
            kind => kind,
        };
        Report { message: Some(message), recipient, at: mail.at, ..Report::of(mail.event.as_str(), kind) }
    }
}

/// What is said in a mailbox that is trusted: of a message only where an address fits it, else of the address alone.
fn trusted(mail: &MailReport) -> Option<Report> {
    let address = mail.addresses.first()?;
    let message = mail.message.as_deref().and_then(ours);
    let counts = message.is_some() || mail.kind.suppresses().is_some();
    counts.then(|| Report {
        message,
        recipient: Some((Channel::Email, address.clone())),
        at: mail.at,
        ..Report::of(mail.event.as_str(), mail.kind)
    })
}

impl From<&MailFiled> for MailAnswer {
    fn from(told: &MailFiled) -> Self {
        let Filed { moved, suppressed, doubled, waiting, .. } = told.filed;
        Self { moved, suppressed, doubled, waiting, unproved: told.unproved }
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
