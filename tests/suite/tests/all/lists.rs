//! The guest list that the large tests send to.

/// Ten thousand invented guests, as a CSV file.
pub(crate) fn ten_thousand() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/guests/guests-10000.csv")).unwrap()
}

/// Guests on that list.
pub(crate) const GUESTS: u64 = 10_000;
/// Guests on that list with an e-mail address, counted by hand (`cut` and `wc`), not by the daemon.
pub(crate) const MAILS: u64 = 9_593;
/// Guests on that list with a telephone number, counted the same way.
pub(crate) const TEXTS: u64 = 8_611;
