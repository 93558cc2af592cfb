//! The rules of the house: what a reader may rely on in every file, and a compiler does not look for.
//!
//! A rule with exceptions lists them here, each with its reason; an exception that nothing needs any more fails too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What may stand at the top of the project, and whether it has to.
const TOP: [(&str, bool); 20] = [
    (".cargo", true),
    (".ci", true),
    (".git", false),
    (".gitignore", true),
    ("ARCHITECTURE.md", true),
    ("Cargo.lock", true),
    ("Cargo.toml", true),
    ("LICENSE", true),
    ("README.md", true),
    ("SECURITY.md", false),
    ("clippy.toml", true),
    ("common", true),
    ("console", true),
    ("daemon", true),
    ("deny.toml", true),
    ("docs", true),
    ("packaging", true),
    ("rustfmt.toml", true),
    ("target", false),
    ("tests", true),
];

/// Tests that may sleep, with the reason: a path from the top.
const SLEEPERS: [(&str, &str); 6] = [
    ("console/tests/progress.rs", "what a terminal shows is looked at until it shows what it should"),
    (
        "daemon/src/providers/smtp/tests.rs",
        "a server that says nothing has to say nothing for longer than the client waits",
    ),
    ("daemon/src/store/engine/tests/mod.rs", "a background thread's state is looked at until it is reached"),
    ("tests/suite/tests/all/big_lists.rs", "the daemon is asked until its answer says so"),
    ("tests/suite/tests/all/steering.rs", "the daemon is asked until nothing is under way"),
    ("tests/suite/tests/all/main_job.rs", "a pause promises something about a second, so a second has to pass"),
];

/// Lines beyond which a file is no longer a room.
const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file of the project: its path from the top, with slashes, and its text.
struct Page {
    path: String,
    text: String,
}

impl Page {
    /// The lines with their numbers, without those that are only a comment.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()))
            .filter(|(_, line)| !line.starts_with("//"))
    }

    /// The lines that are tests: all of a test's file, and what follows `#[cfg(test)]` elsewhere.
    fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let marker = self.text.lines().position(|line| line.trim() == "#[cfg(test)]");
        // The first `tests/` holds programs too: a simulator may be slow on purpose.
        let inside =
            self.path.starts_with("tests/suite/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let first = if inside { 0 } else { marker.unwrap_or(usize::MAX) };
        self.code().filter(move |(number, _)| *number > first)
    }
}

/// Every file of the project that is text and has one of these endings; all text when there are none.
fn pages(endings: &[&str]) -> Vec<Page> {
    let root = root();
    let mut pages = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            let kind = entry.file_type().unwrap();
            // Beside a repository's own checkout, `.git` is a file with a path in it.
            if name == "target" || name == ".git" {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && (endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending))) {
                // What is not text (an image, a recorded frame) has no lines to judge.
                if let Ok(text) = fs::read_to_string(&path) {
                    pages.push(Page { path: name, text });
                }
            }
        }
    }
    pages.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(!pages.is_empty(), "no file ends in {endings:?}: is {} the project?", root.display());
    pages
}

#[track_caller]
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = pages(&[".rs"]).into_iter().filter(|page| !page.text.starts_with("//! "));
    let silent: Vec<String> = silent.map(|page| page.path).collect();
    none("a file begins with `//!` and says what it is for", &silent);
}

