//! The root key: the one secret that everything else in the vault hangs on.
//!
//! It comes from a credential file, or is made on the first start and kept in the state folder. It is never used itself,
//! only what HKDF derives from it for a named purpose, so that no two uses share a key; and it is wiped from memory when
//! it is dropped.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::VaultError;

/// 32 secret bytes. They cannot be printed and are wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The bytes, for a cipher or a hash and nothing else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn random() -> Result<Self, VaultError> {
        let mut key = Self([0; 32]);
        fill_random(&mut key.0)?;
        Ok(key)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Random bytes from the operating system.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|error| VaultError::NoRandomness { why: error.to_string() })
}

/// Where the root key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootOrigin {
    /// The credential file that the configuration names.
    Credential(PathBuf),
    /// The state folder.
    StateFolder(PathBuf),
    /// Made just now, in the state folder: it belongs in a safe place too, since nothing sealed opens without it.
    Created(PathBuf),
}

/// The root key.
pub(super) struct RootKey(SecretKey);

impl RootKey {
    /// Reads the root key from `credential`, else from the state folder, where it is made if there never was one:
    /// `in_use` says that something is sealed under it already.
    pub(super) fn load(
        credential: Option<&Path>,
        state: &Path,
        in_use: bool,
    ) -> Result<(Self, RootOrigin), VaultError> {
        if let Some(path) = credential {
            return Ok((read(path)?, RootOrigin::Credential(path.to_owned())));
        }
        let path = state.join("root.key");
        match read(&path) {
            Ok(root) => Ok((root, RootOrigin::StateFolder(path))),
            Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if in_use {
                    return Err(VaultError::RootMissing { path });
                }
                Ok((create(&path, state)?, RootOrigin::Created(path)))
            }
            Err(error) => Err(error),
        }
    }

    /// The key for one purpose. Different purposes share nothing.
    pub(super) fn derive(&self, purpose: &str) -> SecretKey {
        let mut derived = SecretKey([0; 32]);
        Hkdf::<Sha256>::new(Some(b"usher vault 1"), self.0.expose())
            .expand(purpose.as_bytes(), &mut derived.0)
            .expect("32 bytes are far below what HKDF can give");
        derived
    }
}

fn read(path: &Path) -> Result<RootKey, VaultError> {
    let mut file = File::open(path).map_err(VaultError::io("opening the root key", path))?;
    let meta = file.metadata().map_err(VaultError::io("looking at the root key", path))?;
    let mode = meta.mode() & 0o777;
    // A credential that systemd hands to a user is root's, readable by an access list whose mask shows as group bits.
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if mode & 0o007 != 0 || (ours && mode & 0o070 != 0) {
        return Err(VaultError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(128));
    (&mut file).take(128).read_to_end(&mut bytes).map_err(VaultError::io("reading the root key", path))?;
    parse(&bytes).map(RootKey).ok_or_else(|| VaultError::BadRoot { path: path.to_owned(), size: bytes.len() })
}

fn parse(bytes: &[u8]) -> Option<SecretKey> {
    let mut key = SecretKey([0; 32]);
    if bytes.len() == 32 {
        key.0.copy_from_slice(bytes);
        return Some(key);
    }
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    hex::decode_to_slice(digits, &mut key.0).ok().map(|()| key)
}

fn create(path: &Path, state: &Path) -> Result<RootKey, VaultError> {
    let key = SecretKey::random()?;
    let mut text = Zeroizing::new([0_u8; 65]);
    hex::encode_to_slice(key.expose(), &mut text[..64]).expect("64 digits for 32 bytes");
    text[64] = b'\n';
    let temp = path.with_extension("tmp");
    let writing = || VaultError::io("writing the new root key", &temp);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temp).map_err(writing())?;
    file.write_all(&*text).and_then(|()| file.sync_all()).map_err(writing())?;
    fs::rename(&temp, path).map_err(VaultError::io("naming the new root key", path))?;
    sync_dir(state)?;
    Ok(RootKey(key))
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), VaultError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(VaultError::io("syncing the folder", dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with_mode(path: &Path, content: &[u8], mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (made, origin) = RootKey::load(None, dir.path(), false).unwrap();
        let path = dir.path().join("root.key");
        assert_eq!(origin, RootOrigin::Created(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), text.ends_with('\n')), (65, true));
        let (found, origin) = RootKey::load(None, dir.path(), false).unwrap();
        assert_eq!(origin, RootOrigin::StateFolder(path));
        assert_eq!(found.derive("a").expose(), made.derive("a").expose());
        assert_ne!(found.derive("a").expose(), made.derive("b").expose());
    }

    #[test]
    fn a_credential_may_be_raw_or_text_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credential");
        let load = || RootKey::load(Some(&path), dir.path(), false);
        with_mode(&path, &[0xab; 32], 0o400);
        let raw = load().unwrap().0.derive("a");
        fs::remove_file(&path).unwrap();
        with_mode(&path, format!("{}\n", "ab".repeat(32)).as_bytes(), 0o600);
        assert_eq!(load().unwrap().0.derive("a").expose(), raw.expose());
        for wrong in [b"".as_slice(), &[1; 31], &[b'a'; 63], &[b'x'; 64], &[b'a'; 66]] {
            with_mode(&path, wrong, 0o600);
            assert!(matches!(load(), Err(VaultError::BadRoot { .. })), "{} bytes", wrong.len());
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(load(), Err(VaultError::Io { .. })), "a credential that is named must be there");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credential");
        for mode in [0o640, 0o604, 0o660] {
            with_mode(&path, &[1; 32], mode);
            let Err(error) = RootKey::load(Some(&path), dir.path(), false) else { panic!("{mode:o} was let through") };
            let text = error.to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
    }

    #[test]
    fn no_new_key_is_made_beside_keys_sealed_under_a_lost_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("subjects.keys"), b"anything").unwrap();
        assert!(matches!(
            RootKey::load(None, dir.path(), super::super::keyfile::exists(dir.path())),
            Err(VaultError::RootMissing { .. })
        ));
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let key = SecretKey::new([0x5a; 32]);
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
}
