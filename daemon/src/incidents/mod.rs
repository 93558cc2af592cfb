//! Alerts and incidents: what is worth waking somebody for, who is told, by which way, and until when.
//!
//! Decisions (rules, states, grouping, silences, windows, rota, escalation, what goes out by which channel when) are pure: the
//! time is handed in. One task puts readings in and carries out what comes out.

pub mod canary;
pub mod channel;
pub mod cover;
pub mod engine;
pub mod heartbeat;
pub mod notice;
pub mod notifier;
pub mod outbox;
pub mod render;
pub mod watch;

pub use canary::Daily;
pub use channel::{AlertLine, Line};
pub use notice::{Notice, NoticeAlert, Reason};
pub use notifier::Notifier;
pub use watch::{Watch, WatchError};
