//! `usher check`: sets of named checks, each with what it saw and what to do.

use clap::Subcommand;
use usher_common::model::{CheckRow, CheckSet, Grade};
use usher_common::protocol::{Reply, Request};

use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::Session;

/// Which checks are made.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum CheckCommand {
    /// Whether it is a good moment to stop the daemon, and the world outside is ready
    ///
    /// Campaigns that run or are about to, messages in doubt; store, disk, clock; each provider's status, rate limit, certificate
    /// and balance; what your domains publish (SPF, DKIM, DMARC); the age of keys; changes of the configuration.
    PreDeploy,
    /// Whether the daemon does its work: a commit, the planner, the breakers; over within seconds
    Smoke,
    /// Whether the daemon that was just started is the right one, and does as well as the one before
    PostDeploy,
}

pub(super) async fn run(command: CheckCommand, session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let set = match command {
        CheckCommand::PreDeploy => CheckSet::PreDeploy,
        CheckCommand::Smoke => CheckSet::Smoke,
        CheckCommand::PostDeploy => CheckSet::PostDeploy,
    };
    let Reply::Checks(rows) = session.ask(Request::Check { set }).await? else { return Err(Failure::unexpected()) };
    output.show(&rows, |out| {
        let table: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let said =
                    if row.remedy.is_empty() { row.reason.clone() } else { format!("{}: {}", row.reason, row.remedy) };
                vec![row.grade.to_string().to_uppercase(), row.name.clone(), format!("{} ms", row.took_ms), said]
            })
            .collect();
        out.table(
            &[("", Align::Left), ("CHECK", Align::Left), ("TOOK", Align::Right), ("FOUND", Align::Left)],
            &table,
        )?;
        let count = |grade: Grade| rows.iter().filter(|row| row.grade == grade).count();
        out.line(&format!(
            "{} passed, {} to look at, {} failed, {} skipped",
            count(Grade::Pass),
            count(Grade::Warn),
            count(Grade::Fail),
            count(Grade::Skip)
        ))
    })?;
    Ok(if CheckRow::worst(&rows) >= Grade::Fail { Exit::Failed } else { Exit::Done })
}
