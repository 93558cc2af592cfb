//! The story of a person: everything that was to reach one of its addresses, in all campaigns.

use std::collections::BTreeSet;

use usher_common::model::{Channel, Trace, TracedGuest, TracedMessage, TracedSuppression};
use usher_common::protocol::{GuestName, Problem, ProblemCode, Reply};

use super::Api;
use super::problem::ToProblem;
use crate::campaigns::CampaignError;
use crate::guests::{BookError, EmailAddress, PhoneNumber, address_on};
use crate::store::{AuditEntry, By};

/// Messages of one story.
const MESSAGES: usize = 1_000;

impl Api {
    /// The story of whoever has this address. It is in the audit trail that somebody asked.
    pub(super) async fn trace(&self, by: &By, address: &str) -> Result<Reply, Problem> {
        let ways = ways(address);
        if ways.is_empty() {
            return Err(Problem::new(
                ProblemCode::Invalid,
                format!("`{address}` is neither an e-mail address nor a telephone number with its country code"),
                "write it as ada@example.com or +41 79 123 45 67",
            ));
        }
        let trace = self.traced(address, ways).map_err(|error| error.problem())?;
        let object = trace.guests.first().map_or("a trace that found nobody".to_owned(), |one| one.guest.to_string());
        let access = AuditEntry::Access { object, guests: trace.guests.len() as u64 };
        self.campaigns().store().audit(by, &[access]).await.map_err(|error| error.problem())?;
        Ok(Reply::Trace(Box::new(trace)))
    }

    fn traced(&self, address: &str, mut ways: BTreeSet<(Channel, String)>) -> Result<Trace, CampaignError> {
        let (book, store) = (self.campaigns().book(), self.campaigns().store());
        let mut trace = Trace::default();
        for (list, record, _) in store.lists()? {
            let row = match book.find(list, &GuestName::Address(address.to_owned())) {
                Ok(row) => row,
                Err(BookError::NoGuest { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let all = Channel::ALL.into_iter();
            ways.extend(all.filter_map(|channel| Some((channel, address_on(&row.guest, channel)?.to_owned()))));
            trace.guests.push(TracedGuest { list, list_name: record.name, guest: row.id, name: row.guest.name });
        }
        for (channel, address) in ways {
            if let Some(found) = store.suppression(&book.suppression_hash(channel, &address))? {
                trace.suppressed.push(TracedSuppression { channel, reason: found.reason, since: found.since });
            }
        }
        for campaign in store.campaigns()? {
            let to = trace.guests.iter().filter(|guest| guest.list == campaign.record.list);
            for guest in to.map(|guest| guest.guest).collect::<Vec<_>>() {
                for message in store.messages_to(campaign.id, guest)? {
                    if trace.messages.len() == MESSAGES {
                        trace.more = true;
                        return Ok(trace);
                    }
                    let name = self.campaigns().spec(campaign.id)?.name;
                    trace.messages.push(TracedMessage { campaign: name, message: self.story(&message) });
                }
            }
        }
        Ok(trace)
    }
}

/// The channels by which an address can be written to, each with its form there.
fn ways(address: &str) -> BTreeSet<(Channel, String)> {
    let mut ways = BTreeSet::new();
    if let Ok(email) = EmailAddress::parse(address) {
        ways.insert((Channel::Email, email.stored));
    }
    if let Ok(phone) = PhoneNumber::parse(address, "") {
        ways.extend([Channel::Sms, Channel::WhatsApp].map(|channel| (channel, phone.e164.clone())));
    }
    ways
}
