//! Messages through the whole daemon, from the act that sends the campaign to the last durable outcome, and the same
//! requests by a bare client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use usher_common::model::{Channel, ListId};
use usher_demo::{Desk, Plan, Stage};

use crate::Line;
use crate::process::{self, Sink};

/// Requests under way at once, for the daemon and the bare client alike.
const IN_FLIGHT: usize = 100;
const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// SMS, one request each: by the bare client, then by the daemon, on one sink.
pub(crate) async fn single(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let url = sink.address("twilio_url")?;
    let bare = bare(url, count).await?;
    let mut through = through("SMS through the daemon, durable", texts(url), &sink, Channel::Sms, count).await?;
    through.remark = format!("{:.2} of the bare client; {}", through.rate() / bare.rate(), through.remark);
    Ok(vec![bare, through])
}

/// Configuration of a provider that carries SMS to the sink at `url`.
pub(crate) fn texts(url: &str) -> String {
    format!(
        "[[provider]]\nname = \"twilio\"\nkind = \"twilio\"\nbase_url = \"{url}\"\naccount_sid = \"{ACCOUNT}\"\n\
         auth_token = \"simulator\"\nfrom = \"+14155550100\"\nmax_in_flight = {IN_FLIGHT}\nburst = 100000\n\
         status_callback = \"https://hooks.ada-and-ben.example/twilio\"\n"
    )
}

/// Sends a campaign to a list of `count` and returns the seconds from the act to the last durable outcome.
pub(crate) async fn campaign(desk: &Desk, list: ListId, channel: Channel, count: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let campaign = desk.send(list, &[channel]).await?;
    let detail = desk.sent(campaign).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if detail.row.counts.taken() != count as u64 {
        bail!("of {count} messages not all were accepted: {:?}; {:?}", detail.row.counts, detail.reasons);
    }
    Ok(seconds)
}

/// E-mail in batches of a hundred.
pub(crate) async fn batches(count: usize) -> anyhow::Result<Line> {
    let sink = Sink::start().await?;
    let provider = format!(
        "[[provider]]\nname = \"resend\"\nkind = \"resend\"\nbase_url = \"{}\"\napi_key = \"re_simulator\"\n\
         rate_per_second = 100000\nburst = 10000\nmax_in_flight = 16\n",
        sink.address("resend_url")?
    );
    through("e-mail through the daemon, batches of 100", provider, &sink, Channel::Email, count).await
}

async fn through(what: &str, provider: String, sink: &Sink, channel: Channel, count: usize) -> anyhow::Result<Line> {
    let stage = Stage::set(Plan { providers: Vec::new(), extra: provider, ..Plan::default() }).await?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let used = |pid| process::processor_seconds(pid);
    let (own_before, sink_before) = (used(daemon)?, used(sink.pid()?)?);
    let threads_before = process::threads(daemon)?;
    let seconds = campaign(&desk, list, channel, count).await?;
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    let (own, others) = (each(used(daemon)? - own_before), each(used(sink.pid()?)? - sink_before));
    let busiest: Vec<String> = process::threads(daemon)?
        .into_iter()
        .map(|(name, after)| {
            let before = threads_before.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, used)| *used);
            (name, each(after - before))
        })
        .filter(|(_, used)| *used >= 1.0)
        .map(|(name, used)| format!("{name} {used:.0}"))
        .collect();
    let (now, peak) = process::memory_mib(daemon)?;
    let remark = format!(
        "processor us each: daemon {own:.0} ({}), sink {others:.0}; memory {now} MiB, peak {peak}",
        busiest.join(", ")
    );
    Ok(Line { what: what.to_owned(), count, seconds, remark })
}

/// Posts as many texts of the same kind with nothing around it: no store, no rendering, no outcome kept.
async fn bare(url: &str, count: usize) -> anyhow::Result<Line> {
    let client = reqwest::Client::builder().no_proxy().build().context("making the bare client")?;
    let url: Arc<str> = format!("{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json").into();
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, url, next) = (client.clone(), Arc::clone(&url), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return anyhow::Ok(());
                }
                let body = format!(
                    "To=%2B1213{}&From=%2B14155550100&StatusCallback=https%3A%2F%2Fhooks.ada-and-ben.example%2F\
                     twilio%3Fusher_message%3Dbare{n}&Body=Dear+Guest+{n}%2C+we+are+getting+married+on+12+June+2027+at+\
                     The+Old+Mill+and+would+love+you+to+be+there.+Please+answer+by+1+May+2027%3A+\
                     https%3A%2F%2Frsvp.ada-and-ben.example+Ada+%26+Ben",
                    2_000_000 + n
                );
                let answer = client
                    .post(&*url)
                    .basic_auth(ACCOUNT, Some("simulator"))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body)
                    .send()
                    .await
                    .context("posting to the sink")?;
                let status = answer.status();
                let text = answer.text().await.context("reading the sink's answer")?;
                if !status.is_success() {
                    bail!("the sink answered {status}: {text}");
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker of the bare client panicked")??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let remark = format!("{IN_FLIGHT} in flight, nothing kept");
    Ok(Line { what: "SMS by a bare client".to_owned(), count, seconds, remark })
}
