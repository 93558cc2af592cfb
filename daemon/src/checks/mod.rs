//! Named checks: before a deploy, right after a start, after a deploy, and of the machine. Each says what it saw, how bad that is,
//! and what to do; it changes nothing, sends nothing, and has an end. All of a set are made at once.
//!
//! What is judged is pure (`mail_names`, and the functions that take figures); DNS, disk and providers are asked around it.

mod finding;
mod keys;
mod live;
mod machine;
mod mail_names;
mod names;
mod outside;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use usher_common::model::{CheckRow, CheckSet, Timestamp};

pub use finding::Finding;
pub use names::Names;

use crate::clock::Clock;
use crate::config::{Loaded, Sources};
use crate::dispatch::{Account, Shared};

/// No check takes longer: what did not answer by then is told so.
const LIMIT: Duration = Duration::from_secs(10);

/// All that checks look at.
pub struct Surroundings {
    /// The configuration in force, or, in `usherd doctor`, the one that would be.
    pub loaded: Arc<Loaded>,
    /// Where it is read from.
    pub sources: Sources,
    /// The providers.
    pub accounts: Vec<Arc<Account>>,
    /// DNS.
    pub names: Names,
    /// Time.
    pub clock: Clock,
    /// The daemon at work; `None` in `usherd doctor`.
    pub live: Option<Live>,
}

/// The daemon at work, as checks see it.
pub struct Live {
    /// Dispatch and store.
    pub shared: Arc<Shared>,
    /// When it started.
    pub started: Timestamp,
}

/// A set of checks under way: names, and what comes of each.
#[derive(Default)]
struct List<'s>(Vec<(String, BoxFuture<'s, Finding>)>);

impl<'s> List<'s> {
    fn add(&mut self, name: impl Into<String>, check: impl Future<Output = Finding> + Send + 's) {
        self.0.push((name.into(), Box::pin(check)));
    }

    /// One that is known at once.
    fn know(&mut self, name: impl Into<String>, found: Finding) {
        self.add(name, std::future::ready(found));
    }

    async fn make(self) -> Vec<CheckRow> {
        let each = self.0.into_iter().map(|(name, check)| async move {
            let begun = Instant::now();
            let found = tokio::time::timeout(LIMIT, check).await.unwrap_or_else(|_| {
                Finding::fail(
                    format!("no answer within {} s", LIMIT.as_secs()),
                    "see whether what it asks can be reached",
                )
            });
            let Finding { grade, reason, remedy } = found;
            let took_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
            CheckRow { name, grade, reason, remedy, took_ms }
        });
        join_all(each).await
    }
}

impl Surroundings {
    /// Makes a set of checks.
    pub async fn run(&self, set: CheckSet) -> Vec<CheckRow> {
        let mut list = List::default();
        match set {
            CheckSet::PreDeploy => {
                self.configuration(&mut list);
                self.moment(&mut list);
                self.store(&mut list);
                self.machine(&mut list);
                self.providers(&mut list);
                self.mail_names(&mut list);
                self.keys(&mut list);
            }
            CheckSet::Smoke => {
                self.store(&mut list);
                self.work(&mut list);
                self.breakers(&mut list);
            }
            CheckSet::PostDeploy => {
                self.build(&mut list);
                self.configuration(&mut list);
                self.store(&mut list);
                self.work(&mut list);
                self.breakers(&mut list);
                self.since_start(&mut list);
            }
            CheckSet::Unknown => list.know(
                "set",
                Finding::fail(
                    "this daemon does not know that set of checks",
                    "ask for pre-deploy, smoke or post-deploy",
                ),
            ),
        }
        list.make().await
    }

    /// Makes the checks of a machine on which the daemon need not run.
    pub async fn examine(&self) -> Vec<CheckRow> {
        let mut list = List::default();
        self.configuration(&mut list);
        self.machine(&mut list);
        self.keys(&mut list);
        self.providers(&mut list);
        self.mail_names(&mut list);
        list.make().await
    }
}
