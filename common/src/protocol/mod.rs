//! How the daemon and its consoles speak.
