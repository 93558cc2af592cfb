//! How a text message is billed: its encoding and its parts.
//!
//! GSM 03.38 with its extension table, else UCS-2; a part of several loses room to its header. A character that takes
//! two units is never split between two parts, which is where a plain division comes out wrong.

/// How the text travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Seven bits a character, from a small alphabet.
    Gsm7,
    /// Sixteen bits a unit: everything else.
    Ucs2,
}

impl Encoding {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units that fit one message alone, and each part of a longer one (3GPP TS 23.040 §9.2.3.24.1).
    fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// What a text comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sms {
    /// Its encoding: one character outside GSM-7 makes the whole text UCS-2.
    pub encoding: Encoding,
    /// Parts that are billed; 1 for an empty text, which counts as one message.
    pub segments: u32,
    /// Septets, or UTF-16 code units.
    pub units: usize,
}

/// Measures a text as it would be sent.
pub fn measure(text: &str) -> Sms {
    let encoding = if text.chars().all(|c| septets(c).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let cost = |c: char| match encoding {
        Encoding::Gsm7 => septets(c).unwrap_or(1),
        Encoding::Ucs2 => c.len_utf16(),
    };
    let units = text.chars().map(cost).sum();
    let (alone, part) = encoding.room();
    let (mut segments, mut used) = (1, 0);
    if units > alone {
        for c in text.chars() {
            if used + cost(c) > part {
                segments += 1;
                used = 0;
            }
            used += cost(c);
        }
    }
    Sms { encoding, segments, units }
}

/// The characters of a text that force it into UCS-2, each once, in their order; what an author would have to replace.
pub fn outside_gsm7(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for c in text.chars() {
        if septets(c).is_none() && !found.contains(&c) {
            found.push(c);
        }
    }
    found
}

/// Septets that a character takes in GSM-7; `None` when the alphabet does not have it.
fn septets(c: char) -> Option<usize> {
    match c {
        ' '..='Z'
        | '_'
        | 'a'..='z'
        | '\n'
        | '\r'
        | '£'
        | '¥'
        | 'è'
        | 'é'
        | 'ù'
        | 'ì'
        | 'ò'
        | 'Ç'
        | 'Ø'
        | 'ø'
        | 'Å'
        | 'å'
        | 'Δ'
        | 'Φ'
        | 'Γ'
        | 'Λ'
        | 'Ω'
        | 'Π'
        | 'Ψ'
        | 'Σ'
        | 'Θ'
        | 'Ξ'
        | 'Æ'
        | 'æ'
        | 'ß'
        | 'É'
        | '¤'
        | '¡'
        | 'Ä'
        | 'Ö'
        | 'Ñ'
        | 'Ü'
        | '§'
        | '¿'
        | 'ä'
        | 'ö'
        | 'ñ'
        | 'ü'
        | 'à' => Some(1),
        '|' | '^' | '€' | '{' | '}' | '[' | ']' | '~' | '\\' | '\u{c}' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_vectors_of_the_calculator_agree() {
        let text = include_str!("../../../tests/data/sms_segments.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 52);
        for vector in vectors {
            let sms = measure(vector["text"].as_str().unwrap());
            let found = (sms.encoding.as_str(), u64::from(sms.segments));
            assert_eq!(
                found,
                (vector["encoding"].as_str().unwrap(), vector["segments"].as_u64().unwrap()),
                "{}",
                vector["id"]
            );
        }
    }

    #[test]
    fn what_forces_ucs_2_is_named_once() {
        assert_eq!(outside_gsm7("it’s “so” nice, it’s"), ['’', '“', '”']);
        assert!(outside_gsm7("plain @ £ € text").is_empty());
    }

    proptest! {
        #[test]
        fn parts_have_room_for_all_units(text in ".{0,400}|[a-z€]{0,400}") {
            let sms = measure(&text);
            let (alone, part) = sms.encoding.room();
            prop_assert!(sms.segments >= 1);
            if sms.segments == 1 { prop_assert!(sms.units <= alone); } else {
                prop_assert!(sms.units > alone && sms.units <= part * sms.segments as usize);
            }
        }
    }
}
