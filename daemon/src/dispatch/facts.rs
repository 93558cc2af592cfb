//! The facts by which [`why`](super::why) explains: gathered from store, lanes, providers and what operators keep in force.

use std::sync::Arc;
use std::time::Duration;

use usher_common::model::{
    Bind, CampaignId, CampaignState, Channel, Control, ControlKind, Limit, Target, Why as Answer,
};

use super::account::Account;
use super::quota::Full;
use super::route::{Room, Steered};
use super::shared::{LaneState, Shared};
use super::steering::SteerError;
use super::why::{Allowed, Facts, explain};
use super::{Candidate, Route, Why, route};
use crate::campaigns::CampaignError;
use crate::clock::utc;
use crate::store::{CampaignRow, Error, Lane, Payer};

impl Shared {
    /// Why what this is over moves as it does: a line for each channel of each campaign that runs, or for the provider.
    pub fn why(&self, target: &Target) -> Result<Vec<Answer>, SteerError> {
        match target {
            Target::Campaign(id) => Ok(self.why_campaign(*id)?),
            Target::Provider(name) => Ok(vec![self.why_provider(name)?]),
            Target::All | Target::Organisation(_) => {
                self.check_target(target)?;
                let mut answers = Vec::new();
                for row in self.store().campaigns()? {
                    let ours = !matches!(target, Target::Organisation(name) if *name != row.record.organisation);
                    if ours && row.record.state == CampaignState::Running && row.record.deleted.is_none() {
                        answers.extend(self.why_campaign(row.id)?);
                    }
                }
                Ok(answers)
            }
            Target::Unknown => Err(SteerError::Unknown),
        }
    }

    /// What keeps a running campaign from moving, for its row; empty when nothing but pace and answers does.
    pub(super) fn why_in_a_line(&self, campaign: CampaignId) -> Result<String, CampaignError> {
        let held = self.lanes().into_iter().any(|(lane, state)| {
            let ordinary = state.hold.is_none_or(|hold| matches!(hold.why, Why::Pace | Why::Concurrency));
            lane.campaign == campaign && !ordinary
        });
        if !held {
            return Ok(String::new());
        }
        let ordinary = |answer: &Answer| matches!(answer.now.limit, Limit::Pace | Limit::Concurrency | Limit::Nothing);
        let answers = self.why_campaign(campaign)?;
        let lines: Vec<String> = answers.into_iter().filter(|answer| !ordinary(answer)).map(|a| a.line).collect();
        Ok(lines.join("; "))
    }

    fn why_campaign(&self, id: CampaignId) -> Result<Vec<Answer>, Error> {
        let row = self.store().campaign(id)?;
        let now = self.clock.now();
        let counts = self.store().campaign_counts(id)?;
        if row.record.state != CampaignState::Running || row.record.deleted.is_some() {
            let total = counts.total();
            let facts =
                Facts { blocks: vec![standing(&row)], ..bare(Target::Campaign(id), None, total.queued + total.held) };
            return Ok(vec![explain(&facts, now)]);
        }
        let lanes = self.lanes();
        let mut answers = Vec::new();
        for &channel in &row.record.channels {
            let lane = Lane { campaign: id, channel };
            let state =
                lanes.iter().find(|(known, _)| *known == lane).map(|(_, state)| state.clone()).unwrap_or_default();
            let waiting = counts.states.get(&channel).map_or(0, |counts| counts.queued + counts.held);
            let facts = self.lane_facts(&row, lane, &state, waiting)?;
            answers.push(explain(&facts, now));
        }
        Ok(answers)
    }

