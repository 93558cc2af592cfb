//! Messages that wait, on their way out of their queues without having been sent: cancelled, or past their time.

use usher_common::model::{CampaignId, CampaignState, Channel, MessageId, MessageState, Timestamp};

use super::engine::{Change, Precondition};
use super::messages::put_message;
use super::{By, CommitError, Error, Next, Store, campaigns, counts, queue, space};

impl Store {
    /// Cancels about `limit` messages of a cancelled campaign that still wait; 0 when none is left.
    pub async fn cancel_waiting(
        &self,
        by: &By,
        campaign: CampaignId,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, Error> {
        // While the campaign is cancelled no intent can be recorded, so what waits here waits for ever.
        let expect = vec![campaigns::in_state(campaign, &[CampaignState::Cancelled])];
        self.sweep(by, (campaign, expect), limit, (MessageState::Cancelled, ""), now).await
    }

    /// Expires messages of a campaign that wait, at most some of them at once; how many. [`Error::Changed`] where one of them
    /// was sent meanwhile.
    pub async fn expire_waiting(
        &self,
        by: &By,
        campaign: CampaignId,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, Error> {
        self.sweep(by, (campaign, Vec::new()), limit, (MessageState::Expired, Next::Expired.why()), now).await
    }

    /// Takes messages that wait out of their queues, and says what they are instead and why. [`Error::Changed`] where one of
    /// them left its queue meanwhile.
    async fn sweep(
        &self,
        by: &By,
        (campaign, mut expect): (CampaignId, Vec<Precondition>),
        limit: usize,
        (to, why): (MessageState, &str),
        now: Timestamp,
    ) -> Result<usize, Error> {
        let mut changes = Vec::new();
        let mut channels: std::collections::BTreeMap<Channel, i64> = std::collections::BTreeMap::new();
        let mut waiting = Vec::new();
        'rows: for space in [space::QUEUE, space::RETRY] {
            for row in self.engine.scan_prefix(space, &space::id(campaign.0)) {
                if waiting.len() >= limit {
                    break 'rows;
                }
                let (key, row) = row?;
                if space == space::QUEUE {
                    waiting.extend(queue::waiting(&key, &row));
                    // Only those that were seen: another may come back to the row meanwhile.
                    let clear = row.bits().unwrap_or_default();
                    expect.push(Precondition::Bits { space, key: key.clone(), all: clear });
                    changes.push(Change::Bits { space, key, set: 0, clear });
                } else {
                    waiting.extend(space::last_id(&key).map(MessageId));
                    expect.push(Precondition::Version { space, key: key.clone(), version: row.version });
                    changes.push(Change::Delete { space, key });
                }
            }
        }
        for id in &waiting {
            if let Some(message) = self.message(campaign, *id)? {
                let mut record = message.record;
                self.give_back_unsent(campaign, &record, &mut changes)?;
                *channels.entry(record.channel).or_default() += 1;
                record.state = to;
                record.changed = now;
                record.retry_at = None;
                why.clone_into(&mut record.why);
                if !why.is_empty() {
                    changes.push(counts::reason(campaign, why, 1));
                }
                changes.push(put_message(campaign, *id, &record));
            }
        }
        for (channel, n) in channels {
            changes.push(counts::state(campaign, channel, MessageState::Queued, -n));
            changes.push(counts::state(campaign, channel, to, n));
        }
        if changes.is_empty() {
            return Ok(0);
        }
        match self.commit(by, Vec::new(), expect, changes).await {
            Ok(_) => Ok(waiting.len()),
            Err(CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "messages of campaign", name: campaign.to_string() })
            }
            Err(e) => Err(e.into()),
        }
    }
}
