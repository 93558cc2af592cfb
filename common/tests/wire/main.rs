//! Defends the wire: every message keeps its bytes in both codecs, and a change of shape changes the name of the types.
//!
//! `goldens/` holds one file a message and codec. To add a message, add a sample and run with `USHER_BLESS=1`; files of
//! a released version are never edited, since consoles that speak them are out there.

mod samples;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_common::protocol::{
    CLIENT_FRAME_CAP, ClientFrame, Codec, Reply, Request, SERVER_FRAME_CAP, ServerFrame, TYPES, decode, encode,
};

fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// Compares with the stored file, or writes it when blessing. Returns what is wrong.
fn compare(name: &str, extension: &str, now: &str) -> Option<String> {
    let path = goldens().join(format!("{name}.{extension}"));
    let stored = std::fs::read_to_string(&path).ok();
    if stored.as_deref() == Some(now) {
        return None;
    }
    if std::env::var_os("USHER_BLESS").is_some() {
        std::fs::create_dir_all(goldens()).expect("goldens folder");
        std::fs::write(&path, now).expect("golden file");
        return None;
    }
    Some(match stored {
        None => format!("{name}.{extension} is missing: run once with USHER_BLESS=1"),
        Some(_) => format!("{name}.{extension} differs from what is encoded now"),
    })
}

fn check<T>(frames: &[(String, T)], cap: usize, hash: &mut blake3::Hasher) -> Vec<String>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut wrong = Vec::new();
    for (name, frame) in frames {
        let binary = encode(Codec::Bincode, frame);
        hash.update(name.as_bytes());
        hash.update(&binary);
        let hex = hex::encode(&binary).as_bytes().chunks(100).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
            text
        });
        let json = format!("{}\n", serde_json::to_string_pretty(frame).expect("sample encodes"));
        wrong.extend(compare(name, "hex", &hex));
        wrong.extend(compare(name, "json", &json));
        for codec in [Codec::Bincode, Codec::Json] {
            let back: T = decode(codec, &encode(codec, frame), cap).unwrap_or_else(|e| panic!("{name} {codec:?}: {e}"));
            assert_eq!(&back, frame, "{name} in {codec:?}");
        }
    }
    wrong
}

#[test]
fn every_message_keeps_its_bytes_and_the_types_their_name() {
    let mut hash = blake3::Hasher::new();
    let mut wrong = check(&samples::client(), CLIENT_FRAME_CAP, &mut hash);
    wrong.extend(check(&samples::server(), SERVER_FRAME_CAP, &mut hash));
    let types = &hash.finalize().to_hex()[..16];
    if types != TYPES {
        wrong.push(format!("the shape of the messages changed: set TYPES in protocol/codec.rs to \"{types}\""));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_golden_is_left_without_a_message() {
    let names: Vec<String> =
        samples::client().into_iter().map(|s| s.0).chain(samples::server().into_iter().map(|s| s.0)).collect();
    for file in std::fs::read_dir(goldens()).expect("goldens folder") {
        let path = file.expect("entry").path();
        let stem = path.file_stem().expect("name").to_string_lossy().into_owned();
        assert!(names.contains(&stem), "{} belongs to no sample", path.display());
    }
}

/// The name of a variant as serde writes it.
fn variant<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value).expect("encodes") {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(map) => map.into_iter().next().expect("one tag").0,
        other => panic!("not an enum: {other}"),
    }
}

/// The variants of an enum as its own source declares them: one indented word that a brace, bracket or comma follows.
fn declared(source: &str, name: &str) -> Vec<String> {
    let start = source.find(&format!("pub enum {name} {{")).expect("the enum is declared there");
    let body = &source[start..];
    let body = &body[..body.find("\n}").expect("its end")];
    body.lines()
        .skip(1)
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect()
}

#[test]
fn every_variant_has_a_sample() {
    let requests: Vec<String> = samples::requests().iter().map(variant).collect();
    for name in declared(include_str!("../../src/protocol/request.rs"), "Request") {
        assert!(requests.contains(&name), "Request::{name} has no sample");
    }
    let replies: Vec<String> = samples::replies().iter().map(variant).collect();
    for name in declared(include_str!("../../src/protocol/reply.rs"), "Reply") {
        assert!(replies.contains(&name), "Reply::{name} has no sample");
    }
    let frames = include_str!("../../src/protocol/frame.rs");
    let client: Vec<String> = samples::client().iter().map(|s| variant(&s.1)).collect();
    for name in declared(frames, "ClientFrame") {
        assert!(client.contains(&name), "ClientFrame::{name} has no sample");
    }
    let server: Vec<String> = samples::server().iter().map(|s| variant(&s.1)).collect();
    for name in declared(frames, "ServerFrame") {
        assert!(server.contains(&name), "ServerFrame::{name} has no sample");
    }
}

#[test]
fn json_from_a_newer_program_is_understood_as_far_as_it_goes() {
    let newer = r#"{"Heartbeat":{"seq":1,"now":5,"mood":"fine"}}"#;
    let frame: ServerFrame =
        decode(Codec::Json, newer.as_bytes(), SERVER_FRAME_CAP).expect("unknown fields are ignored");
    assert!(matches!(frame, ServerFrame::Heartbeat { seq: 1, .. }));

    let state: usher_common::model::CampaignState = serde_json::from_str("\"hovering\"").expect("unknown words too");
    assert_eq!(state, usher_common::model::CampaignState::Unknown);

    let request: Request = serde_json::from_str("\"Teleport\"").expect("unknown requests too");
    assert_eq!(request, Request::Unknown);
    let reply: Reply = serde_json::from_str("\"Teleported\"").expect("unknown replies too");
    assert_eq!(reply, Reply::Unknown);
}

#[test]
fn arbitrary_bytes_are_refused_without_a_panic() {
    // A fixed xorshift stream: the same bytes on every run.
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..(round % 64) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(seed as u8);
        }
        let _ = decode::<ClientFrame>(Codec::Bincode, &bytes, CLIENT_FRAME_CAP);
        let _ = decode::<ServerFrame>(Codec::Bincode, &bytes, SERVER_FRAME_CAP);
    }
}
