//! `usherd receive-mail`: takes a mail from a pipe, as mail servers give it, a mailbox file or a folder, and brings what it
//! reports to the daemon.
//!
//! Promises: exit code 0 stands for what is durable in the daemon, or for mail that is no report; a daemon that does not answer is
//! 75, upon which a mail server tries again, and the daemon counts once what comes twice. A mail is taken apart here, in a
//! process of its own that can read none of the daemon's secrets: whatever is wrong with it is not the daemon's trouble. No
//! address is printed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::daemon::default_config;
use crate::api::{MAIL_PATH, MailPost};
use crate::config::{Config, ConfigError, FileFault, Sources};
use crate::receipts::mail::MAIL_LIMIT;
use crate::receipts::{MailAnswer, MailReport, read_mail};

/// Time for the daemon to answer, the way there included. Mail servers wait for a quarter of an hour and more.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time to take a mail apart in.
const READING: Duration = Duration::from_secs(10);
/// The stack for that: mails in mails in mails go down with it.
const STACK: usize = 256 << 20;
/// Most bytes of an answer.
const ANSWER: usize = 64 << 10;

/// Bring bounces and complaints that came by mail to the daemon.
///
/// Reads one mail, or a mailbox file (mbox) of many, from FILE or standard input; or every mail in a folder or Maildir, which
/// are left where they are. A bounce (DSN, RFC 3464) or complaint (ARF, RFC 5965) is filed as any report of a provider; other
/// mail is counted and otherwise ignored. What is brought twice counts once.
///
/// Exit codes, as mail servers read them (sysexits.h): 0 taken, also mail that is no report; 64 the command line or the
/// configuration cannot be used; 65 something is no mail, or over 512 KiB; 66 FILE cannot be opened; 75 the daemon does not answer
/// or cannot write, so that it has to be brought again; 77 the socket does not let this user in.
#[derive(Debug, clap::Args)]
pub struct ReceiveMail {
    /// The provider of kind smtp whose mailbox it is. Without it, the one that had the message, or the only one.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The daemon's socket. Without it, the one that the configuration names.
    #[arg(long, env = "USHER_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A mail, a mailbox file, a Maildir or a folder; - for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    from: PathBuf,
}

/// How it ends, by the numbers of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Taken.
    Ok = 0,
    /// The command line or the configuration cannot be used (`EX_USAGE`).
    Usage = 64,
    /// Something is no mail (`EX_DATAERR`).
    Data = 65,
    /// The file cannot be opened (`EX_NOINPUT`).
    NoInput = 66,
    /// Later (`EX_TEMPFAIL`).
    TempFail = 75,
    /// This user may not (`EX_NOPERM`).
    NoPermission = 77,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why it ended early.
type Ended = (Exit, String);

/// What came of all mails.
#[derive(Debug, Default)]
struct Tally {
    mails: u64,
    foreign: u64,
    unreadable: u64,
    reports: u64,
    answers: MailAnswer,
}

/// Does it. `config` is where the configuration is, which is only asked for the socket.
pub async fn run(asked: &ReceiveMail, config: Option<PathBuf>) -> Exit {
    let mut tally = Tally::default();
    let ended = bring_all(asked, config, &mut tally).await;
    if tally.mails > 0 {
        say(&tally.to_string());
    }
    match ended {
        Err((exit, why)) => {
            say(&why);
            exit
        }
        Ok(()) if tally.unreadable > 0 => Exit::Data,
        Ok(()) => Exit::Ok,
    }
}

fn say(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "usherd receive-mail: {text}");
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MailAnswer { moved, suppressed, doubled, waiting, unproved } = self.answers;
        let many = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        write!(f, "{}, {}", many(self.mails, "mail"), many(self.reports, "report"))?;
        let counts = [
            (moved, "moved a message"),
            (suppressed, "suppressed an address"),
            (doubled, "known already"),
            (waiting, "waiting for a message"),
            (unproved, "not of a letter of ours"),
            (self.foreign, "no report"),
            (self.unreadable, "unreadable"),
        ];
        counts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, what)| write!(f, "; {n} {what}"))
    }
}

