//! The whole thing in one command: simulator, daemon, console.
