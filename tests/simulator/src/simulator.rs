//! The whole: starts every provider, sets faults, plays the script, stops.
//! Promises: when `start` returns, every port takes connections; when `stop` returns, no task and no port is left; a dropped
//! simulator stops by itself.

use crate::config::{Config, Latencies};
use crate::control;
use crate::fault::{Fault, FaultBoard, FaultError, FaultId};
use crate::http::{self, Hall, HttpProvider};
use crate::provider::Provider;
use crate::record::Record;
use crate::resend::Resend;
use crate::script::{Change, ScriptError, timeline};
use crate::sendgrid::SendGrid;
use crate::server::{Door, Lifetime};
use crate::slack::Slack;
use crate::smtp::Smtp;
use crate::tally::{Counts, Tally};
use crate::tls::{Certificates, TlsError};
use crate::twilio::Twilio;
use crate::whatsapp::WhatsApp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::DropGuard;

/// The simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be had.
    #[error("listening on 127.0.0.1:{port} for {whom}: {source}; choose another port, or 0 for any free one")]
    Listen {
        /// For whom.
        whom: &'static str,
        /// Which.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The script makes no sense.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// Where everything listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Base URL of Resend.
    pub resend_url: String,
    /// Base URL of Twilio.
    pub twilio_url: String,
    /// Submission with STARTTLS.
    pub smtp: SocketAddr,
    /// Submission with implicit TLS.
    pub smtps: SocketAddr,
    /// Base URL of SendGrid.
    pub sendgrid_url: String,
    /// Base URL of Slack: the Web API is below `/api`, webhooks are below `/services`.
    pub slack_url: String,
    /// Base URL of the Graph API, on which WhatsApp is spoken.
    pub whatsapp_url: String,
    /// Base URL of the control endpoint.
    pub control_url: String,
}

/// The providers at work, on 127.0.0.1.
#[derive(Debug)]
pub struct Simulator {
    stage: Arc<Stage>,
    ca_pem: String,
    control: Door,
    /// Stops everything when the simulator is dropped without [`Simulator::stop`].
    _guard: DropGuard,
}

/// What a fault, the script and the control endpoint act upon.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) hall: Arc<Hall>,
    resend: Arc<Resend>,
    /// The listeners of each provider, in the order of [`Provider::ALL`]; the submission server has two.
    doors: [Vec<Door>; Provider::ALL.len()],
    control: std::sync::OnceLock<SocketAddr>,
    lifetime: Lifetime,
    /// One fault at a time closes or opens doors, so that the last word is the last one given.
    turn: tokio::sync::Mutex<()>,
}

