//! One message as Slack reads it: from JSON or a form, with its rules.
//! Promises: pure; the first broken rule decides; what a form writes as JSON in a field is read like the field itself.

use super::refusal::Refusal;
use crate::form;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Characters of a text; the rest is cut off.
const TEXT: usize = 40_000;
/// Characters of a text in Markdown; more are refused.
const MARKDOWN: usize = 12_000;
const BLOCKS: usize = 50;
const ATTACHMENTS: usize = 100;
/// Bytes of the metadata, written as JSON.
const METADATA: usize = 8_000;
/// The kinds of blocks that a message may have.
const KINDS: [&str; 12] = [
    "actions",
    "call",
    "context",
    "divider",
    "file",
    "header",
    "image",
    "input",
    "markdown",
    "rich_text",
    "section",
    "video",
];
/// Fields that a form carries as JSON.
const NESTED: [&str; 3] = ["blocks", "attachments", "metadata"];

/// The arguments of a call, and what Slack found odd about them.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) fields: Map<String, Value>,
    /// JSON without a charset: taken, with a warning.
    pub(super) uncharted: bool,
}

impl Arguments {
    /// Reads a body by its content type. An empty one has no arguments, whatever its type.
    pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, Refusal> {
        let kind = content_type.unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            _ if body.is_empty() => Ok(Self { fields: Map::new(), uncharted: false }),
            "application/json" => {
                let uncharted = !kind.to_ascii_lowercase().contains("charset=");
                Ok(Self { fields: object(body)?, uncharted })
            }
            "application/x-www-form-urlencoded" => Ok(Self { fields: from_form(body), uncharted: false }),
            "" => Err(Refusal::word("missing_post_type")),
            _ => Err(Refusal::word("invalid_post_type")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.fields, name)
    }
}

/// What an incoming webhook was sent: JSON whatever it is called, or a form with a `payload`.
pub(super) fn payload(content_type: Option<&str>, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        let payload = form::pairs(body).find(|(name, _)| name == "payload");
        return object(payload.ok_or_else(|| Refusal::word("invalid_form_data"))?.1.as_bytes());
    }
    object(body)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Refusal::word("json_not_object")),
        Err(_) => Err(Refusal::word("invalid_json")),
    }
}

fn from_form(body: &[u8]) -> Map<String, Value> {
    form::pairs(body).map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect()
}

/// A text that is there and not empty.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The content of a message, once it was found right.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Cut to what Slack keeps.
    pub(super) text: String,
    pub(super) blocks: Option<Value>,
    pub(super) attachments: Option<Value>,
    /// `usher_message` in the metadata.
    pub(super) message: Option<String>,
}

impl Content {
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self, Refusal> {
        for name in ["text", "markdown_text", "thread_ts", "username"] {
            if fields.get(name).is_some_and(|value| !value.is_string() && !value.is_null()) {
                let message = format!("failed to match all allowed schemas [json-pointer:/{name}]");
                return Err(Refusal::about("invalid_arguments", &message));
            }
        }
        let [blocks, attachments, metadata] = NESTED.map(|name| nested(fields, name));
        let blocks = check_blocks(blocks.map_err(|()| Refusal::word("invalid_blocks_format"))?)?;
        let attachments = attachments.map_err(|()| Refusal::word("invalid_attachments"))?;
        let attachments = match attachments {
            Some(Value::Array(all)) if all.len() > ATTACHMENTS => return Err(Refusal::word("too_many_attachments")),
            Some(Value::Array(all)) if !all.iter().all(Value::is_object) => {
                return Err(Refusal::word("invalid_attachments"));
            }
            Some(Value::Array(all)) => (!all.is_empty()).then_some(Value::Array(all)),
            Some(_) => return Err(Refusal::word("invalid_attachments")),
            None => None,
        };
        let message = check_metadata(metadata.map_err(|()| Refusal::word("invalid_metadata_format"))?)?;
        let (plain, markdown) = (text(fields, "text"), text(fields, "markdown_text"));
        if markdown.is_some() && (plain.is_some() || blocks.is_some()) {
            return Err(Refusal::word("markdown_text_conflict"));
        }
        if markdown.is_some_and(|text| text.chars().count() > MARKDOWN) {
            return Err(Refusal::word("msg_too_long"));
        }
        let Some(words) = plain.or(markdown).or((blocks.is_some() || attachments.is_some()).then_some("")) else {
            return Err(Refusal::word("no_text"));
        };
        Ok(Self { text: words.chars().take(TEXT).collect(), blocks, attachments, message })
    }
}

