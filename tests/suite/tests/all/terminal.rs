//! The console in a real pseudo-terminal: what is on the screen, and in which state it leaves the terminal.

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use usher_common::model::Channel;
use usher_demo::{PATIENCE, Plan, Stage};

/// What the terminal shows, and all that was written to it.
struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// Screen and bell: told whenever something was written.
type Glass = Arc<(Mutex<Shown>, Condvar)>;

/// A console in a terminal of its own.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    glass: Glass,
    leaving: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

/// A size for the emulator, which cannot wrap lines of one column; the program is told the true one.
fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count.max(2)).expect("two is not zero")
}

impl Terminal {
    fn open(stage: &Stage, columns: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(&stage.programs().usher);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("USHER_SOCKET", stage.socket());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let shown = Shown { parser: vt100::Parser::new(cells(rows), cells(columns), 0), bytes: Vec::new() };
        let glass: Glass = Arc::new((Mutex::new(shown), Condvar::new()));
        let leaving = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (glass, leaving) = (Arc::clone(&glass), Arc::clone(&leaving));
            move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = output.read(&mut buffer) {
                    let mut shown = glass.0.lock().unwrap_or_else(PoisonError::into_inner);
                    shown.parser.process(&buffer[..count]);
                    shown.bytes.extend(&buffer[..count]);
                    glass.1.notify_all();
                    if leaving.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        });
        Self { master: pair.master, keys, child, glass, leaving, reader: Some(reader) }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until `holds` of what is shown.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&Shown) -> bool) {
        let shown = self.glass.0.lock().unwrap();
        let (shown, waited) = self.glass.1.wait_timeout_while(shown, PATIENCE, |shown| !holds(shown)).unwrap();
        assert!(!waited.timed_out(), "waited for {what}, this is shown:\n{}", shown.parser.screen().contents());
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        self.until(&format!("`{text}`"), |shown| shown.parser.screen().contents().contains(text));
    }

    fn resize(&self, columns: u16, rows: u16) {
        // The program repaints all of it, so a fresh emulator sees what a person would.
        self.glass.0.lock().unwrap().parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        self.master.resize(size(columns, rows)).unwrap();
    }

    fn pid(&self) -> rustix::process::Pid {
        let pid = self.child.process_id().expect("it was started").cast_signed();
        rustix::process::Pid::from_raw(pid).unwrap()
    }

    /// Waits for the end of the program and of its output, and returns both.
    async fn end(mut self) -> (ExitStatus, String) {
        let status = ended(self.child.as_mut()).await;
        let reader = self.reader.take().unwrap();
        tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
        let shown = self.glass.0.lock().unwrap();
        let screen = shown.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen was left");
        assert!(!screen.hide_cursor(), "the cursor is shown again");
        let all = String::from_utf8_lossy(&shown.bytes).into_owned();
        assert!(!all.contains("panicked"), "{all}");
        (status, all)
    }
}

async fn ended(child: &mut (dyn Child + Send + Sync)) -> ExitStatus {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        loop {
            again.tick().await;
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the console did not end")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_looked_around_in_and_quit_and_leaves_the_terminal_as_it_was() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    let list = desk.guests(20).await.unwrap();
    let campaign = desk.send(list, &[Channel::Sms]).await.unwrap();
    desk.sent(campaign).await.unwrap();

    let mut terminal = Terminal::open(&stage, 120, 40);
    for name in ["LIVE", "resend", "smtp", "twilio", "Save the date"] {
        terminal.shows(name);
    }
    terminal.until("the alternate screen", |shown| shown.parser.screen().alternate_screen());
    terminal.press("3");
    terminal.shows("› campaigns");
    terminal.shows("Save the date");
    terminal.press("\r");
    terminal.shows(&format!("{campaign} Save the date"));
    terminal.press("?");
    terminal.shows("open the selected row");
    terminal.press("\x1b");
    terminal.until("help to close", |shown| !shown.parser.screen().contents().contains("open the selected row"));
    terminal.shows(&format!("{campaign} Save the date"));
    terminal.press("\x1b");
    terminal.until("the list", |shown| {
        let first = shown.parser.screen().contents().lines().next().unwrap_or_default().to_owned();
        first.contains("› campaigns") && !first.contains("Save the date")
    });
    terminal.press("q");
    let (status, _) = terminal.end().await;
    assert_eq!(status.exit_code(), 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_end_leaves_the_terminal_as_it_was() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let terminal = Terminal::open(&stage, 80, 24);
    terminal.shows("LIVE");
    rustix::process::kill_process(terminal.pid(), rustix::process::Signal::TERM).unwrap();
    let (status, _) = terminal.end().await;
    assert_eq!(status.exit_code(), 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_outlive_its_terminal() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let mut terminal = Terminal::open(&stage, 80, 24);
    terminal.shows("LIVE");
    // The reader lets go of its end at the next output, which a key brings about.
    terminal.leaving.store(true, Ordering::Relaxed);
    terminal.press("?");
    let reader = terminal.reader.take().unwrap();
    tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
    let pty = native_pty_system().openpty(size(1, 1)).unwrap();
    let closed = (
        std::mem::replace(&mut terminal.master, pty.master),
        std::mem::replace(&mut terminal.keys, Box::new(Vec::new())),
    );
    drop(closed);
    ended(terminal.child.as_mut()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_of_one_cell_is_no_reason_to_panic() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let mut terminal = Terminal::open(&stage, 1, 1);
    terminal.until("the alternate screen", |shown| shown.parser.screen().alternate_screen());
    terminal.press("3");
    terminal.resize(80, 24);
    terminal.shows("LIVE");
    terminal.resize(1, 1);
    terminal.press("2");
    terminal.resize(80, 24);
    terminal.shows("providers");
    terminal.press("q");
    let (status, _) = terminal.end().await;
    assert_eq!(status.exit_code(), 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pressed_while_the_terminal_changes_its_size_is_not_lost() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let mut terminal = Terminal::open(&stage, 80, 24);
    terminal.shows("LIVE");
    for turn in 0..30 {
        // Signal and key come together: both have to be seen, in whichever order.
        let (key, screen) = if turn % 2 == 0 { ("2", "› providers") } else { ("3", "› campaigns") };
        for narrower in 0..20 {
            terminal.resize(101 + turn - narrower, 24);
        }
        terminal.press(key);
        terminal.resize(81 + turn, 24);
        terminal.shows(screen);
    }
    terminal.press("q");
    let (status, _) = terminal.end().await;
    assert_eq!(status.exit_code(), 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_when_the_daemon_goes_and_is_live_when_it_is_back() {
    let mut stage = Stage::set(Plan::default()).await.unwrap();
    let mut terminal = Terminal::open(&stage, 120, 30);
    terminal.shows("LIVE");
    stage.kill().await.unwrap();
    terminal.shows("RECONNECTING");
    terminal.shows("twilio");
    stage.start().await.unwrap();
    terminal.shows("LIVE");
    terminal.until("the reconnecting to end", |s| !s.parser.screen().contents().contains("RECONNECTING"));
    terminal.press("q");
    let (status, _) = terminal.end().await;
    assert_eq!(status.exit_code(), 0, "{status:?}");
}
