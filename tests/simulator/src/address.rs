//! E-mail addresses, as strictly as the simulated providers read them.
//! Promises: pure; never allocates.

/// The address in `a@example.com` or `Name <a@example.com>`, if it is well formed.
pub(crate) fn mailbox(text: &str) -> Option<&str> {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(open) => open.rsplit_once('<')?.1,
        None => text,
    };
    is_address(address, false).then_some(address)
}

/// The part after the `@`.
pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Whether `text` is `local@domain` within the limits of RFC 5321 (64 and 255 octets); `utf8` allows RFC 6531.
pub(crate) fn is_address(text: &str, utf8: bool) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_ok = (1..=64).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (utf8 && !c.is_ascii()));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || (utf8 && !c.is_ascii()))
    };
    local_ok && domain.len() <= 255 && domain.contains('.') && domain.split('.').all(label_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        assert_eq!(mailbox("a@example.com"), Some("a@example.com"));
        assert_eq!(mailbox("Ann & Bob <a.b+c@mail.example.com>"), Some("a.b+c@mail.example.com"));
    }

    #[test]
    fn refuses_what_is_no_address() {
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in ["", "a", "a@", "@b.c", "a@b", "a b@c.d", "a@b..c", ".a@b.c", "a@-b.c", "A <a@b.c", "ä@b.c", &long]
        {
            assert_eq!(mailbox(bad), None, "{bad}");
        }
        assert!(is_address("ä@bücher.example", true));
    }
}
