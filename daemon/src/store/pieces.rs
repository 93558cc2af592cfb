//! Long values in pieces: the index takes 8 KiB a value, and a template may be longer.

use super::engine::Change;
use super::{Error, Store, engine::Space};

/// Bytes in one piece; the rest of 8 KiB is the row's own.
const PIECE: usize = 7 * 1024;

/// Pieces a value may have at most: 448 KiB.
const PIECES: usize = 64;

fn key(base: &[u8], n: usize) -> Vec<u8> {
    let mut key = base.to_vec();
    // A zero byte ends the name, so that no name is the beginning of another one's pieces.
    key.push(0);
    key.push(u8::try_from(n).expect("there are at most 64 pieces"));
    key
}

/// Longest value that fits, in bytes.
pub(super) const MAX: usize = PIECE * PIECES;

impl Store {
    /// The changes that write a value of at most [`MAX`] bytes, and clear what a longer one left before.
    pub(super) fn pieces_put(&self, space: Space, base: &[u8], value: &[u8]) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        let chunks: Vec<&[u8]> = if value.is_empty() { vec![value] } else { value.chunks(PIECE).collect() };
        for (n, chunk) in chunks.iter().enumerate() {
            changes.push(Change::Put { space, key: key(base, n), state: 0, value: chunk.to_vec() });
        }
        for n in chunks.len()..PIECES {
            if self.engine.get(space, &key(base, n))?.is_none() {
                break;
            }
            changes.push(Change::Delete { space, key: key(base, n) });
        }
        Ok(changes)
    }

    /// The changes that delete a value; none where there is none.
    pub(super) fn pieces_delete(&self, space: Space, base: &[u8]) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for n in 0..PIECES {
            if self.engine.get(space, &key(base, n))?.is_none() {
                break;
            }
            changes.push(Change::Delete { space, key: key(base, n) });
        }
        Ok(changes)
    }

    /// A value, put together; `None` when it has no first piece.
    pub(super) fn pieces_get(&self, space: Space, base: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value: Option<Vec<u8>> = None;
        for n in 0..PIECES {
            match self.engine.get(space, &key(base, n))? {
                Some(row) => value.get_or_insert_default().extend_from_slice(&row.value),
                None => break,
            }
        }
        Ok(value)
    }
}
