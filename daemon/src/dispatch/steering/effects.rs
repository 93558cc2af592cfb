//! What an act on sending would do, before it is done: how many messages move or wait, and which stay where they are.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_common::model::{CampaignState, Channel, Steer, Target};
use usher_common::protocol::EffectLine;

use super::SteerError;
use crate::dispatch::account::Account;
use crate::dispatch::controls::Controls;
use crate::dispatch::route;
use crate::dispatch::shared::Shared;
use crate::store::By;

impl Shared {
    /// What holding something would do.
    pub fn would_hold(&self, target: &Target) -> Result<Vec<EffectLine>, SteerError> {
        self.check_target(target)?;
        let mut lines = Vec::new();
        let (mut waiting, mut sending) = (0, 0);
        for row in self.store().campaigns()? {
            let ours = match target {
                Target::All => true,
                Target::Organisation(name) => row.record.organisation == *name,
                Target::Campaign(id) => row.id == *id,
                Target::Provider(_) | Target::Unknown => false,
            };
            if ours && row.record.deleted.is_none() {
                let counts = self.store().campaign_counts(row.id)?.total();
                waiting += counts.queued + counts.held;
                sending += counts.sending;
            }
        }
        if let Target::Provider(name) = target {
            let account = self.account(name)?;
            let part = self.part_of(&self.controls(), account);
            waiting = share_of(self.waiting(account.channel())?, part);
            sending = self.at_provider(name)?.0;
        }
        lines.push(effect(format!("{} waiting messages", counted(waiting)), "would wait until it is released"));
        if sending > 0 {
            lines.push(effect(format!("{} messages", counted(sending)), "are under way and cannot be stopped"));
        }
        Ok(lines)
    }

    /// What ending a hold would do.
    pub fn would_release(&self, target: &Target) -> Result<Vec<EffectLine>, SteerError> {
        self.hold_over(target)?;
        let mut lines = self.would_hold(target)?;
        lines.truncate(1);
        for line in &mut lines {
            "would go out again, lane after lane within seconds".clone_into(&mut line.effect);
        }
        Ok(lines)
    }

    /// What steering a provider would do: who would carry what, and what would stay.
    pub fn would_steer(
        &self,
        by: &By,
        name: &str,
        steer: &Steer,
        span: Duration,
    ) -> Result<Vec<EffectLine>, SteerError> {
        let plan = self.plan(by, name, steer, span)?;
        let account = self.account(name)?;
        let channel = account.channel();
        let (before, mut after) = (self.controls().clone(), self.controls().clone());
        for control in &plan.end {
            after.end(control, self.clock.now());
        }
        for control in plan.begin {
            after.begin(control);
        }
        let shares = |controls: &Controls| self.shares(controls, channel);
        let mut lines = self.moves(channel, &shares(&before), &shares(&after))?;
        let (sending, doubt) = self.at_provider(name)?;
        if matches!(steer, Steer::Drain | Steer::FailOver { .. }) {
            if sending > 0 {
                lines.push(effect(
                    format!("{} messages under way at {name}", counted(sending)),
                    "would end as they are",
                ));
            }
            if doubt > 0 {
                let stay = "would stay in doubt, and not be asked about while it is drained";
                lines.push(effect(format!("{} messages in doubt at {name}", counted(doubt)), stay));
            }
        }
        Ok(lines)
    }

    /// What taking back would do.
    pub fn would_enable(&self, name: &str) -> Result<Vec<EffectLine>, SteerError> {
        let channel = self.account(name)?.channel();
        let (before, mut after) = (self.controls().clone(), self.controls().clone());
        for control in self.steered(name)? {
            after.end(&control, self.clock.now());
        }
        self.moves(channel, &self.shares(&before, channel), &self.shares(&after, channel))
    }

    /// Who carries a channel under these controls, and what part of it.
    pub(in crate::dispatch) fn shares(&self, controls: &Controls, channel: Channel) -> BTreeMap<String, f64> {
        let mut candidates = self.candidates_under(controls, channel);
        for candidate in &mut candidates {
            let steering = controls.steering(self.accounts[candidate.provider].provider.name());
            if let Some(weight) = steering.weight {
                candidate.weight = weight;
            }
        }
        let carriers = route::carriers(&candidates);
        carriers.into_iter().map(|(n, part)| (self.accounts[n].provider.name().to_owned(), part)).collect()
    }

    /// The part of its channel that a provider carries.
    pub(in crate::dispatch) fn part_of(&self, controls: &Controls, account: &Account) -> f64 {
        self.shares(controls, account.channel()).get(account.provider.name()).copied().unwrap_or_default()
    }

    /// What a change of carriers does to the messages that wait.
    fn moves(
        &self,
        channel: Channel,
        before: &BTreeMap<String, f64>,
        after: &BTreeMap<String, f64>,
    ) -> Result<Vec<EffectLine>, SteerError> {
        let waiting = self.waiting(channel)?;
        if after.is_empty() {
            let what = format!("{} waiting {channel} messages", counted(waiting));
            return Ok(vec![effect(what, "would wait: nothing else carries them")]);
        }
        let mut lines = Vec::new();
        for (name, part) in after {
            let more = part - before.get(name).copied().unwrap_or_default();
            if more > 0.005 {
                let what = format!("{} waiting {channel} messages", counted(share_of(waiting, more)));
                let now = (more * 100.0).round();
                lines.push(effect(what, &format!("would move to {name}, and with them {now} % of what comes")));
            }
        }
        if lines.is_empty() {
            let carriers: Vec<&str> = after.keys().map(String::as_str).collect();
            lines.push(effect(
                format!("{} waiting {channel} messages", counted(waiting)),
                &format!("would not move: {} carries them now, as before", carriers.join(" and ")),
            ));
        }
        Ok(lines)
    }

    /// Messages of running campaigns that wait for this channel.
    pub(in crate::dispatch) fn waiting(&self, channel: Channel) -> Result<u64, SteerError> {
        let mut waiting = 0;
        for row in self.store().campaigns()? {
            if row.record.state == CampaignState::Running && row.record.deleted.is_none() {
                let counts = self.store().campaign_counts(row.id)?;
                waiting += counts.states.get(&channel).map_or(0, |counts| counts.queued);
            }
        }
        Ok(waiting)
    }

    /// Messages under way at a provider, and in doubt there.
    fn at_provider(&self, name: &str) -> Result<(u64, u64), SteerError> {
        let (mut sending, mut doubt) = (0, 0);
        for open in self.store().open_intents()?.iter().filter(|open| open.intent.provider == name) {
            *(if open.in_doubt { &mut doubt } else { &mut sending }) += 1;
        }
        Ok((sending, doubt))
    }
}

fn effect(what: String, effect: &str) -> EffectLine {
    EffectLine { what, effect: effect.to_owned() }
}

fn share_of(all: u64, part: f64) -> u64 {
    (all as f64 * part).round() as u64
}

/// A count with its thousands apart.
fn counted(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
