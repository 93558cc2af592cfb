//! The world outside: whether the providers answer, what is left on prepaid accounts, how long certificates are good, whether our
//! clock is theirs, and what our domains publish.

use std::collections::BTreeSet;

use usher_common::model::{Channel, ProviderKind, Timestamp};

use super::finding::Finding;
use super::{List, Surroundings, mail_names};
use crate::config::{ProviderAccess, ProviderSettings};
use crate::dispatch::Account;
use crate::providers::{Balance, Look, Probe};

const DAY_MS: i64 = 86_400_000;
/// A certificate that is good for less is somebody's task this week.
const CERTIFICATE_DAYS: i64 = 14;
/// Signatures of reports are good for 300 s at most, so that a clock that is off by half of it is about to break them.
const CLOCK_WARN_MS: i64 = 10_000;
const CLOCK_FAIL_MS: i64 = 150_000;

impl Surroundings {
    /// Of each provider: whether it would take messages, what it was asked to be slower for, its balance, certificate and clock.
    pub(super) fn providers<'s>(&'s self, list: &mut List<'s>) {
        if self.accounts.is_empty() {
            list.know("provider", Finding::fail("no provider is set, so nothing can be sent", "add a [[provider]]"));
        }
        for account in &self.accounts {
            let name = account.provider.name();
            list.add(format!("provider.{name}.status"), async move { status(account.provider.probe().await) });
            list.know(format!("provider.{name}.rate-limit"), rate_limit(account, self.clock.now()));
            let account = account.as_ref();
            list.add(format!("provider.{name}.certificate"), async move {
                certificate(&account.provider.look().await, self.clock.now())
            });
            if account.provider.kind() == ProviderKind::Twilio {
                let queued = self.live.as_ref().map_or(0, |live| live.waiting(Channel::Sms));
                let (price, currency) = (account.unit_price, account.currency.as_str());
                list.add(format!("provider.{name}.balance"), async move {
                    balance(&account.provider.balance().await, queued, price, currency)
                });
            }
        }
        list.add("clock.outside", async move {
            for account in &self.accounts {
                let look = account.provider.look().await;
                if let Some(date) = look.date {
                    return clock(self.clock.now().millis_since(date), account.provider.name());
                }
            }
            Finding::skip("no provider told its time")
        });
    }

    /// Of each domain that mail is sent from: SPF and DMARC; and DKIM for each provider that sends it.
    pub(super) fn mail_names<'s>(&'s self, list: &mut List<'s>) {
        let config = &self.loaded.config;
        let by_mail: Vec<&ProviderSettings> =
            config.providers.iter().filter(|provider| provider.channel == Channel::Email).collect();
        let mut domains: BTreeSet<String> = BTreeSet::new();
        let mut signed: BTreeSet<(String, String)> = BTreeSet::new();
        let mut includes: BTreeSet<(String, Option<&'static str>)> = BTreeSet::new();
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        for provider in by_mail {
            let own = provider.from.as_deref().and_then(domain_of);
            let of_all = config.organisations.iter().filter_map(|one| domain_of(one.from_email.as_deref()?));
            let froms: Vec<String> = own.map_or_else(|| of_all.collect(), |own| vec![own]);
            for domain in froms {
                match &provider.dkim_selector {
                    Some(selector) => {
                        signed.insert((selector.clone(), domain.clone()));
                    }
                    None => {
                        unknown.insert(&provider.name);
                    }
                }
                includes.insert((domain.clone(), spf_include(&provider.access)));
                domains.insert(domain);
            }
        }
        if domains.is_empty() {
            list.know("dns", Finding::skip("no mail is sent: no provider of e-mail, or no sender"));
        }
        for (domain, include) in includes {
            // Where some providers ask for a name of theirs and others do not, one question is enough.
            let name = include.map_or(format!("dns.{domain}.spf"), |of| format!("dns.{domain}.spf.{of}"));
            list.add(name, async move {
                match self.names.txt(&domain).await {
                    Ok(records) => mail_names::spf(&domain, &records, include),
                    Err(why) => unasked(&domain, &why),
                }
            });
        }
        for (selector, domain) in signed {
            let name = format!("{selector}._domainkey.{domain}");
            list.add(format!("dns.{domain}.dkim.{selector}"), async move {
                match self.names.txt(&name).await {
                    Ok(records) => mail_names::dkim(&name, &records),
                    Err(why) => unasked(&name, &why),
                }
            });
        }
        for provider in unknown {
            let found = Finding::skip(format!("the selector that {provider} signs with is not set (dkim_selector)"));
            list.know(format!("dns.dkim.{provider}"), found);
        }
        for domain in domains {
            list.add(format!("dns.{domain}.dmarc"), async move {
                let mut at = format!("_dmarc.{domain}");
                for name in mail_names::dmarc_names(&domain) {
                    match self.names.txt(&name).await {
                        Ok(records) if records.is_empty() => {}
                        Ok(records) => return mail_names::dmarc(&domain, &name, &records),
                        Err(why) => return unasked(&name, &why),
                    }
                    at = name;
                }
                mail_names::dmarc(&domain, &at, &[])
            });
        }
    }
}

fn unasked(name: &str, why: &str) -> Finding {
    Finding::warn(format!("DNS could not be asked for {name}: {why}"), "see whether the machine's resolvers answer")
}

fn domain_of(address: &str) -> Option<String> {
    address.rsplit_once('@').map(|(_, domain)| domain.trim_end_matches('>').to_ascii_lowercase())
}

/// What a provider asks to be named in the SPF record of a domain that it sends for. Resend sends from a domain below it, which
/// has a record of its own; SendGrid's automated security does the same by a name, and asks for an include without it.
fn spf_include(access: &ProviderAccess) -> Option<&'static str> {
    matches!(access, ProviderAccess::SendGrid { .. }).then_some("sendgrid.net")
}