    fn lane_facts(&self, row: &CampaignRow, lane: Lane, state: &LaneState, waiting: u64) -> Result<Facts, Error> {
        let (now, mono) = (self.clock.now(), self.clock.mono());
        let at = |moment: Duration| now.plus_millis(moment.saturating_sub(mono).as_millis() as i64);
        let mut facts = bare(Target::Campaign(row.id), Some(lane.channel), waiting);
        let organisation = super::controls::organisation(&row.record.organisation);
        if let Some(control) = self.controls().hold(row.id, organisation) {
            facts.blocks.push(held(control, now));
        } else if let Some(moment) = self.controls().waits(lane, organisation, now) {
            let text = "it was let go, and begins at a moment of its own".to_owned();
            facts.blocks.push(Bind { limit: Limit::Release, text, until: Some(moment) });
        }
        if !row.record.expanded {
            facts.blocks.extend(self.no_room().map(|text| Bind { limit: Limit::Room, text, until: None }));
        }
        self.flow_facts(lane.channel, organisation, &mut facts);
        let another = self.another_way(lane);
        for block in facts.blocks.iter_mut().filter(|block| matches!(block.limit, Limit::Breaker | Limit::Drain)) {
            block.text.extend(another.as_deref());
        }
        if waiting > 0 {
            let payers = row.record.payers();
            let room = self.quota_room(&payers, now)?;
            if let Some(full) = room.full.filter(|_| room.messages == 0) {
                facts.blocks.push(Bind { limit: Limit::Quota, text: begun(&full), until: Some(full.until) });
            }
            for (payer, limits) in self.limited(&payers) {
                let (hour, left) = self.quotas.left(self.store(), &payer, limits, now)?;
                facts.quotas.push(Allowed { left, each: limits, hour });
            }
            if state.empty && state.in_flight == 0 {
                let next = self.store().next_retry(lane)?.filter(|next| *next > now);
                let text = "every message that is left waits before its next try".to_owned();
                facts.blocks.extend(next.map(|next| Bind { limit: Limit::Backoff, text, until: Some(next) }));
            }
        }
        if let Some(hold) = state.hold.filter(|hold| hold.why == Why::Concurrency) {
            facts.full = hold.until.is_none_or(|until| at(until) > now);
        }
        if !row.record.expanded && facts.blocks.is_empty() && waiting == 0 {
            let text = "its guests are being turned into messages".to_owned();
            facts.blocks.push(Bind { limit: Limit::Expansion, text, until: None });
        }
        Ok(facts)
    }

    /// What stands in the way at the providers of a channel, and how fast those that can carry it are.
    fn flow_facts(&self, channel: Channel, organisation: u64, facts: &mut Facts) {
        let (now, mono) = (self.clock.now(), self.clock.mono());
        let candidates = self.candidates_for(channel, organisation);
        let refuses = |n: &Candidate| self.accounts[n.provider].refuses_until(organisation).is_some();
        if let Route::Hold(hold) = route(&candidates, &[], false, 0.5, mono) {
            let concerned = candidates.iter().filter(|candidate| match hold.why {
                Why::Held => candidate.steered == Steered::Held,
                Why::Drained => candidate.steered == Steered::Drained,
                Why::Paused => matches!(candidate.room, Room::Paused(_)),
                _ => candidate.steered == Steered::Free,
            });
            let names: Vec<&str> = concerned.map(|c| self.accounts[c.provider].provider.name()).collect();
            let names = names.join(" and ");
            let (limit, text) = match hold.why {
                Why::NoProvider => (Limit::Provider, format!("no provider of {channel} is configured")),
                Why::Drained => (Limit::Drain, format!("{names}: drained, and nothing else carries {channel}")),
                Why::Breaker if candidates.iter().any(refuses) => {
                    let refusing: Vec<&str> = candidates
                        .iter()
                        .filter(|c| refuses(c))
                        .map(|c| self.accounts[c.provider].provider.name())
                        .collect();
                    let text = format!("{} refuses this organisation's sender", refusing.join(" and "));
                    (Limit::Breaker, text)
                }
                Why::Breaker => (Limit::Breaker, format!("the breaker of {names} is open")),
                Why::Paused => (Limit::Throttling, format!("{names} asked us to wait")),
                Why::Held => (Limit::Hold, format!("provider {names} is held, and its messages with it")),
                _ => (Limit::Nothing, String::new()),
            };
            if limit != Limit::Nothing {
                let until = hold.until.map(|at| now.plus_millis(at.saturating_sub(mono).as_millis() as i64));
                facts.blocks.push(Bind { limit, text, until });
            }
        }
        let mut carriers: Vec<&Arc<Account>> =
            super::route::carriers(&candidates).into_iter().map(|(n, _)| &self.accounts[n]).collect();
        if carriers.is_empty() {
            // Whoever comes back first is the one that will carry them.
            carriers.extend(candidates.first().map(|first| &self.accounts[first.provider]));
        }
        facts.rate = carriers.iter().map(|account| account.row().rate).sum();
        facts.pace = carriers.iter().map(|account| account.messages_a_second()).sum();
        facts.carriers = carriers.iter().map(|account| account.provider.name().to_owned()).collect();
    }

