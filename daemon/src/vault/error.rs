//! What can go wrong in the vault, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::CodecError;

/// Why something could not be unlocked, sealed, opened or erased.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Others may read the root key.
    #[error(
        "reading the root key {}: its mode is {mode:03o}, so others than its owner may read it; run \
         `chmod 600 {}`, and think of the key as known if they are not all trusted", path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The root key file holds no key.
    #[error(
        "reading the root key {}: it holds {size} bytes that are no key; it must be 32 raw bytes or 64 hexadecimal digits \
         with a newline. Restore it from where it is kept safe; nothing sealed can be opened under another",
        path.display()
    )]
    BadRoot {
        /// The file.
        path: PathBuf,
        /// How much it holds.
        size: usize,
    },
    /// There are sealed keys, but the root key they are sealed under is gone.
    #[error(
        "making a root key {}: there is a key file beside it that was sealed under an earlier one; bring that root key \
         back, a new one opens nothing", path.display()
    )]
    RootMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The key file is not what it should be.
    #[error(
        "opening the key file {}: {why}. Nothing was changed; restore the newest backup of it, and keep the tombstones",
        path.display()
    )]
    BadKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The header does not open under this root key.
    #[error(
        "opening the key file {}: it was sealed under another root key, or its header is damaged. Give the daemon the \
         key that belongs to it, or restore the newest backup of it", path.display()
    )]
    WrongRoot {
        /// The file.
        path: PathBuf,
    },
    /// The subject never had a key.
    #[error("looking up the key of subject {subject}: it has none yet; it is made before anything is sealed for it")]
    NoKey {
        /// The subject.
        subject: u64,
    },
    /// The subject was erased.
    #[error("looking up the key of subject {subject}: it was erased, and what was sealed under it is gone for good")]
    Erased {
        /// The subject.
        subject: u64,
    },
    /// The subject's slot does not open.
    #[error(
        "looking up the key of subject {subject}: its slot in the key file is damaged; restore the newest backup of the \
         key file, and keep the tombstones"
    )]
    DamagedKey {
        /// The subject.
        subject: u64,
    },
    /// The number is no subject.
    #[error("looking up the key of subject {subject}: subjects are numbered below {limit}")]
    OutOfRange {
        /// The subject.
        subject: u64,
        /// The bound.
        limit: u64,
    },
    /// Sealed bytes do not open: changed, or sealed for another place or subject.
    #[error("opening sealed data: it was changed, or belongs to another record or subject; restore the record")]
    NotAuthentic,
    /// Sealed bytes are none.
    #[error("opening sealed data: {why}; the record is damaged, or a newer build wrote it")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// The value cannot be encoded or decoded.
    #[error("sealing or opening a value: {0}")]
    Codec(#[from] CodecError),
    /// The operating system gave no randomness.
    #[error("drawing random bytes for a key or nonce: {why}; nothing is sealed without")]
    NoRandomness {
        /// What it said.
        why: String,
    },
}

impl VaultError {
    /// For `map_err`: what was being done to which path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