impl Simulator {
    /// Starts every provider and the control endpoint. Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When a port is taken, the script makes no sense, or certificates cannot be made.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let script = timeline(&config.script)?;
        // Off the runtime's threads: four key pairs take a while in a debug build.
        let making = tokio::task::spawn_blocking(Certificates::make).await;
        let certificates = making.expect("making certificates does not panic")?;
        let ca_pem = certificates.ca_pem.clone();
        let started = Instant::now();
        let hall = Arc::new(Hall {
            record: Arc::new(Record::new(config.seed, config.keep_bodies, started)),
            faults: FaultBoard::default(),
            tally: Tally::default(),
            started,
            latencies: Latencies::new(&config),
        });
        let lifetime = Lifetime::default();
        let guard = lifetime.stop.clone().drop_guard();
        let (plain_port, tls_port) = (config.smtp.port, config.smtp.tls_port);
        let ports = Provider::ALL.map(|provider| match provider {
            Provider::Resend => config.resend.port,
            Provider::Twilio => config.twilio.port,
            Provider::Smtp => plain_port,
            Provider::SendGrid => config.sendgrid.port,
            Provider::Slack => config.slack.port,
            Provider::WhatsApp => config.whatsapp.port,
        });
        let resend = Arc::new(Resend::new(config.resend, Arc::clone(&hall)));
        let twilio = Arc::new(Twilio::new(config.twilio, Arc::clone(&hall)));
        let smtp = Arc::new(Smtp::new(config.smtp, Arc::clone(&hall), certificates));
        let sendgrid = Arc::new(SendGrid::new(config.sendgrid, Arc::clone(&hall)));
        let slack = Arc::new(Slack::new(config.slack, Arc::clone(&hall)));
        let whatsapp = Arc::new(WhatsApp::new(config.whatsapp, Arc::clone(&hall)));
        let http = HttpDoors { ports, lifetime: &lifetime, hall: &hall };
        let submission = |whom, port, tls| {
            let smtp = Arc::clone(&smtp);
            Door::open(port, &lifetime, move |wire, ending| Arc::clone(&smtp).serve(wire, ending, tls))
                .map_err(|source| StartError::Listen { whom, port, source })
        };
        let doors = [
            vec![http.open(&resend)?],
            vec![http.open(&twilio)?],
            vec![submission("smtp", plain_port, false)?, submission("smtps", tls_port, true)?],
            vec![http.open(&sendgrid)?],
            vec![http.open(&slack)?],
            vec![http.open(&whatsapp)?],
        ];
        let stage = Arc::new(Stage {
            hall,
            resend,
            doors,
            control: std::sync::OnceLock::new(),
            lifetime: lifetime.clone(),
            turn: tokio::sync::Mutex::new(()),
        });
        let control = Door::open(config.control_port, &lifetime, {
            let stage = Arc::clone(&stage);
            move |wire, ending| control::serve(wire, ending, Arc::clone(&stage))
        });
        let (whom, port) = ("control", config.control_port);
        let control = control.map_err(|source| StartError::Listen { whom, port, source })?;
        stage.control.get_or_init(|| control.address());
        if !script.is_empty() {
            lifetime.tasks.spawn(play(Arc::clone(&stage), script));
        }
        Ok(Self { stage, ca_pem, control, _guard: guard })
    }

    /// Base URL of Resend, without a slash at its end.
    pub fn resend_url(&self) -> String {
        self.addresses().resend_url
    }

    /// Base URL of Twilio, without a slash at its end.
    pub fn twilio_url(&self) -> String {
        self.addresses().twilio_url
    }

    /// The submission port that offers STARTTLS.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.addresses().smtp
    }

    /// The submission port with implicit TLS.
    pub fn smtps_addr(&self) -> SocketAddr {
        self.addresses().smtps
    }

    /// Base URL of SendGrid, without a slash at its end.
    pub fn sendgrid_url(&self) -> String {
        self.addresses().sendgrid_url
    }

    /// Base URL of Slack, without a slash at its end; the Web API is below `/api`, webhooks are below `/services`.
    pub fn slack_url(&self) -> String {
        self.addresses().slack_url
    }

    /// Base URL of the Graph API, without a slash at its end and without a version.
    pub fn whatsapp_url(&self) -> String {
        self.addresses().whatsapp_url
    }

    /// Base URL of the control endpoint, without a slash at its end.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control.address())
    }

    /// All addresses at once.
    pub fn addresses(&self) -> Addresses {
        self.stage.addresses()
    }

    /// The certificate to trust for SMTP, in PEM; the server's name is `localhost` or 127.0.0.1.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What was accepted.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.stage.hall.record)
    }

    /// Requests and answers of one provider.
    pub fn counts(&self, provider: Provider) -> Counts {
        self.stage.counts_of(provider)
    }

    /// Puts a fault in force, beside those that are. Returns when it is: after [`FaultKind::Refuse`](crate::FaultKind) the
    /// port refuses.
    ///
    /// # Errors
    /// When the fault makes no sense there.
    pub async fn fault(&self, provider: Provider, fault: impl Into<Fault>) -> Result<FaultId, FaultError> {
        self.stage.fault(provider, fault.into()).await
    }

    /// Lifts one fault; `false` when it was not in force. Requests that it holds up stay held up.
    ///
    /// # Errors
    /// When the listener cannot be opened again.
    pub async fn lift(&self, id: FaultId) -> Result<bool, FaultError> {
        self.stage.lift(id).await
    }

    /// Lifts every fault of a provider.
    ///
    /// # Errors
    /// When the listener cannot be opened again.
    pub async fn clear(&self, provider: Provider) -> Result<(), FaultError> {
        self.stage.clear(provider).await
    }

    /// Forgets record, counts, idempotency keys and faults. A script goes on.
    ///
    /// # Errors
    /// When a listener cannot be opened again.
    pub async fn reset(&self) -> Result<(), FaultError> {
        self.stage.reset().await
    }

    /// Closes every port and connection, and returns when all is quiet.
    pub async fn stop(self) {
        self.stage.lifetime.stop.cancel();
        self.stage.lifetime.tasks.close();
        self.stage.lifetime.tasks.wait().await;
    }
}

