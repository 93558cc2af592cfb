//! The table of known answers (`tests/data/errors.json`), for the adapters' tests: each adapter must cover all its rows.

use serde_json::Value;
use usher_common::model::{AttemptNo, MessageId, Timestamp};

use super::{Answer, Outgoing, Sender};

/// One known report on a message that had been accepted.
#[derive(Debug)]
pub(super) struct Report {
    /// Who reports.
    pub(super) provider: String,
    /// The event, status or code in the provider's words.
    pub(super) code: String,
    /// The state that the receipt moves to.
    pub(super) receipt_state: String,
}

/// One known answer to a send.
#[derive(Debug)]
pub(super) struct Row {
    /// HTTP status or SMTP reply, or a network fault in words.
    pub(super) http: String,
    /// The provider's code; alternatives are separated by `|` or `,`.
    pub(super) code: String,
    class: String,
    scope: Option<String>,
}

impl Row {
    /// Holds an answer against the row.
    pub(super) fn expect(&self, answer: &Answer) {
        assert_eq!(answer.class.as_str(), self.class, "class of {self:?}: {answer:?}");
        assert_eq!(answer.scope.map(|scope| scope.as_str().to_owned()), self.scope, "scope of {self:?}: {answer:?}");
    }

    /// The statuses that the row names.
    pub(super) fn statuses(&self) -> Vec<u16> {
        self.http.split('|').map(|status| status.trim().parse().unwrap()).collect()
    }
}

/// The whole table: 197 rows.
fn table() -> Vec<Value> {
    let table: Value = serde_json::from_str(include_str!("../../../tests/data/errors.json")).unwrap();
    table["errors"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The rows of `provider` that answer a send.
pub(super) fn rows(provider: &str) -> Vec<Row> {
    let rows: Vec<Row> = table()
        .iter()
        .filter(|row| row["provider"] == provider && matches!(row["where"].as_str(), Some("sync" | "both")))
        .map(|row| Row {
            http: text(&row["http"]),
            code: text(&row["code"]),
            class: text(&row["usher_class"]),
            scope: row["scope"].as_str().map(str::to_owned),
        })
        .collect();
    assert!(rows.len() > 15, "the table of {provider} was not found");
    rows
}

/// The rows of all providers that come by callback.
pub(super) fn reports() -> Vec<Report> {
    let rows = table();
    let reports = rows.iter().filter(|row| matches!(row["where"].as_str(), Some("callback" | "both")));
    let report = |row: &Value| Report {
        provider: text(&row["provider"]),
        code: text(&row["code"]),
        receipt_state: text(&row["receipt_state"]),
    };
    reports.map(report).collect()
}

#[test]
fn every_row_is_an_answer_or_a_report() {
    let answers: usize =
        ["twilio", "sendgrid", "resend", "slack", "whatsapp", "smtp"].map(|name| rows(name).len()).iter().sum();
    let reports_alone = table().iter().filter(|row| row["where"] == "callback").count();
    assert_eq!((answers + reports_alone, table().len()), (197, 197));
}

/// A message like any other.
pub(super) fn message(to: &str) -> Outgoing {
    Outgoing {
        message: MessageId(4711),
        attempt: AttemptNo(1),
        to: to.to_owned(),
        to_name: "Zoë, \"the\" Guest".to_owned(),
        from: Sender { address: "anna@wedding.example".to_owned(), name: "Anna & Ben".to_owned() },
        reply_to: Some("couple@wedding.example".to_owned()),
        subject: "Save the date – 12 June".to_owned(),
        text: "Dear Zoë,\n.we marry.\n".to_owned(),
        html: "<p>Dear Zoë,</p><p>we marry.</p>".to_owned(),
        headers: vec![
            ("List-Unsubscribe".to_owned(), format!("<https://u.example/o/{}>", "t".repeat(120))),
            ("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()),
        ],
        template: None,
        rfc_message_id: "<m4711.k1@wedding.example>".to_owned(),
        date: Timestamp(1_795_341_600_000),
    }
}
