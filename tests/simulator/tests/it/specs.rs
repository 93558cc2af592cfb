//! Against the vendors specifications.
