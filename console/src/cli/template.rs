//! `usher template`.

use std::io::Read as _;
use std::path::Path;

use usher_common::model::{Rendered, TemplateBody};
use usher_common::protocol::{Reply, Request};

use super::args::TemplateCommand;
use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::{Session, guest_name, report};

pub(super) async fn run(session: &Session<'_>, output: &Output, command: TemplateCommand) -> Result<Exit, Failure> {
    match command {
        TemplateCommand::List => {
            let Reply::Templates(rows) = session.ask(Request::Templates).await? else {
                return Err(Failure::unexpected());
            };
            output.show(&rows, |out| {
                let table: Vec<Vec<String>> = rows
                    .iter()
                    .map(|r| {
                        let origin = if r.built_in { "built in" } else { "own" };
                        vec![r.name.clone(), origin.to_owned(), r.tokens.join(", ")]
                    })
                    .collect();
                out.table(&["NAME", "ORIGIN", "TOKENS"].map(|title| (title, Align::Left)), &table)
            })?;
            Ok(Exit::Done)
        }
        TemplateCommand::Show { name } => {
            let reply = session.ask(Request::Template { name }).await?;
            let Reply::Template { body, .. } = &reply else { return Err(Failure::unexpected()) };
            output.show(&reply, |out| {
                for (label, text) in
                    [("subject", &body.subject), ("text", &body.text), ("short", &body.short), ("html", &body.html)]
                {
                    if !text.is_empty() {
                        out.line(&format!("--- {label}"))?;
                        multi_line(out, text)?;
                    }
                }
                Ok(())
            })?;
            Ok(Exit::Done)
        }
        TemplateCommand::Preview { name, channel, list, guest } => {
            let guest = match (list, guest) {
                (Some(list), Some(guest)) => Some((session.list(&list).await?.id, guest_name(&guest))),
                _ => None,
            };
            let reply = session.ask(Request::TemplatePreview { name, channel, guest }).await?;
            let Reply::Rendered(rendered) = &reply else { return Err(Failure::unexpected()) };
            output.show(rendered, |out| show_rendered(out, rendered))?;
            Ok(Exit::Done)
        }
        TemplateCommand::Save { name, subject, text, html, short, act } => {
            let body = TemplateBody {
                subject,
                text: read(&text)?,
                html: html.as_deref().map(read).transpose()?.unwrap_or_default(),
                short: short.as_deref().map(read).transpose()?.unwrap_or_default(),
            };
            let reply = session.act(Request::TemplateSave { name: name.clone(), body }, &act).await?;
            if matches!(reply, Reply::Template { .. }) {
                output.show(&reply, |out| out.line(&format!("{name} is saved")))?;
                return Ok(Exit::Done);
            }
            report(output, &reply)
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(cannot)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(cannot)
}

fn multi_line(out: &Output, text: &str) -> Result<(), Failure> {
    for line in text.lines() {
        out.line(line)?;
    }
    Ok(())
}

/// Prints messages as a guest would get them.
pub(super) fn show_rendered(out: &Output, rendered: &[Rendered]) -> Result<(), Failure> {
    for message in rendered {
        let size = match message.segments {
            0 => String::new(),
            n => format!("  ({n} segments, {})", message.encoding),
        };
        out.line(&format!("--- {} to {}{size}", message.channel, message.to))?;
        if !message.subject.is_empty() {
            out.line(&format!("Subject: {}", message.subject))?;
            out.line("")?;
        }
        multi_line(out, &message.text)?;
        if !message.html.is_empty() {
            out.line(&format!("(and an HTML part of {} bytes)", message.html.len()))?;
        }
    }
    Ok(())
}
