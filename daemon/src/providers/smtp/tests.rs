//! The SMTP adapter against its table of answers, and against servers that misbehave at every stage.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::classify::{Said, classify};
use super::*;
use crate::providers::Scope;
use crate::providers::settings::SmtpConfig;
use crate::providers::table::{message, rows};

const GUEST: &str = "zoe@guest.example";

/// What the server does when it comes to a command, or to the final dot (`.`), or to `GREETING`.
#[derive(Debug, Clone)]
enum Act {
    Say(&'static str),
    /// Says 354 to DATA, reads a little of the message, and resets the connection.
    ResetInMessage,
    /// Says 354, and hangs up without reading the message.
    HangUpAfterData,
    Close,
    Hang,
    /// Says it, then closes the connection.
    SayAndClose(&'static str),
}

#[derive(Clone, Default)]
struct Script {
    /// Command (its first word) and what to do instead of saying yes.
    acts: Vec<(&'static str, Act)>,
    offers: Vec<&'static str>,
    tls: Option<TlsAcceptor>,
    tls_first: bool,
}

struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                record.lock().unwrap().push("(connection)".to_owned());
                open.spawn(serve(stream, script.clone(), Arc::clone(&record)));
            }
        });
        Self { port, heard, task }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self, word: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(word)).count()
    }

    fn config(&self) -> ProviderConfig {
        config(self.port)
    }
}

fn config(port: u16) -> ProviderConfig {
    let smtp = SmtpConfig {
        port: Some(port),
        security: Security::None,
        hello_name: Some("usher.example".to_owned()),
        final_timeout_ms: 300,
        ..SmtpConfig::at("127.0.0.1")
    };
    let mut config = ProviderConfig::named("smtp-1", ProviderKind::Smtp);
    config.request_timeout_ms = 300;
    config.smtp = Some(smtp);
    config
}

async fn serve(stream: TcpStream, script: Script, heard: Arc<Mutex<Vec<String>>>) {
    match script.tls.clone() {
        Some(tls) if script.tls_first => {
            if let Ok(stream) = tls.accept(stream).await {
                talk(stream, &script, &heard, true).await;
            }
        }
        tls => {
            let Some(mut stream) = talk(stream, &script, &heard, true).await else { return };
            if let Some(tls) = tls {
                stream.write_all(b"220 go\r\n").await.unwrap();
                if let Ok(stream) = tls.accept(stream).await {
                    heard.lock().unwrap().push("(tls)".to_owned());
                    talk(stream, &script, &heard, false).await;
                }
            }
        }
    }
}

/// Talks until the end, or until STARTTLS, when it gives the stream back.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    script: &Script,
    heard: &Mutex<Vec<String>>,
    greet: bool,
) -> Option<S> {
    let mut wire = BufReader::new(stream);
    if greet && !act(&mut wire, script, "GREETING", "220 fake ESMTP").await {
        return None;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if wire.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        heard.lock().unwrap().push(line.trim_end().to_owned());
        let word = line.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        let yes = match word.as_str() {
            "EHLO" => {
                let mut offers: Vec<_> = script.offers.clone();
                offers.insert(0, "fake");
                let last = offers.len() - 1;
                let dash = |n| if n == last { ' ' } else { '-' };
                offers
                    .iter()
                    .enumerate()
                    .map(|(n, offer)| format!("250{}{offer}", dash(n)))
                    .collect::<Vec<_>>()
                    .join("\r\n")
            }
            "STARTTLS" if !script.acts.iter().any(|(at, _)| *at == "STARTTLS") => return Some(wire.into_inner()),
            "AUTH" => if line.contains("LOGIN") { "334 dXNlcg==" } else { "235 ok" }.to_owned(),
            "dXNlcg==" => "334 cGFzcw==".to_owned(),
            "cGFzcw==" => "235 ok".to_owned(),
            "DATA" => "354 go on".to_owned(),
            _ => "250 2.0.0 ok".to_owned(),
        };
        if !act(&mut wire, script, &word, &yes).await {
            return None;
        }
        if word == "DATA" && script.acts.iter().all(|(at, act)| *at != "DATA" || !matches!(act, Act::Say(_))) {
            let mut content = String::new();
            while content != ".\r\n" && !content.ends_with("\r\n.\r\n") {
                if wire.read_line(&mut content).await.ok()? == 0 {
                    return None;
                }
            }
            heard.lock().unwrap().push(format!("(message) {content}"));
            if !act(&mut wire, script, ".", "250 2.0.0 queued as 17").await {
                return None;
            }
        }
    }
}