    fn why_provider(&self, name: &str) -> Result<Answer, SteerError> {
        let account = self.account(name)?;
        let (channel, now) = (account.channel(), self.clock.now());
        let target = Target::Provider(name.to_owned());
        let part = self.part_of(&self.controls(), account);
        let mut facts = bare(target.clone(), Some(channel), 0);
        let row = account.row();
        for control in self.controls().over(&target) {
            match control.kind {
                ControlKind::Held => facts.blocks.push(held(control, now)),
                ControlKind::Drained => facts.blocks.push(Bind { limit: Limit::Drain, ..held(control, now) }),
                _ => {}
            }
        }
        if account.is_open() {
            let text = format!("its breaker is {}: {}", row.breaker, row.last_error);
            facts.blocks.push(Bind { limit: Limit::Breaker, text, until: row.retry_at });
        }
        if let Some(until) = row.throttled_until {
            let text = "it asked us to wait".to_owned();
            facts.blocks.push(Bind { limit: Limit::Throttling, text, until: Some(until) });
        }
        facts.waiting = (self.waiting(channel)? as f64 * part).round() as u64;
        (facts.rate, facts.pace) = (row.rate, account.messages_a_second());
        facts.carriers = vec![name.to_owned()];
        if facts.blocks.is_empty() && part == 0.0 {
            let others: Vec<String> = self.shares(&self.controls(), channel).into_keys().collect();
            let text = format!("it stands by: {} carries {channel}", others.join(" and "));
            facts.blocks.push(Bind { limit: Limit::Nothing, text, until: None });
        }
        Ok(explain(&facts, now))
    }
}

/// Facts that say nothing yet.
fn bare(target: Target, channel: Option<Channel>, waiting: u64) -> Facts {
    Facts {
        target,
        channel,
        waiting,
        blocks: Vec::new(),
        pace: None,
        carriers: Vec::new(),
        rate: 0.0,
        full: false,
        quotas: Vec::new(),
    }
}

/// What binds a campaign that does not run.
fn standing(row: &CampaignRow) -> Bind {
    let record = &row.record;
    let bind = |limit, text: &str| Bind { limit, text: text.to_owned(), until: None };
    if record.deleted.is_some() {
        return bind(Limit::Pause, "it is deleted; `usher campaign restore` brings it back");
    }
    match record.state {
        CampaignState::Draft => bind(Limit::Approval, "it is a draft: `usher campaign approve` checks and releases it"),
        CampaignState::Approved => bind(Limit::Approval, "it is approved: `usher campaign send` starts it"),
        CampaignState::Scheduled => Bind { until: record.due, ..bind(Limit::Schedule, "it waits for its hour") },
        CampaignState::Paused => bind(Limit::Pause, "it is paused: `usher campaign resume` goes on with it"),
        CampaignState::Settling => {
            bind(Limit::Doubt, "all is out; what is in doubt is waited for (`usher unknown list`)")
        }
        state => bind(Limit::Nothing, &format!("it is over: {state}")),
    }
}

fn held(control: &Control, now: usher_common::model::Timestamp) -> Bind {
    let why = if control.reason.is_empty() { String::new() } else { format!(" ({})", control.reason) };
    let since = utc(control.since, now);
    let text = format!("{} is {} by {} since {since}{why}", control.target, control.kind, control.by);
    Bind { limit: Limit::Hold, text, until: control.until }
}

/// Whose quota is used up, in words.
fn begun(full: &Full) -> String {
    let whose = match &full.payer {
        Payer::Organisation(name) => format!("organisation {name}"),
        Payer::User(name) => name.clone(),
    };
    let window = if full.daily { "day" } else { "hour" };
    format!("{whose} has begun {} of the {} messages of this {window}", full.used, full.limit)
}
