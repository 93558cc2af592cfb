//! What the daemon knows, durably.
//!
//! At the bottom lies the [`engine`]: a commit log, which is what an acknowledgement means, and behind it sled as an
//! index that can be rebuilt. The domain's operations stand on top of it and are all that other rooms see.

pub mod engine;
