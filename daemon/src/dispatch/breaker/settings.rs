//! The breaker's numbers, and its words for why it is open.

use std::time::Duration;

/// The numbers of a breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Failures in a row that make it suspect (`PROVIDER_FAILOVER_THRESHOLD`).
    pub suspect_after: u32,
    /// Failures in a row that open it.
    pub open_after: u32,
    /// How long the last success must be past for that.
    pub quiet: Duration,
    /// Failures among the outcomes of the last 30 s that open it, if they are enough of them too.
    pub rate_failures: u32,
    /// Outcomes of the last 30 s before their share of failures means anything.
    pub rate_outcomes: u32,
    /// That share: 0.25 is a quarter.
    pub rate_share: f64,
    /// Requests without an answer that make a stall.
    pub stall_requests: u32,
    /// How old each of them must be at least, and how long the last success must be past.
    pub stall_after: Duration,
    /// They must also be so many times as old as the 99th percentile of answers.
    pub stall_p99: u32,
    /// How old they must be while too few answers were seen to know a percentile.
    pub stall_untold: Duration,
    /// Failed probes in a row that open it.
    pub probes_failed: u32,
    /// How many times the day's 95th percentile the last ten seconds' opens it.
    pub slow_times: f64,
    /// Below this nothing is called slow, however fast it was before.
    pub slow_least: Duration,
    /// Answers within ten seconds before they can be called slow.
    pub slow_calls: u32,
    /// How long it stays open the first time; `n` times that at the `n`th in a row.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
    /// How far that is spread by chance: 0.2 is ± 20 %.
    pub jitter: f64,
    /// How long a probe keeps its place, and how long half-open lasts at most.
    pub half_open_limit: Duration,
    /// Messages at once in the last step of half-open; the steps before are 1, and twice as many each.
    pub trial_most: u32,
    /// How long each step of recovering lasts.
    pub step: Duration,
    /// How long to wait between probes while suspect.
    pub suspect_probe_every: Duration,
    /// Healthy time that takes one from the count of openings in a row.
    pub forgive_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            suspect_after: 3,
            open_after: 5,
            quiet: Duration::from_secs(1),
            rate_failures: 5,
            rate_outcomes: 10,
            rate_share: 0.25,
            stall_requests: 3,
            stall_after: Duration::from_secs(2),
            stall_p99: 3,
            stall_untold: Duration::from_secs(5),
            probes_failed: 3,
            slow_times: 5.0,
            slow_least: Duration::from_secs(2),
            slow_calls: 20,
            open_for: Duration::from_secs(15),
            open_at_most: Duration::from_mins(5),
            jitter: 0.2,
            half_open_limit: Duration::from_secs(30),
            trial_most: 8,
            step: Duration::from_secs(15),
            suspect_probe_every: super::probing::SUSPECT_EVERY,
            forgive_after: Duration::from_mins(1),
        }
    }
}

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// That many failures in a row.
    InARow,
    /// Too large a share of the last 30 s failed.
    Rate,
    /// Requests hang, and none comes back.
    Stall,
    /// Answers take many times as long as they did during the day.
    Slow,
    /// A probe failed after messages did, or while half-open, or three failed in a row.
    Probe,
    /// A message failed while half-open.
    Trial,
    /// Messages were lost while half-open.
    Lost,
    /// The provider says that this account or sender cannot be used.
    Unusable,
}

impl Cause {
    /// All of them, each at the number that is kept for it.
    const ALL: [Self; 8] =
        [Self::InARow, Self::Rate, Self::Stall, Self::Slow, Self::Probe, Self::Trial, Self::Lost, Self::Unusable];

    /// In a few words, for the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InARow => "failures in a row",
            Self::Rate => "a quarter or more fails",
            Self::Stall => "requests hang",
            Self::Slow => "far slower than it was today",
            Self::Probe => "a probe failed",
            Self::Trial => "a message failed while it was tried again",
            Self::Lost => "no answer while it was tried again",
            Self::Unusable => "account or sender refused",
        }
    }

    /// The number that is kept for it.
    pub(super) fn number(self) -> u8 {
        Self::ALL.iter().position(|&cause| cause == self).unwrap_or_default() as u8
    }

    /// The cause that a number is kept for; one that is not known was a failed probe, which is what decides next.
    pub(super) fn of_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Probe)
    }
}
