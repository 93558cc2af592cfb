//! Alerts over a restart: what is known of each alert, what was told of each group, silences, and notices on their way. Rows by name,
//! whose words belong to the room that keeps them; what belongs together is one commit.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::{By, Change, Space};
use super::{AuditEntry, Error, Store, decode, encode, space};

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Alerts.
    Alert,
    /// What was told of the alerts of a rule.
    Group,
    /// Silences.
    Silence,
    /// Notices on their way, and those of the last days.
    Notice,
}

impl Watched {
    fn space(self) -> Space {
        match self {
            Self::Alert => space::ALERT,
            Self::Group => space::GROUP,
            Self::Silence => space::SILENCE,
            Self::Notice => space::NOTICE,
        }
    }
}

/// Changes of such rows that are made together.
#[derive(Debug, Default)]
pub struct WatchWrite(Vec<Change>);

impl WatchWrite {
    /// Keeps a row, in place of what was there.
    pub fn put<T: Serialize>(&mut self, of: Watched, name: &str, record: &T) {
        self.0.push(Change::Put { space: of.space(), key: name.as_bytes().to_vec(), state: 0, value: encode(record) });
    }

    /// Takes a row away.
    pub fn remove(&mut self, of: Watched, name: &str) {
        self.0.push(Change::Delete { space: of.space(), key: name.as_bytes().to_vec() });
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// All rows of a kind, by name.
    pub fn watched<T: DeserializeOwned>(&self, of: Watched) -> Result<Vec<(String, T)>, Error> {
        let mut rows = Vec::new();
        for row in self.engine.scan_prefix(of.space(), &[]) {
            let (key, row) = row?;
            rows.push((String::from_utf8_lossy(&key).into_owned(), decode(&row.value, "an alert's row")?));
        }
        Ok(rows)
    }

    /// Makes changes durable together, with what the audit trail is told of them.
    pub async fn keep_watched(&self, by: &By, write: WatchWrite, audit: Vec<AuditEntry>) -> Result<(), Error> {
        self.commit(by, audit, Vec::new(), write.0).await?;
        Ok(())
    }
}
