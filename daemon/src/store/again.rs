//! Messages that failed, on their way back to their queues.

use usher_common::model::{MessageState, Timestamp};

use super::engine::Precondition;
use super::messages::put_message;
use super::queue::Moves;
use super::records::{AuditEntry, CampaignRecord};
use super::{By, CampaignRow, Error, Lane, Store, StoredMessage, campaigns, counts, space};

impl Store {
    /// Puts failed messages of a campaign back in their queues, all or none, and lets the campaign go on as `record` says, at
    /// most 250 at once; the campaign as it is then. What a provider was barred for counts no more: whoever sends again has
    /// mended something.
    ///
    /// [`Error::Changed`] where the campaign or one of them was written meanwhile.
    pub async fn send_again(
        &self,
        by: &By,
        campaign: &CampaignRow,
        record: CampaignRecord,
        messages: &[StoredMessage],
        now: Timestamp,
    ) -> Result<CampaignRow, Error> {
        let key = space::id(campaign.id.0);
        let mut expect = vec![Precondition::Version { space: space::CAMPAIGN, key, version: campaign.version }];
        let mut changes = vec![campaigns::put_record(campaign.id, &record)];
        let mut moves = Moves::default();
        for message in messages {
            let key = space::message(campaign.id, message.id);
            // One that was packed with others has no row of its own, and gets one again.
            expect.push(match self.engine.get(space::MESSAGE, &key)? {
                Some(row) => Precondition::Version { space: space::MESSAGE, key, version: row.version },
                None => Precondition::Absent { space: space::MESSAGE, key },
            });
            let mut again = message.record.clone();
            let channel = again.channel;
            changes.push(counts::reason(campaign.id, &again.why, -1));
            changes.push(counts::state(campaign.id, channel, MessageState::Failed, -1));
            changes.push(counts::state(campaign.id, channel, MessageState::Queued, 1));
            again.state = MessageState::Queued;
            again.changed = now;
            again.why = String::new();
            for attempt in &mut again.attempts {
                attempt.barred = false;
            }
            changes.push(put_message(campaign.id, message.id, &again));
            moves.comes(Lane { campaign: campaign.id, channel }, message.id);
        }
        moves.write(&mut expect, &mut changes);
        let audit = AuditEntry::Act {
            act: "campaign.resend".to_owned(),
            object: campaign.id.to_string(),
            detail: format!("{} messages that had failed", messages.len()),
        };
        match self.commit(by, vec![audit], expect, changes).await {
            Ok(done) => {
                for message in messages {
                    self.rewind(Lane { campaign: campaign.id, channel: message.record.channel }, message.id);
                }
                Ok(CampaignRow { id: campaign.id, version: done.lsn, record })
            }
            Err(super::CommitError::Conflict { .. }) => {
                Err(Error::Changed { what: "campaign", name: campaign.id.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
