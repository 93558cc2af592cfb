//! Ids of accepted messages, as each provider writes them.
//! Promises: pure; different sequences give different ids.

use crate::provider::Provider;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

/// An id as its provider writes it: a version 4 UUID, `SM` and 32 digits, a queue id, 22 characters, `wamid.…`.
pub(crate) fn written_id(provider: Provider, mut raw: [u8; 16]) -> String {
    match provider {
        Provider::Resend => {
            raw[6] = raw[6] & 0x0f | 0x40;
            raw[8] = raw[8] & 0x3f | 0x80;
            let digits = hex::encode(raw);
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            parts.join("-")
        }
        Provider::Twilio => format!("SM{}", hex::encode(raw)),
        // Slack's ids are times, so this one is never shown: `slack_ts` is.
        Provider::Smtp | Provider::Slack => hex::encode_upper(raw),
        Provider::SendGrid => URL_SAFE_NO_PAD.encode(raw),
        Provider::WhatsApp => {
            // A field's tag, its length, 32 digits, an end: the shape of real ones, without the number in them.
            let digits = hex::encode_upper(raw);
            let fields = [b"\x15\x02\x00\x11\x18\x20", digits.as_bytes(), b"\x00"].concat();
            format!("wamid.{}", STANDARD.encode(fields))
        }
    }
}

/// A message's `ts`: the second in which it was accepted, and a counter behind the point.
///
/// The counter runs over a million messages before it repeats, in another second by then.
pub(super) fn slack_ts(started: Timestamp, at_us: u64, sequence: u64) -> String {
    let at = started + SignedDuration::from_micros(at_us as i64);
    format!("{:010}.{:06}", at.as_second(), sequence % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Identity;

    #[test]
    fn each_provider_has_its_own_shape() {
        let raw = Identity::new(1).of(7);
        let id = |provider| written_id(provider, raw);
        assert_eq!(id(Provider::Resend).len(), 36);
        assert_eq!(id(Provider::Twilio).len(), 34);
        assert_eq!(id(Provider::SendGrid).len(), 22);
        let inner = STANDARD.decode(id(Provider::WhatsApp).strip_prefix("wamid.").unwrap()).unwrap();
        assert!(String::from_utf8_lossy(&inner).contains(&hex::encode_upper(raw)));
    }

    #[test]
    fn a_ts_tells_the_second_and_differs_within_it() {
        let started = Timestamp::from_second(1_793_000_000).unwrap();
        assert_eq!(slack_ts(started, 0, 246), "1793000000.000246");
        assert_eq!(slack_ts(started, 999_999, 247), "1793000000.000247");
        assert_eq!(slack_ts(started, 1_000_000, 1_000_248), "1793000001.000248");
    }
}
