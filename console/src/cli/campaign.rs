//! `usher campaign`.

use usher_common::model::{CampaignDetail, CampaignRow, Estimate, MessageDetail, MessageRow, MessageState, Target};
use usher_common::protocol::{Reply, Request};

use super::ActFlags;
use super::args::CampaignCommand;
use super::exit::{Exit, Failure};
use super::output::{Align, Output};
use super::session::{Session, guest_name, report};
use super::spec::Draft;
use super::template::show_rendered;
use super::{watch, when};
use crate::app::CampaignAct;
use crate::figures;

/// Rows asked for at once.
const WINDOW: u32 = 1_000;

pub(super) async fn run(session: &Session<'_>, output: &Output, command: CampaignCommand) -> Result<Exit, Failure> {
    use CampaignCommand as C;
    match command {
        C::Create { spec, act } => {
            let draft = Draft::read(*spec)?;
            if let Some(remark) = &draft.remark {
                output.aside(remark);
            }
            let list = session.list(&draft.list).await?.id;
            report(output, &session.act(Request::CampaignCreate { spec: draft.with_list(list) }, &act).await?)
        }
        C::Edit { campaign, spec, act } => {
            let row = session.campaign(&campaign).await?;
            let Reply::Campaign(detail) = session.ask(Request::Campaign { id: row.id }).await? else {
                return Err(Failure::unexpected());
            };
            let draft = Draft::edit(&detail.spec, *spec)?;
            if let Some(remark) = &draft.remark {
                output.aside(remark);
            }
            let list = session.list(&draft.list).await?.id;
            let request = Request::CampaignEdit { id: row.id, spec: draft.with_list(list) };
            report(output, &session.act_on(request, Some(detail.row.version), &act).await?)
        }
        C::List { deleted } => {
            let Reply::Campaigns(mut rows) = session.ask(Request::Campaigns).await? else {
                return Err(Failure::unexpected());
            };
            rows.retain(|row| deleted || row.deleted.is_none());
            output.show(&rows, |out| campaign_table(out, &rows))?;
            Ok(Exit::Done)
        }
        C::Why { campaign } => {
            let id = session.campaign(&campaign).await?.id;
            super::steering::why(session, output, Target::Campaign(id)).await
        }
        C::Preview { campaign, guest } => {
            let id = session.campaign(&campaign).await?.id;
            let request = Request::CampaignPreview { id, guest: guest.as_deref().map(guest_name) };
            let Reply::Rendered(rendered) = session.ask(request).await? else { return Err(Failure::unexpected()) };
            output.show(&rendered, |out| show_rendered(out, &rendered))?;
            Ok(Exit::Done)
        }
        C::Estimate { campaign } => {
            let id = session.campaign(&campaign).await?.id;
            let Reply::Estimate(estimate) = session.ask(Request::CampaignEstimate { id }).await? else {
                return Err(Failure::unexpected());
            };
            output.show(&estimate, |out| show_estimate(out, &estimate))?;
            Ok(Exit::Done)
        }
        C::Test { campaign, channel, to, act } => {
            let id = session.campaign(&campaign).await?.id;
            report(output, &session.act(Request::CampaignTest { id, channel, to }, &act).await?)
        }
        C::Send { campaign, at, act } => {
            let schedule = match at {
                None => None,
                Some(text) => {
                    let when = when::parse(&text).map_err(Failure::usage)?;
                    if let Some(remark) = &when.remark {
                        output.aside(remark);
                    }
                    Some(when.schedule)
                }
            };
            let id = session.campaign(&campaign).await?.id;
            report(output, &session.act(Request::CampaignSend { id, schedule }, &act).await?)
        }
        C::Approve { campaign, act } => do_it(session, output, CampaignAct::Approve, &campaign, &act).await,
        C::Pause { campaign, act } => do_it(session, output, CampaignAct::Pause, &campaign, &act).await,
        C::Resume { campaign, act } => do_it(session, output, CampaignAct::Resume, &campaign, &act).await,
        C::Cancel { campaign, act } => do_it(session, output, CampaignAct::Cancel, &campaign, &act).await,
        C::Delete { campaign, act } => do_it(session, output, CampaignAct::Delete, &campaign, &act).await,
        C::Restore { campaign, name, act } => {
            let id = session.campaign(&campaign).await?.id;
            report(output, &session.act(Request::CampaignRestore { id, name }, &act).await?)
        }
        C::Resend { campaign, only: _, act } => {
            let row = session.campaign(&campaign).await?;
            report(output, &session.act(Request::CampaignResend { id: row.id }, &act).await?)
        }
        C::Status { campaign } => {
            let id = session.campaign(&campaign).await?.id;
            let Reply::Campaign(detail) = session.ask(Request::Campaign { id }).await? else {
                return Err(Failure::unexpected());
            };
            output.show(&detail, |out| show(out, &detail))?;
            Ok(Exit::Done)
        }
        C::Watch { campaign } => {
            let id = session.campaign(&campaign).await?.id;
            watch::run(session, output, id).await
        }
        C::Messages { campaign, state, limit } => messages(session, output, &campaign, state, limit).await,
    }
}

