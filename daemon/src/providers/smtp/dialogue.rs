//! One connection to an SMTP server, and the words spoken on it.
//!
//! Each step knows its [`Stage`], has its own limit of time, and reads replies within bounds. Text of a reply need not
//! be UTF-8: a server may refuse in any language.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use usher_common::model::Timestamp;

use super::classify::{Fault, Said, Stage};
use super::compose::Transaction;
use crate::failpoint;
use crate::providers::trust;

/// Longest reply line that is read, in bytes; RFC 5321 §4.5.3.1.5 allows 512.
const LINE_MAX: usize = 4096;

/// Most lines of one reply.
const LINES_MAX: usize = 100;

/// How long each kind of step may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Name look-up and TCP; and once more for TLS.
    pub(super) connect: Duration,
    /// The reply to each command, and the writing of a message.
    pub(super) reply: Duration,
    /// The reply to the final dot.
    pub(super) last: Duration,
}

/// What the server offered in answer to EHLO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// STARTTLS.
    pub(super) starttls: bool,
    /// Addresses beyond ASCII.
    pub(super) smtp_utf8: bool,
    /// SIZE: it wants to know how large a message is (RFC 1870), and takes so many bytes; 0 where it does not say.
    pub(super) size: Option<u64>,
    /// Delivery status notifications (RFC 3461).
    pub(super) dsn: bool,
    /// AUTH PLAIN.
    pub(super) plain: bool,
    /// AUTH LOGIN.
    pub(super) login: bool,
}

trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

/// An open connection.
pub(super) struct Line {
    wire: BufReader<Box<dyn Wire>>,
    /// What the last EHLO brought.
    pub(super) offers: Offers,
    /// Until when the server's certificate is good.
    pub(super) certificate: Option<Timestamp>,
}

impl Line {
    /// Opens the TCP connection.
    pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<Self, Fault> {
        let opened = within(Stage::Connect, limit, TcpStream::connect((host, port))).await?;
        // Commands are small and each waits for its reply: holding them back only costs time.
        let stream = opened.set_nodelay(true).map(|()| opened).map_err(|error| lost(Stage::Connect, &error))?;
        Ok(Self { wire: BufReader::new(Box::new(stream)), offers: Offers::default(), certificate: None })
    }

    /// Puts TLS around the connection.
    pub(super) async fn protect(
        self,
        tls: &TlsConnector,
        host: &str,
        stage: Stage,
        limit: Duration,
    ) -> Result<Self, Fault> {
        if !self.wire.buffer().is_empty() {
            // Words sent before the handshake would be read as if they came from inside it.
            return Err(Fault::Lost { stage, timeout: false, detail: "the server spoke before TLS began".to_owned() });
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| lost(stage, &error))?;
        let protected = within(stage, limit, tls.connect(name, self.wire.into_inner())).await?;
        let certificate = protected.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(|certificate| trust::good_until(certificate));
        Ok(Self { wire: BufReader::new(Box::new(protected)), offers: Offers::default(), certificate })
    }

    /// Waits for 220.
    pub(super) async fn greeting(&mut self, limit: Duration) -> Result<(), Fault> {
        self.reply(Stage::Greeting, limit).await.and_then(|said| expect(Stage::Greeting, 2, said)).map(drop)
    }

