//! Breakers over a restart: a small row for each provider, written when its breaker turns and read at start.

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::engine::By;
use super::{Error, Store, put, space};

/// What is kept of a provider's breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// Since when it is in its state.
    pub since: Timestamp,
    /// Until when an open one lets nothing through; `None` if it is not open.
    pub open_until: Option<Timestamp>,
    /// Whether it recovers.
    pub recovering: bool,
    /// Openings in a row.
    pub opens: u32,
    /// Why it opened last, as a number of the breaker's own.
    pub cause: u8,
}

impl Store {
    /// What is kept of a provider's breaker; `None` if it never turned.
    pub fn breaker(&self, provider: &str) -> Result<Option<BreakerRecord>, Error> {
        Ok(self.read(space::BREAKER, provider.as_bytes(), "a breaker")?.map(|(record, _)| record))
    }

    /// Keeps a provider's breaker, in place of what was kept before.
    pub async fn keep_breaker(&self, by: &By, provider: &str, record: &BreakerRecord) -> Result<(), Error> {
        let row = put(space::BREAKER, provider.as_bytes().to_vec(), 0, record);
        self.commit(by, Vec::new(), Vec::new(), vec![row]).await?;
        Ok(())
    }
}
