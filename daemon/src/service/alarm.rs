//! Whoever watches over the daemon, put together: service levels from the log, readings, the watch, and the channels by which it tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use usher_common::model::ProviderKind;
use usher_common::protocol::{Row, Topic};

use super::accounts::adapter_config;
use crate::api::Alarm;
use crate::config::{AlertWay, Config, ProviderAccess};
use crate::dispatch::Shared;
use crate::incidents::{AlertLine, Daily, Line, Notifier, Watch, heartbeat};
use crate::monitor::{Follower, Metrics, of_levels, sla_rows};
use crate::providers::poster::Poster;
use crate::providers::{ProviderConfig, build};

/// A scheduler that was not seen for longer has stopped.
const STALLED: Duration = Duration::from_secs(5);
/// Service levels are shown this often.
const SHOWN: Duration = Duration::from_secs(1);
/// Where a bot posts to Slack.
const SLACK_POST: &str = "/api/chat.postMessage";

/// Starts the watch and what it needs; it ends when `stop` is cancelled.
pub fn set_up(
    config: &Config,
    shared: &Arc<Shared>,
    metrics: &Arc<Metrics>,
    (stop, tasks): (&CancellationToken, &TaskTracker),
) -> anyhow::Result<Alarm> {
    let (store, clock, board) = (shared.store().clone(), shared.clock().clone(), shared.board().clone());
    let carries: BTreeMap<_, _> =
        config.providers.iter().map(|provider| (provider.name.clone(), provider.channel)).collect();
    let follower = Follower::new(store.clone(), clock.clone(), carries).context("reading service levels")?;
    let place = (config.environment.as_str(), config.state_dir.clone());
    let notifier =
        Notifier::new(lines(config)?, place, (store.clone(), clock.clone(), board.clone()), Arc::clone(metrics));
    let (levels, readings, channels) = (follower.clone(), Arc::clone(shared), Arc::clone(&notifier));
    let before = Mutex::new(shared.clocks());
    let source = Box::new(move || {
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = readings.readings(*before);
        *before = readings.clocks();
        all.extend(of_levels(&levels.levels()));
        all.extend(channels.readings());
        all
    });
    let watch = Watch::new(&config.alerting, (store, clock, board), (source, shared.alarm()), Arc::clone(&notifier))
        .context("reading alerts")?;
    tasks.spawn(follower.clone().run(stop.clone()));
    tasks.spawn(show(follower.clone(), Arc::clone(shared), stop.clone()));
    tasks.spawn(Arc::clone(&watch).run(stop.clone()));
    if let Some(url) = &config.alerting.heartbeat_url {
        let poster = Poster::new(&ProviderConfig::named("heartbeat", ProviderKind::Webhook), url, None)?;
        let shared = Arc::clone(shared);
        let well = Box::new(move || match shared.store().engine().health().failed {
            Some(why) => Err(format!("the store has stopped: {why}")),
            None if shared.idle_for() > STALLED => Err("the scheduler does not look around".to_owned()),
            None => Ok(()),
        });
        tasks.spawn(heartbeat::beat(poster, well, Arc::clone(&notifier), stop.clone()));
    }
    let daily = Daily { at: config.alerting.test_at, zone: config.alerting.test_zone.clone() };
    tasks.spawn(Arc::clone(&notifier).test_daily(daily, stop.clone()));
    tasks.spawn(notifier.run(stop.clone()));
    Ok(Alarm { watch, follower })
}

/// Puts service levels on the board, once a second while they change.
async fn show(follower: Follower, shared: Arc<Shared>, stop: CancellationToken) {
    while tokio::time::timeout(SHOWN, stop.cancelled()).await.is_err() {
        let rows = sla_rows(&follower.levels(), &shared.provider_rows(), shared.clock().now());
        let rows = rows.into_iter().map(|row| Row::Sla(Box::new(row))).collect();
        shared.board().publish(Topic::Sla, rows);
    }
}

/// The alert channels of the configuration. Opens no connection.
fn lines(config: &Config) -> anyhow::Result<Vec<AlertLine>> {
    let mut lines = Vec::new();
    for channel in &config.alerting.channels {
        let line = match &channel.way {
            AlertWay::Webhook { url, token, ca_file } => {
                let mut adapter = ProviderConfig::named(&channel.name, ProviderKind::Webhook);
                adapter.ca_file.clone_from(ca_file);
                Line::Webhook { poster: Poster::new(&adapter, url, token.as_ref())? }
            }
            AlertWay::Provider(settings) => {
                let adapter = adapter_config(settings);
                match &settings.access {
                    ProviderAccess::SlackBot { base_url, bot_token } => {
                        let poster = Poster::new(&adapter, &format!("{base_url}{SLACK_POST}"), Some(bot_token))?;
                        Line::Slack { poster, to: channel.to.clone() }
                    }
                    ProviderAccess::SlackWebhook { webhook_url, .. } => {
                        use secrecy::ExposeSecret as _;
                        let poster = Poster::new(&adapter, webhook_url.expose_secret(), None)?;
                        // The address says into which channel.
                        Line::Slack { poster, to: String::new() }
                    }
                    _ => Line::Provider { provider: build(&adapter)?, to: channel.to.clone() },
                }
            }
        };
        lines.push(AlertLine { name: channel.name.clone(), line });
    }
    Ok(lines)
}
