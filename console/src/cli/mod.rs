//! The command line: every question and every act as a subcommand, for scripts and for hands.

mod alerts;
mod args;
mod campaign;
mod check;
mod exit;
mod guests;
mod import;
mod output;
mod progress;
mod relay;
mod runbook;
mod session;
mod spec;
mod status;
mod steering;
mod template;
mod unknown;
mod watch;
mod when;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

pub use args::Args;
use args::{ActFlags, Command};
use exit::{Exit, Failure};
use output::Output;
use session::Session;

use crate::session::{Link, LinkCommand};
use crate::theme::ThemeName;
use crate::{plain, tui};

/// Runs the program; what comes back is its exit code.
pub fn main() -> ExitCode {
    let matches = Args::command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(e) => e.exit(),
    };
    let output = Output::of(&args.global);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.fail(&Failure::new(Exit::Failed, format!("cannot start: {e}"))),
    };
    let done = runtime.block_on(async {
        tokio::select! {
            done = run(args, &output) => done,
            left = output.interrupted() => Err(left),
        }
    });
    // A thread that still reads standard input must not keep the program.
    runtime.shutdown_background();
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => output.fail(&failure),
    }
}

async fn run(args: Args, output: &Output) -> Result<Exit, Failure> {
    let Some(command) = args.command else { return console(&args.global).await };
    match command {
        Command::Completions { shell } => {
            // Into memory first: whoever reads may leave half-way, and the library would take that for a bug.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "usher", &mut script);
            output.bytes(&script)?;
            return Ok(Exit::Done);
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            output.bytes(&page)?;
            return Ok(Exit::Done);
        }
        Command::Runbook { name } => return runbook::run(name.as_deref(), output),
        Command::Relay => return relay::run(&args.global.socket).await,
        _ => {}
    }
    let session = Session::open(&args.global, output).await?;
    match command {
        Command::Status => status::status(&session, output).await,
        Command::Alerts => alerts::list(&session, output).await,
        Command::Alert { command } => alerts::alert(command, &session, output).await,
        Command::Silence { command } => alerts::silence(command, &session, output).await,
        Command::Sla => alerts::sla(&session, output).await,
        Command::Check { command } => check::run(command, &session, output).await,
        Command::Provider { command } => steering::provider(&session, output, command).await,
        Command::Hold(flags) => steering::hold(&session, output, flags).await,
        Command::Release(flags) => steering::release(&session, output, flags).await,
        Command::Controls => steering::controls(&session, output).await,
        Command::Guests { command } => guests::run(&session, output, command).await,
        Command::Template { command } => template::run(&session, output, command).await,
        Command::Campaign { command } => campaign::run(&session, output, command).await,
        Command::Unknown { command } => unknown::run(&session, output, command).await,
        Command::Completions { .. } | Command::Man | Command::Relay | Command::Runbook { .. } => Ok(Exit::Done),
    }
}

/// The console itself, or its lines where there is no terminal for it.
async fn console(global: &args::Global) -> Result<Exit, Failure> {
    let target = global.target()?;
    let asked = global.plain || std::env::var_os("USHER_PLAIN").is_some_and(|v| !v.is_empty());
    if asked || dumb_terminal() || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return lines(target).await;
    }
    let colours = global.color.allowed(true);
    let theme = match global.theme {
        _ if !colours => ThemeName::Mono,
        Some(theme) => theme,
        None if many_colours() => ThemeName::Default,
        None => ThemeName::Sixteen,
    };
    let ascii = global.ascii || !unicode_locale();
    tui::run(tui::Options { target, theme, colours, ascii }).await.map_err(|e| match e {
        tui::TuiError::NotReached(why) => Failure::new(Exit::NotReachable, why),
        other @ tui::TuiError::Terminal(_) => Failure::new(Exit::Failed, other.to_string()),
    })?;
    Ok(Exit::Done)
}

fn many_colours() -> bool {
    let has = |name: &str, part: &str| std::env::var(name).is_ok_and(|v| v.contains(part));
    has("TERM", "256color") || has("TERM", "direct") || has("COLORTERM", "truecolor") || has("COLORTERM", "24bit")
}

/// Whether the terminal cannot do more than lines.
fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Whether the locale writes UTF-8; one that says nothing is taken for one that does.
fn unicode_locale() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .is_none_or(|v| v.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

async fn lines(target: crate::session::Target) -> Result<Exit, Failure> {
    let clock = crate::clock::Clock::start();
    let ssh = matches!(target, crate::session::Target::Ssh { .. });
    let mut link = Link::start(target, clock, ssh);
    for topic in tui::TOPICS {
        let _ = link.commands.try_send(LinkCommand::Follow(topic));
    }
    let mut narrator = plain::Narrator::default();
    let mut out = io::stdout();
    while let Some(event) = link.events.recv().await {
        for line in narrator.hear(&event, clock.now()) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
