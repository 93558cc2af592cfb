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

#[cfg(test)]
mod tests {
    use super::super::conformance::open;
    use super::*;

    #[tokio::test]
    async fn the_last_row_of_each_provider_is_there_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let record = |opens| BreakerRecord {
            since: Timestamp(5),
            open_until: Some(Timestamp(9)),
            recovering: false,
            opens,
            cause: 2,
        };
        {
            let store = open(dir.path());
            let by = By { actor: "usherd".into(), reason: String::new(), request_id: String::new() };
            store.keep_breaker(&by, "resend", &record(1)).await.unwrap();
            store.keep_breaker(&by, "resend", &record(2)).await.unwrap();
            store.keep_breaker(&by, "smtp", &record(7)).await.unwrap();
            store.engine().clone().close().await.unwrap();
        }
        let store = open(dir.path());
        assert_eq!(store.breaker("resend").unwrap(), Some(record(2)));
        assert_eq!(store.breaker("smtp").unwrap(), Some(record(7)));
        assert_eq!(store.breaker("twilio").unwrap(), None);
    }
}
