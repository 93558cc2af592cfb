//! What a submission server looks at in a message, and how it enters the record.
//! Promises: pure judgement; one entry for each accepted recipient, appended together.

use super::session::{Envelope, Reply};
use crate::provider::Provider;
use crate::record::{Arrival, Record};
use crate::resend::first_64_bits;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::time::Instant;

/// The header fields that are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) message: String,
    pub(super) message_id: String,
}

/// Whether the message keeps to what its envelope announced; if so, its header.
pub(super) fn judge(text: &[u8], envelope: &Envelope) -> Result<Header, Reply> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(text.len(), |at| at + 2);
    let (head, body) = text.split_at(end);
    if !envelope.utf8 && !head.is_ascii() {
        return Err(Reply::new(554, "5.6.7", "Non-ASCII header without SMTPUTF8"));
    }
    if !envelope.eight_bit && !body.is_ascii() {
        return Err(Reply::new(554, "5.6.1", "8-bit body without BODY=8BITMIME"));
    }
    let head = String::from_utf8_lossy(head);
    let field = |name: &str| {
        let mut unfolded: Option<String> = None;
        for line in head.split("\r\n") {
            match &mut unfolded {
                Some(value) if line.starts_with([' ', '\t']) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                Some(_) => break,
                None => {
                    let found = line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name));
                    unfolded = found.map(|(_, value)| value.trim().to_owned());
                }
            }
        }
        unfolded.map(|value| value.trim().to_owned())
    };
    if field("From").is_none() {
        return Err(Reply::new(554, "5.6.0", "Message has no From header"));
    }
    Ok(Header {
        message: field("X-Usher-Message").unwrap_or_default(),
        message_id: field("Message-ID").unwrap_or_default(),
    })
}

/// Takes responsibility for a message: one entry for each recipient. Returns the first one's sequence.
pub(super) fn accept(record: &Record, envelope: &Envelope, header: &Header, text: Vec<u8>, now: Instant) -> u64 {
    let body_hash = first_64_bits(Sha256::new_with_prefix(&text));
    let body = Bytes::from(text);
    let mut arrivals: Vec<Arrival<'_>> = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        arrivals.push(Arrival {
            provider: Provider::Smtp,
            message: &header.message,
            recipient,
            idempotency_key: "",
            message_id: &header.message_id,
            body_hash,
            joined: !arrivals.is_empty(),
        });
    }
    record.append(&arrivals, &body, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(eight_bit: bool, utf8: bool) -> Envelope {
        Envelope { eight_bit, utf8, ..Envelope::default() }
    }

    #[test]
    fn reads_its_fields_folded_or_not() {
        let text = b"From: a@b.c\r\nmessage-id:\r\n <1@b.c>\r\nX-Usher-Message: 01JD\r\n\r\nX-Usher-Message: no\r\n";
        let header = judge(text, &envelope(false, false)).unwrap();
        assert_eq!(header, Header { message: "01JD".into(), message_id: "<1@b.c>".into() });
    }

    #[test]
    fn eight_bits_must_be_announced() {
        let body = "From: a@b.c\r\n\r\nü\r\n".as_bytes();
        assert_eq!(judge(body, &envelope(false, false)).unwrap_err().code, 554);
        assert!(judge(body, &envelope(true, false)).is_ok());
        let head = "From: ü@b.c\r\n\r\n\r\n".as_bytes();
        assert_eq!(judge(head, &envelope(true, false)).unwrap_err().code, 554);
        assert!(judge(head, &envelope(true, true)).is_ok());
        assert_eq!(judge(b"To: a@b.c\r\n\r\n", &envelope(true, true)).unwrap_err().code, 554);
    }
}
