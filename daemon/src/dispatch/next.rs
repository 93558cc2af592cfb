//! What follows from an answer: the class decides, and nothing else. Pure.

use std::time::Duration;

use usher_common::model::{OutcomeClass, Timestamp};

use crate::providers::{Answer, Scope};
use crate::store::Next;

/// Greylisting and full mailboxes are tried again after this long at the earliest.
const RECIPIENT_WAIT: Duration = Duration::from_mins(1);

/// What is known when an answer is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    /// Wall time.
    pub(super) now: Timestamp,
    /// When the message's time runs out.
    pub(super) expires: Option<Timestamp>,
    /// How long to wait before the next attempt, jitter included.
    pub(super) backoff: Duration,
    /// Whether another provider of the channel could take it that it has not been through.
    pub(super) elsewhere: bool,
    /// Whether another provider of the channel may carry it at all, now or later.
    pub(super) alternative: bool,
    /// Whether the answer was given to a whole batch, so that a refusal may be another message's fault.
    pub(super) in_batch: bool,
}

/// What becomes of a message after `answer`. Never personal: the provider's own words stay out of it.
pub(super) fn next(answer: &Answer, at: &Situation) -> Next {
    let code = if answer.code.is_empty() { answer.class.as_str() } else { &answer.code };
    match answer.class {
        OutcomeClass::Accepted => Next::Accepted,
        OutcomeClass::Recipient => Next::Failed { why: format!("the recipient was refused ({code})") },
        // It goes again by itself; then the answer is its own.
        OutcomeClass::Refused if at.in_batch => again(at, Duration::ZERO, String::new()),
        OutcomeClass::Refused => Next::Failed { why: format!("the message was refused ({code})") },
        OutcomeClass::Unknown => Next::Unknown { why: format!("the answer did not come ({code})") },
        OutcomeClass::Throttled if answer.scope == Some(Scope::Recipient) => {
            let wait = answer.retry_after.unwrap_or(RECIPIENT_WAIT).max(at.backoff);
            again(at, wait, format!("the recipient's server asked to come later ({code})"))
        }
        // The pace was slowed by whoever counts; the message itself has lost nothing but its turn.
        OutcomeClass::Throttled => again(at, Duration::ZERO, String::new()),
        // Proved not sent: another provider may take it at once, the same one after a while.
        OutcomeClass::NotSent if at.elsewhere => again(at, Duration::ZERO, String::new()),
        OutcomeClass::NotSent => again(at, at.backoff, format!("not sent ({code}); tried again")),
        OutcomeClass::Unusable => match answer.scope {
            Some(Scope::Region | Scope::Recipient) if !at.alternative => {
                Next::Failed { why: format!("the provider does not serve this destination ({code})") }
            }
            _ => again(at, Duration::ZERO, String::new()),
        },
    }
}

fn again(at: &Situation, wait: Duration, why: String) -> Next {
    let due = at.now.plus_millis(wait.as_millis() as i64);
    if at.expires.is_some_and(|expires| due >= expires) {
        return Next::Expired;
    }
    if wait.is_zero() { Next::Queue } else { Next::Retry { at: due, why } }
}

/// Whether an answer means that this provider must not be asked again for the message.
pub(super) fn bars(answer: &Answer) -> bool {
    answer.class == OutcomeClass::Unusable && matches!(answer.scope, Some(Scope::Region | Scope::Recipient))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(class: OutcomeClass, scope: Option<Scope>) -> Answer {
        Answer { class, scope, code: "x".into(), detail: String::new(), provider_id: String::new(), retry_after: None }
    }

    fn situation() -> Situation {
        Situation {
            now: Timestamp(1_000_000),
            expires: Some(Timestamp(2_000_000)),
            backoff: Duration::from_secs(3),
            elsewhere: false,
            alternative: false,
            in_batch: false,
        }
    }

    #[test]
    fn each_class_leads_where_the_design_says() {
        use OutcomeClass as C;
        let at = situation();
        assert_eq!(next(&answer(C::Accepted, None), &at), Next::Accepted);
        assert!(matches!(next(&answer(C::Recipient, None), &at), Next::Failed { .. }));
        assert!(matches!(next(&answer(C::Refused, None), &at), Next::Failed { .. }));
        assert!(matches!(next(&answer(C::Unknown, None), &at), Next::Unknown { .. }));
        assert_eq!(next(&answer(C::Throttled, Some(Scope::Account)), &at), Next::Queue);
        assert!(matches!(next(&answer(C::NotSent, None), &at), Next::Retry { at: Timestamp(1_003_000), .. }));
        assert_eq!(next(&answer(C::Unusable, Some(Scope::Account)), &at), Next::Queue);
        assert!(matches!(next(&answer(C::Unusable, Some(Scope::Region)), &at), Next::Failed { .. }));
        let elsewhere = Situation { elsewhere: true, alternative: true, ..at };
        assert_eq!(next(&answer(C::Unusable, Some(Scope::Region)), &elsewhere), Next::Queue);
        // The other one is down now: the message waits for it, since this one will never carry it.
        let later = Situation { alternative: true, ..at };
        assert_eq!(next(&answer(C::Unusable, Some(Scope::Recipient)), &later), Next::Queue);
        assert_eq!(next(&answer(C::NotSent, None), &elsewhere), Next::Queue);
    }

    #[test]
    fn a_message_in_doubt_is_never_tried_again_whatever_the_situation() {
        for elsewhere in [false, true] {
            for expires in [None, Some(Timestamp(0))] {
                let at = Situation { expires, elsewhere, ..situation() };
                assert!(matches!(next(&answer(OutcomeClass::Unknown, None), &at), Next::Unknown { .. }));
            }
        }
    }

    #[test]
    fn a_refused_batch_is_split_and_a_refused_message_is_not_sent_again() {
        let refused = answer(OutcomeClass::Refused, None);
        assert_eq!(next(&refused, &Situation { in_batch: true, ..situation() }), Next::Queue);
        assert!(matches!(next(&refused, &situation()), Next::Failed { .. }));
    }

    #[test]
    fn nothing_is_tried_after_its_time() {
        let late = Situation { expires: Some(Timestamp(1_002_000)), ..situation() };
        assert_eq!(next(&answer(OutcomeClass::NotSent, None), &late), Next::Expired);
    }

    #[test]
    fn a_greylisted_recipient_waits_a_minute_at_least() {
        let at = Situation { expires: None, ..situation() };
        let next = next(&answer(OutcomeClass::Throttled, Some(Scope::Recipient)), &at);
        assert!(matches!(next, Next::Retry { at: Timestamp(1_060_000), .. }));
    }
}
