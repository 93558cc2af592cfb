//! Text made comparable: without case, accents, punctuation and invisible characters.
//!
//! Promises that cleaning a text twice changes nothing more, so that what is stored, exported and read again is the
//! same text.

use std::borrow::Cow;

/// A word as it is compared with the known ones: lower case, without accents, spaces and punctuation. `E-Mail` and
/// `e mail` become `email`, `Téléphone` becomes `telephone`.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match without_accent(c) {
            Some(letters) => out.push_str(letters),
            None if c.is_alphanumeric() => out.push(c),
            None => {}
        }
    }
    out
}

/// Text on one line: white space and line breaks become single spaces, none at either end; control characters and those
/// that reverse the direction of what follows are left out.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = !out.is_empty();
        } else if !is_invisible(c) {
            if space {
                out.push(' ');
                space = false;
            }
            out.push(c);
        }
    }
    out
}

/// Whether a character has no place in a name: control characters, byte order marks, and the embeddings, overrides and
/// isolates by which a text can show something else than it says.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether a spreadsheet could take a cell that begins so for a formula.
fn starts_a_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// The text for a CSV cell, with an apostrophe before it where a spreadsheet could take it for a formula.
///
/// A `+` followed by digits alone is a telephone number in E.164 and stays as it is: no spreadsheet computes anything
/// from it but the number itself, and every other program that reads the file gets a number that it can dial.
pub(super) fn guard(text: &str) -> Cow<'_, str> {
    let dialable = text.strip_prefix('+').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    if starts_a_formula(text) && !dialable { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Takes off the apostrophe that [`guard`] put on.
pub(super) fn unguard(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if starts_a_formula(rest) => rest,
        _ => text,
    }
}

/// The plain letters for an accented lower-case letter of the Latin alphabets; nothing for a combining accent.
pub(super) fn without_accent(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{300}'..='\u{36f}' => "",
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_columns_are_compared_by_letters_and_digits_alone() {
        for (written, folded) in
            [("E-Mail", "email"), ("Plus One?", "plusone"), ("Téléphone", "telephone"), ("Straße 2", "strasse2")]
        {
            assert_eq!(fold(written), folded);
        }
    }

    #[test]
    fn cleaning_takes_line_breaks_controls_and_overrides_but_keeps_joined_emoji() {
        assert_eq!(clean("  Bob\r\n Multi\u{0}line\t"), "Bob Multiline");
        assert_eq!(clean("Ev\u{202e}il"), "Evil");
        assert_eq!(clean("👩‍❤️‍👩"), "👩‍❤️‍👩");
    }

    #[test]
    fn formulas_are_guarded_and_telephone_numbers_are_not() {
        for (text, written) in
            [("=1+1", "'=1+1"), ("-5", "'-5"), ("@x", "'@x"), ("+1*2", "'+1*2"), ("+441", "+441"), ("'=x", "''=x")]
        {
            assert_eq!(guard(text), written);
        }
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            prop_assert_eq!(clean(&clean(&text)), clean(&text));
        }

        #[test]
        fn a_guarded_text_comes_back(text in "['=+@\t\r0-9a-]{0,6}|.*") {
            let guarded = guard(&text);
            prop_assert_eq!(unguard(&guarded), text.as_str());
        }
    }
}
