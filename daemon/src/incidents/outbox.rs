//! The outbox: which notice goes to which channel when, until one of them has it. Decisions only; the time is handed in.
//!
//! Whatever wakes somebody goes to all channels of its route at once; everything else to the first, and to the next when two tries have
//! failed or five seconds have passed. Each channel is tried again with growing pauses for a day. Where none has taken a notice within a
//! minute, the last resort is due, and once at once where the store cannot keep it. A channel that took a notice is never tried
//! again with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use usher_common::model::Timestamp;

use super::engine::millis;
use super::notice::Notice;

/// The second try comes after this, and so does the next channel.
const SECOND: Duration = Duration::from_secs(5);
/// Tries after which the next channel's turn has come.
const TRIES: u32 = 2;
/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_mins(1);
/// It is tried for so long.
const GIVEN_UP: Duration = Duration::from_hours(24);
/// Nobody has it after this: the last resort.
const LAST_RESORT: Duration = Duration::from_mins(1);
/// Whoever has sent a request and heard nothing for so long tries again.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// What is told.
    pub notice: Notice,
    /// Whether all channels get it at once.
    pub to_all: bool,
    /// The channels of its route, in order.
    pub ways: Vec<Way>,
    /// When the last resort was used.
    pub last_resort: Option<Timestamp>,
}

/// A notice's way by one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The channel.
    pub channel: String,
    /// Tries that came to their end.
    pub tries: u32,
    /// When it was tried last.
    pub tried: Option<Timestamp>,
    /// When the channel took it.
    pub taken: Option<Timestamp>,
    /// What the channel said last.
    pub said: String,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Try this way, by its place.
    Try(usize),
    /// Use the last resort.
    LastResort,
}

impl Letter {
    /// A notice for these channels.
    pub fn new(notice: Notice, channels: &[String]) -> Self {
        let to_all = notice.priority.pages();
        let way = |channel: &String| Way {
            channel: channel.clone(),
            tries: 0,
            tried: None,
            taken: None,
            said: String::new(),
        };
        Self { notice, to_all, ways: channels.iter().map(way).collect(), last_resort: None }
    }

    /// Whether anybody has it.
    pub fn is_taken(&self) -> bool {
        self.ways.iter().any(|way| way.taken.is_some())
    }

    /// Whether nothing more is done with it.
    pub fn is_done(&self, now: Timestamp) -> bool {
        let everywhere = self.ways.iter().all(|way| way.taken.is_some());
        let enough = if self.to_all { everywhere } else { self.is_taken() };
        let nowhere = self.ways.is_empty() && self.last_resort.is_some();
        enough && !self.ways.is_empty() || nowhere || now.millis_since(self.notice.at) >= millis(GIVEN_UP)
    }

    /// What is to be done now; a way that is being tried is left out by whoever asks.
    pub fn due(&self, now: Timestamp) -> Vec<Due> {
        if self.is_done(now) {
            return Vec::new();
        }
        let age = now.millis_since(self.notice.at);
        let mut due = Vec::new();
        for (place, way) in self.ways.iter().enumerate() {
            if way.taken.is_none()
                && self.turn_of(place, age)
                && way.waits_until(&self.notice.key).is_none_or(|at| now >= at)
            {
                due.push(Due::Try(place));
            }
        }
        let late = age >= millis(LAST_RESORT) || self.ways.is_empty();
        if late && !self.is_taken() && self.last_resort.is_none() {
            due.push(Due::LastResort);
        }
        due
    }

    /// Whether a way's turn has come.
    fn turn_of(&self, place: usize, age: i64) -> bool {
        if self.to_all || place == 0 {
            return true;
        }
        let failed = |way: &Way| way.taken.is_none() && way.tries >= TRIES;
        self.ways[..place].iter().all(failed) || age >= millis(SECOND) * i64::try_from(place).unwrap_or(i64::MAX)
    }

    /// When something is due at the latest, so that whoever waits need not look oftener.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_done(now) {
            return None;
        }
        let at = self.notice.at;
        let ways = self.ways.iter().enumerate().filter(|(_, way)| way.taken.is_none()).map(|(place, way)| {
            let turn =
                if self.to_all { at } else { at.plus_millis(millis(SECOND) * i64::try_from(place).unwrap_or(0)) };
            way.waits_until(&self.notice.key).map_or(turn, |until| until.max(turn))
        });
        let resort = (self.last_resort.is_none() && !self.is_taken()).then(|| at.plus_millis(millis(LAST_RESORT)));
        ways.chain(resort).min()
    }

    /// Notes what came of a try.
    pub fn came(&mut self, place: usize, now: Timestamp, taken: bool, said: String) {
        if let Some(way) = self.ways.get_mut(place) {
            (way.tries, way.tried, way.said) = (way.tries + 1, Some(now), said);
            if taken {
                way.taken = Some(now);
            }
        }
    }
}

