//! The language that the daemon and its consoles both speak.
//!
//! Two rooms: [`model`], what an operator sees, and [`protocol`], how it travels. Nothing here opens a socket, reads a
//! file or looks at a clock; whoever needs the time is handed a [`model::Timestamp`].

pub mod model;
pub mod protocol;
