//! Deciding what is sent next, by whom, and when: the pure half of dispatch.
//!
//! Nothing here reads a clock, draws its own luck, or does I/O. The time is handed in as a [`Duration`] since the
//! daemon's start, which only grows; chance is handed in as [`Dice`]. The same calls give the same decisions.
//!
//! [`Duration`]: std::time::Duration

pub mod backoff;
pub mod breaker;
pub mod dice;
pub mod fair;
pub mod pace;
pub mod route;

pub use backoff::{Backoff, RetryBudget};
pub use breaker::{Breaker, Permit};
pub use dice::Dice;
pub use fair::{Fair, LaneId};
pub use pace::Pace;
pub use route::{Candidate, Hold, Route, Tried, Why, route};
