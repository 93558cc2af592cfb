//! A submission server (RFC 6409): STARTTLS and implicit TLS, AUTH, pipelining, several messages a connection.
//! Promises: replies as a strict real server would; a message stands in the record exactly when the server took
//! responsibility for it, that is, just before the `250` after the final dot, sent or not.

mod command;
mod lines;
mod message;
mod session;

use crate::config::SmtpConfig;
use crate::fault::{Dot, FaultKind, Moment, Stage, When};
use crate::http::Hall;
use crate::pace::Pace;
use crate::provider::Provider;
use crate::server::Ending;
use crate::tls::Certificates;
use crate::wire::{Fate, Wire};
use lines::{Data, Lines};
use session::{Next, Reply, Session};
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// The simulated server.
#[derive(Debug)]
pub(crate) struct Smtp {
    config: SmtpConfig,
    hall: Arc<Hall>,
    certificates: Certificates,
    pace: Option<Mutex<Pace>>,
}

/// What one connection knows about its surroundings.
struct Desk<'a> {
    smtp: &'a Smtp,
    fate: &'a Fate,
    ending: &'a Ending,
}

/// How a stretch of dialogue ended.
enum End {
    /// The connection is over.
    Closed,
    /// The client wants TLS, and was told to go ahead.
    StartTls,
}

impl Smtp {
    pub(crate) fn new(config: SmtpConfig, hall: Arc<Hall>, certificates: Certificates) -> Self {
        let pace = config.messages_per_second.map(|limit| Mutex::new(Pace::new(limit)));
        Self { config, hall, certificates, pace }
    }

    /// Serves one connection until it ends; with `implicit_tls` the handshake comes first.
    pub(crate) async fn serve(self: Arc<Self>, wire: Wire, ending: Ending, implicit_tls: bool) {
        let fate = wire.fate();
        let desk = Desk { smtp: &self, fate: &fate, ending: &ending };
        tokio::select! {
            // How a client's connection fails is the client's affair.
            _ = desk.connection(wire, implicit_tls) => {}
            () = fate.cut() => {}
            () = ending.stop.cancelled() => {}
        }
    }

    fn throttled(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| {
            let since = self.hall.started.elapsed();
            !pace.lock().unwrap_or_else(PoisonError::into_inner).take(since).granted
        })
    }
}

