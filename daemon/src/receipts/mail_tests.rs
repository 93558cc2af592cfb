//! Every sample of a mail, what others make of theirs, and what is no report at all.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn sample(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/receipts/payloads/smtp"));
    std::fs::read(folder.join(name)).unwrap()
}

fn one(mail: &[u8]) -> MailReport {
    let [report] = read_mail(mail).unwrap().try_into().unwrap();
    report
}

/// A bounce whose one recipient has these fields.
fn bounced(fields: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example\nMessage-ID: <dsn-9@mx.example>\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n--b\n\nIt bounced.\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n{fields}\n\n\
         --b\nContent-Type: message/rfc822\n\nMessage-ID: <m7.00@ada.example>\nX-Usher-Message: m7\n\
         To: Zoe <zoe@guest.example>\nSubject: Hi\n\nDear Zoe\n--b--\n"
    )
}

#[test]
fn every_sample_is_of_the_kind_that_it_says() {
    let samples = [
        ("dsn_failed_5.1.1.eml", Kind::HardBounce, "5.1.1"),
        ("dsn_failed_5.2.2.eml", Kind::SoftBounce, "5.2.2"),
        ("dsn_delayed_4.4.1.eml", Kind::Delayed, "4.4.1"),
        ("dsn_delivered_2.0.0.eml", Kind::Delivered, "2.0.0"),
        ("dsn_relayed_2.0.0.eml", Kind::Sent, "2.0.0"),
        ("arf_complaint.eml", Kind::Complaint, "abuse"),
    ];
    let mut events = std::collections::BTreeSet::new();
    for (name, kind, code) in samples {
        let report = one(&sample(name));
        assert_eq!((report.kind, report.code.as_str()), (kind, code), "{name}");
        assert_eq!(report.addresses, ["user@example.net"], "{name}");
        assert!(report.names.contains(&"m-123@example.com".to_owned()), "{name}: {report:?}");
        assert_eq!(report, one(&sample(name)), "the same when it comes again");
        events.insert(report.event);
    }
    assert_eq!(events.len(), samples.len());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/receipts/payloads/smtp");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), samples.len(), "each file is a sample");
    let report = one(&sample("dsn_failed_5.1.1.eml"));
    assert_eq!(report.names, ["m-123", "m-123@example.com"], "the envelope's id goes before the letter's");
    assert_eq!(report.at, Some(Timestamp(1_795_327_200_000)));
    assert!(report.detail.starts_with("550 5.1.1 <user@example.net>"), "{report:?}");
}

#[test]
fn what_came_back_says_which_letter_it_was() {
    let report = one(bounced("Final-Recipient: rfc822; zoe@guest.example\nAction: failed\nStatus: 5.1.1").as_bytes());
    assert_eq!((report.names, report.message.as_deref()), (vec!["m7.00@ada.example".to_owned()], Some("m7")));
    // Headers alone; and nothing but the headers of the report itself.
    let headers = bounced("Final-Recipient: rfc822;zoe@guest.example\nAction: failed\nStatus: 5.1.1");
    let headers = headers.replace("message/rfc822", "text/rfc822-headers");
    assert_eq!(one(headers.as_bytes()).names, ["m7.00@ada.example"]);
    let encoded = headers
        .replace("text/rfc822-headers", "text/rfc822-headers\nContent-Transfer-Encoding: quoted-printable")
        .replace("<m7.00@", "<m7.00=40");
    assert_eq!(one(encoded.as_bytes()).names, ["m7.00@ada.example"]);
    let bare = headers.replace("Message-ID: <m7.00@ada.example>\n", "").replace(
        "Message-ID: <dsn-9@mx.example>",
        "In-Reply-To: <m8.00@ada.example>\nReferences: <old@ada.example>\n <m9.00@ada.example>",
    );
    assert_eq!(one(bare.as_bytes()).names, ["m8.00@ada.example", "m9.00@ada.example", "old@ada.example"]);
}

