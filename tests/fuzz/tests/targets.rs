//! The driver runs every target, and says what it did.

use std::process::Command;

fn usher_fuzz(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_usher-fuzz")).args(args).output().expect("the driver starts");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_target_takes_some_thousand_inputs() {
    let (passed, said) = usher_fuzz(&["--for", "1", "--seed", "9"]);
    assert!(passed, "{said}");
    for target in usher_fuzz::TARGETS {
        let line = said.lines().find(|line| line.starts_with(target.name)).unwrap_or_else(|| panic!("{said}"));
        let inputs: u64 = line.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(inputs > 100, "{line}");
    }
}

#[test]
fn a_target_that_is_not_there_is_named_with_those_that_are() {
    let (passed, said) = usher_fuzz(&["webhok"]);
    assert!(
        !passed && said.contains("no target `webhok`: there are webhook, mail, log_frame, console_frame"),
        "{said}"
    );
}
