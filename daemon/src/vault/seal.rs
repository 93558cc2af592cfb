//! Sealed values: encoded, compressed, encrypted, in that order.
//!
//! `version | dictionary | nonce | ciphertext | tag`. The two bytes in front, the subject and the caller's context are
//! bound to it, so that a value opens nowhere but where it was sealed for.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::cipher;
use super::dictionary;
use super::error::VaultError;
use super::root::SecretKey;
use crate::codec;

const VERSION: u8 = 1;
/// Version of the encoded value inside; the types sealed here are changed by giving them a new one.
const VALUE_VERSION: u8 = 1;

/// A value that only the vault opens. Safe to store and to log, though it prints as its length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The bytes, as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, as they are stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Whose key something is sealed under.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// A subject's own.
    Subject(u64),
    /// The daemon's.
    Daemon,
}

pub(super) fn seal<T: Serialize + ?Sized>(
    key: &SecretKey,
    owner: Owner,
    context: &[u8],
    value: &T,
) -> Result<Sealed, VaultError> {
    let plain = Zeroizing::new(codec::encode(VALUE_VERSION, value)?);
    let (how, packed) = dictionary::pack(&plain);
    let packed = Zeroizing::new(packed);
    let lead = [VERSION, how];
    Ok(Sealed(cipher::seal(key, &aad(lead, owner, context), &lead, &packed)?))
}

pub(super) fn open<T: DeserializeOwned>(
    key: &SecretKey,
    owner: Owner,
    context: &[u8],
    sealed: &[u8],
) -> Result<T, VaultError> {
    let Some((lead, body)) = sealed.split_first_chunk::<2>() else {
        return Err(VaultError::Malformed { why: format!("it has only {} bytes", sealed.len()) });
    };
    if lead[0] != VERSION {
        return Err(VaultError::Malformed { why: format!("it has version {}, this build opens {VERSION}", lead[0]) });
    }
    let packed = cipher::open(key, &aad(*lead, owner, context), body)?;
    let plain = Zeroizing::new(dictionary::unpack(lead[1], packed)?);
    Ok(codec::decode(VALUE_VERSION, &plain)?)
}

fn aad(lead: [u8; 2], owner: Owner, context: &[u8]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(2 + 9 + context.len());
    aad.extend_from_slice(&lead);
    match owner {
        Owner::Subject(subject) => {
            aad.push(1);
            aad.extend_from_slice(&subject.to_le_bytes());
        }
        Owner::Daemon => aad.push(0),
    }
    aad.extend_from_slice(context);
    aad
}
