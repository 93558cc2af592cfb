//! `usher alerts`, `usher alert`, `usher silence` and `usher sla`.

use clap::Subcommand;
use usher_common::protocol::{Reply, Request};

use super::args::ActFlags;
use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::{Session, report};
use crate::figures;

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// Send a test by every alert channel, or by one, and say what each answered
    Test {
        /// Its name in the configuration
        channel: Option<String>,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Take the alerts of a rule over: they are not repeated for half an hour
    Ack {
        /// The rule, such as provider-down
        rule: String,
        #[command(flatten)]
        act: ActFlags,
    },
    /// Who is told by which way, and how that is
    Channels,
}

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// Keep alerts from being told for a time; needs a reason
    Add {
        /// The rules: a name, or one with *
        rule: String,
        /// What they concern, such as "provider resend", or with *
        #[arg(long, default_value = "*")]
        object: String,
        /// For how long, at most 24h
        #[arg(long = "for", value_name = "DURATION", value_parser = figures::seconds)]
        span: u64,
        #[command(flatten)]
        act: ActFlags,
    },
    /// All silences, and maintenance windows
    List,
    /// End one
    End {
        /// Its number
        id: u64,
        #[command(flatten)]
        act: ActFlags,
    },
}

async fn page(session: &Session<'_>) -> Result<usher_common::model::AlertPage, Failure> {
    let Reply::Alerts(page) = session.ask(Request::Alerts).await? else { return Err(Failure::unexpected()) };
    Ok(*page)
}

pub(super) async fn list(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let page = page(session).await?;
    let now = session.client.welcome().now;
    output.show(&page.alerts, |out| {
        if page.alerts.is_empty() {
            return out.line("nothing fires");
        }
        let row = |alert: &usher_common::model::AlertRow| {
            vec![
                alert.priority.to_string(),
                alert.state.to_string(),
                figures::age(now, alert.since),
                alert.rule.clone(),
                alert.summary.clone(),
                alert.detail.clone(),
                if alert.quiet.is_empty() {
                    if alert.told { "yes" } else { "no" }.to_owned()
                } else {
                    alert.quiet.clone()
                },
                alert.action.clone(),
            ]
        };
        let table: Vec<Vec<String>> = page.alerts.iter().map(row).collect();
        out.table(
            &["", "STATE", "FOR", "RULE", "WHAT", "CAUSE", "TOLD", "FIRST"].map(|title| (title, Align::Left)),
            &table,
        )
    })?;
    Ok(Exit::Done)
}

pub(super) async fn alert(command: AlertCommand, session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    match command {
        AlertCommand::Ack { rule, act } => {
            report(output, &session.act(Request::AlertAcknowledge { rule }, &act).await?)
        }
        AlertCommand::Channels => channels(session, output).await,
        AlertCommand::Test { channel, act } => {
            let reply = session.act(Request::AlertTest { channel }, &act).await?;
            let Reply::AlertTrials(trials) = reply else { return report(output, &reply) };
            output.show(&trials, |out| {
                if trials.is_empty() {
                    return out
                        .line("no alert channel is configured: add an [[alert_channel]] and name it in alerting.page");
                }
                trials.iter().try_for_each(|trial| {
                    let came =
                        if trial.taken { "took it".to_owned() } else { format!("did not take it: {}", trial.said) };
                    out.line(&format!("{} {came} ({} ms)", trial.channel, trial.took_ms))
                })
            })?;
            Ok(if !trials.is_empty() && trials.iter().all(|trial| trial.taken) { Exit::Done } else { Exit::Failed })
        }
    }
}

async fn channels(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let page = page(session).await?;
    output.show(&page.channels, |out| {
        if page.channels.is_empty() {
            return out.line("no alert channel is configured, so that nobody is told");
        }
        let row = |channel: &usher_common::model::AlertChannelRow| {
            vec![
                channel.name.clone(),
                if channel.pages { "yes" } else { "no" }.to_owned(),
                channel.taken.map_or("-".to_owned(), figures::exact),
                channel.waiting.to_string(),
                channel.said.clone(),
            ]
        };
        let table: Vec<Vec<String>> = page.channels.iter().map(row).collect();
        out.table(&["NAME", "WAKES", "LAST TOOK", "WAITING", "LAST SAID"].map(|title| (title, Align::Left)), &table)
    })?;
    Ok(Exit::Done)
}

pub(super) async fn silence(command: SilenceCommand, session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    match command {
        SilenceCommand::Add { rule, object, span, act } => {
            let request = Request::SilenceAdd { rule, object, seconds: span };
            report(output, &session.act(request, &act).await?)
        }
        SilenceCommand::End { id, act } => report(output, &session.act(Request::SilenceEnd { id }, &act).await?),
        SilenceCommand::List => {
            let page = page(session).await?;
            output.show(&(&page.silences, &page.windows), |out| {
                for silence in &page.silences {
                    out.line(&format!(
                        "silence {}: {} of {} until {} by {}: {}",
                        silence.id,
                        silence.rule,
                        silence.object,
                        figures::exact(silence.until),
                        silence.by,
                        silence.reason
                    ))?;
                }
                for window in &page.windows {
                    let when = match (window.until, window.next) {
                        (Some(until), _) => format!("now, until {}", figures::exact(until)),
                        (None, Some(next)) => format!("next {}", figures::exact(next)),
                        (None, None) => "over".to_owned(),
                    };
                    out.line(&format!("maintenance {}: {when}", window.name))?;
                }
                Ok(())
            })?;
            Ok(Exit::Done)
        }
    }
}

pub(super) async fn sla(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let Reply::Sla(rows) = session.ask(Request::Sla).await? else { return Err(Failure::unexpected()) };
    output.show(&rows, |out| {
        if rows.is_empty() {
            return out.line("nothing was sent in the last 30 days, so that nothing was promised to anybody");
        }
        let row = |sla: &usher_common::model::SlaRow| {
            let burn = |name: &str| {
                let found = sla.windows.iter().find(|window| window.window == name).and_then(|window| window.burn);
                found.map_or("-".to_owned(), |burn| format!("{burn:.1}"))
            };
            let month = sla.windows.last();
            vec![
                sla.object.clone(),
                sla.status.to_string(),
                sla.budget_left_percent.map_or("-".to_owned(), |left| format!("{left:.0}%")),
                sla.exhausted_in_seconds.map_or("-".to_owned(), figures::span),
                burn("5m"),
                burn("1h"),
                month.map_or("-".to_owned(), |month| figures::count(month.bad)),
                month.map_or("-".to_owned(), |month| figures::count(month.good + month.bad)),
                figures::count(sla.excluded),
                sla.uptime.map_or("-".to_owned(), |share| format!("{:.2}%", 100.0 * share)),
            ]
        };
        let table: Vec<Vec<String>> = rows.iter().map(row).collect();
        let numbers = ["BUDGET LEFT", "GONE IN", "BURN 5M", "BURN 1H", "BAD 30D", "OF ALL", "LEFT OUT", "UPTIME"];
        let titles: Vec<(&str, Align)> = [("OF", Align::Left), ("30 DAYS", Align::Left)]
            .into_iter()
            .chain(numbers.map(|title| (title, Align::Right)))
            .collect();
        out.table(&titles, &table)
    })?;
    Ok(Exit::Done)
}
