//! The simulator as a client sees it: over its sockets, with plain clients.
//! Promises: each test has a simulator of its own, on free ports, and stops it.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod faults;
mod program;
mod relay;
mod resend;
mod samples;
mod schema;
mod sendgrid;
mod slack;
mod smtp;
mod specs;
mod support;
mod twilio;
mod whatsapp;
