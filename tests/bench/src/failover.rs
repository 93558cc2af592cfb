//! Failover under load: a thousand requests at once, and the provider breaks in the middle; beside the same campaign
//! without a break.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use usher_common::model::Channel;
use usher_demo::{PATIENCE, Plan, Stage};
use usher_sim::{Config, Fault, FaultKind, Latency, Provider};

use crate::balance::{Balance, balance};
use crate::faults::moments::Moments;
use crate::run::{self, USUAL};
use crate::table::{self, Line};

/// Requests under way at once.
const AT_ONCE: usize = 1_000;
/// How long both providers think about a request.
const LATENCY: Latency = Latency::Fixed { ms: 20.0 };
/// A failover should be complete within this.
const COMPLETE: Duration = Duration::from_secs(30);
/// The switch itself: from the breaker's opening to the first messages that are handed to the other provider.
const SWITCH: Duration = Duration::from_millis(100);

/// What came of a campaign.
struct Ended {
    took: Duration,
    books: Balance,
    /// How many each of the two took.
    shares: [u64; 2],
    /// From the fault to the breaker's opening, and from there to the first messages for the other.
    moments: Option<(Duration, Duration)>,
}

/// Sends `count` e-mails three times: to a provider that stays, to one that refuses connections from the middle on, and to one
/// that answers 503 from there on. `judged`: whether the times are an error where they are missed.
pub(crate) async fn measure(count: usize, judged: bool) -> anyhow::Result<Vec<Line>> {
    let whole = send(count, None).await?;
    let rate = table::rate(count, whole.took.as_secs_f64());
    let what = format!("{} e-mails, {AT_ONCE} at once, nothing breaks", table::count(count));
    let few = (whole.books.accepted < count as u64).then(|| format!("only {} were accepted", whole.books.accepted));
    let mut lines = vec![Line::new(what, table::time(whole.took)).beside(rate).wrong(wrong(&whole.books).or(few))];
    let unavailable = FaultKind::Status { status: 503, accepted: false, code: None };
    for (does, fault) in [("refuses", FaultKind::Refuse), ("answers 503", unavailable)] {
        let broken = send(count, Some(fault.into())).await?;
        lines.extend(told(does, &whole, &broken, count, judged));
    }
    Ok(lines)
}

fn told(does: &str, whole: &Ended, broken: &Ended, count: usize, judged: bool) -> [Line; 2] {
    let longer = broken.took.saturating_sub(whole.took);
    let [first, second] = broken.shares.map(|n| table::count(n as usize));
    let Balance { accepted, unknown, lost, twice, .. } = broken.books;
    let share = accepted as f64 * 100.0 / count as f64;
    let late = (judged && longer >= COMPLETE).then(|| format!("{} longer", table::time(longer)));
    let (switch, seen) = broken.moments.map_or(("not seen".to_owned(), String::new()), |(opened, switch)| {
        (format!("{:.1} ms", switch.as_secs_f64() * 1e3), format!("opened after {}; ", table::time(opened)))
    });
    let slow = broken.moments.is_none_or(|(_, switch)| switch >= SWITCH);
    [
        Line::new(format!("  the provider {does} in the middle"), table::time(broken.took))
            .beside(format!("{} longer; < {} s wanted", table::time(longer), COMPLETE.as_secs()))
            .remark(format!("{first} by the one, {second} by the other; lost {lost}, twice {twice}"))
            .wrong(wrong(&broken.books).or(late)),
        Line::new(format!("    {does}: the switch itself"), switch.clone())
            .beside(format!("< {} ms wanted", SWITCH.as_millis()))
            .remark(format!("{seen}{share:.2} % accepted, {unknown} in doubt"))
            .wrong((judged && slow).then(|| format!("{seen}the switch: {switch}"))),
    ]
}

/// What must not be.
fn wrong(books: &Balance) -> Option<String> {
    let Balance { lost, twice, failed, open, .. } = books;
    (lost + twice + failed + open > 0)
        .then(|| format!("{lost} lost, {twice} twice, {failed} given up, {open} left open"))
}

async fn send(count: usize, fault: Option<Fault>) -> anyhow::Result<Ended> {
    let mut simulator = Config::default();
    (simulator.sendgrid.latency, simulator.resend.latency) = (LATENCY, LATENCY);
    // As many in all as the two may have together, so that neither takes the other's place. The log tells of each load.
    let extra = format!(
        "[log]\nlevel = \"debug\"\nformat = \"json\"\n\
         [dispatch]\nmax_concurrent_messages = {0}\nper_campaign_in_flight = {0}\n",
        2 * AT_ONCE
    );
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
    let mut moments = None;
    if let Some(fault) = fault {
        let half = tokio::time::timeout(PATIENCE, record.wait_for_count(count as u64 / 2)).await;
        half.context("the first half did not arrive")?;
        moments = Some(Moments::begin(stage.folder().join("usherd.log"), &record)?);
        stage.simulator.fault(Provider::SendGrid, fault).await.context("breaking the provider")?;
    }
    desk.sent(campaign).await?;
    let took = begun.elapsed();
    if let Some(moments) = &mut moments {
        moments.look(&record)?;
    }
    let moments = moments.and_then(|seen| Some((seen.opened?, seen.turned?.saturating_sub(seen.opened?))));
    let books = balance(&desk, campaign, &record, count).await?;
    let shares = [Provider::SendGrid, Provider::Resend].map(|provider| record.count(provider));
    Ok(Ended { took, books, shares, moments })
}
