//! The same campaign with nobody watching, and with consoles and clients attached, one of which reads nothing: what
//! being watched costs.

use anyhow::Context as _;
use tokio::task::JoinSet;
use usher::session::{Client, Target};
use usher_common::model::{Channel, ListId};
use usher_common::protocol::Topic;
use usher_demo::{DeafClient, Desk, Plan, Stage, TOKEN};

use crate::messages::SINGLE;
use crate::process::{Sink, processor_seconds};
use crate::run::{self, USUAL};
use crate::table::{self, Line, median};

/// Clients over TCP, and consoles on the Unix socket.
const CLIENTS: usize = 100;
const CONSOLES: usize = 2;
/// Campaigns of each kind, in turns: a machine that others use is not equally fast for long.
const ROUNDS: usize = 5;
/// What each of them follows: what a console does.
const TOPICS: [Topic; 4] = [Topic::Overview, Topic::Providers, Topic::Campaigns, Topic::Log];

/// Measures campaigns of `count` SMS, alone and watched in turns; the figures are medians.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    let sink = Sink::start().await?;
    let extra = run::texts(sink.url(), SINGLE);
    let stage = Stage::set(Plan { providers: Vec::new(), extra, tcp: true, ..Plan::default() }).await?;
    let address = stage.address().context("the stage has a TCP port")?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let desk = stage.desk().await?;
    let list = desk.guests(count).await?;
    // The first one finds everything cold.
    campaign(&desk, list, count).await?;
    let (mut alone, mut watched) = (Figures::default(), Figures::default());
    let mut asked = 0;
    for _ in 0..ROUNDS {
        let used = processor_seconds(daemon)?;
        alone.add(campaign(&desk, list, count).await?, processor_seconds(daemon)? - used);
        let deaf = DeafClient::attach(&address, &TOPICS, list).await?;
        let mut watchers = watch(&stage, &address).await?;
        let used = processor_seconds(daemon)?;
        watched.add(campaign(&desk, list, count).await?, processor_seconds(daemon)? - used);
        asked += deaf.asked;
        drop(deaf);
        watchers.shutdown().await;
    }
    let fault = sink.take_tally().await?.fault(count * (2 * ROUNDS + 1));
    let ratio = |of: fn(&Figures) -> f64| of(&watched) / of(&alone);
    let what = format!("{} SMS, {CONSOLES} consoles, {CLIENTS} clients, 1 deaf", table::count(count));
    Ok(vec![
        Line::new(what, table::rate(count, watched.seconds()))
            .beside(format!(
                "nobody watching {}: {:.2} of the time",
                table::rate(count, alone.seconds()),
                ratio(Figures::seconds)
            ))
            .remark(format!(
                "{:.2} of the daemon's processor time; medians of {ROUNDS}; {} calls unread each",
                ratio(Figures::processor),
                asked / ROUNDS as u64,
            ))
            .wrong(fault),
    ])
}

/// Sends a campaign; the seconds from the act to the last durable outcome.
async fn campaign(desk: &Desk, list: ListId, count: usize) -> anyhow::Result<f64> {
    let begun = std::time::Instant::now();
    let campaign = run::send(desk, list, Channel::Sms, USUAL).await?;
    run::ended(desk, campaign, count).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Wall and processor seconds of each round.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    processor: Vec<f64>,
}

impl Figures {
    fn add(&mut self, seconds: f64, processor: f64) {
        self.seconds.push(seconds);
        self.processor.push(processor);
    }

    fn seconds(&self) -> f64 {
        median(&self.seconds)
    }

    fn processor(&self) -> f64 {
        median(&self.processor)
    }
}

/// Attaches consoles and clients that read all they get.
async fn watch(stage: &Stage, address: &str) -> anyhow::Result<JoinSet<()>> {
    let mut clients = Vec::new();
    for _ in 0..CONSOLES {
        clients.push(stage.client().await?);
    }
    let target = Target::ws(&format!("ws://{address}"), Some(TOKEN.to_owned()))?;
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&target).await?);
    }
    let mut watchers = JoinSet::new();
    for client in clients {
        for topic in TOPICS {
            let mut updates = client.follow(topic).await?;
            watchers.spawn(async move { while updates.next().await.is_some() {} });
        }
    }
    Ok(watchers)
}