/// `false`: the connection is over.
async fn act<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut BufReader<S>, script: &Script, at: &str, yes: &str) -> bool {
    let act = script.acts.iter().find(|(word, _)| *word == at).map(|(_, act)| act.clone());
    let (text, go_on) = match act {
        None => (yes.to_owned(), true),
        Some(Act::Say(text)) => (text.to_owned(), true),
        Some(Act::SayAndClose(text)) => (text.to_owned(), false),
        Some(Act::ResetInMessage) => {
            wire.write_all(b"354 go\r\n").await.unwrap();
            wire.read_line(&mut String::new()).await.unwrap();
            return false; // with unread bytes, the kernel resets
        }
        Some(Act::HangUpAfterData) => {
            wire.write_all(b"354 go\r\n").await.unwrap();
            return false;
        }
        Some(Act::Close) => return false,
        Some(Act::Hang) => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return false;
        }
    };
    wire.write_all(format!("{text}\r\n").as_bytes()).await.is_ok() && go_on
}

fn script(at: &'static str, act: Act) -> Script {
    Script { acts: vec![(at, act)], ..Script::default() }
}

async fn answer_to(script: Script) -> Answer {
    let server = Server::start(script).await;
    let smtp = Smtp::new(&server.config()).unwrap();
    send(&smtp, &message(GUEST)).await
}

async fn send(smtp: &Smtp, message: &Outgoing) -> Answer {
    let request = smtp.prepare(std::slice::from_ref(message), "key").unwrap();
    smtp.send(&request).await.remove(0)
}

fn said(stage: Stage, code: u16, text: &str) -> Answer {
    classify(stage, &Said { code, text: text.to_owned() })
}

