//! HTTPS before a provider: what a client meets at each state of the relay.

use crate::support;
use reqwest::{Certificate, Client};
use std::error::Error as _;
use usher_sim::{FaultKind, NAME, Provider, Relay, Simulator, When};

struct Scene {
    simulator: Simulator,
    relay: Relay,
    client: Client,
    url: String,
}

impl Scene {
    async fn set() -> Self {
        let simulator = support::start().await;
        let to = simulator.resend_url().strip_prefix("http://").unwrap().parse().unwrap();
        let relay = Relay::start(to).await.unwrap();
        let ca = Certificate::from_pem(relay.ca_pem().as_bytes()).unwrap();
        let builder = support::builder().add_root_certificate(ca).resolve(NAME, relay.address());
        // A connection that was kept may be ended in the moment in which it is used again: each request makes its own.
        let client = builder.user_agent("usher-test/1").pool_max_idle_per_host(0).build().unwrap();
        let url = format!("https://{NAME}:{}/emails", relay.address().port());
        Self { simulator, relay, client, url }
    }

    /// Sends one e-mail; what went wrong, cause by cause, if anything did.
    async fn send(&self) -> Result<(), String> {
        let body = support::email("m1", "ann@example.com");
        let sent = self.client.post(&self.url).bearer_auth("re_simulator").json(&body).send().await;
        match sent {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                Ok(())
            }
            Err(error) => {
                let mut said = error.to_string();
                let mut cause = error.source();
                while let Some(inner) = cause {
                    said += &format!(": {inner}");
                    cause = inner.source();
                }
                Err(said)
            }
        }
    }
}

#[tokio::test]
async fn it_carries_and_goes_on_for_new_connections_after_it_has_ended_the_old_ones() {
    let scene = Scene::set().await;
    scene.send().await.unwrap();
    scene.relay.part();
    scene.send().await.unwrap();
    assert_eq!(scene.simulator.record().count(Provider::Resend), 2);
}

#[tokio::test]
async fn an_expired_certificate_and_a_shut_door_let_nothing_through() {
    let scene = Scene::set().await;
    scene.send().await.unwrap();
    scene.relay.expire();
    let said = scene.send().await.unwrap_err();
    assert!(said.to_lowercase().contains("expired"), "{said}");
    scene.relay.refuse().await.unwrap();
    let said = scene.send().await.unwrap_err();
    assert!(said.to_lowercase().contains("refused"), "{said}");
    assert_eq!(scene.simulator.record().count(Provider::Resend), 1);
}

#[tokio::test]
async fn a_reset_comes_through_as_one() {
    let scene = Scene::set().await;
    scene.simulator.fault(Provider::Resend, FaultKind::Reset { when: When::AfterAccept }).await.unwrap();
    let said = scene.send().await.unwrap_err();
    assert!(said.to_lowercase().contains("reset"), "{said}");
    assert_eq!(scene.simulator.record().count(Provider::Resend), 1);
}
