//! The submission dialogue by raw socket: TLS, log-in, limits, pipelining, faults.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io::{ErrorKind, Result};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher_sim::{Config, Dot, Fault, FaultKind, Marker, Provider, Simulator, SmtpConfig, Stage, When};

/// `\0usher\0simulator`
const PLAIN: &str = "AUTH PLAIN AHVzaGVyAHNpbXVsYXRvcg==";

struct Talk<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// One whole reply, its lines joined by `|`.
    async fn reply(&mut self) -> Result<String> {
        let mut reply = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            assert!(line.ends_with("\r\n"), "{line:?}");
            reply.push(line.trim_end().to_owned());
            if line.as_bytes()[3] == b' ' {
                return Ok(reply.join("|"));
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<String> {
        self.raw(&format!("{line}\r\n")).await?;
        self.reply().await
    }

    async fn raw(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        self.0.flush().await
    }

    /// Says it and expects the reply to begin like this.
    async fn expect(&mut self, line: &str, start: &str) {
        let reply = self.say(line).await.unwrap();
        assert!(reply.starts_with(start), "{line} -> {reply}, not {start}");
    }

    /// MAIL, RCPT, DATA, and a message with that id.
    async fn send(&mut self, message: &str) -> Result<String> {
        for line in ["MAIL FROM:<wedding@example.com>", "RCPT TO:<guest@example.com>"] {
            let reply = self.say(line).await?;
            if !reply.starts_with("250") {
                return Ok(reply);
            }
        }
        let reply = self.say("DATA").await?;
        if !reply.starts_with("354") {
            return Ok(reply);
        }
        self.say(&text(message)).await
    }
}

fn text(message: &str) -> String {
    format!(
        "From: wedding@example.com\r\nMessage-ID: <{message}@usher>\r\nX-Usher-Message: {message}\r\n\r\nDo come!\r\n."
    )
}

fn connector(simulator: &Simulator) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn plain(simulator: &Simulator) -> Talk<TcpStream> {
    Talk::new(TcpStream::connect(simulator.smtp_addr()).await.unwrap())
}

async fn tls(simulator: &Simulator) -> Result<Talk<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(simulator.smtps_addr()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok(Talk::new(connector(simulator).connect(name, stream).await?))
}

/// Over implicit TLS, greeted and logged in.
async fn ready(simulator: &Simulator) -> Talk<TlsStream<TcpStream>> {
    let mut talk = tls(simulator).await.unwrap();
    assert_eq!(talk.reply().await.unwrap(), "220 localhost ESMTP");
    talk.expect("EHLO test", "250").await;
    talk.expect(PLAIN, "235 2.7.0").await;
    talk
}

async fn started(smtp: SmtpConfig) -> Simulator {
    Simulator::start(Config { smtp, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn starttls_auth_and_several_messages_on_one_connection() {
    let simulator = started(SmtpConfig::default()).await;
    let mut talk = plain(&simulator).await;
    assert_eq!(talk.reply().await.unwrap(), "220 localhost ESMTP");
    let offered = talk.say("EHLO test").await.unwrap();
    for word in ["PIPELINING", "SIZE 36700160", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"] {
        assert!(offered.contains(word), "{offered}");
    }
    assert!(!offered.contains("AUTH"), "no log-in in the clear: {offered}");
    talk.expect(PLAIN, "530 5.7.0").await;
    talk.expect("MAIL FROM:<a@example.com>", "530 5.7.0").await;
    // What rides along before the handshake must not be obeyed after it.
    talk.raw("STARTTLS\r\nEHLO injected\r\n").await.unwrap();
    assert!(talk.reply().await.unwrap().starts_with("220 2.0.0"));
    let stream = talk.0.into_inner();
    let secure = connector(&simulator).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut talk = Talk::new(secure);
    talk.expect("MAIL FROM:<a@example.com>", "503").await;
    let offered = talk.say("EHLO test").await.unwrap();
    assert!(offered.contains("AUTH PLAIN LOGIN") && !offered.contains("STARTTLS"), "{offered}");
    talk.expect("STARTTLS", "503").await;
    talk.expect("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    talk.expect("dXNoZXI=", "334 UGFzc3dvcmQ6").await;
    talk.expect("c2ltdWxhdG9y", "235 2.7.0").await;
    for message in ["m1", "m2"] {
        let reply = talk.send(message).await.unwrap();
        let entry = &simulator.record().by_message(message)[0];
        assert_eq!(reply, format!("250 2.0.0 Ok: queued as {}", entry.provider_id));
        assert_eq!(entry.message_id, Some(format!("<{message}@usher>")));
        assert_eq!(entry.recipient, "guest@example.com");
    }
    talk.expect("NOOP", "250").await;
    talk.expect("QUIT", "221").await;
    assert_eq!(simulator.record().total(), 2);
    assert!(simulator.record().body(0).unwrap().ends_with(b"Do come!\r\n"));
    simulator.stop().await;
}

#[tokio::test]
async fn log_ins_are_judged() {
    let simulator = started(SmtpConfig::default()).await;
    let mut talk = tls(&simulator).await.unwrap();
    talk.reply().await.unwrap();
    talk.expect(PLAIN, "503").await;
    talk.expect("EHLO test", "250").await;
    talk.expect("AUTH PLAIN AHVzaGVyAHdyb25n", "535 5.7.8").await;
    talk.expect("AUTH PLAIN %%%", "501 5.5.2").await;
    talk.expect("AUTH CRAM-MD5", "504 5.5.4").await;
    talk.expect("AUTH LOGIN", "334").await;
    talk.expect("*", "501 5.7.0").await;
    talk.expect("AUTH PLAIN", "334").await;
    talk.expect("AHVzaGVyAHNpbXVsYXRvcg==", "235").await;
    talk.expect(PLAIN, "503").await;
    simulator.stop().await;
}

#[tokio::test]
async fn the_envelope_is_judged() {
    let simulator = started(SmtpConfig { max_size: 2_000, max_recipients: 2, ..SmtpConfig::default() }).await;
    let mut talk = ready(&simulator).await;
    for (line, reply) in [
        ("NONSENSE", "500 5.5.2"),
        ("RCPT TO:<a@example.com>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:a@example.com", "501 5.5.4"),
        ("MAIL FROM:<nobody>", "553 5.1.7"),
        ("MAIL FROM:<a@example.com> SIZE=2001", "552 5.3.4"),
        ("MAIL FROM:<a@example.com> RET=HDRS", "555 5.5.4"),
        ("MAIL FROM:<a@example.com> SIZE=2000 BODY=8BITMIME", "250 2.1.0"),
        ("MAIL FROM:<a@example.com>", "503 5.5.1"),
        ("DATA", "554 5.5.1"),
        ("RCPT TO:<bounce@example.com>", "550 5.1.1"),
        ("RCPT TO:<greylisted@example.com>", "450 4.7.1"),
        ("RCPT TO:<mailboxfull@example.com>", "552 5.2.2"),
        ("RCPT TO:<no at sign>", "553 5.1.3"),
        ("RCPT TO:<gäst@example.com>", "553 5.6.7"),
        ("RCPT TO:<a@example.com>", "250 2.1.5"),
        ("RCPT TO:<b@example.com>", "250 2.1.5"),
        ("RCPT TO:<c@example.com>", "452 4.5.3"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("MAIL FROM:<> SMTPUTF8", "250"),
        ("RCPT TO:<gäst@example.com>", "250"),
        ("RCPT TO:<b@example.com>", "250"),
        ("DATA", "354"),
    ] {
        talk.expect(line, reply).await;
    }
    talk.expect(&text("m"), "250 2.0.0").await;
    assert_eq!(simulator.record().recipients(), ["b@example.com", "gäst@example.com"]);
    talk.expect("MAIL FROM:<a@example.com>", "250").await;
    talk.expect("RCPT TO:<a@example.com>", "250").await;
    talk.expect("DATA", "354").await;
    let line = format!("{}\r\n", "x".repeat(900));
    talk.expect(&format!("From: a@example.com\r\n\r\n{line}{line}{line}."), "552 5.3.4").await;
    assert_eq!(simulator.record().total(), 2);
    simulator.stop().await;
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let simulator = started(SmtpConfig::default()).await;
    let mut talk = ready(&simulator).await;
    let mail = "MAIL FROM:<a@example.com>\r\nRCPT TO:<bounce@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";
    talk.raw(mail).await.unwrap();
    for start in ["250", "550", "250", "354"] {
        let reply = talk.reply().await.unwrap();
        assert!(reply.starts_with(start), "{reply}");
    }
    talk.raw(&format!("{}\r\nQUIT\r\n", text("m"))).await.unwrap();
    assert!(talk.reply().await.unwrap().starts_with("250"));
    assert!(talk.reply().await.unwrap().starts_with("221"));
    assert_eq!(simulator.record().recipients(), ["b@example.com"]);
    simulator.stop().await;
}

#[tokio::test]
async fn replies_at_each_stage_accept_nothing() {
    let simulator = started(SmtpConfig::default()).await;
    for (stage, text) in [
        (Stage::Mail, "451 4.3.0 busy"),
        (Stage::Rcpt, "450 4.2.0 busy"),
        (Stage::Data, "451 4.3.0 busy"),
        (Stage::FinalDot, "554 5.7.1 spam"),
        (Stage::FinalDot, "421 4.3.2 closing"),
    ] {
        let mut talk = ready(&simulator).await;
        simulator.fault(Provider::Smtp, FaultKind::Reply { stage, text: text.into() }).await.unwrap();
        assert_eq!(talk.send("m").await.unwrap(), text);
        if text.starts_with("421") {
            assert_eq!(talk.0.read(&mut [0]).await.unwrap(), 0, "421 closes");
        }
        simulator.clear(Provider::Smtp).await.unwrap();
    }
    assert_eq!(simulator.record().total(), 0);

    let greeting = FaultKind::Reply { stage: Stage::Greeting, text: "421 4.3.2 not now".into() };
    simulator.fault(Provider::Smtp, greeting).await.unwrap();
    assert_eq!(plain(&simulator).await.reply().await.unwrap(), "421 4.3.2 not now");
    simulator.clear(Provider::Smtp).await.unwrap();

    let mut talk = tls(&simulator).await.unwrap();
    talk.reply().await.unwrap();
    talk.expect("EHLO test", "250").await;
    let auth = FaultKind::Reply { stage: Stage::Auth, text: "454 4.7.0 later".into() };
    simulator.fault(Provider::Smtp, Fault::from(auth).times(1)).await.unwrap();
    simulator.fault(Provider::Smtp, Fault::from(FaultKind::AuthFailure).times(1)).await.unwrap();
    talk.expect(PLAIN, "454 4.7.0 later").await;
    talk.expect(PLAIN, "535 5.7.8").await;
    talk.expect(PLAIN, "235").await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_message_is_accepted_exactly_when_the_loss_came_after() {
    let simulator = started(SmtpConfig::default()).await;
    for (fault, accepted) in [
        (FaultKind::Drop { when: Dot::Before }, 0),
        (FaultKind::Drop { when: Dot::After }, 1),
        (FaultKind::Reset { when: When::BeforeAccept }, 0),
        (FaultKind::Reset { when: When::AfterAccept }, 1),
    ] {
        simulator.reset().await.unwrap();
        let mut talk = ready(&simulator).await;
        simulator.fault(Provider::Smtp, fault.clone()).await.unwrap();
        let error = talk.send("m").await.unwrap_err();
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{fault:?}: {error:?}");
        if matches!(fault, FaultKind::Reset { .. }) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(simulator.record().total(), accepted, "{fault:?}");
    }
    simulator.reset().await.unwrap();
    let mut talk = ready(&simulator).await;
    simulator.fault(Provider::Smtp, FaultKind::HangAfterAccept { accepted: true }).await.unwrap();
    let hanging = tokio::spawn(async move { talk.send("m").await });
    simulator.record().wait_for_count(1).await;
    assert!(!hanging.is_finished());
    simulator.stop().await;
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn refuse_shuts_both_ports_and_shows_idle_clients_out() {
    let simulator = started(SmtpConfig::default()).await;
    let mut talk = ready(&simulator).await;
    simulator.fault(Provider::Smtp, FaultKind::Refuse).await.unwrap();
    for address in [simulator.smtp_addr(), simulator.smtps_addr()] {
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    assert!(talk.reply().await.unwrap().starts_with("421 4.3.2"));
    simulator.clear(Provider::Smtp).await.unwrap();
    ready(&simulator).await.expect("NOOP", "250").await;
    simulator.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_shown_and_is_expired() {
    let simulator = started(SmtpConfig::default()).await;
    simulator.fault(Provider::Smtp, FaultKind::ExpiredCertificate).await.unwrap();
    let error = tls(&simulator).await.err().unwrap().to_string();
    assert!(error.contains("expired"), "{error}");
    simulator.clear(Provider::Smtp).await.unwrap();
    assert!(tls(&simulator).await.is_ok());
    simulator.stop().await;
}

#[tokio::test]
async fn hang_takes_the_connection_and_says_nothing() {
    let simulator = started(SmtpConfig::default()).await;
    simulator.fault(Provider::Smtp, FaultKind::Hang).await.unwrap();
    let mut talk = plain(&simulator).await;
    while simulator.counts(Provider::Smtp).faults == 0 {
        tokio::task::yield_now().await;
    }
    let silence = tokio::time::timeout(std::time::Duration::from_millis(100), talk.reply()).await;
    assert!(silence.is_err(), "{silence:?}");
    simulator.stop().await;
}

#[tokio::test]
async fn markers_and_open_servers_are_configurable() {
    let simulator = started(SmtpConfig {
        require_auth: false,
        require_tls: false,
        messages_per_second: Some(1),
        recipients: vec![Marker { contains: "@gone.".into(), answer: "551 5.1.6 Moved".into() }],
        ..SmtpConfig::default()
    })
    .await;
    let mut talk = plain(&simulator).await;
    talk.reply().await.unwrap();
    assert!(talk.say("EHLO test").await.unwrap().contains("AUTH PLAIN LOGIN"));
    talk.expect("MAIL FROM:<a@example.com>", "250").await;
    talk.expect("RCPT TO:<a@gone.example>", "551 5.1.6 Moved").await;
    let mut turns = 0;
    loop {
        talk.expect("RSET", "250").await;
        if talk.say("MAIL FROM:<a@example.com>").await.unwrap().starts_with("451 4.7.28") {
            break;
        }
        turns += 1;
        assert!(turns < 10_000, "the limit was never met");
    }
    simulator.stop().await;
}
