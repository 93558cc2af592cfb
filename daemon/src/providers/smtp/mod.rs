//! SMTP submission: e-mail to any server that takes it.
//!
//! The dialogue is spoken here, command by command, because what a lost connection means hangs on one point: whether
//! the final dot had been written. Before it, the server must throw the message away (`NotSent`); from it on, nobody
//! knows (`Unknown`). Connections are kept and used again; one that has died while idle is found by `RSET`, before
//! anything of a message was said, and replaced once, so that it never costs an attempt.

mod classify;
pub(super) mod compose;
mod dialogue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lettre::transport::smtp::extension::ClientId;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use usher_common::model::{Channel, OutcomeClass, ProviderKind};

use self::classify::{Fault, Stage};
use self::compose::Transaction;
use self::dialogue::{Line, Patience};
use super::http::is_loopback;
use super::settings::{BuildError, ProviderConfig, Security};
use super::{Answer, Look, Outgoing, PrepareError, Prepared, Probe, Provider, Traits, trust};

/// An idle connection is given up after this long; servers close theirs after one to five minutes.
const IDLE: Duration = Duration::from_secs(50);

/// The adapter for one account at one SMTP server.
pub(super) struct Smtp {
    name: String,
    host: String,
    port: u16,
    security: Security,
    tls: TlsConnector,
    hello: String,
    sign_in: Option<(String, SecretString)>,
    sender: Option<String>,
    sender_name: Option<String>,
    patience: Patience,
    /// Connections at rest, the most recently used last.
    idle: Mutex<Vec<(Line, Instant)>>,
    /// One permit a connection.
    room: Semaphore,
    /// Whether the server took non-ASCII addresses when last greeted; hoped for until then.
    utf8: AtomicBool,
}

impl Smtp {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let smtp = config.need("smtp", config.smtp.as_ref())?;
        if smtp.security == Security::None && !is_loopback(&smtp.host) {
            return Err(BuildError::Unprotected { provider: config.name.clone(), key: "smtp.security" });
        }
        let sign_in = match &smtp.user {
            Some(user) => Some((user.clone(), config.need("smtp.password", smtp.password.as_ref())?.clone())),
            None => None,
        };
        let hello = smtp.hello_name.clone().unwrap_or_else(|| ClientId::default().to_string());
        compose::plain_line(&hello).map_err(|why| BuildError::Value {
            provider: config.name.clone(),
            key: "smtp.hello_name",
            why,
        })?;
        Ok(Self {
            name: config.name.clone(),
            host: smtp.host.clone(),
            port: smtp.port(),
            security: smtp.security,
            tls: TlsConnector::from(std::sync::Arc::new(trust::client_tls(config)?)),
            hello,
            sign_in,
            sender: config.sender.clone(),
            sender_name: config.sender_name.clone(),
            patience: Patience {
                connect: config.connect_timeout(),
                reply: config.request_timeout(),
                last: Duration::from_millis(smtp.final_timeout_ms),
            },
            idle: Mutex::new(Vec::new()),
            room: Semaphore::new(smtp.pool),
            utf8: AtomicBool::new(true),
        })
    }

    async fn attempt(&self, request: &Prepared) -> Answer {
        let Some(transaction) = Transaction::read(&request.bytes) else {
            return Answer::new(OutcomeClass::Refused, None, "unwritable", "these bytes are no SMTP transaction");
        };
        let _room = self.room.acquire().await.expect("the semaphore is never closed");
        let mut line = match self.ready().await {
            Ok(line) => line,
            Err(fault) => return fault.answer(),
        };
        match line.deliver(&transaction, &self.patience).await {
            Ok(reply) => {
                self.keep(line);
                let mut answer = Answer::accepted(reply.code.to_string(), transaction.message_id());
                answer.detail = super::clean(&reply.text);
                answer
            }
            Err(fault) => {
                if fault.leaves_line_usable() {
                    self.keep(line);
                }
                fault.answer()
            }
        }
    }

    /// A connection on which `MAIL` may be said: one at rest that still answers, else a fresh one.
    async fn ready(&self) -> Result<Line, Fault> {
        if let Some(mut line) = self.rested() {
            if line.reset(self.patience.connect).await.is_ok() {
                return Ok(line);
            }
            // If one has died, the server has most likely dropped them all; trying each would only cost time.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.open().await
    }

    /// A fresh connection: greeted, protected and signed in.
    async fn open(&self) -> Result<Line, Fault> {
        let mut line = Line::connect(&self.host, self.port, self.patience.connect).await?;
        if self.security == Security::Tls {
            line = line.protect(&self.tls, &self.host, Stage::Connect, self.patience.connect).await?;
        }
        line.greeting(self.patience.reply).await?;
        line.hello(&self.hello, self.patience.reply).await?;
        if self.security == Security::StartTls {
            line.start_tls(self.patience.reply).await?;
            line = line.protect(&self.tls, &self.host, Stage::StartTls, self.patience.connect).await?;
            // What was offered before TLS may have been anybody's words (RFC 3207 §4.2).
            line.hello(&self.hello, self.patience.reply).await?;
        }
        self.utf8.store(line.offers.smtp_utf8, Ordering::Relaxed);
        if let Some((user, password)) = &self.sign_in {
            line.sign_in(user, password.expose_secret(), self.patience.reply).await?;
        }
        Ok(line)
    }

    fn rested(&self) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (line, since) = idle.pop()?;
        if since.elapsed() < IDLE {
            return Some(line);
        }
        // The newest is too old, so all are.
        idle.clear();
        None
    }

    fn keep(&self, line: Line) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((line, Instant::now()));
    }

    async fn ask(&self) -> Probe {
        let asked = async {
            let mut line = self.open().await?;
            line.farewell(self.patience.reply).await
        };
        match asked.await {
            Ok(()) => Probe::Up("greeted and signed in".to_owned()),
            Err(fault) => {
                let answer = fault.answer();
                let detail = format!("{} {}", answer.code, answer.detail);
                if answer.class == OutcomeClass::Unusable { Probe::Unusable(detail) } else { Probe::Down(detail) }
            }
        }
    }
}

impl Provider for Smtp {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Smtp
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn traits(&self) -> Traits {
        Traits { batch_max: 1, keeps_keys: None, smtp_utf8: self.utf8.load(Ordering::Relaxed), lookup: false }
    }

    fn prepare(&self, messages: &[Outgoing], key: &str) -> Result<Prepared, PrepareError> {
        let [message] = messages else {
            return Err(PrepareError::Count { provider: self.name.clone(), max: 1, got: messages.len() });
        };
        let from = self.sender.as_deref().unwrap_or(&message.from.address);
        let from_name = self.sender_name.as_deref().unwrap_or(&message.from.name);
        Ok(Prepared::new(1, Transaction::write(message, from, from_name)?, key))
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Vec<Answer>> {
        self.attempt(request).map(|answer| vec![answer; request.messages]).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Probe> {
        self.ask().boxed()
    }

    fn look(&self) -> BoxFuture<'_, Look> {
        let seen = async {
            match self.open().await {
                Ok(mut line) => {
                    // The certificate was seen; how it says goodbye does not matter.
                    let _ = line.farewell(self.patience.reply).await;
                    Look { certificate: line.certificate, ..Look::default() }
                }
                Err(fault) => Look { fault: fault.answer().detail, ..Look::default() },
            }
        };
        seen.boxed()
    }
}

#[cfg(test)]
mod tests;
