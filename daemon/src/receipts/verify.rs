//! Whether a report comes from whom it says: every provider's signature, over the body exactly as it came. Pure.
//!
//! Promises: comparisons take the same time whatever was brought; a timestamp that is signed is held against the clock that is
//! handed in; what is not signed is not believed. Nothing of the body is read before it is verified.

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::{digest, hmac, signature};
use subtle::ConstantTimeEq as _;
use usher_common::model::Timestamp;

use super::form;

/// How far a signed timestamp may be off, either way, unless its scheme says otherwise.
const WINDOW: Duration = Duration::from_mins(5);
/// SendGrid repeats a report for 24 hours and does not say whether it dates it anew.
const SENDGRID_PAST: Duration = Duration::from_hours(25);

/// What stands before the 65 bytes of a P-256 point in `SubjectPublicKeyInfo` (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Who signs, and thereby how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Twilio: the public URL and the form's fields.
    Twilio,
    /// SendGrid: ECDSA over timestamp and body.
    SendGrid,
    /// Resend, by way of Svix.
    Svix,
    /// Slack's signing secret.
    Slack,
    /// Meta's app secret.
    Meta,
    /// A gateway of one's own: what Usher signs with too.
    Usher,
}

impl Scheme {
    /// The largest body that it is sensible to read, in bytes.
    pub fn body_limit(self) -> usize {
        match self {
            // One message a request, in a form.
            Self::Twilio => 64 << 10,
            Self::Svix | Self::Usher => 256 << 10,
            Self::Slack => 1 << 20,
            // A thousand updates and 3 MB, says Meta; SendGrid says no number and batches too.
            Self::SendGrid | Self::Meta => 3 << 20,
        }
    }

    /// How old, and how far ahead, a signed timestamp may be; `None` where no time is signed.
    pub fn window(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Twilio | Self::Meta => None,
            Self::SendGrid => Some((SENDGRID_PAST, WINDOW)),
            Self::Svix | Self::Slack | Self::Usher => Some((WINDOW, WINDOW)),
        }
    }
}

/// With what Twilio's shared keys sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `HMAC_SHA1`.
    Sha1,
    /// `HMAC_SHA256`.
    Sha256,
}

/// A key that signatures are checked with. Cannot be printed.
#[derive(Clone)]
pub struct Key(Secret);

#[derive(Clone)]
enum Secret {
    Hmac(hmac::Key),
    /// A shared key of Twilio's, which works only with its own algorithm.
    Shared(hmac::Key, Algorithm),
    /// A P-256 point.
    Public(Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A secret that is not of its scheme's kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Resend's secret is base64 behind `whsec_`.
    #[error("is no signing secret of Resend's: copy it again, `whsec_` and base64")]
    Svix,
    /// SendGrid's key is base64 of a public key.
    #[error("is no verification key of SendGrid's: copy it again, base64 that begins with MFkw")]
    SendGrid,
}

impl Key {
    /// The key of a scheme, from what its provider shows.
    pub fn new(scheme: Scheme, text: &str) -> Result<Self, KeyError> {
        Ok(Self(match scheme {
            Scheme::Twilio => Secret::Hmac(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes())),
            Scheme::SendGrid => {
                let der = STANDARD.decode(text.trim()).map_err(|_| KeyError::SendGrid)?;
                let point =
                    der.strip_prefix(&P256_PREFIX).filter(|point| point.len() == 65 && point.first() == Some(&4));
                Secret::Public(point.ok_or(KeyError::SendGrid)?.to_vec())
            }
            Scheme::Svix => {
                let text = text.strip_prefix("whsec_").unwrap_or(text);
                let raw = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
                let raw = raw.ok().filter(|raw| raw.len() >= 16).ok_or(KeyError::Svix)?;
                Secret::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &raw))
            }
            Scheme::Slack | Scheme::Meta | Scheme::Usher => {
                Secret::Hmac(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
            }
        }))
    }

    /// A shared key of Twilio's. The algorithm is the operator's to say: the header alone would let the caller choose.
    pub fn twilio_shared(text: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
        };
        Self(Secret::Shared(hmac::Key::new(kind, text.as_bytes()), algorithm))
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Whether it is a GET, whose parameters are all in its address.
    pub get: bool,
    /// The public address, as the provider was told it, with the query that came.
    pub url: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, untouched.
    pub body: &'a [u8],
}

