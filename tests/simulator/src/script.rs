//! Faults by the clock: what begins when, for how long, and which changes are due.
//! Promises: pure; the changes of a script come in the order of their times, an end before a beginning at the same moment.

use crate::fault::{Fault, FaultError};
use crate::provider::Provider;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A length of time, written as `5s`, `1m 30s` or `250ms`; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        read.map(Self).ok_or_else(|| format!("`{text}` is no length of time: write `5s`, `1m 30s` or `250ms`"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        format!("{:#}", SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX))
    }
}

/// One line of a script.
///
/// ```toml
/// [[step]]
/// at = "5s"
/// provider = "twilio"
/// fault = { kind = "status", status = 503, percent = 30.0, seed = 7 }
/// for = "10s"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time since the start, as `5s`, `1m 30s`, `250ms`.
    pub at: Span,
    /// Where.
    pub provider: Provider,
    /// What: a table as [`Fault`] has it, or the bare name of a fault without settings (`"refuse"`).
    #[serde(deserialize_with = "fault_or_name")]
    pub fault: Fault,
    /// How long; without, until the end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Span>,
}

/// Reads a fault from its table, or from its bare name.
pub(crate) fn fault_or_name<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Fault, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Name(String),
        Table(serde_json::Map<String, serde_json::Value>),
    }
    // Through a map, since an untagged enum would hide which key of the fault is wrong.
    let table = match Written::deserialize(input)? {
        Written::Name(name) => serde_json::Map::from_iter([("kind".to_owned(), name.into())]),
        Written::Table(table) => table,
    };
    let keys: Vec<String> = table.keys().cloned().collect();
    let fault: Fault = serde_json::from_value(table.into()).map_err(serde::de::Error::custom)?;
    // A flattened enum lets any key pass; a misspelt `percent` would strike everyone. What was read writes itself again.
    let read = serde_json::to_value(&fault).map_err(serde::de::Error::custom)?;
    match keys.iter().find(|key| read.get(key).is_none()) {
        Some(key) => Err(serde::de::Error::custom(format!("this fault has no setting `{key}`"))),
        None => Ok(fault),
    }
}

/// A script that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The fault makes no sense at that provider.
    #[error("step {number} of the script: {source}")]
    Fault {
        /// Position, from 1.
        number: usize,
        /// Why not.
        source: FaultError,
    },
}

/// What happens at one moment of a script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Ends the fault of that step.
    End(usize),
    /// Begins the fault of that step.
    Begin(usize, Provider, Fault),
}

/// All changes of a script with their times since the start, in order.
pub(crate) fn timeline(steps: &[Step]) -> Result<Vec<(Duration, Change)>, ScriptError> {
    let mut changes = Vec::with_capacity(steps.len() * 2);
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        step.fault.check(step.provider).map_err(|source| ScriptError::Fault { number, source })?;
        let begin = step.at.0;
        changes.push((begin, Change::Begin(index, step.provider, step.fault.clone())));
        if let Some(lasting) = step.lasting {
            changes.push((begin.saturating_add(lasting.0), Change::End(index)));
        }
    }
    // Stable: steps at the same moment begin in the order in which they are written.
    changes.sort_by_key(|(at, change)| (*at, matches!(change, Change::Begin(..))));
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fault::{FaultKind, Scope};

    fn steps(text: &str) -> Vec<Step> {
        toml::from_str::<Config>(text).unwrap().script
    }

    #[test]
    fn a_script_becomes_its_changes_in_order() {
        let steps = steps(
            r#"
            [[step]]
            at = "5s"
            provider = "twilio"
            fault = { kind = "status", status = 503, percent = 30.0, seed = 7, scope = "sends" }
            for = "10s"
            [[step]]
            at = "15s"
            provider = "resend"
            fault = "refuse"
            [[step]]
            at = "250ms"
            provider = "smtp"
            fault = { kind = "reply", stage = "rcpt", text = "450 4.2.0 busy" }
            for = "1m 30s"
            "#,
        );
        let order: Vec<_> = timeline(&steps)
            .unwrap()
            .into_iter()
            .map(|(at, change)| match change {
                Change::Begin(step, ..) => (at.as_millis(), 'b', step),
                Change::End(step) => (at.as_millis(), 'e', step),
            })
            .collect();
        assert_eq!(order, [(250, 'b', 2), (5_000, 'b', 0), (15_000, 'e', 0), (15_000, 'b', 1), (90_250, 'e', 2)]);
        assert_eq!(steps[0].fault.scope, Scope::Sends);
        assert_eq!(steps[0].fault.kind, FaultKind::Status { status: 503, accepted: false, code: None });
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let text = "[[step]]\nat = \"1s\"\nprovider = \"resend\"\nfault = { kind = \"hang\", percnt = 5.0 }\n";
        let error = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error.contains("no setting `percnt`"), "{error}");
    }

    #[test]
    fn senseless_steps_are_refused_with_their_number() {
        let wrong = steps("[[step]]\nat = \"1s\"\nprovider = \"resend\"\nfault = \"expired_certificate\"\n");
        assert!(timeline(&wrong).unwrap_err().to_string().starts_with("step 1 of the script"));
        let negative = "[[step]]\nat = \"-1s\"\nprovider = \"resend\"\nfault = \"hang\"\n";
        let error = toml::from_str::<Config>(negative).unwrap_err().to_string();
        assert!(error.contains("`-1s` is no length of time"), "{error}");
    }
}
