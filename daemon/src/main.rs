//! `usherd`: arguments, configuration, logging, and then the daemon; or a mail that is brought to it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use usherd::config::{Config, Sources, Table};
use usherd::service::daemon;
use usherd::service::doctor::{self, Doctor};
use usherd::service::logging::Logging;
use usherd::service::receive_mail::{self, Exit, ReceiveMail};

/// A message's way makes and drops hundreds of small values, most of them the index's; the C library's allocator took four
/// tenths of the time of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The dispatch daemon: sends campaigns, watches the providers, fails over.
///
/// Reads one TOML file and the environment; every key is explained in the example configuration. SIGTERM drains and
/// stops, SIGHUP reads the configuration again.
///
/// Exit codes: 0 stopped as asked; 1 it could not go on; 2 the configuration or the arguments cannot be used.
#[derive(Debug, Parser)]
#[command(name = "usherd", version)]
struct Arguments {
    /// The configuration file. Without it /etc/usher/usherd.toml is read where it exists, else the environment alone.
    #[arg(long, env = "USHER_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Check the configuration, print every value with its source, and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the manual page in roff and exit.
    #[arg(long, hide = true, global = true)]
    man: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else it does than to be the daemon.
#[derive(Debug, Subcommand)]
enum Command {
    ReceiveMail(ReceiveMail),
    Doctor(Doctor),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    if arguments.man {
        return print_manual(arguments.command.as_ref());
    }
    let mut runtime = match &arguments.command {
        Some(Command::ReceiveMail(_) | Command::Doctor(_)) => tokio::runtime::Builder::new_current_thread(),
        None => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "usherd: the runtime does not start: {error}");
            let for_mail = matches!(arguments.command, Some(Command::ReceiveMail(_)));
            return if for_mail { Exit::TempFail.into() } else { ExitCode::FAILURE };
        }
    };
    match &arguments.command {
        Some(Command::ReceiveMail(asked)) => runtime.block_on(receive_mail::run(asked, arguments.config)).into(),
        Some(Command::Doctor(asked)) => runtime.block_on(doctor::run(asked, arguments.config)),
        None => runtime.block_on(serve(arguments)),
    }
}

/// A command line that is none, or help. A mail server reads the code for the first by its own list.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let for_mail = std::env::args_os().any(|word| word == "receive-mail");
    if error.use_stderr() && for_mail {
        Exit::Usage.into()
    } else {
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    }
}

/// Is the daemon, until it is asked to stop.
async fn serve(arguments: Arguments) -> ExitCode {
    let file = arguments.config.or_else(|| Some(daemon::default_config()).filter(|path| path.exists()));
    let sources = Sources::of_process(file);
    let loaded = match Config::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let mut out = std::io::stderr().lock();
            for error in &errors {
                let _ = writeln!(out, "usherd: {error}");
            }
            let _ = writeln!(out, "usherd: {} in the configuration; nothing was started", count(errors.len()));
            return ExitCode::from(2);
        }
    };
    if arguments.check_config {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{}", Table(&loaded));
        for warning in &loaded.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        return ExitCode::SUCCESS;
    }
    let logging = match Logging::start(loaded.config.log) {
        Ok(logging) => logging,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "usherd: {error}");
            return ExitCode::FAILURE;
        }
    };
    match daemon::run(loaded, sources, logging).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Once: the log goes to standard error, or to the journal that standard error is connected to.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 error".to_owned() } else { format!("{n} errors") }
}

fn print_manual(of: Option<&Command>) -> ExitCode {
    let mut whole = <Arguments as clap::CommandFactory>::command();
    // The options that all have stand in the pages of all.
    whole.build();
    let name = of.map(|command| match command {
        Command::ReceiveMail(_) => "receive-mail",
        Command::Doctor(_) => "doctor",
    });
    let page = name.and_then(|name| Some((name, whole.find_subcommand(name)?.clone())));
    let page = page.map_or(whole, |(name, page)| page.display_name(format!("usherd-{name}")));
    let manual = clap_mangen::Man::new(page);
    let mut page = Vec::new();
    match manual.render(&mut page).and_then(|()| std::io::stdout().write_all(&page)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
