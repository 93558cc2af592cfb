//! `usher campaign watch`: a campaign to its end.

use usher_common::model::{CampaignId, CampaignRow, CampaignState};
use usher_common::protocol::{Row, Topic};

use super::exit::{Exit, Failure};
use super::output::Output;
use super::session::Session;
use crate::figures;
use crate::session::Update;

/// What an ended campaign ends the program with; `None` while it goes on.
pub(super) fn verdict(row: &CampaignRow) -> Option<Exit> {
    match row.state {
        CampaignState::Finished => Some(Exit::Done),
        CampaignState::Partial => Some(Exit::Partial),
        CampaignState::Cancelled => Some(Exit::Cancelled),
        _ => None,
    }
}

pub(super) async fn run(session: &Session<'_>, output: &Output, id: CampaignId) -> Result<Exit, Failure> {
    let mut updates = session.client.follow(Topic::Campaign(id)).await?;
    let mut said = String::new();
    while let Some(update) = updates.next().await {
        let (Update::Snapshot(rows) | Update::Delta { rows, .. }) = update else { continue };
        for row in rows {
            let Row::Detail(detail) = row else { continue };
            let row = &detail.row;
            if output.is_json() {
                output.json_line(row)?;
            } else {
                let line = describe(row);
                if output.progress {
                    output.tell_progress(&line);
                } else if line != said {
                    output.line(&line)?;
                }
                said = line;
            }
            if let Some(exit) = verdict(row) {
                output.end_progress();
                if output.progress {
                    output.line(&said)?;
                }
                return Ok(exit);
            }
            if row.deleted.is_some() {
                output.end_progress();
                return Err(Failure::new(Exit::NotFound, format!("{} was deleted while it was watched", row.id)));
            }
        }
    }
    output.end_progress();
    Err(Failure::new(
        Exit::NotReachable,
        "the line to the daemon broke while watching\nThe campaign goes on without it; watch again.",
    ))
}

fn describe(row: &CampaignRow) -> String {
    let total = row.counts.total();
    // What is in doubt is not done: somebody may have to settle it.
    let done = total - row.counts.open() - row.counts.unknown;
    let mut line = format!(
        "{} {}: {}, {} of {} done ({}), {}/s, {} failed, {} in doubt",
        row.id,
        row.name,
        row.state,
        figures::count(done),
        figures::count(total),
        figures::part(done, total),
        figures::rate(row.rate),
        figures::count(row.counts.failed),
        figures::count(row.counts.unknown),
    );
    if let Some(left) = row.eta_seconds.filter(|_| !row.state.is_ended()) {
        line.extend([", ", &figures::span(left), " left"]);
    }
    if !row.why.is_empty() {
        line.extend(["; ", &row.why]);
    }
    line
}
