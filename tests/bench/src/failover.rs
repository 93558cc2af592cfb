//! Failover under load: a thousand requests at once, and the provider breaks in the middle; beside the same campaign
//! without a break.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use usher_common::model::Channel;
use usher_demo::{PATIENCE, Plan, Stage};
use usher_sim::{Config, Fault, FaultKind, Latency, Provider};

use crate::balance::{Balance, balance};
use crate::run::{self, USUAL};
use crate::table::{self, Line};

/// Requests under way at once.
const AT_ONCE: usize = 1_000;
/// How long both providers think about a request.
const LATENCY: Latency = Latency::Fixed { ms: 20.0 };
/// A failover should be complete within this.
const COMPLETE: Duration = Duration::from_secs(30);
/// Percent of the messages that should be accepted.
const ACCEPTED: f64 = 95.0;

/// What came of a campaign.
struct Ended {
    took: Duration,
    books: Balance,
    /// How many each of the two took.
    shares: [u64; 2],
}

/// Sends `count` e-mails three times: to a provider that stays, to one that refuses connections from the middle on, and to one
/// that answers 503 from there on.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    let whole = send(count, None).await?;
    let rate = table::rate(count, whole.took.as_secs_f64());
    let what = format!("{} e-mails, {AT_ONCE} at once, nothing breaks", table::count(count));
    let mut lines =
        vec![Line::new(what, table::time(whole.took)).beside(rate).wrong(wrong(&whole, count, Some(100.0)))];
    let unavailable = FaultKind::Status { status: 503, accepted: false, code: None };
    // What a 503 answers may have been accepted, so its share is measured, and not promised.
    let faults = [("refuses", FaultKind::Refuse, Some(ACCEPTED)), ("answers 503", unavailable, None)];
    for (does, fault, least) in faults {
        let broken = send(count, Some(fault.into())).await?;
        let share = percent(&broken, count);
        let longer = broken.took.saturating_sub(whole.took);
        let late = if longer >= COMPLETE { "AIM MISSED; " } else { "" };
        let few = if share < ACCEPTED { "AIM MISSED; " } else { "" };
        let [first, second] = broken.shares.map(|n| table::count(n as usize));
        let Balance { unknown, lost, twice, .. } = broken.books;
        lines.push(
            Line::new(format!("  the provider {does} in the middle"), table::time(broken.took))
                .beside(format!("{} longer; < {} s wanted", table::time(longer), COMPLETE.as_secs()))
                .remark(format!("{late}{first} by the one, {second} by the other; lost {lost}, twice {twice}"))
                .wrong(wrong(&broken, count, least)),
        );
        lines.push(
            Line::new("    of these accepted", format!("{share:.2} %"))
                .beside(format!("{ACCEPTED:.0} % wanted"))
                .remark(format!("{few}{unknown} in doubt")),
        );
    }
    Ok(lines)
}

fn percent(ended: &Ended, count: usize) -> f64 {
    ended.books.accepted as f64 * 100.0 / count as f64
}

/// What must not be: anything lost or twice, or fewer than `least` percent accepted.
fn wrong(ended: &Ended, count: usize, least: Option<f64>) -> Option<String> {
    let Balance { lost, twice, accepted, .. } = ended.books;
    if lost + twice > 0 {
        return Some(format!("{lost} lost, {twice} twice"));
    }
    least.filter(|least| percent(ended, count) < *least).map(|_| format!("only {accepted} of {count} were accepted"))
}

async fn send(count: usize, fault: Option<Fault>) -> anyhow::Result<Ended> {
    let mut simulator = Config::default();
    (simulator.sendgrid.latency, simulator.resend.latency) = (LATENCY, LATENCY);
    // As many in all as the two may have together, so that neither takes the other's place.
    let extra = format!("[dispatch]\nmax_concurrent_messages = {0}\nper_campaign_in_flight = {0}\n", 2 * AT_ONCE);
    let providers = vec![Provider::SendGrid.name().to_owned(), Provider::Resend.name().to_owned()];
    let wide = format!("max_in_flight = {AT_ONCE}\nburst = 100000\n");
    let settings = [
        (Provider::SendGrid.name().to_owned(), wide.clone()),
        // One message a request, as with the other: batches would hide how many are under way.
        (Provider::Resend.name().to_owned(), format!("{wide}rate_per_second = 100000\nbatch_size = 1\n")),
    ];
    let plan = Plan { simulator, providers, extra, settings: settings.into_iter().collect(), ..Plan::default() };
    let stage = Stage::set(plan).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let campaign = run::approved(&desk, list, Channel::Email, USUAL).await?;
    let record = stage.simulator.record();
    let begun = Instant::now();
    run::start(&desk, campaign).await?;
    if let Some(fault) = fault {
        let half = tokio::time::timeout(PATIENCE, record.wait_for_count(count as u64 / 2)).await;
        half.context("the first half did not arrive")?;
        stage.simulator.fault(Provider::SendGrid, fault).await.context("breaking the provider")?;
    }
    desk.sent(campaign).await?;
    let took = begun.elapsed();
    let books = balance(&desk, campaign, &record, count).await?;
    let shares = [Provider::SendGrid, Provider::Resend].map(|provider| record.count(provider));
    Ok(Ended { took, books, shares })
}
