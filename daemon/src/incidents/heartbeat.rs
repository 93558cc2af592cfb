//! The heartbeat: a service outside is told once a minute that all is well, and alarms somebody when it hears nothing.
//!
//! It beats only while the store takes commits, the planner looks around, and no notice has waited for a minute: a daemon that runs
//! and does nothing is not well.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::notifier::Notifier;
use crate::providers::poster::{Posted, Poster};

/// Time between two beats.
const BEAT: Duration = Duration::from_mins(1);

/// What has to be well, told by whoever knows.
pub type Well = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Beats until `stop` is cancelled.
pub async fn beat(poster: Poster, well: Well, notifier: Arc<Notifier>, stop: CancellationToken) {
    loop {
        match well().and_then(|()| notifier.is_well()) {
            Ok(()) => match poster.post(&json!({ "status": "ok" })).await {
                Posted::Answered { status: 200..=299, .. } => {}
                Posted::Answered { status, .. } => tracing::warn!(status, "the heartbeat was not taken"),
                Posted::NotSent(why) | Posted::Doubt(why) => tracing::warn!(why, "the heartbeat did not arrive"),
            },
            Err(why) => tracing::error!(why, "no heartbeat: something is not well"),
        }
        if tokio::time::timeout(BEAT, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