/// What opening a door to a provider takes that is spoken over HTTP.
struct HttpDoors<'a> {
    ports: [u16; Provider::ALL.len()],
    lifetime: &'a Lifetime,
    hall: &'a Arc<Hall>,
}

impl HttpDoors<'_> {
    fn open<P: HttpProvider>(&self, provider: &Arc<P>) -> Result<Door, StartError> {
        let port = self.ports[P::PROVIDER.index()];
        let (provider, hall) = (Arc::clone(provider), Arc::clone(self.hall));
        let serve = move |wire, ending| http::serve(wire, ending, Arc::clone(&provider), Arc::clone(&hall));
        let listen = |source| StartError::Listen { whom: P::PROVIDER.name(), port, source };
        Door::open(port, self.lifetime, serve).map_err(listen)
    }
}

impl Stage {
    pub(crate) async fn fault(&self, provider: Provider, fault: Fault) -> Result<FaultId, FaultError> {
        fault.check(provider)?;
        let _turn = self.turn.lock().await;
        let id = self.hall.faults.arm(provider, fault);
        self.move_doors(provider).await?;
        Ok(id)
    }

    pub(crate) async fn lift(&self, id: FaultId) -> Result<bool, FaultError> {
        let _turn = self.turn.lock().await;
        let lifted = self.hall.faults.lift(id);
        for provider in Provider::ALL {
            self.move_doors(provider).await?;
        }
        Ok(lifted)
    }

    pub(crate) async fn clear(&self, provider: Provider) -> Result<(), FaultError> {
        let _turn = self.turn.lock().await;
        self.hall.faults.clear(provider);
        self.move_doors(provider).await
    }

    pub(crate) async fn reset(&self) -> Result<(), FaultError> {
        for provider in Provider::ALL {
            self.clear(provider).await?;
            self.hall.tally.of(provider).reset();
        }
        self.hall.record.reset();
        self.resend.reset();
        Ok(())
    }

    /// Lifts a fault later, unless the simulator stops before.
    pub(crate) fn lift_after(self: &Arc<Self>, id: FaultId, lasting: Duration) {
        let stage = Arc::clone(self);
        self.lifetime.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(lasting) => {
                    // A listener that does not open again is reported to whoever sets the next fault.
                    let _ = stage.lift(id).await;
                }
                () = stage.lifetime.stop.cancelled() => {}
            }
        });
    }

    /// Opens or shuts a provider's listeners as the faults in force have it.
    async fn move_doors(&self, provider: Provider) -> Result<(), FaultError> {
        let open = !self.hall.faults.refuses(provider);
        for door in &self.doors[provider.index()] {
            let failed = |error: Arc<io::Error>| FaultError::Listener { provider, cause: error.to_string() };
            door.set_open(open).await.map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn counts(&self) -> BTreeMap<Provider, Counts> {
        Provider::ALL.into_iter().map(|provider| (provider, self.counts_of(provider))).collect()
    }

    fn counts_of(&self, provider: Provider) -> Counts {
        self.hall.tally.of(provider).counts(self.hall.record.count(provider))
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let at = |provider: Provider, which: usize| self.doors[provider.index()][which].address();
        let control = self.control.get().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let url = |provider| format!("http://{}", at(provider, 0));
        Addresses {
            resend_url: url(Provider::Resend),
            twilio_url: url(Provider::Twilio),
            smtp: at(Provider::Smtp, 0),
            smtps: at(Provider::Smtp, 1),
            sendgrid_url: url(Provider::SendGrid),
            slack_url: url(Provider::Slack),
            whatsapp_url: url(Provider::WhatsApp),
            control_url: format!("http://{control}"),
        }
    }
}

/// Plays a script from its start to its end.
async fn play(stage: Arc<Stage>, script: Vec<(Duration, Change)>) {
    let start = tokio::time::Instant::now();
    let mut ids: BTreeMap<usize, FaultId> = BTreeMap::new();
    for (at, change) in script {
        tokio::select! {
            () = tokio::time::sleep_until(start + at) => {}
            () = stage.lifetime.stop.cancelled() => return,
        }
        // The faults were checked before the start; a listener that fails is reported to the next caller.
        match change {
            Change::Begin(step, provider, fault) => {
                if let Ok(id) = stage.fault(provider, fault).await {
                    ids.insert(step, id);
                }
            }
            Change::End(step) => {
                if let Some(id) = ids.remove(&step) {
                    let _ = stage.lift(id).await;
                }
            }
        }
    }
}