#[tokio::test]
async fn every_row_of_the_table_has_its_class_and_scope() {
    use Stage::{Auth, Connect, Data, Dot, Greeting, Mail, Rcpt, StartTls};
    for row in rows("smtp") {
        let answers: Vec<Answer> = match (row.http.as_str(), row.code.as_str()) {
            ("2yz", "250 after final dot") => vec![answer_to(Script::default()).await],
            ("421", "any stage, 4.3.2 / 4.7.x") => [Connect, Greeting, Auth, Mail, Rcpt, Data]
                .into_iter()
                .flat_map(|stage| ["4.3.2 closing", "4.7.0 closing", "bye"].map(|text| said(stage, 421, text)))
                .collect(),
            ("450|451|452 at RCPT", "4.2.x, 4.7.1, 4.3.x") => [450, 451, 452]
                .into_iter()
                .flat_map(|code| {
                    ["4.2.1 busy", "4.7.1 greylisted", "4.3.0", "later"].map(|text| said(Rcpt, code, text))
                })
                .collect(),
            ("452 4.5.3 (or 552) at RCPT", "too many recipients") => {
                vec![said(Rcpt, 452, "4.5.3 too many recipients"), said(Rcpt, 552, "Too many recipients")]
            }
            ("450|451|452 at MAIL/DATA", "4.x") => [Mail, Data, Dot]
                .into_iter()
                .flat_map(|stage| [450, 451, 452].map(|code| said(stage, code, "4.3.0 local error, later")))
                .collect(),
            ("454", "4.7.0 at AUTH/STARTTLS") => {
                [Auth, StartTls].map(|stage| said(stage, 454, "4.7.0 temporary failure")).into()
            }
            ("451 at AUTH", text) => vec![said(Auth, 451, text)],
            ("535", "5.7.8") => [Auth, Mail].map(|stage| said(stage, 535, "5.7.8 no")).into(),
            ("530", "5.7.0") => [Auth, Mail, Rcpt].map(|stage| said(stage, 530, "5.7.0 sign in first")).into(),
            ("534|538", "5.7.9 / 5.7.11") => vec![said(Auth, 534, "5.7.9 weak"), said(Auth, 538, "5.7.11 encrypt")],
            ("550|551|553 at RCPT", codes) => [550, 551, 553]
                .into_iter()
                .flat_map(|code| codes.split(", ").chain(["no such user"]).map(move |text| said(Rcpt, code, text)))
                .collect(),
            ("552 at RCPT or after DATA", "5.2.2") => [Rcpt, Dot].map(|stage| said(stage, 552, "5.2.2 full")).into(),
            ("550|554", "5.7.1, 5.7.x") => [550, 554]
                .into_iter()
                .flat_map(|code| [Rcpt, Data, Dot].map(move |stage| said(stage, code, "5.7.1 relay denied")))
                .chain([said(Dot, 550, "5.7.26 not authenticated")])
                .collect(),
            ("552|554 at MAIL/DATA", "5.3.4") => [552, 554]
                .into_iter()
                .flat_map(|code| [Mail, Data, Dot].map(move |stage| said(stage, code, "5.3.4 too big")))
                .collect(),
            ("553|550 at MAIL", codes) => [553, 550]
                .into_iter()
                .flat_map(|code| codes.split(", ").map(move |text| said(Mail, code, text)))
                .collect(),
            ("550 5.6.7 / 553", "5.6.7") => [550, 553]
                .into_iter()
                .flat_map(|code| [Mail, Rcpt, Dot].map(move |stage| said(stage, code, "5.6.7 no SMTPUTF8")))
                .collect(),
            ("500-504", "5.5.x") => (500..=504)
                .flat_map(|code| [Mail, Rcpt, Data].map(move |stage| said(stage, code, "5.5.2 what?")))
                .collect(),
            ("connection lost before final dot", "-") => {
                let mut answers = Vec::new();
                for at in ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"] {
                    answers.push(answer_to(script(at, Act::Close)).await);
                }
                answers
            }
            ("connection lost / timeout after final dot, before reply", "-") => {
                vec![answer_to(script(".", Act::Close)).await, answer_to(script(".", Act::Hang)).await]
            }
            other => panic!("row not covered: {other:?}"),
        };
        assert!(!answers.is_empty());
        for answer in answers {
            row.expect(&answer);
        }
    }
}

#[test]
fn after_the_final_dot_only_a_clear_no_is_a_no() {
    for (code, class) in [
        (421, OutcomeClass::Unknown),
        (354, OutcomeClass::Unknown),
        (451, OutcomeClass::NotSent),
        (554, OutcomeClass::Refused),
    ] {
        assert_eq!(said(Stage::Dot, code, "text").class, class, "{code}");
    }
    assert_eq!(said(Stage::Data, 451, "4.7.28 rate").scope, Some(Scope::Account));
    assert_eq!(said(Stage::Data, 451, "sending rate too high").class, OutcomeClass::Throttled);
    assert_eq!(said(Stage::Data, 451, "we deliberate").class, OutcomeClass::NotSent, "`rate` is a word");
}

