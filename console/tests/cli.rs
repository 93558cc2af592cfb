//! The program itself, against a daemon that answers by a function: what it prints, and what it ends with.

mod fake;

use std::process::Stdio;
use std::sync::Mutex;

use fake::{Behaviour, Fake, SOON, no_such_thing};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use usher_common::model::{Audience, CampaignClass, Reach};
use usher_common::model::{
    CampaignDetail, CampaignId, CampaignRow, CampaignSpec, CampaignState, Channel, Guest, GuestId, GuestListRow,
    GuestRow, Health, ImportProblem, ImportProgress, ListId, Overview, ProblemKind, Provenance, Schedule, Severity,
    StateCounts, Timestamp,
};
use usher_common::protocol::{ClientFrame, Problem, ProblemCode, Reply, Request, Row, ServerFrame, Topic};

struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn usher(fake: &Fake, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.env("USHER_SOCKET", fake.socket()).env("NO_COLOR", "1").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(fake: &Fake, args: &[&str], stdin: &[u8]) -> Ended {
    let mut child = usher(fake, args).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("piped");
    // A program that fails early does not read its input.
    let _ = input.write_all(stdin).await;
    drop(input);
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("it ends soon").expect("it ends");
    Ended {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn row(id: u64, name: &str, state: CampaignState) -> CampaignRow {
    CampaignRow {
        id: CampaignId(id),
        name: name.to_owned(),
        organisation: String::new(),
        state,
        channels: vec![Channel::Email],
        guests: 10,
        unreachable: 0,
        expanded: true,
        counts: StateCounts { accepted: 9, failed: 1, ..StateCounts::default() },
        rate: 0.0,
        eta_seconds: None,
        why: String::new(),
        due: None,
        ended: None,
        deleted: None,
        version: 1,
    }
}

fn detail(row: CampaignRow) -> CampaignDetail {
    let spec = CampaignSpec {
        name: row.name.clone(),
        description: String::new(),
        organisation: String::new(),
        class: CampaignClass::Personal,
        channels: vec![Channel::Email],
        reach: Reach::Preferred,
        audience: Audience::List(ListId(3)),
        template: "invitation".to_owned(),
        values: std::collections::BTreeMap::new(),
        schedule: Schedule::Now,
        expires_after_hours: 0,
        whatsapp: None,
    };
    CampaignDetail { row, spec, channels: Vec::new(), reasons: Vec::new(), approved_by: String::new() }
}

fn daemon() -> Fake {
    Fake::start(Behaviour::new(|frame| match frame {
        ClientFrame::Call { id, request, act } => {
            let result = match &**request {
                _ if act.as_ref().is_some_and(|act| act.preview) => Ok(Reply::Preview(Vec::new())),
                Request::Status => Ok(Reply::Status(Box::new(Overview {
                    environment: "te\u{1b}[31mst".to_owned(),
                    health: Health::Critical,
                    findings: vec![(Health::Critical, "resend is down".to_owned())],
                    ..Overview::default()
                }))),
                Request::Campaigns => Ok(Reply::Campaigns(vec![
                    row(1, "Summer", CampaignState::Running),
                    row(2, "Winter", CampaignState::Partial),
                    row(3, "Spring", CampaignState::Finished),
                ])),
                Request::Lists => {
                    let list =
                        GuestListRow { id: ListId(3), name: "Everyone".to_owned(), guests: 2, changed: Timestamp(0) };
                    Ok(Reply::Lists(vec![list]))
                }
                Request::CampaignPause { id } => {
                    Ok(Reply::Campaign(Box::new(detail(row(id.0, "Summer", CampaignState::Paused)))))
                }
                Request::CampaignCancel { id } => Ok(Reply::Done(format!("{id} is cancelled"))),
                Request::CampaignResume { .. } => {
                    Err(Problem::new(ProblemCode::Conflict, "c2 has ended", "It cannot be resumed."))
                }
                Request::CampaignCreate { spec } => Ok(Reply::Done(format!("{:?} {:?}", spec.audience, spec.schedule))),
                Request::CampaignSend { schedule, .. } => Ok(Reply::Done(format!("{schedule:?}"))),
                _ => no_such_thing(),
            };
            vec![ServerFrame::Reply { id: *id, result }]
        }
        ClientFrame::Subscribe { topic: topic @ Topic::Campaign(id), .. } => {
            let state = if id.0 == 2 { CampaignState::Partial } else { CampaignState::Finished };
            let rows = vec![Row::Detail(Box::new(detail(row(id.0, "Winter", state))))];
            vec![ServerFrame::Snapshot { topic: *topic, epoch: 7, version: 1, rows }]
        }
        _ => Vec::new(),
    }))
}

#[tokio::test]
async fn status_is_a_table_without_escapes_or_json() {
    let fake = daemon();
    let table = run(&fake, &["status"], b"").await;
    assert_eq!(table.code, 0, "{}", table.err);
    assert!(table.out.contains("DOWN") && table.out.contains("resend is down"), "{}", table.out);
    assert!(!table.out.contains('\u{1b}'), "{:?}", table.out);
    let json = run(&fake, &["status", "--output", "json"], b"").await;
    assert!(json.out.contains("\"health\": \"critical\""), "{}", json.out);
}

#[tokio::test]
async fn each_failure_has_its_code_and_json_errors_are_json() {
    let mut fake = daemon();
    assert_eq!(run(&fake, &["campaign", "status", "Autumn"], b"").await.code, 4);
    let conflict = run(&fake, &["campaign", "resume", "c2", "--output", "json"], b"").await;
    assert_eq!(conflict.code, 5);
    assert!(
        conflict.err.contains("\"code\":\"conflict\"") && conflict.err.contains("cannot be resumed"),
        "{}",
        conflict.err
    );
    assert_eq!(run(&fake, &["campaign", "frobnicate"], b"").await.code, 2);
    assert_eq!(run(&fake, &["campaign", "send", "c1", "--at", "2027-06-12 10:00"], b"").await.code, 2);
    fake.stop();
    let gone = run(&fake, &["status", "--output", "json"], b"").await;
    assert_eq!(gone.code, 3);
    assert!(gone.err.contains("not_reachable") && gone.err.contains("no daemon at"), "{}", gone.err);
}

#[tokio::test]
async fn watching_ends_as_the_campaign_did() {
    let fake = daemon();
    assert_eq!(run(&fake, &["campaign", "watch", "Spring"], b"").await.code, 0);
    let partial = run(&fake, &["campaign", "watch", "c2"], b"").await;
    assert_eq!(partial.code, 6);
    assert!(partial.out.contains("10 of 10 done (100%)") && partial.out.contains("1 failed"), "{}", partial.out);
}

#[tokio::test]
async fn acts_carry_reason_and_key_and_what_cannot_be_taken_back_asks() {
    let mut fake = daemon();
    let paused = run(&fake, &["campaign", "pause", "summer", "--reason", "wrong venue"], b"").await;
    assert_eq!((paused.code, paused.out.trim()), (0, "c1 Summer is paused now"));
    let act = fake.hears(|frame| if let ClientFrame::Call { act, .. } = frame { act.clone() } else { None }).await;
    assert_eq!((act.reason.as_str(), act.key.len(), act.preview), ("wrong venue", 32, false));
    fake.heard_so_far();
    let asked = run(&fake, &["campaign", "cancel", "c1"], b"Summer\n").await;
    assert_eq!(asked.code, 2, "nobody is at the terminal");
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    let acted = |f: &ClientFrame| matches!(f, ClientFrame::Call { act: Some(act), .. } if !act.preview);
    assert_eq!(fake.heard_so_far().iter().filter(|f| acted(f)).count(), 0);
    assert_eq!(run(&fake, &["campaign", "cancel", "c1", "--yes"], b"").await.code, 0);
}

#[tokio::test]
async fn a_campaign_is_written_from_flags_with_its_list_by_name() {
    let fake = daemon();
    let args = [
        "campaign",
        "create",
        "--name",
        "x",
        "--channel",
        "sms",
        "--list",
        "everyone",
        "--template",
        "invitation",
        "--at",
        "2027-06-12 10:00 Europe/Paris",
    ];
    let created = run(&fake, &args, b"").await;
    assert_eq!(created.code, 0, "{}", created.err);
    assert!(created.out.contains("List(ListId(3))") && created.out.contains("1812787200000"), "{}", created.out);
}

#[tokio::test]
async fn an_import_goes_up_in_pieces_and_names_each_problem() {
    let taken = Mutex::new(Vec::new());
    let fake = Fake::start(Behaviour::calls(move |request| match request {
        Request::ImportOpen { list, file, vouched_by, .. } => {
            assert_eq!((list.as_str(), file.as_str(), vouched_by.as_str()), ("Everyone", "standard input", "ana"));
            Ok(Reply::ImportOpened { upload: 4 })
        }
        Request::ImportChunk { upload: 4, bytes } => {
            taken.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(Reply::Import(ImportProgress::default()))
        }
        Request::ImportFinish { upload: 4 } => {
            let bytes = taken.lock().expect("not poisoned").len() as u64;
            Ok(Reply::Import(ImportProgress {
                bytes,
                records: 2,
                added: 1,
                rejected: 1,
                problems: vec![ImportProblem {
                    line: 3,
                    column: "email".to_owned(),
                    severity: Severity::Rejected,
                    kind: ProblemKind::Email,
                    message: "has no @\u{1b}[31m".to_owned(),
                }],
                ..ImportProgress::default()
            }))
        }
        _ => no_such_thing(),
    }));
    let file = vec![b'x'; 600 * 1024];
    let args = ["guests", "import", "-", "--list", "Everyone", "--vouched-by", "ana"];
    let done = run(&fake, &args, &file).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("line 3, email: rejected: has no @[31m"), "{}", done.out);
    assert!(done.out.contains("2 records: 1 added"), "{}", done.out);
    let json = run(&fake, &[&args[..], &["--output", "json"]].concat(), &file).await;
    assert!(json.out.contains(&format!("\"bytes\": {}", 2 * file.len())), "every byte arrived: {}", json.out);
}

#[tokio::test]
async fn without_a_terminal_the_console_prints_lines() {
    let fake = daemon();
    let mut child = usher(&fake, &[]).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.expect("soon").expect("readable").expect("a line");
    assert!(line.contains("usherd 0.1.0, test, you are ana"), "{line}");
    child.kill().await.expect("it ends");
}

#[tokio::test]
async fn the_relay_says_its_magic_line_and_then_only_copies() {
    let fake = daemon();
    let mut child = usher(&fake, &["relay"]).spawn().expect("the program starts");
    let mut out = child.stdout.take().expect("piped");
    let mut magic = vec![0; usher::session::RELAY_MAGIC.len()];
    tokio::time::timeout(SOON, out.read_exact(&mut magic)).await.expect("soon").expect("readable");
    assert_eq!(magic, usher::session::RELAY_MAGIC.as_bytes());
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"GET /nothing HTTP/1.1\r\n\r\n").await.expect("it reads");
    drop(input);
    let status = tokio::time::timeout(SOON, child.wait()).await.expect("soon").expect("it ends");
    assert!(status.success());
}

#[tokio::test]
async fn completions_and_the_manual_need_no_daemon() {
    let mut fake = daemon();
    fake.stop();
    assert!(run(&fake, &["completions", "bash"], b"").await.out.contains("_usher"));
    assert!(run(&fake, &["man"], b"").await.out.contains(".TH usher"));
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_failure() {
    let fake = daemon();
    for args in [&["completions", "bash"][..], &["man"], &["campaign", "list"], &["--help"]] {
        let mut child = usher(&fake, args).spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("soon").expect("it ends");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test]
async fn an_edit_sends_the_campaign_with_what_changed_and_a_list_is_deleted_by_name() {
    let mut fake = Fake::start(Behaviour::calls(|request| match request {
        Request::Campaigns => Ok(Reply::Campaigns(vec![row(1, "Summer", CampaignState::Draft)])),
        Request::Campaign { .. } => Ok(Reply::Campaign(Box::new(detail(row(1, "Summer", CampaignState::Draft))))),
        Request::CampaignEdit { spec, .. } => {
            let mut detail = detail(row(1, &spec.name, CampaignState::Draft));
            detail.spec = spec.clone();
            Ok(Reply::Campaign(Box::new(detail)))
        }
        Request::Lists => {
            let list = GuestListRow { id: ListId(3), name: "Everyone".to_owned(), guests: 2, changed: Timestamp(0) };
            Ok(Reply::Lists(vec![list]))
        }
        Request::ListDelete { list: ListId(3) } => Ok(Reply::Done("gone".to_owned())),
        _ => no_such_thing(),
    }));
    let args = ["campaign", "edit", "summer", "--channel", "sms", "--value", "venue_name=The Barn"];
    let edited = run(&fake, &args, b"").await;
    assert_eq!((edited.code, edited.out.trim()), (0, "c1 Summer is a draft now"), "{}", edited.err);
    let call = |frame: &ClientFrame| match frame {
        ClientFrame::Call { request, act: Some(act), .. } => match &**request {
            Request::CampaignEdit { spec, .. } => Some((spec.clone(), act.seen)),
            _ => None,
        },
        _ => None,
    };
    let (spec, seen) = fake.hears(call).await;
    assert_eq!((spec.channels.as_slice(), spec.template.as_str()), (&[Channel::Sms][..], "invitation"));
    assert_eq!((spec.values["venue_name"].as_str(), seen), ("The Barn", Some(1)), "nobody else's change is lost");
    let asked = run(&fake, &["guests", "lists", "delete", "everyone"], b"Everyone\n").await;
    assert_eq!(asked.code, 2, "nobody is at the terminal");
    assert!(asked.err.contains("nobody is there to ask: The list Everyone is deleted"), "{}", asked.err);
    let deleted = run(&fake, &["guests", "lists", "delete", "everyone", "--yes"], b"").await;
    assert_eq!((deleted.code, deleted.out.trim()), (0, "gone"));
}

#[tokio::test]
async fn the_id_of_a_list_makes_no_list_of_that_name() {
    let fake = Fake::start(Behaviour::calls(|request| match request {
        Request::Lists => {
            let list = GuestListRow { id: ListId(3), name: "Everyone".to_owned(), guests: 2, changed: Timestamp(0) };
            Ok(Reply::Lists(vec![list]))
        }
        Request::GuestAdd { list, .. } => {
            let guest = Guest { email: Some("ada@example.org".to_owned()), ..Guest::default() };
            assert_eq!(list, "Everyone");
            let provenance = Provenance { source: String::new(), vouched_by: String::new(), at: Timestamp(0) };
            Ok(Reply::Guest(Box::new(GuestRow { id: GuestId(7), list: ListId(3), guest, provenance, version: 1 })))
        }
        _ => no_such_thing(),
    }));
    let add = ["guests", "add", "l3", "email=ada@example.org", "--vouched-by", "ana"];
    let added = run(&fake, &add, b"").await;
    assert_eq!((added.code, added.out.trim()), (0, "g7 ada@example.org on Everyone"), "{}", added.err);
    assert_eq!(run(&fake, &["guests", "add", "l9", "email=a@example.org", "--vouched-by", "ana"], b"").await.code, 4);
}
