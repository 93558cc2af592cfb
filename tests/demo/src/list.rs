//! A guest list made up on the spot: the same seed makes the same list, and nobody on it exists.
//! Promises: addresses under example.com, .net and .org only (RFC 2606); numbers from ranges that British and American
//! numbering plans count as mobile, each at most once.

use std::fmt::Write as _;

const FIRST: [&str; 24] = [
    "Ada", "Ben", "Chiara", "Dmitri", "Esther", "Farid", "Grace", "Hugo", "Imogen", "Jonas", "Keiko", "Liam", "Maren",
    "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Soren", "Tamsin", "Ulrich", "Vera", "Wanda", "Zoë",
];
const LAST: [&str; 20] = [
    "Abbott",
    "Brandt",
    "Castellanos",
    "Dvořák",
    "Eriksen",
    "Fairweather",
    "Goldberg",
    "Hollins",
    "Ibarra",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Marchetti",
    "Novak",
    "Okafor",
    "Pemberton",
    "Quayle",
    "Rossi",
    "Sinclair",
    "Thackeray",
];
const DIET: [&str; 5] = ["none", "vegetarian", "vegan", "gluten-free", "no nuts"];
const RSVP: [&str; 3] = ["confirmed", "pending", "declined"];
const GROUP: [&str; 4] = ["family", "friends", "work", "ceremony-only"];
/// American area codes; each has the hundred numbers 555-0100 to 555-0199, which belong to nobody.
const AREA: [&str; 10] = ["202", "206", "212", "213", "303", "312", "404", "415", "617", "702"];

/// A list of `guests` as a CSV file, all with an e-mail address and a mobile number; at most 1,000,000.
pub fn guest_list(guests: usize, seed: u64) -> String {
    let mut dice = Dice(seed ^ 0x9E37_79B9_7F4A_7C15);
    let mut csv = String::from("email,name,phone,dietary_requirements,plus_one,rsvp_status,groups,country\n");
    for n in 0..guests.min(1_000_000) {
        let (first, last) = (dice.pick(&FIRST), dice.pick(&LAST));
        let tld = dice.pick(&["com", "net", "org"]);
        // Every tenth lives in America, as long as there are numbers for them.
        let american = (n % 10 == 0).then_some(n / 10).filter(|m| *m < AREA.len() * 100);
        let (phone, country) = match american {
            Some(m) => (format!("+1{}55501{:02}", AREA[m / 100], m % 100), "US"),
            None => (format!("+447400{n:06}"), "GB"),
        };
        let (diet, rsvp, group) = (dice.pick(&DIET), dice.pick(&RSVP), dice.pick(&GROUP));
        let plus_one = dice.pick(&["yes", "no"]);
        writeln!(csv, "guest{n:06}@example.{tld},{first} {last},{phone},{diet},{plus_one},{rsvp},{group},{country}")
            .expect("writing to a string does not fail");
    }
    csv
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        from[((z ^ (z >> 31)) % from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_makes_one_list_and_nobody_shares_a_number() {
        let csv = guest_list(10_000, 7);
        assert_eq!(csv, guest_list(10_000, 7));
        assert_ne!(csv, guest_list(10_000, 8));
        let numbers: BTreeSet<_> = csv.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
