//! Compression of small records, with a dictionary trained on such records.
//!
//! A record of a hundred bytes hardly compresses on its own; with a dictionary that knows what such records look like it
//! does. The dictionary is part of the format: a byte in front names it, old ones stay readable for good, and a new
//! one gets a new number. What it unpacks to is bounded, whatever the bytes say.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

use super::error::VaultError;
use crate::codec::VALUE_LIMIT;

/// The size of a dictionary that is trained anew, in bytes.
#[cfg(test)]
pub(super) const MAX_DICTIONARY: usize = 16 * 1024;
const LEVEL: i32 = 3;

/// Not compressed, since it would not have become shorter.
const PLAIN: u8 = 0;
/// Compressed with `guest.dict`.
const GUEST_1: u8 = 1;

static GUEST_DICTIONARY: &[u8] = include_bytes!("guest.dict");
static PACKING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(GUEST_DICTIONARY, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(GUEST_DICTIONARY));

thread_local! {
    // Setting a context up costs more than using it, so each thread keeps its own.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `bytes` made shorter where that works, and the byte that says how.
pub(super) fn pack(bytes: &[u8]) -> (u8, Vec<u8>) {
    let packed = PACKER.with_borrow_mut(|packer| {
        if packer.is_none() {
            let mut fresh = Compressor::with_prepared_dictionary(&PACKING)?;
            // The byte in front names the dictionary, and the cipher's tag is the checksum.
            fresh.set_parameter(CParameter::DictIdFlag(false))?;
            *packer = Some(fresh);
        }
        packer.as_mut().expect("it was set just above").compress(bytes)
    });
    match packed {
        Ok(packed) if packed.len() < bytes.len() => (GUEST_1, packed),
        _ => (PLAIN, bytes.to_vec()),
    }
}

/// What [`pack`] was given, at most [`VALUE_LIMIT`] bytes.
pub(super) fn unpack(how: u8, bytes: Vec<u8>) -> Result<Vec<u8>, VaultError> {
    match how {
        PLAIN => Ok(bytes),
        GUEST_1 => UNPACKER
            .with_borrow_mut(|unpacker| {
                if unpacker.is_none() {
                    *unpacker = Some(Decompressor::with_prepared_dictionary(&UNPACKING)?);
                }
                unpacker.as_mut().expect("it was set just above").decompress(&bytes, VALUE_LIMIT)
            })
            .map_err(|error| VaultError::Malformed { why: format!("unpacking it: {error}") }),
        other => Err(VaultError::Malformed { why: format!("it was packed with dictionary {other}") }),
    }
}
