//! Bytes on the wire: bincode between programs of one build line, JSON for scripts and for everybody else.
//!
//! Decoding never takes more memory than the frame's own length allows: bincode decodes under a limit, since eleven
//! bytes can otherwise ask for a terabyte.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Names the shape of every message of this build. Two programs that agree on it may speak bincode.
///
/// It is the hash of the golden frames in `common/tests/goldens`; the test that checks them prints the new value.
pub const TYPES: &str = "a063515b6e45b6ac";

/// The WebSocket subprotocol for JSON, which every version speaks.
pub const JSON_SUBPROTOCOL: &str = "usher.v1.json";

/// The WebSocket subprotocol for bincode of exactly this build line.
pub fn bincode_subprotocol() -> String {
    format!("usher.v1.bincode.{TYPES}")
}

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Compact; both sides must have the same [`TYPES`].
    Bincode,
    /// Readable; unknown fields are ignored.
    Json,
}

/// Bytes that are no frame.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The frame is larger than its receiver takes.
    #[error("frame of {len} bytes is over the cap of {cap}: send less at once")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The cap.
        cap: usize,
    },
    /// Not bincode of these types.
    #[error("frame is not bincode of the types {TYPES}: {0}")]
    Bincode(#[from] bincode::error::DecodeError),
    /// Not the JSON that was expected.
    #[error("frame is not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
    /// A whole frame, and then more.
    #[error("frame has {0} bytes after its end")]
    Trailing(usize),
}

/// Decoded values may claim at most this many bytes, a little above the largest frame.
const DECODE_LIMIT: usize = 16 * 1024 * 1024;

/// Writes one frame.
///
/// The types of this crate always encode: they hold no maps with keys that JSON cannot write and no unsized sequences.
pub fn encode<T: Serialize>(codec: Codec, value: &T) -> Vec<u8> {
    match codec {
        Codec::Bincode => bincode::serde::encode_to_vec(value, bincode::config::standard())
            .expect("protocol types have nothing that bincode refuses"),
        Codec::Json => serde_json::to_vec(value).expect("protocol types have nothing that JSON refuses"),
    }
}

/// Reads one frame of at most `cap` bytes, all of it.
pub fn decode<T: DeserializeOwned>(codec: Codec, bytes: &[u8], cap: usize) -> Result<T, DecodeError> {
    if bytes.len() > cap {
        return Err(DecodeError::TooLarge { len: bytes.len(), cap });
    }
    match codec {
        Codec::Bincode => {
            let config = bincode::config::standard().with_limit::<DECODE_LIMIT>();
            let (value, used) = bincode::serde::decode_from_slice(bytes, config)?;
            if used < bytes.len() {
                return Err(DecodeError::Trailing(bytes.len() - used));
            }
            Ok(value)
        }
        Codec::Json => Ok(serde_json::from_slice(bytes)?),
    }
}

/// Bytes as base64 in JSON, as they are in bincode.
pub(super) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        if out.is_human_readable() { STANDARD.encode(bytes).serialize(out) } else { bytes.serialize(out) }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        if input.is_human_readable() {
            let text = String::deserialize(input)?;
            STANDARD.decode(text).map_err(|e| D::Error::custom(format!("not base64: {e}")))
        } else {
            Vec::<u8>::deserialize(input)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ClientFrame;

    #[test]
    fn a_frame_that_claims_a_terabyte_is_refused() {
        // A variant with a string whose announced length is 2^40.
        let mut bytes = vec![0u8];
        bytes.push(253);
        bytes.extend((1u64 << 40).to_le_bytes());
        assert!(decode::<ClientFrame>(Codec::Bincode, &bytes, 1024).is_err());
    }

    #[test]
    fn a_frame_over_the_cap_and_one_with_a_tail_are_refused() {
        let frame = ClientFrame::Subscribe { topic: crate::protocol::Topic::Overview, have: None };
        let mut bytes = encode(Codec::Bincode, &frame);
        assert!(matches!(
            decode::<ClientFrame>(Codec::Bincode, &bytes, bytes.len() - 1),
            Err(DecodeError::TooLarge { .. })
        ));
        bytes.push(0);
        assert!(matches!(decode::<ClientFrame>(Codec::Bincode, &bytes, 1024), Err(DecodeError::Trailing(1))));
    }
}
