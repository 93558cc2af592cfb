//! The record's promises, one by one.

use super::*;
use std::sync::Arc;

fn arrival<'a>(provider: Provider, message: &'a str, recipient: &'a str) -> Arrival<'a> {
    Arrival { provider, message, recipient, idempotency_key: "", message_id: "", body_hash: 7, joined: false }
}

fn record() -> Record {
    Record::new(42, 2, Instant::now())
}

fn put(record: &Record, arrivals: &[Arrival<'_>]) -> u64 {
    record.append(arrivals, &Bytes::from_static(b"body"), Instant::now())
}

#[test]
fn counts_and_finds_by_message_and_by_the_providers_id() {
    let record = record();
    put(&record, &[arrival(Provider::Twilio, "m1", "+441")]);
    put(
        &record,
        &[
            arrival(Provider::Resend, "m2", "a@b.c"),
            Arrival { joined: true, ..arrival(Provider::Resend, "m2", "d@e.f") },
        ],
    );
    assert_eq!((record.count(Provider::Twilio), record.count(Provider::Resend), record.total()), (1, 2, 3));
    let both = record.by_message("m2");
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].provider_id, both[1].provider_id);
    assert_eq!(record.find(Provider::Resend, &both[0].provider_id).unwrap(), both[0]);
    assert_eq!(record.find(Provider::Twilio, &both[0].provider_id), None);
    assert_eq!(record.siblings(2).len(), 2);
    assert_eq!(record.recipients(), ["+441", "a@b.c", "d@e.f"]);
}

#[test]
fn the_same_message_to_the_same_person_is_a_duplicate_across_providers() {
    let record = record();
    put(&record, &[arrival(Provider::Resend, "m", "a@b.c")]);
    put(&record, &[arrival(Provider::Resend, "m", "other@b.c")]);
    put(&record, &[arrival(Provider::Resend, "", "a@b.c")]);
    assert_eq!(record.duplicates(), []);
    put(&record, &[arrival(Provider::Smtp, "m", "a@b.c")]);
    let expected = Duplicate { message: "m".into(), recipient: "a@b.c".into(), sequences: vec![0, 3] };
    assert_eq!(record.duplicates(), [expected]);
    assert_eq!(record.unattributed(), 1);
}

#[test]
fn only_the_latest_bodies_are_kept_and_shared_by_recipients() {
    let record = record();
    put(&record, &[arrival(Provider::Resend, "1", "a@b.c")]);
    put(
        &record,
        &[arrival(Provider::Resend, "2", "a@b.c"), Arrival { joined: true, ..arrival(Provider::Resend, "2", "z@b.c") }],
    );
    put(&record, &[arrival(Provider::Resend, "3", "a@b.c")]);
    assert_eq!(record.body(0), None);
    assert!([1, 2, 3].into_iter().all(|sequence| record.body(sequence).is_some()));
    assert_eq!(record.body(4), None);
}

#[test]
fn ids_stay_unique_over_a_reset() {
    let record = record();
    put(&record, &[arrival(Provider::Twilio, "m", "+441")]);
    let before = record.entries(0, 10);
    record.reset();
    assert_eq!(record.total(), 0);
    assert_eq!(record.find(Provider::Twilio, &before[0].provider_id), None);
    put(&record, &[arrival(Provider::Twilio, "m", "+441")]);
    let after = record.entries(0, 10);
    assert_eq!(after[0].sequence, 1);
    assert_ne!(after[0].provider_id, before[0].provider_id);
    assert_eq!(record.latest_sms(Some("+441"), 10), after);
}

#[test]
fn sms_of_a_number_come_newest_first() {
    let record = record();
    for (message, to) in [("1", "+441"), ("2", "+442"), ("3", "+441")] {
        put(&record, &[arrival(Provider::Twilio, message, to)]);
    }
    let of = |to| record.latest_sms(to, 10).into_iter().filter_map(|e| e.message).collect::<Vec<_>>();
    assert_eq!(of(Some("+441")), ["3", "1"]);
    assert_eq!(of(None), ["3", "2", "1"]);
    assert_eq!(of(Some("+443")), Vec::<String>::new());
}

#[tokio::test]
async fn waiting_and_events_need_no_polling() {
    let record = Arc::new(record());
    let mut events = record.subscribe();
    let waiting = tokio::spawn({
        let record = Arc::clone(&record);
        async move { record.wait_for_count(2).await }
    });
    put(&record, &[arrival(Provider::Resend, "1", "a@b.c")]);
    put(&record, &[arrival(Provider::Resend, "2", "a@b.c")]);
    waiting.await.unwrap();
    assert_eq!(events.recv().await.unwrap().message.as_deref(), Some("1"));
    assert_eq!(events.recv().await.unwrap().message.as_deref(), Some("2"));
}

#[test]
fn an_entry_takes_no_more_than_150_bytes() {
    let record = Record::new(1, 0, Instant::now());
    let n = 300_000_u64;
    for i in 0..n {
        let (message, to) = (format!("01JD{i:022}"), format!("+4479{i:08}"));
        put(&record, &[arrival(Provider::Twilio, &message, &to)]);
        let (to, key) = (format!("guest.number.{i}@example.com"), format!("01JD{i:022}/1"));
        put(&record, &[Arrival { idempotency_key: &key, ..arrival(Provider::Resend, &message, &to) }]);
    }
    let each = record.memory_bytes() as u64 / (2 * n);
    assert!(each <= 150, "{each} bytes an entry");
}