/// Why a report is not believed. For the log: the caller is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key to check with.
    #[error(
        "no webhook_secret is set for this provider, so nobody can be believed: set it, or remove the webhook there"
    )]
    NoKey,
    /// A header that the scheme needs is not there, twice there, or not text.
    #[error("the header {0} is missing or unreadable: is signing switched on at the provider?")]
    Header(&'static str),
    /// A timestamp that is no number.
    #[error("the header {0} holds no time")]
    Time(&'static str),
    /// Too old or too far ahead.
    #[error(
        "it was signed {seconds} s away from this machine's clock, and {allowed} s are allowed: check the clock (timedatectl)"
    )]
    Stale {
        /// Seconds that it is old; negative when it is ahead.
        seconds: i64,
        /// Seconds that are allowed in that direction.
        allowed: u64,
    },
    /// A scheme within the scheme that is not used here.
    #[error("it is signed in a way that is not configured here ({0})")]
    Kind(String),
    /// The body is not what the signed address says.
    #[error("the body is not the one that was signed")]
    Body,
    /// The signature does not fit.
    #[error(
        "the signature does not fit: compare webhook_secret with what the provider shows, and webhooks.public_url with the \
         address that the provider was given"
    )]
    Mismatch,
}

/// Whether one of `keys` signed this. Two keys are for a turn-over; either is good.
pub fn verify(scheme: Scheme, keys: &[Key], call: &Call<'_>, now: Timestamp) -> Result<(), Refused> {
    if keys.is_empty() {
        return Err(Refused::NoKey);
    }
    match scheme {
        Scheme::Twilio => twilio(keys, call),
        Scheme::SendGrid => sendgrid(keys, call, now),
        Scheme::Svix => svix(keys, call, now),
        Scheme::Slack => {
            let time = signed_time(scheme, call, "x-slack-request-timestamp", now)?;
            let brought = header(call, "x-slack-signature")?;
            one_of(keys, |key| hex_tag("v0=", key, &[b"v0:", time.as_bytes(), b":", call.body]), brought)
        }
        Scheme::Meta => {
            let brought = header(call, "x-hub-signature-256")?;
            one_of(keys, |key| hex_tag("sha256=", key, &[call.body]), brought)
        }
        Scheme::Usher => {
            let time = signed_time(scheme, call, "usher-timestamp", now)?;
            let brought = header(call, "usher-signature")?;
            one_of(keys, |key| hex_tag("v1=", key, &[time.as_bytes(), b".", call.body]), brought)
        }
    }
}

/// Meta's handshake: what to answer to the query of its GET, verbatim; `None` to refuse.
pub fn hub_challenge(query: &str, tokens: &[&str]) -> Option<String> {
    let fields = form::decode(query.as_bytes());
    let field = |name: &str| fields.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| value.as_slice());
    let token = field("hub.verify_token")?;
    let known = tokens.iter().any(|known| !known.is_empty() && bool::from(known.as_bytes().ct_eq(token)));
    if field("hub.mode")? != b"subscribe" || !known {
        return None;
    }
    String::from_utf8(field("hub.challenge")?.to_vec()).ok().filter(|challenge| !challenge.is_empty())
}

fn header<'a>(call: &Call<'a>, name: &'static str) -> Result<&'a str, Refused> {
    let mut values = call.headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        _ => Err(Refused::Header(name)),
    }
}

