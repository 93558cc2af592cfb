//! `usherd doctor`: the checks of a machine on which the daemon need not run, and of the configuration that it would start with.
//! Changes nothing; a daemon that runs is not disturbed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use usher_common::model::{CheckRow, Grade};

use super::{accounts, daemon};
use crate::checks::{Names, Surroundings};
use crate::clock::Clock;
use crate::config::{Config, Sources};

/// Look at the configuration, the machine and the world outside, and say what is wrong and what to do.
///
/// Exit codes: 0 nothing failed, 1 something did, 2 the configuration cannot be loaded.
#[derive(Debug, Args)]
#[command(name = "doctor")]
pub struct Doctor {
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Makes the checks and prints them.
pub async fn run(asked: &Doctor, file: Option<PathBuf>) -> ExitCode {
    let file = file.or_else(|| Some(daemon::default_config()).filter(|path| path.exists()));
    let sources = Sources::of_process(file);
    let mut out = std::io::stdout().lock();
    let loaded = match Config::load(&sources) {
        Ok(loaded) => Arc::new(loaded),
        Err(errors) => {
            let rows: Vec<CheckRow> = errors.iter().map(|error| failed("configuration", &error.to_string())).collect();
            let _ = print(&mut out, asked.output, &rows);
            return ExitCode::from(2);
        }
    };
    let clock = Clock::system();
    let config = &loaded.config;
    let threshold = config.dispatch.failover_threshold;
    let (accounts, fault) = match accounts::set_up(&config.providers, threshold, None, &clock) {
        Ok(accounts) => (accounts, None),
        Err(error) => (Vec::new(), Some(failed("provider", &error.to_string()))),
    };
    let surroundings = Surroundings {
        names: Names::new(config.health.dns_server),
        loaded: Arc::clone(&loaded),
        sources,
        accounts,
        clock,
        live: None,
    };
    let mut rows = surroundings.examine().await;
    rows.splice(0..0, fault);
    rows.push(socket(&config.socket.path));
    match print(&mut out, asked.output, &rows) {
        Ok(()) if CheckRow::worst(&rows) < Grade::Fail => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn failed(name: &str, reason: &str) -> CheckRow {
    let remedy = "correct the configuration".to_owned();
    CheckRow { name: name.to_owned(), grade: Grade::Fail, reason: reason.to_owned(), remedy, took_ms: 0 }
}

/// Whether a daemon answers on the socket.
fn socket(path: &std::path::Path) -> CheckRow {
    let (grade, reason, remedy) = match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => (Grade::Pass, format!("a daemon answers on {}", path.display()), ""),
        Err(error) => (
            Grade::Skip,
            format!("no daemon answers on {}: {error}", path.display()),
            "if one should: systemctl status usherd; else all is well",
        ),
    };
    CheckRow { name: "daemon.socket".to_owned(), grade, reason, remedy: remedy.to_owned(), took_ms: 0 }
}

fn print(out: &mut impl std::io::Write, format: Format, rows: &[CheckRow]) -> std::io::Result<()> {
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, rows)?;
        return writeln!(out);
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let grade = row.grade.to_string().to_uppercase();
        writeln!(out, "{grade:<4}  {:<width$}  {}", row.name, row.reason)?;
        if !row.remedy.is_empty() {
            writeln!(out, "      {:<width$}  {}", "", row.remedy)?;
        }
    }
    let count = |grade: Grade| rows.iter().filter(|row| row.grade == grade).count();
    let (warn, fail) = (count(Grade::Warn), count(Grade::Fail));
    writeln!(out, "{} passed, {warn} to look at, {fail} failed, {} skipped", count(Grade::Pass), count(Grade::Skip))
}