#[tokio::test]
async fn a_large_message_cut_off_before_its_dot_was_not_sent() {
    for act in [Act::ResetInMessage, Act::HangUpAfterData] {
        let server = Server::start(script("DATA", act.clone())).await;
        let smtp = Smtp::new(&server.config()).unwrap();
        let large = Outgoing { text: "All are welcome.\n".repeat(2_000_000), ..message(GUEST) };
        let answer = send(&smtp, &large).await;
        assert_eq!(answer.class, OutcomeClass::NotSent, "{act:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_or_leaves_before_the_dot_took_nothing() {
    let answer = answer_to(script("DATA", Act::SayAndClose("354 go\r\n421 4.3.2 closing"))).await;
    assert_eq!(answer.class, OutcomeClass::NotSent, "{answer:?}");
}

#[tokio::test]
async fn silence_at_each_stage_is_judged_by_the_dot() {
    for (at, class) in [
        ("GREETING", OutcomeClass::NotSent),
        ("EHLO", OutcomeClass::NotSent),
        ("MAIL", OutcomeClass::NotSent),
        ("RCPT", OutcomeClass::NotSent),
        (".", OutcomeClass::Unknown),
    ] {
        let answer = answer_to(script(at, Act::Hang)).await;
        assert_eq!((answer.class, answer.code.as_str()), (class, "timeout"), "{at}");
    }
    assert_eq!(answer_to(script(".", Act::Say("what?"))).await.class, OutcomeClass::Unknown);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let answer = send(&Smtp::new(&config(nobody)).unwrap(), &message(GUEST)).await;
    assert_eq!((answer.class, answer.code.as_str()), (OutcomeClass::NotSent, "connect"));
}

#[tokio::test]
async fn a_message_arrives_as_it_was_prepared() {
    let server = Server::start(Script { offers: vec!["SIZE 1000000", "8BITMIME"], ..Script::default() }).await;
    let smtp = Smtp::new(&server.config()).unwrap();
    let request = smtp.prepare(&[message(GUEST)], "key").unwrap();
    let answer = smtp.send(&request).await.remove(0);
    assert_eq!((answer.class, answer.provider_id.as_str()), (OutcomeClass::Accepted, "<m4711.k1@wedding.example>"));
    assert_eq!(answer.detail, "2.0.0 queued as 17");
    let heard = server.heard();
    assert_eq!(heard[1], "EHLO usher.example");
    assert!(heard[2].starts_with("MAIL FROM:<anna@wedding.example> SIZE="), "{heard:?}");
    assert_eq!(heard[3], "RCPT TO:<zoe@guest.example>");
    let transaction = Transaction::read(&request.bytes).unwrap();
    let content = String::from_utf8(transaction.stuffed()).unwrap();
    assert_eq!(heard[5], format!("(message) {content}\r\n.\r\n"));
}

#[tokio::test]
async fn a_server_that_reports_is_told_which_letter_it_is() {
    let server = Server::start(Script { offers: vec!["DSN"], ..Script::default() }).await;
    let smtp = Smtp::new(&server.config()).unwrap();
    assert_eq!(send(&smtp, &message(GUEST)).await.class, OutcomeClass::Accepted);
    let asked = "MAIL FROM:<anna@wedding.example> RET=HDRS ENVID=m4711.k1@wedding.example";
    assert_eq!(server.count(asked), 1, "{:?}", server.heard());
    // What RFC 3461 would not let through as it is stays away, and the letter goes out all the same.
    for id in ["<m1+a@wedding.example>".to_owned(), format!("<m1@{}.example>", "w".repeat(100)), "m1".to_owned()] {
        let odd = Outgoing { rfc_message_id: id, ..message(GUEST) };
        assert_eq!(send(&smtp, &odd).await.class, OutcomeClass::Accepted);
    }
    assert_eq!((server.count("MAIL"), server.count("MAIL FROM:<anna@wedding.example> RET")), (4, 1));
}

#[tokio::test]
async fn a_message_over_the_announced_size_is_not_even_asked_about() {
    // Lines that begin with a dot get another on the way, which does not count.
    let dotted = Outgoing { text: ".\n".repeat(500), ..message(GUEST) };
    let limit =
        |most: usize| Script { offers: vec![Box::leak(format!("SIZE {most}").into_boxed_str())], ..Script::default() };
    let size = {
        let smtp = Smtp::new(&config(25)).unwrap();
        let request = smtp.prepare(std::slice::from_ref(&dotted), "key").unwrap();
        request.bytes.windows(6).position(|at| at == b"DATA\r\n").map(|at| request.bytes.len() - at - 6 + 2).unwrap()
    };
    for most in [size, 0] {
        let server = Server::start(limit(most)).await;
        let answer = send(&Smtp::new(&server.config()).unwrap(), &dotted).await;
        assert_eq!(answer.class, OutcomeClass::Accepted, "{most}: {answer:?}");
        assert_eq!(server.count(&format!("MAIL FROM:<anna@wedding.example> SIZE={size}")), 1, "{:?}", server.heard());
    }
    let server = Server::start(limit(size - 1)).await;
    let smtp = Smtp::new(&server.config()).unwrap();
    let answer = send(&smtp, &dotted).await;
    assert_eq!((answer.class, answer.scope, answer.code.as_str()), (OutcomeClass::Refused, None, "too_large"));
    assert_eq!(server.count("MAIL"), 0);
    let answer = send(&smtp, &Outgoing { text: "Short.".to_owned(), ..dotted }).await;
    assert_eq!(
        (answer.class, server.count("(connection)")),
        (OutcomeClass::Accepted, 1),
        "the line serves the next one"
    );
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_message_and_after_a_refusal() {
    for (script, class) in [
        (Script::default(), OutcomeClass::Accepted),
        (script("RCPT", Act::Say("550 5.1.1 nobody")), OutcomeClass::Recipient),
        (script(".", Act::Say("554 5.7.1 spam")), OutcomeClass::Refused),
    ] {
        let server = Server::start(script).await;
        let smtp = Smtp::new(&server.config()).unwrap();
        for _ in 0..3 {
            assert_eq!(send(&smtp, &message(GUEST)).await.class, class);
        }
        assert_eq!((server.count("(connection)"), server.count("RSET"), server.count("MAIL")), (1, 2, 3));
    }
}

#[tokio::test]
async fn a_connection_that_died_at_rest_costs_no_attempt() {
    for act in [Act::Close, Act::SayAndClose("421 4.4.2 idle too long"), Act::SayAndClose("250 ok")] {
        let server = Server::start(script("RSET", act.clone())).await;
        let smtp = Smtp::new(&server.config()).unwrap();
        assert_eq!(send(&smtp, &message(GUEST)).await.class, OutcomeClass::Accepted);
        let second = send(&smtp, &message(GUEST)).await;
        if matches!(act, Act::SayAndClose("250 ok")) {
            assert_eq!(second.class, OutcomeClass::NotSent, "once MAIL may have been said, it is an attempt");
        } else {
            assert_eq!((second.class, server.count("MAIL")), (OutcomeClass::Accepted, 2), "{act:?}");
        }
    }
}

#[tokio::test]
async fn a_line_in_an_unknown_state_is_never_used_again() {
    let server = Server::start(script(".", Act::Hang)).await;
    let smtp = Smtp::new(&server.config()).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&smtp, &message(GUEST)).await.class, OutcomeClass::Unknown);
    }
    assert_eq!(server.count("(connection)"), 2);
}

