//! The program in a terminal while something takes long: what stands on the screen, and what is left when it ends or is
//! left.

mod fake;

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fake::{Behaviour, Fake, SOON, no_such_thing};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use usher_common::model::{CampaignId, CampaignRow, CampaignState, Channel, ImportProgress, StateCounts};
use usher_common::protocol::{ClientFrame, IMPORT_CHUNK, Reply, Request, ServerFrame};

/// A program in a terminal of 60 columns.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn run(fake: &Fake, environment: &[(&str, &str)], args: &[&str]) -> Self {
        let pair =
            native_pty_system().openpty(PtySize { rows: 10, cols: 60, ..PtySize::default() }).expect("a terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_usher"));
        command.env_clear();
        command.env("USHER_SOCKET", fake.socket());
        for (name, value) in environment {
            command.env(name, value);
        }
        command.args(args);
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("its output");
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                sink.lock().expect("whole").extend_from_slice(&buffer[..n]);
            }
        });
        Self { child, master: pair.master, written }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("whole")).into_owned()
    }

    /// What stands on the screen.
    fn screen(&self) -> String {
        let size = |n| std::num::NonZero::new(n).expect("not zero");
        let mut parser = vt100::Parser::new(size(10), size(60), 0);
        parser.process(&self.written.lock().expect("whole"));
        parser.screen().contents()
    }

    async fn shows(&self, text: &str) {
        let wait = async {
            while !self.screen().contains(text) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(SOON, wait).await;
        assert!(seen.is_ok(), "`{text}` was not shown:\n{}", self.screen());
    }

    fn interrupt(&self) {
        let mut keys = self.master.take_writer().expect("its keys");
        std::io::Write::write_all(&mut keys, b"\x03").expect("it is typed");
        // Whoever drops the writer says that there are no more keys, which is another thing.
        std::mem::forget(keys);
    }

    async fn ends(&mut self) -> u32 {
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("its end can be asked for") {
                    return status.exit_code();
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.expect("it ends soon")
    }
}

fn summer() -> CampaignRow {
    CampaignRow {
        id: CampaignId(1),
        name: "Summer".to_owned(),
        organisation: String::new(),
        state: CampaignState::Draft,
        channels: vec![Channel::Email],
        guests: 0,
        unreachable: 0,
        expanded: false,
        counts: StateCounts::default(),
        rate: 0.0,
        eta_seconds: None,
        why: String::new(),
        due: None,
        ended: None,
        deleted: None,
        version: 1,
    }
}

/// A daemon that takes so many pieces of an import and then says nothing more.
fn takes(pieces: u64) -> Fake {
    let came = AtomicU64::new(0);
    Fake::start(Behaviour::new(move |frame| {
        let ClientFrame::Call { id, request, .. } = frame else { return Vec::new() };
        let n = came.load(Ordering::Relaxed);
        let told = |n: u64| {
            Reply::Import(ImportProgress { bytes: n * IMPORT_CHUNK as u64, records: n * 1_000, ..Default::default() })
        };
        let result = match **request {
            Request::ImportOpen { .. } => Ok(Reply::ImportOpened { upload: 1 }),
            Request::ImportChunk { .. } if n == pieces => return Vec::new(),
            Request::ImportChunk { .. } => Ok(told(came.fetch_add(1, Ordering::Relaxed) + 1)),
            Request::ImportFinish { .. } => Ok(told(n)),
            _ => no_such_thing(),
        };
        vec![ServerFrame::Reply { id: *id, result }]
    }))
}

/// A file of so many pieces, and where it lies.
fn file(pieces: usize) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guests.csv");
    std::fs::write(&path, "x".repeat(pieces * IMPORT_CHUNK)).expect("a file");
    (folder, path.to_str().expect("UTF-8").to_owned())
}

fn import(file: &str) -> [&str; 7] {
    ["guests", "import", "--list", "all", "--vouched-by", "ana", file]
}

#[tokio::test]
async fn an_import_shows_a_bar_and_takes_it_away() {
    let (_folder, path) = file(4);
    let fake = takes(1);
    let plain = [("TERM", "xterm"), ("LANG", "C"), ("NO_COLOR", "1")];
    let mut terminal = Terminal::run(&fake, &plain, &import(&path));
    terminal.shows("guests.csv  [######..................]  25.0%  1,000 rows").await;
    let coloured = terminal.text().replace("\x1b[K", "").contains('\x1b');
    assert!(!coloured, "NO_COLOR is heeded: {:?}", terminal.text());
    terminal.interrupt();
    assert_eq!(terminal.ends().await, 130);
    terminal.shows("import the file again").await;
    assert!(!terminal.screen().contains('['), "the bar is gone:\n{}", terminal.screen());

    let fake = takes(9);
    let mut terminal = Terminal::run(&fake, &[("TERM", "xterm"), ("LANG", "C.UTF-8")], &import(&path));
    assert_eq!(terminal.ends().await, 0);
    terminal.shows("4,000 records").await;
    assert!(terminal.text().contains("\x1b[36m━━"), "{:?}", terminal.text());
    assert!(!terminal.screen().contains("━━"), "the bar is gone:\n{}", terminal.screen());
}

#[tokio::test]
async fn programs_and_dumb_terminals_get_no_bar() {
    let (_folder, path) = file(2);
    for (term, output, shown) in [("dumb", "table", "2,000 records"), ("xterm", "json", "problems_left_out")] {
        let fake = takes(9);
        let environment = [("TERM", term)];
        let args = [&import(&path)[..], &["--output", output]].concat();
        let mut terminal = Terminal::run(&fake, &environment, &args);
        assert_eq!(terminal.ends().await, 0);
        terminal.shows(shown).await;
        assert!(!terminal.text().contains(['%', '\x1b']), "{:?}", terminal.text());
    }
}

#[tokio::test]
async fn an_act_that_takes_long_says_how_far_it_is() {
    let fake = Fake::start(Behaviour::new(|frame| {
        let ClientFrame::Call { id, request, .. } = frame else { return Vec::new() };
        match **request {
            Request::Campaigns => vec![ServerFrame::Reply { id: *id, result: Ok(Reply::Campaigns(vec![summer()])) }],
            _ => vec![ServerFrame::Progress { id: *id, done: 312_000, total: 1_000_000 }],
        }
    }));
    let mut terminal = Terminal::run(&fake, &[("TERM", "xterm"), ("LANG", "C")], &["campaign", "approve", "c1"]);
    terminal.shows("31.2%  312,000 guests").await;
    terminal.interrupt();
    assert_eq!(terminal.ends().await, 130);
    terminal.shows("The daemon goes on with what it was told").await;
    assert!(!terminal.screen().contains('%'), "{}", terminal.screen());
}
