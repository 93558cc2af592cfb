//! The nine ways in which a provider breaks, how each is brought about, and by when it should have been seen.

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use usher_sim::{Fault, FaultKind, Latency, Provider, Relay, Simulator, When};

use super::names::Names;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Connections are refused, and those that are kept are closed
    Refuse,
    /// Connections and requests are taken, and nothing comes back
    Hang,
    /// Every request is answered by a reset of its connection
    Reset,
    /// Every request is answered 503
    #[value(name = "5xx")]
    #[serde(rename = "5xx")]
    ServerError,
    /// Every request is answered 429, to come back in a second
    #[value(name = "429")]
    #[serde(rename = "429")]
    TooMany,
    /// Three of ten requests are answered 503
    #[value(name = "30-percent")]
    #[serde(rename = "30-percent")]
    Some,
    /// Every answer comes 8 s late
    Slow,
    /// The certificate has expired, and connections that are kept are closed
    Tls,
    /// The name does not resolve any more, and connections that are kept are closed
    Dns,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Refuse,
        Self::Hang,
        Self::Reset,
        Self::ServerError,
        Self::TooMany,
        Self::Some,
        Self::Slow,
        Self::Tls,
        Self::Dns,
    ];

    /// In the words of `docs/breaker.md`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refused",
            Self::Hang => "hangs after accept",
            Self::Reset => "reset",
            Self::ServerError => "5xx",
            Self::TooMany => "429",
            Self::Some => "30 % errors",
            Self::Slow => "8 s latency",
            Self::Tls => "TLS expired",
            Self::Dns => "DNS failure",
        }
    }

    /// Until when its breaker should be open, by messages a second; `None` where there is no aim.
    pub(crate) fn aim(self, rate: f64) -> Option<Duration> {
        match self {
            Self::TooMany | Self::Slow => None,
            Self::Some => (rate >= 1.0).then_some(Duration::from_secs(65)),
            _ if rate >= 10.0 => Some(Duration::from_secs(3)),
            _ => Some(Duration::from_secs(12)),
        }
    }

    /// How long to wait for the breaker, and for the standby to have caught up.
    pub(crate) fn patience(self, rate: f64) -> Duration {
        Duration::from_secs(match self {
            // It never opens: this is the time in which the standby's first acceptance is looked for.
            Self::TooMany => 15,
            Self::Some if rate < 100.0 => 100,
            Self::Some => 45,
            Self::Slow if rate < 1.0 => 45,
            _ => 25,
        })
    }

    /// Whether requests only hang, so that no message goes elsewhere before the breaker opens.
    pub(crate) fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::Slow)
    }

    /// Whether the standby must have taken something soon: where there is an aim for the opening, but for 30 % errors, of which
    /// so much goes well that most of it is not elsewhere until then.
    pub(crate) fn goes_elsewhere(self, rate: f64) -> bool {
        self.aim(rate).is_some() && self != Self::Some
    }

    /// Brings it about, at a provider behind `relay` that is reached by a name of `names`. Draws are made with `seed`.
    pub(crate) async fn begin(
        self,
        simulator: &Simulator,
        relay: &Relay,
        names: Option<&Names>,
        seed: u64,
    ) -> anyhow::Result<()> {
        let unavailable = FaultKind::Status { status: 503, accepted: false, code: None };
        let fault: Fault = match self {
            Self::Refuse => return relay.refuse().await.context("refusing connections"),
            Self::Tls => {
                relay.expire();
                return Ok(());
            }
            Self::Dns => {
                names.context("a provider without a name cannot lose it")?.forget()?;
                relay.part();
                return Ok(());
            }
            Self::Hang => FaultKind::Hang.into(),
            Self::Reset => FaultKind::Reset { when: When::BeforeAccept }.into(),
            Self::ServerError => unavailable.into(),
            Self::TooMany => FaultKind::Throttle { retry_after: None }.into(),
            Self::Some => Fault::from(unavailable).percent(30.0, seed),
            Self::Slow => FaultKind::Slow { latency: Latency::Fixed { ms: 8_000.0 } }.into(),
        };
        simulator.fault(Provider::SendGrid, fault).await.context("setting the fault")?;
        Ok(())
    }
}
