//! `usher`: the terminal console and the command line of the Usher daemon.
//!
//! [`session`] is the line to a daemon, and a library for any program that wants one. [`app`] is what the console knows
//! and decides, without I/O; [`views`] draws it; [`tui`] and [`plain`] put it before people. [`cli`] is every act and
//! every question as a subcommand.

pub mod app;
pub mod cli;
pub mod clock;
pub mod figures;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod keys;
pub mod plain;
pub mod session;
pub mod term;
pub mod text;
pub mod theme;
pub mod tui;
pub mod views;
pub mod widgets;
