//! A campaign's messages in order of id, whether each has a row of its own or is kept with others.

use std::collections::VecDeque;
use std::ops::Bound;

use usher_common::model::{CampaignId, GuestId, MessageId, MessageState};

use super::engine::{Row, Space, StoreError};
use super::messages::StoredMessage;
use super::records::{IntentRecord, MessageRecord};
use super::{Error, Sequence, Store, space};

/// Messages that one page looks at, at the most: it holds up its caller for some ten milliseconds, and no longer.
const LOOKS: usize = 20_000;

/// Some of a campaign's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The messages, in order of id.
    pub messages: Vec<StoredMessage>,
    /// Where the next page begins: behind this one; `None` at the end. A page that is short has a next one where most
    /// messages are in other states.
    pub next: Option<MessageId>,
}

impl Store {
    /// Messages of a campaign in order of id, from behind `after` on; at most `limit` that are in `state`.
    pub fn messages(
        &self,
        campaign: CampaignId,
        state: Option<MessageState>,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut at = after.map_or(0, |id| id.0.saturating_add(1));
        let mut rows = self.message_rows(campaign, MessageId(at)).peekable();
        let mut kept: VecDeque<(MessageId, MessageRecord)> = VecDeque::new();
        let mut page = Page { messages: Vec::new(), next: after };
        for _ in 0..LOOKS {
            if page.messages.len() >= limit {
                return Ok(page);
            }
            let own = match rows.peek() {
                None => None,
                Some(Ok((key, _))) => Some(MessageId(space::last_id(key).unwrap_or_default())),
                Some(Err(_)) => break,
            };
            // Looked for after the row was, and wherever ids are missing: what is put together meanwhile is gone from
            // the rows only once it is there.
            if kept.is_empty() && own != Some(MessageId(at)) {
                kept = self.archived_from(campaign, MessageId(at))?.into();
            }
            let message = match (own, kept.front().map(|(id, _)| *id)) {
                (None, None) => return Ok(Page { next: None, ..page }),
                (Some(own), other) if other.is_none_or(|other| own <= other) => {
                    if other == Some(own) {
                        kept.pop_front();
                    }
                    let Some(row) = rows.next() else { break };
                    at = own.0;
                    self.stored(campaign, own, row?, state)?
                }
                _ => {
                    let Some((id, record)) = kept.pop_front() else { break };
                    at = id.0;
                    let wanted = state.is_none_or(|wanted| record.state == wanted);
                    wanted.then_some(StoredMessage { id, campaign, record, intent: None })
                }
            };
            page.next = Some(MessageId(at));
            at = at.saturating_add(1);
            page.messages.extend(message);
        }
        match rows.next() {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(page),
        }
    }

    /// The messages of a campaign to one guest, in order of id. Found by halving, since guests are turned into messages in
    /// the order of their ids.
    pub fn messages_to(&self, campaign: CampaignId, guest: GuestId) -> Result<Vec<StoredMessage>, Error> {
        let from = |id: u64| -> Result<Option<StoredMessage>, Error> {
            let after = id.checked_sub(1).map(MessageId);
            Ok(self.messages(campaign, None, after, 1)?.messages.pop())
        };
        let (mut low, mut high) = (0, self.last(Sequence::Message)? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match from(middle)? {
                Some(message) if message.record.guest < guest => low = message.id.0 + 1,
                _ => high = middle,
            }
        }
        let mut found = Vec::new();
        while let Some(message) = from(low)?.filter(|message| message.record.guest == guest) {
            low = message.id.0 + 1;
            found.push(message);
        }
        Ok(found)
    }

    /// The message of a row, if it is in the state that is wanted.
    fn stored(
        &self,
        campaign: CampaignId,
        id: MessageId,
        (key, row): (Vec<u8>, Row),
        wanted: Option<MessageState>,
    ) -> Result<Option<StoredMessage>, Error> {
        // One that is under way is stored as queued; every other state is the row's tag.
        let under_way = space::state_byte(MessageState::Queued);
        let tag = wanted.map(|state| if state == MessageState::Sending { under_way } else { space::state_byte(state) });
        if tag.is_some_and(|tag| tag != row.state) {
            return Ok(None);
        }
        let record = super::decode(&row.value, "a message")?;
        let intent = self.read::<IntentRecord>(space::INTENT, &key, "an intent")?.map(|(intent, _)| intent);
        let message = StoredMessage { id, campaign, record, intent };
        Ok(wanted.is_none_or(|wanted| message.state() == wanted).then_some(message))
    }

    /// The rows of a campaign's messages from `first` on.
    pub(super) fn message_rows(
        &self,
        campaign: CampaignId,
        first: MessageId,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Row), StoreError>> + use<> {
        self.campaign_rows(space::MESSAGE, campaign, first)
    }

    /// The rows of a keyspace that is ordered by campaign and message, from `first` on.
    pub(super) fn campaign_rows(
        &self,
        space: Space,
        campaign: CampaignId,
        first: MessageId,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Row), StoreError>> + use<> {
        let (from, to) = (space::message(campaign, first), space::message(campaign, MessageId(u64::MAX)));
        self.engine.scan(space, Bound::Included(&from), Bound::Included(&to))
    }
}
