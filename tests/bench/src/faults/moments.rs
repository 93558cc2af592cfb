//! The moments of a failover: from the daemon's own log and from the providers' record, by one clock.
//!
//! The log is written at the moment of the event itself, with microseconds of the wall clock; the record has microseconds of
//! the monotonic clock. [`Moments::begin`] notes both when the fault begins, so that they can be told in one measure.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Deserialize;
use usher_sim::{Provider, Record};

/// Entries of the record that are looked at together.
const PAGE: usize = 10_000;

/// A line of the daemon's log, as far as it is of interest.
#[derive(Deserialize)]
struct Event {
    timestamp: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    provider: String,
}

/// What happened after a fault began; all times are from there.
pub(crate) struct Moments {
    log: PathBuf,
    read_to: u64,
    part_of_a_line: String,
    began_wall: Duration,
    began_us: u64,
    heard_to: u64,
    /// When the broken provider's breaker opened.
    pub(crate) opened: Option<Duration>,
    /// Why.
    pub(crate) why: String,
    /// When messages first went to the standby before anybody said so.
    before: Option<Duration>,
    /// When messages first went to the standby after that.
    pub(crate) turned: Option<Duration>,
    /// When each message was taken, by either; in order.
    pub(crate) taken: Vec<Duration>,
    /// When the standby took its first.
    pub(crate) first: Option<Duration>,
}

impl Moments {
    /// Begins now, with what stands in the daemon's log and in the record already left away.
    pub(crate) fn begin(log: PathBuf, record: &Record) -> anyhow::Result<Self> {
        let read_to = std::fs::metadata(&log).with_context(|| format!("looking at {}", log.display()))?.len();
        let heard_to = record.total();
        // One after the other, so that less than a microsecond lies between the two clocks.
        let began_wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is set before 1970")?;
        let began_us = record.now_us();
        Ok(Self {
            log,
            read_to,
            part_of_a_line: String::new(),
            began_wall,
            began_us,
            heard_to,
            opened: None,
            why: String::new(),
            before: None,
            turned: None,
            taken: Vec::new(),
            first: None,
        })
    }

    /// How long ago it began.
    pub(crate) fn elapsed(&self, record: &Record) -> Duration {
        Duration::from_micros(record.now_us().saturating_sub(self.began_us))
    }

    /// Reads what came since.
    pub(crate) fn look(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut file = std::fs::File::open(&self.log).with_context(|| format!("opening {}", self.log.display()))?;
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut text = std::mem::take(&mut self.part_of_a_line);
        self.read_to +=
            file.read_to_string(&mut text).with_context(|| format!("reading {}", self.log.display()))? as u64;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        for line in text[..whole].lines() {
            self.hear(line);
        }
        text[whole..].clone_into(&mut self.part_of_a_line);
        loop {
            let entries = record.entries(self.heard_to, PAGE);
            let Some(last) = entries.last() else { return Ok(()) };
            self.heard_to = last.sequence + 1;
            for entry in entries {
                let at = Duration::from_micros(entry.at_us.saturating_sub(self.began_us));
                self.taken.push(at);
                if entry.provider == Provider::Resend {
                    self.first = self.first.or(Some(at));
                }
            }
        }
    }

    /// One line of the log. What is no event of ours, or was before, is of no interest.
    fn hear(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        let Ok(wall) = event.timestamp.parse::<jiff::Timestamp>() else { return };
        let wall = Duration::from_micros(u64::try_from(wall.as_microsecond()).unwrap_or(0));
        let Some(at) = wall.checked_sub(self.began_wall) else { return };
        if self.opened.is_none() && event.object == "provider sendgrid" {
            if let Some(why) = event.message.strip_prefix("breaker opened: ") {
                self.opened = Some(at);
                why.split(';').next().unwrap_or_default().clone_into(&mut self.why);
            }
        } else if event.provider == "resend" {
            let first = if self.opened.is_some() { &mut self.turned } else { &mut self.before };
            *first = first.or(Some(at));
        }
    }

