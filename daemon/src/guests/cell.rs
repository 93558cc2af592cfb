//! One cell of a guest: what each column accepts, in which form it is kept, and what is said when it does not fit.
//!
//! Imports and edits share these checks, so a guest can be edited into exactly what could have been imported.

use usher_common::model::{Channel, Guest, ProblemKind};

use super::email::EmailAddress;
use super::fold::{clean, unguard};
use super::header::Field;
use super::phone::PhoneNumber;
use super::{nearest, words};

/// Longest cell that is kept, in bytes.
pub(super) const CELL_MAX: usize = 4096;

/// What is taken where a row says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// ISO 3166-1 alpha-2 code by which national telephone numbers are read when the guest has no country of its own;
    /// empty for none. It is not stored with the guest.
    pub country: String,
}

/// Something that a cell says and that was not taken as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: ProblemKind,
    /// What is wrong and what to write.
    pub(super) message: String,
    /// What an import made of it, for it goes on where an edit says no; empty where the message tells.
    pub(super) fate: &'static str,
    /// Whether the value, or all of it that is usable, was kept all the same.
    pub(super) kept: bool,
}

impl Finding {
    fn dropped(kind: ProblemKind, message: impl Into<String>, fate: &'static str) -> Self {
        Self { kind, message: message.into(), fate, kept: false }
    }

    fn kept(kind: ProblemKind, message: impl Into<String>, fate: &'static str) -> Self {
        Self { kind, message: message.into(), fate, kept: true }
    }

    /// As an import tells it.
    pub(super) fn told(self) -> String {
        if self.fate.is_empty() { self.message } else { format!("{}; {}", self.message, self.fate) }
    }
}

/// Sets one field of `guest` from a cell's text. What cannot be used clears the field and comes back as a finding; an
/// empty text clears it and is fine. Name parts, `source` and `vouched_by` are no fields of a guest and are left alone.
pub(super) fn set(guest: &mut Guest, field: &Field, text: &str, defaults: &Defaults) -> Option<Finding> {
    if text.len() > CELL_MAX {
        set(guest, field, "", defaults);
        let message = format!("the cell has {} bytes, and {CELL_MAX} are the most", text.len());
        return Some(Finding::dropped(ProblemKind::TooLong, message, "it was left out"));
    }
    let text = unguard(text.trim_matches([' ', '\t', '\r', '\n']));
    match field {
        Field::Email => set_email(guest, text),
        Field::Phone => set_phone(guest, text, defaults),
        Field::Slack => set_slack(guest, text),
        Field::Name => {
            guest.name = clean(text);
            None
        }
        Field::DietaryRequirements => {
            guest.dietary_requirements = clean(text);
            if words::eats_everything(&guest.dietary_requirements) {
                guest.dietary_requirements.clear();
            }
            None
        }
        Field::PlusOne => set_plus_one(guest, text),
        Field::Rsvp => set_rsvp(guest, text),
        Field::Groups => {
            guest.groups = split_groups(text);
            None
        }
        Field::Country => set_country(guest, text),
        Field::Locale => set_locale(guest, text),
        Field::Timezone => set_timezone(guest, text),
        Field::Preferred => set_preferred(guest, text),
        Field::Custom(key) => {
            match clean(text) {
                empty if empty.is_empty() => guest.custom.remove(key),
                value => guest.custom.insert(key.clone(), value),
            };
            None
        }
        Field::FirstName | Field::LastName | Field::Source | Field::VouchedBy => None,
    }
}

fn set_email(guest: &mut Guest, text: &str) -> Option<Finding> {
    (guest.email, guest.email_needs_utf8) = (None, false);
    if text.is_empty() {
        return None;
    }
    match EmailAddress::parse(text) {
        Ok(address) => {
            (guest.email, guest.email_needs_utf8) = (Some(address.stored), address.needs_utf8);
            None
        }
        Err(error) => Some(Finding::dropped(ProblemKind::Email, error.to_string(), "the address was left out")),
    }
}

