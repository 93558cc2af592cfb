//! Messages that did not get through, and those of which nobody knows: what an operator decides about them.

use std::collections::BTreeSet;

use usher_common::model::{CampaignId, Doubt, MessageId, MessageState, OutcomeClass, Verdict};
use usher_common::protocol::{Act, DoubtPage, EffectLine, Problem, ProblemCode, Reply};

use super::Api;
use super::problem::ToProblem;
use super::progress::Progress;
use crate::campaigns::CampaignError;
use crate::campaigns::lifecycle::{self, Event};
use crate::store::{self, By, CampaignRecord, CampaignRow, Next, OpenIntent, OutcomeWrite};

/// Messages of one commit.
const PART: usize = 200;
/// How often an act is tried against a campaign that moves on meanwhile.
const STEPS: usize = 50;

impl Api {
    /// Messages in doubt, oldest attempt first.
    pub(super) fn doubts(&self, campaign: Option<CampaignId>, limit: usize) -> Result<Reply, CampaignError> {
        let open = self.in_doubt(campaign)?;
        let total = open.len() as u64;
        let mut rows = Vec::new();
        for one in open.iter().take(limit.clamp(1, 1000)) {
            let campaign = self.campaigns().spec(one.message.campaign)?.name;
            let asked_until = self.dispatcher.shared().asked_until(&one.intent);
            rows.push(Doubt {
                campaign,
                message: self.message_row(&one.message),
                since: one.intent.started,
                asked_until,
                step: self.dispatcher.shared().doubt_step(one).to_owned(),
            });
        }
        Ok(Reply::Doubts(DoubtPage { rows, total }))
    }

    fn in_doubt(&self, campaign: Option<CampaignId>) -> Result<Vec<OpenIntent>, CampaignError> {
        let mut open = self.campaigns().store().open_intents()?;
        open.retain(|one| one.in_doubt && campaign.is_none_or(|wanted| one.message.campaign == wanted));
        open.sort_by_key(|one| (one.intent.started, one.message.id));
        Ok(open)
    }

    /// Settles messages in doubt: these, or all of the campaign.
    pub(super) async fn settle(
        &self,
        by: &By,
        act: &Act,
        id: CampaignId,
        messages: &[MessageId],
        verdict: Verdict,
    ) -> Result<Reply, Problem> {
        let problem = |error: CampaignError| error.problem();
        let row = self.campaigns().row(id, None).map_err(problem)?;
        let mut open = self.in_doubt(Some(id)).map_err(problem)?;
        if !messages.is_empty() {
            let there: BTreeSet<MessageId> = open.iter().map(|one| one.message.id).collect();
            if let Some(other) = messages.iter().find(|message| !there.contains(message)) {
                return Err(Problem::new(
                    ProblemCode::Conflict,
                    format!("message {other} of campaign {id} is not in doubt"),
                    format!("look at what is with `usher unknown list --campaign {id}`; nothing was settled"),
                ));
            }
            open.retain(|one| messages.contains(&one.message.id));
        }
        if open.is_empty() {
            return Ok(Reply::Done(format!("nothing of campaign {id} is in doubt")));
        }
        let (would, done) = match verdict {
            Verdict::Accepted => ("would count as accepted", "count as accepted"),
            Verdict::Failed => ("would count as failed, and not be sent again", "count as failed"),
            Verdict::Resend => ("would be sent again: whoever got the first one hears it twice", "are sent again"),
            Verdict::Unknown => {
                let remedy = "settle as accepted, failed or resend";
                return Err(Problem::new(ProblemCode::Invalid, "this daemon does not know the verdict", remedy));
            }
        };
        crate::campaigns::refuse_deleted(&row).map_err(problem)?;
        if verdict == Verdict::Resend {
            self.check_resend(&row).map_err(problem)?;
        }
        if act.preview {
            let what = format!("{} messages in doubt", open.len());
            return Ok(Reply::Preview(vec![EffectLine { what, effect: would.to_owned() }]));
        }
        let (day, mut settled) = (self.clock.day(), 0);
        for part in open.chunks(PART) {
            let writes: Vec<OutcomeWrite> = part.iter().map(|one| outcome(by, one, verdict)).collect();
            let recorded = self.campaigns().store().record_outcomes(by, &writes, day).await;
            for write in &writes {
                self.dispatcher.touched(write.lane);
            }
            if let Err(error) = recorded {
                let problem = error.problem();
                let message = format!("{}; {settled} of {} were settled before", problem.message, open.len());
                return Err(Problem { message, ..problem });
            }
            settled += part.len();
        }
        // The director counts again: what is queued now makes a campaign that was over run again.
        self.dispatcher.look(id);
        Ok(Reply::Done(format!("{settled} messages of campaign {id} {done}")))
    }