#[test]
fn an_action_and_its_status_say_whose_fault_it_is() {
    let of = |fields: &str| one(bounced(&format!("Final-Recipient: rfc822;z@g.example\n{fields}")).as_bytes());
    let table = [
        ("Action: failed\nStatus: 5.1.2", Kind::HardBounce),
        ("Action: failed\nStatus: 5.1.10", Kind::HardBounce),
        ("ACTION: Failed (no such user)\nSTATUS: 5.1.1 (bad address)", Kind::Foreign),
        ("action: FAILED\nstatus: 5.1.1 (bad address)", Kind::HardBounce),
        ("Action: failed\nStatus: 5.7.1", Kind::Failed),
        ("Action: failed\nStatus: 5.3.4", Kind::Failed),
        ("Action: failed\nStatus: 5.2.1", Kind::SoftBounce),
        ("Action: failed\nStatus: 4.4.7", Kind::SoftBounce),
        ("Action: failed\nStatus: 5.0.0", Kind::SoftBounce),
        ("Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 5.1.1 unknown", Kind::HardBounce),
        (
            "Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp;\n 550-5.1.1 The account\n does not exist",
            Kind::HardBounce,
        ),
        ("Action: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 550 5.1.1 no", Kind::SoftBounce),
        ("Action: failed", Kind::SoftBounce),
        ("Action: failed\nDiagnostic-Code: smtp; 550 5.1.1 no", Kind::HardBounce),
        ("Action: expanded\nStatus: 2.0.0", Kind::Sent),
        ("Action: vanished\nStatus: 5.1.1", Kind::Foreign),
        ("Status: 5.1.1", Kind::Foreign),
    ];
    for (fields, kind) in table {
        assert_eq!(of(fields).kind, kind, "{fields}");
    }
}

#[test]
fn a_report_on_many_is_many_reports_up_to_a_bound() {
    let group = |n: usize| format!("Final-Recipient: rfc822;guest-{n}@g.example\nAction: failed\nStatus: 5.1.1\n");
    let two = read_mail(bounced(&[group(1), group(2)].join("\n")).as_bytes()).unwrap();
    assert_eq!(two.len(), 2);
    assert_ne!(two[0].event, two[1].event);
    assert_eq!(two[1].addresses, ["guest-2@g.example", "zoe@guest.example"]);
    let many: Vec<String> = (0..900).map(group).collect();
    assert_eq!(read_mail(bounced(&many.join("\n")).as_bytes()).unwrap().len(), RECIPIENTS);
}

#[test]
fn complaints_are_told_from_their_opposite() {
    let of = |kind: &str| {
        let mail = String::from_utf8(sample("arf_complaint.eml")).unwrap();
        one(mail.replace("Feedback-Type: abuse", &format!("Feedback-Type: {kind}")).as_bytes()).kind
    };
    for kind in ["abuse", "Fraud", "virus", "other"] {
        assert_eq!(of(kind), Kind::Complaint, "{kind}");
    }
    assert_eq!(of("opt-out"), Kind::OptOut);
    assert_eq!((of("not-spam"), of("auth-failure"), of("praise")), (Kind::Nothing, Kind::Nothing, Kind::Foreign));
}

#[test]
fn what_is_no_report_is_none_and_what_is_no_mail_is_an_error() {
    let person = "From: zoe@guest.example\nSubject: Re: Hi\nIn-Reply-To: <m7.00@ada.example>\n\nWe are coming!\n";
    let absent = person.replace("\n\n", "\nAuto-Submitted: auto-replied\n\n");
    let lists = "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nread\n--b\n\
                 Content-Type: message/disposition-notification\n\nDisposition: automatic-action\n--b--\n";
    let cut_off = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b";
    // A report that somebody forwards is somebody's mail.
    let forwarded = format!(
        "Content-Type: multipart/mixed; boundary=f\n\n--f\nContent-Type: message/rfc822\n\n{}--f--\n",
        bounced("Final-Recipient: rfc822;z@g.example\nAction: failed\nStatus: 5.1.1")
    );
    for mail in [person, &absent, lists, cut_off, &forwarded] {
        assert_eq!(read_mail(mail.as_bytes()), Ok(Vec::new()), "{mail}");
    }
    assert_eq!(read_mail(b""), Err(MailFault::NoMail));
    assert_eq!(read_mail(&vec![b'x'; MAIL_LIMIT + 1]), Err(MailFault::TooLarge));
}

#[test]
fn it_travels_as_json_and_comes_back_as_it_was() {
    let report = one(&sample("arf_complaint.eml"));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<MailReport>(&text).unwrap(), report);
    assert!(serde_json::from_str::<MailReport>(&text.replace("complaint", "compliment")).is_err());
}

proptest! {
    #[test]
    fn a_sample_with_something_wrong_in_it_still_comes_to_an_end(
        which in 0..6_usize, at in 0..2_000_usize, with in proptest::collection::vec(any::<u8>(), 0..40), cut in 0..40_usize,
    ) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/receipts/payloads/smtp");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let mut mail = std::fs::read(&files[which]).unwrap();
        let at = at.min(mail.len());
        mail.splice(at..(at + cut).min(mail.len()), with);
        for report in read_mail(&mail).unwrap_or_default() {
            prop_assert!(report.names.len() <= NAMES && report.addresses.len() <= 2 * RECIPIENTS);
        }
    }
}
