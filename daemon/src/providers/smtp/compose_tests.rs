//! Composing: the same bytes each time, and nothing smuggled.

use usher_common::model::OutcomeClass;

use super::*;
use crate::providers::table::message;

fn written(message: &Outgoing) -> Result<String, PrepareError> {
    let bytes = Transaction::write(message, "anna@wedding.example", "Anna & Ben")?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn the_same_message_is_the_same_bytes_and_reads_back() {
    let message = message("zoe@guest.example");
    let text = written(&message).unwrap();
    assert_eq!(text, written(&message).unwrap());
    let read = Transaction::read(text.as_bytes()).unwrap();
    assert_eq!((read.from, read.to), ("anna@wedding.example", "zoe@guest.example"));
    assert_eq!(read.message_id(), "<m4711.k1@wedding.example>");
    for line in [
        "X-Usher-Message: m4711",
        "Date: Sun, 22 Nov 2026 10:00:00 +0000",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Reply-To: couple@wedding.example",
        "MIME-Version: 1.0",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    assert!(text.contains(&message.headers[0].1), "a link is never broken: {text}");
    assert!(text.is_ascii() && !text.ends_with("\r\n"));
    let mut other = message;
    other.text.push('!');
    assert_ne!(text, written(&other).unwrap());
}

#[test]
fn a_text_without_html_is_a_single_part() {
    let text = written(&Outgoing { html: String::new(), ..message("zoe@guest.example") }).unwrap();
    assert!(text.contains("text/plain") && !text.contains("multipart"));
}

#[test]
fn nothing_is_smuggled_into_commands_or_headers() {
    let base = message("zoe@guest.example");
    let changed = |change: &dyn Fn(&mut Outgoing)| {
        let mut message = base.clone();
        change(&mut message);
        written(&message)
    };
    for to in ["zoe@guest.example>\r\nRCPT TO:<eve@guest.example", "zoe", "@", "zoe@", "a b@guest.example", ""] {
        let refused = changed(&|message| message.to = to.to_owned()).unwrap_err();
        assert_eq!(refused.class(), OutcomeClass::Recipient, "{to:?}");
    }
    assert!(changed(&|message| message.subject = "a\r\nBcc: eve@guest.example".to_owned()).is_err());
    assert!(changed(&|message| message.rfc_message_id = "<a>\r\nX: y".to_owned()).is_err());
    assert!(changed(&|message| message.headers = vec![("X\r\nY".to_owned(), "z".to_owned())]).is_err());
    let named = changed(&|message| message.to_name = "Eve\r\nBcc: eve@guest.example".to_owned()).unwrap();
    assert!(!named.contains("\r\nBcc:"), "{named}");
    for text in ["a\nb", "a\rb", "a\r\nb", "a\r\n.\r\nMAIL FROM:<x@y.example>"] {
        let sent = changed(&|message| message.text = text.to_owned()).unwrap();
        assert!(!sent.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    }
}

#[test]
fn a_foreign_domain_needs_no_utf8_and_a_foreign_name_does() {
    let text = written(&message("zoe@bücher.example")).unwrap();
    assert!(text.contains("RCPT TO:<zoe@xn--bcher-kva.example>"));
    let text = written(&message("zoë@bücher.example")).unwrap();
    assert!(Transaction::read(text.as_bytes()).unwrap().needs_utf8());
}

#[test]
fn dots_are_doubled_at_the_beginning_of_lines_only() {
    let transaction = Transaction { from: "", to: "", content: b".a\r\n..\r\nb.c\r\n." };
    assert_eq!(transaction.stuffed(), b"..a\r\n...\r\nb.c\r\n..");
}