    /// Sends again what failed.
    pub(super) async fn resend(
        &self,
        by: &By,
        act: &Act,
        id: CampaignId,
        progress: &Progress,
    ) -> Result<Reply, CampaignError> {
        let store = self.campaigns().store();
        let row = self.campaigns().row(id, act.seen)?;
        self.check_resend(&row)?;
        let failed = store.campaign_counts(id)?.total().failed;
        if failed == 0 {
            return Ok(Reply::Done(format!("no message of campaign {id} failed: there is nothing to send again")));
        }
        if act.preview {
            let what = format!("{failed} messages that failed");
            return Ok(Reply::Preview(vec![EffectLine {
                what,
                effect: "would be sent again, and no other".to_owned(),
            }]));
        }
        let (mut after, mut done, mut tries) = (None, 0, 0);
        loop {
            // Read before the messages are: whoever sends again meanwhile makes this part begin anew.
            let row = self.campaigns().row(id, None)?;
            let page = store.messages(id, Some(MessageState::Failed), after, PART)?;
            let ids: Vec<MessageId> = page.messages.iter().map(|message| message.id).collect();
            let state = lifecycle::next(row.record.state, Event::Resend)?;
            let record = CampaignRecord { state, ended: None, settling: None, ..row.record.clone() };
            match store.send_again(by, &row, record, &ids, self.clock.now()).await {
                Ok(lanes) => {
                    tries = 0;
                    done += lanes.len() as u64;
                    for lane in lanes {
                        self.dispatcher.touched(lane);
                    }
                }
                Err(store::Error::Changed { .. }) if tries < STEPS => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            if progress.at(done, failed).is_break() {
                return Err(CampaignError::GivenUp);
            }
        }
        self.dispatcher.look(id);
        Ok(Reply::Done(format!("{done} messages of campaign {id} are sent again")))
    }

    /// Refuses where messages could not be sent again.
    fn check_resend(&self, row: &CampaignRow) -> Result<(), CampaignError> {
        crate::campaigns::refuse_deleted(row)?;
        lifecycle::next(row.record.state, Event::Resend)?;
        match row.record.expires {
            Some(expires) if self.clock.now() >= expires => Err(CampaignError::NotReady(format!(
                "the time of campaign {} is over: its messages would expire unsent; write a new campaign to these guests",
                row.id
            ))),
            _ => Ok(()),
        }
    }
}

/// An operator's word as the outcome of an attempt.
fn outcome(by: &By, open: &OpenIntent, verdict: Verdict) -> OutcomeWrite {
    let (class, next) = match verdict {
        Verdict::Accepted => (OutcomeClass::Accepted, Next::Accepted),
        Verdict::Resend => (OutcomeClass::NotSent, Next::Queue),
        Verdict::Failed | Verdict::Unknown => {
            (OutcomeClass::NotSent, Next::Failed { why: "settled by an operator: it did not get through".to_owned() })
        }
    };
    open.outcome(open.came_to(class, "settled", format!("by {}", by.actor)), next, false)
}
