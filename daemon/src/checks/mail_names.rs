//! What a domain publishes about who may send its mail: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489), judged from the
//! texts of its TXT records. Without DNS: whoever asked hands in what was answered.
//!
//! Gmail and Yahoo want all three of whoever sends in bulk since February 2024, Outlook.com since May 2025.

use super::finding::Finding;

/// Mechanisms that make a receiver ask DNS again; more than this many in a record make it void (RFC 7208 §4.6.4).
const SPF_LOOKUPS: usize = 10;
/// RSA keys below this are not counted as signed by large receivers (RFC 8301 §3.2).
const RSA_BITS: usize = 1024;

/// Judges the SPF record of a `domain` from its TXT records. `include` is what a provider asks to be named there, where it
/// does.
pub(super) fn spf(domain: &str, records: &[String], include: Option<&str>) -> Finding {
    let found: Vec<&String> = records.iter().filter(|text| is_version(text, "v=spf1")).collect();
    let record = match found.as_slice() {
        [] => {
            let wanted =
                include.map_or_else(|| "v=spf1 … -all".to_owned(), |name| format!("v=spf1 include:{name} -all"));
            return Finding::fail(
                format!("{domain} has no SPF record"),
                format!("publish a TXT record at {domain} that names its senders: {wanted}"),
            );
        }
        [one] => one.as_str(),
        many => {
            return Finding::fail(
                format!("{domain} has {} SPF records, and receivers then heed none", many.len()),
                "put them together into one TXT record",
            );
        }
    };
    let terms: Vec<String> = record.split_whitespace().skip(1).map(str::to_ascii_lowercase).collect();
    let bare = |term: &str| term.trim_start_matches(['+', '-', '~', '?']).to_owned();
    if terms.iter().any(|term| term == "all" || term == "+all") {
        return Finding::fail(
            format!("{domain} lets everybody send in its name (+all)"),
            "end the record with -all or ~all",
        );
    }
    let asks = terms.iter().map(|term| bare(term)).filter(|term| asks_dns(term)).count();
    if asks > SPF_LOOKUPS {
        return Finding::fail(
            format!("the SPF record of {domain} asks for {asks} look-ups, and {SPF_LOOKUPS} are allowed"),
            "take out includes that nobody sends by",
        );
    }
    if let Some(name) = include
        && !terms.iter().any(|term| bare(term) == format!("include:{name}") || term.starts_with("redirect="))
    {
        return Finding::warn(
            format!("the SPF record of {domain} does not name {name}"),
            format!("add include:{name}, unless your provider gave you a return path of your own"),
        );
    }
    if !terms.iter().any(|term| term.ends_with("all") || term.starts_with("redirect=")) {
        return Finding::warn(
            format!("the SPF record of {domain} does not say what of the others"),
            "end it with -all or ~all",
        );
    }
    Finding::pass(format!("{record} ({asks} of {SPF_LOOKUPS} look-ups)"))
}

fn asks_dns(term: &str) -> bool {
    let name = term.split([':', '/', '=']).next().unwrap_or_default();
    matches!(name, "include" | "a" | "mx" | "ptr" | "exists" | "redirect")
}

/// Judges a DKIM key from the TXT records at `<selector>._domainkey.<domain>`, which `name` is.
pub(super) fn dkim(name: &str, records: &[String]) -> Finding {
    // The version is optional (RFC 6376 §3.6.1), the key is not.
    let found = records.iter().map(|text| tags(text)).find(|tags| tags.iter().any(|(tag, _)| tag == "p"));
    let Some(tags) = found else {
        return Finding::fail(
            format!("there is no DKIM key at {name}"),
            "publish the record that your provider shows, or correct the provider's dkim_selector",
        );
    };
    let get = |tag: &str| tags.iter().find(|(name, _)| name == tag).map(|(_, value)| value.as_str());
    let key: String = get("p").unwrap_or_default().chars().filter(|c| !c.is_whitespace() && *c != '=').collect();
    if key.is_empty() {
        return Finding::fail(
            format!("the DKIM key at {name} is revoked (empty p=)"),
            "publish the provider's present key",
        );
    }
    let kind = get("k").unwrap_or("rsa");
    if kind != "rsa" {
        return Finding::pass(format!("{kind} key"));
    }
    // Base64 of a SubjectPublicKeyInfo: the modulus is all but 34 bytes or a few more of it.
    let bits = (key.len() * 6).saturating_sub(34 * 8);
    if bits < RSA_BITS {
        return Finding::fail(
            format!("the DKIM key at {name} is of about {bits} bits, which large receivers do not accept"),
            "have the provider make a key of 2,048 bits",
        );
    }
    Finding::pass(format!("rsa key of about {} bits", bits / 256 * 256))
}

/// Judges the DMARC record that holds for `domain`: the TXT records at `_dmarc.` of it, or of the domain above it where it has
/// none of its own, with the name at which they were found.
pub(super) fn dmarc(domain: &str, found_at: &str, records: &[String]) -> Finding {
    let found: Vec<Vec<(String, String)>> =
        records.iter().filter(|text| is_version(text, "v=DMARC1")).map(|text| tags(text)).collect();
    let tags = match found.as_slice() {
        [] => {
            return Finding::fail(
                format!("{domain} has no DMARC record"),
                format!("publish a TXT record at _dmarc.{domain}: v=DMARC1; p=none; rua=mailto:… at least"),
            );
        }
        [one] => one,
        many => {
            return Finding::fail(
                format!("{found_at} has {} DMARC records, and receivers then heed none", many.len()),
                "leave one",
            );
        }
    };
    let get = |tag: &str| tags.iter().find(|(name, _)| name == tag).map(|(_, value)| value.to_ascii_lowercase());
    let inherited = found_at != format!("_dmarc.{domain}");
    let policy = if inherited { get("sp").or_else(|| get("p")) } else { get("p") };
    match policy.as_deref() {
        Some("none") => Finding::warn(
            format!("DMARC of {domain} only watches (p=none)"),
            "receivers accept it; go on to p=quarantine once its reports are clean",
        ),
        Some(policy @ ("quarantine" | "reject")) => Finding::pass(format!("p={policy} at {found_at}")),
        Some(other) => Finding::fail(
            format!("DMARC at {found_at} has the policy `{other}`, which is none"),
            "write p=none, quarantine or reject",
        ),
        None => Finding::fail(format!("DMARC at {found_at} has no policy"), "add p=none, quarantine or reject"),
    }
}

