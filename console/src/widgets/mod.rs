//! What views are made of: a pen that cannot draw outside of its place, tables whose columns give way, sparklines with
//! their numbers, badges.

mod pen;
mod spark;
mod state;
mod table;

pub use pen::{Pen, Span};
pub use spark::{bar, spark};
pub use state::{Badge, alert, breaker, campaign_state, health, level, level_word, message_state, outcome, sla};
pub use table::{Cell, Column, Scroll, Table, Width};
