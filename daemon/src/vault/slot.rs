//! One slot of the key file: what its 72 bytes mean.
//!
//! All zero is a subject without a key, all ones an erased one; everything else is `nonce | sealed key | tag`, bound to
//! the epoch and to the subject, so that slots cannot be exchanged.

use zeroize::Zeroizing;

use super::cipher::{self, OVERHEAD};
use super::error::VaultError;
use super::root::SecretKey;

/// Bytes of a slot.
pub(super) const SLOT: usize = OVERHEAD + 32;
pub(super) const EMPTY: [u8; SLOT] = [0; SLOT];
pub(super) const ERASED: [u8; SLOT] = [0xff; SLOT];

/// What a disk writes at once, at the least.
const SECTOR: u64 = 512;

/// The key that seals the slots for the time being.
pub(super) struct Epoch {
    pub(super) id: u64,
    pub(super) key: SecretKey,
}

/// What a slot holds.
#[derive(Debug)]
pub(super) enum Slot {
    Empty,
    Erased,
    Key(SecretKey),
    /// Neither: the disk has changed it.
    Damaged,
}

/// Seals a subject's key.
pub(super) fn seal(epoch: &Epoch, subject: u64, key: &SecretKey) -> Result<[u8; SLOT], VaultError> {
    let sealed = cipher::seal(&epoch.key, &aad(epoch.id, subject), &[], key.expose())?;
    Ok(sealed.try_into().expect("nonce, 32 bytes and tag are a slot"))
}

/// Reads the slot that begins at `offset` of the file, of which only the first `present` bytes are there.
///
/// A key is used only after its slot is on the disk. So a slot of which a crash left just the part before or after a
/// sector boundary was never used, and is as good as empty.
pub(super) fn read(epoch: &Epoch, subject: u64, slot: &[u8; SLOT], offset: u64, present: usize) -> Slot {
    if *slot == EMPTY {
        return Slot::Empty;
    }
    if *slot == ERASED {
        return Slot::Erased;
    }
    if let Ok(plain) = cipher::open(&epoch.key, &aad(epoch.id, subject), slot).map(Zeroizing::new)
        && let Ok(key) = plain.as_slice().try_into()
    {
        return Slot::Key(SecretKey::new(key));
    }
    let boundary = offset.next_multiple_of(SECTOR) - offset;
    let split = usize::try_from(boundary).ok().filter(|at| (1..SLOT).contains(at));
    let half_there = split.is_some_and(|at| slot[..at].iter().all(|b| *b == 0) || slot[at..].iter().all(|b| *b == 0));
    if present < SLOT || half_there { Slot::Empty } else { Slot::Damaged }
}

fn aad(epoch: u64, subject: u64) -> [u8; 32] {
    let mut aad = *b"usher subject key...............";
    aad[16..24].copy_from_slice(&epoch.to_le_bytes());
    aad[24..].copy_from_slice(&subject.to_le_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(id: u64) -> Epoch {
        Epoch { id, key: SecretKey::new([3; 32]) }
    }

    #[test]
    fn a_slot_opens_only_for_its_subject_and_epoch() {
        let sealed = seal(&epoch(1), 7, &SecretKey::new([9; 32])).unwrap();
        assert!(matches!(read(&epoch(1), 7, &sealed, 0, SLOT), Slot::Key(key) if *key.expose() == [9; 32]));
        assert!(matches!(read(&epoch(1), 8, &sealed, 0, SLOT), Slot::Damaged));
        assert!(matches!(read(&epoch(2), 7, &sealed, 0, SLOT), Slot::Damaged));
        assert!(matches!(read(&epoch(1), 7, &EMPTY, 0, SLOT), Slot::Empty));
        assert!(matches!(read(&epoch(1), 7, &ERASED, 0, SLOT), Slot::Erased));
    }

    #[test]
    fn what_a_crash_tore_at_a_sector_is_empty_and_anything_else_is_damage() {
        let mut sealed = seal(&epoch(1), 7, &SecretKey::new([9; 32])).unwrap();
        // The first bytes, should they happen to be zero, would look torn.
        sealed[0] |= 1;
        let offset = SECTOR - 20;
        for (from, to) in [(0, 20), (20, SLOT)] {
            let mut torn = sealed;
            torn[from..to].fill(0);
            assert!(matches!(read(&epoch(1), 7, &torn, offset, SLOT), Slot::Empty), "{from}..{to}");
            assert!(matches!(read(&epoch(1), 7, &torn, SECTOR, SLOT), Slot::Damaged), "{from}..{to}");
        }
        let mut short = sealed;
        short[50..].fill(0);
        assert!(matches!(read(&epoch(1), 7, &short, SECTOR, 50), Slot::Empty), "the file ends inside it");
    }
}
