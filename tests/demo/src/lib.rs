//! A stage for the whole thing: a simulator, a real daemon on a configuration of its own, and a temporary folder that
//! holds both. The demo plays on it, the tests that cross crates and the benchmarks do too.

mod desk;
mod list;
mod programs;
mod raw;
mod reports;
mod stage;

pub use desk::{Desk, PATIENCE, Upload, VOUCHER};
pub use list::guest_list;
pub use programs::{Programs, ProgramsError};
pub use raw::{DeafClient, RawSession, raw_session, raw_session_offering, text};
pub use reports::{Reports, SVIX, resend_bounce, resend_event};
pub use stage::{ORGANISATION, Plan, Stage, TOKEN, free_port};
