//! Keys, and the sealing of personal data: one key a subject, so that forgetting the key forgets the person.
//!
//! - Personal data is encoded, compressed and sealed under its subject's key before any other room stores it.
//! - Subject keys live in a file of their own, outside the store, its log and the backups of both. A key is durable
//!   before its first use.
//! - Erasing a subject makes everything ever sealed for it unreadable, in the store, the log and every data backup.
//! - Secrets cannot be printed and are wiped from memory when they are dropped.
//!
//! The vault and the store do not know each other; both use the [`codec`](crate::codec) below them. Calls read small
//! files and take microseconds; [`Vault::ensure`] waits for a disk and [`Vault::erase`] may take seconds: both belong on a
//! thread that may block.
//!
//! ```text
//! root.key         the root key, where no credential file is named
//! subjects.keys    epoch key (sealed under the root), then a slot for each subject (sealed under the epoch key)
//! subjects.tombs   who was erased
//! ```

mod cache;
mod cipher;
mod dictionary;
mod error;
mod keyfile;
mod root;
mod seal;
mod slot;
mod tombs;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::VaultError;
pub use keyfile::{Erasure, MAX_SUBJECTS};
pub use root::{RootOrigin, SecretKey};
pub use seal::Sealed;

use keyfile::KeyFile;
use root::RootKey;
use seal::Owner;

/// The vault, open. Shared by reference; every method may be called from any thread.
pub struct Vault {
    root: RootKey,
    blobs: SecretKey,
    hashes: SecretKey,
    keys: KeyFile,
}

/// What opening the vault found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultReport {
    /// Where the root key came from.
    pub root: RootOrigin,
    /// Erasures that a crash had interrupted, or that a restored key file did not know, finished now.
    pub erasures_finished: u64,
}

impl Vault {
    /// Opens the vault in the folder `state`, which must be there, with the root key from `credential`, or from the state
    /// folder. Blocks on the disk.
    pub fn open(state: &Path, credential: Option<&Path>) -> Result<(Self, VaultReport), VaultError> {
        let (root, origin) = RootKey::load(credential, state, keyfile::exists(state))?;
        let (keys, erasures_finished) = KeyFile::open(state, root.derive("vault: subject keys"))?;
        let (blobs, hashes) = (root.derive("vault: blobs"), root.derive("vault: look-up hashes"));
        Ok((Self { root, blobs, hashes, keys }, VaultReport { root: origin, erasures_finished }))
    }

    /// Makes keys for the subjects that have none, durable when this returns, with one sync for all; how many were
    /// made. Blocks on the disk.
    pub fn ensure(&self, subjects: &[u64]) -> Result<u64, VaultError> {
        self.keys.ensure(subjects)
    }

    /// Reads the keys of several subjects at once, who are about to be opened; in order, they cost one read. Whoever
    /// has no key is found out when it is used.
    pub fn warm(&self, subjects: &[u64]) -> Result<(), VaultError> {
        self.keys.warm(subjects)
    }

    /// Seals a value under its subject's key, for the place that `context` names: keyspace and key of the row, say. At
    /// most [`VALUE_LIMIT`](crate::codec::VALUE_LIMIT) bytes, encoded.
    pub fn seal<T: Serialize + ?Sized>(&self, subject: u64, context: &[u8], value: &T) -> Result<Sealed, VaultError> {
        seal::seal(&self.keys.get(subject)?, Owner::Subject(subject), context, value)
    }

    /// Opens what was sealed for this subject and place.
    pub fn open_sealed<T: DeserializeOwned>(
        &self,
        subject: u64,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<T, VaultError> {
        seal::open(&self.keys.get(subject)?, Owner::Subject(subject), context, sealed)
    }

    /// Erases subjects for good. Their keys are out of use at once; when this returns, the epoch key under which older
    /// copies of them are sealed is gone as well. Several at a time cost no more than one. Blocks on the disk.
    pub fn erase(&self, subjects: &[u64]) -> Result<Erasure, VaultError> {
        self.keys.erase(subjects)
    }

    /// Everyone who was ever erased: a restore erases them again.
    pub fn erased(&self) -> Vec<u64> {
        self.keys.erased()
    }

    /// Seals what belongs to no subject (settings, provider credentials) under the daemon's own key.
    pub fn seal_blob<T: Serialize + ?Sized>(&self, context: &[u8], value: &T) -> Result<Sealed, VaultError> {
        seal::seal(&self.blobs, Owner::Daemon, context, value)
    }

    /// Opens what [`seal_blob`](Self::seal_blob) sealed for this place.
    pub fn open_blob<T: DeserializeOwned>(&self, context: &[u8], sealed: &[u8]) -> Result<T, VaultError> {
        seal::open(&self.blobs, Owner::Daemon, context, sealed)
    }

    /// A keyed hash of a text, for finding it again without storing it: addresses, suppressions. It outlives erasure. The same
    /// text under another purpose has another hash. Fold the text (case, form) before.
    pub fn index_hash(&self, purpose: &str, text: &str) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(self.hashes.expose());
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(text.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        short
    }

    /// A key of another room's own, for `purpose`; the vault's keys cannot be had this way.
    pub fn derive(&self, purpose: &str) -> SecretKey {
        self.root.derive(&format!("room: {purpose}"))
    }
}
