//! The law, asked last: pure rules over a message, its organisation, its guest and the time.
//!
//! [`gate`] is called once for every message at the moment it leaves, whatever was checked before. A refusal names the
//! rule, the clause and the evidence. [`unsubscribe`] makes and reads the tokens behind one-click opt-out.

mod gate;
pub mod unsubscribe;

pub use gate::{Letter, Refusal, Sender, gate};
