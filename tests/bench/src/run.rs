//! One campaign through the whole daemon, measured: from the act that sends it to the last durable outcome.

use std::time::Instant;

use anyhow::{Context as _, bail};
use usher_common::model::{
    Audience, CampaignClass, CampaignDetail, CampaignId, CampaignSpec, Channel, ListId, Reach, Schedule,
};
use usher_common::protocol::Request;
use usher_demo::{Desk, ORGANISATION, Plan, Stage};

use crate::process::{self, Sink};
use crate::sink::{ACCOUNT, KEY, SECRET, Tally};

/// The template that a campaign uses unless it is told.
pub(crate) const USUAL: &str = "invitation";

/// What came of a campaign.
pub(crate) struct Run {
    /// Messages.
    pub(crate) count: usize,
    /// From the act that sends it to the last durable outcome.
    pub(crate) seconds: f64,
    /// Processor time of the daemon for each message, in microseconds.
    pub(crate) daemon_us: f64,
    /// The same of the sink.
    pub(crate) sink_us: f64,
    /// The daemon's busiest threads, in microseconds a message.
    pub(crate) threads: String,
    /// What the sink saw.
    pub(crate) tally: Tally,
    /// Which campaign it was.
    pub(crate) campaign: CampaignId,
}

impl Run {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// Messages in a request, on average.
    pub(crate) fn a_request(&self) -> f64 {
        self.tally.messages as f64 / self.tally.requests.max(1) as f64
    }

    /// What should not have happened.
    pub(crate) fn fault(&self) -> Option<String> {
        self.tally.fault(self.count)
    }
}

/// Configuration of a provider that carries SMS to `url`, so many requests at once.
pub(crate) fn texts(url: &str, in_flight: usize) -> String {
    format!(
        "[[provider]]\nname = \"twilio\"\nkind = \"twilio\"\nbase_url = \"{url}\"\naccount_sid = \"{ACCOUNT}\"\n\
         auth_token = \"{SECRET}\"\nfrom = \"+14155550100\"\nmax_in_flight = {in_flight}\nburst = 100000\n\
         status_callback = \"https://hooks.ada-and-ben.example/twilio\"\n"
    )
}

/// Configuration of a provider that carries e-mail to `url`, so many requests at once.
pub(crate) fn mails(url: &str, in_flight: usize) -> String {
    format!(
        "[[provider]]\nname = \"resend\"\nkind = \"resend\"\nbase_url = \"{url}\"\napi_key = \"{KEY}\"\n\
         rate_per_second = 100000\nburst = 10000\nmax_in_flight = {in_flight}\n"
    )
}

/// A daemon with this provider and no other.
pub(crate) async fn stage(provider: String) -> anyhow::Result<Stage> {
    Stage::set(Plan { providers: Vec::new(), extra: provider, ..Plan::default() }).await
}

/// Writes a campaign to everyone on a list, approves it and sends it.
pub(crate) async fn send(desk: &Desk, list: ListId, channel: Channel, template: &str) -> anyhow::Result<CampaignId> {
    let id = approved(desk, list, channel, template).await?;
    start(desk, id).await?;
    Ok(id)
}

/// Sends a campaign that is approved.
pub(crate) async fn start(desk: &Desk, id: CampaignId) -> anyhow::Result<()> {
    desk.on_campaign(Request::CampaignSend { id, schedule: None }).await.context("sending the campaign")?;
    Ok(())
}

/// Writes a campaign to everyone on a list and approves it.
pub(crate) async fn approved(
    desk: &Desk,
    list: ListId,
    channel: Channel,
    template: &str,
) -> anyhow::Result<CampaignId> {
    let id = draft(desk, list, channel, template).await?;
    desk.on_campaign(Request::CampaignApprove { id }).await.context("approving the campaign")?;
    Ok(id)
}

/// Writes a campaign to everyone on a list.
pub(crate) async fn draft(desk: &Desk, list: ListId, channel: Channel, template: &str) -> anyhow::Result<CampaignId> {
    let spec = CampaignSpec {
        name: format!("Save the date {}", usher::session::act_key()),
        description: String::new(),
        organisation: ORGANISATION.to_owned(),
        class: CampaignClass::Personal,
        channels: vec![channel],
        reach: Reach::All,
        audience: Audience::List(list),
        template: template.to_owned(),
        values: std::collections::BTreeMap::new(),
        schedule: Schedule::Now,
        expires_after_hours: 0,
        whatsapp: None,
    };
    Ok(desk.on_campaign(Request::CampaignCreate { spec }).await.context("writing the campaign")?.row.id)
}

/// Waits for a campaign's last outcome; an error unless all `count` messages were accepted.
pub(crate) async fn ended(desk: &Desk, campaign: CampaignId, count: usize) -> anyhow::Result<CampaignDetail> {
    let detail = desk.sent(campaign).await?;
    if detail.row.counts.taken() != count as u64 {
        bail!("of {count} messages not all were accepted: {:?}; {:?}", detail.row.counts, detail.reasons);
    }
    Ok(detail)
}

/// Sends a campaign to a list of `count` and measures it.
pub(crate) async fn measure(
    stage: &Stage,
    desk: &Desk,
    sink: &Sink,
    (list, count): (ListId, usize),
    (channel, template): (Channel, &str),
) -> anyhow::Result<Run> {
    let daemon = stage.pid().context("the daemon has ended")?;
    let campaign = approved(desk, list, channel, template).await?;
    sink.take_tally().await?;
    let (own, others) = (process::processor_seconds(daemon)?, process::processor_seconds(sink.pid()?)?);
    let threads_before = process::threads(daemon)?;
    let begun = Instant::now();
    start(desk, campaign).await?;
    ended(desk, campaign, count).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    let daemon_us = each(process::processor_seconds(daemon)? - own);
    let sink_us = each(process::processor_seconds(sink.pid()?)? - others);
    let threads: Vec<String> = process::threads(daemon)?
        .into_iter()
        .map(|(name, after)| {
            let before = threads_before.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, used)| *used);
            (name, each(after - before))
        })
        .filter(|(_, used)| *used >= 1.0)
        .map(|(name, used)| format!("{name} {used:.0}"))
        .collect();
    let tally = sink.tally().await?;
    Ok(Run { count, seconds, daemon_us, sink_us, threads: threads.join(", "), tally, campaign })
}
