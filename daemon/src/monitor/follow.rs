//! Follows the commit log and keeps the service levels: reads what is new, lets time pass, and has the figures kept once a minute.
//!
//! After a start it goes on at the commit that was kept last, so that what a crash interrupted is counted once and only once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::Channel;

use super::levels::Levels;
use super::sli::Sli;
use crate::aside::aside;
use crate::clock::Clock;
use crate::store::{By, Chapter, Error, Store};

/// What is new is read this often.
const LOOK: Duration = Duration::from_secs(1);
/// The figures are kept this often.
const KEEP: Duration = Duration::from_mins(1);
/// Commits that are heard before others may have the figures again.
const AT_ONCE: usize = 500;

/// The service levels, and where they come from. Cheap to clone.
#[derive(Clone)]
pub struct Follower {
    store: Store,
    clock: Clock,
    levels: Arc<Mutex<Levels>>,
}

impl Follower {
    /// Takes up what was kept, for providers that carry these channels.
    pub fn new(store: Store, clock: Clock, carries: BTreeMap<String, Channel>) -> Result<Self, Error> {
        let mut levels = Levels::new(carries);
        match store.kept_levels()? {
            Some((lsn, memory, kept)) => {
                levels.resume(lsn, memory, kept.into_iter().map(|(object, sli)| (object, Sli::resume(&sli))));
            }
            // A store that is older than its figures: they begin here, and not with its first commit, which may be long gone.
            None => levels.resume(store.engine().health().lsn, super::Memory::default(), []),
        }
        Ok(Self { store, clock, levels: Arc::new(Mutex::new(levels)) })
    }

    /// The levels as they are.
    pub fn levels(&self) -> MutexGuard<'_, Levels> {
        // Figures are whole after every commit that is heard, so a panic elsewhere does not spoil them.
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows until `stop` is cancelled, and keeps a last time then.
    pub async fn run(self, stop: CancellationToken) {
        let mut kept = self.clock.mono();
        loop {
            let stopped = tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok();
            if let Err(error) = self.catch_up().await {
                return tracing::error!(%error, "service levels cannot be followed any more; they stand still until a restart");
            }
            let now = self.clock.mono();
            if stopped || now.saturating_sub(kept) >= KEEP {
                kept = now;
                if let Err(error) = self.keep().await {
                    // After a restart more of the log is read again.
                    tracing::warn!(%error, "service levels could not be kept");
                }
            }
            if stopped {
                return;
            }
        }
    }

    /// Hears everything that is durable, and lets time pass.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let this = self.clone();
        let read = aside(async move {
            let mut tail = this.store.tail(this.levels().lsn() + 1);
            let mut part: Vec<Chapter> = Vec::with_capacity(AT_ONCE);
            loop {
                while part.len() < AT_ONCE {
                    match tail.read()? {
                        Some(chapter) => part.push(chapter),
                        None => break,
                    }
                }
                let mut levels = this.levels();
                for chapter in &part {
                    levels.hear(chapter);
                }
                if part.len() < AT_ONCE {
                    levels.advance(this.clock.now());
                    return Ok(());
                }
                part.clear();
            }
        });
        read.await.unwrap_or_else(|error| {
            tracing::error!(%error, "reading the log was broken off");
            Ok(())
        })
    }

    /// Has the figures kept.
    async fn keep(&self) -> Result<(), Error> {
        let (lsn, memory, slis) = {
            let levels = self.levels();
            let slis: Vec<_> = levels.all().map(|(object, sli)| (object.clone(), sli.kept())).collect();
            (levels.lsn(), levels.memory().clone(), slis)
        };
        let by = By { actor: "usherd".to_owned(), reason: String::new(), request_id: String::new() };
        self.store.keep_levels(&by, lsn, &memory, &slis).await
    }
}
