//! The Message-ID of a letter: it names the message, and proves to us that we made it.
//!
//! Promises: the same for every attempt at a message; whoever has not seen a letter's own cannot make it up, at 64 bits under
//! the secret of the opt-out links. Everybody whom the letter passed has seen it, its guest first: it proves that a report speaks
//! of a letter of ours, and never of whose address it may speak.

use subtle::ConstantTimeEq as _;
use usher_common::model::MessageId;

/// Bytes of the proof.
const TAG: usize = 8;

fn tag(secret: &[u8], message: MessageId) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(b"usher message id v1");
    hash.update(secret);
    hash.update(&message.0.to_be_bytes());
    hex::encode(&hash.finalize().as_bytes()[..TAG])
}

/// A message's Message-ID, with angle brackets.
pub fn message_id(secret: &[u8], message: MessageId, domain: &str) -> String {
    format!("<{message}.{}@{domain}>", tag(secret, message))
}

/// The message that a Message-ID names, with or without its brackets; `None` for one that we did not make. The domain does not
/// matter: an organisation may have changed its own since.
pub fn read(secret: &[u8], message_id: &str) -> Option<MessageId> {
    let id = message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let (name, _) = id.split_once('@').unwrap_or((id, ""));
    let (number, theirs) = name.strip_prefix('m')?.split_once('.')?;
    let message = MessageId(number.parse().ok()?);
    let ours = tag(secret, message);
    // Some servers write all of it in capitals.
    bool::from(ours.as_bytes().ct_eq(theirs.to_ascii_lowercase().as_bytes())).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_made_is_read_back() {
        let made = message_id(b"secret", MessageId(12), "ada.example");
        assert_eq!(read(b"secret", &made), Some(MessageId(12)));
        let bare = made.trim_matches(['<', '>']);
        assert_eq!(read(b"secret", bare), Some(MessageId(12)));
        assert_eq!(read(b"secret", &bare.replace("ada.example", "other.example")), Some(MessageId(12)));
        assert_eq!(read(b"another", &made), None);
        for forged in [made.replace("m12.", "m13."), made.replace('.', ""), "<m12.@ada.example>".to_owned()] {
            assert_eq!(read(b"secret", &forged), None, "{forged}");
        }
        for nothing in ["", "<>", "m", "m12", "@", "m99999999999999999999.00"] {
            assert_eq!(read(b"secret", nothing), None, "{nothing}");
        }
    }
}
