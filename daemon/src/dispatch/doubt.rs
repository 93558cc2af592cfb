//! What comes next for an attempt whose outcome is in doubt. Pure: the order of settlement, and its times.
//!
//! The same bytes under the same key, while the provider keeps it; then a look-up, where the provider has one; its report, waited
//! for meanwhile; then what the organisation has decided for this class of message, which is to leave it, unless it says
//! otherwise. By none of these does a message go to another provider while it may have been taken.

use std::time::Duration;

use usher_common::model::Channel;

/// Keys are trusted for this much less than the provider says.
const MARGIN: Duration = Duration::from_mins(30);
/// How long a provider's report is waited for: of e-mail, and of everything else.
const REPORT_EMAIL: Duration = Duration::from_mins(10);
const REPORT_OTHER: Duration = Duration::from_mins(2);
/// A look-up is made this long after the attempt at the earliest: lists lag behind.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// How long a report is waited for.
pub(super) fn patience(channel: Channel) -> Duration {
    if channel == Channel::Email { REPORT_EMAIL } else { REPORT_OTHER }
}

/// For how long a key is trusted that a provider keeps for `kept`.
pub(super) fn trusted(kept: Duration) -> Duration {
    kept.saturating_sub(MARGIN)
}

/// And until this long after it.
const LOOK_UNTIL: Duration = Duration::from_hours(24);

/// What is known of the doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Since the attempt began.
    pub(super) age: Duration,
    /// How the message travels.
    pub(super) channel: Channel,
    /// For how long its provider keeps keys, if at all.
    pub(super) keys: Option<Duration>,
    /// Whether its provider can be asked what it has.
    pub(super) lookup: bool,
    /// From which age on absence from a complete list proves that it was not taken.
    pub(super) absent_after: Duration,
    /// Whether the organisation wants such messages sent again, and this one was not before.
    pub(super) resend: bool,
}

/// What to do about it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask again under the key.
    Repeat,
    /// Look for it at the provider. Whether absence proves anything yet.
    LookUp {
        /// It does, if the list is complete.
        proves: bool,
    },
    /// Wait for the provider's report.
    Wait,
    /// Send it again by the same provider.
    Resend,
    /// Leave it to an operator.
    Leave,
}

impl Step {
    /// In a few words, for whoever looks at what is in doubt.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Repeat => "asked again under its key",
            Self::LookUp { .. } => "looked for at the provider",
            Self::Wait => "its report is waited for",
            Self::Resend => "sent again by the organisation's rule",
            Self::Leave => "left to you",
        }
    }
}

/// The next step.
pub(super) fn step(doubt: &Doubt) -> Step {
    if doubt.keys.is_some_and(|kept| doubt.age < trusted(kept)) {
        return Step::Repeat;
    }
    // A rule does not wait for a list that cannot be had; whoever has none looks on for a day.
    let by_rule = doubt.resend && doubt.age >= doubt.absent_after.saturating_mul(3);
    if doubt.lookup && !by_rule && doubt.age >= LOOK_AFTER.min(doubt.absent_after) && doubt.age < LOOK_UNTIL {
        return Step::LookUp { proves: doubt.age >= doubt.absent_after };
    }
    if doubt.age < patience(doubt.channel) {
        return Step::Wait;
    }
    if doubt.resend { Step::Resend } else { Step::Leave }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    fn doubt(channel: Channel) -> Doubt {
        let absent_after = 10 * MINUTE;
        Doubt { age: SECOND, channel, keys: None, lookup: false, absent_after, resend: false }
    }

    #[test]
    fn the_order_is_key_then_list_then_report_then_rule() {
        let keyed = Doubt { keys: Some(24 * HOUR), ..doubt(Channel::Email) };
        let listed = Doubt { lookup: true, ..doubt(Channel::Sms) };
        let plain = doubt(Channel::WhatsApp);
        let ruled = |doubt: Doubt| Doubt { resend: true, ..doubt };
        let cases = [
            (keyed, SECOND, Step::Repeat),
            (keyed, 23 * HOUR, Step::Repeat),
            (keyed, 24 * HOUR, Step::Leave),
            (ruled(keyed), 23 * HOUR, Step::Repeat),
            (ruled(keyed), 24 * HOUR, Step::Resend),
            (listed, SECOND, Step::Wait),
            (listed, 30 * SECOND, Step::LookUp { proves: false }),
            (listed, 10 * MINUTE, Step::LookUp { proves: true }),
            (listed, 30 * MINUTE, Step::LookUp { proves: true }),
            (listed, 24 * HOUR, Step::Leave),
            (ruled(listed), 29 * MINUTE, Step::LookUp { proves: true }),
            (ruled(listed), 30 * MINUTE, Step::Resend),
            (plain, 119 * SECOND, Step::Wait),
            (plain, 2 * MINUTE, Step::Leave),
            (ruled(plain), 119 * SECOND, Step::Wait),
            (ruled(plain), 2 * MINUTE, Step::Resend),
            (doubt(Channel::Email), 9 * MINUTE, Step::Wait),
            (ruled(doubt(Channel::Email)), 10 * MINUTE, Step::Resend),
        ];
        for (doubt, age, expected) in cases {
            assert_eq!(step(&Doubt { age, ..doubt }), expected, "{doubt:?} after {age:?}");
        }
    }
}
