//! Replies in the words of servers that are in use, beyond what the table of answers has.

use super::*;

fn said(stage: Stage, code: u16, text: &str) -> Answer {
    classify(stage, &Said { code, text: text.to_owned() })
}

#[test]
fn greylisting_is_the_recipients_wherever_in_the_dialogue_it_comes() {
    for (stage, code, text) in [
        (Stage::Rcpt, 450, "4.2.0 <zoe@guest.example>: Recipient address rejected: Greylisted"),
        (Stage::Rcpt, 451, "4.7.1 Please try again later"),
        (Stage::Mail, 451, "4.7.1 Greylisting in action, please come back later"),
        (Stage::Data, 451, "4.7.0 Graylisted"),
        (Stage::Dot, 451, "4.7.1 Try again later"),
        (Stage::Dot, 451, "Temporary greylisted, please resend"),
    ] {
        let answer = said(stage, code, text);
        let wait = Some(GREYLIST_WAIT);
        assert_eq!(
            (answer.class, answer.scope, answer.retry_after),
            (Throttled, Some(Scope::Recipient), wait),
            "{text}"
        );
    }
    // About us, and not about this guest.
    assert_eq!(said(Stage::Mail, 450, "4.7.1 Client host rejected").class, NotSent);
    assert_eq!(said(Stage::Dot, 451, "4.7.1 rate limit, slow down").scope, Some(Scope::Account));
}

#[test]
fn a_server_that_names_its_wait_is_waited_for_so_long() {
    for (text, seconds) in [
        ("4.7.1 <a7@b.example>: Recipient address rejected: Greylisted for 300 seconds (see http://g.example/7)", 300),
        ("4.7.1 Greylisted, try again in 5 minutes.", 300),
        ("4.7.1 Greylisting in action, please come back in 00:02:30", 150),
        ("4.7.1 come back\nin 1 Hour", 3_600),
        ("4.7.1 Greylisted for 0 seconds", 1),
        ("4.7.1 Greylisted for 99999 hours", 24 * 3_600),
        ("4.7.1 Greylisted until 2026-11-22 12:34:56", 300),
        ("4.7.1 Greylisted for 99999999999 seconds", 300),
        ("4.7.1 2001:db8::1 in a:b:c for ::", 300),
    ] {
        let answer = said(Stage::Rcpt, 450, text);
        assert_eq!(answer.retry_after, Some(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!(said(Stage::Dot, 451, "4.3.0 queue full, again in 5 minutes").retry_after, None, "no wait of a guest's");
}

#[test]
fn a_message_over_the_limit_is_named_so_beside_the_servers_own_code() {
    for (stage, code, text, named) in [
        (Stage::Mail, 552, "5.3.4 Message size exceeds fixed limit", "552 5.3.4 too_large"),
        (Stage::Mail, 552, "Message size exceeds fixed maximum message size", "552 too_large"),
        (Stage::Rcpt, 552, "5.2.3 too long for this mailbox", "552 5.2.3 too_large"),
        (Stage::Dot, 552, "5.3.4 Error: message file too big", "552 5.3.4 too_large"),
        (Stage::Dot, 552, "Exceeded storage allocation", "552"),
        (Stage::Dot, 554, "5.7.1 spam", "554 5.7.1"),
    ] {
        let answer = said(stage, code, text);
        assert_eq!((answer.class, answer.code.as_str()), (Refused, named), "{text}");
    }
}
