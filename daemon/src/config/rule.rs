//! Alert rules: a named reading, a condition, and what somebody is told when it holds. Those that are built in stand in one table;
//! the configuration changes them by name, turns them off, and adds others.

use std::time::Duration;

use usher_common::model::Priority;

/// How a reading is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Above, Self::AtLeast, Self::Below, Self::AtMost, Self::Equal];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
        }
    }

    /// Whether it holds.
    #[expect(clippy::float_cmp, reason = "a condition that is 0 or 1 is exactly that")]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
        }
    }
}

/// What of a window's samples is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The newest. For figures that are taken over a time themselves.
    Last,
    /// Their mean.
    Mean,
    /// The least: the condition held throughout.
    Least,
    /// The greatest.
    Greatest,
}

impl Take {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Last, Self::Mean, Self::Least, Self::Greatest];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "avg",
            Self::Least => "min",
            Self::Greatest => "max",
        }
    }
}

/// What is tested.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// A reading against a threshold.
    Reading {
        /// Its name.
        metric: String,
        /// How it is compared.
        condition: Condition,
        /// With what.
        threshold: f64,
        /// Over which time.
        window: Duration,
        /// What of it.
        take: Take,
    },
    /// Two windows of a service level, both burning faster than a factor, with so many bad events at least in the long one.
    Burn {
        /// The long window, e.g. `1h`.
        long: &'static str,
        /// The short one, which ends the alert soon after the fault is over.
        short: &'static str,
        /// How many times faster than allowed.
        factor: f64,
        /// Bad events in the long window.
        least_bad: f64,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, by which the configuration and silences know it.
    pub name: String,
    /// What it tests.
    pub test: Test,
    /// How long it has to hold.
    pub hold: Duration,
    /// How long it must not hold before the alert is over.
    pub keep: Duration,
    /// How much it matters.
    pub priority: Priority,
    /// What is wrong, in a few words; `{object}` is what it concerns.
    pub summary: String,
    /// What to do first.
    pub action: String,
    /// The runbook.
    pub runbook: String,
    /// Rules whose alerts are not told while this one is firing.
    pub inhibits: Vec<&'static str>,
}

/// What a rule that fires makes others not be told.
const EVERYTHING: &[&str] = &[
    "channel-down",
    "provider-down",
    "provider-unusable",
    "burn-1h",
    "burn-6h",
    "burn-1d",
    "burn-3d",
    "system-error-rate",
    "system-queue-size",
    "system-latency",
    "lane-still",
    "campaign-late",
    "in-doubt",
    "sla-violations",
    "scheduler-lag",
    "store-slow",
];

/// Readings that rules may name, each with what it is of.
pub const METRICS: &[(&str, &str)] = &[
    ("system.error.rate_percent", "failed attempts of the last five minutes, in percent"),
    ("system.queue.size", "messages that could go now and are over a minute behind"),
    ("system.processing.latency_ms", "95th percentile of an attempt over one to two minutes"),
    ("provider.open", "1 while a provider's breaker lets nothing through"),
    ("provider.unusable", "1 while a provider answers that the account cannot send"),
    ("provider.error_rate_percent", "failed attempts of a provider over the last minute, in percent"),
    ("provider.latency_p99_ms", "99th percentile of a provider's attempts over one to two minutes"),
    ("channel.open_providers", "providers of a channel that carry it"),
    ("channel.backlog", "messages that wait on a channel"),
    ("lane.still", "1 while due messages of a campaign's channel could go and none has for a minute"),
    ("sla.violations", "service levels that are being violated"),
    ("sla.budget_left_percent", "what is left of a budget of 30 days"),
    ("store.failed", "1 when the store takes nothing any more"),
    ("store.no_room", "1 while nothing new is taken in"),
    ("store.log_bytes_percent", "what the commit log has of what it may have"),
    ("store.sync_ms", "time of the last fsync"),
    ("disk.free_bytes", "free on the disk of the state folder"),
    ("clock.jump_ms", "by how much the clock was set within a second"),
    ("scheduler.lag_ms", "for how long the planner was not seen"),
    ("queue.oldest_seconds", "how long the longest that could go has waited"),
    ("doubt.count", "messages in doubt"),
    ("doubt.oldest_seconds", "how long the first of them has been"),
    ("campaign.late_seconds", "how much later than its time a campaign would end"),
    ("memory.bytes", "resident memory"),
    ("alerting.channel_dead", "1 while an alert channel has not been proved for 26 hours"),
];

