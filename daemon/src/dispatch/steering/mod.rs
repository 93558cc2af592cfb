//! Steering: what operators put in force over sending, what it would do, and its end by their word or by the clock.
//!
//! A hold binds before it is durable, since stopping must not wait for a disk; everything else is durable first. What ends
//! is let go one lane after the other, and a provider that was out of use comes back with a share that grows.

mod effects;
mod error;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{Channel, Control, ControlKind, Target};
use usher_common::protocol::Level;

use super::account::Account;
use super::controls::Controls;
use super::route::Steered;
use super::shared::Shared;
use super::{Candidate, Hold, Permit, Why};
use crate::clock;
use crate::store::{AuditEntry, By, Error, Lane};
pub use error::SteerError;
use error::listed;

/// Controls whose time is over are looked for this often, where nobody has told of one.
const LOOK: Duration = Duration::from_secs(1);

/// What an act would change.
struct Plan {
    begin: Vec<Control>,
    end: Vec<Control>,
}

/// Ends controls whose time is over, until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let now = shared.clock.now();
        let overdue = shared.controls().overdue(now);
        if !overdue.is_empty() {
            let by = By { reason: "its time is over".to_owned(), ..super::by_dispatcher() };
            let plan = Plan { begin: Vec::new(), end: overdue };
            if let Err(error) = shared.record(&by, "control.end", &plan).await {
                return shared.fail(format!("the end of a hold or a drain could not be recorded: {error}"));
            }
        }
        let next = shared
            .controls()
            .next_end()
            .map_or(LOOK, |at| Duration::from_millis(at.millis_since(shared.clock.now()).max(1).unsigned_abs()));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next.min(LOOK)) => {}
        }
    }
}

/// Takes over what the last run left in force.
pub(super) fn recover(shared: &Shared) -> Result<(), Error> {
    let known = Controls::resume(shared.store().controls()?);
    *shared.controls_mut() = known;
    shared.reweigh();
    Ok(())
}

impl Shared {
    /// Everything that operators keep in force, oldest first.
    pub fn controls_in_force(&self) -> Vec<Control> {
        self.controls().rows().to_vec()
    }

    /// Why a lane may not send now, by an operator's word.
    pub(super) fn held(&self, lane: Lane, organisation: u64) -> Option<Hold> {
        let controls = self.controls();
        let (now, mono) = (self.clock.now(), self.clock.mono());
        let from_now = |at: usher_common::model::Timestamp| {
            mono + Duration::from_millis(at.millis_since(now).max(0).unsigned_abs())
        };
        if let Some(control) = controls.hold(lane.campaign, organisation) {
            return Some(Hold { why: Why::Held, until: control.until.map(from_now) });
        }
        let moment = controls.waits(lane, organisation, now)?;
        Some(Hold { why: Why::LetGo, until: Some(from_now(moment)) })
    }

    /// Whether an operator lets a provider be sent to.
    pub(super) fn may_use(&self, account: &Account) -> bool {
        self.controls().steering(account.provider.name()).is_free()
    }

    /// Whether an operator's word stops what a lane would send by a provider.
    pub(super) fn stops(&self, lane: Lane, organisation: u64, account: &Account) -> bool {
        self.controls().hold(lane.campaign, organisation).is_some() || !self.may_use(account)
    }

    /// Whether messages can go by a provider now, as far as its breaker and operators are concerned.
    pub(super) fn carries(&self, account: &Account) -> bool {
        !account.is_open() && self.may_use(account)
    }

    /// The accounts of a channel as the router sees them, best first.
    pub(super) fn candidates(&self, channel: Channel) -> Vec<Candidate> {
        self.candidates_under(&self.controls(), channel)
    }

    /// The same for an organisation: who refuses its sender does not carry its messages.
    pub(super) fn candidates_for(&self, channel: Channel, organisation: u64) -> Vec<Candidate> {
        let mut candidates = self.candidates(channel);
        for candidate in &mut candidates {
            if let Some(until) = self.accounts[candidate.provider].refuses_until(organisation) {
                candidate.permit = Permit::No { until };
            }
        }
        candidates
    }

