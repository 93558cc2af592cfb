//! How many SMS a text takes: GSM-7 or UCS-2, with characters that may not straddle two parts.
//! Promises: pure; agrees with the vendor's own calculator on its published vectors.

/// Characters of the basic GSM 03.38 alphabet that are not ASCII letters or digits.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";
/// Characters that take an escape and a second place.
const EXTENDED: &str = "|^€{}[]~\\\u{c}";

/// Segments of a text; none for an empty one.
pub(crate) fn count(text: &str) -> usize {
    let septets = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Some(1),
        _ if BASIC.contains(c) => Some(1),
        _ if EXTENDED.contains(c) => Some(2),
        _ => None,
    };
    let gsm: Option<Vec<usize>> = text.chars().map(septets).collect();
    match gsm {
        Some(units) => parts(units.into_iter(), 160, 153),
        None => parts(text.chars().map(char::len_utf16), 70, 67),
    }
}

/// Parts needed for characters of one or two units each: one part of `alone`, or several of `each`.
fn parts(units: impl Iterator<Item = usize> + Clone, alone: usize, each: usize) -> usize {
    let total: usize = units.clone().sum();
    if total <= alone {
        return usize::from(total > 0);
    }
    let (mut full, mut used) = (0, 0);
    for unit in units {
        if used + unit > each {
            full += 1;
            used = 0;
        }
        used += unit;
    }
    full + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_vendors_calculator() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/sms_segments.json");
        let data: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let vectors = data["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 52);
        for vector in vectors {
            let text = vector["text"].as_str().unwrap();
            assert_eq!(count(text) as u64, vector["segments"].as_u64().unwrap(), "{}", vector["id"]);
        }
    }

    #[test]
    fn limits_of_both_alphabets() {
        for (text, expected) in [
            (String::new(), 0),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("ł".repeat(70), 1),
            ("ł".repeat(71), 2),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 152 + an escape that does not fit into the 153rd place.
            (format!("{}€{}", "a".repeat(152), "a".repeat(152)), 3),
            // 67 places, and an astral character needs two.
            ("👍".repeat(35), 1),
            ("👍".repeat(66), 2),
            ("👍".repeat(67), 3),
        ] {
            assert_eq!(count(&text), expected, "{} characters of {:?}", text.chars().count(), text.chars().next());
        }
    }
}