    /// Says EHLO and notes what is offered.
    pub(super) async fn hello(&mut self, name: &str, limit: Duration) -> Result<(), Fault> {
        let said = self.command(Stage::Hello, &format!("EHLO {name}"), 2, limit).await?;
        self.offers = Offers::default();
        for line in said.text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => self.offers.starttls = true,
                "SMTPUTF8" => self.offers.smtp_utf8 = true,
                "DSN" => self.offers.dsn = true,
                // A limit that is no number is none that could be kept.
                "SIZE" => self.offers.size = Some(words.next().and_then(|most| most.parse().ok()).unwrap_or(0)),
                "AUTH" => {
                    for mechanism in words {
                        self.offers.plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        self.offers.login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Says STARTTLS; the handshake is [`Self::protect`].
    pub(super) async fn start_tls(&mut self, limit: Duration) -> Result<(), Fault> {
        if !self.offers.starttls {
            return Err(Fault::Lacks("STARTTLS"));
        }
        self.command(Stage::StartTls, "STARTTLS", 2, limit).await.map(drop)
    }

    /// Signs in, by PLAIN or else LOGIN.
    pub(super) async fn sign_in(&mut self, user: &str, password: &str, limit: Duration) -> Result<(), Fault> {
        if self.offers.plain {
            let token = STANDARD.encode(format!("\0{user}\0{password}"));
            return self.command(Stage::Auth, &format!("AUTH PLAIN {token}"), 2, limit).await.map(drop);
        }
        if !self.offers.login {
            return Err(Fault::Lacks("AUTH PLAIN or LOGIN"));
        }
        self.command(Stage::Auth, "AUTH LOGIN", 3, limit).await?;
        self.command(Stage::Auth, &STANDARD.encode(user), 3, limit).await?;
        self.command(Stage::Auth, &STANDARD.encode(password), 2, limit).await.map(drop)
    }

    /// Says RSET: forgets what was said of the last message, and proves that the server is still there.
    pub(super) async fn reset(&mut self, limit: Duration) -> Result<(), Fault> {
        self.command(Stage::Between, "RSET", 2, limit).await.map(drop)
    }

    /// Says NOOP and QUIT.
    pub(super) async fn farewell(&mut self, limit: Duration) -> Result<(), Fault> {
        self.command(Stage::Between, "NOOP", 2, limit).await?;
        // The question is answered; whether the server says good-bye does not matter.
        let _ = self.command(Stage::Between, "QUIT", 2, limit).await;
        Ok(())
    }

    /// Hands over one message. `Ok` is the server's yes to the final dot.
    pub(super) async fn deliver(&mut self, transaction: &Transaction<'_>, patience: &Patience) -> Result<Said, Fault> {
        let limit = patience.reply;
        if transaction.needs_utf8() && !self.offers.smtp_utf8 {
            return Err(Fault::NoUtf8);
        }
        let size = transaction.size();
        // Asking all the same would only be answered with no (RFC 1870 §6.1), and after the whole text by some.
        if let Some(most) = self.offers.size.filter(|&most| most > 0 && size > most) {
            return Err(Fault::TooLarge { size, most });
        }
        let content = transaction.stuffed();
        // RFC 6531 §3.1: who offers SMTPUTF8 offers 8BITMIME.
        let utf8 = if transaction.needs_utf8() { " SMTPUTF8 BODY=8BITMIME" } else { "" };
        let size = self.offers.size.map_or_else(String::new, |_| format!(" SIZE={size}"));
        let dsn = if self.offers.dsn { envelope_id(transaction.message_id()) } else { None };
        // What comes back need not hold the letter, only what it was.
        let dsn = dsn.map_or_else(String::new, |id| format!(" RET=HDRS ENVID={id}"));
        let mail = format!("MAIL FROM:<{}>{utf8}{size}{dsn}", transaction.from);
        self.command(Stage::Mail, &mail, 2, limit).await?;
        self.command(Stage::Rcpt, &format!("RCPT TO:<{}>", transaction.to), 2, limit).await?;
        self.command(Stage::Data, "DATA", 3, limit).await?;
        self.write(Stage::Data, &content, limit).await?;
        self.still_listening()?;
        // From here on nobody but the server knows.
        self.write(Stage::Dot, b"\r\n.\r\n", limit).await?;
        failpoint::hit("providers.smtp.body-written");
        let said = self.reply(Stage::Dot, patience.last).await?;
        expect(Stage::Dot, 2, said)
    }

    /// Fails if the server has hung up, or spoken, before the final dot: then it is proved that nothing was taken.
    fn still_listening(&mut self) -> Result<(), Fault> {
        let stage = Stage::Data;
        match self.wire.fill_buf().now_or_never() {
            None => Ok(()),
            Some(Err(error)) => Err(lost(stage, &error)),
            Some(Ok([])) => Err(hung_up(stage)),
            Some(Ok(_)) => Err(Fault::Lost {
                stage,
                timeout: false,
                detail: "the server spoke before the message had ended".to_owned(),
            }),
        }
    }

    async fn command(&mut self, stage: Stage, command: &str, hoped: u16, limit: Duration) -> Result<Said, Fault> {
        self.write(stage, format!("{command}\r\n").as_bytes(), limit).await?;
        let said = self.reply(stage, limit).await?;
        expect(stage, hoped, said)
    }

    async fn write(&mut self, stage: Stage, bytes: &[u8], limit: Duration) -> Result<(), Fault> {
        let wire = self.wire.get_mut();
        within(stage, limit, async {
            wire.write_all(bytes).await?;
            wire.flush().await
        })
        .await
    }

    async fn reply(&mut self, stage: Stage, limit: Duration) -> Result<Said, Fault> {
        let read = timeout(limit, self.read_reply(stage)).await;
        read.unwrap_or_else(|_| Err(out_of_time(stage, limit)))
    }

    async fn read_reply(&mut self, stage: Stage) -> Result<Said, Fault> {
        let mut text = String::new();
        for n in 0..LINES_MAX {
            let line = self.read_line(stage).await?;
            let code = line.get(..3).and_then(|digits| digits.parse().ok()).filter(|code| (200..600).contains(code));
            let (Some(code), rest) = (code, line.get(3..).unwrap_or_default()) else {
                return Err(Fault::Lost { stage, timeout: false, detail: format!("no SMTP reply: {line}") });
            };
            if n > 0 {
                text.push('\n');
            }
            text.push_str(rest.strip_prefix([' ', '-']).unwrap_or(rest));
            if !rest.starts_with('-') {
                return Ok(Said { code, text });
            }
        }
        Err(Fault::Lost { stage, timeout: false, detail: format!("a reply of over {LINES_MAX} lines") })
    }

    async fn read_line(&mut self, stage: Stage) -> Result<String, Fault> {
        let mut line = Vec::new();
        loop {
            let buffered = self.wire.fill_buf().await.map_err(|error| lost(stage, &error))?;
            if buffered.is_empty() {
                return Err(hung_up(stage));
            }
            let end = buffered.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(buffered.len(), |end| end + 1);
            line.extend_from_slice(&buffered[..taken]);
            self.wire.consume(taken);
            if line.len() > LINE_MAX {
                let detail = format!("a reply line of over {LINE_MAX} bytes");
                return Err(Fault::Lost { stage, timeout: false, detail });
            }
            if end.is_some() {
                return Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
        }
    }
}

/// The envelope's id: the Message-ID, which servers put their own in place of while this comes back as it was. `None` for
/// what would have to be escaped, or is longer than RFC 3461 §4.4 allows.
fn envelope_id(message_id: &str) -> Option<&str> {
    let id = message_id.strip_prefix('<')?.strip_suffix('>')?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=');
    (!id.is_empty() && id.len() <= 100 && id.bytes().all(plain)).then_some(id)
}

/// The reply, if its first digit is the one hoped for.
fn expect(stage: Stage, hoped: u16, said: Said) -> Result<Said, Fault> {
    if said.code / 100 == hoped { Ok(said) } else { Err(Fault::Said(stage, said)) }
}

async fn within<T>(stage: Stage, limit: Duration, step: impl Future<Output = std::io::Result<T>>) -> Result<T, Fault> {
    match timeout(limit, step).await {
        Ok(done) => done.map_err(|error| lost(stage, &error)),
        Err(_) => Err(out_of_time(stage, limit)),
    }
}

fn lost(stage: Stage, error: &dyn std::error::Error) -> Fault {
    Fault::Lost { stage, timeout: false, detail: error.to_string() }
}

fn hung_up(stage: Stage) -> Fault {
    Fault::Lost { stage, timeout: false, detail: "the server closed the connection".to_owned() }
}

fn out_of_time(stage: Stage, limit: Duration) -> Fault {
    Fault::Lost { stage, timeout: true, detail: format!("no answer within {limit:?}") }
}
