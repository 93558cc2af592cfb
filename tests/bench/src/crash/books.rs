//! The daemon's books against the simulator's record: nobody told twice, nobody forgotten, nothing claimed that is not so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::bail;
use usher_common::model::{CampaignDetail, Doubt, MessageRow, MessageState};
use usher_common::protocol::{Reply, Request};
use usher_demo::Desk;
use usher_sim::{Provider, Record};

use super::load::{self, Wedding};
use super::world::Told;

/// As many contradictions are shown; the rest are counted.
const SHOWN: usize = 12;
/// As many messages in doubt are asked for.
const DOUBTS: u32 = 1_000;

/// What the daemon says, all of it.
pub(crate) struct Books {
    campaigns: Vec<(CampaignDetail, Vec<MessageRow>)>,
    /// What it waits to ask its provider for again.
    asked_again: usize,
}

/// Messages in doubt.
pub(crate) async fn doubts(desk: &Desk) -> anyhow::Result<Vec<Doubt>> {
    match desk.ask(Request::Doubts { campaign: None, limit: DOUBTS }).await? {
        Reply::Doubts(page) => Ok(page.rows),
        other => bail!("asked for what is in doubt, the daemon answered {other:?}"),
    }
}

impl Books {
    /// Reads them.
    pub(crate) async fn read(desk: &Desk) -> anyhow::Result<Self> {
        let mut campaigns = Vec::new();
        for row in load::campaigns(desk).await? {
            campaigns.push((desk.campaign(row.id).await?, desk.messages(row.id).await?));
        }
        let asked_again = doubts(desk).await?.iter().filter(|doubt| doubt.asked_until.is_some()).count();
        Ok(Self { campaigns, asked_again })
    }

    fn messages(&self) -> impl Iterator<Item = &MessageRow> {
        self.campaigns.iter().flat_map(|(_, rows)| rows)
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> u64 {
        self.messages().count() as u64
    }

    /// Those in doubt.
    pub(crate) fn unknown(&self) -> BTreeSet<u64> {
        self.messages().filter(|row| row.state == MessageState::Unknown).map(|row| row.id.0).collect()
    }

    /// What is still under way; none when everything has come to rest.
    pub(crate) fn unrest(&self, told: &BTreeMap<u64, Told>) -> Option<String> {
        for (detail, _) in &self.campaigns {
            let row = &detail.row;
            if !row.expanded || row.counts.open() > 0 {
                return Some(format!("{} is not through: {:?} {}", row.name, row.counts, row.why));
            }
        }
        if self.asked_again > 0 {
            return Some(format!("{} messages in doubt are to be asked for again", self.asked_again));
        }
        // One of several to a guest may stay in doubt, since the list does not tell them apart.
        let listed = |row: &&MessageRow| row.state == MessageState::Unknown && row.provider == "twilio";
        let mut alone = self.messages().filter(listed).filter(|row| {
            !self.messages().filter(listed).any(|other| other.id != row.id && other.guest_name == row.guest_name)
        });
        if let Some(row) = alone.next() {
            return Some(format!("its provider can be looked into, and it is in doubt: {row:?}"));
        }
        let behind: Vec<&MessageRow> = self
            .messages()
            .filter(|row| told.contains_key(&row.id.0))
            .filter(|row| !matches!(row.state, MessageState::Delivered | MessageState::Failed))
            .collect();
        let first = behind.first()?;
        Some(format!("{} reports have not moved their messages, {first:?}", behind.len()))
    }

    /// Every contradiction. The record must have been at rest when the books were read.
    pub(crate) fn contradictions(&self, wedding: &Wedding, record: &Record, told: &BTreeMap<u64, Told>) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for twice in record.duplicates() {
            let by = twice.sequences.iter().flat_map(|&at| record.entries(at, 1)).map(|entry| entry.provider);
            let by: Vec<Provider> = by.collect();
            found.push(format!("TWICE {} by {by:?}: {:?}", twice.message, self.row(&twice.message)));
        }
        if record.unattributed() > 0 {
            found.push(format!("{} messages in the record have no id", record.unattributed()));
        }
        let mut reached: HashMap<u64, Provider> = HashMap::new();
        for entry in record.entries(0, usize::MAX) {
            let id = entry.message.as_deref().and_then(|id| id.trim_start_matches('m').parse().ok());
            if let Some(id) = id {
                reached.insert(id, entry.provider);
            }
        }
        let known: BTreeSet<u64> = self.messages().map(|row| row.id.0).collect();
        if known.len() as u64 != self.count() {
            found.push("a message stands in the books twice".to_owned());
        }
        found.extend(
            reached
                .keys()
                .filter(|id| !known.contains(id))
                .map(|id| format!("LOST m{id} was accepted and the daemon does not know it")),
        );
        found.extend(self.messages().filter_map(|row| dishonest(row, reached.get(&row.id.0), told.get(&row.id.0))));
        self.equations(wedding, &mut found);
        if found.len() > SHOWN {
            let more = found.len() - SHOWN;
            found.truncate(SHOWN);
            found.push(format!("and {more} more"));
        }
        found
    }

