//! What is printed: tables for people, JSON for programs, errors on standard error. Every string from outside is cleaned
//! before a terminal sees it; JSON escapes by itself.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::args::{Format, Global};
use super::exit::{Exit, Failure};
use super::progress::{Pace, Step, Style};
use crate::text::{clean, clean_lines, cut, width};

/// How answers are printed.
#[derive(Debug)]
pub(super) struct Output {
    out: io::Stdout,
    err: io::Stderr,
    format: Format,
    colours: bool,
    /// Whether standard error is a terminal, for progress.
    pub(super) progress: bool,
    style: Style,
    pace: RefCell<Pace>,
    started: Instant,
    /// Ctrl-C, from the first line of progress on.
    keys: RefCell<Option<Signal>>,
    /// Wakes whoever waits for that line.
    drawn: Notify,
    /// What to say to whoever leaves while it is.
    when_left: Cell<&'static str>,
    /// Whether questions are taken for answered with yes.
    pub(super) yes: bool,
}

/// Columns that a line may take on standard error: one less than there are, since some terminals wrap after the last.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(80) - 1
}

/// Where the text of a column stands.
pub(super) enum Align {
    Left,
    Right,
}

impl Output {
    pub(super) fn of(global: &Global) -> Self {
        Self {
            out: io::stdout(),
            err: io::stderr(),
            format: global.output,
            colours: global.color.allowed(io::stdout().is_terminal()),
            progress: io::stderr().is_terminal() && global.output == Format::Table && !super::dumb_terminal(),
            style: Style {
                ascii: global.ascii || !super::unicode_locale(),
                colours: global.color.allowed(io::stderr().is_terminal()),
            },
            pace: RefCell::default(),
            started: Instant::now(),
            keys: RefCell::default(),
            drawn: Notify::new(),
            when_left: Cell::new(""),
            yes: global.yes,
        }
    }

    /// Whether programs read the output.
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a value as JSON, or as what `table` makes of it.
    pub(super) fn show<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce(&Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.is_json() {
            return table(self);
        }
        let text = serde_json::to_string_pretty(value).map_err(|e| io::Error::other(e.to_string()))?;
        self.raw(&format!("{text}\n"))
    }

