//! A reading: one named figure at one moment. All that alert rules, checks and kept history see of the daemon.

/// One named figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its name, dotted, with its unit last where it has one, e.g. `provider.latency_p95_ms`.
    pub metric: &'static str,
    /// What it is of, in the words of the log: `provider resend`, `campaign c12`, `channel email`; empty for the daemon.
    pub object: String,
    /// The figure; a condition is 1 while it holds and 0 while it does not.
    pub value: f64,
    /// What is behind it, in a few words that an engineer can act on; empty where the figure says all. Never personal.
    pub detail: String,
}
