//! What comes in, and what goes out.

use usher_common::protocol::{Request, Topic};

use crate::clock::Now;
use crate::keys::Key;
use crate::session::LinkEvent;

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// Both clocks moved on. Comes before every other message, and by itself once a second.
    Time(Now),
    /// A key.
    Key(Key),
    /// Text that was pasted.
    Paste(String),
    /// The terminal has a new size.
    Resize(u16, u16),
    /// News from the line.
    Link(LinkEvent),
}

/// An act before the shell gives it its key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActDraft {
    /// Why.
    pub reason: String,
    /// The row version that the operator saw.
    pub seen: Option<u64>,
    /// Only say what it would do.
    pub preview: bool,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Follow a topic.
    Follow(Topic),
    /// Follow it no longer.
    Leave(Topic),
    /// Ask or act; the answer comes back with the tag.
    Call {
        /// The tag.
        tag: u64,
        /// What is asked.
        request: Box<Request>,
        /// For acts and their previews.
        act: Option<ActDraft>,
    },
    /// Do not wait for the next try.
    RetryNow,
    /// Put a text on the clipboard of whoever looks at the terminal.
    Copy(String),
    /// Paint everything again.
    Repaint,
    /// Hand the terminal back to the shell for a while.
    Suspend,
    /// Leave.
    Quit {
        /// Print the last screen to the terminal.
        print: bool,
    },
}