/// The names above a domain at which its DMARC record may stand, its own first; never a top-level domain alone.
pub(super) fn dmarc_names(domain: &str) -> Vec<String> {
    let labels: Vec<&str> = domain.split('.').collect();
    (0..labels.len().saturating_sub(1)).map(|from| format!("_dmarc.{}", labels[from..].join("."))).collect()
}

fn is_version(text: &str, version: &str) -> bool {
    let text = text.trim_start();
    let (head, rest) = text.split_at_checked(version.len()).unwrap_or((text, ""));
    head.eq_ignore_ascii_case(version) && rest.chars().next().is_none_or(|c| c == ' ' || c == ';')
}

fn tags(text: &str) -> Vec<(String, String)> {
    text.split(';')
        .filter_map(|part| part.split_once('='))
        .map(|(tag, value)| (tag.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::Grade;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn spf_is_judged_by_what_receivers_do_with_it() {
        let many = format!("v=spf1 {} -all", "include:a.example ".repeat(11));
        let cases: [(&[&str], Option<&str>, Grade, &str); 10] = [
            (&["google-site-verification=x"], None, Grade::Fail, "has no SPF record"),
            (&["v=spf1 include:sendgrid.net -all"], Some("sendgrid.net"), Grade::Pass, "1 of 10 look-ups"),
            (&["V=SPF1 ~include:sendgrid.net ~all"], Some("sendgrid.net"), Grade::Pass, "1 of 10 look-ups"),
            (&["v=spf1 mx -all"], Some("sendgrid.net"), Grade::Warn, "does not name sendgrid.net"),
            (&["v=spf1 redirect=_spf.example.com"], Some("sendgrid.net"), Grade::Pass, "1 of 10"),
            (&["v=spf1 +all"], None, Grade::Fail, "lets everybody send"),
            (&["v=spf1 all"], None, Grade::Fail, "lets everybody send"),
            (&["v=spf1 mx"], None, Grade::Warn, "does not say what of the others"),
            (&["v=spf1 mx -all", "v=spf1 a -all"], None, Grade::Fail, "has 2 SPF records"),
            (&[many.as_str()], None, Grade::Fail, "asks for 11 look-ups"),
        ];
        for (records, include, grade, says) in cases {
            let found = spf("ours.example", &texts(records), include);
            assert_eq!(found.grade, grade, "{records:?}: {found:?}");
            assert!(found.reason.contains(says), "{records:?}: {}", found.reason);
        }
        // A record that only begins alike is another protocol's.
        assert_eq!(spf("ours.example", &texts(&["v=spf10 x"]), None).grade, Grade::Fail);
    }

    #[test]
    fn dkim_needs_a_key_that_is_there_and_long_enough() {
        let (short, long) = ("A".repeat(128), "A".repeat(392));
        let cases = [
            (texts(&["something else"]), Grade::Fail, "there is no DKIM key"),
            (texts(&["v=DKIM1; k=rsa; p="]), Grade::Fail, "revoked"),
            (vec![format!("v=DKIM1; p={short}")], Grade::Fail, "about 496 bits"),
            (vec![format!("k=rsa; p={long}")], Grade::Pass, "about 2048 bits"),
            (texts(&["v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]), Grade::Pass, "ed25519"),
        ];
        for (records, grade, says) in cases {
            let found = dkim("s1._domainkey.ours.example", &records);
            assert_eq!(found.grade, grade, "{records:?}: {found:?}");
            assert!(found.reason.contains(says), "{}", found.reason);
        }
    }

    #[test]
    fn dmarc_holds_for_what_is_below_it() {
        assert_eq!(dmarc_names("mail.ours.example"), ["_dmarc.mail.ours.example", "_dmarc.ours.example"]);
        let own = "_dmarc.mail.ours.example";
        let above = "_dmarc.ours.example";
        let cases = [
            (own, texts(&[]), Grade::Fail, "has no DMARC record"),
            (own, texts(&["v=DMARC1; p=none; rua=mailto:a@b.example"]), Grade::Warn, "only watches"),
            (own, texts(&["v=DMARC1; p=reject"]), Grade::Pass, "p=reject at _dmarc.mail"),
            (above, texts(&["v=DMARC1; p=reject; sp=none"]), Grade::Warn, "only watches"),
            (above, texts(&["v=DMARC1; p=quarantine"]), Grade::Pass, "p=quarantine at _dmarc.ours"),
            (own, texts(&["v=DMARC1; p=maybe"]), Grade::Fail, "`maybe`"),
            (own, texts(&["v=DMARC1; rua=mailto:a@b.example"]), Grade::Fail, "no policy"),
            (own, texts(&["v=DMARC1; p=none", "v=DMARC1; p=reject"]), Grade::Fail, "2 DMARC records"),
        ];
        for (at, records, grade, says) in cases {
            let found = dmarc("mail.ours.example", at, &records);
            assert_eq!(found.grade, grade, "{records:?}: {found:?}");
            assert!(found.reason.contains(says), "{}", found.reason);
        }
    }
}
