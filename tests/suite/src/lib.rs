//! The tests that cross crates; they stand in `tests/`.
