//! One message as WhatsApp reads it: whom it goes to, and the rules of text and templates.
//! Promises: pure; the first broken rule decides.

use super::refusal::Refusal;
use crate::config::{Template, TemplateStatus, WhatsAppConfig};
use serde_json::Value;

/// Characters of a text.
const TEXT: usize = 4_096;
/// Bytes of the sender's own data.
const OPAQUE: usize = 512;
/// The types that the Cloud API knows.
const TYPES: [&str; 11] = [
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "reaction",
    "sticker",
    "template",
    "text",
    "video",
];

/// A message that was found right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The recipient, as given.
    pub(super) input: &'a str,
    /// Digits only.
    pub(super) number: String,
    /// `biz_opaque_callback_data`.
    pub(super) opaque: Option<&'a str>,
    /// For a template: whether Meta looks at it first.
    pub(super) held: Option<bool>,
}

impl<'a> Message<'a> {
    /// Every rule, against the configured account.
    pub(super) fn read(fields: &'a Value, config: &WhatsAppConfig, sender: &str) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        match text("messaging_product") {
            Some("whatsapp") => {}
            Some(_) => return Err(Refusal::about(100, "The parameter messaging_product must be whatsapp.")),
            None => return Err(Refusal::missing("messaging_product")),
        }
        if !matches!(fields.get("recipient_type").map(Value::as_str), None | Some(Some("individual" | "group"))) {
            return Err(Refusal::about(100, "The parameter recipient_type must be one of {individual, group}."));
        }
        let input = text("to").ok_or_else(|| Refusal::missing("to"))?;
        let number =
            digits(input).ok_or_else(|| Refusal::about(131_009, format!("'{input}' is not a phone number.")))?;
        let opaque = match fields.get("biz_opaque_callback_data") {
            None | Some(Value::Null) => None,
            Some(Value::String(data)) if data.len() <= OPAQUE => Some(data.as_str()),
            Some(_) => {
                return Err(Refusal::about(
                    100,
                    "biz_opaque_callback_data must be a string of 512 characters at most.",
                ));
            }
        };
        // Without a type a message is text.
        let kind = text("type").unwrap_or("text");
        if !TYPES.contains(&kind) {
            let known = TYPES.map(str::to_uppercase).join(", ");
            return Err(Refusal::about(100, format!("Param type must be one of {{{known}}} - got \"{kind}\".")));
        }
        let content = fields.get(kind).filter(|content| content.is_object()).ok_or_else(|| Refusal::missing(kind))?;
        let held = match kind {
            "text" => check_text(content).map(|()| None)?,
            "template" => Some(check_template(content, config)?),
            _ => return Err(Refusal::about(131_051, format!("Messages of type {kind} are not simulated."))),
        };
        if number == sender {
            return Err(Refusal::usual(131_021));
        }
        let with_plus = format!("+{number}");
        if held.is_none() && !config.open_windows.iter().any(|part| with_plus.contains(part.as_str())) {
            let details = "More than 24 hours have passed since the recipient last replied to the sender number.";
            return Err(Refusal::about(131_047, details));
        }
        Ok(Self { input, number, opaque, held })
    }
}

/// The digits of a number with its country's code, written with or without `+`, spaces and the like.
pub(super) fn digits(number: &str) -> Option<String> {
    let fine = number.strip_prefix('+').unwrap_or(number).bytes().all(|b| b.is_ascii_digit() || b" -().".contains(&b));
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    (fine && (7..=15).contains(&digits.len()) && !digits.starts_with('0')).then_some(digits)
}

fn check_text(content: &Value) -> Result<(), Refusal> {
    let body = content.get("body").and_then(Value::as_str).filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| Refusal::missing("text['body']"))?;
    if body.chars().count() > TEXT {
        return Err(Refusal::about(100, format!("Param text['body'] must be at most {TEXT} characters long.")));
    }
    match content.get("preview_url") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(Refusal::about(100, "Param text['preview_url'] must be a boolean.")),
    }
}

