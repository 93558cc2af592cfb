//! The one codec for everything that the daemon keeps: bincode behind a version byte.
//!
//! It lies below the store and the vault, which both use it and do not know each other. Promised: decoding never
//! allocates more than its limit, whatever the bytes say (without a limit eleven of them ask for a terabyte and abort
//! the process), bytes left over are refused, and a version that the caller did not ask for is named, not guessed at.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most that one stored value takes, encoded, in bytes.
pub const VALUE_LIMIT: usize = 64 * 1024;

/// Why a value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There is not even a version byte.
    #[error("decoding a stored value: it is empty; the record it came from is damaged")]
    Empty,
    /// The version byte is not the one asked for.
    #[error("decoding a stored value: it has version {found}, this build reads {wanted}; run the build that wrote it")]
    Version {
        /// What the value says.
        found: u8,
        /// What the caller reads.
        wanted: u8,
    },
    /// The bytes are no value of the type, or ask for more than the limit.
    #[error("decoding a stored value of version {version}: {why}; the record it came from is damaged")]
    Malformed {
        /// The value's version.
        version: u8,
        /// What the decoder found.
        why: String,
    },
    /// The value was read, and bytes were left.
    #[error("decoding a stored value of version {version}: {extra} bytes follow it; it was written by another type")]
    Trailing {
        /// The value's version.
        version: u8,
        /// How many bytes follow.
        extra: usize,
    },
    /// The type cannot be encoded.
    #[error("encoding a value to be stored: {why}")]
    Unencodable {
        /// What the encoder found.
        why: String,
    },
    /// The encoded value would not be readable again.
    #[error("encoding a value to be stored: it takes {size} bytes, at most {limit} are allowed; split it")]
    TooLarge {
        /// What it takes.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// `value` behind `version`, in at most [`VALUE_LIMIT`] bytes.
pub fn encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    encode_within::<T, VALUE_LIMIT>(version, value)
}

/// The value that [`encode`] wrote with this `version`.
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, VALUE_LIMIT>(version, bytes)
}

/// [`encode`], for a place with a limit of its own.
pub fn encode_within<T: Serialize + ?Sized, const LIMIT: usize>(version: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![version];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .map_err(|error| CodecError::Unencodable { why: error.to_string() })?;
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLarge { size: bytes.len(), limit: LIMIT });
    }
    Ok(bytes)
}

/// [`decode`], for a place with a limit of its own.
pub fn decode_within<T: DeserializeOwned, const LIMIT: usize>(wanted: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let version = version_of(bytes)?;
    if version != wanted {
        return Err(CodecError::Version { found: version, wanted });
    }
    decode_body::<T, LIMIT>(version, &bytes[1..])
}

/// [`decode_within`], where the version stood elsewhere.
pub fn decode_body<T: DeserializeOwned, const LIMIT: usize>(version: u8, body: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(body, bincode::config::standard().with_limit::<LIMIT>())
        .map_err(|error| CodecError::Malformed { version, why: error.to_string() })?;
    match body.len() - read {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { version, extra }),
    }
}

/// The version that `bytes` were written with, for whoever migrates an older one when reading it.
pub fn version_of(bytes: &[u8]) -> Result<u8, CodecError> {
    bytes.first().copied().ok_or(CodecError::Empty)
}

/// Byte strings at the speed of a copy: for `#[serde(with = "codec::bytes")]` on a `Vec<u8>`, which serde would
/// otherwise walk byte by byte. The encoded form is the same.
pub mod bytes {
    use std::fmt;

    use serde::de::Visitor;
    use serde::{Deserializer, Serializer};

    /// Writes the bytes in one piece.
    pub fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(bytes)
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        input.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_read_back_and_its_bytes_do_not_change_between_builds() {
        let value = (7_u64, "Zoë".to_owned(), Some(true));
        let bytes = encode(3, &value).unwrap();
        assert_eq!(hex::encode(&bytes), "0307045a6fc3ab0101");
        assert_eq!(decode(3, &bytes), Ok(value));
        assert_eq!(version_of(&bytes), Ok(3));
    }

    #[test]
    fn eleven_bytes_that_ask_for_a_terabyte_are_refused() {
        // Version 1, then a string whose length is the nine-byte form of 2^40, then one byte of it.
        let mut bytes = vec![1, 253];
        bytes.extend_from_slice(&(1_u64 << 40).to_le_bytes());
        bytes.push(b'x');
        assert_eq!(bytes.len(), 11);
        assert!(matches!(decode::<String>(1, &bytes), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn another_version_trailing_bytes_and_nothing_at_all_are_refused() {
        let mut bytes = encode(2, "abc").unwrap();
        assert_eq!(decode::<String>(1, &bytes), Err(CodecError::Version { found: 2, wanted: 1 }));
        bytes.push(0);
        assert_eq!(decode::<String>(2, &bytes), Err(CodecError::Trailing { version: 2, extra: 1 }));
        assert_eq!(decode::<String>(2, &[]), Err(CodecError::Empty));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let refused = encode(1, &"x".repeat(VALUE_LIMIT)).expect_err("over the limit");
        assert!(matches!(refused, CodecError::TooLarge { limit: VALUE_LIMIT, .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<(Vec<String>, Option<u64>, Vec<(u8, String)>)>(1, &noise);
        }
    }
}