    /// The opening and the first hand-over of a fault under which nothing goes to the standby while the breaker is closed. Where
    /// the planner itself finds that requests hang, it hands over in the same turn, and whoever tells of the opening comes after.
    pub(crate) fn opened_by_the_planner(&mut self) {
        if let (Some(_), Some(before)) = (self.opened, self.before) {
            (self.opened, self.turned) = (Some(before), Some(before));
        }
    }

    /// When as many were taken, or came into doubt, as the pace of `rate` a second had planned since the fault; at the
    /// earliest with the standby's first.
    pub(crate) fn caught_up(&self, rate: f64, doubt: u64) -> Option<Duration> {
        let first = self.first?;
        let done = self.taken.iter().zip(1..);
        done.filter(|(at, _)| **at >= first)
            .find(|(at, taken)| (taken + doubt) as f64 >= (rate * at.as_secs_f64()).floor())
            .map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments() -> Moments {
        let began: jiff::Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        Moments {
            log: PathBuf::new(),
            read_to: 0,
            part_of_a_line: String::new(),
            began_wall: Duration::from_micros(began.as_microsecond().cast_unsigned()),
            began_us: 0,
            heard_to: 0,
            opened: None,
            why: String::new(),
            before: None,
            turned: None,
            taken: Vec::new(),
            first: None,
        }
    }

    #[test]
    fn what_the_log_says_is_told_from_the_beginning_of_the_fault_on() {
        let mut moments = moments();
        let opened = |at: &str, who: &str| {
            format!(
                "{{\"timestamp\":\"2026-11-27T{at}Z\",\"level\":\"ERROR\",\"message\":\"breaker opened: requests hang; \
                 email goes by resend now\",\"object\":\"provider {who}\",\"target\":\"usherd\"}}"
            )
        };
        let goes = |at: &str| {
            format!(
                "{{\"timestamp\":\"2026-11-27T{at}Z\",\"level\":\"DEBUG\",\"message\":\"messages go to a provider\",\
                 \"provider\":\"resend\",\"messages\":7}}"
            )
        };
        moments.hear(&opened("09:59:59.000000", "sendgrid"));
        moments.hear(&goes("10:00:01.000000"));
        moments.hear(&opened("10:00:02.000000", "resend"));
        assert_eq!((moments.opened, moments.turned), (None, None));
        moments.hear(&opened("10:00:02.250000", "sendgrid"));
        moments.hear("not an event");
        moments.hear(&goes("10:00:02.250731"));
        moments.hear(&goes("10:00:03.000000"));
        assert_eq!((moments.opened, moments.why.as_str()), (Some(Duration::from_millis(2_250)), "requests hang"));
        assert_eq!(moments.turned, Some(Duration::from_micros(2_250_731)));
    }

    #[test]
    fn a_hand_over_before_anybody_said_so_is_the_opening_where_nothing_else_explains_it() {
        let told = |before: Option<u64>| {
            let ms = Duration::from_millis;
            let (opened, turned) = (Some(ms(2_400)), Some(ms(2_520)));
            let mut moments = Moments { opened, turned, before: before.map(ms), ..moments() };
            moments.opened_by_the_planner();
            (moments.opened, moments.turned)
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(told(None), (ms(2_400), ms(2_520)));
        assert_eq!(told(Some(2_350)), (ms(2_350), ms(2_350)));
    }

    #[test]
    fn the_plan_is_caught_up_with_by_what_was_taken_and_what_is_in_doubt() {
        let mut moments = moments();
        let ms = Duration::from_millis;
        assert_eq!(moments.caught_up(10.0, 0), None, "nobody took anything");
        // Ten a second were planned; the standby takes one each 20 ms from the second second on.
        moments.taken = (0..200).map(|n| ms(2_000 + 20 * n)).collect();
        moments.first = Some(ms(2_000));
        assert_eq!(moments.caught_up(10.0, 0), Some(ms(2_460)), "the 24th, as 24.6 were planned");
        assert_eq!(moments.caught_up(10.0, 10), Some(ms(2_220)), "ten are in doubt");
        assert_eq!(moments.caught_up(0.1, 0), Some(ms(2_000)), "nothing had heaped up");
    }
}
