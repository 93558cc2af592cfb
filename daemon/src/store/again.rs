//! Messages that failed, on their way back to their queues.

use usher_common::model::{MessageId, MessageState, Timestamp};

use super::engine::Precondition;
use super::messages::put_message;
use super::queue::Moves;
use super::records::{AuditEntry, CampaignRecord};
use super::{By, CampaignRow, Error, Lane, Store, campaigns, counts, space};

impl Store {
    /// Puts messages of a campaign that have failed back in their queues, all or none, and lets the campaign go on as
    /// `record` says; how many they are, since one that has not failed, or does no longer, is left as it is. At most 250 at
    /// once. What a provider was barred for counts no more: whoever sends again has mended something.
    ///
    /// [`Error::Changed`] where the campaign or one of them was written meanwhile; `campaign` must have been read before
    /// the messages were chosen.
    pub async fn send_again(
        &self,
        by: &By,
        campaign: &CampaignRow,
        record: CampaignRecord,
        messages: &[MessageId],
        now: Timestamp,
    ) -> Result<Vec<Lane>, Error> {
        let key = space::id(campaign.id.0);
        let mut expect = vec![Precondition::Version { space: space::CAMPAIGN, key, version: campaign.version }];
        let mut changes = vec![campaigns::put_record(campaign.id, &record)];
        let mut moves = Moves::default();
        let mut lanes = Vec::new();
        for &id in messages {
            let key = space::message(campaign.id, id);
            let own = self.engine.get(space::MESSAGE, &key)?;
            let Some(message) = self.message(campaign.id, id)? else { continue };
            if message.record.state != MessageState::Failed || message.intent.is_some() {
                continue;
            }
            // One that was packed with others has no row of its own, and gets one again.
            expect.push(match own {
                Some(row) => Precondition::Version { space: space::MESSAGE, key, version: row.version },
                None => Precondition::Absent { space: space::MESSAGE, key },
            });
            let mut again = message.record;
            let lane = Lane { campaign: campaign.id, channel: again.channel };
            changes.push(counts::reason(campaign.id, &again.why, -1));
            changes.push(counts::state(campaign.id, lane.channel, MessageState::Failed, -1));
            changes.push(counts::state(campaign.id, lane.channel, MessageState::Queued, 1));
            again.state = MessageState::Queued;
            again.changed = now;
            again.why = String::new();
            for attempt in &mut again.attempts {
                attempt.barred = false;
            }
            changes.push(put_message(campaign.id, id, &again));
            moves.comes(lane, id);
            lanes.push((lane, id));
        }
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        moves.write(&mut expect, &mut changes);
        let audit = AuditEntry::Act {
            act: "campaign.resend".to_owned(),
            object: campaign.id.to_string(),
            detail: format!("{} messages that had failed", lanes.len()),
        };
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(_) => {
                for &(lane, id) in &lanes {
                    self.rewind(lane, id);
                }
                Ok(lanes.into_iter().map(|(lane, _)| lane).collect())
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "campaign", name: campaign.id.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