#[test]
fn no_file_outgrows_its_room() {
    let long: Vec<String> = pages(&[".rs"])
        .into_iter()
        .map(|page| (page.text.lines().count(), page.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none("a file has at most 600 lines; split it by what its parts are for", &long);
}

#[test]
fn only_the_command_line_prints() {
    // Written apart, so that this file does not find itself.
    let words = [concat!("print", "ln!"), concat!("dbg", "!("), concat!(" print", "!(")];
    let mut broken = Vec::new();
    for page in pages(&[".rs"]) {
        let speaks = page.path.starts_with("console/src/cli")
            || page.path.ends_with("/main.rs")
            || page.path.starts_with("tests/")
            || page.path.contains("/tests/")
            || page.path.ends_with("/tests.rs")
            || page.path.contains("/examples/");
        if !speaks {
            let found = page.code().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
            broken.extend(found.map(|(number, line)| format!("{}:{number}: {line}", page.path)));
        }
    }
    none("only the command line prints; everything else logs with tracing", &broken);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("TO", "DO")];
    let mut broken = Vec::new();
    for page in pages(&[".rs"]) {
        let found = page.text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        broken.extend(found.map(|(at, line)| format!("{}:{}: {}", page.path, at + 1, line.trim())));
    }
    none("what is there works; what is not there is not there", &broken);
}

#[test]
fn tests_wait_for_states_and_not_for_seconds() {
    let word = concat!("sle", "ep(");
    let mut broken = Vec::new();
    let mut used = BTreeSet::new();
    for page in pages(&[".rs"]) {
        for (number, line) in page.tests().filter(|(_, line)| line.contains(word)) {
            match SLEEPERS.iter().find(|(path, _)| *path == page.path) {
                Some((path, _)) => {
                    used.insert(*path);
                }
                None => broken.push(format!("{}:{number}: {line}", page.path)),
            }
        }
    }
    none("a test waits for a state; a sleep needs its reason in SLEEPERS", &broken);
    let stale = SLEEPERS.iter().filter(|(path, _)| !used.contains(path));
    none("SLEEPERS names files that do not sleep", &stale.map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>());
}

#[test]
fn the_top_holds_what_it_should_and_nothing_else() {
    let found: BTreeSet<String> =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let known: BTreeSet<&str> = TOP.iter().map(|(name, _)| *name).collect();
    let strange: Vec<String> = found.iter().filter(|name| !known.contains(name.as_str())).cloned().collect();
    none("something at the top that nobody expects there", &strange);
    let missing = TOP.iter().filter(|(name, needed)| *needed && !found.contains(*name));
    none("missing at the top", &missing.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp/", "slot"),
        concat!("arti", "factory"),
        concat!("goproxy", "."),
        concat!("..", "/shared"),
    ];
    let mut broken = Vec::new();
    for page in pages(&[]) {
        let found = page.text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        broken.extend(found.map(|(at, line)| format!("{}:{}: {}", page.path, at + 1, line.trim())));
    }
    none("a path or host that exists on one machine only", &broken);
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert!(sources.len() > 100, "only {} sources: has the format of Cargo.lock changed?", sources.len());
    let public = "\"registry+https://github.com/rust-lang/crates.io-index\"";
    let others: Vec<String> = sources.into_iter().filter(|source| *source != public).map(str::to_owned).collect();
    none("a dependency from elsewhere", &others);
}

/// The text between a mark and the quote that ends it, wherever the mark stands in a line.
fn quoted<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(mark)?;
    rest.split_once('"').map(|(name, _)| name)
}

#[test]
fn every_failpoint_has_its_place_and_every_place_its_name() {
    let pages = pages(&[".rs"]);
    let table = pages.iter().find(|page| page.path == "daemon/src/failpoint.rs").expect("the table of failpoints");
    let names: Vec<&str> =
        table.code().filter(|(_, line)| line.starts_with("(\"")).filter_map(|(_, line)| quoted(line, "(\"")).collect();
    assert!(names.len() > 30, "only {} failpoints: has the table changed its shape?", names.len());
    let mut places = Vec::new();
    for page in pages.iter().filter(|page| page.path.starts_with("daemon/src/") && page.path != table.path) {
        for (_, line) in page.code() {
            let calls = ["hit", "hit_after", "waiting"].map(|call| format!("failpoint::{call}(\""));
            places.extend(calls.iter().filter_map(|call| quoted(line, call)));
        }
    }
    let (table, code): (BTreeSet<&str>, BTreeSet<&str>) =
        (names.iter().copied().collect(), places.iter().copied().collect());
    let owned = |names: Vec<&&str>| names.into_iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    none("a failpoint that no code passes", &owned(table.difference(&code).collect()));
    none("a failpoint that is not in the table, so that nobody dies there", &owned(code.difference(&table).collect()));
    assert_eq!(
        (names.len(), places.len()),
        (table.len(), code.len()),
        "a failpoint is one place, and stands in the table once"
    );
}

/// The names below `[workspace.dependencies]` that are not members.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect()
}

#[test]
fn every_dependency_has_its_reason() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = map.split("\n## ").find(|section| section.starts_with("Dependencies\n"));
    let section = section.expect("ARCHITECTURE.md has a section Dependencies");
    let rows: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (names, reason) = line.split_once(" | ")?;
            (reason.trim_end_matches(" |").trim().len() > 10).then_some(names)
        })
        .flat_map(|names| names.split(", ").map(|name| name.trim_matches('`').to_owned()))
        .collect();
    let dependencies = dependencies();
    assert!(dependencies.len() > 30, "only {} dependencies: has Cargo.toml changed its shape?", dependencies.len());
    let unexplained: Vec<String> = dependencies.difference(&rows).cloned().collect();
    none("a dependency without a line in ARCHITECTURE.md that says why", &unexplained);
    let gone: Vec<String> = rows.difference(&dependencies).cloned().collect();
    none("ARCHITECTURE.md explains what is no dependency", &gone);
}

#[test]
fn every_member_takes_its_versions_and_lints_from_the_workspace() {
    let mut broken = Vec::new();
    // What cargo-fuzz builds is a workspace of its own, with instruments of its own.
    for page in pages(&["/Cargo.toml"]).into_iter().filter(|page| !page.path.starts_with("tests/fuzz/coverage/")) {
        if !page.text.contains("[lints]\nworkspace = true") {
            broken.push(format!("{}: no lints of the workspace", page.path));
        }
        let mut section = "";
        for (number, line) in page.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.starts_with('[') {
                section = line;
            } else if section.ends_with("dependencies]") && line.contains('=') && !line.contains("workspace = true") {
                broken.push(format!("{}:{number}: {line}", page.path));
            }
        }
    }
    none("a version stands once, in the workspace's Cargo.toml", &broken);
}