#[tokio::test]
async fn connections_never_outnumber_the_pool() {
    let server = Server::start(Script::default()).await;
    let mut config = server.config();
    config.smtp.as_mut().unwrap().pool = 2;
    let smtp = Smtp::new(&config).unwrap();
    let sends = (0..12).map(|_| async { send(&smtp, &message(GUEST)).await.class });
    let classes = futures_util::future::join_all(sends).await;
    assert!(classes.iter().all(|&class| class == OutcomeClass::Accepted));
    assert!(server.count("(connection)") <= 2);
}

#[tokio::test]
async fn a_foreign_address_goes_only_where_it_is_taken() {
    let foreign = message("zoë@guest.example");
    let plain = Server::start(Script::default()).await;
    let smtp = Smtp::new(&plain.config()).unwrap();
    assert!(smtp.traits().smtp_utf8, "hoped for until the server was greeted");
    let answer = send(&smtp, &foreign).await;
    assert_eq!((answer.class, answer.code.as_str()), (OutcomeClass::Recipient, "smtputf8"));
    assert!(!smtp.traits().smtp_utf8 && plain.count("MAIL") == 0);
    let able = Server::start(Script { offers: vec!["SMTPUTF8", "8BITMIME"], ..Script::default() }).await;
    assert_eq!(send(&Smtp::new(&able.config()).unwrap(), &foreign).await.class, OutcomeClass::Accepted);
    assert!(able.heard()[2].contains("SMTPUTF8 BODY=8BITMIME"));
}

