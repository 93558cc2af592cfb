//! Requests of operators who steer what is sent: hold, release, and everything about a provider.

use std::time::Duration;

use usher_common::protocol::{Act, EffectLine, Problem, Reply, Request};

use super::Api;
use super::problem::ToProblem;
use crate::dispatch::SteerError;
use crate::store::By;

impl Api {
    /// Answers a request about what is in force over sending; `None` if it is about something else.
    pub(super) async fn steering_request(
        &self,
        by: &By,
        act: &Act,
        request: &Request,
    ) -> Option<Result<Reply, Problem>> {
        let shared = self.dispatcher.shared();
        let done = match request {
            Request::Controls => return Some(Ok(Reply::Controls(shared.controls_in_force()))),
            Request::Why { target } => shared.why(target).map(Reply::Why),
            Request::Hold { target, .. } if act.preview => shared.would_hold(target).map(Reply::Preview),
            Request::Hold { target, seconds } => {
                shared.hold(by, target, seconds.map(Duration::from_secs)).await.map(Reply::Done)
            }
            Request::Release { target } if act.preview => shared.would_release(target).map(Reply::Preview),
            Request::Release { target } => shared.release(by, target).await.map(Reply::Done),
            Request::ProviderSteer { provider, steer, seconds } => {
                let span = Duration::from_secs(*seconds);
                if act.preview {
                    shared.would_steer(by, provider, steer, span).map(Reply::Preview)
                } else {
                    shared.steer(by, provider, steer, span).await.map(Reply::Done)
                }
            }
            Request::ProviderEnable { provider } if act.preview => shared.would_enable(provider).map(Reply::Preview),
            Request::ProviderEnable { provider } => shared.enable(by, provider).await.map(Reply::Done),
            Request::ProviderTest { provider, to, organisation } => {
                return Some(self.provider_test(by, act, provider, to, organisation.as_deref()).await);
            }
            _ => return None,
        };
        Some(done.map_err(|error: SteerError| error.problem()))
    }

    async fn provider_test(
        &self,
        by: &By,
        act: &Act,
        provider: &str,
        to: &str,
        organisation: Option<&str>,
    ) -> Result<Reply, Problem> {
        if act.preview {
            let effect = format!("would be sent to {to} by {provider}, whatever its breaker says");
            return Ok(Reply::Preview(vec![EffectLine { what: "1 line".to_owned(), effect }]));
        }
        let sent = self.dispatcher.shared().try_provider(by, provider, to, organisation).await;
        let (provider, their_id) = sent.map_err(|error| error.problem())?;
        Ok(Reply::Done(format!("sent to {to} by {provider}, which calls it {their_id}")))
    }
}
