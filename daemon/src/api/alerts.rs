//! Requests about alerts and service levels.

use std::sync::Arc;
use std::time::Duration;

use usher_common::protocol::{Act, EffectLine, Problem, ProblemCode, Reply, Request};

use super::Api;
use crate::incidents::{Watch, WatchError};
use crate::monitor::{Follower, sla_rows};
use crate::store::By;

/// Whoever watches over the daemon.
pub struct Alarm {
    /// Alerts.
    pub watch: Arc<Watch>,
    /// Service levels.
    pub follower: Follower,
}

impl Api {
    /// Answers a request about alerts or service levels; `None` if it is about something else.
    pub(super) async fn alert_request(&self, by: &By, act: &Act, request: &Request) -> Option<Result<Reply, Problem>> {
        if !matches!(
            request,
            Request::Alerts
                | Request::Sla
                | Request::AlertAcknowledge { .. }
                | Request::SilenceAdd { .. }
                | Request::SilenceEnd { .. }
                | Request::AlertTest { .. }
        ) {
            return None;
        }
        let Some(Alarm { watch, follower }) = &self.alarm else {
            let problem = Problem::new(
                ProblemCode::Unavailable,
                "nobody watches over this daemon",
                "ask one that is not simulated",
            );
            return Some(Err(problem));
        };
        let effect =
            |what: String, effect: &str| Ok(Reply::Preview(vec![EffectLine { what, effect: effect.to_owned() }]));
        Some(match request {
            Request::Alerts => Ok(Reply::Alerts(Box::new(watch.page()))),
            Request::Sla => {
                let (now, providers) = (self.clock.now(), self.dispatcher.shared().provider_rows());
                Ok(Reply::Sla(sla_rows(&follower.levels(), &providers, now)))
            }
            Request::AlertAcknowledge { rule } if act.preview => {
                effect(format!("alerts of {rule}"), "would not be repeated for half an hour")
            }
            Request::AlertAcknowledge { rule } => {
                watch.acknowledge(by, rule).await.map(Reply::Done).map_err(|error| problem(&error))
            }
            Request::SilenceAdd { rule, object, .. } if act.preview => {
                let page = watch.page();
                let fits = |alert: &&usher_common::model::AlertRow| {
                    crate::incidents::cover::fits(rule, &alert.rule)
                        && crate::incidents::cover::fits(object, &alert.object)
                };
                let now = page.alerts.iter().filter(fits).count();
                effect(format!("{rule} of {object}"), &format!("would not be told; {now} alerts of now are among them"))
            }
            Request::SilenceAdd { rule, object, seconds } => {
                let span = Duration::from_secs(*seconds);
                watch.silence(by, rule, object, span).await.map(Reply::Done).map_err(|error| problem(&error))
            }
            Request::SilenceEnd { id } if act.preview => {
                effect(format!("silence {id}"), "would be over; what fires would be told")
            }
            Request::SilenceEnd { id } => {
                watch.end_silence(by, *id).await.map(Reply::Done).map_err(|error| problem(&error))
            }
            Request::AlertTest { channel } => {
                let rows = watch.page().channels;
                if let Some(name) = channel.as_ref().filter(|name| !rows.iter().any(|row| row.name == **name)) {
                    let text = format!("there is no alert channel `{name}`");
                    return Some(Err(Problem::new(ProblemCode::NotFound, text, "usher alert channels lists them")));
                }
                if act.preview {
                    let names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
                    return Some(effect(channel.clone().unwrap_or_else(|| names.join(", ")), "would get a test"));
                }
                Ok(Reply::AlertTrials(watch.notifier().test(channel.as_deref(), &by.actor).await))
            }
            _ => return None,
        })
    }
}

fn problem(error: &WatchError) -> Problem {
    match error {
        WatchError::Missing { what, name, remedy } => {
            Problem::new(ProblemCode::NotFound, format!("there is no {what} `{name}`"), *remedy)
        }
        WatchError::Refused(why) => Problem::new(ProblemCode::Invalid, why.clone(), "see usher silence add --help"),
        WatchError::Store(error) => Problem::new(ProblemCode::Unavailable, error.to_string(), "see usher status"),
    }
}
