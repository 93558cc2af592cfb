//! `usher hold`, `release`, `controls`, and what can be done to a provider.

use clap::Subcommand;
use usher_common::model::{Control, Steer, Target};
use usher_common::protocol::{Reply, Request};

use super::args::ActFlags;
use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::{Session, report};
use crate::figures;

/// What is held.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Held {
    /// Everything that is sent
    #[arg(long)]
    pub(super) all: bool,
    /// What is sent for an organisation
    #[arg(long, alias = "org", value_name = "NAME")]
    pub(super) organisation: Option<String>,
    /// A campaign, by id or name
    #[arg(long, value_name = "CAMPAIGN")]
    pub(super) campaign: Option<String>,
    /// What a provider would carry: it waits, and moves nowhere else
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
}

impl Held {
    async fn target(self, session: &Session<'_>) -> Result<Target, Failure> {
        Ok(match self {
            Self { organisation: Some(name), .. } => Target::Organisation(name),
            Self { campaign: Some(named), .. } => Target::Campaign(session.campaign(&named).await?.id),
            Self { provider: Some(name), .. } => Target::Provider(name),
            _ => Target::All,
        })
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct HoldFlags {
    #[command(flatten)]
    held: Held,
    /// Ends by itself after this: 90s, 30m, 2h or 1d; without it, when it is released
    #[arg(long = "for", value_name = "DURATION", value_parser = figures::seconds)]
    span: Option<u64>,
    #[command(flatten)]
    act: ActFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReleaseFlags {
    #[command(flatten)]
    held: Held,
    #[command(flatten)]
    act: ActFlags,
}

/// What an act takes that moves messages for a time.
#[derive(Debug, clap::Args)]
pub(super) struct ForATime {
    /// Ends by itself after this: 90s, 30m, 2h or 1d
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = figures::seconds)]
    span: u64,
    #[command(flatten)]
    act: ActFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProviderCommand {
    /// All providers with their state
    List,
    /// Give it nothing new: its messages go by the others of its channel
    ///
    /// What is under way ends, what is in doubt stays. Ends by itself, or with `enable`; then it comes back with a share that
    /// grows.
    Drain {
        /// Its name in the configuration
        name: String,
        #[command(flatten)]
        how: ForATime,
    },
    /// Take back how it is steered: drained, preferred, weighed
    Enable {
        /// Its name in the configuration
        name: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Let it come first in its channel
    Prefer {
        /// Its name in the configuration
        name: String,
        #[command(flatten)]
        how: ForATime,
    },
    /// Give it another weight among those of its rank
    Weigh {
        /// Its name in the configuration
        name: String,
        /// 0.01 to 1000
        weight: f64,
        #[command(flatten)]
        how: ForATime,
    },
    /// Drain it and prefer another one
    Failover {
        /// Its name in the configuration
        name: String,
        /// Which takes over; without it, the one that would carry its messages anyway
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        #[command(flatten)]
        how: ForATime,
    },
    /// Why it moves as it does: what binds now, what would next, and when what waits would be out
    Why {
        /// Its name in the configuration
        name: String,
    },
    /// Send one line by it, drained or not, before it is let back in
    Test {
        /// Its name in the configuration
        name: String,
        /// Your address, number or Slack id
        #[arg(long)]
        to: String,
        /// In whose name, where there are several organisations
        #[arg(long, alias = "org", value_name = "NAME")]
        organisation: Option<String>,
        #[command(flatten)]
        act: ActFlags,
    },
}

pub(super) async fn hold(session: &Session<'_>, output: &Output, flags: HoldFlags) -> Result<Exit, Failure> {
    let target = flags.held.target(session).await?;
    report(output, &session.act(Request::Hold { target, seconds: flags.span }, &flags.act).await?)
}

pub(super) async fn release(session: &Session<'_>, output: &Output, flags: ReleaseFlags) -> Result<Exit, Failure> {
    let target = flags.held.target(session).await?;
    report(output, &session.act(Request::Release { target }, &flags.act).await?)
}

/// Says why something moves as it does, a line each.
pub(super) async fn why(session: &Session<'_>, output: &Output, target: Target) -> Result<Exit, Failure> {
    let Reply::Why(answers) = session.ask(Request::Why { target }).await? else { return Err(Failure::unexpected()) };
    output.show(&answers, |out| answers.iter().try_for_each(|answer| out.line(&answer.line)))?;
    Ok(Exit::Done)
}

pub(super) async fn controls(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let Reply::Controls(rows) = session.ask(Request::Controls).await? else { return Err(Failure::unexpected()) };
    output.show(&rows, |out| {
        if rows.is_empty() {
            return out.line("nothing is held, and no provider is steered");
        }
        let table: Vec<Vec<String>> = rows.iter().map(line).collect();
        let columns = ["WHAT", "IS", "SINCE", "UNTIL", "BY", "WHY"].map(|title| (title, Align::Left));
        out.table(&columns, &table)
    })?;
    Ok(Exit::Done)
}

fn line(control: &Control) -> Vec<String> {
    vec![
        control.target.to_string(),
        control.kind.to_string(),
        figures::exact(control.since),
        control.until.map_or("released".to_owned(), figures::exact),
        control.by.clone(),
        control.reason.clone(),
    ]
}

pub(super) async fn provider(
    session: &Session<'_>,
    output: &Output,
    command: ProviderCommand,
) -> Result<Exit, Failure> {
    let (provider, steer, how) = match command {
        ProviderCommand::List => return super::status::providers(session, output).await,
        ProviderCommand::Why { name } => return why(session, output, Target::Provider(name)).await,
        ProviderCommand::Enable { name, act } => {
            return report(output, &session.act(Request::ProviderEnable { provider: name }, &act).await?);
        }
        ProviderCommand::Test { name, to, organisation, act } => {
            let request = Request::ProviderTest { provider: name, to, organisation };
            return report(output, &session.act(request, &act).await?);
        }
        ProviderCommand::Drain { name, how } => (name, Steer::Drain, how),
        ProviderCommand::Prefer { name, how } => (name, Steer::Prefer, how),
        ProviderCommand::Weigh { name, weight, how } => (name, Steer::Weigh(weight), how),
        ProviderCommand::Failover { name, to, how } => (name, Steer::FailOver { to }, how),
    };
    report(output, &session.act(Request::ProviderSteer { provider, steer, seconds: how.span }, &how.act).await?)
}
