//! Approved templates of WhatsApp: what a campaign says about one, checked when it is written and filled in for each guest.
//!
//! The words lie with WhatsApp, so only their places are ours: each is a small template of its own, with the tokens that
//! every template has. What comes out is one line without tabs, since WhatsApp takes nothing else.

use usher_common::model::{Channel, TemplateBody, WhatsAppParameter, WhatsAppTemplate};

use super::context::Context;
use super::template::{Template, TemplateError};

/// Longest name that WhatsApp gives a template, in characters.
const NAME_MAX: usize = 512;
/// More places than any approved template has.
const PLACES_MAX: usize = 32;

/// Why an approved template cannot be used or filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhatsAppError {
    /// The name is none that WhatsApp gives.
    #[error("`{0}` is no name of a template at WhatsApp: it has small letters, digits and _; copy it from there")]
    Name(String),
    /// The language is none that WhatsApp knows.
    #[error("`{0}` is no language of a template at WhatsApp: write it as it was approved, such as en or en_GB")]
    Language(String),
    /// Too many places.
    #[error("{0} parameters, and {PLACES_MAX} are the most: give one for each place of the template")]
    TooMany(usize),
    /// Some places have names, others have none.
    #[error("some parameters have names and some have none: a template's places are either named or numbered")]
    Mixed,
    /// A place's words cannot be used, or not for this guest.
    #[error("parameter {place}: {source}")]
    Place {
        /// Its name, or its number from 1.
        place: String,
        /// What is wrong.
        source: Box<TemplateError>,
    },
    /// A place would be empty, which WhatsApp refuses.
    #[error("parameter {place} is empty for this guest: write {{{{ … | default(\"…\") }}}}")]
    Empty {
        /// Its name, or its number from 1.
        place: String,
    },
}

/// An approved template, ready to be filled in.
pub struct Approved {
    name: String,
    language: String,
    places: Vec<(String, Template)>,
}

impl Approved {
    /// Checks what an author wrote and compiles its places, which may use the columns of a list, too, by their keys.
    pub fn compile(written: &WhatsAppTemplate, custom: &[String]) -> Result<Self, WhatsAppError> {
        if !is_name(&written.name) {
            return Err(WhatsAppError::Name(written.name.clone()));
        }
        if !is_language(&written.language) {
            return Err(WhatsAppError::Language(written.language.clone()));
        }
        let named = written.parameters.iter().filter(|parameter| !parameter.name.is_empty()).count();
        if named != 0 && named != written.parameters.len() {
            return Err(WhatsAppError::Mixed);
        }
        if written.parameters.len() > PLACES_MAX {
            return Err(WhatsAppError::TooMany(written.parameters.len()));
        }
        let places = written.parameters.iter().enumerate().map(|(n, parameter)| {
            let body = TemplateBody { text: parameter.text.clone(), ..TemplateBody::default() };
            let template = Template::compile_with(&body, custom)
                .map_err(|why| WhatsAppError::Place { place: place(n, &parameter.name), source: Box::new(why) })?;
            Ok((parameter.name.clone(), template))
        });
        Ok(Self {
            name: written.name.clone(),
            language: written.language.clone(),
            places: places.collect::<Result<_, _>>()?,
        })
    }

    /// The template with its places filled in for one guest.
    pub fn fill(&self, context: &Context) -> Result<WhatsAppTemplate, WhatsAppError> {
        let parameters = self.places.iter().enumerate().map(|(n, (name, template))| {
            let words = template
                .render(Channel::Slack, context)
                .map_err(|why| WhatsAppError::Place { place: place(n, name), source: Box::new(why) })?;
            let text = words.text.split_whitespace().collect::<Vec<_>>().join(" ");
            if text.is_empty() {
                return Err(WhatsAppError::Empty { place: place(n, name) });
            }
            Ok(WhatsAppParameter { name: name.clone(), text })
        });
        Ok(WhatsAppTemplate {
            name: self.name.clone(),
            language: self.language.clone(),
            parameters: parameters.collect::<Result<_, _>>()?,
        })
    }
}