/// A field that may be written as itself or as JSON in a text; `Err` when that is no JSON.
fn nested(fields: &Map<String, Value>, name: &str) -> Result<Option<Value>, ()> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(drop),
        Some(value) => Ok(Some(value.clone())),
    }
}

fn check_blocks(blocks: Option<Value>) -> Result<Option<Value>, Refusal> {
    let Some(blocks) = blocks else { return Ok(None) };
    let Value::Array(all) = &blocks else { return Err(Refusal::word("invalid_blocks_format")) };
    if all.len() > BLOCKS {
        return Err(Refusal::about("invalid_blocks", "no more than 50 items allowed [json-pointer:/blocks]"));
    }
    for (index, block) in all.iter().enumerate() {
        let at = |message: &str, field: &str| {
            Refusal::about("invalid_blocks", &format!("{message} [json-pointer:/blocks/{index}{field}]"))
        };
        let kind = block.get("type").and_then(Value::as_str).ok_or_else(|| at("missing required field: type", ""))?;
        if !KINDS.contains(&kind) {
            return Err(at(&format!("unsupported type: {kind}"), "/type"));
        }
        if kind == "section" && block.get("text").or(block.get("fields")).is_none() {
            return Err(at("missing required field: text", ""));
        }
        let words = block.pointer("/text/text").and_then(Value::as_str);
        let limit = if kind == "header" { 150 } else { 3_000 };
        if words.is_some_and(|words| words.chars().count() > limit) {
            return Err(at(&format!("must be less than {} characters", limit + 1), "/text/text"));
        }
    }
    Ok((!all.is_empty()).then_some(blocks))
}

/// The sender's id among the metadata, if they are right.
fn check_metadata(metadata: Option<Value>) -> Result<Option<String>, Refusal> {
    let Some(metadata) = metadata else { return Ok(None) };
    let Value::Object(fields) = &metadata else { return Err(Refusal::word("invalid_metadata_format")) };
    if text(fields, "event_type").is_none() || !fields.get("event_payload").is_some_and(Value::is_object) {
        return Err(Refusal::word("invalid_metadata_schema"));
    }
    if metadata.to_string().len() > METADATA {
        return Err(Refusal::word("metadata_too_large"));
    }
    let id = metadata.pointer("/event_payload/usher_message").and_then(Value::as_str);
    Ok(id.map(str::to_owned))
}

/// The id of the conversation that a `channel` argument means: a person's is their direct messages, a name's is made up.
pub(super) fn conversation(channel: &str) -> Option<String> {
    let id = |text: &str| {
        text.len() >= 9
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && text.starts_with(['C', 'G', 'D', 'U', 'W'])
    };
    if id(channel) {
        let person = channel.strip_prefix(['U', 'W']);
        return Some(person.map_or_else(|| channel.to_owned(), |rest| format!("D{rest}")));
    }
    let name = channel.strip_prefix('#').unwrap_or(channel);
    let fine = (1..=80).contains(&name.chars().count())
        && name.chars().all(|c| matches!(c, '-' | '_') || (c.is_alphanumeric() && !c.is_uppercase()));
    fine.then(|| format!("C{}", &hex::encode_upper(Sha256::digest(name))[..10]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_ids_people_or_names() {
        assert_eq!(conversation("C123ABC456").as_deref(), Some("C123ABC456"));
        assert_eq!(conversation("U123ABC456").as_deref(), Some("D123ABC456"));
        assert_eq!(conversation("#the-wedding"), conversation("the-wedding"));
        assert!(conversation("the-wedding").is_some_and(|id| id.starts_with('C') && id.len() == 11));
        for bad in ["", "#", "C12", "The Wedding", "c123 abc"] {
            assert_eq!(conversation(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_form_and_json_say_the_same() {
        let json =
            br##"{"channel":"#a","text":"x","metadata":{"event_type":"e","event_payload":{"usher_message":"m"}}}"##;
        let form = b"channel=%23a&text=x&metadata=%7B%22event_type%22%3A%22e%22%2C%22event_payload%22%3A%7B%22usher_message%22%3A%22m%22%7D%7D";
        let json = Arguments::read(Some("application/json; charset=utf-8"), json).unwrap();
        let form = Arguments::read(Some("application/x-www-form-urlencoded"), form).unwrap();
        for arguments in [json, form] {
            assert_eq!(arguments.text("channel"), Some("#a"));
            let content = Content::read(&arguments.fields).unwrap();
            assert_eq!((content.text.as_str(), content.message.as_deref()), ("x", Some("m")));
        }
    }
}
