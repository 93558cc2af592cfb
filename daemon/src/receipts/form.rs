//! `application/x-www-form-urlencoded`, read as bytes: what is signed must not be repaired on the way.

/// The fields in their order, names and values decoded. A `+` is a space; a `%` without two digits stands for itself.
pub(super) fn decode(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    text.split(|byte| *byte == b'&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let mut halves = field.splitn(2, |byte| *byte == b'=');
            let mut half = || unescape(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect()
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = digit(text.get(at + 1)).zip(digit(text.get(at + 2))).filter(|_| *byte == b'%');
        match (byte, pair) {
            (_, Some((high, low))) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', None) => plain.push(b' '),
            (other, None) => plain.push(*other),
        }
        at += 1;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_every_byte() {
        let fields = decode(b"a=1+2%2B&b=&&c&a=%c5%99%zz%4");
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"1 2+"), (b"b", b""), (b"c", b""), (b"a", b"\xc5\x99%zz%4")];
        let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        assert_eq!(fields, expected);
    }
}
