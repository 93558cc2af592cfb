//! `application/x-www-form-urlencoded`, read as a server reads it.
//! Promises: never fails; what is not valid UTF-8 becomes replacement characters, a lone `%` stays itself.

use std::borrow::Cow;

/// The name and value pairs of a form or a query, decoded, in order; names may repeat.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let split = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = split.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        (decode(name), decode(value))
    })
}

/// The first value of `name` in a query string.
pub(crate) fn first(text: &str, name: &str) -> Option<String> {
    pairs(text.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// One decoded component: `+` is a space, `%41` is `A`.
pub(crate) fn decode(text: &[u8]) -> Cow<'_, str> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return String::from_utf8_lossy(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match tail.first_chunk::<2>().and_then(|hex| Some((digit(hex[0])?, digit(hex[1])?))) {
                Some((high, low)) => {
                    rest = &tail[2..];
                    high << 4 | low
                }
                None => b'%',
            },
            other => other,
        });
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn digit(hex: u8) -> Option<u8> {
    (hex as char).to_digit(16).map(|value| value as u8)
}

/// Percent-encodes what may not stand in a query value, for the page links that list answers carry.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_pluses_percents_and_repeats() {
        let all: Vec<_> = pairs(b"To=%2B4420&Body=a+b%20%F0%9F%91%8D&MediaUrl=x&MediaUrl=y&empty=&bare&&").collect();
        let plain: Vec<_> = all.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        let expected =
            [("To", "+4420"), ("Body", "a b 👍"), ("MediaUrl", "x"), ("MediaUrl", "y"), ("empty", ""), ("bare", "")];
        assert_eq!(plain, expected);
    }

    #[test]
    fn broken_escapes_and_bytes_do_no_harm() {
        assert_eq!(decode(b"100%"), "100%");
        assert_eq!(decode(b"%zz%4"), "%zz%4");
        assert_eq!(decode(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "+44 20&=%ü";
        assert_eq!(decode(encode(text).as_bytes()), text);
    }
}