impl Way {
    /// When it is tried again; `None` before the first try. The pause grows, and differs from notice to notice.
    fn waits_until(&self, key: &str) -> Option<Timestamp> {
        let tried = self.tried?;
        let most = SECOND.saturating_mul(1 << self.tries.saturating_sub(1).min(6)).min(LONGEST);
        if self.tries <= 1 {
            return Some(tried.plus_millis(millis(SECOND)));
        }
        let seed = blake3::hash(format!("{key} {} {}", self.channel, self.tries).as_bytes());
        let part = f64::from(seed.as_bytes()[0]) / 255.0;
        Some(tried.plus_millis((millis(most) as f64 * (0.5 + part / 2.0)) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::notice::Reason;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use usher_common::model::Priority;

    const AT: Timestamp = Timestamp(1_000_000);

    fn letter(priority: Priority, channels: &[&str]) -> Letter {
        let notice = Notice {
            key: "rule#0".into(),
            reason: Reason::First,
            priority,
            at: AT,
            step: 0,
            incident: None,
            group: BTreeMap::new(),
            alerts: Vec::new(),
            more: 0,
        };
        let channels: Vec<String> = channels.iter().map(|&name| name.to_owned()).collect();
        Letter::new(notice, &channels)
    }

    fn after(seconds: i64) -> Timestamp {
        AT.plus_millis(seconds * 1_000)
    }

    #[test]
    fn what_wakes_somebody_goes_to_all_at_once_and_the_rest_one_after_the_other() {
        let page = letter(Priority::P1, &["slack", "sms"]);
        assert_eq!(page.due(AT), [Due::Try(0), Due::Try(1)]);
        let mut ticket = letter(Priority::P3, &["slack", "mail"]);
        assert_eq!(ticket.due(AT), [Due::Try(0)]);
        ticket.came(0, AT, false, "503".into());
        assert_eq!(ticket.due(after(1)), [], "it waits for its second try");
        assert_eq!(ticket.due(after(5)), [Due::Try(0), Due::Try(1)], "the next one's turn has come");
        ticket.came(1, after(5), true, String::new());
        assert!(ticket.is_done(after(5)) && ticket.due(after(100)).is_empty());
    }

    #[test]
    fn two_failures_bring_the_next_channel_before_its_time() {
        let mut ticket = letter(Priority::P2, &["slack", "mail"]);
        ticket.came(0, AT, false, String::new());
        ticket.came(0, after(2), false, String::new());
        assert!(ticket.due(after(2)).contains(&Due::Try(1)));
    }

    #[test]
    fn the_last_resort_comes_once_when_nobody_has_it_after_a_minute() {
        let mut page = letter(Priority::P0, &["slack"]);
        page.came(0, after(59), false, String::new());
        assert_eq!(page.due(after(59)), []);
        assert_eq!(page.due(after(60)), [Due::LastResort]);
        page.last_resort = Some(after(60));
        assert_eq!(page.due(after(61)), []);
        assert_eq!(page.due(after(64)), [Due::Try(0)], "it is tried further all the same");
        assert_eq!(letter(Priority::P3, &[]).due(AT), [Due::LastResort], "without a channel at once");
        let mut taken = letter(Priority::P1, &["slack", "sms"]);
        taken.came(0, after(1), true, String::new());
        assert!(!taken.due(after(60)).contains(&Due::LastResort));
    }

    proptest! {
        /// However channels fail and whenever the daemon restarts: somebody gets it or the last resort is used, and no channel that
        /// took it is tried again.
        #[test]
        fn somebody_hears_of_it_and_nobody_who_has_it_hears_it_again(
            priority in prop::sample::select(Priority::ALL.to_vec()),
            ways in 0..4_usize,
            answers in prop::collection::vec(any::<bool>(), 0..60),
            restarts in prop::collection::vec(0..3_000_i64, 0..4),
        ) {
            let names = ["a", "b", "c", "d"];
            let mut letter = letter(priority, &names[..ways]);
            let mut answers = answers.into_iter();
            let mut taken = [false; 4];
            for second in 0..3_000 {
                if restarts.contains(&second) {
                    let kept = serde_json::to_vec(&letter).unwrap();
                    letter = serde_json::from_slice(&kept).unwrap();
                }
                for due in letter.due(after(second)) {
                    match due {
                        Due::Try(place) => {
                            prop_assert!(!taken[place], "{place} has it");
                            taken[place] = answers.next().unwrap_or(false);
                            letter.came(place, after(second), taken[place], String::new());
                        }
                        Due::LastResort => letter.last_resort = Some(after(second)),
                    }
                }
                if !letter.due(after(second)).is_empty() {
                    prop_assert!(!letter.to_all || !letter.is_done(after(second)));
                }
            }
            prop_assert!(letter.is_taken() || letter.last_resort.is_some());
            prop_assert!(letter.due(after(86_400)).is_empty(), "it is given up after a day");
        }
    }
}
