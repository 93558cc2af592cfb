//! `usher`, the terminal console and command line.