/// An act on a campaign by its name; what cannot be taken back shows its effect and asks for the name.
async fn do_it(
    session: &Session<'_>,
    output: &Output,
    act: CampaignAct,
    named: &str,
    flags: &ActFlags,
) -> Result<Exit, Failure> {
    let row = session.campaign(named).await?;
    let request = act.request(row.id);
    if act.asks_for_name() && !flags.dry_run && !output.yes {
        for line in session.preview(request.clone()).await? {
            output.aside(&format!("{} {}", line.what, line.effect));
        }
        output.confirm(&format!("{} {} {}: {}.", act.word(), row.id, row.name, act.describe()), &row.name).await?;
    }
    report(output, &session.act(request, flags).await?)
}

fn campaign_table(out: &Output, rows: &[CampaignRow]) -> Result<(), Failure> {
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let total = r.counts.total();
            let state = if r.deleted.is_some() { "deleted".to_owned() } else { r.state.to_string() };
            vec![
                r.id.to_string(),
                r.name.clone(),
                state,
                figures::part(total - r.counts.open(), total),
                figures::count(total),
                figures::count(r.counts.failed),
                figures::count(r.counts.unknown),
                figures::rate(r.rate),
                r.eta_seconds.filter(|_| !r.state.is_ended()).map_or_else(|| "-".to_owned(), figures::span),
                r.why.clone(),
            ]
        })
        .collect();
    out.table(
        &[
            ("ID", Align::Left),
            ("NAME", Align::Left),
            ("STATE", Align::Left),
            ("DONE", Align::Right),
            ("TOTAL", Align::Right),
            ("FAILED", Align::Right),
            ("DOUBT", Align::Right),
            ("RATE", Align::Right),
            ("LEFT", Align::Right),
            ("WHY IT DOES NOT MOVE", Align::Left),
        ],
        &table,
    )
}

fn show_estimate(out: &Output, e: &Estimate) -> Result<(), Failure> {
    out.pairs(&[
        ("guests", figures::count(e.guests)),
        ("recipients", figures::count(e.recipients)),
        ("without an address", figures::count(e.unreachable)),
    ])?;
    let table: Vec<Vec<String>> = e
        .lines
        .iter()
        .map(|l| {
            let provider = if l.provider.is_empty() { "none configured".to_owned() } else { l.provider.clone() };
            vec![
                l.channel.to_string(),
                provider,
                figures::count(l.messages),
                figures::count(l.units),
                format!("{:.4} {}", l.unit_price, l.currency),
                format!("{:.2} {}", l.cost, l.currency),
            ]
        })
        .collect();
    out.table(
        &[
            ("CHANNEL", Align::Left),
            ("PROVIDER", Align::Left),
            ("MESSAGES", Align::Right),
            ("UNITS", Align::Right),
            ("A UNIT", Align::Right),
            ("COST", Align::Right),
        ],
        &table,
    )?;
    for warning in &e.warnings {
        out.line(&format!("! {warning}"))?;
    }
    Ok(())
}

