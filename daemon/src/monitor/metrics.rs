//! Metrics in Prometheus' text format: names by its conventions, units in the name, help beside each.

use std::fmt::Write as _;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Labels of an attempt's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// The provider's name.
    pub provider: String,
    /// The class of its answer.
    pub class: &'static str,
}

/// Labels of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

/// Labels of a provider's report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    provider: String,
    kind: &'static str,
}

/// Labels of a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Labels of a try to tell somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    channel: String,
    taken: &'static str,
}

/// Labels of an alert channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertChannelLabels {
    channel: String,
}

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    outcomes: Family<OutcomeLabels, Counter>,
    latency: Family<ProviderLabels, Histogram, fn() -> Histogram>,
    breaker_open: Family<ProviderLabels, Gauge>,
    messages: Family<StateLabels, Gauge>,
    refusals: Counter,
    reports: Family<ReportLabels, Counter>,
    reports_refused: Family<ProviderLabels, Counter>,
    reports_waiting: Gauge,
    clients: Gauge,
    log_bytes: Gauge,
    sync: Histogram,
    memory: Gauge,
    notices: Family<NoticeLabels, Counter>,
    notice_duration: Family<AlertChannelLabels, Histogram, fn() -> Histogram>,
    last_resorts: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("usher");
        let outcomes = Family::default();
        registry.register("attempts", "Attempts at messages, by provider and class of answer", outcomes.clone());
        let latency = Family::<ProviderLabels, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register_with_unit(
            "request_duration",
            "Time from a request's first byte to its answer",
            Unit::Seconds,
            latency.clone(),
        );
        let breaker_open = Family::default();
        registry.register("breaker_open", "1 while the provider's breaker is open or half open", breaker_open.clone());
        let messages = Family::default();
        registry.register("messages", "Messages of campaigns that are not deleted, by state", messages.clone());
        let refusals = Counter::default();
        registry.register("gate_refusals", "Messages that the gate did not let out", refusals.clone());
        let reports = Family::default();
        registry.register("reports", "What providers reported, by what it says; doubles not counted", reports.clone());
        let reports_refused = Family::default();
        registry.register(
            "reports_refused",
            "Requests that were not believed or could not be read, by the provider that they name",
            reports_refused.clone(),
        );
        let reports_waiting = Gauge::default();
        registry.register("reports_waiting", "Reports that wait for their message", reports_waiting.clone());
        let clients = Gauge::default();
        registry.register("clients", "Consoles and other clients attached", clients.clone());
        let log_bytes = Gauge::default();
        registry.register_with_unit("commit_log", "Size of the commit log", Unit::Bytes, log_bytes.clone());
        let sync = seconds();
        registry.register_with_unit("log_sync_duration", "Time of an fdatasync", Unit::Seconds, sync.clone());
        let memory = Gauge::default();
        registry.register_with_unit("resident_memory", "Resident set of the daemon", Unit::Bytes, memory.clone());
        let notices = Family::default();
        registry.register(
            "notices",
            "Tries to tell somebody of alerts, by channel and whether it took them",
            notices.clone(),
        );
        let notice_duration = Family::<AlertChannelLabels, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register_with_unit(
            "notice_duration",
            "Time that an alert channel took to answer",
            Unit::Seconds,
            notice_duration.clone(),
        );
        let last_resorts = Counter::default();
        registry.register("last_resorts", "Alerts that no channel took in time", last_resorts.clone());
        Self {
            registry,
            outcomes,
            latency,
            breaker_open,
            messages,
            refusals,
            reports,
            reports_refused,
            reports_waiting,
            clients,
            log_bytes,
            sync,
            memory,
            notices,
            notice_duration,
            last_resorts,
        }
    }
}

impl Metrics {
    /// Counts a message's attempt that came to its end.
    pub fn attempt(&self, provider: &str, class: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { provider: provider.to_owned(), class }).inc();
    }

    /// Counts a request, which may have carried many messages, that was answered after `seconds`.
    pub fn request(&self, provider: &str, seconds: f64) {
        self.latency.get_or_create(&ProviderLabels { provider: provider.to_owned() }).observe(seconds);
    }

    /// Counts a message that the gate did not let out.
    pub fn refusal(&self) {
        self.refusals.inc();
    }

    /// Counts what a provider reported.
    pub fn report(&self, provider: &str, kind: &'static str) {
        self.reports.get_or_create(&ReportLabels { provider: provider.to_owned(), kind }).inc();
    }

    /// Counts a request that was turned away.
    pub fn report_refused(&self, provider: &str) {
        self.reports_refused.get_or_create(&ProviderLabels { provider: provider.to_owned() }).inc();
    }

    /// Says how many reports wait for their message.
    pub fn reports_waiting(&self, n: u64) {
        self.reports_waiting.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Says whether a provider's breaker keeps messages back.
    pub fn breaker(&self, provider: &str, open: bool) {
        self.breaker_open.get_or_create(&ProviderLabels { provider: provider.to_owned() }).set(i64::from(open));
    }

    /// Says how many messages are in a state.
    pub fn messages(&self, state: &'static str, n: u64) {
        self.messages.get_or_create(&StateLabels { state }).set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Says how many clients are attached.
    pub fn clients(&self, n: u32) {
        self.clients.set(i64::from(n));
    }

    /// Says how the log is: its size and how long its last sync took.
    pub fn log(&self, bytes: u64, last_sync_seconds: f64) {
        self.log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.sync.observe(last_sync_seconds);
    }

    /// Says how much memory the daemon has.
    pub fn memory(&self, bytes: u64) {
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a try to tell somebody, which took so many seconds.
    pub fn notice(&self, channel: &str, taken: bool, seconds: f64) {
        let channel = channel.to_owned();
        self.notice_duration.get_or_create(&AlertChannelLabels { channel: channel.clone() }).observe(seconds);
        let taken = if taken { "yes" } else { "no" };
        self.notices.get_or_create(&NoticeLabels { channel, taken }).inc();
    }

    /// Counts an alert that nobody could be told of in time.
    pub fn last_resort(&self) {
        self.last_resorts.inc();
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
            let _ = writeln!(text, "# the metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_with_help_and_unit() {
        let metrics = Metrics::default();
        // One request with two messages in it.
        metrics.request("resend", 0.04);
        metrics.attempt("resend", "accepted");
        metrics.attempt("resend", "accepted");
        metrics.breaker("resend", true);
        let text = metrics.text();
        assert!(text.contains("usher_attempts_total{provider=\"resend\",class=\"accepted\"} 2"), "{text}");
        assert!(text.contains("usher_request_duration_seconds_count{provider=\"resend\"} 1"), "{text}");
        assert!(text.contains("# HELP usher_request_duration_seconds"), "{text}");
        assert!(text.contains("usher_breaker_open{provider=\"resend\"} 1"), "{text}");
    }
}
