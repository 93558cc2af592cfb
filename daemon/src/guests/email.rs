//! E-mail addresses: which can be used, and in what form they are kept.
//!
//! Accepts the dot-atom form of RFC 5321 and RFC 6531 and nothing else: quoted local parts, address literals and
//! display names are allowed by the standard but refused by the providers, so a guest with one would never be reached.

use thiserror::Error;

/// Octets before the `@`, RFC 5321 §4.5.3.1.1.
const LOCAL_MAX: usize = 64;
/// Octets after the `@`, RFC 5321 §4.5.3.1.2.
const DOMAIN_MAX: usize = 255;

/// An address that can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress {
    /// Trimmed; the part before the `@` as it was written, the domain in lower case and ASCII (IDNA).
    pub stored: String,
    /// Whether there are characters outside ASCII before the `@`, which only a provider with SMTPUTF8 carries.
    pub needs_utf8: bool,
}

/// Why an address cannot be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmailError {
    /// A control or invisible character: such an address was not typed by a person.
    #[error("the e-mail address has an invisible control character in it: type it anew")]
    Control,
    /// More than one address, or text around it.
    #[error("the cell must hold one e-mail address and nothing else: put further addresses on rows of their own")]
    NotAlone,
    /// No `@`.
    #[error("the e-mail address has no @ sign")]
    NoAt,
    /// Nothing before the `@`.
    #[error("the e-mail address has nothing before its @ sign")]
    NoLocal,
    /// Over 64 octets before the `@`.
    #[error(
        "the part of the e-mail address before the @ sign is longer than 64 bytes, the most that mail servers take"
    )]
    LongLocal,
    /// Characters or dots that are not allowed before the `@`.
    #[error("the part of the e-mail address before the @ sign has a character or a dot where mail servers allow none")]
    Local,
    /// Nothing after the `@`.
    #[error("the e-mail address has nothing after its @ sign: the domain is missing")]
    NoDomain,
    /// Over 255 octets after the `@`.
    #[error("the domain of the e-mail address is longer than 255 bytes, the most that mail servers take")]
    LongDomain,
    /// Not a domain name.
    #[error("what follows the @ sign of the e-mail address is not a domain name such as example.com")]
    Domain,
}

impl EmailAddress {
    /// Reads an address from a cell; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.chars().any(super::fold::is_invisible) {
            return Err(EmailError::Control);
        }
        if text.contains(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>'))
            || text.matches('@').count() > 1
        {
            return Err(EmailError::NotAlone);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::NoAt)?;
        check_local(local)?;
        let domain = ascii_domain(domain)?;
        Ok(Self { stored: format!("{local}@{domain}"), needs_utf8: !local.is_ascii() })
    }
}

fn check_local(local: &str) -> Result<(), EmailError> {
    if local.is_empty() {
        return Err(EmailError::NoLocal);
    }
    if local.len() > LOCAL_MAX {
        return Err(EmailError::LongLocal);
    }
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii();
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    // U+FFFD stands where bytes were lost: the address is not the guest's any more.
    if dots || local.contains('\u{fffd}') || !local.chars().all(atom) { Err(EmailError::Local) } else { Ok(()) }
}

/// The domain in ASCII and lower case, if it is a host name with at least two labels.
fn ascii_domain(domain: &str) -> Result<String, EmailError> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_empty() {
        return Err(EmailError::NoDomain);
    }
    if domain.len() > DOMAIN_MAX {
        return Err(EmailError::LongDomain);
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| EmailError::Domain)?;
    if ascii.len() > DOMAIN_MAX {
        return Err(EmailError::LongDomain);
    }
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let top_is_a_name = ascii.rsplit('.').next().is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()));
    if ascii.contains('.') && top_is_a_name && ascii.split('.').all(label_ok) {
        Ok(ascii)
    } else {
        Err(EmailError::Domain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usable_addresses_get_their_stored_form() {
        for (written, stored, utf8) in [
            ("anna@example.com", "anna@example.com", false),
            (" ANNA@Example.COM ", "ANNA@example.com", false),
            ("eve@bücher.example", "eve@xn--bcher-kva.example", false),
            ("zoë.müller@example.com", "zoë.müller@example.com", true),
            ("o'neil+wedding@mail.example.co.uk", "o'neil+wedding@mail.example.co.uk", false),
            ("root@example.com.", "root@example.com", false),
        ] {
            let address = EmailAddress::parse(written).unwrap();
            assert_eq!((address.stored.as_str(), address.needs_utf8), (stored, utf8));
        }
    }

    #[test]
    fn each_unusable_address_has_its_own_reason() {
        let long_domain = format!("a@{}.example", "a.".repeat(130).trim_end_matches('.'));
        for (written, reason) in [
            ("carol@", EmailError::NoDomain),
            ("@example.com", EmailError::NoLocal),
            ("example.com", EmailError::NoAt),
            ("kim@example.com\0", EmailError::Control),
            ("a@example.com, b@example.com", EmailError::NotAlone),
            ("Anna <anna@example.com>", EmailError::NotAlone),
            ("a@b@example.com", EmailError::NotAlone),
            (".a@example.com", EmailError::Local),
            ("a..b@example.com", EmailError::Local),
            ("\"a b\"@example.com", EmailError::NotAlone),
            ("a\"b@example.com", EmailError::Local),
            ("a@localhost", EmailError::Domain),
            ("a@-x.example", EmailError::Domain),
            ("a@127.0.0.1", EmailError::Domain),
            ("a@[127.0.0.1]", EmailError::Domain),
            ("a@exam_ple.com", EmailError::Domain),
            (long_domain.as_str(), EmailError::LongDomain),
        ] {
            assert_eq!(EmailAddress::parse(written), Err(reason), "{written:?}");
        }
    }

    #[test]
    fn sixty_four_octets_before_the_at_are_the_most() {
        let of = |n: usize| EmailAddress::parse(&format!("{}@example.com", "x".repeat(n)));
        assert!(of(64).is_ok());
        assert_eq!(of(65), Err(EmailError::LongLocal));
        assert_eq!(EmailAddress::parse(&format!("{}@example.com", "ü".repeat(33))), Err(EmailError::LongLocal));
    }

    proptest! {
        #[test]
        fn the_stored_form_is_its_own_stored_form(text in "[a-zà-ü.]{1,5}@[a-zà-ü]{1,5}\\.[a-zà-ü]{2,4}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert_eq!(EmailAddress::parse(&address.stored), Ok(address));
            }
        }
    }
}