/// Whether Meta looks at the template first.
fn check_template(content: &Value, config: &WhatsAppConfig) -> Result<bool, Refusal> {
    let text = |pointer: &str| content.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("/name").ok_or_else(|| Refusal::missing("template['name']"))?;
    let language = text("/language/code").ok_or_else(|| Refusal::missing("template['language']['code']"))?;
    if content.pointer("/language/policy").is_some_and(|policy| policy != "deterministic") {
        return Err(Refusal::about(100, "Param template['language']['policy'] must be one of {DETERMINISTIC}."));
    }
    let given = Given::read(content)?;
    if config.templates.is_empty() {
        return Ok(false);
    }
    let found = config.templates.iter().find(|template| template.name == name && template.language == language);
    let Some(template) = found else {
        return Err(Refusal::about(132_001, format!("template name ({name}) does not exist in {language}")));
    };
    match template.status {
        TemplateStatus::Paused => return Err(Refusal::usual(132_015)),
        TemplateStatus::Disabled => return Err(Refusal::usual(132_016)),
        TemplateStatus::Approved | TemplateStatus::Held => {}
    }
    given.compare(template)?;
    Ok(template.status == TemplateStatus::Held)
}

/// How many parameters a message brings.
#[derive(Debug, Default)]
struct Given {
    header: usize,
    body: usize,
}

impl Given {
    fn read(content: &Value) -> Result<Self, Refusal> {
        let mut given = Self::default();
        let components = match content.get("components") {
            None => return Ok(given),
            Some(Value::Array(components)) => components,
            Some(_) => return Err(Refusal::about(100, "Param template['components'] must be an array.")),
        };
        for (index, component) in components.iter().enumerate() {
            let kind = component.get("type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
            let count = check_parameters(component, index)?;
            match kind.as_str() {
                "header" => given.header += count,
                "body" => given.body += count,
                "button" => check_button(component, index)?,
                _ => {
                    let at = format!("template['components'][{index}]['type']");
                    return Err(Refusal::about(100, format!("Param {at} must be one of {{HEADER, BODY, BUTTON}}.")));
                }
            }
        }
        Ok(given)
    }

    fn compare(&self, template: &Template) -> Result<(), Refusal> {
        for (part, given, wanted) in [("header", self.header, template.header), ("body", self.body, template.body)] {
            if given != wanted {
                let details = format!(
                    "{part}: number of localizable_params ({given}) does not match the expected number of params ({wanted})"
                );
                return Err(Refusal::about(132_000, details));
            }
        }
        Ok(())
    }
}

/// How many parameters a component has, each with what its type names.
fn check_parameters(component: &Value, index: usize) -> Result<usize, Refusal> {
    let parameters = component.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (which, parameter) in parameters.iter().enumerate() {
        let at = |field: &str| format!("template['components'][{index}]['parameters'][{which}]['{field}']");
        let kind = parameter.get("type").and_then(Value::as_str).ok_or_else(|| Refusal::missing(&at("type")))?;
        let content = parameter.get(kind);
        match kind {
            "text" | "payload" => {
                let text = content.and_then(Value::as_str).ok_or_else(|| Refusal::missing(&at(kind)))?;
                // Meta refuses these in parameters, and so a text with lines in it.
                if text.is_empty() || text.contains(['\n', '\t']) || text.contains("     ") {
                    let rule =
                        "Param text cannot be empty, or have new-line/tab characters or more than 4 consecutive spaces";
                    return Err(Refusal::about(100, rule));
                }
            }
            "currency" | "date_time" | "document" | "image" | "video" if content.is_some_and(Value::is_object) => {}
            "currency" | "date_time" | "document" | "image" | "video" => return Err(Refusal::missing(&at(kind))),
            _ => return Err(Refusal::about(100, format!("Param {} has an unknown value.", at("type")))),
        }
    }
    Ok(parameters.len())
}

fn check_button(component: &Value, index: usize) -> Result<(), Refusal> {
    for field in ["sub_type", "index"] {
        if component.get(field).is_none_or(Value::is_null) {
            return Err(Refusal::missing(&format!("template['components'][{index}]['{field}']")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(digits("+44 7911 123-456").as_deref(), Some("447911123456"));
        assert_eq!(digits("447911123456").as_deref(), Some("447911123456"));
        for bad in ["", "+", "+4479x1123456", "07911123456", "+123456", "+1234567890123456", "++447911123456"] {
            assert_eq!(digits(bad), None, "{bad}");
        }
    }
}