async fn bring_all(asked: &ReceiveMail, config: Option<PathBuf>, tally: &mut Tally) -> Result<(), Ended> {
    let socket = match &asked.socket {
        Some(socket) => socket.clone(),
        None => configured(config)?,
    };
    for input in inputs(&asked.from)? {
        for mail in Mails::of(open(&input)?) {
            tally.mails += 1;
            let read = match mail {
                Ok(raw) => read_apart(raw)?,
                Err(Broken::TooLarge) => Err(format!("over {} KiB", MAIL_LIMIT >> 10)),
                Err(Broken::Io(error)) => return Err((Exit::TempFail, format!("reading the mail: {error}"))),
            };
            let reports = match read {
                Ok(reports) => reports,
                Err(why) => {
                    tally.unreadable += 1;
                    say(&format!("mail {} is not taken: {why}", tally.mails));
                    continue;
                }
            };
            tally.reports += reports.len() as u64;
            tally.foreign += u64::from(reports.is_empty());
            let post = MailPost { provider: asked.provider.clone(), reports };
            let bringing = tokio::time::timeout(PATIENCE, bring(&socket, &post));
            let answer = bringing.await.unwrap_or_else(|_| {
                Err((Exit::TempFail, format!("the daemon at {} did not answer within {PATIENCE:?}", socket.display())))
            })?;
            let all = &mut tally.answers;
            all.moved += answer.moved;
            all.suppressed += answer.suppressed;
            all.doubled += answer.doubled;
            all.waiting += answer.waiting;
            all.unproved += answer.unproved;
        }
    }
    Ok(())
}

