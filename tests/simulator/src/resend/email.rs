//! One e-mail as Resend reads it: fields, types, limits.
//! Promises: well-formed requests are read in one pass; only a wrong one is read again, to name the field at fault.

use super::refusal::Refusal;
use crate::address::{domain, mailbox};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// Recipients in `to`; the vendor gives no other number for `cc` and `bcc`, so it holds for each.
const RECIPIENTS: usize = 50;
/// Characters of a tag's name or value.
const TAG: usize = 256;
/// Bytes of all attachments together, decoded.
const ATTACHMENTS: usize = 40 << 20;

/// Where an e-mail stands: a batch allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Single,
    Batch,
}

/// The request body. Fields that it does not know are passed over, as the vendor does.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Email<'a> {
    from: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    to: Addresses<'a>,
    #[serde(borrow, default)]
    cc: Addresses<'a>,
    #[serde(borrow, default)]
    bcc: Addresses<'a>,
    #[serde(borrow, default)]
    reply_to: Addresses<'a>,
    subject: Option<Cow<'a, str>>,
    html: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    template: Option<Template>,
    headers: Option<Map<String, Value>>,
    attachments: Option<Vec<Attachment>>,
    scheduled_at: Option<String>,
    #[serde(borrow)]
    tags: Option<Vec<Tag<'a>>>,
    #[serde(rename = "topic_id")]
    _topic_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Template {
    id: Option<String>,
    #[serde(default)]
    variables: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    content: Option<String>,
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// One address or a list of them.
#[derive(Debug, Default)]
struct Addresses<'a> {
    given: bool,
    all: Vec<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Addresses<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Option<Vec<Cow<'de, str>>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Some(vec![Cow::Borrowed(text)]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Some(vec![Cow::Owned(text.to_owned())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(Cow::Owned(text));
                }
                Ok(Some(all))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
        }
        let all = input.deserialize_any(Reader)?;
        Ok(Self { given: all.is_some(), all: all.unwrap_or_default() })
    }
}

impl Addresses<'_> {
    fn check(&self, field: &str) -> Result<(), Refusal> {
        if self.given && !(1..=RECIPIENTS).contains(&self.all.len()) {
            return Err(Refusal::invalid(field, &format!("It must hold 1 to {RECIPIENTS} addresses.")));
        }
        let bad = self.all.iter().any(|address| mailbox(address).is_none());
        if bad { Err(Refusal::bad_address(field)) } else { Ok(()) }
    }
}

