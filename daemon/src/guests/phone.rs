//! Telephone numbers: the one place that knows the numbering plans.
//!
//! The library behind it takes a global lock and some 10 µs a call; were it exchanged, only this file would change.

use std::sync::{LazyLock, PoisonError};

use phonenumber::metadata::{DATABASE, Database};
use phonenumber::{Mode, Type, country};
use thiserror::Error;

/// A number that exists in its country's numbering plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    /// `+`, country code, national number; at most 15 digits.
    pub e164: String,
    /// Whether the numbering plan lets a text message reach it. Where the plan does not tell mobile from fixed lines
    /// (as in the USA), it may.
    pub takes_sms: bool,
}

/// Why a number cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhoneError {
    /// Letters, two numbers, or the like.
    #[error("the telephone number must hold one number, of digits, spaces and ( ) - . / and perhaps a leading +")]
    Characters,
    /// National form, and no country to read it by.
    #[error("the telephone number has no country code: write it with + and the code, or fill in the country column")]
    NoCountry,
    /// No such number.
    #[error("there is no such telephone number in the numbering plan of its country: check its digits")]
    Invalid,
}

/// Patterns of the numbering plans that stay compiled. The library keeps 100, but the 25 countries under +1 alone have
/// more: a list with American numbers would compile anew for every guest, which takes a hundred times as long.
const PATTERNS: usize = 1024;

/// The library's numbering plans.
static PLANS: LazyLock<&Database> = LazyLock::new(|| {
    DATABASE.cache().lock().unwrap_or_else(PoisonError::into_inner).set_capacity(PATTERNS);
    &DATABASE
});

/// Longest number that is looked at; E.164 has 15 digits and people write separators between them.
const LONGEST: usize = 40;

impl PhoneNumber {
    /// Reads a number as people write it. `country` (ISO 3166-1 alpha-2, may be empty) tells how a national number is
    /// meant; a number with `+`, or with the international prefix `00` or (from North America) `011`, needs none.
    pub fn parse(text: &str, country: &str) -> Result<Self, PhoneError> {
        let region: Option<country::Id> = country.parse().ok();
        let number = normal(text, region)?;
        if region.is_none() && !number.starts_with('+') {
            return Err(PhoneError::NoCountry);
        }
        let parsed = phonenumber::parse_with(&PLANS, region, &number).map_err(|_| PhoneError::Invalid)?;
        if !phonenumber::is_valid_with(&PLANS, &parsed) {
            return Err(PhoneError::Invalid);
        }
        let takes_sms = matches!(
            parsed.number_type(&PLANS),
            Type::Mobile | Type::FixedLineOrMobile | Type::PersonalNumber | Type::Voip | Type::Unknown
        );
        Ok(Self { e164: parsed.format().mode(Mode::E164).to_string(), takes_sms })
    }
}

/// Digits alone, with `+` before them where the number says its country. The library is given nothing else, since it has
/// no promise about odd characters.
fn normal(text: &str, region: Option<country::Id>) -> Result<String, PhoneError> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(PhoneError::Characters);
    }
    // `+44 (0)20 …`: the trunk prefix in brackets is dialled only inside the country.
    let text = if text.starts_with('+') { text.replacen("(0)", "", 1) } else { text.to_owned() };
    let mut number = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' => number.push(c),
            '+' if number.is_empty() => number.push('+'),
            '(' | ')' | '-' | '.' | '/' | '\u{2010}'..='\u{2015}' => {}
            c if c.is_whitespace() => {}
            _ => return Err(PhoneError::Characters),
        }
    }
    let from_north_america = matches!(region, Some(country::Id::US | country::Id::CA));
    if let Some(rest) = number.strip_prefix("00") {
        number = format!("+{rest}");
    } else if let Some(rest) = number.strip_prefix("011").filter(|_| from_north_america) {
        number = format!("+{rest}");
    }
    if number.len() < 3 { Err(PhoneError::Invalid) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (written, country, e164, takes_sms) in [
            ("+12125550101", "US", "+12125550101", true),
            ("(212) 555-0102", "US", "+12125550102", true),
            ("07400123456", "GB", "+447400123456", true),
            ("0044 7400 123457", "GB", "+447400123457", true),
            ("011 44 7400 123457", "US", "+447400123457", true),
            ("+41 79 123 45 67", "CH", "+41791234567", true),
            ("+44 (0)20 7123 4567", "", "+442071234567", false),
            ("+4915123456789", "", "+4915123456789", true),
        ] {
            let number = PhoneNumber::parse(written, country).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!((number.e164.as_str(), number.takes_sms), (e164, takes_sms));
        }
    }

    #[test]
    fn a_zero_that_belongs_to_the_number_stays() {
        assert_eq!(PhoneNumber::parse("06 698 82828", "IT").unwrap().e164, "+390669882828");
    }

    #[test]
    fn numbers_that_do_not_exist_are_refused() {
        for (written, country, reason) in [
            ("+1234567890", "US", PhoneError::Invalid),
            ("1", "US", PhoneError::Invalid),
            ("0740", "GB", PhoneError::Invalid),
            ("07400123456", "", PhoneError::NoCountry),
            ("call me", "GB", PhoneError::Characters),
            ("07400123456 or 07400123457 or 07400123458", "GB", PhoneError::Characters),
        ] {
            assert_eq!(PhoneNumber::parse(written, country), Err(reason), "{written}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_takes_it_takes_again(
            text in "[+]?[0-9() .-]{0,20}|.{0,20}",
            country in "US|GB|DE|FR|IT|AR|MX|BR||XX",
        ) {
            if let Ok(number) = PhoneNumber::parse(&text, &country) {
                prop_assert!(number.e164.len() <= 16);
                prop_assert_eq!(PhoneNumber::parse(&number.e164, ""), Ok(number));
            }
        }
    }
}
