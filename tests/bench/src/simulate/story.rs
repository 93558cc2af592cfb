//! What happened, event by event: a number that tells two stories apart, and the end of it in words.

use std::collections::VecDeque;
use std::fmt;

/// Prints a line. Nobody is left to tell when standard output is closed.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}
pub(super) use say;

/// Events that are kept in words.
const KEPT: usize = 60;

/// A story.
pub(super) struct Story {
    number: u64,
    events: u64,
    last: VecDeque<String>,
    /// Whether every event is printed when it happens.
    aloud: bool,
}

impl Story {
    pub(super) fn new(aloud: bool) -> Self {
        Self { number: 0xcbf2_9ce4_8422_2325, events: 0, last: VecDeque::with_capacity(KEPT), aloud }
    }

    /// Something happened.
    pub(super) fn tell(&mut self, at: i64, what: fmt::Arguments<'_>) {
        let line = format!("{:>9}.{:03} {what}", at / 1000, at % 1000);
        // FNV-1a: the same on every machine, and good enough to tell two runs apart.
        for byte in line.bytes() {
            self.number = (self.number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.events += 1;
        if self.aloud {
            say!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The number of the story so far.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How many events there were.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The last events.
    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