/// The socket that the configuration names.
fn configured(config: Option<PathBuf>) -> Result<PathBuf, Ended> {
    let file = config.or_else(|| Some(default_config()).filter(|path| path.exists()));
    Config::socket_path(&Sources::of_process(file)).map_err(|errors| {
        let unreadable =
            |error: &ConfigError| matches!(error, ConfigError::File { fault: FileFault::Unreadable { .. }, .. });
        let exit = if errors.iter().any(unreadable) { Exit::NoPermission } else { Exit::Usage };
        (exit, errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Where mails are read from.
enum Input {
    Standard,
    File(PathBuf),
}

/// The files behind a path: itself, or what a folder or Maildir holds, by name.
fn inputs(from: &Path) -> Result<Vec<Input>, Ended> {
    if from == Path::new("-") {
        return Ok(vec![Input::Standard]);
    }
    if !from.is_dir() {
        return Ok(vec![Input::File(from.to_owned())]);
    }
    let maildir = ["new", "cur"].map(|name| from.join(name));
    let folders = if maildir.iter().all(|folder| folder.is_dir()) { maildir.to_vec() } else { vec![from.to_owned()] };
    let mut files = Vec::new();
    for folder in folders {
        let failed = |error: io::Error| (Exit::NoInput, format!("listing {}: {error}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Neither folders, nor links to elsewhere, nor what is still being written.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && entry.file_type().map_err(failed)?.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files.into_iter().map(Input::File).collect())
}

fn open(input: &Input) -> Result<Box<dyn Read>, Ended> {
    match input {
        Input::Standard => Ok(Box::new(io::stdin())),
        Input::File(path) => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err((Exit::NoInput, format!("opening {}: {error}", path.display()))),
        },
    }
}

/// Why there is no mail.
enum Broken {
    TooLarge,
    Io(io::Error),
}

/// The mails in a stream: many where it begins as a mailbox file does, else one.
struct Mails<R> {
    from: BufReader<R>,
    many: bool,
    begun: bool,
    ended: bool,
}

impl<R: Read> Mails<R> {
    fn of(from: R) -> Self {
        Self { from: BufReader::new(from), many: false, begun: false, ended: false }
    }

    /// The next line with its end, or as much of it as a mail may have.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.from).take(MAIL_LIMIT as u64 + 1).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        const MARK: &[u8] = b"From ";
        let (mut mail, mut blank, mut whole) = (Vec::new(), true, true);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                self.ended = true;
                return Ok(whole.then_some(mail));
            }
            if !self.begun {
                self.begun = true;
                self.many = line.starts_with(MARK);
                if self.many {
                    continue;
                }
            } else if self.many && blank && line.starts_with(MARK) {
                return Ok(whole.then_some(mail));
            }
            blank = line == b"\n" || line == b"\r\n";
            whole &= mail.len() + line.len() <= MAIL_LIMIT;
            if whole {
                mail.extend_from_slice(&line);
            }
        }
    }
}

impl<R: Read> Iterator for Mails<R> {
    type Item = Result<Vec<u8>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read() {
            Ok(Some(mail)) => Some(Ok(mail)),
            Ok(None) => Some(Err(Broken::TooLarge)),
            Err(error) => {
                self.ended = true;
                Some(Err(Broken::Io(error)))
            }
        }
    }
}

/// Takes a mail apart on a thread with a stack that no mail of this size can use up, for a time. The inner error is the mail's.
fn read_apart(raw: Vec<u8>) -> Result<Result<Vec<MailReport>, String>, Ended> {
    let (tell, told) = mpsc::channel();
    let work = move || {
        // Nobody waits any more once the time is over.
        let _ = tell.send(read_mail(&raw).map_err(|fault| fault.to_string()));
    };
    let started = std::thread::Builder::new().stack_size(STACK).spawn(work);
    started.map_err(|error| (Exit::TempFail, format!("no thread to read the mail on: {error}")))?;
    Ok(told.recv_timeout(READING).unwrap_or_else(|why| match why {
        mpsc::RecvTimeoutError::Timeout => Err(format!("it was not read within {READING:?}")),
        mpsc::RecvTimeoutError::Disconnected => Err("it could not be read to its end".to_owned()),
    }))
}

/// Brings one mail's reports to the daemon.
async fn bring(socket: &Path, post: &MailPost) -> Result<MailAnswer, Ended> {
    let at = socket.display();
    let failed =
        |what: &str, error: &dyn std::fmt::Display| (Exit::TempFail, format!("{what} the daemon at {at}: {error}"));
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let text = format!("{at} does not let this user in: run as a user of the socket's group (usher-ops)");
            (Exit::NoPermission, text)
        }
        _ => failed("reaching", &error),
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| failed("speaking to", &error))?;
    tokio::spawn(connection);
    let body =
        serde_json::to_vec(post).map_err(|error| (Exit::Data, format!("the report cannot be written: {error}")))?;
    let request = Request::post(MAIL_PATH)
        .header(header::HOST, "usher")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|error| failed("asking", &error))?;
    let response = sender.send_request(request).await.map_err(|error| failed("asking", &error))?;
    let status = response.status();
    let answer = Limited::new(response.into_body(), ANSWER).collect().await;
    let answer = answer.map_err(|error| failed("hearing", &error))?.to_bytes();
    let said = String::from_utf8_lossy(&answer).trim().to_owned();
    let exit = match status {
        StatusCode::OK => return serde_json::from_slice(&answer).map_err(|error| failed("understanding", &error)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NoPermission,
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Exit::Data,
        _ => Exit::TempFail,
    };
    Err((exit, format!("the daemon at {at} answered {status}: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(text: &str) -> Vec<Option<String>> {
        let all = Mails::of(text.as_bytes());
        all.map(|mail| mail.ok().map(|raw| String::from_utf8(raw).unwrap())).collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn a_mailbox_file_is_many_mails_and_anything_else_is_one() {
        assert_eq!(mails("A: b\n\nFrom here on\n"), some(&["A: b\n\nFrom here on\n"]));
        let many = "From a Thu\nA: 1\n\nx\nFrom the middle\n\nFrom b Fri\nB: 2\n\n";
        assert_eq!(mails(many), some(&["A: 1\n\nx\nFrom the middle\n\n", "B: 2\n\n"]));
        assert_eq!(mails("From a Thu\r\nA: 1\r\n\r\nFrom b Fri\r\nB: 2"), some(&["A: 1\r\n\r\n", "B: 2"]));
        assert_eq!(mails(""), some(&[""]), "nothing is a mail that is none");
    }

    #[test]
    fn a_mail_that_is_too_long_is_left_out_and_the_next_one_is_not() {
        let long = "x".repeat(MAIL_LIMIT);
        let lines = "y: 0123456789\n".repeat(MAIL_LIMIT / 14 + 1);
        assert_eq!(mails(&lines), [None]);
        assert_eq!(mails(&format!("{long}x")), [None], "a line without an end");
        assert_eq!(mails(&long), some(&[&long]));
        let many = format!("From a\n{lines}\nFrom b\nB: 2\n\nFrom c\n{long}{long}\n\nFrom d\nD: 4\n");
        assert_eq!(mails(&many), [None, Some("B: 2\n\n".to_owned()), None, Some("D: 4\n".to_owned())]);
    }

    /// What a mail costs whose parts go down ten thousands of steps: time and stack, and no more of either than there is.
    #[test]
    fn mails_in_mails_in_mails_come_to_an_end() {
        let start = "Content-Type: multipart/report; boundary=b\n\n--b\n";
        let step = "Content-Type: message/rfc822\n\n";
        let deep = format!("{start}{}", step.repeat((MAIL_LIMIT - start.len()) / step.len()));
        assert_eq!(read_apart(deep.into_bytes()).unwrap(), Ok(Vec::new()));
        let step = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n";
        let inner = "Content-Type: message/rfc822\n\n".repeat(12_000);
        let inner = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, inner);
        let deep = format!("{start}{step}{inner}\n--b--\n");
        assert!(deep.len() <= MAIL_LIMIT);
        assert_eq!(read_apart(deep.into_bytes()).unwrap(), Ok(Vec::new()));
        let wide = format!("{start}{}", "Content-Type: multipart/x; boundary=b\n\n--b\n".repeat(11_000));
        assert_eq!(read_apart(wide.into_bytes()).unwrap(), Ok(Vec::new()));
        let lost = format!("{start}{}", "Content-Type: multipart/x; boundary=q\n\n--b\n".repeat(11_000));
        assert_eq!(read_apart(lost.into_bytes()).unwrap(), Ok(Vec::new()));
    }
}
