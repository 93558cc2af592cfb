//! `usher guests`: lists, guests, export, changes.

use usher_common::model::{BulkChange, GuestChange, GuestRow, Trace};
use usher_common::protocol::{Reply, Request};

use super::args::{GuestsCommand, ListsCommand};
use super::exit::{Exit, Failure};
use super::import;
use super::output::{Align, Output};
use super::session::{Session, guest_name, report};
use crate::figures;

/// Rows asked for at once.
const WINDOW: u32 = 1_000;

pub(super) async fn run(session: &Session<'_>, output: &Output, command: GuestsCommand) -> Result<Exit, Failure> {
    match command {
        GuestsCommand::Import { file, list, vouched_by, country, act } => {
            import::run(session, output, import::Import { file, list, vouched_by, country }, &act).await
        }
        GuestsCommand::Lists { command: Some(ListsCommand::Delete { list, act }) } => {
            let list = session.list(&list).await?;
            let request = Request::ListDelete { list: list.id };
            if !act.dry_run && !output.yes {
                for line in session.preview(request.clone()).await? {
                    output.aside(&format!("{} {}", line.what, line.effect));
                }
                output.confirm(&format!("The list {} is deleted with all its guests.", list.name), &list.name).await?;
            }
            report(output, &session.act(request, &act).await?)
        }
        GuestsCommand::Lists { command: None } => {
            let Reply::Lists(rows) = session.ask(Request::Lists).await? else { return Err(Failure::unexpected()) };
            output.show(&rows, |out| {
                let table: Vec<Vec<String>> = rows
                    .iter()
                    .map(|r| {
                        vec![r.id.to_string(), r.name.clone(), figures::count(r.guests), figures::exact(r.changed)]
                    })
                    .collect();
                let columns =
                    [("ID", Align::Left), ("NAME", Align::Left), ("GUESTS", Align::Right), ("CHANGED", Align::Left)];
                out.table(&columns, &table)
            })?;
            Ok(Exit::Done)
        }
        GuestsCommand::Trace { address } => {
            let Reply::Trace(trace) = session.ask(Request::GuestTrace { address: address.clone() }).await? else {
                return Err(Failure::unexpected());
            };
            if trace.guests.is_empty() && trace.suppressed.is_empty() {
                return Err(Failure::new(Exit::NotFound, format!("no list knows `{address}`")));
            }
            output.show(&trace, |out| show_trace(out, &trace))?;
            Ok(Exit::Done)
        }
        GuestsCommand::List { list, segment, limit } => {
            let list = session.list(&list).await?.id;
            let mut rows: Vec<GuestRow> = Vec::new();
            let mut after = None;
            let wanted = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
            while rows.len() < wanted {
                let window = u32::try_from(wanted - rows.len()).unwrap_or(WINDOW).min(WINDOW);
                let request = Request::Guests { list, segment: segment.clone(), after, limit: window };
                let Reply::Guests(page) = session.ask(request).await? else { return Err(Failure::unexpected()) };
                rows.extend(page.rows);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            output.show(&rows, |out| guest_table(out, &rows))?;
            if after.is_some() && !output.is_json() {
                output.aside(&format!("the first {}; --limit 0 shows all", rows.len()));
            }
            Ok(Exit::Done)
        }
        GuestsCommand::Show { list, guest } => {
            let list = session.list(&list).await?.id;
            let request = Request::Guest { list, guest: guest_name(&guest) };
            let Reply::Guest(row) = session.ask(request).await? else { return Err(Failure::unexpected()) };
            output.show(&row, |out| show(out, &row))?;
            Ok(Exit::Done)
        }
        GuestsCommand::Export { list, segment } => {
            let list = session.list(&list).await?.id;
            let mut after = None;
            loop {
                let request = Request::Export { list, segment: segment.clone(), after, limit: WINDOW };
                let Reply::Csv(page) = session.ask(request).await? else { return Err(Failure::unexpected()) };
                output.raw(&page.text)?;
                after = page.next;
                if after.is_none() {
                    return Ok(Exit::Done);
                }
            }
        }
        GuestsCommand::Add { list, fields, vouched_by, act } => {
            let name = session.list_name(&list).await?;
            let request = Request::GuestAdd { list: name.clone(), fields: changes(fields), vouched_by };
            report_guest(output, &session.act(request, &act).await?, &name)
        }
        GuestsCommand::Edit { list, guest, fields, act } => {
            let list = session.list(&list).await?;
            let request = Request::GuestEdit { list: list.id, guest: guest_name(&guest), changes: changes(fields) };
            report_guest(output, &session.act(request, &act).await?, &list.name)
        }
        GuestsCommand::Delete { list, guest, act } => {
            let list = session.list(&list).await?;
            let request = Request::GuestDelete { list: list.id, guest: guest_name(&guest) };
            if !act.dry_run {
                let what =
                    format!("{guest} is deleted from {}, and its key destroyed: this cannot be taken back.", list.name);
                output.confirm(&what, &guest).await?;
            }
            report(output, &session.act(request, &act).await?)
        }
        GuestsCommand::Bulk { list, segment, fields, act } => {
            let list = session.list(&list).await?;
            let change = BulkChange { segment, changes: changes(fields) };
            let request = Request::GuestBulk { list: list.id, change };
            if !act.dry_run && !output.yes {
                for line in session.preview(request.clone()).await? {
                    output.aside(&format!("{} {}", line.what, line.effect));
                }
                output.confirm(&format!("This changes guests of {}.", list.name), &list.name).await?;
            }
            report(output, &session.act(request, &act).await?)
        }
    }
}

fn changes(fields: Vec<(String, String)>) -> Vec<GuestChange> {
    fields.into_iter().map(|(field, value)| GuestChange { field, value }).collect()
}

/// Prints what came of an act on one guest.
fn report_guest(output: &Output, reply: &Reply, list: &str) -> Result<Exit, Failure> {
    let Reply::Guest(row) = reply else { return report(output, reply) };
    let g = &row.guest;
    let name = Some(&g.name).filter(|name| !name.is_empty());
    let who = name.or(g.email.as_ref()).or(g.phone.as_ref()).or(g.slack.as_ref()).map_or("", String::as_str);
    output.show(reply, |out| out.line(&format!("{} {who} on {list}", row.id)))?;
    Ok(Exit::Done)
}

fn guest_table(out: &Output, rows: &[GuestRow]) -> Result<(), Failure> {
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let g = &row.guest;
            vec![
                row.id.to_string(),
                g.name.clone(),
                g.email.clone().unwrap_or_default(),
                g.phone.clone().unwrap_or_default(),
                g.rsvp.to_string(),
                if g.plus_one { "yes".to_owned() } else { String::new() },
                g.groups.join(", "),
            ]
        })
        .collect();
    let titles = ["ID", "NAME", "E-MAIL", "PHONE", "RSVP", "PLUS ONE", "GROUPS"];
    out.table(&titles.map(|title| (title, Align::Left)), &table)
}