/// The timestamp as it was written, if it is within the scheme's window.
fn signed_time<'a>(scheme: Scheme, call: &Call<'a>, name: &'static str, now: Timestamp) -> Result<&'a str, Refused> {
    let text = header(call, name)?;
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let time: i64 = text.parse().ok().filter(|_| digits).ok_or(Refused::Time(name))?;
    let seconds = now.0.div_euclid(1000) - time;
    let (past, ahead) = scheme.window().unwrap_or((WINDOW, WINDOW));
    let allowed = if seconds < 0 { ahead } else { past }.as_secs();
    if seconds.unsigned_abs() > allowed {
        return Err(Refused::Stale { seconds, allowed });
    }
    Ok(text)
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

fn hex_tag(prefix: &str, key: &hmac::Key, parts: &[&[u8]]) -> String {
    format!("{prefix}{}", hex::encode(tag(key, parts)))
}

/// Compares what was brought with what each key makes. Texts are compared, so that there is one way to write a signature.
fn one_of(keys: &[Key], make: impl Fn(&hmac::Key) -> String, brought: &str) -> Result<(), Refused> {
    let fits = keys.iter().any(|key| match &key.0 {
        Secret::Hmac(key) => bool::from(make(key).as_bytes().ct_eq(brought.as_bytes())),
        Secret::Shared(..) | Secret::Public(_) => false,
    });
    if fits { Ok(()) } else { Err(Refused::Mismatch) }
}

fn svix(keys: &[Key], call: &Call<'_>, now: Timestamp) -> Result<(), Refused> {
    // Svix's own SDKs also read the names of the standard that it grew into.
    let [id, time, signatures] = if call.headers.contains_key("svix-id") || !call.headers.contains_key("webhook-id") {
        ["svix-id", "svix-timestamp", "svix-signature"]
    } else {
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
    };
    let (id, time) = (header(call, id)?, signed_time(Scheme::Svix, call, time, now)?);
    let make = |key: &hmac::Key| {
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", call.body];
        format!("v1,{}", STANDARD.encode(tag(key, &parts)))
    };
    let mut brought = header(call, signatures)?.split(' ').take(16);
    if brought.any(|signature| one_of(keys, make, signature).is_ok()) { Ok(()) } else { Err(Refused::Mismatch) }
}

fn sendgrid(keys: &[Key], call: &Call<'_>, now: Timestamp) -> Result<(), Refused> {
    const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
    let brought = header(call, SIGNATURE)?;
    let time = signed_time(Scheme::SendGrid, call, "x-twilio-email-event-webhook-timestamp", now)?;
    let brought = STANDARD.decode(brought).map_err(|_| Refused::Mismatch)?;
    let signed = [time.as_bytes(), call.body].concat();
    let fits = keys.iter().any(|key| match &key.0 {
        Secret::Public(point) => signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
            .verify(&signed, &brought)
            .is_ok(),
        Secret::Hmac(_) | Secret::Shared(..) => false,
    });
    if fits { Ok(()) } else { Err(Refused::Mismatch) }
}

fn twilio(keys: &[Key], call: &Call<'_>) -> Result<(), Refused> {
    const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
    let brought = header(call, "x-twilio-signature")?;
    let fields = twilio_fields(call)?;
    // Without settings the account's token signed, with them a shared key; neither stands in for the other.
    let shared = if call.headers.contains_key(SETTINGS) {
        let settings = header(call, SETTINGS)?;
        let named = settings.split(',').find_map(|part| part.trim().strip_prefix("algorithm="));
        match named {
            Some("HMAC_SHA1") => Some(Algorithm::Sha1),
            Some("HMAC_SHA256") => Some(Algorithm::Sha256),
            other => return Err(Refused::Kind(other.unwrap_or("no algorithm").chars().take(40).collect())),
        }
    } else {
        None
    };
    let usable = keys.iter().filter_map(|key| match (&key.0, shared) {
        (Secret::Hmac(key), None) => Some(key),
        (Secret::Shared(key, own), Some(named)) if *own == named => Some(key),
        _ => None,
    });
    let addresses = addresses(call.url);
    let mut any = false;
    for key in usable {
        any = true;
        for address in &addresses {
            let made = STANDARD.encode(tag(key, &[address.as_bytes(), &fields]));
            if bool::from(made.as_bytes().ct_eq(brought.as_bytes())) {
                return Ok(());
            }
        }
    }
    if any { Err(Refused::Mismatch) } else { Err(Refused::Kind("no key for it".to_owned())) }
}

/// What follows the address in what Twilio signs: the form's fields, sorted, each value once.
fn twilio_fields(call: &Call<'_>) -> Result<Vec<u8>, Refused> {
    let kind = call.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") && !call.get {
        let mut fields = form::decode(call.body);
        fields.sort();
        fields.dedup();
        return Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect());
    }
    // Any other body is signed by its hash in the address, and otherwise not at all.
    let query = call.url.split_once('?').map_or("", |(_, query)| query);
    let fields = form::decode(query.as_bytes());
    match fields.iter().find(|(name, _)| name == b"bodySHA256") {
        Some((_, hash)) => {
            let own = hex::encode(digest::digest(&digest::SHA256, call.body));
            if bool::from(own.as_bytes().ct_eq(hash)) { Ok(Vec::new()) } else { Err(Refused::Body) }
        }
        None if call.body.is_empty() => Ok(Vec::new()),
        None => Err(Refused::Body),
    }
}

/// The ways in which Twilio may have written an address: as it is, without its port, with its usual one.
fn addresses(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return all };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = authority.split_at(host_at);
    let port = host.rfind(':').filter(|_| !host.ends_with(']'));
    all.push(match port {
        Some(at) => format!("{scheme}://{user}{}{tail}", host.get(..at).unwrap_or(host)),
        None => format!("{scheme}://{authority}:{}{tail}", if scheme == "https" { 443 } else { 80 }),
    });
    all
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