    /// Prints a value as JSON on one line.
    pub(super) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|e| io::Error::other(e.to_string()))?;
        self.raw(&format!("{text}\n"))
    }

    /// Prints a line, cleaned.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        self.raw(&format!("{}\n", clean(text)))
    }

    /// Prints text as it is.
    pub(super) fn raw(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Prints on standard error, for what is not the answer.
    pub(super) fn aside(&self, text: &str) {
        let _ = writeln!(self.err.lock(), "{}", clean(text));
    }

    /// Prints labels and values.
    pub(super) fn pairs(&self, pairs: &[(&str, String)]) -> Result<(), Failure> {
        let widest = pairs.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in pairs {
            self.line(&format!("{label:<widest$}  {value}"))?;
        }
        Ok(())
    }

    /// Prints a table with aligned columns.
    pub(super) fn table(&self, columns: &[(&str, Align)], rows: &[Vec<String>]) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(i, (title, _))| rows.iter().map(|r| width(&r[i])).chain([title.len()]).max().unwrap_or(0))
            .collect();
        let line = |cells: Vec<&str>| {
            let mut out = String::new();
            for ((cell, (_, align)), wide) in cells.iter().zip(columns).zip(&widths) {
                let gap = " ".repeat(wide.saturating_sub(width(cell)));
                match align {
                    Align::Left => out.extend([*cell, gap.as_str()]),
                    Align::Right => out.extend([gap.as_str(), *cell]),
                }
                out.push_str("  ");
            }
            out.trim_end().to_owned()
        };
        let head = line(columns.iter().map(|(title, _)| *title).collect());
        let mut out = if self.colours { format!("\x1b[1m{head}\x1b[0m\n") } else { format!("{head}\n") };
        for row in &rows {
            out.push_str(&line(row.iter().map(String::as_str).collect()));
            out.push('\n');
        }
        self.raw(&out)
    }

    /// Shows on standard error how far something is, in place; only where that is a terminal.
    pub(super) fn tell_progress(&self, text: &str) {
        let ellipsis = if self.style.ascii { "~" } else { "…" };
        self.draw(&cut(&clean(text), columns(), ellipsis));
    }

    /// The same as a bar with a rate.
    pub(super) fn step(&self, step: &Step<'_>) {
        let line = self.pace.borrow_mut().line(step, self.started.elapsed(), columns(), self.style);
        if let Some(line) = line {
            self.draw(&line);
        }
    }

    fn draw(&self, line: &str) {
        if !self.progress {
            return;
        }
        // Before there is anything to clean up. Where it cannot be heard, it ends the program by itself.
        if self.keys.borrow().is_none()
            && let Ok(keys) = signal(SignalKind::interrupt())
        {
            self.keys.replace(Some(keys));
            self.drawn.notify_one();
        }
        let mut err = self.err.lock();
        let _ = write!(err, "\r\x1b[K{line}");
        let _ = err.flush();
    }

    /// Takes the progress away.
    pub(super) fn end_progress(&self) {
        self.pace.take();
        if self.progress {
            let _ = write!(self.err.lock(), "\r\x1b[K");
        }
    }

    /// What is said from now on when somebody leaves by Ctrl-C while progress is shown.
    pub(super) fn when_left(&self, text: &'static str) {
        self.when_left.set(text);
    }

    /// The same where nothing else was named.
    pub(super) fn when_left_at_least(&self, text: &'static str) {
        if self.when_left.get().is_empty() {
            self.when_left.set(text);
        }
    }

    /// Returns when somebody leaves by Ctrl-C after progress was shown, with the line taken away. Before that, Ctrl-C ends
    /// the program as it does any other.
    pub(super) async fn interrupted(&self) -> Failure {
        self.drawn.notified().await;
        std::future::poll_fn(|cx| match self.keys.borrow_mut().as_mut() {
            Some(keys) => keys.poll_recv(cx).map(|_| ()),
            None => std::task::Poll::Pending,
        })
        .await;
        self.end_progress();
        Failure::new(Exit::Interrupted, format!("interrupted\n{}", self.when_left.get()))
    }

    /// Asks for a word to be typed before what cannot be taken back.
    pub(super) async fn confirm(&self, what: &str, word: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let message = format!("not done, since nobody is there to ask: {what}");
            return Err(Failure::usage(format!("{message}\nPass --yes to do it without asking.")));
        }
        {
            let mut err = self.err.lock();
            write!(err, "{} Type {} to go on: ", clean(what), clean(word))?;
            err.flush()?;
        }
        // On a thread of its own, so that Ctrl-C is heard here.
        let read = tokio::task::spawn_blocking(|| {
            let mut typed = String::new();
            io::stdin().read_line(&mut typed).map(|_| typed)
        });
        let typed = read.await.map_err(io::Error::other)??;
        if typed.trim() == clean(word) { Ok(()) } else { Err(Failure::usage("not done: something else was typed")) }
    }

    /// Prints a failure, and gives the code to end with.
    pub(super) fn fail(&self, failure: &Failure) -> ExitCode {
        if failure.silent {
            return ExitCode::SUCCESS;
        }
        self.end_progress();
        let mut err = self.err.lock();
        // A message may have lines of its own, such as the one that points at a character.
        let message = clean_lines(&failure.message).join("\n");
        let _ = if self.is_json() {
            let error = serde_json::json!({"error": {
                "code": failure.code, "exit": failure.exit as u8, "message": failure.message, "remedy": failure.remedy,
            }});
            writeln!(err, "{error}")
        } else if failure.remedy.is_empty() {
            writeln!(err, "usher: {message}")
        } else {
            let remedy: Vec<String> = failure.remedy.lines().map(|line| format!("  {}", clean(line.trim()))).collect();
            writeln!(err, "usher: {message}\n{}", remedy.join("\n"))
        };
        failure.exit.into()
    }
}
