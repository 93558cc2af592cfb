//! The rules that hold a message back at its release.

use usher_common::model::Channel;

/// What a message says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// How it travels.
    pub channel: Channel,
    /// Plain text as the guest would read it.
    pub text: &'a str,
    /// HTML part; empty for none.
    pub html: &'a str,
    /// Header fields beyond the usual ones.
    pub headers: &'a [(String, String)],
}

/// What is known of the organisation in whose name it goes out.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Postal address, on one line.
    pub postal_address: &'a str,
}

/// Why a message may not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's id.
    pub rule: &'static str,
    /// The clause that it comes from.
    pub clause: &'static str,
    /// What it was judged by; never an address.
    pub evidence: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Refusal {
    /// The refusal in a few words, for the message's own record.
    pub fn why(&self) -> String {
        format!("{}: {}", self.rule, self.evidence)
    }
}

/// Asks every rule; the first that refuses is told. `suppressed` is why the address must not be written to, where it
/// must not.
pub fn gate(letter: &Letter<'_>, sender: &Sender<'_>, suppressed: Option<&str>) -> Result<(), Refusal> {
    not_suppressed(suppressed)?;
    if letter.channel == Channel::Email {
        shows_postal_address(letter, sender)?;
        one_click_opt_out(letter)?;
    }
    Ok(())
}

fn not_suppressed(suppressed: Option<&str>) -> Result<(), Refusal> {
    match suppressed {
        None => Ok(()),
        Some(reason) => Err(Refusal {
            rule: "SUPPRESSED",
            clause: "15 U.S.C. 7704(a)(4); GDPR Art. 21(3)",
            evidence: format!("the address is suppressed ({reason})"),
            remedy: "nothing: this person asked not to be written to, or cannot be",
        }),
    }
}

fn shows_postal_address(letter: &Letter<'_>, sender: &Sender<'_>) -> Result<(), Refusal> {
    let refusal = |evidence: &str| Refusal {
        rule: "POSTAL-ADDRESS",
        clause: "15 U.S.C. 7704(a)(5)(A)(iii)",
        evidence: evidence.to_owned(),
        remedy: "set postal_address for the organisation, and keep {{postal_address}} in the template",
    };
    let address = fold(sender.postal_address);
    if address.is_empty() {
        return Err(refusal("the organisation has no postal address"));
    }
    if !fold(letter.text).contains(&address) {
        return Err(refusal("the text does not show the organisation's postal address"));
    }
    Ok(())
}

/// Words in lower case with single spaces, so that a line break inside an address does not hide it.
fn fold(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

fn one_click_opt_out(letter: &Letter<'_>) -> Result<(), Refusal> {
    let refusal = |evidence: &str| Refusal {
        rule: "RFC8058-ONE-CLICK",
        clause: "RFC 8058 section 3.1; RFC 2369 section 2",
        evidence: evidence.to_owned(),
        remedy: "set unsubscribe_base for the organisation to the https address where opt-outs are taken",
    };
    let Some(list) = header(letter, "List-Unsubscribe") else {
        return Err(refusal("List-Unsubscribe is absent"));
    };
    let uris: Vec<&str> = list.split(',').map(str::trim).collect();
    if !uris.iter().all(|uri| uri.starts_with('<') && uri.ends_with('>') && !uri.contains(char::is_whitespace)) {
        return Err(refusal("List-Unsubscribe is not a list of <URI>"));
    }
    if uris.iter().filter(|uri| uri.starts_with("<https://")).count() != 1
        || uris.iter().any(|uri| uri.starts_with("<http://"))
    {
        return Err(refusal("List-Unsubscribe does not hold exactly one https URI"));
    }
    if header(letter, "List-Unsubscribe-Post").map(str::trim) != Some("List-Unsubscribe=One-Click") {
        return Err(refusal("List-Unsubscribe-Post is not List-Unsubscribe=One-Click"));
    }
    Ok(())
}

fn header<'a>(letter: &Letter<'a>, name: &str) -> Option<&'a str> {
    letter.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(unsubscribe: &str, post: &str) -> Vec<(String, String)> {
        vec![
            ("List-Unsubscribe".to_owned(), unsubscribe.to_owned()),
            ("List-Unsubscribe-Post".to_owned(), post.to_owned()),
        ]
    }

    const POST: &str = "List-Unsubscribe=One-Click";
    const SENDER: Sender<'static> = Sender { postal_address: "1 Mill Lane, Bath BA1 1AA" };

    fn refused(text: &str, headers: &[(String, String)], sender: &Sender<'_>) -> Option<&'static str> {
        let letter = Letter { channel: Channel::Email, text, html: "", headers };
        gate(&letter, sender, None).err().map(|r| r.rule)
    }

    #[test]
    fn a_whole_letter_passes_and_each_thing_taken_away_stops_it() {
        let whole = headers("<https://x.example/u/abc>, <mailto:stop@x.example>", POST);
        let text = "Dear Zoë\n\n1 Mill Lane,\nBath BA1 1AA";
        assert_eq!(refused(text, &whole, &SENDER), None);
        assert_eq!(refused("Dear Zoë", &whole, &SENDER), Some("POSTAL-ADDRESS"));
        assert_eq!(refused(text, &whole, &Sender { postal_address: " " }), Some("POSTAL-ADDRESS"));
        assert_eq!(refused(text, &whole[1..], &SENDER), Some("RFC8058-ONE-CLICK"));
        assert_eq!(refused(text, &whole[..1], &SENDER), Some("RFC8058-ONE-CLICK"));
    }

    #[test]
    fn the_opt_out_header_is_read_strictly() {
        let text = "1 Mill Lane, Bath BA1 1AA";
        for bad in
            ["https://x.example/u/abc", "<http://x.example/u>", "<mailto:a@x.example>", "<https://a>,<https://b>"]
        {
            assert_eq!(refused(text, &headers(bad, POST), &SENDER), Some("RFC8058-ONE-CLICK"), "{bad}");
        }
        assert_eq!(refused(text, &headers("<https://a>", "One-Click"), &SENDER), Some("RFC8058-ONE-CLICK"));
    }

    #[test]
    fn a_suppressed_address_is_refused_on_every_channel() {
        for channel in Channel::ALL {
            let letter = Letter { channel, text: "", html: "", headers: &[] };
            let refusal = gate(&letter, &SENDER, Some("opted out")).expect_err("suppressed");
            assert_eq!(refusal.rule, "SUPPRESSED");
            assert!(refusal.why().contains("opted out"));
        }
    }
}