fn show(out: &Output, row: &GuestRow) -> Result<(), Failure> {
    let g = &row.guest;
    let mut pairs = vec![
        ("id", format!("{} on {}", row.id, row.list)),
        ("name", g.name.clone()),
        ("e-mail", g.email.clone().unwrap_or_default()),
        ("phone", g.phone.clone().unwrap_or_default()),
        ("slack", g.slack.clone().unwrap_or_default()),
        ("rsvp", g.rsvp.to_string()),
        ("plus one", if g.plus_one { "yes" } else { "no" }.to_owned()),
        ("dietary requirements", g.dietary_requirements.clone()),
        ("groups", g.groups.join(", ")),
        ("country", g.country.clone()),
        ("locale", g.locale.clone()),
        ("time zone", g.timezone.clone()),
        ("prefers", g.preferred.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ")),
        ("source", row.provenance.source.clone()),
        ("vouched for by", row.provenance.vouched_by.clone()),
        ("came in", figures::exact(row.provenance.at)),
    ];
    pairs.extend(g.custom.iter().map(|(key, value)| (key.as_str(), value.clone())));
    pairs.retain(|(_, value)| !value.is_empty());
    out.pairs(&pairs)
}

/// The story of a person: where it is known, what is closed to it, and every message.
fn show_trace(out: &Output, trace: &Trace) -> Result<(), Failure> {
    for guest in &trace.guests {
        out.line(&format!("{} {} on {} {}", guest.guest, guest.name, guest.list, guest.list_name))?;
    }
    for closed in &trace.suppressed {
        let since = figures::exact(closed.since);
        out.line(&format!("not to be written to by {}: {}, since {since}", closed.channel, closed.reason))?;
    }
    if trace.messages.is_empty() {
        out.line("no campaign has written to it")?;
    }
    for traced in &trace.messages {
        out.line("")?;
        out.line(&format!("campaign {} {}", traced.message.row.campaign, traced.campaign))?;
        super::campaign::show_story(out, &traced.message)?;
    }
    if trace.more {
        out.aside(&format!("the first {} messages", trace.messages.len()));
    }
    Ok(())
}