const MINUTE: Duration = Duration::from_mins(1);

fn reading(metric: &str, condition: Condition, threshold: f64, (seconds, take): (u64, Take)) -> Test {
    Test::Reading { metric: metric.to_owned(), condition, threshold, window: Duration::from_secs(seconds), take }
}

fn rule(name: &str, test: Test, priority: Priority, texts: [&str; 3], inhibits: &[&'static str]) -> Rule {
    let [summary, action, runbook] = texts.map(str::to_owned);
    let (hold, keep) = (Duration::ZERO, 2 * MINUTE);
    Rule { name: name.to_owned(), test, hold, keep, priority, summary, action, runbook, inhibits: inhibits.to_vec() }
}

/// The rules that are built in; `violations` is how many violated service levels are too many.
pub fn built_in(violations: u32) -> Vec<Rule> {
    use Condition::{Above, AtLeast, Below, Equal};
    use Take::{Last, Least};
    let yes = |metric: &str| reading(metric, AtLeast, 1.0, (0, Last));
    let burn = |long, short, factor, least_bad| Test::Burn { long, short, factor, least_bad };
    let held = |mut rule: Rule, hold: Duration| {
        rule.hold = hold;
        rule
    };
    let levels: &[&str] =
        &["burn-1h", "burn-6h", "burn-1d", "burn-3d", "system-error-rate", "system-latency", "sla-violations"];
    let beside_channel: &[&str] = &[
        "provider-down",
        "burn-1h",
        "burn-6h",
        "burn-1d",
        "burn-3d",
        "system-error-rate",
        "system-latency",
        "system-queue-size",
        "sla-violations",
        "lane-still",
        "campaign-late",
    ];
    vec![
        rule(
            "store-failed",
            yes("store.failed"),
            Priority::P0,
            ["the store has stopped: nothing is sent", "free the disk, then: systemctl restart usherd", "store"],
            EVERYTHING,
        ),
        rule(
            "store-no-room",
            yes("store.no_room"),
            Priority::P1,
            ["nothing new is taken in: no room", "make room on the disk of the state folder", "store"],
            &[],
        ),
        rule(
            "disk-low",
            reading("disk.free_bytes", Below, 2e9, (0, Last)),
            Priority::P2,
            ["little room is left on the disk", "make room before nothing new is taken in", "store"],
            &[],
        ),
        held(
            rule(
                "store-slow",
                reading("store.sync_ms", Above, 500.0, (60, Least)),
                Priority::P2,
                ["the disk is slow", "see what else writes to it: iostat -x 1", "slowness"],
                &[],
            ),
            Duration::ZERO,
        ),
        rule(
            "channel-down",
            reading("channel.open_providers", Equal, 0.0, (0, Last)),
            Priority::P0,
            [
                "{object}: no provider carries it, its messages wait",
                "usher provider list; then usher provider why NAME",
                "provider-down",
            ],
            beside_channel,
        ),
        rule(
            "provider-down",
            yes("provider.open"),
            Priority::P1,
            ["{object} is down", "usher provider why NAME; drain it if it stays so", "provider-down"],
            levels,
        ),
        rule(
            "provider-unusable",
            yes("provider.unusable"),
            Priority::P1,
            [
                "{object} answers that the account cannot send",
                "see the account at the provider, and its key here",
                "provider-down",
            ],
            &[],
        ),
        held(
            rule(
                "burn-1h",
                burn("1h", "5m", 14.4, 3.0),
                Priority::P1,
                ["{object}: the error budget burns 14 times too fast", "usher sla; then usher provider list", "errors"],
                &["burn-6h", "burn-1d", "burn-3d"],
            ),
            2 * MINUTE,
        ),
        held(
            rule(
                "burn-6h",
                burn("6h", "30m", 6.0, 3.0),
                Priority::P1,
                ["{object}: the error budget burns 6 times too fast", "usher sla; then usher provider list", "errors"],
                &["burn-1d", "burn-3d"],
            ),
            2 * MINUTE,
        ),
        held(
            rule(
                "burn-1d",
                burn("24h", "2h", 3.0, 2.0),
                Priority::P3,
                ["{object}: the error budget burns 3 times too fast", "usher sla", "errors"],
                &["burn-3d"],
            ),
            2 * MINUTE,
        ),
        held(
            rule(
                "burn-3d",
                burn("3d", "6h", 1.0, 2.0),
                Priority::P3,
                ["{object}: the error budget will not last", "usher sla", "errors"],
                &[],
            ),
            2 * MINUTE,
        ),
        rule(
            "sla-violations",
            reading("sla.violations", AtLeast, f64::from(violations), (0, Last)),
            Priority::P2,
            ["many service levels are violated", "usher sla", "errors"],
            &[],
        ),
        rule(
            "system-error-rate",
            reading("system.error.rate_percent", Above, 5.0, (300, Last)),
            Priority::P1,
            ["more than one in twenty attempts fails", "usher provider list", "errors"],
            &[],
        ),
        rule(
            "system-queue-size",
            reading("system.queue.size", Above, 1_000.0, (60, Least)),
            Priority::P2,
            ["messages that could go do not", "usher campaign list; then usher campaign why ID", "slowness"],
            &[],
        ),
        rule(
            "system-latency",
            reading("system.processing.latency_ms", Above, 5_000.0, (300, Least)),
            Priority::P2,
            ["attempts take very long", "usher provider list", "slowness"],
            &[],
        ),
        rule(
            "lane-still",
            yes("lane.still"),
            Priority::P0,
            ["{object}: due messages and no outcome for a minute", "usher campaign why ID", "slowness"],
            &[],
        ),
        held(
            rule(
                "campaign-late",
                reading("campaign.late_seconds", Above, 0.0, (60, Least)),
                Priority::P1,
                ["{object} will miss its time", "usher campaign why ID", "slowness"],
                &[],
            ),
            MINUTE,
        ),
        rule(
            "in-doubt",
            reading("doubt.oldest_seconds", Above, 86_400.0, (0, Last)),
            Priority::P3,
            ["messages have been in doubt for over a day", "usher unknown list", "errors"],
            &[],
        ),
        rule(
            "clock-jump",
            reading("clock.jump_ms", Above, 5_000.0, (0, Last)),
            Priority::P2,
            ["the clock was set", "timedatectl; schedules and quotas go by it", "slowness"],
            &[],
        ),
        rule(
            "scheduler-lag",
            reading("scheduler.lag_ms", Above, 5_000.0, (0, Last)),
            Priority::P1,
            ["the scheduler does not look around", "usher check smoke; restart usherd and keep its log", "slowness"],
            &[],
        ),
        rule(
            "alert-channel-dead",
            yes("alerting.channel_dead"),
            Priority::P2,
            ["{object} has not been proved for 26 hours", "usher alert test", "alerting"],
            &[],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_three_that_are_asked_for_are_there_to_the_figure() {
        let rules = built_in(3);
        for (metric, threshold, seconds) in [
            ("system.error.rate_percent", 5.0, 300),
            ("system.queue.size", 1_000.0, 60),
            ("system.processing.latency_ms", 5_000.0, 300),
        ] {
            let found = rules.iter().any(|rule| {
                matches!(&rule.test, Test::Reading { metric: of, condition: Condition::Above, threshold: at, window, .. }
                    if of == metric && (*at - threshold).abs() < 1e-9 && window.as_secs() == seconds)
            });
            assert!(found, "{metric}");
        }
    }

    #[test]
    fn names_are_unique_and_whatever_is_named_exists() {
        let rules = built_in(3);
        let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names.len(), rules.len());
        for rule in &rules {
            assert!(rule.inhibits.iter().all(|name| names.contains(name)), "{}", rule.name);
            assert!(!rule.inhibits.contains(&rule.name.as_str()), "{} would never be told", rule.name);
            if let Test::Reading { metric, .. } = &rule.test {
                assert!(METRICS.iter().any(|(name, _)| name == metric), "{metric}");
            }
            assert!(!rule.action.is_empty(), "{}", rule.name);
            let runbooks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/runbooks");
            assert!(runbooks.join(format!("{}.md", rule.runbook)).exists(), "{}: {}", rule.name, rule.runbook);
        }
    }
}
