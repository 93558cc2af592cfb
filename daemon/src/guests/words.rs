//! The words that lists use for yes, no, nothing, answers and countries, in the languages that weddings are held in.

use usher_common::model::Rsvp;

use super::fold::fold;

/// Whether a cell says yes or no; `None` when it says neither. An empty one says no.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    let text = text.trim();
    if text == "✓" || text == "✔" || text == "☑" || text == "+" {
        return Some(true);
    }
    match fold(text).as_str() {
        "yes" | "y" | "true" | "t" | "1" | "x" | "on" | "ja" | "j" | "wahr" | "oui" | "o" | "vrai" | "si" | "s"
        | "verdadero" | "vero" | "sim" | "tak" | "ano" | "da" | "igen" | "evet" | "kylla" | "plusone" => Some(true),
        "" | "no" | "n" | "false" | "f" | "0" | "off" | "nein" | "falsch" | "non" | "faux" | "falso" | "nao"
        | "nie" | "ne" | "nem" | "hayir" | "nej" | "nee" | "ei" | "none" | "na" => Some(false),
        _ => None,
    }
}

/// The answer that a cell gives; `None` when it is none that is known. An empty one has not been given yet.
pub(super) fn rsvp(text: &str) -> Option<Rsvp> {
    match fold(text).as_str() {
        "confirmed" | "accepted" | "accepts" | "accept" | "attending" | "coming" | "yes" | "y" | "zugesagt"
        | "zusage" | "ja" | "oui" | "confirme" | "confirmee" | "present" | "si" | "confirmado" | "confirmada" => {
            Some(Rsvp::Confirmed)
        }
        "" | "pending" | "invited" | "noreply" | "noresponse" | "noanswer" | "awaiting" | "open" | "offen"
        | "enattente" | "pendiente" => Some(Rsvp::Pending),
        "declined" | "declines" | "decline" | "regrets" | "regret" | "notattending" | "notcoming" | "no" | "n"
        | "abgesagt" | "absage" | "nein" | "non" | "refuse" | "refusee" | "absent" | "rechazado" | "rechazada" => {
            Some(Rsvp::Declined)
        }
        _ => None,
    }
}

/// Whether a cell about food says "nothing special", which is kept as an empty text so that `diet is empty` finds it.
pub(super) fn eats_everything(text: &str) -> bool {
    let nothing = ["none", "no", "nothing", "na", "keine", "kein", "aucun", "aucune", "rien", "ninguno", "ninguna"];
    text.chars().all(|c| matches!(c, '-' | '–' | '—' | '/' | '.')) || nothing.contains(&fold(text).as_str())
}

/// ISO 3166-1 alpha-2 in upper case, from such a code in any case or from `UK`, `USA` or another alpha-3 code of the
/// countries where people write it.
pub fn country(text: &str) -> Option<String> {
    let code = text.trim().to_ascii_uppercase();
    let code = match code.as_str() {
        "UK" | "GBR" => "GB",
        "USA" => "US",
        "CAN" => "CA",
        "AUS" => "AU",
        "DEU" => "DE",
        "AUT" => "AT",
        "CHE" => "CH",
        "FRA" => "FR",
        "ESP" => "ES",
        "ITA" => "IT",
        "IRL" => "IE",
        "NLD" => "NL",
        "IND" => "IN",
        "MEX" => "MX",
        other => other,
    };
    (code.len() == 2 && COUNTRIES.split(' ').any(|known| known == code)).then(|| code.to_owned())
}

/// ISO 3166-1 alpha-2, the 249 codes that are assigned officially, and `XK`, which mail and telephone know as Kosovo.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET \
    FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ \
    IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML \
    MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS \
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL \
    TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Whether a language tag may begin with this: two letters that ISO 639-1 assigns, or any three, of which there are
/// thousands.
pub(super) fn is_language(text: &str) -> bool {
    let code = text.to_ascii_lowercase();
    match code.len() {
        2 => LANGUAGES.split_ascii_whitespace().any(|known| known == code),
        3 => code.bytes().all(|b| b.is_ascii_lowercase()),
        _ => false,
    }
}

/// ISO 639-1, all codes in use.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de \
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it \
    iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd \
    ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st \
    su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_are_understood_in_several_languages() {
        for yes in ["yes", "Y", "TRUE", "1", "x", "ja", "Oui", "sí", "si", "✓"] {
            assert_eq!(yes_or_no(yes), Some(true), "{yes}");
        }
        for no in ["no", "N", "false", "0", "", " ", "nein", "non", "não", "—"] {
            assert_eq!(yes_or_no(no), Some(false), "{no}");
        }
        for neither in ["maybe", "2", "with Maria"] {
            assert_eq!(yes_or_no(neither), None, "{neither}");
        }
    }

    #[test]
    fn answers_are_the_three_words_and_their_obvious_synonyms() {
        for (text, answer) in [
            ("CONFIRMED", Some(Rsvp::Confirmed)),
            ("attending", Some(Rsvp::Confirmed)),
            ("Regrets", Some(Rsvp::Declined)),
            ("not attending", Some(Rsvp::Declined)),
            ("", Some(Rsvp::Pending)),
            ("maybe", None),
        ] {
            assert_eq!(rsvp(text), answer, "{text}");
        }
    }

    #[test]
    fn countries_are_codes() {
        assert_eq!(COUNTRIES.split(' ').count(), 250);
        assert_eq!(country("gb").as_deref(), Some("GB"));
        assert_eq!(country("UK").as_deref(), Some("GB"));
        assert_eq!(country("ZZ"), None);
        assert_eq!(country("A "), None);
    }
}