    fn candidates_under(&self, controls: &Controls, channel: Channel) -> Vec<Candidate> {
        let of_channel = self.accounts.iter().enumerate().filter(|(_, account)| account.channel() == channel);
        let mut candidates: Vec<Candidate> = of_channel
            .map(|(n, account)| {
                let steering = controls.steering(account.provider.name());
                let mut candidate = account.candidate(n);
                // Whoever drains one that is held wants its messages to move.
                if steering.drained {
                    candidate.steered = Steered::Drained;
                } else if steering.held {
                    candidate.steered = Steered::Held;
                }
                if steering.preferred {
                    candidate.rank = 0;
                }
                candidate
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.rank);
        candidates
    }

    /// Gives every provider the weight that is in force.
    fn reweigh(&self) {
        let controls = self.controls();
        for account in &self.accounts {
            account.reweigh(controls.steering(account.provider.name()).weight);
        }
    }

    pub(super) fn account(&self, name: &str) -> Result<&Arc<Account>, SteerError> {
        self.accounts.iter().find(|account| account.provider.name() == name).ok_or_else(|| SteerError::Provider {
            name: name.to_owned(),
            known: self.accounts.iter().map(|account| account.provider.name().to_owned()).collect(),
        })
    }

    /// Whether there is something of that name to hold.
    pub(super) fn check_target(&self, target: &Target) -> Result<(), SteerError> {
        match target {
            Target::All => Ok(()),
            Target::Provider(name) => self.account(name).map(drop),
            Target::Campaign(id) => Ok(self.store().campaign(*id).map(drop)?),
            Target::Organisation(name) => {
                let known = self.campaigns.organisation_names();
                if known.contains(name) {
                    return Ok(());
                }
                Err(SteerError::Organisation { name: name.clone(), known })
            }
            Target::Unknown => Err(SteerError::Unknown),
        }
    }

    /// Holds something for so long, or until it is released; says so in a line.
    pub async fn hold(&self, by: &By, target: &Target, span: Option<Duration>) -> Result<String, SteerError> {
        self.check_target(target)?;
        let hold = self.control_of(by, target, ControlKind::Held, span);
        // It binds from here on; whether it outlives a restart is the disk's matter.
        self.controls_mut().begin(hold.clone());
        let plan = Plan { begin: vec![hold.clone()], end: Vec::new() };
        if let Err(error) = self.record(by, "hold", &plan).await {
            return Err(SteerError::NotRecorded { target: target.clone(), error });
        }
        let end = hold.until.map_or("until it is released".to_owned(), |until| {
            format!("until {}", clock::utc(until, self.clock.now()))
        });
        Ok(format!("{target} is held {end}: nothing of it is sent, and what is under way ends"))
    }

    /// Ends a hold, and says so in a line.
    pub async fn release(&self, by: &By, target: &Target) -> Result<String, SteerError> {
        let plan = Plan { begin: Vec::new(), end: vec![self.hold_over(target)?] };
        self.record(by, "release", &plan).await?;
        let left: Vec<Target> = self.targets_held();
        let still = if left.is_empty() { String::new() } else { format!("; still {}", listed(&left)) };
        Ok(format!("{target} is let go: it begins again within seconds{still}"))
    }

    fn hold_over(&self, target: &Target) -> Result<Control, SteerError> {
        let controls = self.controls();
        let mut of_target = controls.over(target);
        of_target.find(|control| control.kind == ControlKind::Held).cloned().ok_or_else(|| SteerError::NotHeld {
            target: target.clone(),
            held: controls.rows().iter().filter(|c| c.kind == ControlKind::Held).map(|c| c.target.clone()).collect(),
        })
    }

    fn targets_held(&self) -> Vec<Target> {
        let controls = self.controls();
        controls.rows().iter().filter(|c| c.kind == ControlKind::Held).map(|c| c.target.clone()).collect()
    }

    fn control_of(&self, by: &By, target: &Target, kind: ControlKind, span: Option<Duration>) -> Control {
        let since = self.clock.now();
        let until = span.map(|span| since.plus_millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
        Control { target: target.clone(), kind, by: by.actor.clone(), reason: by.reason.clone(), since, until }
    }

    /// Makes a change durable and has it take effect.
    async fn record(&self, by: &By, act: &str, plan: &Plan) -> Result<(), Error> {
        let told = plan.begin.iter().map(|control| (control, "begins")).chain(plan.end.iter().map(|c| (c, "ends")));
        let lines: Vec<String> =
            told.map(|(control, what)| format!("{}: {} {what}", control.target, control.kind)).collect();
        let object =
            plan.begin.first().or(plan.end.first()).map_or(String::new(), |control| control.target.to_string());
        let audit = AuditEntry::Act { act: act.to_owned(), object, detail: lines.join("; ") };
        self.store().control(by, &plan.begin, &plan.end, audit).await?;
        let now = self.clock.now();
        {
            let mut controls = self.controls_mut();
            for control in &plan.end {
                controls.end(control, now);
            }
            for control in &plan.begin {
                controls.begin(control.clone());
            }
        }
        self.reweigh();
        for control in &plan.end {
            let Target::Provider(name) = &control.target else { continue };
            if matches!(control.kind, ControlKind::Drained | ControlKind::Held)
                && let Ok(account) = self.account(name)
                && self.may_use(account)
            {
                // Told as what it is below; the breaker's own turn would sound as if something had broken.
                let _ = account.ease_in();
            }
        }
        let why = if by.reason.is_empty() { String::new() } else { format!(": {}", by.reason) };
        for control in &plan.begin {
            let text = format!("{} by {}{why}", control.kind, by.actor);
            self.board.tell(now, Level::Warning, control.target.to_string(), text);
        }
        for control in &plan.end {
            let text = format!("not {} any more, by {}{why}", control.kind, by.actor);
            self.board.tell(now, Level::Info, control.target.to_string(), text);
        }
        self.stir.notify_waiters();
        self.wake.notify_one();
        Ok(())
    }
}
