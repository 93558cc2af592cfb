//! What the daemon knows of its own work: the live board that consoles follow, figures over the last minutes, and
//! metrics for those who scrape.

mod board;
mod follow;
mod levels;
mod metrics;
mod reading;
pub mod sla;
mod sla_rows;
pub mod sli;
mod window;

pub use board::Board;
pub use follow::Follower;
pub use levels::{Levels, Memory, Object};
pub use metrics::{Metrics, OutcomeLabels};
pub use reading::{Reading, Readings, of_levels};
pub use sla_rows::sla_rows;
pub use window::{Figures, Window};
