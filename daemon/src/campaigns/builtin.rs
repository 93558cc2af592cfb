//! The three templates that come with the daemon: the invitation, the reminder to answer, and the week of the wedding.
//!
//! They use only tokens that every campaign has, so each renders once those are filled in; a parking line and a hashtag
//! appear only where there are any. Short texts keep to GSM-7, so that they stay within two parts. The HTML has no
//! pictures and no tables, and reads well without its styles.

use usher_common::model::TemplateBody;

/// A template that came with the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    subject: &'static str,
    text: &'static str,
    html: &'static str,
    short: &'static str,
}

impl BuiltIn {
    /// Its words.
    pub fn body(&self) -> TemplateBody {
        TemplateBody {
            subject: self.subject.to_owned(),
            text: self.text.to_owned(),
            html: self.html.to_owned(),
            short: self.short.to_owned(),
        }
    }
}

/// The built-in template of that name.
pub fn find(name: &str) -> Option<BuiltIn> {
    ALL.into_iter().find(|template| template.name == name)
}

/// All of them, in the order in which a wedding needs them.
pub const ALL: [BuiltIn; 3] = [
    BuiltIn {
        name: "invitation",
        subject: "{{ guest_name }}, will you celebrate with us? {{ couple_names }}, {{ wedding_date }}",
        text: INVITATION_TEXT,
        html: include_str!("builtin/invitation.html"),
        short: "Dear {{ guest_name }}, we are getting married on {{ wedding_date }} at {{ venue_name }} and would love \
                you to be there. Please answer by {{ rsvp_deadline }}: {{ rsvp_link }} {{ couple_names }}",
    },
    BuiltIn {
        name: "rsvp-reminder",
        subject: "{{ guest_name }}, are you coming? Please tell us by {{ rsvp_deadline }}",
        text: REMINDER_TEXT,
        html: include_str!("builtin/rsvp-reminder.html"),
        short: "Dear {{ guest_name }}, we are planning the tables for {{ wedding_date }} and would love to know whether \
                you can come. Please answer by {{ rsvp_deadline }}: {{ rsvp_link }} {{ couple_names }}",
    },
    BuiltIn {
        name: "wedding-week",
        subject: "This week! Everything you need for {{ wedding_date }}",
        text: WEEK_TEXT,
        html: include_str!("builtin/wedding-week.html"),
        short: "{{ guest_name }}, we can hardly wait! {{ wedding_date }}, {{ ceremony_time }} at {{ venue_name }}, then \
                {{ reception_venue }}.{% if parking_instructions %} {{ parking_instructions }}{% endif %} \
                {{ couple_names }}",
    },
];

const INVITATION_TEXT: &str = "\
Dear {{ guest_name }},

some days are only complete with the right people in the room, and you are one of ours. We are getting married, and
we would be so happy to have you with us.

  {{ wedding_date }}, {{ ceremony_time }}
  {{ venue_name }}
  Afterwards we eat, drink and dance: {{ reception_venue }}

Please tell us by {{ rsvp_deadline }} whether you can come, and if there is anything that you do not eat:
{{ rsvp_link }}

With love,
{{ couple_names }}
";

const REMINDER_TEXT: &str = "\
Dear {{ guest_name }},

invitations slip under other letters; it happens to us all the time. We are counting chairs for {{ wedding_date }} at
{{ venue_name }}, and would dearly like to count one for you.

Could you tell us by {{ rsvp_deadline }}? It takes a minute, and a no is quite all right, too:
{{ rsvp_link }}
{% if dietary_requirements %}
On your place card for the kitchen we have noted: {{ dietary_requirements }}. If that has changed, the same page will
take it.
{% endif %}
Thank you,
{{ couple_names }}
";

const WEEK_TEXT: &str = "\
Dear {{ guest_name }},

the flowers are ordered, the shoes are worn in, and in a few days we see you. Here is all that you need:

When:       {{ wedding_date }}, {{ ceremony_time }}. Please be seated ten minutes before.
Ceremony:   {{ venue_name }}
Afterwards: {{ reception_venue }}
{% if parking_instructions %}Parking:    {{ parking_instructions }}
{% endif %}{% if dietary_requirements %}The kitchen knows: {{ dietary_requirements }}
{% endif %}{% if wedding_hashtag %}
If you take photographs, we would love to find them under {{ wedding_hashtag }}.
{% endif %}
Travel safely. We cannot wait.

{{ couple_names }}
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use usher_common::model::{Channel, TOKENS};

    use super::*;
    use crate::campaigns::sms::{Encoding, measure};
    use crate::campaigns::template::{Template, sample_context};

    #[test]
    fn each_renders_on_every_channel_without_a_brace_left() {
        for template in ALL {
            let compiled =
                Template::compile(&template.body()).unwrap_or_else(|error| panic!("{}: {error}", template.name));
            for channel in Channel::ALL {
                let parts = compiled.render(channel, &sample_context()).unwrap();
                for part in [&parts.subject, &parts.text, &parts.html] {
                    assert!(!part.contains("{{") && !part.contains("{%"), "{}: {part}", template.name);
                }
                assert!(parts.text.contains("Anna Miller"), "{}: {}", template.name, parts.text);
            }
        }
    }

    #[test]
    fn short_texts_stay_within_two_parts() {
        for template in ALL {
            let compiled = Template::compile(&template.body()).unwrap();
            let sms = measure(&compiled.render(Channel::Sms, &sample_context()).unwrap().text);
            assert_eq!(sms.encoding, Encoding::Gsm7, "{}", template.name);
            assert!(sms.segments <= 2, "{}: {sms:?}", template.name);
        }
    }

    #[test]
    fn optional_lines_vanish_with_their_values() {
        let shared = ["guest_name", "wedding_date", "ceremony_time", "venue_name", "reception_venue", "couple_names"];
        let values = shared.into_iter().chain(["unsubscribe_link"]).map(|t| (t.to_owned(), "x".to_owned())).collect();
        let compiled = Template::compile(&find("wedding-week").unwrap().body()).unwrap();
        let parts = compiled.render(Channel::Email, &crate::campaigns::context::Context::new(&values)).unwrap();
        assert!(!parts.text.contains("Parking") && !parts.html.contains("Parking"));
    }

    #[test]
    fn together_they_use_every_token_that_an_author_fills_in() {
        let used: BTreeSet<String> = ALL
            .iter()
            .flat_map(|t| Template::compile(&t.body()).unwrap().tokens().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for (token, _) in TOKENS.iter().filter(|(token, _)| !matches!(*token, "unsubscribe_link" | "postal_address")) {
            assert!(used.contains(*token), "{token}");
        }
    }

    #[test]
    fn the_html_is_whole_and_says_what_the_text_says() {
        for template in ALL {
            let html = template.html;
            for tag in ["html", "head", "body", "title", "div"] {
                let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
                assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{}: <{tag}>", template.name);
                assert!(opened > 0, "{}: <{tag}>", template.name);
            }
            let only = |text: &str| TemplateBody { text: text.to_owned(), ..TemplateBody::default() };
            let tokens = |text: &str| {
                Template::compile(&only(text)).unwrap().tokens().map(str::to_owned).collect::<BTreeSet<_>>()
            };
            assert_eq!(tokens(html), tokens(template.text), "{}", template.name);
        }
    }
}
