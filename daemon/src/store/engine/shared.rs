//! What the engine's threads and handles share: the catalog, the fences, and how things are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use usher_common::model::Timestamp;

use super::fences::FenceTable;
use super::log::Catalog;
use super::types::{Clock, EngineHealth};

pub(super) struct Shared {
    pub(super) catalog: Arc<Catalog>,
    pub(super) fences: FenceTable,
    pub(super) readers: Vec<String>,
    pub(super) keep_log: Duration,
    pub(super) log_cap: u64,
    pub(super) clock: Clock,
    pub(super) checkpoints: PathBuf,
    pub(super) waiting: AtomicUsize,
    /// Wakes a committer that is a task; one with a thread of its own has its queue for that.
    pub(super) asked: Notify,
    pub(super) vital: Mutex<Vital>,
}

/// What changes while the engine runs.
#[derive(Debug, Default)]
pub(super) struct Vital {
    pub(super) failed: Option<String>,
    pub(super) last_sync: Option<Timestamp>,
    pub(super) last_sync_took: Duration,
    pub(super) index_synced: Option<Timestamp>,
    pub(super) checkpointed: u64,
    pub(super) upkeep: Option<String>,
}

impl Shared {
    pub(super) fn vital(&self) -> MutexGuard<'_, Vital> {
        self.vital.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the engine for good; the first reason is the one that is told.
    pub(super) fn fail(&self, why: String) -> String {
        self.vital().failed.get_or_insert(why).clone()
    }

    pub(super) fn health(&self) -> EngineHealth {
        let (lsn, log_bytes, segments) = {
            let inner = self.catalog.lock();
            (inner.durable, inner.bytes(), inner.segments.len())
        };
        let vital = self.vital();
        EngineHealth {
            failed: vital.failed.clone(),
            lsn,
            last_sync: vital.last_sync,
            last_sync_took: vital.last_sync_took,
            index_synced: vital.index_synced,
            log_bytes,
            log_cap_bytes: self.log_cap,
            segments,
            checkpointed: vital.checkpointed,
            upkeep: vital.upkeep.clone(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}
