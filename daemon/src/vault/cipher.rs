//! XChaCha20-Poly1305 with a random nonce in front: `nonce 24 | ciphertext | tag 16`.
//!
//! 192 bits of nonce may be drawn at random for as long as anybody cares.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::error::VaultError;
use super::root::{SecretKey, fill_random};

pub(super) const NONCE: usize = 24;
/// What sealing adds, in bytes.
pub(super) const OVERHEAD: usize = NONCE + 16;

/// Seals `plain` behind `lead`, which is not sealed: `lead | nonce | ciphertext | tag`.
pub(super) fn seal(key: &SecretKey, aad: &[u8], lead: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE];
    fill_random(&mut nonce)?;
    let mut out = Vec::with_capacity(lead.len() + OVERHEAD + plain.len());
    out.extend_from_slice(lead);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&XNonce::from(nonce), aad, (&mut out[lead.len() + NONCE..]).into())
        .expect("what is sealed here is far shorter than the cipher's limit");
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens what [`seal`] made, without its lead.
pub(super) fn open(key: &SecretKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(VaultError::NotAuthentic)?;
    let mut plain = sealed.to_vec();
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt_in_place(&XNonce::from(*nonce), aad, &mut plain)
        .map_err(|_| VaultError::NotAuthentic)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_open_and_no_two_seals_are_alike() {
        let (key, other) = (SecretKey::new([1; 32]), SecretKey::new([2; 32]));
        let sealed = seal(&key, b"here", b"", b"secret").unwrap();
        assert_eq!(sealed.len(), OVERHEAD + 6);
        assert_eq!(open(&key, b"here", &sealed).unwrap(), b"secret");
        assert_ne!(seal(&key, b"here", b"", b"secret").unwrap(), sealed);
        assert!(open(&other, b"here", &sealed).is_err());
        assert!(open(&key, b"there", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(open(&key, b"here", &bad).is_err(), "byte {at}");
            assert!(open(&key, b"here", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_cipher_is_the_published_one() {
        // draft-irtf-cfrg-xchacha-03, A.3.1.
        let key: [u8; 32] = std::array::from_fn(|n| 0x80 + n as u8);
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let nonce: [u8; NONCE] = std::array::from_fn(|n| 0x40 + n as u8);
        let body = hex::decode(concat!(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39",
            "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
            "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
        ))
        .unwrap();
        let sealed = [nonce.as_slice(), &body].concat();
        let plain = open(&SecretKey::new(key), &aad, &sealed).unwrap();
        assert!(plain.starts_with(b"Ladies and Gentlemen of the class of '99"));
    }
}
