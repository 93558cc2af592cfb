//! The terminal: taken over and given back in one place, and written to once a frame.
//!
//! [`Guard`] restores it on every way out, a panic included. [`Painter`] writes a frame in one call, as a synchronized
//! update, so that a slow line cannot tear it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::style::{Attribute, ResetColor, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::buffer::Buffer;

/// What a synchronized update begins and ends with; terminals that do not know it ignore it.
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// No larger text goes to the clipboard, in bytes: terminals drop more, some silently.
const COPY_MAX: usize = 64 * 1024;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gathers a frame and writes it in one call: once it has begun, flushing waits for its end.
#[derive(Debug)]
struct FrameWriter<W> {
    frame: Vec<u8>,
    out: W,
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let half = self.frame.starts_with(BEGIN) && !self.frame.ends_with(END);
        if half || self.frame.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(&self.frame).and_then(|()| self.out.flush());
        self.frame.clear();
        written
    }
}

/// Draws buffers onto a terminal: only what differs, and nothing when nothing does. It never asks the terminal
/// anything: on a slow line the answer would end up in somebody's shell.
#[derive(Debug)]
pub struct Painter<W: Write> {
    backend: CrosstermBackend<FrameWriter<W>>,
    last: Option<Buffer>,
}

impl<W: Write> Painter<W> {
    /// A painter that knows nothing of what the terminal shows.
    pub fn new(out: W) -> Self {
        Self { backend: CrosstermBackend::new(FrameWriter { frame: Vec::new(), out }), last: None }
    }

    /// Paints a buffer, in one write; writes nothing when it is the same as the last.
    pub fn paint(&mut self, buffer: Buffer) -> io::Result<()> {
        if self.last.as_ref() == Some(&buffer) {
            return Ok(());
        }
        self.backend.write_all(BEGIN)?;
        let before = if let Some(last) = self.last.take().filter(|last| last.area == buffer.area) {
            last
        } else {
            queue!(self.backend, ResetColor, SetAttribute(Attribute::Reset), Clear(ClearType::All))?;
            Buffer::empty(buffer.area)
        };
        self.backend.draw(before.diff(&buffer).into_iter())?;
        self.backend.write_all(END)?;
        Write::flush(&mut self.backend)?;
        self.last = Some(buffer);
        Ok(())
    }

    /// Makes the next frame paint everything.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// What was painted last.
    pub fn last(&self) -> Option<&Buffer> {
        self.last.as_ref()
    }

    /// Puts a text on the clipboard of whoever looks at the terminal (OSC 52), also from inside tmux.
    pub fn copy(&mut self, text: &str, tmux: bool) -> io::Result<()> {
        use base64::Engine as _;
        let text = &text.as_bytes()[..text.len().min(COPY_MAX)];
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        let bytes = if tmux {
            format!("\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\")
        } else {
            format!("\x1b]52;c;{encoded}\x07")
        };
        self.backend.write_all(bytes.as_bytes())?;
        Write::flush(&mut self.backend)
    }
}

/// Standard output without the standard library's line buffer, which would cut a frame into pieces.
pub fn raw_stdout() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Columns and rows of the terminal; of one that does not say, 80 and 24.
pub fn size() -> io::Result<(u16, u16)> {
    let (columns, rows) = crossterm::terminal::size()?;
    Ok(if columns == 0 || rows == 0 { (80, 24) } else { (columns, rows) })
}

/// Whether the terminal is still there: after a hang-up it is not.
pub fn is_there() -> bool {
    rustix::termios::tcgetattr(io::stdout().as_fd()).is_ok()
}

/// Holds the terminal; dropping it gives it back.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Takes the terminal over: raw mode, alternate screen, no cursor. A panic gives it back before it speaks.
    pub fn take() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        enter()?;
        Ok(Self(()))
    }

    /// Gives the terminal to the shell, stops, and takes it again when the shell says so.
    pub fn suspend(&self) -> io::Result<()> {
        restore();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        enter()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = raw_stdout()?;
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)
}