fn set_phone(guest: &mut Guest, text: &str, defaults: &Defaults) -> Option<Finding> {
    (guest.phone, guest.phone_takes_sms) = (None, false);
    if text.is_empty() {
        return None;
    }
    let country = if guest.country.is_empty() { &defaults.country } else { &guest.country };
    match PhoneNumber::parse(text, country) {
        Ok(number) => {
            (guest.phone, guest.phone_takes_sms) = (Some(number.e164), number.takes_sms);
            if number.takes_sms {
                None
            } else {
                let message = "a fixed line or service number cannot take text messages: it is kept for the record";
                Some(Finding::kept(ProblemKind::Phone, message, ""))
            }
        }
        Err(error) => Some(Finding::dropped(ProblemKind::Phone, error.to_string(), "the number was left out")),
    }
}

fn set_slack(guest: &mut Guest, text: &str) -> Option<Finding> {
    guest.slack = None;
    if text.is_empty() {
        return None;
    }
    let id = (2..=32).contains(&text.len())
        && text.starts_with(['U', 'W', 'C', 'D', 'G'])
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if id {
        guest.slack = Some(text.to_owned());
        return None;
    }
    let message = "this is no Slack id: copy the member or channel id (it begins with U, W, C, D or G) from Slack";
    Some(Finding::dropped(ProblemKind::Slack, message, "it was left out"))
}

fn set_plus_one(guest: &mut Guest, text: &str) -> Option<Finding> {
    let said = words::yes_or_no(text);
    guest.plus_one = said.unwrap_or(false);
    if said.is_some() {
        return None;
    }
    let message = "this is neither yes nor no: write yes or no";
    Some(Finding::dropped(ProblemKind::YesNo, message, "it was read as no"))
}

fn set_rsvp(guest: &mut Guest, text: &str) -> Option<Finding> {
    let said = words::rsvp(text);
    guest.rsvp = said.unwrap_or_default();
    match said {
        Some(_) => None,
        None => Some(Finding::dropped(
            ProblemKind::Rsvp,
            "this is no RSVP status: write confirmed, pending or declined",
            "it was read as pending",
        )),
    }
}

fn set_country(guest: &mut Guest, text: &str) -> Option<Finding> {
    guest.country = String::new();
    if text.is_empty() {
        return None;
    }
    match words::country(text) {
        Some(code) => {
            guest.country = code;
            None
        }
        None => Some(Finding::dropped(
            ProblemKind::Country,
            "this is no country code: write two letters of ISO 3166-1, such as GB or DE",
            "it was left out",
        )),
    }
}

fn set_locale(guest: &mut Guest, text: &str) -> Option<Finding> {
    guest.locale = String::new();
    if text.is_empty() {
        return None;
    }
    let tag = text.replace('_', "-");
    let mut parts = tag.split('-');
    let language = parts.next().is_some_and(words::is_language);
    if language
        && tag.len() <= 35
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        guest.locale = tag;
        return None;
    }
    Some(Finding::dropped(
        ProblemKind::Locale,
        "this is no language tag: write one such as en, en-GB or fr",
        "it was left out",
    ))
}

fn set_timezone(guest: &mut Guest, text: &str) -> Option<Finding> {
    guest.timezone = String::new();
    if text.is_empty() {
        return None;
    }
    let zone = jiff::tz::TimeZone::get(text).ok();
    match zone.as_ref().and_then(jiff::tz::TimeZone::iana_name) {
        Some(name) => {
            name.clone_into(&mut guest.timezone);
            None
        }
        None => Some(Finding::dropped(
            ProblemKind::Timezone,
            "this time zone is not known: write an IANA name such as Europe/Paris",
            "it was left out",
        )),
    }
}

