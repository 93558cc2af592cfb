//! `usher unknown`: messages of which nobody knows whether they arrived.

use usher_common::model::{CampaignId, Doubt, Verdict};
use usher_common::protocol::{DoubtPage, Reply, Request};

use super::args::UnknownCommand;
use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::{Session, report};
use crate::figures;

pub(super) async fn run(session: &Session<'_>, output: &Output, command: UnknownCommand) -> Result<Exit, Failure> {
    match command {
        UnknownCommand::List { campaign, limit } => {
            let id = match campaign {
                Some(named) => Some(session.campaign(&named).await?.id),
                None => None,
            };
            let page = ask(session, id, limit.clamp(1, 1000)).await?;
            output.show(&page, |out| table(out, &page))?;
            Ok(Exit::Done)
        }
        UnknownCommand::Show { campaign, message } => {
            let campaign = session.campaign(&campaign).await?.id;
            let Reply::Message(detail) = session.ask(Request::Message { campaign, id: message }).await? else {
                return Err(Failure::unexpected());
            };
            output.show(&detail, |out| super::campaign::show_story(out, &detail))?;
            Ok(Exit::Done)
        }
        UnknownCommand::Settle { campaign, messages, verdict, all, act } => {
            if messages.is_empty() && !all {
                return Err(Failure::usage("name messages, such as m17, or --all of them".to_owned()));
            }
            if act.reason.trim().is_empty() && !act.dry_run {
                let why = "say with --reason how you know: it is the only evidence that there will be";
                return Err(Failure::usage(why.to_owned()));
            }
            let row = session.campaign(&campaign).await?;
            let request = Request::DoubtSettle { campaign: row.id, messages, verdict };
            if verdict == Verdict::Resend && !act.dry_run && !output.yes {
                for line in session.preview(request.clone()).await? {
                    output.aside(&format!("{} {}", line.what, line.effect));
                }
                output.confirm("Some guests may hear it twice.", &row.name).await?;
            }
            report(output, &session.act(request, &act).await?)
        }
    }
}

async fn ask(session: &Session<'_>, campaign: Option<CampaignId>, limit: u32) -> Result<DoubtPage, Failure> {
    match session.ask(Request::Doubts { campaign, limit }).await? {
        Reply::Doubts(page) => Ok(page),
        _ => Err(Failure::unexpected()),
    }
}

fn table(out: &Output, page: &DoubtPage) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = page.rows.iter().map(line).collect();
    let columns = [
        ("CAMPAIGN", Align::Left),
        ("ID", Align::Left),
        ("GUEST", Align::Left),
        ("CHANNEL", Align::Left),
        ("PROVIDER", Align::Left),
        ("SINCE", Align::Left),
        ("NOW", Align::Left),
        ("ASKED AGAIN UNTIL", Align::Left),
        ("WHY", Align::Left),
    ];
    out.table(&columns, &rows)?;
    let shown = page.rows.len() as u64;
    if shown < page.total {
        out.aside(&format!("the oldest {} of {}", figures::count(shown), figures::count(page.total)));
    }
    Ok(())
}

fn line(doubt: &Doubt) -> Vec<String> {
    let row = &doubt.message;
    vec![
        format!("{} {}", row.campaign, doubt.campaign),
        row.id.to_string(),
        row.guest_name.clone(),
        row.channel.to_string(),
        row.provider.clone(),
        figures::exact(doubt.since),
        doubt.step.clone(),
        doubt.asked_until.map_or("never: it keeps no keys".to_owned(), figures::exact),
        row.why.clone(),
    ]
}