/// What a preview shows of a filled template: its words are not known here, its places are.
pub fn shown(filled: &WhatsAppTemplate) -> String {
    let mut text = format!("WhatsApp template {} ({})", filled.name, filled.language);
    for (n, parameter) in filled.parameters.iter().enumerate() {
        text.push_str(&format!("\n{}: {}", place(n, &parameter.name), parameter.text));
    }
    text
}

fn place(n: usize, name: &str) -> String {
    if name.is_empty() { (n + 1).to_string() } else { name.to_owned() }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `en`, `en_GB`, `zh_CN`: what WhatsApp approves templates in.
fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('_').map_or((text, None), |(language, region)| (language, Some(region)));
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && region.is_none_or(|region| {
            (2..=4).contains(&region.len()) && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaigns::template::sample_context;

    fn written(places: &[(&str, &str)]) -> WhatsAppTemplate {
        let parameter = |(name, text): &(&str, &str)| WhatsAppParameter { name: (*name).into(), text: (*text).into() };
        WhatsAppTemplate {
            name: "invitation_2".to_owned(),
            language: "en_GB".to_owned(),
            parameters: places.iter().map(parameter).collect(),
        }
    }

    fn compile(written: &WhatsAppTemplate) -> Result<Approved, WhatsAppError> {
        Approved::compile(written, &[])
    }

    #[test]
    fn places_are_filled_with_the_guests_own_on_one_line() {
        let filled = compile(&written(&[("", "Dear {{ guest_name }},\n\tcome"), ("", "{{ venue_name }}")]))
            .and_then(|approved| approved.fill(&sample_context()))
            .unwrap();
        let texts: Vec<&str> = filled.parameters.iter().map(|parameter| parameter.text.as_str()).collect();
        assert_eq!(texts, ["Dear Anna Miller, come", "Rosewood Manor"]);
        assert_eq!(
            shown(&filled),
            "WhatsApp template invitation_2 (en_GB)\n1: Dear Anna Miller, come\n2: Rosewood Manor"
        );
    }

    #[test]
    fn a_place_without_a_value_is_named_and_never_sent_empty() {
        let nothing = Context::default();
        let of = |text| compile(&written(&[("guest", text)])).unwrap().fill(&nothing).unwrap_err();
        assert!(matches!(of("{{ venue_name }}"), WhatsAppError::Place { place, .. } if place == "guest"));
        assert!(matches!(of("{% if venue_name %}x{% endif %}"), WhatsAppError::Empty { place } if place == "guest"));
    }

    #[test]
    fn what_whatsapp_would_refuse_is_refused_when_it_is_written() {
        let good = written(&[("guest", "{{ guest_name }}")]);
        assert!(compile(&good).is_ok());
        for name in ["", "Invitation", "my-template", "a b"] {
            let bad = WhatsAppTemplate { name: name.to_owned(), ..good.clone() };
            assert!(matches!(compile(&bad), Err(WhatsAppError::Name(_))), "{name}");
        }
        for language in ["", "english", "en-GB", "EN", "en_"] {
            let bad = WhatsAppTemplate { language: language.to_owned(), ..good.clone() };
            assert!(matches!(compile(&bad), Err(WhatsAppError::Language(_))), "{language}");
        }
        assert!(matches!(compile(&written(&[("a", "x"), ("", "y")])), Err(WhatsAppError::Mixed)));
        assert!(matches!(compile(&written(&[("", "x"); 33])), Err(WhatsAppError::TooMany(33))));
        let unknown = compile(&written(&[("", "ok"), ("", "{{ guest_nmae }}")])).err().expect("an unknown token");
        assert!(unknown.to_string().starts_with("parameter 2: ") && unknown.to_string().contains("guest_name"));
    }
}
