//! Senders that a provider refuses: an organisation's address or number that it has not verified, or has taken away. Whose
//! sender is refused goes by others or waits; everybody else's messages go on. Pure: time and luck are handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Dice;
use super::breaker::Settings;

/// Those that a provider refuses, by organisation.
#[derive(Debug, Default)]
pub(super) struct Senders {
    refused: BTreeMap<u64, Refused>,
}

#[derive(Debug)]
struct Refused {
    until: Duration,
    /// How often in a row, with a wait between.
    times: u32,
}

impl Senders {
    /// A provider refused the sender of an organisation; whether that is news. It waits as long as behind an open breaker: what
    /// was under way meanwhile adds nothing.
    pub(super) fn on_refused(
        &mut self,
        organisation: u64,
        now: Duration,
        settings: &Settings,
        dice: &mut Dice,
    ) -> bool {
        let refused = self.refused.entry(organisation).or_insert(Refused { until: Duration::ZERO, times: 0 });
        if now < refused.until {
            return false;
        }
        refused.times = refused.times.saturating_add(1);
        let wait = settings.open_for.saturating_mul(refused.times).min(settings.open_at_most);
        refused.until = now + wait.mul_f64(1.0 + settings.jitter * (2.0 * dice.unit() - 1.0));
        refused.times == 1
    }

    /// It took a message from it.
    pub(super) fn on_accepted(&mut self, organisation: u64) {
        self.refused.remove(&organisation);
    }

    /// Until when nothing is sent in its name; `None` when it may.
    pub(super) fn until(&self, organisation: u64, now: Duration) -> Option<Duration> {
        self.refused.get(&organisation).map(|refused| refused.until).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_organisation_waits_longer_each_time_and_the_others_do_not() {
        let (mut senders, mut dice) = (Senders::default(), Dice::seeded(3));
        let settings = Settings { jitter: 0.0, ..Settings::default() };
        let at = Duration::from_secs;
        let mut refuse = |senders: &mut Senders, now| senders.on_refused(7, at(now), &settings, &mut dice);
        assert!(refuse(&mut senders, 100));
        assert!(!refuse(&mut senders, 101), "it was under way already");
        assert_eq!((senders.until(7, at(114)), senders.until(7, at(115))), (Some(at(115)), None));
        assert_eq!(senders.until(8, at(101)), None, "another's sender is not to blame");
        assert!(!refuse(&mut senders, 120), "told once");
        assert_eq!(senders.until(7, at(121)), Some(at(150)));
        for _ in 0..60 {
            refuse(&mut senders, 100_000);
        }
        assert_eq!(senders.until(7, at(100_001)), Some(at(100_045)), "what is under way adds nothing");
        senders.on_accepted(7);
        assert_eq!(senders.until(7, at(100_001)), None);
        assert!(refuse(&mut senders, 100_002), "and it is news again");
    }
}
