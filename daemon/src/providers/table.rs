//! The table of known answers (`tests/data/errors.json`), for the adapters' tests: each adapter must cover all its rows.