fn status(probe: Probe) -> Finding {
    match probe {
        Probe::Up(detail) => Finding::pass(detail),
        Probe::Unclear(detail) => Finding::pass(format!("{detail} (the rest cannot be seen with these credentials)")),
        Probe::Unusable(detail) => Finding::fail(
            format!("it answers that this account cannot send: {detail}"),
            "see the account at the provider, and its credentials here",
        ),
        Probe::Down(detail) => Finding::fail(detail, "see the provider's status page; drain it if it stays so"),
    }
}

fn rate_limit(account: &Account, now: Timestamp) -> Finding {
    let row = account.row();
    let rate =
        account.messages_a_second().map_or("no limit of ours".to_owned(), |rate| format!("{rate} messages a second"));
    match row.throttled_until.filter(|until| *until > now) {
        Some(until) => Finding::warn(
            format!("it asked to wait until {}; {rate}", crate::clock::utc(until, now)),
            "lower rate_per_second if that happens often, or have the limit raised",
        ),
        None => Finding::pass(rate),
    }
}

fn certificate(look: &Look, now: Timestamp) -> Finding {
    if !look.fault.is_empty() {
        return Finding::fail(
            format!("it cannot be looked at: {}", look.fault),
            "see whether its name, port and certificate are right",
        );
    }
    let Some(until) = look.certificate else { return Finding::skip("no TLS, which is only so on this machine") };
    let days = until.millis_since(now).div_euclid(DAY_MS);
    if days < CERTIFICATE_DAYS {
        Finding::warn(format!("good for {days} more days"), "most renew theirs before; if it is yours, renew it")
    } else {
        Finding::pass(format!("good for {days} more days"))
    }
}

/// Judges a prepaid account beside what waits to be paid from it.
fn balance(found: &Balance, queued: u64, price: f64, currency: &str) -> Finding {
    let top_up = "top it up, or let it do so by itself: with nothing left every message is refused";
    match found {
        Balance::NotOffered => Finding::skip("it has no balance to ask for"),
        Balance::Failed(why) => {
            Finding::warn(format!("the balance could not be asked for: {why}"), "look at the provider's console")
        }
        Balance::Left { amount, currency: unit } if *amount <= 0.0 => {
            Finding::fail(format!("{amount:.2} {unit} are left"), top_up)
        }
        Balance::Left { amount, currency: unit } => {
            let cost = queued as f64 * price;
            if unit == currency && cost > *amount {
                let reason =
                    format!("{amount:.2} {unit} are left, and {queued} messages that wait cost {cost:.2} at least");
                Finding::fail(reason, top_up)
            } else {
                Finding::pass(format!("{amount:.2} {unit} are left, {queued} messages wait"))
            }
        }
    }
}

/// Judges by how many milliseconds our clock is ahead of another's, which tells whole seconds.
fn clock(ahead_ms: i64, whose: &str) -> Finding {
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let seen = format!("{:.0} s {way} that of {whose}", ahead_ms.abs() as f64 / 1_000.0);
    let remedy = "have the machine keep time (timedatectl set-ntp true)";
    match ahead_ms.abs() {
        off if off > CLOCK_FAIL_MS => Finding::fail(format!("{seen}: signatures of reports are refused"), remedy),
        off if off > CLOCK_WARN_MS => Finding::warn(seen, remedy),
        _ => Finding::pass(format!("as that of {whose}, to {} s", CLOCK_WARN_MS / 1_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::Grade;

    #[test]
    fn a_balance_is_judged_by_what_waits() {
        let left = |amount: f64| Balance::Left { amount, currency: "USD".into() };
        let cases = [
            (left(-0.1), 0, 0.0, Grade::Fail),
            (left(0.0), 0, 0.0, Grade::Fail),
            (left(5.0), 100, 0.04, Grade::Pass),
            (left(5.0), 100, 0.06, Grade::Fail),
            (Balance::Failed("HTTP 500".into()), 0, 0.0, Grade::Warn),
            (Balance::NotOffered, 0, 0.0, Grade::Skip),
        ];
        for (found, queued, price, grade) in cases {
            assert_eq!(balance(&found, queued, price, "USD").grade, grade, "{found:?} {queued} {price}");
        }
        // Another currency cannot be compared.
        assert_eq!(balance(&left(5.0), 100, 0.06, "EUR").grade, Grade::Pass);
    }

    #[test]
    fn a_clock_that_is_off_is_told_before_signatures_break() {
        for (off, grade) in [(0, Grade::Pass), (-9_999, Grade::Pass), (30_000, Grade::Warn), (-151_000, Grade::Fail)] {
            assert_eq!(clock(off, "resend").grade, grade, "{off}");
        }
    }

    #[test]
    fn a_certificate_is_told_two_weeks_before_its_end() {
        let now = Timestamp(1_000 * DAY_MS);
        let look = |days: i64| Look { certificate: Some(now.plus_millis(days * DAY_MS)), ..Look::default() };
        assert_eq!(certificate(&look(14), now).grade, Grade::Pass);
        assert_eq!(certificate(&look(13), now).grade, Grade::Warn);
        assert_eq!(certificate(&Look::default(), now).grade, Grade::Skip);
        let broken = Look { fault: "refused".into(), ..Look::default() };
        assert_eq!(certificate(&broken, now).grade, Grade::Fail);
    }

    #[test]
    fn the_domain_of_a_sender_is_found_in_both_of_its_forms() {
        assert_eq!(domain_of("a@Ours.Example").as_deref(), Some("ours.example"));
        assert_eq!(domain_of("Ada <a@ours.example>").as_deref(), Some("ours.example"));
        assert_eq!(domain_of("nobody"), None);
    }
}
