//! Writing an e-mail: addresses, MIME, and the transaction that carries it.
//!
//! Promises the same bytes for the same message: the boundary comes from the message's id, date and Message-ID from the
//! message itself. What a line break in a name or header could smuggle in is refused here.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use super::super::{Outgoing, PrepareError, clean, correlation};

/// Longest line that may travel, without its end (RFC 5321 §4.5.3.1.6).
const LINE_MAX: usize = 998;

/// One message in SMTP's own words: what is said is `MAIL`, `RCPT`, `DATA` and the text after them, and so are the
/// bytes. What a server's offers add to `MAIL` (size, encoding) is no part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transaction<'a> {
    /// The envelope's sender.
    pub(crate) from: &'a str,
    /// The envelope's recipient.
    pub(crate) to: &'a str,
    /// The message, its lines ended by CRLF, the last one not.
    pub(crate) content: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// The bytes for `message` from `from`, whose name is `from_name`.
    pub(crate) fn write(message: &Outgoing, from: &str, from_name: &str) -> Result<Bytes, PrepareError> {
        let id = message.message;
        let sender = mailbox(from, from_name).map_err(|why| PrepareError::Sender { message: id, why })?;
        let recipient =
            mailbox(&message.to, &message.to_name).map_err(|why| PrepareError::Recipient { message: id, why })?;
        let head = format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", sender.email, recipient.email);
        let content = mime(message, sender, recipient)?;
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(content.strip_suffix(b"\r\n").unwrap_or(&content));
        Ok(Bytes::from(bytes))
    }

    /// Reads back what [`Self::write`] wrote; `None` for anything else.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mail, rest) = cut(bytes)?;
        let (rcpt, rest) = cut(rest)?;
        let (data, content) = cut(rest)?;
        let from = mail.strip_prefix("MAIL FROM:<")?.strip_suffix('>')?;
        let to = rcpt.strip_prefix("RCPT TO:<")?.strip_suffix('>')?;
        (data == "DATA").then_some(Self { from, to, content })
    }

    /// Whether only a server that offers SMTPUTF8 may be asked.
    pub(crate) fn needs_utf8(&self) -> bool {
        !self.from.is_ascii() || !self.to.is_ascii()
    }

    /// What the message counts for a server's limit (RFC 1870 §5): its line ends are counted, the dots that are put before
    /// others on the way, and the last one, are not.
    pub(crate) fn size(&self) -> u64 {
        self.content.len() as u64 + 2
    }

    /// The content as it travels: a dot more before each line that begins with one.
    pub(crate) fn stuffed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.content.len() + 64);
        for (n, line) in self.content.split(|&byte| byte == b'\n').enumerate() {
            if n > 0 {
                out.push(b'\n');
            }
            if line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out
    }

    /// The Message-ID, which is all that a server's yes can be found by; empty where there is none.
    pub(crate) fn message_id(&self) -> &'a str {
        let text = std::str::from_utf8(self.content).unwrap_or_default();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n").find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or_default()
    }
}

fn cut(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

/// `name <address>`, with the domain in its ASCII form and the name cleaned of control characters.
pub(crate) fn mailbox(address: &str, name: &str) -> Result<Mailbox, String> {
    let address = plain_line(address.trim())?;
    let (local, domain) = address.rsplit_once('@').ok_or("it has no @")?;
    let domain = idna::domain_to_ascii(domain).map_err(|_| "its domain is no name")?;
    let email = Address::new(local, domain).map_err(|error| error.to_string())?;
    let name = clean(name);
    Ok(Mailbox::new((!name.is_empty()).then_some(name), email))
}

/// `text`, if it has no control characters: in a header or command, a line break begins the next one.
pub(crate) fn plain_line(text: &str) -> Result<&str, String> {
    if text.chars().any(char::is_control) {
        return Err("it holds a line break or another control character".to_owned());
    }
    Ok(text)
}

fn mime(message: &Outgoing, sender: Mailbox, recipient: Mailbox) -> Result<Vec<u8>, PrepareError> {
    let content = |why: String| PrepareError::Content { message: message.message, why };
    let made = Duration::from_millis(u64::try_from(message.date.0).unwrap_or_default());
    let mut builder = Message::builder()
        .message_id(Some(plain_line(&message.rfc_message_id).map_err(content)?.to_owned()))
        .date(SystemTime::UNIX_EPOCH + made)
        .from(sender)
        .to(recipient)
        .subject(plain_line(&message.subject).map_err(content)?)
        .raw_header(header("X-Usher-Message", &correlation(message)).map_err(content)?);
    if let Some(address) = &message.reply_to {
        let reply_to = mailbox(address, "").map_err(|why| PrepareError::Sender { message: message.message, why })?;
        builder = builder.reply_to(reply_to);
    }
    for (name, value) in &message.headers {
        builder = builder.raw_header(header(name, value).map_err(content)?);
    }
    let text = SinglePart::plain(crlf(&message.text));
    let built = if message.html.is_empty() {
        builder.singlepart(text)
    } else {
        let both = MultiPart::alternative().boundary(boundary(message)).singlepart(text);
        builder.multipart(both.singlepart(SinglePart::html(crlf(&message.html))))
    };
    let bytes = built.map_err(|error| content(error.to_string()))?.formatted();
    check_lines(&bytes).map_err(content)?;
    Ok(bytes)
}

/// `text` with every kind of line break made CRLF.
fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    let fault = || format!("`{}` is no header name", clean(name));
    // lettre takes any ASCII for a name, line breaks too; RFC 5322 §2.2 allows what can be seen, without colons.
    if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Err(fault());
    }
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| fault())?;
    Ok(HeaderValue::new(name, plain_line(value)?.to_owned()))
}

/// A line that no part holds: it is made of the texts themselves.
fn boundary(message: &Outgoing) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&message.rfc_message_id, &message.text, &message.html] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("usher-{}", &hasher.finalize().to_hex()[..40])
}

/// A bare CR or LF is read differently by different servers, which is how messages are smuggled (CVE-2023-51764).
fn check_lines(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        if !rest[end..].starts_with(b"\r\n") {
            return Err("it holds a line break that is not CRLF".to_owned());
        }
        if end > LINE_MAX {
            return Err(format!("it holds a line of {end} bytes, and {LINE_MAX} may travel"));
        }
        rest = &rest[end + 2..];
    }
    if rest.len() > LINE_MAX { Err(format!("its last line has {} bytes", rest.len())) } else { Ok(()) }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
