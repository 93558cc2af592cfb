//! Changes to a guest by hand, checked like the cells of an import.
//!
//! An edit says no where an import would leave something out: the person who types is there to correct it.

use std::collections::BTreeSet;

use thiserror::Error;
use usher_common::model::{Guest, GuestChange};

use super::cell::{self, Defaults};
use super::header::Field;
use super::nearest;

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// No such field, and the guest has no column of its own with that name.
    #[error("a guest has no field \"{field}\"{}; it has {known}", hint(.nearest.as_deref()))]
    UnknownField {
        /// As it was asked for.
        field: String,
        /// The known field that is nearest to it.
        nearest: Option<String>,
        /// All fields, comma-separated.
        known: String,
    },
    /// A field that is made from others or set by the daemon.
    #[error("{field} cannot be changed by itself: {instead}")]
    NotEditable {
        /// The field.
        field: String,
        /// What to change in its place.
        instead: &'static str,
    },
    /// The value does not fit.
    #[error("cannot set {field}: {why}")]
    Value {
        /// The field.
        field: String,
        /// What is wrong and what to write.
        why: String,
    },
    /// Nothing would be left to write to.
    #[error("this would leave the guest without any address: set an e-mail address, a phone or a Slack id first")]
    NoAddress,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |field| format!(" (did you mean {field}?)"))
}

/// The guest after one change. `known_custom` are the columns that the list has beside the fields of every guest. The
/// text beside the guest, where there is one, tells of something that was taken with a grain of salt.
pub fn apply(
    guest: &Guest,
    change: &GuestChange,
    known_custom: &[String],
    defaults: &Defaults,
) -> Result<(Guest, Option<String>), EditError> {
    let (guest, mut notes) = apply_all(guest, std::slice::from_ref(change), known_custom, defaults)?;
    Ok((guest, notes.pop()))
}

/// The guest after several changes, made together: all of them or, on an error, none. A new country counts for a new
/// telephone number, whichever comes first.
pub fn apply_all(
    guest: &Guest,
    changes: &[GuestChange],
    known_custom: &[String],
    defaults: &Defaults,
) -> Result<(Guest, Vec<String>), EditError> {
    let mut fields = changes
        .iter()
        .map(|change| Ok((field_of(&change.field, guest, known_custom)?, change)))
        .collect::<Result<Vec<_>, EditError>>()?;
    fields.sort_by_key(|(field, _)| *field != Field::Country);
    let mut edited = guest.clone();
    let mut notes = Vec::new();
    for (field, change) in fields {
        if let Some(finding) = cell::set(&mut edited, &field, &change.value, defaults) {
            if !finding.kept || finding.kind == usher_common::model::ProblemKind::Preference {
                return Err(EditError::Value { field: field.name().to_owned(), why: finding.message });
            }
            notes.push(finding.message);
        }
    }
    if edited.email.is_none() && edited.phone.is_none() && edited.slack.is_none() {
        return Err(EditError::NoAddress);
    }
    Ok((edited, notes))
}

fn field_of(name: &str, guest: &Guest, known_custom: &[String]) -> Result<Field, EditError> {
    match Field::of(name) {
        field @ (Field::FirstName | Field::LastName) => {
            Err(EditError::NotEditable { field: field.name().to_owned(), instead: "set name, the whole name" })
        }
        field @ (Field::Source | Field::VouchedBy) => Err(EditError::NotEditable {
            field: field.name().to_owned(),
            instead: "import the list again under the right source",
        }),
        Field::Custom(key) if known_custom.contains(&key) || guest.custom.contains_key(&key) => Ok(Field::Custom(key)),
        Field::Custom(_) => {
            let custom: BTreeSet<&str> = known_custom.iter().chain(guest.custom.keys()).map(String::as_str).collect();
            let own: Vec<&str> = editable_names().collect();
            let known: Vec<&str> = own.into_iter().chain(custom).collect();
            Err(EditError::UnknownField {
                field: name.to_owned(),
                nearest: nearest(name, known.iter().copied()).map(str::to_owned),
                known: known.join(", "),
            })
        }
        field => Ok(field),
    }
}

fn editable_names() -> impl Iterator<Item = &'static str> {
    Field::known_names().filter(|name| !matches!(*name, "first_name" | "last_name" | "source" | "vouched_by"))
}

#[cfg(test)]
mod tests {
    use usher_common::model::Rsvp;

    use super::*;

    fn guest() -> Guest {
        Guest { name: "Anna".into(), email: Some("anna@example.com".into()), ..Guest::default() }
    }

    fn change(field: &str, value: &str) -> GuestChange {
        GuestChange { field: field.into(), value: value.into() }
    }

    fn edit(changes: &[GuestChange]) -> Result<(Guest, Vec<String>), EditError> {
        apply_all(&guest(), changes, &["table_no".to_owned()], &Defaults::default())
    }

    #[test]
    fn fields_go_by_any_name_that_an_import_understands() {
        let changes =
            [change("RSVP", "yes"), change("Mobile", "07400 123456"), change("Land", "gb"), change("Table no", "7")];
        let (edited, notes) = edit(&changes).unwrap();
        assert_eq!((edited.rsvp, edited.phone.as_deref()), (Rsvp::Confirmed, Some("+447400123456")));
        assert_eq!((edited.custom["table_no"].as_str(), notes.len()), ("7", 0));
    }

    #[test]
    fn what_an_import_would_leave_out_an_edit_refuses() {
        for (field, value) in [("email", "anna@"), ("rsvp", "maybe"), ("preferred", "sms, pigeon"), ("country", "Mars")]
        {
            assert!(matches!(edit(&[change(field, value)]), Err(EditError::Value { .. })), "{field}");
        }
    }

    #[test]
    fn a_fixed_line_is_taken_with_a_note() {
        let (edited, note) = apply(&guest(), &change("phone", "+442071234567"), &[], &Defaults::default()).unwrap();
        assert!(!edited.phone_takes_sms && note.is_some());
    }

    #[test]
    fn an_unknown_field_names_its_nearest() {
        let error = edit(&[change("emial", "x")]).unwrap_err();
        assert!(error.to_string().contains("did you mean email?"), "{error}");
        assert!(edit(&[change("tabel_no", "x")]).unwrap_err().to_string().contains("did you mean table_no?"));
        let mut there = guest();
        there.custom.insert("table_no".to_owned(), "7".to_owned());
        let error = apply(&there, &change("chair", "x"), &["table_no".to_owned()], &Defaults::default()).unwrap_err();
        assert_eq!(error.to_string().matches("table_no").count(), 1, "{error}");
        assert!(matches!(edit(&[change("first name", "x")]), Err(EditError::NotEditable { .. })));
    }

    #[test]
    fn the_last_address_cannot_be_cleared_but_can_be_exchanged() {
        assert_eq!(edit(&[change("email", "")]), Err(EditError::NoAddress));
        let (edited, _) = edit(&[change("email", ""), change("phone", "+12125550101")]).unwrap();
        assert_eq!((edited.email, edited.phone.as_deref()), (None, Some("+12125550101")));
    }
}