fn set_preferred(guest: &mut Guest, text: &str) -> Option<Finding> {
    guest.preferred.clear();
    let mut unknown = None;
    for word in text.split([',', ';', '|', '/', '>', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()) {
        match word.parse::<Channel>() {
            Ok(channel) if guest.preferred.contains(&channel) => {}
            Ok(channel) => guest.preferred.push(channel),
            Err(_) => unknown = Some(word),
        }
    }
    let word = unknown?;
    let hint = nearest(word, Channel::ALL.map(Channel::as_str)).map_or(String::new(), |c| format!(" (perhaps {c})"));
    Some(Finding::kept(
        ProblemKind::Preference,
        format!("a channel here is not known{hint}: write email, sms, whatsapp or slack"),
        "it was left out",
    ))
}

/// Group names of a cell, in its order, each once whatever its case; separated by `;`, `,` or `|`.
fn split_groups(text: &str) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for name in text.split([';', ',', '|']).map(clean).filter(|name| !name.is_empty()) {
        if !groups.iter().any(|known| known.to_lowercase() == name.to_lowercase()) {
            groups.push(name);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use usher_common::model::Rsvp;

    use super::*;

    fn set_in(guest: &mut Guest, field: &Field, text: &str) -> Option<ProblemKind> {
        set(guest, field, text, &Defaults::default()).map(|finding| finding.kind)
    }

    #[test]
    fn an_unusable_cell_clears_its_field_and_says_why() {
        let mut guest = Guest {
            email: Some("a@example.com".into()),
            country: "GB".into(),
            locale: "en".into(),
            timezone: "Europe/London".into(),
            slack: Some("U1".into()),
            rsvp: Rsvp::Confirmed,
            plus_one: true,
            ..Guest::default()
        };
        for (field, text, kind) in [
            (Field::Email, "carol@", ProblemKind::Email),
            (Field::Country, "Atlantis", ProblemKind::Country),
            (Field::Locale, "English, please", ProblemKind::Locale),
            (Field::Locale, "xx", ProblemKind::Locale),
            (Field::Timezone, "Mars/Olympus", ProblemKind::Timezone),
            (Field::Slack, "@anna", ProblemKind::Slack),
            (Field::Rsvp, "maybe", ProblemKind::Rsvp),
            (Field::PlusOne, "perhaps", ProblemKind::YesNo),
            (Field::Name, &"x".repeat(CELL_MAX + 1), ProblemKind::TooLong),
        ] {
            assert_eq!(set_in(&mut guest, &field, text), Some(kind), "{text:.20}");
        }
        assert_eq!(guest, Guest::default());
    }

    #[test]
    fn values_get_one_form() {
        let mut guest = Guest::default();
        for (field, text) in [
            (Field::Country, "uk"),
            (Field::Phone, "07400 123456"),
            (Field::Groups, "Family; friends|FAMILY, , work"),
            (Field::Locale, "de_DE"),
            (Field::Timezone, "europe/paris"),
            (Field::Preferred, "SMS > e-mail"),
            (Field::DietaryRequirements, "None"),
            (Field::Custom("table".into()), " 7 "),
            (Field::Name, "'=Anna"),
        ] {
            assert_eq!(set_in(&mut guest, &field, text), None, "{text}");
        }
        assert_eq!((guest.country.as_str(), guest.phone.as_deref()), ("GB", Some("+447400123456")));
        assert_eq!(guest.groups, ["Family", "friends", "work"]);
        assert_eq!((guest.locale.as_str(), guest.timezone.as_str()), ("de-DE", "Europe/Paris"));
        assert_eq!(guest.preferred, [Channel::Sms, Channel::Email]);
        assert_eq!((guest.dietary_requirements.as_str(), guest.name.as_str()), ("", "=Anna"));
        assert_eq!(guest.custom["table"], "7");
    }

    #[test]
    fn a_known_channel_is_kept_beside_an_unknown_one() {
        let mut guest = Guest::default();
        assert_eq!(set_in(&mut guest, &Field::Preferred, "pigeon, sms"), Some(ProblemKind::Preference));
        assert_eq!(guest.preferred, [Channel::Sms]);
    }
}
