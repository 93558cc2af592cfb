//! Bounces and complaints by mail: `usherd receive-mail`, started as a mail server starts it, beside a real daemon.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use usher_common::model::{CampaignId, Channel, Deeds, MessageState};
use usher_demo::{Desk, PATIENCE, Plan, Stage};
use usher_sim::Accepted;

use crate::postfix::Postfix;

/// What a mail server is told by these codes (sysexits.h).
const TAKEN: i32 = 0;
const USAGE: i32 = 64;
const NO_MAIL: i32 = 65;
const NO_INPUT: i32 = 66;
const LATER: i32 = 75;

/// A daemon that sends by SMTP alone.
async fn stage() -> Stage {
    Stage::set(Plan { providers: vec!["smtp".to_owned()], ..Plan::default() }).await.unwrap()
}

/// The command, in the environment of a mail server.
fn receive_mail(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(&stage.programs().usherd);
    command.env_clear().arg("receive-mail").args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Pipes a mail in; the exit code and what was said.
async fn pipe(stage: &Stage, mail: &str) -> (i32, String) {
    let configuration = stage.configuration();
    let mut child = receive_mail(stage, &["--config", configuration.to_str().unwrap()]).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    // Whoever has read enough closes its end.
    let _ = to.write_all(mail.as_bytes()).await;
    drop(to);
    ended(&child.wait_with_output().await.unwrap())
}

/// Hands a file or folder over.
async fn file(stage: &Stage, path: &Path) -> (i32, String) {
    let configuration = stage.configuration();
    let arguments = ["--config", configuration.to_str().unwrap(), path.to_str().unwrap()];
    ended(&receive_mail(stage, &arguments).output().await.unwrap())
}

fn ended(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A report, as Postfix writes it, on a letter with this Message-ID to this address.
fn dsn(message_id: &str, to: &str, action: &str, status: &str) -> String {
    format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.guests.example (Mail Delivery System)\nTo: hello@ada-and-ben.example\n\
         Subject: Delivery Status Notification\nMessage-Id: <{action}.{status}.{to}>\nAuto-Submitted: auto-replied\n\
         MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"b1/mx.guests.example\"\n\n\
         --b1/mx.guests.example\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system.\n\n\
         --b1/mx.guests.example\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.guests.example\n\
         Arrival-Date: Sun, 22 Nov 2026 10:00:00 +0000 (UTC)\n\nFinal-Recipient: rfc822; {to}\nAction: {action}\n\
         Status: {status}\nDiagnostic-Code: smtp; 550 {status} <{to}>: said of {to}\n\n\
         --b1/mx.guests.example\nContent-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\nTo: {to}\n\
         Subject: Save the date\n\n--b1/mx.guests.example--\n"
    )
}

fn complaint(of: &Accepted) -> String {
    format!(
        "From: <fbl@big.example>\nSubject: FW\nMIME-Version: 1.0\nContent-Type: multipart/report; \
         report-type=feedback-report; boundary=\"c\"\n\n--c\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
         User-Agent: FBL/1\nVersion: 1\n\n--c\nContent-Type: message/rfc822\n\nMessage-ID: {}\nSubject: Save the date\n\n\
         Dear guest\n--c--\n",
        of.message_id.as_deref().unwrap()
    )
}

fn report(of: &Accepted, action: &str, status: &str) -> String {
    dsn(of.message_id.as_deref().unwrap(), &of.recipient, action, status)
}

async fn state(desk: &Desk, campaign: CampaignId, of: &Accepted) -> MessageState {
    desk.message(campaign, of.message.as_ref().unwrap().parse().unwrap()).await.unwrap().row.state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_that_comes_by_mail_is_filed_and_its_guest_is_not_written_to_again() {
    let stage = stage().await;
    let desk = stage.desk().await.unwrap();
    let list = desk.guests(6).await.unwrap();
    let campaign = desk.send(list, &[Channel::Email]).await.unwrap();
    desk.sent(campaign).await.unwrap();
    let record = stage.simulator.record();
    let mails = record.entries(0, usize::MAX);
    assert_eq!(mails.len(), 6);

    let (code, said) = pipe(&stage, &report(&mails[0], "failed", "5.1.1")).await;
    assert_eq!(code, TAKEN, "{said}");
    assert!(said.contains("1 mail, 1 report; 1 moved a message; 1 suppressed an address"), "{said}");
    assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Failed);
    let trace = stage.usher().args(["guest", "trace", &mails[0].recipient]).output().await.unwrap();
    let trace = String::from_utf8_lossy(&trace.stdout).into_owned();
    assert!(trace.contains("it bounced: the address does not exist (5.1.1)"), "{trace}");

    // Somebody who knows how such mails look, and our ids, which are small numbers, but has not seen the letter.
    let id = mails[1].message.as_deref().unwrap();
    let forged = dsn(&format!("<{id}.0123456789abcdef@ada-and-ben.example>"), &mails[1].recipient, "failed", "5.1.1");
    let (code, said) = pipe(&stage, &forged).await;
    assert_eq!((code, said.contains("1 not of a letter of ours")), (TAKEN, true), "{said}");
    // A guest who has, and would have another one silenced by it.
    let turned = dsn(mails[2].message_id.as_deref().unwrap(), &mails[1].recipient, "failed", "5.1.1");
    assert_eq!(pipe(&stage, &turned.replace(&format!("To: {}", mails[1].recipient), "To: x")).await.0, TAKEN);
    assert_eq!(state(&desk, campaign, &mails[1]).await, MessageState::Accepted);

    // A mailbox file: a delivery, somebody's answer, a delay, a complaint, and the first bounce once more.
    let answer = "From: guest-4@guests.example\nSubject: Re: Save the date\n\nWe are coming!\n".to_owned();
    let all = [
        report(&mails[3], "delivered", "2.0.0"),
        answer.clone(),
        report(&mails[4], "delayed", "4.4.1"),
        complaint(&mails[5]),
        report(&mails[0], "failed", "5.1.1"),
    ];
    let mbox = stage.folder().join("mbox");
    std::fs::write(&mbox, all.map(|mail| format!("From - Sun Nov 22 10:00:00 2026\n{mail}\n")).concat()).unwrap();
    let (code, said) = file(&stage, &mbox).await;
    assert_eq!(code, TAKEN, "{said}");
    let counted = "5 mails, 4 reports; 1 moved a message; 1 suppressed an address; 1 known already; 1 no report";
    assert!(said.contains(counted), "{said}");
    assert_eq!(state(&desk, campaign, &mails[3]).await, MessageState::Delivered);
    assert_eq!(state(&desk, campaign, &mails[4]).await, MessageState::Accepted);

    // It may have been over before the first bounce came, or not; every guest is accounted for in either case.
    let detail = desk.until(campaign, |detail| detail.row.state.is_ended()).await.unwrap();
    let counts = detail.row.counts;
    assert_eq!((counts.accepted, counts.delivered, counts.failed), (3, 1, 2), "{counts:?}");
    assert_eq!((counts.total(), detail.row.guests), (6, 6));
    assert_eq!(detail.channels[0].deeds, Deeds { complained: 1, ..Deeds::default() });

    // Neither the log nor what was said names anybody, whatever the mails did.
    assert!(!stage.log().contains("guests.example") && !said.contains('@'), "{}", stage.log());
    let metrics = metrics(&stage).await;
    for (name, count) in
        [("hard_bounce", 1), ("soft_bounce", 1), ("delivered", 1), ("delayed", 1), ("complaint", 1), ("foreign", 1)]
    {
        let line = format!("usher_reports_total{{provider=\"smtp\",kind=\"{name}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains("usher_reports_refused_total{provider=\"smtp\"} 1\n"), "{metrics}");

    let before = record.total();
    let again = desk.draft("Again", list, &[Channel::Email]).await.unwrap();
    desk.release(again).await.unwrap();
    desk.sent(again).await.unwrap();
    let second: Vec<String> = record.entries(before, usize::MAX).into_iter().map(|entry| entry.recipient).collect();
    assert_eq!(second.len(), 4, "{second:?}");
    assert!([0, 5].iter().all(|n| !second.contains(&mails[*n].recipient)), "{second:?}");
}

/// What Prometheus is told.
async fn metrics(stage: &Stage) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut stream = tokio::net::UnixStream::connect(stage.socket()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_daemon_cannot_take_is_brought_again_and_counts_once() {
    let mut stage = stage().await;
    let mut desk = stage.desk().await.unwrap();
    let list = desk.guests(2).await.unwrap();
    let campaign = desk.send(list, &[Channel::Email]).await.unwrap();
    desk.sent(campaign).await.unwrap();
    let mails = stage.simulator.record().entries(0, usize::MAX);
    let bounce = report(&mails[0], "failed", "5.1.1");

    stage.kill().await.unwrap();
    let (code, said) = pipe(&stage, &bounce).await;
    assert_eq!(code, LATER, "{said}");
    assert!(said.contains("reaching the daemon at"), "{said}");
    stage.start().await.unwrap();
    let (code, said) = pipe(&stage, &bounce).await;
    assert_eq!((code, said.contains("1 moved a message")), (TAKEN, true), "{said}");
    // What was answered is on the disk.
    stage.kill().await.unwrap();
    stage.start().await.unwrap();
    desk = stage.desk().await.unwrap();
    let (code, said) = pipe(&stage, &bounce).await;
    assert_eq!((code, said.contains("1 known already")), (TAKEN, true), "{said}");
    assert_eq!(state(&desk, campaign, &mails[0]).await, MessageState::Failed);
    let counts = desk.campaign(campaign).await.unwrap().row.counts;
    assert_eq!((counts.accepted, counts.failed, counts.total()), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_is_told_by_the_code_what_to_do() {
    let stage = stage().await;
    assert_eq!(pipe(&stage, "").await.0, NO_MAIL);
    assert_eq!(pipe(&stage, &"x".repeat(600 << 10)).await.0, NO_MAIL);
    assert_eq!(pipe(&stage, "Subject: hello\n\nworld\n").await.0, TAKEN);
    let (code, said) = file(&stage, &stage.folder().join("nothing")).await;
    assert_eq!(code, NO_INPUT, "{said}");
    let socket = stage.socket();
    let socket = socket.to_str().unwrap();
    for arguments in [["--provider", "postmark", "--socket", socket], ["--provider", "smtp", "--sokcet", socket]] {
        let mut child = receive_mail(&stage, &arguments).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"Subject: x\n\n").await;
        let (code, said) = ended(&child.wait_with_output().await.unwrap());
        assert_eq!(code, USAGE, "{said}");
    }
    // A Maildir, with something that is no mail and something that is still being written.
    let maildir = stage.folder().join("Maildir");
    for name in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(maildir.join(name)).unwrap();
        std::fs::write(maildir.join(name).join("1.host"), "Subject: x\n\ny\n").unwrap();
    }
    std::fs::write(maildir.join("cur/2.host"), "").unwrap();
    let (code, said) = file(&stage, &maildir).await;
    assert_eq!((code, said.contains("3 mails, 0 reports; 2 no report; 1 unreadable")), (NO_MAIL, true), "{said}");
}

/// Postfix takes a letter, finds that nobody is there, and pipes what it then writes to the sender into the command.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_mail_server_returns_finds_its_letter() {
    let test = "what_a_real_mail_server_returns_finds_its_letter";
    let settings = "transport_maps = inline:{ { gone@example.com = nobody-there: }, \
                    { hello@ada-and-ben.example = usher-mail: } }\n";
    // Exit code 67 is "no such user", as a program that delivers says it.
    let services = "nobody-there unix - n n - - pipe\n  flags=q user=nobody argv=/bin/sh -c {exit 67}\n\
                    usher-mail unix - n n - 4 pipe\n  flags=Rq user=nobody argv={folder}/receive-mail\n";
    let Some(server) = Postfix::start_with(test, settings, services).await else { return };
    let stage = server.stage().await;
    let program = server.folder().join("usherd");
    std::fs::copy(&stage.programs().usherd, &program).unwrap();
    let socket = stage.socket();
    let script = format!("#!/bin/sh\nexec {} receive-mail --socket {}\n", program.display(), socket.display());
    std::fs::write(server.folder().join("receive-mail"), script).unwrap();
    // What being in the socket's group would be.
    for (path, mode) in [(stage.folder(), 0o711), (&socket, 0o666), (&server.folder().join("receive-mail"), 0o755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", b"email,name\ngone@example.com,Gone\nhere@example.com,Here\n").await.unwrap();
    let list = desk.list("everyone").await.unwrap();
    let campaign = desk.send(list, &[Channel::Email]).await.unwrap();
    let failed = desk.until(campaign, |detail| detail.row.counts.failed == 1);
    let detail = tokio::time::timeout(PATIENCE, failed).await.unwrap_or_else(|_| panic!("{}", server.said())).unwrap();
    assert_eq!(detail.reasons, [("it bounced: the address does not exist (5.1.1)".to_owned(), 1)], "{}", server.said());
    let rows = desk.messages(campaign).await.unwrap();
    let gone = rows.iter().find(|row| row.state == MessageState::Failed).unwrap();
    assert_eq!(gone.guest_name, "Gone");
    let again = desk.send(list, &[Channel::Email]).await.unwrap();
    let counts = desk.sent(again).await.unwrap().row.counts;
    assert_eq!((counts.suppressed, counts.taken()), (1, 1), "{counts:?}");
}
