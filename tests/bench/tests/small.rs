//! The benchmark itself, with few of everything: every line is there, with a figure, and nothing came twice.

use std::process::Command;

/// What each line begins with, once the counts before it are left away.
const LINES: [&str; 35] = [
    "SMS, a request each",
    "e-mails in batches",
    "processor time of the daemon, each",
    "letters of a line",
    "letters of 20 KB",
    "SMS, 1000 at once",
    "of these accepted at the first attempt",
    "SMS, 2 consoles, 100 clients, 1 deaf",
    "commits, 1 at once",
    "commits, 16 at once",
    "commits, 256 at once",
    "guests imported, durable",
    "memory while 200 are imported, peak",
    "approved: longest Status",
    "sent, paused, resumed: longest Status",
    "put together: longest Status",
    "start, pause, resume of 200: longest answer",
    "memory with 200 queued",
    "ready after kill -9 with 200 queued",
    "memory after that start",
    "SMS, 2,000 stored before: daemon, each",
    "disk with 2,600 sent, each",
    "sustained for 3 s, last window",
    "refused at 10/s",
    "5xx at 10/s",
    "TLS expired at 10/s",
    "SMS at once, all accepted after",
    "that is",
    "accepted at the first attempt",
    "sustained for 3 s, last third",
    "memory grows meanwhile by",
    "e-mails, 1000 at once, nothing breaks",
    "the provider refuses in the middle",
    "the provider answers 503 in the middle",
    "SMS of an organisation that may begin 200 an hour: begun",
];

#[test]
fn every_line_of_the_table_has_a_figure_and_a_yardstick() {
    let ended = Command::new(env!("CARGO_BIN_EXE_usher-bench")).arg("--small").output().unwrap();
    let table = String::from_utf8_lossy(&ended.stdout);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{table}\n{said}");
    // A name is taken away from one daemon only in a world of its own, which not every machine gives.
    let names = (!table.contains("gives a daemon no names of its own")).then_some("DNS failure at 10/s");
    for what in LINES.into_iter().chain(names) {
        let rest = table.lines().find_map(|line| {
            let (before, rest) = line.split_once(what)?;
            before.chars().all(|letter| letter == ' ' || letter == ',' || letter.is_ascii_digit()).then_some(rest)
        });
        let rest = rest.unwrap_or_else(|| panic!("there is no line on `{what}`:\n{table}"));
        let columns: Vec<&str> = rest.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        assert!(columns.len() >= 2, "`{what}` has no figure or no yardstick:\n{table}");
        assert!(columns[0].starts_with(|letter: char| letter.is_ascii_digit()), "`{what}` has no figure:\n{table}");
        assert!(columns[1].contains(|letter: char| letter.is_ascii_digit()), "`{what}` has no yardstick:\n{table}");
    }
    assert!(!table.contains("ERROR"), "{table}");
}
