//! The publisher: puts on the board what consoles follow, as often as it changes and no oftener than ten times a second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use usher_common::model::{
    CampaignId, CampaignRow, CampaignState, Channel, ControlKind, Health, MessageState, Overview, StateCounts, Target,
};
use usher_common::protocol::{Row, Topic};

use super::shared::Shared;
use crate::campaigns::CampaignError;
use crate::clock;

/// Time between two looks while something changes.
const GAP: Duration = Duration::from_millis(100);
/// Figures that age by themselves (rates, times) are put on the board this often.
const AGE: Duration = Duration::from_secs(1);
/// Seconds over which a campaign's rate is taken.
const RATE: usize = 10;

struct Known {
    row: CampaignRow,
    /// Messages taken at each of the last seconds.
    taken: VecDeque<u64>,
}

/// Publishes until `stop` is cancelled.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut known: BTreeMap<CampaignId, Known> = BTreeMap::new();
    let mut fresh: Vec<CampaignId> = match shared.store().campaigns() {
        Ok(rows) => rows.into_iter().map(|row| row.id).collect(),
        Err(error) => return shared.fail(format!("campaigns could not be read: {error}")),
    };
    let started = shared.clock.now();
    let mut last: Option<Duration> = None;
    loop {
        let now = shared.clock.mono();
        let ages = last.is_none_or(|at| now.saturating_sub(at) >= AGE);
        fresh.extend(shared.take_to_publish());
        fresh.extend(shared.board.followed_campaigns());
        if ages {
            last = Some(now);
            for (id, campaign) in &mut known {
                let taken = campaign.row.counts.taken();
                campaign.taken.push_back(taken);
                if campaign.taken.len() > RATE {
                    campaign.taken.pop_front();
                }
                if campaign.row.state == CampaignState::Running || campaign.row.rate > 0.0 {
                    fresh.push(*id);
                }
            }
        }
        fresh.sort_unstable();
        fresh.dedup();
        let changed = !fresh.is_empty();
        for id in fresh.drain(..) {
            if let Err(error) = refresh(&shared, &mut known, id) {
                tracing::error!(campaign = %id, %error, "a campaign cannot be shown");
            }
        }
        if ages || changed {
            let providers = shared.provider_rows();
            let rows = providers.iter().map(|p| Row::Provider(Box::new(p.clone()))).collect();
            shared.board.publish(Topic::Providers, rows);
            let overview = overview(&shared, started, &known, &providers);
            shared.board.put(Topic::Overview, Row::Overview(Box::new(overview)));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.stir.notified() => tokio::time::sleep(GAP).await,
            () = tokio::time::sleep(GAP) => {}
        }
    }
}

