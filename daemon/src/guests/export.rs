//! Guest lists written as CSV that a spreadsheet opens safely and an import reads back without loss.
//!
//! RFC 4180: UTF-8, comma, CR LF, double quotes where needed. A cell that a spreadsheet could take for a formula begins
//! with an apostrophe, which the import takes off again; `+` with digits alone, a telephone number, is left as it is.

use std::fmt::Write as _;

use usher_common::model::{Channel, Guest, Provenance};

use super::fold::guard;

/// Columns before the list's own, in the order of the guide.
const BEFORE: [&str; 12] = [
    "email",
    "name",
    "phone",
    "dietary_requirements",
    "plus_one",
    "rsvp_status",
    "groups",
    "locale",
    "country",
    "timezone",
    "preferred",
    "slack",
];
/// Columns after them.
const AFTER: [&str; 2] = ["source", "vouched_by"];

/// Writes a list, row by row, each a whole line.
#[derive(Debug, Clone)]
pub struct Exporter {
    custom: Vec<String>,
}

impl Exporter {
    /// A writer for lists with these columns of their own, in this order. A guest's other columns are not written, so
    /// hand in every key that occurs.
    pub fn new(custom: Vec<String>) -> Self {
        Self { custom }
    }

    /// The header row.
    pub fn header(&self) -> String {
        let titles = BEFORE.into_iter().chain(self.custom.iter().map(String::as_str)).chain(AFTER);
        line(titles.map(str::to_owned))
    }

    /// One guest's row.
    pub fn row(&self, guest: &Guest, provenance: &Provenance) -> String {
        let preferred: Vec<&str> = guest.preferred.iter().copied().map(Channel::as_str).collect();
        let fixed = [
            guest.email.clone().unwrap_or_default(),
            guest.name.clone(),
            guest.phone.clone().unwrap_or_default(),
            guest.dietary_requirements.clone(),
            if guest.plus_one { "yes" } else { "no" }.to_owned(),
            guest.rsvp.to_string(),
            guest.groups.join(";"),
            guest.locale.clone(),
            guest.country.clone(),
            guest.timezone.clone(),
            preferred.join(";"),
            guest.slack.clone().unwrap_or_default(),
        ];
        let custom = self.custom.iter().map(|key| guest.custom.get(key).cloned().unwrap_or_default());
        line(fixed.into_iter().chain(custom).chain([provenance.source.clone(), provenance.vouched_by.clone()]))
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut out = String::new();
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.push(',');
        }
        let cell = guard(&cell);
        // Semicolons and tabs are quoted, too, for programs that split by them.
        if cell.contains([',', ';', '\t', '"', '\r', '\n']) || cell.starts_with(' ') || cell.ends_with(' ') {
            write!(out, "\"{}\"", cell.replace('"', "\"\"")).expect("a String takes all that is written to it");
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Defaults, ImportOptions, Importer, Outcome, apply_all};
    use super::*;
    use usher_common::model::GuestChange;

    #[test]
    fn formulas_come_out_as_text_and_telephones_as_numbers() {
        let guest = Guest {
            email: Some("dave@example.com".into()),
            name: "=HYPERLINK(\"http://evil.example\";\"click\")".into(),
            phone: Some("+447400123456".into()),
            groups: vec!["family".into(), "work".into()],
            ..Guest::default()
        };
        let row = Exporter::new(vec!["table".into()]).row(&guest, &Provenance::default());
        assert_eq!(
            row,
            "dave@example.com,\"'=HYPERLINK(\"\"http://evil.example\"\";\"\"click\"\")\",+447400123456,,no,pending,\
             \"family;work\",,,,,,,,\r\n"
        );
    }

    /// Cells with what makes trouble: formulas, quotes, separators, line ends, control characters, other scripts.
    fn cell() -> impl Strategy<Value = String> {
        prop_oneof!["['=+@\\-\" ,;|\t\r\n\u{0}a-c\u{202e}é]{0,8}", ".{0,12}"]
    }

    proptest! {
        #[test]
        fn what_is_exported_is_imported_the_same(
            name in cell(), diet in cell(), groups in cell(), custom in cell(), source in cell(),
            local in "[a-zé='+-]{1,5}", plus in "yes|no", rsvp in "confirmed|pending|declined",
            phone in prop_oneof![Just(""), Just("+12125550101"), Just("+442071234567")],
            preferred in "(sms|email|slack|whatsapp)?(;sms)?", country in "(|GB|US)", zone in "(|UTC|Europe/Paris)",
        ) {
            let fields = [
                ("name", name.as_str()), ("diet", &diet), ("groups", &groups), ("extra", &custom),
                ("plus_one", &plus), ("rsvp", &rsvp), ("phone", phone), ("preferred", &preferred),
                ("country", &country), ("timezone", &zone), ("locale", "en-GB"), ("slack", "U012AB3CD"),
            ];
            let changes: Vec<GuestChange> =
                fields.iter().map(|(field, value)| GuestChange { field: (*field).into(), value: (*value).into() }).collect();
            let start = Guest {
                email_needs_utf8: !local.is_ascii(),
                email: Some(format!("{local}@example.com")),
                ..Guest::default()
            };
            let (guest, _) = apply_all(&start, &changes, &["extra".into()], &Defaults::default()).unwrap();
            let provenance = Provenance { source: super::super::fold::clean(&source), ..Provenance::default() };

            let exporter = Exporter::new(vec!["extra".into()]);
            let mut importer = Importer::new(ImportOptions::default());
            let mut parsed = importer.push(exporter.header().as_bytes()).unwrap();
            parsed.extend(importer.push(exporter.row(&guest, &provenance).as_bytes()).unwrap());
            parsed.extend(importer.finish().unwrap().0);

            prop_assert_eq!(parsed.len(), 1);
            prop_assert_eq!(&parsed[0].outcome, &Outcome::Guest(Box::new(guest)), "{:?}", parsed[0].problems);
            prop_assert_eq!(&parsed[0].source, &provenance.source);
        }
    }
}
