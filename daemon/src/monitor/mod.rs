//! What the daemon knows of its own work: the live board that consoles follow, figures over the last minutes, and
//! metrics for those who scrape.

mod board;
mod metrics;
mod reading;
mod window;

pub use board::Board;
pub use metrics::{Metrics, OutcomeLabels};
pub use reading::Reading;
pub use window::{Figures, Window};
