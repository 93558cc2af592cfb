//! `usher status` and `usher provider list`.

use usher_common::protocol::{Reply, Request};

use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::Session;
use crate::figures;
use crate::widgets::health;

pub(super) async fn status(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let Reply::Status(o) = session.ask(Request::Status).await? else { return Err(Failure::unexpected()) };
    let now = session.client.welcome().now;
    output.show(&o, |out| {
        out.line(&format!(
            "{} {}  {}  usherd {}",
            health(o.health).glyph,
            health(o.health).word,
            o.environment,
            o.version
        ))?;
        for (of, text) in &o.findings {
            out.line(&format!("  {} {:<4}  {text}", health(*of).glyph, health(*of).word))?;
        }
        out.pairs(&[
            ("rate", format!("{}/s", figures::rate(o.rate))),
            ("accepted today", figures::count(o.accepted_today)),
            ("open", figures::count(o.counts.open())),
            ("in doubt", figures::count(o.counts.unknown)),
            ("errors, 5 min", format!("{:.1}%", o.error_rate_percent)),
            ("processing p95", figures::latency(o.processing_p95_ms)),
            ("campaigns open", o.campaigns_open.to_string()),
            ("up", figures::age(now, o.started)),
            ("clients", o.clients.to_string()),
            ("memory", figures::bytes(o.memory_bytes)),
        ])
    })?;
    Ok(Exit::Done)
}

pub(super) async fn providers(session: &Session<'_>, output: &Output) -> Result<Exit, Failure> {
    let Reply::Providers(rows) = session.ask(Request::Providers).await? else { return Err(Failure::unexpected()) };
    output.show(&rows, |out| {
        let table: Vec<Vec<String>> = rows
            .iter()
            .map(|r| {
                vec![
                    r.name.clone(),
                    r.channel.to_string(),
                    r.rank.to_string(),
                    health(r.health).word.to_owned(),
                    r.controls.iter().map(|control| control.kind.to_string()).collect::<Vec<_>>().join(", "),
                    r.breaker.to_string(),
                    figures::rate(r.rate),
                    r.success.map_or_else(|| "-".to_owned(), figures::percent),
                    figures::latency(r.p99_ms),
                    r.in_flight.to_string(),
                    r.last_error.clone(),
                ]
            })
            .collect();
        out.table(
            &[
                ("NAME", Align::Left),
                ("CHANNEL", Align::Left),
                ("RANK", Align::Right),
                ("STATE", Align::Left),
                ("STEERED", Align::Left),
                ("BREAKER", Align::Left),
                ("RATE", Align::Right),
                ("SUCCESS", Align::Right),
                ("P99", Align::Right),
                ("IN FLIGHT", Align::Right),
                ("LAST FAILURE", Align::Left),
            ],
            &table,
        )
    })?;
    Ok(Exit::Done)
}
