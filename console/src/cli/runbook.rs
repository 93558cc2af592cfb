//! `usher runbook`: the first steps for the usual troubles, without a daemon.

use super::exit::{Exit, Failure};
use super::output::Output;

/// Each with its text.
const ALL: [(&str, &str); 7] = [
    ("provider-down", include_str!("../../../packaging/runbooks/provider-down.md")),
    ("errors", include_str!("../../../packaging/runbooks/errors.md")),
    ("slowness", include_str!("../../../packaging/runbooks/slowness.md")),
    ("store", include_str!("../../../packaging/runbooks/store.md")),
    ("email", include_str!("../../../packaging/runbooks/email.md")),
    ("sms", include_str!("../../../packaging/runbooks/sms.md")),
    ("alerting", include_str!("../../../packaging/runbooks/alerting.md")),
];

/// Prints one runbook, or what there are.
pub(super) fn run(name: Option<&str>, output: &Output) -> Result<Exit, Failure> {
    let Some(name) = name else {
        for (name, text) in ALL {
            let title = text.lines().next().unwrap_or_default().trim_start_matches("# ");
            output.bytes(format!("{name:<14} {title}\n").as_bytes())?;
        }
        return Ok(Exit::Done);
    };
    match ALL.iter().find(|(one, _)| *one == name) {
        Some((_, text)) => {
            output.bytes(text.as_bytes())?;
            Ok(Exit::Done)
        }
        None => Err(Failure::new(Exit::NotFound, format!("there is no runbook `{name}`\n`usher runbook` lists them."))),
    }
}
