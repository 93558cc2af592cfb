//! A notice: what somebody is to be told of a group of alerts. The engine says what and how urgent, the outbox how and by whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use usher_common::model::{AlertState, IncidentId, Priority, Timestamp};

/// Why a notice goes out, which it also says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The first of its group.
    First,
    /// Alerts came to the group.
    New,
    /// Some of the group are over.
    SomeResolved,
    /// All of the group are over.
    Resolved,
    /// It is still so.
    Repeat,
    /// Nobody has answered in time: the next in the path is told.
    Escalation,
    /// It comes and goes; nothing more is said until it is stable.
    Flapping,
    /// A maintenance window or a silence is over, and it is still so.
    Uncovered,
    /// A trial, by hand or once a day.
    Test,
    /// More than may be told one by one.
    Digest,
}

/// One alert of a notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeAlert {
    /// The rule's name, e.g. `provider-down`.
    pub rule: String,
    /// What it concerns, e.g. `provider resend`; empty for the daemon.
    pub object: String,
    /// Where it stands.
    pub state: AlertState,
    /// What is wrong, in a line.
    pub summary: String,
    /// What is known of it: the cause, the figure beside its threshold.
    pub detail: String,
    /// What to do first, in a line, with the command for it.
    pub action: String,
    /// The runbook's name, e.g. `provider-down`; empty for none.
    pub runbook: String,
    /// The figure, and the threshold that it is over.
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// Since when.
    pub since: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// What somebody is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Names it: of the group, its turn of states, and how often it was told. The outbox takes each only once a channel.
    pub key: String,
    /// Why it goes out.
    pub reason: Reason,
    /// The most urgent of its alerts.
    pub priority: Priority,
    /// When it was decided.
    pub at: Timestamp,
    /// Who in the escalation path is told, from 0: on-call, senior, manager, CTO.
    pub step: u8,
    /// The incident, where there is one.
    pub incident: Option<IncidentId>,
    /// What the group has in common, e.g. `rule` and `provider`.
    pub group: BTreeMap<String, String>,
    /// The alerts, the most urgent and oldest first.
    pub alerts: Vec<NoticeAlert>,
    /// Alerts of the group that are not among them.
    pub more: u32,
}
