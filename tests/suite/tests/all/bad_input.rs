//! What people get wrong, through the real programs: the sentence that they read, and the exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;
use usher_demo::{Plan, Stage, guest_list};

/// Both outputs as one text.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn answered(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
}

async fn usher(stage: &Stage, arguments: &[&str]) -> Output {
    stage.usher().args(arguments).output().await.unwrap()
}

/// Starts a daemon on a changed copy of the stage's configuration; it is expected to end by itself.
async fn daemon(stage: &Stage, change: impl Fn(&str) -> String) -> Output {
    let text = std::fs::read_to_string(stage.configuration()).unwrap();
    let path = stage.folder().join("second.toml");
    std::fs::write(&path, change(&text)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(&stage.programs().usherd);
    command.arg("--config").arg(path).env_clear().kill_on_drop(true);
    let limit = std::time::Duration::from_mins(1);
    tokio::time::timeout(limit, command.output()).await.expect("the daemon refuses to start").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_that_cannot_be_used_name_the_key_and_the_remedy() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let unknown = daemon(&stage, |text| text.replace("[socket]\npath", "[socket]\npaht")).await;
    answered(&unknown, 2, &["second.toml:", "`socket.paht` is not a key", "did you mean", "nothing was started"]);
    let missing = daemon(&stage, |text| text.replace("api_key = \"re_simulator\"\n", "")).await;
    answered(&missing, 2, &["api_key is not set", "RESEND_API_KEY"]);
    let key = stage.folder().join("resend.key");
    std::fs::write(&key, "re_simulator").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!("api_key_file = \"{}\"", key.display());
    let exposed = daemon(&stage, |text| text.replace("api_key = \"re_simulator\"", &line)).await;
    answered(&exposed, 2, &["lets others read a secret", "0644", "chmod"]);
}

fn elsewhere(stage: &Stage, text: &str, folder: &Path, socket: &Path) -> String {
    text.replace(&format!("{}", stage.state().display()), &folder.display().to_string())
        .replace(&format!("{}", stage.socket().display()), &socket.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_is_kept_off_the_folder_and_the_socket_of_the_first() {
    let mut stage = Stage::set(Plan::default()).await.unwrap();
    let own = stage.folder().join("own");
    let same_folder = daemon(&stage, |text| elsewhere(&stage, text, &stage.state(), &own.join("s"))).await;
    answered(&same_folder, 1, &[&stage.pid().unwrap().to_string()]);
    let same_socket = daemon(&stage, |text| elsewhere(&stage, text, &own, &stage.socket())).await;
    answered(&same_socket, 1, &["is in use", "a daemon answers there"]);
    let long = stage.folder().join("x".repeat(120));
    let too_long = daemon(&stage, |text| elsewhere(&stage, text, &own, &long)).await;
    answered(&too_long, 2, &["socket.path", "107", "choose a shorter path"]);
    // A socket that a crash left behind is in nobody's way.
    stage.kill().await.unwrap();
    assert!(stage.socket().exists());
    stage.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_guest_list_are_refused_with_the_reason() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let cases: [(&str, &[u8], &str); 4] = [
        ("empty.csv", b"", "empty"),
        ("binary.csv", b"\x00\x01\x02\x03\xff\xfe\x00\x00\x07", "binary"),
        ("headless.csv", b"ada@example.org,Ada,+447400119469\nben@example.org,Ben,+447400119470\n", "header"),
        ("nowhere.csv", b"name,table\nAda,1\n", "no column holds an address"),
    ];
    for (name, bytes, word) in cases {
        let file = stage.folder().join(name);
        std::fs::write(&file, bytes).unwrap();
        let file = file.display().to_string();
        let output = usher(&stage, &["guests", "import", &file, "--list", "x", "--vouched-by", "Ada"]).await;
        answered(&output, 1, &[word]);
    }
    let lists = usher(&stage, &["guests", "lists"]).await;
    assert_eq!(said(&lists).lines().count(), 1, "no list is left behind: {}", said(&lists));
    // UTF-16 with its mark is what a spreadsheet exports: it is read, and said.
    let utf16: Vec<u8> = "email,name\na@example.org,A\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [vec![0xFF, 0xFE], utf16].concat();
    let file = stage.folder().join("utf16.csv");
    std::fs::write(&file, utf16).unwrap();
    let file = file.display().to_string();
    let output = usher(&stage, &["guests", "import", &file, "--list", "x", "--vouched-by", "Ada"]).await;
    answered(&output, 0, &["1 added", "UTF-16 LE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_segments_and_schedules_that_cannot_work_are_refused() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(5, 9).as_bytes()).await.unwrap();
    let file = stage.folder().join("words.txt");
    for (words, found) in [("Hello {{guest_nmae}}", "guest_nmae"), ("Hello {{guest_name", "{{")] {
        std::fs::write(&file, words).unwrap();
        let path = file.display().to_string();
        let output = usher(&stage, &["template", "save", "mine", "--subject", "Hello", "--text", &path]).await;
        answered(&output, 1, &[found]);
    }
    let create =
        ["campaign", "create", "--organisation", "ada-and-ben", "--channel", "email", "--template", "invitation"];
    let with = |more: &[&'static str]| [&create[..], &["--list", "everyone"], more].concat();
    let typo = usher(&stage, &with(&["--name", "typo", "--segment", "rsvp = confirmed and gruop = family"])).await;
    answered(&typo, 1, &["did you mean group?", "\n  rsvp = confirmed and gruop = family\n                       ^"]);
    let past = usher(&stage, &with(&["--name", "past", "--at", "2020-01-01 10:00 Europe/London"])).await;
    answered(&past, 1, &["schedule: ", "is in the past", "choose a later one"]);
    answered(&with_campaign(&stage, "approve", "past").await, 4, &["no campaign", "past"]);
    let nobody = usher(&stage, &with(&["--name", "nobody", "--segment", "group = nobody"])).await;
    answered(&nobody, 0, &["nobody"]);
    answered(&with_campaign(&stage, "approve", "nobody").await, 1, &["has no recipients"]);
    assert_eq!(stage.simulator.record().total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_nothing_new_in_and_keeps_what_there_is() {
    let mut stage = Stage::set(Plan::default()).await.unwrap();
    let desk = stage.desk().await.unwrap();
    desk.import("everyone", guest_list(5, 9).as_bytes()).await.unwrap();
    stage.stop().await.unwrap();
    // As much is to stay free as no disk has: the same as a disk that is full, without filling one.
    let text = std::fs::read_to_string(stage.configuration()).unwrap();
    std::fs::write(stage.configuration(), format!("{text}\n[store]\nmin_free_mib = 1048576\n")).unwrap();
    stage.start().await.unwrap();
    let file = stage.folder().join("more.csv");
    std::fs::write(&file, guest_list(3, 10)).unwrap();
    let path = file.display().to_string();
    let refused = usher(&stage, &["guests", "import", &path, "--list", "more", "--vouched-by", "Ada"]).await;
    answered(&refused, 1, &["nothing new is taken in", "MiB are free on the disk", "make room"]);
    let kept = usher(&stage, &["guests", "list", "everyone"]).await;
    answered(&kept, 0, &["example"]);
    let status = usher(&stage, &["status"]).await;
    answered(&status, 0, &["x DOWN", "nothing new is taken in"]);
}

async fn with_campaign(stage: &Stage, act: &str, name: &str) -> Output {
    usher(stage, &["campaign", act, name, "--yes"]).await
}
