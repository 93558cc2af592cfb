//! Opt-out links: a token that names a message and proves that we made it, and nothing personal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use usher_common::model::{CampaignId, Channel, GuestId, ListId};

/// Whom a token opts out, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptOut {
    /// The campaign that carried it.
    pub campaign: CampaignId,
    /// The list on which the guest stands.
    pub list: ListId,
    /// The guest.
    pub guest: GuestId,
    /// The channel by which it was reached.
    pub channel: Channel,
}

/// Bytes of the authentication tag: 128 bits.
const TAG: usize = 16;

/// Layout of what the tag covers: version, channel, campaign, list, guest.
const BODY: usize = 2 + 3 * 8;

fn body(opt_out: &OptOut) -> [u8; BODY] {
    let mut bytes = [0; BODY];
    bytes[0] = 1;
    bytes[1] = Channel::ALL.iter().position(|&c| c == opt_out.channel).map_or(0, |n| n as u8);
    bytes[2..10].copy_from_slice(&opt_out.campaign.0.to_be_bytes());
    bytes[10..18].copy_from_slice(&opt_out.list.0.to_be_bytes());
    bytes[18..26].copy_from_slice(&opt_out.guest.0.to_be_bytes());
    bytes
}

fn tag(secret: &[u8], body: &[u8]) -> [u8; TAG] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"usher unsubscribe v1");
    mac.update(body);
    let full = mac.finalize().into_bytes();
    let mut tag = [0; TAG];
    tag.copy_from_slice(&full[..TAG]);
    tag
}

/// The token, 56 characters that are safe in a URL.
pub fn token(secret: &[u8], opt_out: &OptOut) -> String {
    let body = body(opt_out);
    let mut bytes = body.to_vec();
    bytes.extend(tag(secret, &body));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whom a token opts out; `None` for one that we did not make. Compares in constant time.
pub fn read(secret: &[u8], token: &str) -> Option<OptOut> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (body, theirs) = bytes.split_at_checked(BODY)?;
    if !bool::from(tag(secret, body).ct_eq(theirs)) || body[0] != 1 {
        return None;
    }
    let id = |at: usize| body.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
    Some(OptOut {
        campaign: CampaignId(id(2)?),
        list: ListId(id(10)?),
        guest: GuestId(id(18)?),
        channel: *Channel::ALL.get(usize::from(body[1]))?,
    })
}

/// The two header fields of RFC 8058 for an address where opt-outs are taken.
pub fn headers(base: &str, token: &str) -> Vec<(String, String)> {
    vec![
        ("List-Unsubscribe".to_owned(), format!("<{}>", link(base, token))),
        ("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()),
    ]
}

/// The link that a guest may follow.
pub fn link(base: &str, token: &str) -> String {
    format!("{}/u/{token}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPT_OUT: OptOut =
        OptOut { campaign: CampaignId(12), list: ListId(3), guest: GuestId(4711), channel: Channel::Email };

    #[test]
    fn a_token_is_read_back_and_any_change_of_it_is_refused() {
        let made = token(b"secret", &OPT_OUT);
        assert_eq!(read(b"secret", &made), Some(OPT_OUT));
        assert_eq!(read(b"another", &made), None);
        for n in 0..made.len() {
            let mut bytes = made.clone().into_bytes();
            bytes[n] = if bytes[n] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character carries spare bits only where base64 has them; here every one counts.
            assert_eq!(read(b"secret", &changed), None, "changed at {n}");
        }
        assert_eq!(read(b"secret", ""), None);
    }

    #[test]
    fn the_headers_pass_the_gate() {
        use crate::compliance::{Letter, Sender, gate};
        let headers = headers("https://rsvp.example/", &token(b"s", &OPT_OUT));
        let letter = Letter { channel: Channel::Email, text: "1 Mill Lane", html: "", headers: &headers };
        assert_eq!(gate(&letter, &Sender { postal_address: "1 Mill Lane" }, None), Ok(()));
    }
}