fn refresh(shared: &Shared, known: &mut BTreeMap<CampaignId, Known>, id: CampaignId) -> Result<(), CampaignError> {
    let stored = match shared.store().campaign(id) {
        Ok(row) => row,
        Err(crate::store::Error::Missing { .. }) => {
            known.remove(&id);
            shared.board.remove(Topic::Campaigns, &id.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let counts = shared.store().campaign_counts(id)?.total();
    let taken = known.get(&id).map(|k| k.taken.clone()).unwrap_or_default();
    let rate = match taken.front() {
        Some(&oldest) => counts.taken().saturating_sub(oldest) as f64 / taken.len() as f64,
        None => 0.0,
    };
    let row = shared.campaigns().list_row(&stored, counts, rate, shared.why_in_a_line(id)?)?;
    shared.board.put(Topic::Campaigns, Row::Campaign(Box::new(row.clone())));
    if shared.board.followed_campaigns().contains(&id) {
        let detail = shared.campaigns().detail(row.clone())?;
        shared.board.put(Topic::Campaign(id), Row::Detail(Box::new(detail)));
    }
    known.insert(id, Known { row, taken });
    Ok(())
}

fn overview(
    shared: &Shared,
    started: usher_common::model::Timestamp,
    known: &BTreeMap<CampaignId, Known>,
    providers: &[usher_common::model::ProviderRow],
) -> Overview {
    let mut counts = StateCounts::default();
    let mut open = 0;
    for campaign in known.values().filter(|k| k.row.deleted.is_none()) {
        counts.add(&campaign.row.counts);
        if !campaign.row.state.is_ended() && campaign.row.state != CampaignState::Draft {
            open += 1;
        }
    }
    for state in MessageState::ALL {
        shared.metrics.messages(state.as_str(), counts.get(state));
    }
    let health = shared.store().engine().health();
    shared.metrics.log(health.log_bytes, health.last_sync_took.as_secs_f64());
    let memory = resident_bytes();
    shared.metrics.memory(memory);
    let clients = *shared.clients.borrow();
    shared.metrics.clients(clients);
    let no_standby: Vec<Channel> = Channel::ALL
        .into_iter()
        .filter(|&channel| providers.iter().filter(|p| p.channel == channel).count() == 1)
        .collect();
    let findings = findings(shared, known, providers, &no_standby, &health);
    let worst = findings.iter().map(|f| f.0).filter(|h| *h != Health::Unknown).max().unwrap_or(Health::Ok);
    let totals = shared.totals();
    Overview {
        environment: shared.settings.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        health: worst,
        findings,
        counts,
        accepted_today: shared.store().accepted_on(shared.clock.day()).unwrap_or_default(),
        rate: totals.rate,
        error_rate_percent: totals.error_rate_percent,
        processing_p95_ms: totals.p95_ms,
        campaigns_open: open,
        controls: shared.controls_in_force(),
        no_standby,
        clients,
        memory_bytes: memory,
        history: totals.history,
    }
}

/// What is wrong, worst first; each line says what to do.
fn findings(
    shared: &Shared,
    known: &BTreeMap<CampaignId, Known>,
    providers: &[usher_common::model::ProviderRow],
    no_standby: &[Channel],
    store: &crate::store::engine::EngineHealth,
) -> Vec<(Health, String)> {
    let mut findings = Vec::new();
    if let Some(why) = &store.failed {
        findings.push((Health::Critical, format!("the store has stopped: {why}; free the disk, then restart usherd")));
    }
    for provider in providers.iter().filter(|p| p.health == Health::Critical) {
        let others = providers.iter().any(|p| p.channel == provider.channel && p.health != Health::Critical);
        let what = if others { "the standby carries it" } else { "nothing carries it: its messages wait" };
        let said = if provider.last_error.is_empty() { "no answer" } else { &provider.last_error };
        let level = if others { Health::Warning } else { Health::Critical };
        findings.push((level, format!("{} is down ({said}); {}: {what}", provider.name, provider.channel)));
    }
    if !no_standby.is_empty() {
        let channels: Vec<&str> = no_standby.iter().map(|channel| channel.as_str()).collect();
        let text = format!("no standby for {}: nothing takes over when its provider breaks", channels.join(", "));
        findings.push((Health::Warning, text));
    }
    let now = shared.clock.now();
    for control in shared.controls().rows() {
        let ends = match (&control.until, control.kind, &control.target) {
            (Some(until), _, _) => format!("ends by itself at {}", clock::utc(*until, now)),
            (None, ControlKind::Held, Target::All) => "`usher release --all` lets it go".to_owned(),
            (None, ControlKind::Held, _) => "`usher release` lets it go".to_owned(),
            (None, _, _) => "`usher provider enable` ends it".to_owned(),
        };
        let why = if control.reason.is_empty() { String::new() } else { format!(" ({})", control.reason) };
        let since = clock::utc(control.since, now);
        let text = format!("{} is {} since {since} by {}{why}; {ends}", control.target, control.kind, control.by);
        findings.push((Health::Warning, text));
    }
    if let Some((messages, oldest)) = shared.doubt() {
        let text = format!(
            "{messages} messages are in doubt, the first since {}: `usher unknown list` says what is done about each",
            clock::utc(oldest, now)
        );
        findings.push((Health::Warning, text));
    }
    for lane in shared.still() {
        let (id, channel) = (lane.campaign, lane.channel);
        let text =
            format!("campaign {id}, {channel}: due messages and no outcome for a minute; `usher campaign why {id}`");
        findings.push((Health::Critical, text));
    }
    for campaign in known.values().filter(|k| k.row.deleted.is_none()) {
        let row = &campaign.row;
        if row.state == CampaignState::Running && !row.why.is_empty() {
            findings.push((Health::Warning, format!("campaign {} ({}) waits: {}", row.id, row.name, row.why)));
        }
    }
    if let Some(why) = shared.no_room() {
        findings.push((Health::Critical, format!("nothing new is taken in: {why}; what is queued goes on")));
    }
    findings.sort_by_key(|f| std::cmp::Reverse(f.0));
    findings
}

/// The daemon's resident set; 0 where the kernel does not tell.
pub(super) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
