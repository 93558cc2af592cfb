//! Service levels over a restart: a row for each indicator, and one for what else they are understood by, all of one commit.
//!
//! The story is named by the commit that it was read to, so that after a start it is read on from there, and nothing is counted twice.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::By;
use super::{Error, Store, decode_long, encode_long, space};

/// The key of what the indicators are understood by.
const MEMORY: &[u8] = &[0];
/// What comes before an indicator's number.
const INDICATOR: u8 = 1;

impl Store {
    /// The commit that service levels were kept at, their memory, and each indicator; `None` before they were kept.
    #[expect(clippy::type_complexity, reason = "handed over once, at start")]
    pub fn kept_levels<M, O, S>(&self) -> Result<Option<(u64, M, Vec<(O, S)>)>, Error>
    where
        M: DeserializeOwned,
        O: DeserializeOwned,
        S: DeserializeOwned,
    {
        let Some(memory) = self.pieces_get(space::LEVEL, MEMORY)? else { return Ok(None) };
        let (lsn, count, memory): (u64, u32, M) = decode_long(&memory, "service levels")?;
        let mut kept = Vec::new();
        for n in 0..count {
            if let Some(row) = self.pieces_get(space::LEVEL, &key(n))? {
                kept.push(decode_long(&row, "a service level")?);
            }
        }
        Ok(Some((lsn, memory, kept)))
    }

    /// Keeps service levels as they are at a commit, in place of what was kept before.
    pub async fn keep_levels<M, O, S>(&self, by: &By, lsn: u64, memory: &M, slis: &[(O, S)]) -> Result<(), Error>
    where
        M: Serialize,
        O: Serialize,
        S: Serialize,
    {
        let count = u32::try_from(slis.len()).unwrap_or(u32::MAX);
        let mut changes = self.pieces_put(space::LEVEL, MEMORY, &encode_long(&(lsn, count, memory)))?;
        for (n, sli) in (0..count).zip(slis) {
            changes.extend(self.pieces_put(space::LEVEL, &key(n), &encode_long(sli))?);
        }
        self.commit(by, Vec::new(), Vec::new(), changes).await?;
        Ok(())
    }
}

fn key(n: u32) -> Vec<u8> {
    let mut key = vec![INDICATOR];
    key.extend(n.to_be_bytes());
    key
}
