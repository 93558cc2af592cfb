//! Judges of single values, shared by the lists: names, addresses, senders, URLs.
//!
//! They catch what can be caught without the network; that a mailbox exists is not theirs to know.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::slot::Fault;

type Judged = Result<(), Fault>;

/// A name as commands and variables use it.
pub(super) fn name(text: &str) -> Judged {
    let fits = text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits {
        Ok(())
    } else {
        Err(Fault::new(
            "is no usable name",
            "use at most 32 small letters, digits and -, beginning with a letter or digit",
        ))
    }
}

/// A name that no other entry of the list bears.
pub(super) fn unused_name(text: &str, used: &BTreeSet<String>) -> Judged {
    name(text)?;
    if used.contains(text) {
        return Err(Fault::new("is the name of an earlier entry too", "give each entry its own name"));
    }
    Ok(())
}

/// Anything that is a text.
#[expect(clippy::unnecessary_wraps, reason = "stands beside judges that can refuse")]
pub(super) fn anything(_: &str) -> Judged {
    Ok(())
}

/// A text that may stand in a header: a line break would begin another header.
pub(super) fn line(text: &str) -> Judged {
    if text.contains('\n') { Err(Fault::new("has more than one line", "write it on one line")) } else { Ok(()) }
}

/// An e-mail address without a display name.
pub(super) fn email(text: &str) -> Judged {
    let fits = text.is_ascii()
        && text.len() <= 254
        && !text.contains(|sign: char| sign.is_whitespace() || "<>(),;:\\\"[]".contains(sign))
        && text.split_once('@').is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len())
                && !domain.contains('@')
                && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        });
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no e-mail address", "write the bare address, such as hello@example.com"))
    }
}

/// What a text message can come from: a number in E.164, a short code, or up to 11 letters and digits with a letter.
pub(super) fn sms_sender(text: &str) -> Judged {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('+').is_some_and(|rest| (8..=15).contains(&rest.len()) && digits(rest));
    let short_code = (3..=8).contains(&text.len()) && digits(text);
    let word = text.len() <= 11
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if number || short_code || word {
        Ok(())
    } else {
        let remedy = "use +441632960000, a short code, or at most 11 letters and digits";
        Err(Fault::new("is no sender of text messages", remedy))
    }
}

/// An `https` address.
pub(super) fn https(text: &str) -> Judged {
    url(text, false)
}

/// An `https` address, or plain `http` on this machine.
pub(super) fn endpoint(text: &str) -> Judged {
    url(text, true)
}

fn url(text: &str, plain_on_loopback: bool) -> Judged {
    let remedy = "write it like https://example.com/path";
    let url = reqwest::Url::parse(text).map_err(|error| Fault::new(format!("is no URL ({error})"), remedy))?;
    let Some(host) = url.host_str() else { return Err(Fault::new("names no host", remedy)) };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("carries a user or password", "remove what stands before the @"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("carries a query or fragment", "end it before the ? or #"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if plain_on_loopback && is_loopback(host) => Ok(()),
        "http" if plain_on_loopback => Err(Fault::new("is not encrypted", "use https; plain http only on 127.0.0.1")),
        _ => Err(Fault::new("is not https", remedy)),
    }
}

/// A host name or address without a port.
pub(super) fn host(text: &str) -> Judged {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let fits = bare.parse::<IpAddr>().is_ok()
        || (text.len() <= 253
            && text.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            }));
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no host name", "write it like mail.example.com; the port has its own key"))
    }
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A currency by its three letters.
pub(super) fn currency(text: &str) -> Judged {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(Fault::new("is no currency", "use its three capital letters, such as GBP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn table(judge: fn(&str) -> Judged, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(judge(text).is_ok(), "{text:?} should be accepted");
        }
        for text in bad {
            assert!(judge(text).is_err(), "{text:?} should be refused");
        }
    }

    #[test]
    fn addresses_are_bare() {
        let bad = ["", "a", "a@", "@b", "A <a@b.c>", "a@b..c", "a@-b.c", "a b@c.d", "a@b@c", "a@b.c\nBcc: d@e.f"];
        table(email, &["a@b.c", "first.last+tag@mail.example.com", "root@localhost"], &bad);
    }

    #[test]
    fn senders_are_numbers_codes_or_words() {
        table(
            sms_sender,
            &["+441632960000", "12345", "SMITHS", "The Smiths"],
            &["+44", "", "a-very-long-word", "123456789"],
        );
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        table(
            endpoint,
            &["https://a.example/x", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"],
            &[
                "http://a.example",
                "http://127.0.0.1.evil.example",
                "ftp://a.example",
                "https://user:pass@a.example",
                "https://a.example/?q",
                "a.example",
            ],
        );
        table(https, &["https://a.example"], &["http://127.0.0.1"]);
    }

    #[test]
    fn names_fit_variables() {
        table(name, &["a", "smith-jones", "2nd"], &["", "Smith", "a_b", "-a", "a.b", &"a".repeat(33)]);
        table(host, &["a.example", "127.0.0.1", "::1"], &["a.example:25", "", "a b", "http://x"]);
        table(currency, &["USD"], &["usd", "US", "DOLLAR"]);
    }
}
