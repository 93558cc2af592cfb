//! One mail as SendGrid reads it: fields, limits, and whom it goes to.
//! Promises: pure; every broken rule is named, with its field; a mail that is wrong in one place is wrong as a whole.

use super::refusal::{BAD_ADDRESS, Flaw};
use super::shape;
use crate::address::{is_address, mailbox};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Personalizations of one request, and recipients in all of them together.
const MANY: usize = 1_000;
/// Bytes of the custom arguments, and of the substitutions, of one personalization: fewer than this.
const ARGUMENTS: usize = 10_000;
/// Seconds ahead that a mail may be sent.
const AHEAD: i64 = 72 * 3_600;
/// Headers that SendGrid writes itself.
const RESERVED: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

/// The request body. Fields that it does not know are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mail {
    personalizations: Option<Vec<Personalization>>,
    from: Option<Person>,
    reply_to: Option<Person>,
    reply_to_list: Option<Vec<Person>>,
    subject: Option<String>,
    content: Option<Vec<Content>>,
    attachments: Option<Vec<Attachment>>,
    template_id: Option<String>,
    headers: Option<Map<String, Value>>,
    categories: Option<Vec<String>>,
    custom_args: Option<Map<String, Value>>,
    send_at: Option<i64>,
    asm: Option<Asm>,
    ip_pool_name: Option<String>,
    #[serde(rename = "mail_settings")]
    settings: Option<Settings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Personalization {
    from: Option<Person>,
    to: Option<Vec<Person>>,
    cc: Option<Vec<Person>>,
    bcc: Option<Vec<Person>>,
    subject: Option<String>,
    headers: Option<Map<String, Value>>,
    substitutions: Option<Map<String, Value>>,
    custom_args: Option<Map<String, Value>>,
    send_at: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Person {
    email: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    r#type: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    content: Option<String>,
    filename: Option<String>,
    disposition: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asm {
    group_id: Option<i64>,
    groups_to_display: Option<Vec<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    sandbox_mode: Option<Sandbox>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sandbox {
    enable: Option<bool>,
}

/// Somebody whom a mail goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipient<'a> {
    /// Bare address.
    pub(super) address: &'a str,
    /// `usher_message` among the custom arguments.
    pub(super) message: Option<&'a str>,
}

impl Mail {
    pub(super) fn read(body: &[u8]) -> Result<Self, Vec<Flaw>> {
        let wrong = |_| vec![Flaw { field: None, message: "Bad Request".into() }];
        let value: Value = serde_json::from_slice(body).map_err(wrong)?;
        let flaws = shape::flaws(&value);
        if flaws.is_empty() { Self::deserialize(value).map_err(wrong) } else { Err(flaws) }
    }

    /// Only to be looked at, not to be sent.
    pub(super) fn sandbox(&self) -> bool {
        let mode = self.settings.as_ref().and_then(|settings| settings.sandbox_mode.as_ref());
        mode.and_then(|mode| mode.enable) == Some(true)
    }

    /// The addresses that it is from: one, unless personalizations have their own.
    pub(super) fn senders(&self) -> impl Iterator<Item = &str> {
        let own = self.personalizations().iter().filter_map(|one| one.from.as_ref());
        self.from.iter().chain(own).filter_map(|person| person.email.as_deref())
    }

    /// Everybody who gets it, personalization by personalization: to, cc, bcc.
    pub(super) fn recipients(&self) -> impl Iterator<Item = Recipient<'_>> {
        self.personalizations().iter().flat_map(move |one| {
            let named =
                |args: &'_ Option<Map<String, Value>>| args.as_ref().is_some_and(|a| a.contains_key("usher_message"));
            let args = if named(&one.custom_args) { &one.custom_args } else { &self.custom_args };
            let message = args.as_ref().and_then(|args| args.get("usher_message")).and_then(Value::as_str);
            let people = one.groups().into_iter().flat_map(|(_, people)| people.iter().flatten());
            people.filter_map(move |person| Some(Recipient { address: person.address()?, message }))
        })
    }

    /// The field that an address stands in, the first if there are several.
    pub(super) fn place(&self, address: &str) -> Option<String> {
        self.personalizations().iter().enumerate().find_map(|(index, one)| {
            one.groups().into_iter().find_map(|(field, people)| {
                let at = people.iter().flatten().position(|person| person.address() == Some(address))?;
                Some(format!("personalizations.{index}.{field}.{at}.email"))
            })
        })
    }

    fn personalizations(&self) -> &[Personalization] {
        self.personalizations.as_deref().unwrap_or_default()
    }

    /// Every rule that is broken, in the order of the fields.
    pub(super) fn flaws(&self, wall: Timestamp) -> Vec<Flaw> {
        let mut flaws = Flaws { all: Vec::new(), wall };
        self.check_personalizations(&mut flaws);
        match &self.from {
            None => flaws.add("from.email", FROM_WANTED),
            Some(from) => flaws.check_sender("from.email", from),
        }
        if self.reply_to.is_some() && self.reply_to_list.is_some() {
            flaws.add("reply_to_list", "The reply_to and reply_to_list parameters cannot be used together.");
        }
        flaws.check_people("reply_to_list", self.reply_to_list.as_deref().unwrap_or_default());
        if self.reply_to.as_ref().is_some_and(|person| person.address().is_none()) {
            flaws.add("reply_to.email", BAD_ADDRESS);
        }
        let templated = self.template_id.is_some();
        let titled = |one: &Personalization| one.subject.as_ref().is_some_and(|subject| !subject.is_empty());
        if self.subject.as_ref().is_none_or(String::is_empty)
            && !templated
            && !self.personalizations().iter().all(titled)
        {
            flaws.add("subject", SUBJECT_WANTED);
        }
        self.check_content(&mut flaws);
        self.check_extras(&mut flaws);
        flaws.all
    }

    fn check_personalizations(&self, flaws: &mut Flaws) {
        let all = self.personalizations();
        if all.is_empty() {
            let text = "The personalizations field is required and must have at least one personalization.";
            flaws.add("personalizations", text);
        }
        if all.len() > MANY {
            flaws.add("personalizations", format!("The number of personalizations must not exceed {MANY}."));
            return;
        }
        for (index, one) in all.iter().enumerate() {
            let at = |field: &str| format!("personalizations.{index}.{field}");
            if one.to.as_ref().is_none_or(Vec::is_empty) {
                flaws.add(at("to"), TO_WANTED);
            }
            let mut seen = HashSet::new();
            for (field, people) in one.groups() {
                let people = people.as_deref().unwrap_or_default();
                flaws.check_people(&at(field), people);
                let again = people.iter().filter_map(Person::address).find(|a| !seen.insert(a.to_ascii_lowercase()));
                if let Some(again) = again {
                    let text = format!(
                        "Each email address in the personalization block should be unique between to, cc, and bcc. We found \
                         the first duplicate instance of [{again}] in the {} field.",
                        at(field)
                    );
                    flaws.add("personalizations", text);
                }
            }
            if let Some(from) = &one.from {
                flaws.check_sender(at("from.email"), from);
            }
            if one.subject.as_ref().is_some_and(String::is_empty) {
                flaws.add(at("subject"), "The subject must be a string at least one character in length.");
            }
            flaws.check_headers(&at("headers"), one.headers.as_ref());
            flaws.check_size(&at("substitutions"), [one.substitutions.as_ref(), None]);
            flaws.check_size(&at("custom_args"), [one.custom_args.as_ref(), self.custom_args.as_ref()]);
            flaws.check_time(&at("send_at"), one.send_at);
        }
        if self.recipients().count() > MANY {
            flaws.add("personalizations", format!("The number of recipients must not exceed {MANY}."));
        }
    }

    fn check_content(&self, flaws: &mut Flaws) {
        let parts = self.content.as_deref().unwrap_or_default();
        if parts.is_empty() && self.template_id.is_none() {
            flaws.add("content", CONTENT_WANTED);
        }
        for (index, part) in parts.iter().enumerate() {
            for (name, text) in [("type", &part.r#type), ("value", &part.value)] {
                if text.as_ref().is_none_or(String::is_empty) {
                    let text = format!("The content {name} must be a string at least one character in length.");
                    flaws.add(format!("content.{index}.{name}"), text);
                }
            }
        }
        let rank = |part: &Content| match part.r#type.as_deref() {
            Some("text/plain") => 0,
            Some("text/html") => 1,
            _ => 2,
        };
        if !parts.is_sorted_by_key(rank) {
            let text = "If present, text/plain must be first, followed by text/html, followed by any other content.";
            flaws.add("content", text);
        }
    }

    fn check_extras(&self, flaws: &mut Flaws) {
        for (index, file) in self.attachments.iter().flatten().enumerate() {
            let at = |field: &str| format!("attachments.{index}.{field}");
            match file.content.as_deref() {
                None | Some("") => flaws.add(at("content"), "The attachment content is required."),
                Some(text) if STANDARD.decode(text).is_err() => {
                    flaws.add(at("content"), "The attachment content must be base64 encoded.");
                }
                Some(_) => {}
            }
            if file.filename.as_ref().is_none_or(String::is_empty) {
                flaws.add(at("filename"), "The attachment filename is required.");
            }
            if file.disposition.as_ref().is_some_and(|d| d != "inline" && d != "attachment") {
                flaws.add(at("disposition"), "The disposition must be inline or attachment.");
            }
        }
        if let Some(id) = self.template_id.as_ref().filter(|id| !is_template(id)) {
            flaws.add("template_id", format!("The template_id must be a valid GUID, you provided '{id}'."));
        }
        flaws.check_headers("headers", self.headers.as_ref());
        let categories = self.categories.as_deref().unwrap_or_default();
        if categories.len() > 10 || categories.iter().collect::<HashSet<_>>().len() < categories.len() {
            flaws.add("categories", "There may be 10 categories at most, each of them once.");
        }
        if categories.iter().any(|category| category.chars().count() > 255) {
            flaws.add("categories", "The category name cannot exceed 255 characters.");
        }
        flaws.check_time("send_at", self.send_at);
        if let Some(asm) = &self.asm {
            if asm.group_id.is_none() {
                flaws.add("asm.group_id", "The asm group_id is required.");
            }
            if asm.groups_to_display.as_ref().is_some_and(|groups| groups.len() > 25) {
                flaws.add("asm.groups_to_display", "There may be 25 groups to display at most.");
            }
        }
        if self.ip_pool_name.as_ref().is_some_and(|name| !(2..=64).contains(&name.chars().count())) {
            flaws.add("ip_pool_name", "The ip_pool_name must have 2 to 64 characters.");
        }
    }
}

impl Personalization {
    fn groups(&self) -> [(&'static str, &Option<Vec<Person>>); 3] {
        [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)]
    }
}

impl Person {
    fn address(&self) -> Option<&str> {
        self.email.as_deref().map(str::trim).filter(|email| is_address(email, false))
    }
}

/// What was found so far, and when.
struct Flaws {
    all: Vec<Flaw>,
    wall: Timestamp,
}

impl Flaws {
    fn add(&mut self, field: impl Into<String>, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.all.push(Flaw::new(field, message));
    }

    fn check_people(&mut self, field: &str, people: &[Person]) {
        for (index, _) in people.iter().enumerate().filter(|(_, person)| person.address().is_none()) {
            self.add(format!("{field}.{index}.email"), BAD_ADDRESS);
        }
    }

    fn check_sender(&mut self, field: impl Into<String>, from: &Person) {
        match from.email.as_deref() {
            None | Some("") => self.add(field, FROM_WANTED),
            Some(email) if mailbox(email) != Some(email) => self.add(field, BAD_ADDRESS),
            Some(_) => {}
        }
    }

    fn check_headers(&mut self, field: &str, headers: Option<&Map<String, Value>>) {
        let reserved = |name: &&String| RESERVED.iter().any(|known| name.eq_ignore_ascii_case(known));
        for name in headers.iter().flat_map(|headers| headers.keys()).filter(reserved) {
            self.add(field, format!("The header {name} is reserved and cannot be set."));
        }
    }

    fn check_size(&mut self, field: &str, maps: [Option<&Map<String, Value>>; 2]) {
        let pairs = maps.iter().flatten().flat_map(|map| map.iter());
        let bytes: usize = pairs.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
        if bytes >= ARGUMENTS {
            self.add(field, format!("The total size must be less than {ARGUMENTS} bytes."));
        }
    }

    fn check_time(&mut self, field: &str, at: Option<i64>) {
        if at.is_some_and(|at| at.saturating_sub(self.wall.as_second()) > AHEAD) {
            self.add(field, "The send_at time cannot be more than 72 hours in the future.");
        }
    }
}

/// `d-` and 32 hexadecimal digits, or a UUID, as the older kind has.
fn is_template(id: &str) -> bool {
    let digits = |text: &str, wanted: usize| text.len() == wanted && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(rest) = id.strip_prefix("d-") {
        return digits(rest, 32);
    }
    let parts: Vec<&str> = id.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    parts.len() == lengths.len() && parts.into_iter().zip(lengths).all(|(part, length)| digits(part, length))
}

const TO_WANTED: &str = "The to array is required for all personalization objects, and must have at least one email object \
                         with a valid email address.";
const FROM_WANTED: &str = "The from object must be provided for every email send. It is an object that requires the email \
                           parameter, but may also contain a name parameter.";
const SUBJECT_WANTED: &str = "The subject is required. You can get around this requirement if you use a template with a \
                              subject defined or if every personalization has a subject defined.";
const CONTENT_WANTED: &str = "Unless a valid template_id is provided, the content parameter is required. There must be at \
                              least one defined content block.";
