//! Segments: who of a list is meant, as an expression such as `rsvp = confirmed and group in (family, friends)`.
//!
//! Promises that what parses is what is meant (values of fixed sets are checked, so `rsvp = confirmd` is an error and not
//! an empty segment), that it prints as it would be written, and that matching takes time bounded by its 4 KiB of text.

mod parse;

use std::fmt;

use thiserror::Error;
use usher_common::model::Guest;

use super::header::Field;
use super::words;

/// Longest expression, in bytes.
pub(super) const LENGTH_MAX: usize = 4096;
/// Deepest nesting of parentheses and `not`.
pub(super) const DEPTH_MAX: usize = 32;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    expression: Expression,
}

/// Where and why an expression was not understood. Shows the place with a caret under it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}\n  {expression}\n  {:>width$}", "^", width = .at + 1)]
pub struct SegmentError {
    /// What is wrong and what to write.
    pub message: String,
    /// The expression, on one line.
    pub expression: String,
    /// The character at which it went wrong, from 0; the length where something is missing at the end.
    pub at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Everyone,
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Test { field: Field, test: Test },
}

/// Values are in the form in which the field keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    Contains(String),
    Empty,
    NotEmpty,
}

impl Segment {
    /// Understands an expression. `known_custom` are the keys of the list's own columns. An empty one means everyone.
    pub fn parse(text: &str, known_custom: &[String]) -> Result<Self, SegmentError> {
        parse::parse(text, known_custom).map(|expression| Self { expression })
    }

    /// Whether a guest is meant.
    pub fn matches(&self, guest: &Guest) -> bool {
        self.expression.matches(guest)
    }
}

impl Expression {
    fn matches(&self, guest: &Guest) -> bool {
        match self {
            Self::Everyone => true,
            Self::Any(parts) => parts.iter().any(|part| part.matches(guest)),
            Self::All(parts) => parts.iter().all(|part| part.matches(guest)),
            Self::Not(part) => !part.matches(guest),
            Self::Test { field, test } => test.holds(field, guest),
        }
    }
}

impl Test {
    fn holds(&self, field: &Field, guest: &Guest) -> bool {
        let values = values_of(field, guest);
        let is = |wanted: &str| {
            values.iter().any(|value| equal(field, value, wanted)) || (wanted.is_empty() && values.is_empty())
        };
        match self {
            Self::Is(wanted) => is(wanted),
            Self::IsNot(wanted) => !is(wanted),
            Self::In(wanted) => wanted.iter().any(|wanted| is(wanted)),
            Self::Contains(part) => {
                let part = part.to_lowercase();
                values.iter().any(|value| value.to_lowercase().contains(&part))
            }
            Self::Empty => values.is_empty(),
            Self::NotEmpty => !values.is_empty(),
        }
    }
}

/// Compares without case; a language alone means it in every country, so `locale = de` holds for `de-AT`.
fn equal(field: &Field, value: &str, wanted: &str) -> bool {
    let (value, wanted) = (value.to_lowercase(), wanted.to_lowercase());
    let of_language = || value.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('-'));
    value == wanted || (*field == Field::Locale && !wanted.is_empty() && of_language())
}

/// What a guest has in a field: nothing where it is empty, one text, or each of its groups and channels.
fn values_of<'a>(field: &Field, guest: &'a Guest) -> Vec<&'a str> {
    let one = |text: &'a str| if text.is_empty() { vec![] } else { vec![text] };
    match field {
        Field::Email => guest.email.as_deref().into_iter().collect(),
        Field::Phone => guest.phone.as_deref().into_iter().collect(),
        Field::Slack => guest.slack.as_deref().into_iter().collect(),
        Field::Name => one(&guest.name),
        Field::DietaryRequirements => one(&guest.dietary_requirements),
        Field::PlusOne => vec![if guest.plus_one { "yes" } else { "no" }],
        Field::Rsvp => vec![guest.rsvp.as_str()],
        Field::Groups => guest.groups.iter().map(String::as_str).collect(),
        Field::Country => one(&guest.country),
        Field::Locale => one(&guest.locale),
        Field::Timezone => one(&guest.timezone),
        Field::Preferred => guest.preferred.iter().map(|channel| channel.as_str()).collect(),
        Field::Custom(key) => guest.custom.get(key).map(String::as_str).into_iter().collect(),
        Field::FirstName | Field::LastName | Field::Source | Field::VouchedBy => vec![],
    }
}

/// The form of a value that a field keeps, or the values that it knows.
fn value_for(field: &Field, text: &str) -> Result<String, &'static [&'static str]> {
    match field {
        Field::Rsvp if !text.trim().is_empty() => {
            words::rsvp(text).map(|rsvp| rsvp.to_string()).ok_or(&["confirmed", "pending", "declined"])
        }
        Field::Rsvp => Err(&["confirmed", "pending", "declined"]),
        Field::PlusOne => {
            words::yes_or_no(text).map(|yes| if yes { "yes" } else { "no" }.to_owned()).ok_or(&["yes", "no"])
        }
        Field::Preferred => text
            .parse::<usher_common::model::Channel>()
            .map(|channel| channel.to_string())
            .map_err(|_| &["email", "sms", "whatsapp", "slack"][..]),
        Field::Country if !text.is_empty() => words::country(text).ok_or(&["GB", "DE", "FR", "US"]),
        Field::DietaryRequirements if words::eats_everything(text) => Ok(String::new()),
        Field::Locale => Ok(text.replace('_', "-")),
        _ => Ok(text.to_owned()),
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    write!(f, " {word} ")?;
                }
                if matches!(part, Self::Any(_) | Self::All(_)) { write!(f, "({part})")? } else { write!(f, "{part}")? }
            }
            Ok(())
        };
        match self {
            Self::Everyone => Ok(()),
            Self::Any(parts) => joined(f, parts, "or"),
            Self::All(parts) => joined(f, parts, "and"),
            Self::Not(part) if matches!(**part, Self::Any(_) | Self::All(_)) => write!(f, "not ({part})"),
            Self::Not(part) => write!(f, "not {part}"),
            Self::Test { field, test } => {
                write!(f, "{} ", parse::quoted(field.name()))?;
                match test {
                    Test::Is(value) => write!(f, "= {}", parse::quoted(value)),
                    Test::IsNot(value) => write!(f, "!= {}", parse::quoted(value)),
                    Test::Contains(part) => write!(f, "contains {}", parse::quoted(part)),
                    Test::Empty => f.write_str("is empty"),
                    Test::NotEmpty => f.write_str("is not empty"),
                    Test::In(values) => {
                        let values: Vec<String> = values.iter().map(|value| parse::quoted(value)).collect();
                        write!(f, "in ({})", values.join(", "))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
