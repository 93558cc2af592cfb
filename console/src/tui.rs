//! The shell around the console: keys and news in, effects out, frames when something changed.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use usher_common::protocol::{Act, Topic};

use crate::app::{Effect, Model, Msg, update};
use crate::clock::Clock;
use crate::keys::Key;
use crate::session::{Link, LinkCommand, LinkEvent, LinkState, Target, act_key};
use crate::term::{Guard, Painter, is_there, raw_stdout, size};
use crate::theme::{Look, ThemeName};
use crate::views;
use crate::widgets::Scroll;

/// At least so long between two frames on the machine itself.
const GAP: Duration = Duration::from_millis(100);
/// The same over SSH.
const GAP_SSH: Duration = Duration::from_millis(250);

/// How the console is to look and where it is to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the daemon is.
    pub target: Target,
    /// The theme to begin with.
    pub theme: ThemeName,
    /// Whether colours may be used at all.
    pub colours: bool,
    /// Whether to draw with ASCII only.
    pub ascii: bool,
}

/// Why the console could not run, or had to leave.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal failed.
    #[error("the terminal cannot be used: {0}\n  `usher --plain` prints lines instead.")]
    Terminal(#[from] io::Error),
    /// ssh did not come to a daemon, and could ask no more once the terminal is taken.
    #[error("{0}")]
    NotReached(String),
}

/// Topics that every screen may need.
pub const TOPICS: [Topic; 6] =
    [Topic::Overview, Topic::Providers, Topic::Campaigns, Topic::Alerts, Topic::Sla, Topic::Log];

/// Runs the console until somebody quits or the terminal goes.
pub async fn run(options: Options) -> Result<(), TuiError> {
    let clock = Clock::start();
    let through_ssh = matches!(options.target, Target::Ssh { .. });
    let mut link = Link::start(options.target.clone(), clock, through_ssh);
    let mut model = Model::new(options.target.to_string(), options.theme, options.colours);
    update(&mut model, Msg::Time(clock.now()));
    for topic in TOPICS {
        let _ = link.commands.try_send(LinkCommand::Follow(topic));
    }
    if through_ssh {
        first_ssh(&mut link, &mut model).await?;
    }
    crossterm::style::force_color_output(true);
    let guard = Guard::take()?;
    model.size = size()?;
    let painter = Painter::new(raw_stdout()?);
    let gap = if std::env::var_os("SSH_CONNECTION").is_some() { GAP_SSH } else { GAP };
    let mut shell = Shell { model, link, painter, scroll: Scroll::default(), ascii: options.ascii, guard, clock, gap };
    let print = shell.run().await?;
    let last = shell.painter.last().cloned();
    drop(shell);
    if let Some(buffer) = last.filter(|_| print) {
        use std::io::Write as _;
        io::stdout().write_all(lines(&buffer).as_bytes())?;
    }
    Ok(())
}

