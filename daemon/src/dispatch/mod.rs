//! Dispatch: what is sent next, by whom, and when, and what became of it.
//!
//! The pure half decides ([`breaker`], [`pace`], [`mod@route`], [`fair`], [`backoff`], [`spacing`],
//! [`concurrency`], [`weight`], [`controls`], `next`): it reads no clock, draws no luck of its own and does no I/O. The other half
//! carries out. The `planner` gives lanes their turns and claims messages; a `courier` takes them through gate, intent and
//! request; the `ledger` makes outcomes durable; the `director` moves campaigns from hour to end; the `settler` looks
//! after what is in doubt; the `prober` after providers that are; `steering` has operators' words take effect; the
//! `fallback` takes messages to another channel; the
//! `watchdog` tells of what stands still; the `compactor` makes small what is over.
//!
//! Promised: no request leaves before its intent is durable, and none without the gate; what may have been sent is
//! never sent by another; a campaign ends by the equation alone; memory does not grow with a campaign.

pub mod account;
pub mod backoff;
pub mod breaker;
pub mod concurrency;
pub mod controls;
pub mod dice;
pub mod fair;
pub mod pace;
pub mod quota;
pub mod route;
pub mod spacing;
pub mod weight;

mod compactor;
mod courier;
mod director;
mod doubt;
mod facts;
mod fallback;
#[cfg(test)]
mod house;
mod ledger;
mod lookup;
mod next;
mod planner;
mod prober;
mod publisher;
mod readings;
mod senders;
mod settler;
mod shared;
mod steering;
mod trial;
mod watchdog;
#[cfg(test)]
mod whole_tests;
mod why;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use account::{Account, Setup};
pub use backoff::{Backoff, RetryBudget};
pub use breaker::{Breaker, Permit};
pub use dice::Dice;
pub use fair::{Fair, LaneId};
pub use pace::Pace;
pub use readings::Clocks;
pub use route::{Candidate, Hold, Route, Tried, Why, route};
pub use shared::{Settings, Shared, Totals};
pub use spacing::Spacing;
pub use steering::SteerError;
pub use trial::TrialError;

use crate::store::By;

/// The dispatcher at work. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
}

impl Dispatcher {
    /// Starts it. Intents that the last run left open are in doubt from here on. Ends when `stop` is cancelled, each of
    /// its tasks in `tasks`: claiming stops at once, what is in flight is waited for.
    pub async fn start(
        shared: Arc<Shared>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, crate::store::Error> {
        settler::recover(&shared).await?;
        prober::recover(&shared)?;
        steering::recover(&shared)?;
        let (ledger, entries) = tokio::sync::mpsc::channel(ledger::QUEUE);
        tasks.spawn(ledger::keep(Arc::clone(&shared), entries));
        tasks.spawn(planner::run(Arc::clone(&shared), ledger, stop.clone()));
        tasks.spawn(director::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(settler::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(prober::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(steering::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(fallback::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(watchdog::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(compactor::run(Arc::clone(&shared), stop.clone()));
        tasks.spawn(publisher::run(Arc::clone(&shared), stop));
        Ok(Self { shared })
    }

    /// What all its parts share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Something was done to a campaign: look at it now.
    pub fn look(&self, campaign: usher_common::model::CampaignId) {
        self.shared.look(campaign);
    }

    /// Something came back to a lane: it is no longer taken for empty.
    pub fn touched(&self, lane: crate::store::Lane) {
        self.shared.touched(lane);
    }
}

/// Whose acts the dispatcher's commits are.
fn by_dispatcher() -> By {
    By { actor: "usherd".to_owned(), reason: String::new(), request_id: String::new() }
}
