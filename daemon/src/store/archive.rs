//! Messages of ended campaigns, many to a row: the same that their own rows said, in about a quarter of the room.
//!
//! A row each is right for a message that changes; once its campaign has ended, what is left of it is history. Promises:
//! nothing is lost, down to each attempt; a message that is written again afterwards, by a report that comes late, has a
//! row of its own again, which goes before what is kept here; a commit moves its messages as a whole or not at all.

use serde::{Deserialize, Serialize};
use usher_common::model::{
    AttemptNo, CampaignId, CampaignState, Channel, GuestId, ListId, MessageId, OutcomeClass, Timestamp,
};

use super::engine::{Change, MAX_VALUE, Precondition};
use super::records::{AttemptRecord, MessageRecord};
use super::{By, Error, Store, campaigns, put, space};
use crate::codec::{self, CodecError};

/// Messages that are put together in one row, where they fit; half of them where not, and so on.
const TOGETHER: usize = 256;
/// A row unpacks to no more than this, in bytes; one that claims more is damaged.
const UNPACKED: usize = 1 << 20;
/// History is packed once and read seldom.
const LEVEL: i32 = 9;
/// The states of a campaign that is over.
const ENDED: [CampaignState; 3] = [CampaignState::Finished, CampaignState::Partial, CampaignState::Cancelled];

/// How far a campaign's messages are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compaction {
    /// All of its messages up to this one were looked at.
    pub upto: MessageId,
    /// Whether that were all.
    pub done: bool,
    /// Messages that were put together.
    pub messages: u64,
    /// Bytes that their rows took, keys included.
    pub before: u64,
    /// Bytes that they take now.
    pub after: u64,
}

impl Store {
    /// How far a campaign's messages are put together.
    pub fn compaction(&self, campaign: CampaignId) -> Result<Compaction, Error> {
        Ok(self.compaction_row(campaign)?.0)
    }

    fn compaction_row(&self, campaign: CampaignId) -> Result<(Compaction, Precondition), Error> {
        let (space, key) = (space::COMPACTION, space::id(campaign.0));
        Ok(match self.read::<Compaction>(space, &key, "a campaign's compaction")? {
            Some((record, row)) => (record, Precondition::Version { space, key, version: row.version }),
            None => (Compaction::default(), Precondition::Absent { space, key }),
        })
    }