impl Desk<'_> {
    async fn connection(&self, wire: Wire, implicit_tls: bool) -> io::Result<()> {
        let strike = self.smtp.hall.faults.judge(Provider::Smtp, Moment::Connection);
        let acceptor = match &strike.kind {
            Some(FaultKind::ExpiredCertificate) => &self.smtp.certificates.expired,
            _ => &self.smtp.certificates.good,
        };
        if strike.kind.is_some() {
            self.smtp.hall.tally.of(Provider::Smtp).fault();
        }
        if strike.kind == Some(FaultKind::Hang) {
            // Held open: dropping the wire would tell the client.
            let _held = wire;
            return pending().await;
        }
        let mut session = Session::new(&self.smtp.config);
        let greeting = match &strike.kind {
            Some(FaultKind::Reply { text, .. }) => Err(Reply::fault(text)),
            _ => Ok(session.greeting()),
        };
        if implicit_tls {
            session.secured();
            self.dialogue(Lines::new(acceptor.accept(wire).await?), &mut session, Some(greeting)).await.map(drop)
        } else {
            let mut lines = Lines::new(wire);
            match self.dialogue_on(&mut lines, &mut session, Some(greeting)).await? {
                End::Closed => Ok(()),
                // What the client sent ahead of the handshake is thrown away with the buffer: it came in the clear.
                End::StartTls => {
                    let stream = acceptor.accept(lines.into_inner()).await?;
                    session.secured();
                    self.dialogue(Lines::new(stream), &mut session, None).await.map(drop)
                }
            }
        }
    }

    async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut lines: Lines<S>,
        session: &mut Session<'_>,
        greeting: Option<Result<Reply, Reply>>,
    ) -> io::Result<End> {
        self.dialogue_on(&mut lines, session, greeting).await
    }

    /// Speaks until the client leaves, is shown out, or wants TLS. An `Err` greeting is said, and then the door is shut.
    async fn dialogue_on<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        lines: &mut Lines<S>,
        session: &mut Session<'_>,
        greeting: Option<Result<Reply, Reply>>,
    ) -> io::Result<End> {
        match greeting {
            Some(Ok(reply)) => lines.write(&reply),
            Some(Err(reply)) => {
                lines.write(&reply);
                lines.close().await?;
                return Ok(End::Closed);
            }
            None => {}
        }
        loop {
            let line = tokio::select! {
                line = lines.command() => line?,
                () = self.ending.drain.cancelled() => {
                    lines.write(&Reply::new(421, "4.3.2", "Service shutting down"));
                    lines.close().await?;
                    return Ok(End::Closed);
                }
            };
            let Some(line) = line else { return Ok(End::Closed) };
            let next = match line {
                Ok(line) => self.next(session, &line),
                Err(refusal) => Next::Say(refusal),
            };
            match next {
                Next::Say(reply) => {
                    lines.write(&reply);
                    if reply.code == 421 || reply.code == 221 {
                        lines.close().await?;
                        return Ok(End::Closed);
                    }
                }
                Next::StartTls(reply) => {
                    lines.write(&reply);
                    lines.flush().await?;
                    return Ok(End::StartTls);
                }
                Next::Silence => return pending().await,
                Next::Data(reply) => {
                    lines.write(&reply);
                    lines.flush().await?;
                    if !self.data(lines, session).await? {
                        return Ok(End::Closed);
                    }
                }
            }
        }
    }

    /// Answers a command, after asking the faults at the moments at which they may show.
    fn next(&self, session: &mut Session<'_>, line: &str) -> Next {
        let hall = &self.smtp.hall;
        let verb = command::verb(line);
        let tally = hall.tally.of(Provider::Smtp);
        if verb.eq_ignore_ascii_case("AUTH") {
            let strike = hall.faults.judge(Provider::Smtp, Moment::Auth);
            match strike.kind {
                Some(FaultKind::AuthFailure) => {
                    tally.fault();
                    session.refuse_next_auth(Reply::bad_credentials());
                }
                Some(FaultKind::Reply { text, .. }) => {
                    tally.fault();
                    session.refuse_next_auth(Reply::fault(&text));
                }
                _ => {}
            }
        }
        if verb.eq_ignore_ascii_case("MAIL") && session.may_mail() {
            session.set_nth(tally.request());
            if self.smtp.throttled() {
                tally.reply(451);
                return Next::Say(Reply::new(451, "4.7.28", "Rate limit exceeded, try again later"));
            }
            let strike = hall.faults.judge(Provider::Smtp, Moment::Send);
            if strike.kind.is_some() || !strike.delay.is_zero() {
                tally.fault();
            }
            match &strike.kind {
                Some(FaultKind::Hang) => return Next::Silence,
                Some(FaultKind::Throttle { .. }) => {
                    tally.reply(451);
                    return Next::Say(Reply::new(451, "4.7.28", "Rate limit exceeded, try again later"));
                }
                Some(FaultKind::AuthFailure) => return Next::Say(Reply::new(530, "5.7.0", "Authentication required")),
                Some(FaultKind::Reply { stage: Stage::Mail, text }) => {
                    let reply = Reply::fault(text);
                    tally.reply(reply.code);
                    return Next::Say(reply);
                }
                _ => session.set_strike(strike),
            }
        }
        let next = session.command(line);
        if let Next::Say(reply) = &next
            && reply.code >= 400
            && verb.eq_ignore_ascii_case("RCPT")
        {
            tally.reply(reply.code);
        }
        next
    }

    /// Reads a message and answers it; `false` when the connection is over.
    async fn data<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        lines: &mut Lines<S>,
        session: &mut Session<'_>,
    ) -> io::Result<bool> {
        let strike = session.take_strike();
        if strike.kind == Some(FaultKind::Drop { when: Dot::Before }) {
            // Waits for the first bytes, so that the client is in the middle of its message.
            lines.some().await?;
            return Ok(false);
        }
        let Some(Data { text, fault }) = lines.data(self.smtp.config.max_size).await? else { return Ok(false) };
        let hall = &self.smtp.hall;
        let prevented = strike.kind.as_ref().is_some_and(FaultKind::prevents_acceptance);
        let judged = match fault {
            Some(refusal) => Err(refusal),
            None => message::judge(&text, session.envelope()),
        };
        let mut reply = match judged {
            Err(refusal) => refusal,
            Ok(_) if prevented => Reply::new(451, "4.3.0", "Not accepted"),
            Ok(header) => {
                let sequence = message::accept(&hall.record, session.envelope(), &header, text, Instant::now());
                let id = crate::record::written_id(Provider::Smtp, hall.record.raw_id(sequence));
                Reply::new(250, "2.0.0", &format!("Ok: queued as {id}"))
            }
        };
        let delay: Duration = strike.delay + hall.latencies.delay(Provider::Smtp, session.nth());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        session.end_transaction();
        match strike.kind {
            Some(FaultKind::Drop { when: Dot::After }) => return Ok(false),
            Some(FaultKind::HangAfterAccept { .. }) => return pending().await,
            Some(FaultKind::Reset { when: When::BeforeAccept | When::AfterAccept }) => {
                self.fate.reset();
                return pending().await;
            }
            Some(FaultKind::Reply { stage: Stage::FinalDot, text }) => reply = Reply::fault(&text),
            _ => {}
        }
        hall.tally.of(Provider::Smtp).reply(reply.code);
        lines.write(&reply);
        if reply.code == 421 {
            lines.close().await?;
            return Ok(false);
        }
        Ok(true)
    }
}