#[tokio::test]
async fn signing_in_uses_what_is_offered() {
    for (offer, expected) in [("AUTH LOGIN PLAIN", "AUTH PLAIN AHVzZXIAcGFzcw=="), ("AUTH LOGIN", "cGFzcw==")] {
        let server = Server::start(Script { offers: vec![offer], ..Script::default() }).await;
        let smtp = Smtp::new(&signing_in(server.config())).unwrap();
        assert_eq!(send(&smtp, &message(GUEST)).await.class, OutcomeClass::Accepted);
        assert_eq!(server.count(expected), 1, "{:?}", server.heard());
        assert!(smtp.probe().await.passed());
        assert_eq!((server.count("NOOP"), server.count("QUIT"), server.count("MAIL")), (1, 1, 1));
    }
    let server = Server::start(Script { offers: vec!["AUTH CRAM-MD5"], ..Script::default() }).await;
    let smtp = Smtp::new(&signing_in(server.config())).unwrap();
    assert_eq!(send(&smtp, &message(GUEST)).await.class, OutcomeClass::Unusable);
    let refusing = Script { offers: vec!["AUTH PLAIN"], ..script("AUTH", Act::Say("535 5.7.8 no")) };
    let server = Server::start(refusing).await;
    let smtp = Smtp::new(&signing_in(server.config())).unwrap();
    assert!(matches!(smtp.probe().await, Probe::Unusable(_)));
}

fn signing_in(mut config: ProviderConfig) -> ProviderConfig {
    let smtp = config.smtp.as_mut().unwrap();
    (smtp.user, smtp.password) = (Some("user".to_owned()), Some("pass".into()));
    config
}

struct Certificate {
    folder: tempfile::TempDir,
    acceptor: TlsAcceptor,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Certificate { folder, acceptor: TlsAcceptor::from(Arc::new(server)) }
}

fn protected(server: &Server, security: Security, certificate: Option<&Certificate>) -> ProviderConfig {
    let mut config = signing_in(server.config());
    config.ca_file = certificate.map(|certificate| certificate.folder.path().join("ca.pem"));
    let smtp = config.smtp.as_mut().unwrap();
    smtp.security = security;
    "localhost".clone_into(&mut smtp.host);
    config
}

#[tokio::test]
async fn tls_is_believed_only_from_an_authority_that_is_trusted() {
    let certificate = certificate();
    for (security, tls_first) in [(Security::StartTls, false), (Security::Tls, true)] {
        let offers = vec!["STARTTLS", "AUTH PLAIN"];
        let tls = Some(certificate.acceptor.clone());
        let server = Server::start(Script { offers, tls, tls_first, ..Script::default() }).await;
        let trusting = Smtp::new(&protected(&server, security, Some(&certificate))).unwrap();
        let answer = send(&trusting, &message(GUEST)).await;
        assert_eq!(answer.class, OutcomeClass::Accepted, "{security:?}: {answer:?}");
        let doubting = Smtp::new(&protected(&server, security, None)).unwrap();
        let answer = send(&doubting, &message(GUEST)).await;
        assert_eq!(answer.class, OutcomeClass::NotSent, "{security:?}: {answer:?}");
        assert_eq!(server.count("AUTH"), 1, "nothing secret was said to the untrusted");
    }
}

#[tokio::test]
async fn a_server_that_hides_starttls_or_talks_ahead_is_not_trusted() {
    let certificate = certificate();
    let hiding = Server::start(Script { offers: vec!["AUTH PLAIN"], ..Script::default() }).await;
    let answer = send(&Smtp::new(&protected(&hiding, Security::StartTls, None)).unwrap(), &message(GUEST)).await;
    assert_eq!((answer.class, answer.code.as_str()), (OutcomeClass::Unusable, "not_offered"));
    let ahead = script("STARTTLS", Act::Say("220 go\r\n250 injected"));
    let ahead = Server::start(Script { offers: vec!["STARTTLS", "AUTH PLAIN"], ..ahead }).await;
    let smtp = Smtp::new(&protected(&ahead, Security::StartTls, Some(&certificate))).unwrap();
    let answer = send(&smtp, &message(GUEST)).await;
    assert_eq!((answer.class, answer.code.as_str()), (OutcomeClass::NotSent, "tls"));
    assert!(answer.detail.contains("before TLS"), "{answer:?}");
    for server in [hiding, ahead] {
        assert_eq!(server.count("AUTH"), 0, "{:?}", server.heard());
    }
}

#[test]
fn one_message_a_request() {
    let smtp = Smtp::new(&config(25)).unwrap();
    assert!(matches!(
        smtp.prepare(&[message(GUEST), message(GUEST)], "k"),
        Err(PrepareError::Count { max: 1, got: 2, .. })
    ));
}