    fn row(&self, message: &str) -> Option<&MessageRow> {
        self.messages().find(|row| row.id.to_string() == message)
    }

    fn equations(&self, wedding: &Wedding, found: &mut Vec<String>) {
        for sent in &wedding.campaigns {
            let Some((detail, rows)) = self.campaigns.iter().find(|(detail, _)| Some(detail.row.id) == sent.id) else {
                found.push(format!("LOST {} is not there", sent.name));
                continue;
            };
            let wanted = sent.messages(&wedding.lists);
            let mut states: BTreeMap<&str, u64> = BTreeMap::new();
            for row in rows {
                *states.entry(row.state.as_str()).or_default() += 1;
            }
            let counted: BTreeMap<&str, u64> = MessageState::ALL
                .iter()
                .map(|&state| (state.as_str(), detail.row.counts.get(state)))
                .filter(|(_, count)| *count > 0)
                .collect();
            if rows.len() as u64 != wanted || counted != states {
                let (name, is) = (&sent.name, rows.len());
                found.push(format!(
                    "{name}: {wanted} messages expected, {is} there, {counted:?} counted, {states:?} found"
                ));
            }
        }
        if self.campaigns.len() != wedding.campaigns.len() {
            found.push(format!("{} campaigns instead of {}", self.campaigns.len(), wedding.campaigns.len()));
        }
    }
}

/// What is not so about a message.
fn dishonest(row: &MessageRow, reached: Option<&Provider>, told: Option<&Told>) -> Option<String> {
    let wrong = match (row.state, told) {
        (MessageState::Delivered, Some(Told::Delivered)) | (MessageState::Failed, Some(Told::Lost)) => {
            reached.is_none().then_some("reported of, and in no record")
        }
        (_, Some(_)) => Some("does not say what its provider reported"),
        (MessageState::Accepted, None) => reached.is_none().then_some("LOST: nobody accepted it"),
        (MessageState::Delivered, None) => Some("delivered, and nobody said so"),
        // Asked again under its key, or reported: only those without either may stay in doubt.
        (MessageState::Unknown, None) => {
            (row.provider == "resend").then_some("its provider keeps keys: still in doubt")
        }
        (_, None) => reached.map(|_| "it was accepted, and the daemon says otherwise"),
    };
    wrong.map(|why| format!("{why}: {row:?}, in the record of {reached:?}, reported {told:?}"))
}

#[cfg(test)]
mod tests {
    use usher_common::model::{CampaignId, Channel, GuestId, MessageId, Timestamp};

    use super::*;

    #[test]
    fn what_a_daemon_may_say_of_a_message() {
        use MessageState as S;
        let row = |state, provider: &str| MessageRow {
            id: MessageId(1),
            campaign: CampaignId(1),
            guest: GuestId(1),
            guest_name: String::new(),
            channel: Channel::Email,
            state,
            attempts: 1,
            provider: provider.to_owned(),
            why: String::new(),
            changed: Timestamp(0),
        };
        let (smtp, resend) = (Some(Provider::Smtp), Some(Provider::Resend));
        for (state, provider, reached, told, honest) in [
            (S::Accepted, "smtp", smtp, None, true),
            (S::Accepted, "smtp", None, None, false),
            (S::Unknown, "smtp", smtp, None, true),
            (S::Unknown, "smtp", None, None, true),
            (S::Unknown, "resend", resend, None, false),
            (S::Queued, "smtp", smtp, None, false),
            (S::Failed, "smtp", smtp, None, false),
            (S::Failed, "smtp", None, None, true),
            (S::Suppressed, "", None, None, true),
            (S::Suppressed, "", smtp, None, false),
            (S::Delivered, "resend", resend, None, false),
            (S::Delivered, "resend", resend, Some(Told::Delivered), true),
            (S::Accepted, "resend", resend, Some(Told::Delivered), false),
            (S::Unknown, "twilio", Some(Provider::Twilio), Some(Told::Delivered), false),
            (S::Delivered, "twilio", Some(Provider::Twilio), Some(Told::Lost), false),
            (S::Failed, "twilio", Some(Provider::Twilio), Some(Told::Lost), true),
        ] {
            let row = row(state, provider);
            assert_eq!(
                dishonest(&row, reached.as_ref(), told.as_ref()).is_none(),
                honest,
                "{row:?} {reached:?} {told:?}"
            );
        }
    }
}