impl<'a> Email<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|_| match serde_json::from_slice(body) {
            Ok(value) => explain(&value),
            Err(_) => not_json(),
        })
    }

    /// The items of a batch, each read or refused by itself.
    pub(crate) fn parse_batch(body: &'a [u8]) -> Result<Vec<Result<Self, Refusal>>, Refusal> {
        if let Ok(all) = serde_json::from_slice::<Vec<Self>>(body) {
            return Ok(all.into_iter().map(Ok).collect());
        }
        let value: Value = serde_json::from_slice(body).map_err(|_| not_json())?;
        let Value::Array(items) = value else {
            return Err(Refusal::new(422, "validation_error", "The request body must be an array of emails."));
        };
        let read = |item: Value| {
            let refusal = explain(&item);
            Email::deserialize(item).map_err(|_| refusal)
        };
        Ok(items.into_iter().map(read).collect())
    }

    /// Every rule of a single e-mail, in the order of its fields.
    pub(crate) fn check(&self, setting: Setting, verified: &[String]) -> Result<(), Refusal> {
        let from = self.from.as_deref().ok_or_else(|| Refusal::missing("from"))?;
        if !self.to.given {
            return Err(Refusal::missing("to"));
        }
        if self.subject.is_none() {
            return Err(Refusal::missing("subject"));
        }
        self.check_content()?;
        let sender = mailbox(from).ok_or_else(Refusal::bad_sender)?;
        let sender_domain = domain(sender);
        if !verified.is_empty() && !verified.iter().any(|known| known.eq_ignore_ascii_case(sender_domain)) {
            let text = format!(
                "The {sender_domain} domain is not verified. Please, add and verify your domain on https://resend.com/domains"
            );
            return Err(Refusal::new(403, "validation_error", text));
        }
        self.to.check("to")?;
        self.cc.check("cc")?;
        self.bcc.check("bcc")?;
        self.reply_to.check("reply_to")?;
        if self.headers.as_ref().is_some_and(|headers| !headers.values().all(Value::is_string)) {
            return Err(Refusal::invalid("headers", "Every value must be a string."));
        }
        self.check_tags()?;
        if setting == Setting::Batch {
            for (field, given) in
                [("attachments", self.attachments.is_some()), ("scheduled_at", self.scheduled_at.is_some())]
            {
                if given {
                    return Err(Refusal::invalid(field, "It is not supported in batches."));
                }
            }
        }
        if self.scheduled_at.as_ref().is_some_and(|at| at.parse::<jiff::Timestamp>().is_err()) {
            return Err(Refusal::invalid("scheduled_at", "The date must be in ISO 8601 format."));
        }
        self.check_attachments()
    }

    fn check_content(&self) -> Result<(), Refusal> {
        let inline = self.html.is_some() || self.text.is_some();
        match &self.template {
            None if inline => Ok(()),
            None => Err(Refusal::new(422, "missing_required_field", "Missing `html` or `text` field.")),
            Some(_) if inline => Err(Refusal::invalid("template", "It excludes `html` and `text`.")),
            Some(template) if template.id.is_none() => Err(Refusal::missing("template.id")),
            Some(template) if template.variables.values().all(|v| v.is_string() || v.is_number()) => Ok(()),
            Some(_) => Err(Refusal::invalid("template.variables", "Every value must be a string or a number.")),
        }
    }

    fn check_tags(&self) -> Result<(), Refusal> {
        let fine = |text: &str| {
            (1..=TAG).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let tags = self.tags.as_deref().unwrap_or_default();
        if tags.iter().all(|tag| fine(&tag.name) && fine(&tag.value)) {
            return Ok(());
        }
        let rule =
            "Tags should only contain ASCII letters, numbers, underscores, or dashes, and at most 256 characters.";
        Err(Refusal::invalid("tags", rule))
    }

    fn check_attachments(&self) -> Result<(), Refusal> {
        let invalid = |text: &'static str| Refusal::new(422, "invalid_attachment", text);
        let mut total = 0;
        for attachment in self.attachments.iter().flatten() {
            match (&attachment.content, &attachment.path) {
                (Some(content), _) => {
                    total += STANDARD.decode(content).map_err(|_| invalid("Attachment content must be base64."))?.len();
                }
                (None, Some(_)) => {}
                (None, None) => return Err(invalid("Attachment must have either a `content` or `path`.")),
            }
        }
        if total > ATTACHMENTS { Err(invalid("Attachments must not exceed 40MB in total.")) } else { Ok(()) }
    }

    /// Everybody who gets it: to, cc, bcc, as bare addresses.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = &str> {
        let all = self.to.all.iter().chain(&self.cc.all).chain(&self.bcc.all);
        all.map(|address| mailbox(address).unwrap_or(address))
    }

    /// The value of a tag.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_deref()?.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_ref())
    }
}

fn not_json() -> Refusal {
    Refusal::new(400, "validation_error", "The request body is not valid JSON.")
}

/// Says which field has the wrong type.
fn explain(value: &Value) -> Refusal {
    let Value::Object(fields) = value else {
        return Refusal::new(422, "validation_error", "The request body must be an object.");
    };
    let text = |value: &Value| value.is_string();
    let texts = |value: &Value| text(value) || value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let (right, wanted) = match name.as_str() {
            "from" | "subject" | "html" | "text" | "scheduled_at" | "topic_id" => (text(value), "`string`"),
            "to" | "cc" | "bcc" | "reply_to" => (texts(value), "`string` or an array of `string`"),
            "headers" => (value.is_object(), "`object`"),
            "template" => (value.get("id").is_some_and(text), "`object` with an `id`"),
            "tags" => {
                let tag =
                    |tag: &Value| ["name", "value"].iter().all(|part| tag.get(part).is_some_and(Value::is_string));
                (value.as_array().is_some_and(|all| all.iter().all(tag)), "array of `name` and `value`")
            }
            "attachments" => {
                (value.as_array().is_some_and(|all| all.iter().all(Value::is_object)), "array of `object`")
            }
            _ => continue,
        };
        if !right {
            return Refusal::invalid(name, &format!("The `{name}` must be a {wanted}."));
        }
    }
    Refusal::usual("validation_error")
}