/// Waits for the first ssh, which may ask for a password, while the terminal is still free.
async fn first_ssh(link: &mut Link, model: &mut Model) -> Result<(), TuiError> {
    while let Some(event) = link.events.recv().await {
        let failed = match &event {
            LinkEvent::State(
                LinkState::Backoff { why, .. } | LinkState::Incompatible(why) | LinkState::Denied(why),
            ) => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = failed {
            return Err(TuiError::NotReached(why));
        }
        let welcome = matches!(event, LinkEvent::Welcome { .. });
        update(model, Msg::Link(event));
        if welcome {
            break;
        }
    }
    Ok(())
}

struct Shell {
    model: Model,
    link: Link,
    painter: Painter<std::fs::File>,
    scroll: Scroll,
    ascii: bool,
    guard: Guard,
    clock: Clock,
    gap: Duration,
}

/// Whether to go on.
enum Next {
    On,
    Quit { print: bool },
}

impl Shell {
    async fn run(&mut self) -> Result<bool, TuiError> {
        let mut keys = EventStream::new();
        let mut term = signal(SignalKind::terminate())?;
        let mut hup = signal(SignalKind::hangup())?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut drawn_at = Instant::now();
        let mut dirty = true;
        // The first frame, and the answer to the first key after a pause, do not wait.
        let mut at_once = true;
        loop {
            if dirty && (at_once || drawn_at.elapsed() >= self.gap) {
                self.draw()?;
                drawn_at = Instant::now();
                dirty = false;
                at_once = false;
            }
            let msg = tokio::select! {
                event = keys.next() => match event {
                    Some(Ok(event)) => {
                        let msg = match event {
                            Event::Key(key) => Key::of(&key).map(Msg::Key),
                            Event::Paste(text) => Some(Msg::Paste(text)),
                            Event::Resize(columns, rows) => {
                                // Two changes may be told as one, and what the terminal kept of the screen in between
                                // is its own affair: all of it is painted anew.
                                self.painter.forget();
                                Some(Msg::Resize(columns, rows))
                            }
                            _ => None,
                        };
                        at_once = msg.is_some() && drawn_at.elapsed() >= self.gap / 4;
                        msg
                    }
                    // The terminal is gone.
                    Some(Err(_)) | None => return Ok(false),
                },
                Some(event) = self.link.events.recv() => Some(Msg::Link(event)),
                _ = second.tick() => {
                    if !is_there() {
                        return Ok(false);
                    }
                    dirty = true;
                    // A change of size is told by a signal, and one that came before anybody listened is lost.
                    let (columns, rows) = size()?;
                    ((columns, rows) != self.model.size).then_some(Msg::Resize(columns, rows))
                }
                _ = term.recv() => return Ok(false),
                _ = hup.recv() => return Ok(false),
                () = tokio::time::sleep_until(drawn_at + self.gap), if dirty => None,
            };
            let mut effects = update(&mut self.model, Msg::Time(self.clock.now()));
            if let Some(msg) = msg {
                dirty = true;
                effects.extend(update(&mut self.model, msg));
            }
            for effect in effects {
                match self.carry_out(effect, &mut keys)? {
                    Next::On => {}
                    Next::Quit { print } => return Ok(print),
                }
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let (columns, rows) = self.model.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        let look = Look::new(self.model.theme, self.ascii);
        views::draw(&self.model, &look, &mut self.scroll, &mut buffer);
        self.painter.paint(buffer)
    }

    fn carry_out(&mut self, effect: Effect, keys: &mut EventStream) -> io::Result<Next> {
        let command = match effect {
            Effect::Follow(topic) => LinkCommand::Follow(topic),
            Effect::Leave(topic) => LinkCommand::Leave(topic),
            Effect::RetryNow => LinkCommand::RetryNow,
            Effect::Call { tag, request, act } => {
                let act = act.map(|draft| Act {
                    key: act_key(),
                    reason: draft.reason,
                    seen: draft.seen,
                    preview: draft.preview,
                });
                LinkCommand::Call { tag, request, act }
            }
            Effect::Copy(text) => {
                self.painter.copy(&text, std::env::var_os("TMUX").is_some())?;
                return Ok(Next::On);
            }
            Effect::Repaint => {
                self.painter.forget();
                return Ok(Next::On);
            }
            Effect::Suspend => {
                // Its thread reads keys; while the shell has the terminal, they are the shell's.
                *keys = EventStream::new();
                self.guard.suspend()?;
                self.model.size = size()?;
                self.painter.forget();
                return Ok(Next::On);
            }
            Effect::Quit { print } => return Ok(Next::Quit { print }),
        };
        if let Err(tokio::sync::mpsc::error::TrySendError::Full(LinkCommand::Call { tag, .. })) =
            self.link.commands.try_send(command)
        {
            let full = crate::session::CallError::Lost("too much waits for it, nothing was sent".to_owned());
            update(&mut self.model, Msg::Link(LinkEvent::Answer { tag, result: Err(full) }));
        }
        Ok(Next::On)
    }
}

/// A screen as plain lines, without what stands empty at their ends.
pub fn lines(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut x = buffer.area.left();
        while let Some(cell) = buffer.cell((x, y)).filter(|_| x < buffer.area.right()) {
            line.push_str(cell.symbol());
            x += u16::try_from(crate::text::width(cell.symbol()).max(1)).unwrap_or(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