    /// Puts the next messages of an ended campaign together, looking at `most` of them and at 1,000 at most; how far it is
    /// then. What is not final, or has an attempt in doubt, keeps its row.
    ///
    /// [`Error::Changed`] where one of them was written meanwhile, or the campaign has not ended; then nothing is done.
    pub async fn compact(&self, by: &By, campaign: CampaignId, most: usize) -> Result<Compaction, Error> {
        let (mut record, seen) = self.compaction_row(campaign)?;
        let most = most.min(1_000);
        let mut expect = vec![campaigns::in_state(campaign, &ENDED), seen];
        let mut changes = Vec::new();
        let mut found: Vec<(MessageId, MessageRecord)> = Vec::new();
        let mut looked = 0;
        let first = MessageId(record.upto.0.saturating_add(1));
        for row in self.message_rows(campaign, first) {
            if looked == most {
                break;
            }
            looked += 1;
            let (key, row) = row?;
            let id = MessageId(space::last_id(&key).unwrap_or_default());
            record.upto = id;
            let message: MessageRecord = super::decode(&row.value, "a message")?;
            let history = message.state.is_final() && message.retry_at.is_none();
            if !history || self.engine.get(space::INTENT, &key)?.is_some() {
                continue;
            }
            record.before += (key.len() + row.value.len()) as u64;
            expect.push(Precondition::Version { space: space::MESSAGE, key: key.clone(), version: row.version });
            changes.push(Change::Delete { space: space::MESSAGE, key });
            found.push((id, message));
        }
        record.messages += found.len() as u64;
        for part in found.chunks(TOGETHER) {
            for (last, value) in pack_to_fit(part, MAX_VALUE)? {
                let key = space::message(campaign, last);
                record.after += (key.len() + value.len()) as u64;
                changes.push(Change::Put { space: space::ARCHIVE, key, state: 0, value });
            }
        }
        record.done = looked < most;
        changes.push(put(space::COMPACTION, space::id(campaign.0), 0, &record));
        match self.commit(by, Vec::new(), expect, changes).await {
            Ok(_) => Ok(record),
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "messages of campaign", name: campaign.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// A message that was put together with others.
    pub(super) fn archived(&self, campaign: CampaignId, id: MessageId) -> Result<Option<MessageRecord>, Error> {
        let found = self.archived_from(campaign, id)?.into_iter().next();
        Ok(found.filter(|(there, _)| *there == id).map(|(_, record)| record))
    }

    /// The messages from `first` on in the first row that has any; none where no row has.
    pub(super) fn archived_from(
        &self,
        campaign: CampaignId,
        first: MessageId,
    ) -> Result<Vec<(MessageId, MessageRecord)>, Error> {
        let mut rows = self.campaign_rows(space::ARCHIVE, campaign, first);
        let Some(row) = rows.next() else { return Ok(Vec::new()) };
        let mut messages = unpack(&row?.1.value).map_err(damaged)?;
        messages.retain(|(id, _)| *id >= first);
        Ok(messages)
    }
}

fn damaged(source: CodecError) -> Error {
    Error::Record { what: "the messages of an ended campaign", source }
}

/// Messages in rows of at most `room` bytes, each with the last id in it.
fn pack_to_fit(messages: &[(MessageId, MessageRecord)], room: usize) -> Result<Vec<(MessageId, Vec<u8>)>, Error> {
    let Some((last, _)) = messages.last() else { return Ok(Vec::new()) };
    match pack(messages) {
        // One alone takes less than the row that it had, which fitted.
        Ok(packed) if packed.len() <= room || messages.len() == 1 => return Ok(vec![(*last, packed)]),
        Ok(_) => {}
        Err(CodecError::TooLarge { .. }) if messages.len() > 1 => {}
        Err(error) => return Err(damaged(error)),
    }
    let (left, right) = messages.split_at(messages.len() / 2);
    let mut rows = pack_to_fit(left, room)?;
    rows.extend(pack_to_fit(right, room)?);
    Ok(rows)
}

/// The messages of a row, a list for each field: equals beside equals, which is what packs well. Numbers are differences
/// from the message before.
#[derive(Default, Serialize, Deserialize)]
struct Columns {
    ids: Vec<u64>,
    guests: Vec<i64>,
    lists: Vec<i64>,
    states: Vec<u8>,
    channels: Vec<u8>,
    changed: Vec<i64>,
    whys: Vec<u32>,
    /// How many each message has.
    attempts: Vec<u8>,
    numbers: Vec<u32>,
    providers: Vec<u32>,
    /// From when the message last changed to when the attempt ended: nothing, for the last one.
    ends: Vec<i64>,
    latencies: Vec<u32>,
    classes: Vec<OutcomeClass>,
    codes: Vec<u32>,
    details: Vec<u32>,
    barred: Vec<bool>,
    /// Texts that several messages share.
    texts: Vec<String>,
    /// No two are equal, and nothing else is like them.
    provider_ids: Vec<String>,
}

fn pack(messages: &[(MessageId, MessageRecord)]) -> Result<Vec<u8>, CodecError> {
    let mut columns = Columns::default();
    let (mut id, mut guest, mut list, mut changed) = (0, 0, 0, 0);
    for (message, record) in messages {
        columns.ids.push(message.0.wrapping_sub(id));
        columns.guests.push(record.guest.0.wrapping_sub(guest).cast_signed());
        columns.lists.push(record.list.0.wrapping_sub(list).cast_signed());
        columns.states.push(space::state_byte(record.state));
        columns.channels.push(space::channel_byte(record.channel));
        columns.changed.push(record.changed.0.wrapping_sub(changed));
        (id, guest, list, changed) = (message.0, record.guest.0, record.list.0, record.changed.0);
        let why = columns.text(&record.why);
        columns.whys.push(why);
        columns.attempts.push(u8::try_from(record.attempts.len()).expect("a message keeps at most 25 attempts"));
        for attempt in &record.attempts {
            columns.attempt(attempt, record.changed);
        }
    }
    let plain = codec::encode_within::<_, UNPACKED>(super::VERSION, &columns)?;
    let packed = zstd::bulk::compress(&plain, LEVEL);
    packed.map_err(|error| CodecError::Unencodable { why: error.to_string() })
}

impl Columns {
    /// The number of a text.
    fn text(&mut self, text: &str) -> u32 {
        let place = self.texts.iter().position(|known| known == text).unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        u32::try_from(place).expect("a row has some thousand texts at most")
    }

    fn attempt(&mut self, attempt: &AttemptRecord, changed: Timestamp) {
        let AttemptRecord { no, provider, started, class, code, detail, provider_id, latency_ms, barred } = attempt;
        self.numbers.push(no.0);
        self.ends.push(changed.0.wrapping_sub(started.0).wrapping_sub(i64::from(*latency_ms)));
        self.latencies.push(*latency_ms);
        self.classes.push(*class);
        self.barred.push(*barred);
        self.provider_ids.push(provider_id.clone());
        let [provider, code, detail] = [provider, code, detail].map(|text| self.text(text));
        self.providers.push(provider);
        self.codes.push(code);
        self.details.push(detail);
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<(MessageId, MessageRecord)>, CodecError> {
    let broken = |why: String| CodecError::Malformed { version: super::VERSION, why };
    let plain = zstd::bulk::decompress(packed, UNPACKED).map_err(|error| broken(error.to_string()))?;
    let columns: Columns = codec::decode_within::<_, UNPACKED>(super::VERSION, &plain)?;
    columns.messages().ok_or_else(|| broken("its columns do not fit each other".to_owned()))
}

impl Columns {
    fn messages(mut self) -> Option<Vec<(MessageId, MessageRecord)>> {
        let mut messages = Vec::with_capacity(self.ids.len());
        let (mut id, mut guest, mut list, mut changed) = (0_u64, 0_u64, 0_u64, 0_i64);
        let mut next = 0;
        for n in 0..self.ids.len() {
            id = id.wrapping_add(self.ids[n]);
            guest = guest.wrapping_add(self.guests.get(n)?.cast_unsigned());
            list = list.wrapping_add(self.lists.get(n)?.cast_unsigned());
            changed = changed.wrapping_add(*self.changed.get(n)?);
            let mut attempts = Vec::new();
            for _ in 0..*self.attempts.get(n)? {
                attempts.push(self.attempt_at(next, changed)?);
                next += 1;
            }
            let record = MessageRecord {
                state: space::state_of(*self.states.get(n)?)?,
                guest: GuestId(guest),
                list: ListId(list),
                channel: channel(*self.channels.get(n)?)?,
                changed: Timestamp(changed),
                retry_at: None,
                why: self.text_at(*self.whys.get(n)?)?,
                attempts,
            };
            messages.push((MessageId(id), record));
        }
        Some(messages)
    }

    fn text_at(&self, place: u32) -> Option<String> {
        self.texts.get(place as usize).cloned()
    }

    fn attempt_at(&mut self, n: usize, changed: i64) -> Option<AttemptRecord> {
        let latency_ms = *self.latencies.get(n)?;
        let started = changed.wrapping_sub(*self.ends.get(n)?).wrapping_sub(i64::from(latency_ms));
        Some(AttemptRecord {
            no: AttemptNo(*self.numbers.get(n)?),
            provider: self.text_at(*self.providers.get(n)?)?,
            started: Timestamp(started),
            class: *self.classes.get(n)?,
            code: self.text_at(*self.codes.get(n)?)?,
            detail: self.text_at(*self.details.get(n)?)?,
            provider_id: std::mem::take(self.provider_ids.get_mut(n)?),
            latency_ms,
            barred: *self.barred.get(n)?,
        })
    }
}

fn channel(byte: u8) -> Option<Channel> {
    space::channel_of(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use usher_common::model::MessageState;

    fn attempt() -> impl Strategy<Value = AttemptRecord> {
        let words = ("[a-z]{0,6}", "[0-9]{0,3}", ".{0,20}", "SM[0-9a-f]{32}");
        (any::<(u32, i64, u32, bool)>(), words).prop_map(|(numbers, (provider, code, detail, provider_id))| {
            let ((no, started, latency_ms, barred), class) = (numbers, OutcomeClass::Refused);
            let started = Timestamp(started);
            AttemptRecord { no: AttemptNo(no), provider, started, class, code, detail, provider_id, latency_ms, barred }
        })
    }

    fn record() -> impl Strategy<Value = MessageRecord> {
        let state = prop::sample::select(MessageState::ALL.to_vec());
        let channel = prop::sample::select(Channel::ALL.to_vec());
        (any::<(u64, u64, i64)>(), state, channel, ".{0,12}", prop::collection::vec(attempt(), 0..26)).prop_map(
            |((guest, list, changed), state, channel, why, attempts)| MessageRecord {
                state,
                guest: GuestId(guest),
                list: ListId(list),
                channel,
                changed: Timestamp(changed),
                retry_at: None,
                why,
                attempts,
            },
        )
    }

    /// A message that a provider took, as nearly all are.
    fn taken(n: u64) -> (MessageId, MessageRecord) {
        let id = *blake3::hash(&n.to_be_bytes()).as_bytes();
        let at = Timestamp(1_795_000_000_000 + n.cast_signed() * 7);
        let attempt = AttemptRecord {
            no: AttemptNo(1),
            provider: "twilio".into(),
            started: at,
            class: OutcomeClass::Accepted,
            code: "201".into(),
            detail: String::new(),
            provider_id: format!("SM{}", hex::encode(&id[..16])),
            latency_ms: u32::from(id[20]),
            barred: false,
        };
        let record = MessageRecord {
            state: MessageState::Accepted,
            guest: GuestId(n),
            list: ListId(1),
            channel: Channel::Sms,
            changed: at.plus_millis(i64::from(id[20])),
            retry_at: None,
            why: String::new(),
            attempts: vec![attempt],
        };
        (MessageId(n), record)
    }

    #[test]
    fn a_row_takes_some_twenty_bytes_a_message_and_fits_the_index() {
        let messages: Vec<_> = (1..=TOGETHER as u64).map(taken).collect();
        let rows = pack_to_fit(&messages, MAX_VALUE).unwrap();
        let bytes = rows.iter().map(|(_, row)| row.len()).sum::<usize>() / TOGETHER;
        assert_eq!(rows.len(), 1);
        let own: usize = messages.iter().map(|(_, record)| 16 + super::super::encode(record).len()).sum();
        assert!(bytes < 28 && own / TOGETHER > 80, "{bytes} bytes a message, {} in a row of its own", own / TOGETHER);
        let halved = pack_to_fit(&messages, 2_000).unwrap();
        assert!(halved.iter().all(|(_, row)| row.len() <= 2_000));
        let last: Vec<u64> = halved.iter().map(|(last, _)| last.0).collect();
        assert_eq!(last, [64, 128, 192, 256]);
        let back: Vec<_> = halved.iter().flat_map(|(_, row)| unpack(row).unwrap()).collect();
        assert_eq!(back, messages);
    }

    #[test]
    fn what_does_not_add_up_is_damage_and_not_a_message() {
        assert!(unpack(&[]).is_err());
        let mut columns = Columns { ids: vec![1], ..Columns::default() };
        columns.guests.push(1);
        let plain = codec::encode(super::super::VERSION, &columns).unwrap();
        let packed = zstd::bulk::compress(&plain, LEVEL).unwrap();
        assert!(matches!(unpack(&packed), Err(CodecError::Malformed { .. })));
        let bomb = zstd::bulk::compress(&vec![0; UNPACKED + 1], LEVEL).unwrap();
        assert!(matches!(unpack(&bomb), Err(CodecError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(records in prop::collection::vec((any::<u64>(), record()), 0..12)) {
            let messages: Vec<_> = records.into_iter().map(|(id, record)| (MessageId(id), record)).collect();
            prop_assert_eq!(unpack(&pack(&messages).unwrap()).unwrap(), messages);
        }
    }
}