/// Gives the terminal back, once. Nothing can be done about failing: there may be no terminal any more.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if let Ok(mut out) = raw_stdout() {
            let _ = out.write_all(END);
            let _ = queue!(out, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
            let _ = out.flush();
        }
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use ratatui::layout::Rect;

    use super::*;
    use crate::app::{Model, Msg, update};
    use crate::fixtures;
    use crate::keys::Key;
    use crate::theme::{Look, ThemeName};
    use crate::widgets::Scroll;

    /// Counts writes and keeps what was written.
    #[derive(Clone, Default)]
    struct Counting(Rc<RefCell<(usize, Vec<u8>)>>);

    impl Counting {
        fn take(&self) -> (usize, Vec<u8>) {
            std::mem::take(&mut *self.0.borrow_mut())
        }
    }

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut counted = self.0.borrow_mut();
            counted.0 += 1;
            counted.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Desk {
        model: Model,
        painter: Painter<Counting>,
        counting: Counting,
        scroll: Scroll,
        size: (u16, u16),
    }

    impl Desk {
        fn new(size: (u16, u16), theme: ThemeName) -> Self {
            crossterm::style::force_color_output(true);
            let counting = Counting::default();
            let painter = Painter::new(counting.clone());
            Self { model: fixtures::live(theme), painter, counting, scroll: Scroll::default(), size }
        }

        fn frame(&mut self) -> (usize, Vec<u8>) {
            let mut buffer = Buffer::empty(Rect::new(0, 0, self.size.0, self.size.1));
            let look = Look::new(self.model.theme, false);
            crate::views::draw(&self.model, &look, &mut self.scroll, &mut buffer);
            self.painter.paint(buffer).expect("a counter never fails");
            self.counting.take()
        }
    }

    #[test]
    fn a_frame_is_one_write_within_its_budget() {
        // First frame, view switch: measured figures of comparable consoles, and a quarter more.
        for (size, first, switch) in [((80, 24), 3_541, 2_710), ((120, 40), 6_724, 7_122), ((200, 60), 10_483, 11_821)]
        {
            let mut desk = Desk::new(size, ThemeName::Default);
            let (writes, bytes) = desk.frame();
            assert_eq!(writes, 1, "first frame at {size:?}");
            assert!(bytes.len() <= first * 5 / 4, "first frame at {size:?}: {} bytes", bytes.len());
            assert!(bytes.starts_with(BEGIN) && bytes.ends_with(END));
            let (writes, bytes) = desk.frame();
            assert_eq!((writes, bytes.len()), (0, 0), "nothing changed, nothing is written");
            update(&mut desk.model, Msg::Key(Key::Char('3')));
            let (writes, bytes) = desk.frame();
            assert_eq!(writes, 1);
            assert!(bytes.len() <= switch * 5 / 4, "view switch at {size:?}: {} bytes", bytes.len());
            update(&mut desk.model, Msg::Key(Key::Char('j')));
            let (_, bytes) = desk.frame();
            assert!(bytes.len() <= 3_000, "one row down at {size:?}: {} bytes", bytes.len());
        }
    }

    #[test]
    fn without_colours_no_colour_is_sent_and_the_selection_is_still_reversed() {
        let mut desk = Desk::new((80, 24), ThemeName::Mono);
        let (_, bytes) = desk.frame();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("\x1b[;m"), "an empty pair of colours resets everything");
        for colour in ["38;", "48;"] {
            assert!(!text.contains(colour), "{colour}");
        }
        assert!(text.contains("\x1b[7m"), "reverse stays");
    }

    #[test]
    fn the_clipboard_gets_base64_and_tmux_passes_it_on() {
        let mut desk = Desk::new((80, 24), ThemeName::Mono);
        desk.painter.copy("c12", false).expect("a counter never fails");
        assert_eq!(desk.counting.take().1, b"\x1b]52;c;YzEy\x07");
        desk.painter.copy("c12", true).expect("a counter never fails");
        assert_eq!(desk.counting.take().1, b"\x1bPtmux;\x1b\x1b]52;c;YzEy\x07\x1b\\");
    }

    /// Not a test of its own: what the next one runs in a terminal.
    #[test]
    #[ignore = "it panics, and needs a terminal: the test below starts it in one"]
    fn panics_with_the_terminal_taken() {
        let _guard = Guard::take().expect("there is a terminal");
        panic!("something that cannot happen");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_speaks() {
        use std::io::Read as _;
        let pair = portable_pty::native_pty_system().openpty(portable_pty::PtySize::default()).expect("a terminal");
        let before = format!("{:?}", pair.master.get_termios());
        let mut program = portable_pty::CommandBuilder::new(std::env::current_exe().expect("this program"));
        program.args(["--exact", "--ignored", "--nocapture", "term::tests::panics_with_the_terminal_taken"]);
        program.env("RUST_BACKTRACE", "0");
        let mut child = pair.slave.spawn_command(program).expect("this program starts");
        let mut output = pair.master.try_clone_reader().expect("a terminal can be read");
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        // The slave stays open in this process, so the end of the program is no end of the output.
        while !String::from_utf8_lossy(&said).contains("test result") {
            let count = output.read(&mut buffer).expect("a terminal can be read");
            said.extend_from_slice(&buffer[..count]);
        }
        assert!(!child.wait().expect("a child can be waited for").success());
        let said = String::from_utf8_lossy(&said);
        let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text:?} is missing in {said:?}"));
        assert!(place("\x1b[?1049h") < place("\x1b[?1049l"));
        assert!(place("\x1b[?1049l") < place("something that cannot happen"), "{said:?}");
        place("\x1b[?25h");
        assert_eq!(format!("{:?}", pair.master.get_termios()), before, "raw mode is left");
    }
}