fn show(out: &Output, detail: &CampaignDetail) -> Result<(), Failure> {
    let row = &detail.row;
    let total = row.counts.total();
    let mut pairs = vec![
        ("campaign", format!("{} {}", row.id, row.name)),
        ("state", if row.deleted.is_some() { format!("{}, deleted", row.state) } else { row.state.to_string() }),
        ("why", row.why.clone()),
        ("template", detail.spec.template.clone()),
        ("approved by", detail.approved_by.clone()),
        ("due", row.due.map(figures::exact).unwrap_or_default()),
        ("ended", row.ended.map(figures::exact).unwrap_or_default()),
        ("done", format!("{} of {}", figures::count(total - row.counts.open()), figures::count(total))),
    ];
    for state in MessageState::ALL {
        if row.counts.get(state) > 0 {
            pairs.push((state.as_str(), figures::count(row.counts.get(state))));
        }
    }
    if row.unreachable > 0 {
        pairs.push(("without an address", figures::count(row.unreachable)));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    out.pairs(&pairs)?;
    for (reason, n) in &detail.reasons {
        out.line(&format!("{:>9}  {reason}", figures::count(*n)))?;
    }
    show_outcomes(out, detail)
}

/// By channel: what was sent, and of that, what arrived and what guests did.
fn show_outcomes(out: &Output, detail: &CampaignDetail) -> Result<(), Failure> {
    let table: Vec<Vec<String>> = detail
        .channels
        .iter()
        .filter(|channel| channel.sent() > 0)
        .map(|channel| {
            let sent = channel.sent();
            let outcome = |(_, n): (&str, u64)| format!("{} {}", figures::count(n), figures::part(n, sent));
            let first = [channel.channel.to_string(), figures::count(sent)];
            first.into_iter().chain(channel.outcomes().into_iter().map(outcome)).collect()
        })
        .collect();
    if table.is_empty() {
        return Ok(());
    }
    out.table(
        &[
            ("CHANNEL", Align::Left),
            ("SENT", Align::Right),
            ("DELIVERED", Align::Right),
            ("OPENED", Align::Right),
            ("CLICKED", Align::Right),
            ("UNSUBSCRIBED", Align::Right),
            ("COMPLAINED", Align::Right),
        ],
        &table,
    )
}

/// A message with every attempt.
pub(super) fn show_story(out: &Output, detail: &MessageDetail) -> Result<(), Failure> {
    let row = &detail.row;
    let mut pairs = vec![
        ("message", format!("{} of {}", row.id, row.campaign)),
        ("guest", format!("{} {}", row.guest, row.guest_name)),
        ("channel", row.channel.to_string()),
        ("state", row.state.to_string()),
        ("why", row.why.clone()),
        ("changed", figures::exact(row.changed)),
    ];
    pairs.retain(|(_, value)| !value.is_empty());
    out.pairs(&pairs)?;
    for attempt in &detail.attempts {
        let class = attempt.class.map_or("under way".to_owned(), |class| class.to_string());
        let said = [&attempt.code, &attempt.detail, &attempt.provider_id].map(String::as_str);
        let said: Vec<&str> = said.into_iter().filter(|text| !text.is_empty()).collect();
        let (no, begun) = (attempt.no.0, figures::exact(attempt.started));
        out.line(&format!("{no:>9}  {begun}  {}  {class}  {}", attempt.provider, said.join(", ")))?;
    }
    Ok(())
}

async fn messages(
    session: &Session<'_>,
    output: &Output,
    named: &str,
    state: Option<MessageState>,
    limit: u64,
) -> Result<Exit, Failure> {
    let campaign = session.campaign(named).await?.id;
    let wanted = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut rows: Vec<MessageRow> = Vec::new();
    let mut after = None;
    while rows.len() < wanted {
        let window = u32::try_from(wanted - rows.len()).unwrap_or(WINDOW).min(WINDOW);
        let Reply::Messages(page) = session.ask(Request::Messages { campaign, state, after, limit: window }).await?
        else {
            return Err(Failure::unexpected());
        };
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output.show(&rows, |out| {
        let table: Vec<Vec<String>> = rows
            .iter()
            .map(|r| {
                vec![
                    r.id.to_string(),
                    r.guest_name.clone(),
                    r.channel.to_string(),
                    r.state.to_string(),
                    r.attempts.to_string(),
                    r.provider.clone(),
                    figures::exact(r.changed),
                    r.why.clone(),
                ]
            })
            .collect();
        out.table(
            &[
                ("ID", Align::Left),
                ("GUEST", Align::Left),
                ("CHANNEL", Align::Left),
                ("STATE", Align::Left),
                ("TRIES", Align::Right),
                ("PROVIDER", Align::Left),
                ("CHANGED", Align::Left),
                ("WHY", Align::Left),
            ],
            &table,
        )
    })?;
    if after.is_some() && !output.is_json() {
        output.aside(&format!("the first {}; --limit 0 shows all", rows.len()));
    }
    Ok(Exit::Done)
}
