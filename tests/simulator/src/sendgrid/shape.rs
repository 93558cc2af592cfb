//! The types of a mail's fields, to say which one is wrong.
//! Promises: pure; what conforms can be read, and each flaw names its field by its path.

use super::refusal::Flaw;
use serde_json::Value;

/// What a field may hold. Fields that are not listed are passed over, as the vendor does.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Whole,
    Flag,
    /// An object with these fields among others.
    Map(&'static [(&'static str, Kind)]),
    /// An object whose values are all like this.
    Each(&'static Kind),
    /// An array of these.
    List(&'static Kind),
}

use Kind::{Each, Flag, List, Map, Text, Whole};

const PERSON: Kind = Map(&[("email", Text), ("name", Text)]);
const PEOPLE: Kind = List(&PERSON);
const TEXTS: Kind = Each(&Text);
const ANYTHING: Kind = Map(&[]);
const SWITCH: Kind = Map(&[("enable", Flag)]);

const PERSONALIZATION: Kind = Map(&[
    ("from", PERSON),
    ("to", PEOPLE),
    ("cc", PEOPLE),
    ("bcc", PEOPLE),
    ("subject", Text),
    ("headers", TEXTS),
    ("substitutions", TEXTS),
    ("dynamic_template_data", ANYTHING),
    ("custom_args", TEXTS),
    ("send_at", Whole),
]);

const ATTACHMENT: Kind =
    Map(&[("content", Text), ("type", Text), ("filename", Text), ("disposition", Text), ("content_id", Text)]);

const SETTINGS: Kind = Map(&[
    ("bypass_list_management", SWITCH),
    ("bypass_spam_management", SWITCH),
    ("bypass_bounce_management", SWITCH),
    ("bypass_unsubscribe_management", SWITCH),
    ("footer", SWITCH),
    ("sandbox_mode", SWITCH),
]);

const TRACKING: Kind = Map(&[
    ("click_tracking", Map(&[("enable", Flag), ("enable_text", Flag)])),
    ("open_tracking", SWITCH),
    ("subscription_tracking", SWITCH),
    ("ganalytics", SWITCH),
]);

const MAIL: Kind = Map(&[
    ("personalizations", List(&PERSONALIZATION)),
    ("from", PERSON),
    ("reply_to", PERSON),
    ("reply_to_list", PEOPLE),
    ("subject", Text),
    ("content", List(&Map(&[("type", Text), ("value", Text)]))),
    ("attachments", List(&ATTACHMENT)),
    ("template_id", Text),
    ("headers", TEXTS),
    ("categories", List(&Text)),
    ("custom_args", TEXTS),
    ("send_at", Whole),
    ("batch_id", Text),
    ("asm", Map(&[("group_id", Whole), ("groups_to_display", List(&Whole))])),
    ("ip_pool_name", Text),
    ("mail_settings", SETTINGS),
    ("tracking_settings", TRACKING),
]);

/// Every field of a mail whose type is wrong.
pub(super) fn flaws(mail: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    look(MAIL, mail, "", &mut flaws);
    flaws
}

fn look(kind: Kind, value: &Value, path: &str, flaws: &mut Vec<Flaw>) {
    let below =
        |name: &dyn std::fmt::Display| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match (kind, value) {
        (Map(fields), Value::Object(given)) => {
            for (name, kind) in fields {
                // A field that is null counts as absent.
                if let Some(value) = given.get(*name).filter(|value| !value.is_null()) {
                    look(*kind, value, &below(name), flaws);
                }
            }
        }
        (Each(kind), Value::Object(given)) => {
            given.iter().for_each(|(name, value)| look(*kind, value, &below(name), flaws));
        }
        (List(kind), Value::Array(given)) => {
            given.iter().enumerate().for_each(|(index, value)| look(*kind, value, &below(&index), flaws));
        }
        (Text, Value::String(_)) | (Flag, Value::Bool(_)) => {}
        (Whole, value) if value.is_i64() => {}
        (kind, value) => {
            let wanted = match kind {
                Text => "string",
                Whole => "integer",
                Flag => "boolean",
                Map(_) | Each(_) => "object",
                List(_) => "array",
            };
            let given = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            flaws.push(Flaw {
                field: (!path.is_empty()).then(|| path.to_owned()),
                message: format!("Invalid type. Expected: {wanted}, given: {given}.").into(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_wrong_type_is_named_by_its_path() {
        let mail = json!({
            "personalizations": [{ "to": [{ "email": "a@b.c" }] }, { "to": [{ "email": 7 }], "custom_args": { "x": 1 } }],
            "subject": null, "content": {}, "unheard_of": 3, "send_at": 1.5,
            "mail_settings": { "sandbox_mode": { "enable": "yes" } },
        });
        let named: Vec<_> = flaws(&mail).into_iter().filter_map(|flaw| flaw.field).collect();
        let expected = [
            "personalizations.1.to.0.email",
            "personalizations.1.custom_args.x",
            "content",
            "send_at",
            "mail_settings.sandbox_mode.enable",
        ];
        assert_eq!(named, expected);
        let whole = flaws(&json!([]));
        assert_eq!(
            (whole[0].field.as_deref(), whole[0].message.as_ref()),
            (None, "Invalid type. Expected: object, given: array.")
        );
    }
}
