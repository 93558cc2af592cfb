//! `usher-sim`: the simulator as a program.
//! Promises: one JSON line with all addresses on standard output once every port is open; ends on SIGTERM and SIGINT with 0.

use clap::Parser;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use usher_sim::{Config, Simulator, StartError};

/// Play the message providers (Resend, Twilio, SMTP submission, SendGrid, Slack, WhatsApp) on this machine, with faults on
/// demand.
///
/// When every port is open, one line of JSON with the addresses is printed. Flags win over the configuration file.
/// Everything listens on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "usher-sim", version, after_help = AFTER)]
struct Flags {
    /// Configuration file (TOML); may also hold a script, as [[step]] tables
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Script of faults (TOML with [[step]] tables), played from the start; its steps join those of the configuration
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Seed of ids and latencies: the same seed, the same run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Full bodies kept, the latest ones; 0 for none [default: 1000]
    #[arg(long, value_name = "N")]
    keep_bodies: Option<usize>,
    /// Port of the control endpoint; 0 for any free one [default: 0]
    #[arg(long, value_name = "PORT")]
    control_port: Option<u16>,
    /// Port of Resend [default: 0]
    #[arg(long, value_name = "PORT")]
    resend_port: Option<u16>,
    /// Port of Twilio [default: 0]
    #[arg(long, value_name = "PORT")]
    twilio_port: Option<u16>,
    /// Port of SMTP with STARTTLS [default: 0]
    #[arg(long, value_name = "PORT")]
    smtp_port: Option<u16>,
    /// Port of SMTP with implicit TLS [default: 0]
    #[arg(long, value_name = "PORT")]
    smtps_port: Option<u16>,
    /// Port of SendGrid [default: 0]
    #[arg(long, value_name = "PORT")]
    sendgrid_port: Option<u16>,
    /// Port of Slack: Web API and incoming webhooks [default: 0]
    #[arg(long, value_name = "PORT")]
    slack_port: Option<u16>,
    /// Port of WhatsApp [default: 0]
    #[arg(long, value_name = "PORT")]
    whatsapp_port: Option<u16>,
    /// Write the certificate to trust for SMTP into this file, as PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

const AFTER: &str = r#"Control endpoint:
  POST   /faults       {"provider":"twilio","fault":{"kind":"status","status":503,"percent":30},"for":"10s"}
  GET    /faults       faults in force, and how often each struck
  DELETE /faults       lift all; ?provider=twilio those of one; /faults/ID one
  GET    /record       what was accepted, as JSON lines; ?from=N from a sequence on
  GET    /counts       requests, answers and accepted messages of each provider
  GET    /duplicates   messages that reached somebody twice
  GET    /addresses    the line printed at the start
  POST   /reset        forget record, counts, keys and faults

Faults: refuse, hang, hang_after_accept (accepted), reset (when), status (status, accepted, code), throttle (retry_after),
  slow (latency), wrong_body (accepted), auth_failure; SMTP also: expired_certificate, reply (stage, text), drop (when).
  A status of 200 with a code is one of Slack's words. Each takes percent, seed, times and scope (all, sends, probes). A fault without settings may be written as its name.

Script:
  [[step]]
  at = "5s"
  provider = "twilio"
  fault = "refuse"
  for = "10s"

Credentials unless configured:
  Resend    key re_simulator
  Twilio    AC00000000000000000000000000000001 / simulator
  SMTP      usher / simulator
  SendGrid  key SG.simulator
  Slack     token xoxb-simulator; webhook /services/T00000001/B00000001/simulator
  WhatsApp  token EAAsimulator; phone number id 100000000000001"#;

/// The program could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("reading {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no valid configuration: {source}", path = path.display())]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("writing {what}: {source}")]
    Write { what: String, source: std::io::Error },
    #[error("starting the runtime or its signal handlers: {0}")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let ran = tokio::runtime::Runtime::new().map_err(Failure::Runtime).and_then(|runtime| runtime.block_on(run(flags)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to tell when standard error is closed, too.
            let _ = writeln!(std::io::stderr(), "usher-sim: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let simulator = Simulator::start(configuration(&flags)?).await?;
    if let Some(path) = &flags.ca_file {
        let what = path.display().to_string();
        std::fs::write(path, simulator.ca_pem()).map_err(|source| Failure::Write { what, source })?;
    }
    let line = serde_json::to_string(&simulator.addresses()).expect("addresses are texts");
    let printed = writeln!(std::io::stdout(), "{line}").and_then(|()| std::io::stdout().flush());
    printed.map_err(|source| Failure::Write { what: "the addresses".into(), source })?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

fn configuration(flags: &Flags) -> Result<Config, Failure> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
        toml::from_str::<Config>(&text).map_err(|error| Failure::Parse { path: path.clone(), source: Box::new(error) })
    };
    let mut config = flags.config.as_ref().map_or_else(|| Ok(Config::default()), read)?;
    if let Some(script) = &flags.script {
        config.script.extend(read(script)?.script);
    }
    config.seed = flags.seed.unwrap_or(config.seed);
    config.keep_bodies = flags.keep_bodies.unwrap_or(config.keep_bodies);
    config.control_port = flags.control_port.unwrap_or(config.control_port);
    config.resend.port = flags.resend_port.unwrap_or(config.resend.port);
    config.twilio.port = flags.twilio_port.unwrap_or(config.twilio.port);
    config.smtp.port = flags.smtp_port.unwrap_or(config.smtp.port);
    config.smtp.tls_port = flags.smtps_port.unwrap_or(config.smtp.tls_port);
    config.sendgrid.port = flags.sendgrid_port.unwrap_or(config.sendgrid.port);
    config.slack.port = flags.slack_port.unwrap_or(config.slack.port);
    config.whatsapp.port = flags.whatsapp_port.unwrap_or(config.whatsapp.port);
    Ok(config)
}
