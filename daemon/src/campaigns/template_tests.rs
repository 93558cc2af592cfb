//! Templates by example: what they print, what they refuse, and where they say so.

use super::*;
use usher_common::model::Guest;

fn body(text: &str) -> TemplateBody {
    TemplateBody { subject: "Hello".into(), text: text.into(), ..TemplateBody::default() }
}

fn compile(text: &str) -> Result<Template, TemplateError> {
    Template::compile(&body(text))
}

fn slack(text: &str, context: &Context) -> Result<String, TemplateError> {
    compile(text)?.render(Channel::Slack, context).map(|parts| parts.text)
}

#[test]
fn tokens_are_filled_and_listed() {
    let template = compile("Dear {{ guest_name }}, see you on {{wedding_date}}.").unwrap();
    assert_eq!(template.tokens().collect::<Vec<_>>(), ["guest_name", "wedding_date"]);
    let parts = template.render(Channel::Slack, &sample_context()).unwrap();
    assert_eq!(parts.text, "Dear Anna Miller, see you on Saturday, 12 June 2027.");
}

#[test]
fn every_token_of_the_model_has_a_sample() {
    for (token, _) in TOKENS {
        assert!(sample_context().has(token), "{token}");
    }
}

#[test]
fn an_unknown_token_is_refused_with_its_place_and_nearest() {
    let error = compile("guest_nmae is fine outside.\nDear {{ guest_nmae }}").err().unwrap();
    let TemplateError::UnknownToken { line, column, nearest, known, .. } = &error else { panic!("{error}") };
    assert_eq!((*line, *column, nearest.as_deref()), (2, 9, Some("guest_name")));
    assert!(known.contains("wedding_hashtag"));
    let with = Template::compile_with(&body("Table {{ table_no }}"), &["table_no".into()]);
    assert!(with.is_ok());
    for escape in ["{{ range(9) }}", "{{ debug() }}", "{% for i in range(9) %}x{% endfor %}"] {
        assert!(compile(escape).is_err(), "{escape}");
    }
    for escape in ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}"] {
        assert!(matches!(compile(escape), Err(TemplateError::Syntax { .. })), "{escape}");
    }
}

#[test]
fn braces_that_are_not_closed_are_shown() {
    for (text, line, column) in
        [("Dear {{ guest_name", 1, 6), ("é\n é {{ guest_name } x", 2, 4), ("{{ guest_name {{ venue_name }}", 1, 1)]
    {
        let error = compile(text).err().unwrap();
        assert!(
            matches!(error, TemplateError::Unclosed { line: l, column: c, .. } if (l, c) == (line, column)),
            "{text}: {error:?}"
        );
    }
    assert!(matches!(compile("Dear {guest_name}"), Err(TemplateError::SingleBraces { column: 6, .. })));
    assert!(compile("a { b } {color:red}").is_ok());
}

#[test]
fn a_token_without_a_value_is_named() {
    let guest = Guest::default();
    let context = Context::new(&BTreeMap::from([("venue_name".into(), " ".into())])).for_guest(&guest, &[]);
    for token in ["guest_name", "venue_name"] {
        let error = slack(&format!("{{{{ {token} }}}}"), &context).unwrap_err();
        assert_eq!(error, TemplateError::MissingValues { tokens: vec![token.into()] });
        assert!(error.to_string().contains(&format!("{{{{ {token} | default")), "{error}");
    }
    assert_eq!(slack("Dear {{ guest_name | default(\"friend\") }}", &context).unwrap(), "Dear friend");
    assert_eq!(slack("{% if venue_name %}at {{ venue_name }}{% endif %}.", &context).unwrap(), ".");
    assert_eq!(slack("[{{ dietary_requirements }}]", &context).unwrap(), "[]");
}

#[test]
fn all_tokens_without_a_value_are_named_at_once_and_those_that_may_be_missing_are_not() {
    let body = crate::campaigns::builtin::find("wedding-week").unwrap().body();
    let guest = Guest { name: "Ada".into(), ..Guest::default() };
    let context = Context::default().for_guest(&guest, &[("unsubscribe_link", "https://u.example")]);
    let missing = |channel| match Template::compile(&body).unwrap().render(channel, &context) {
        Err(TemplateError::MissingValues { tokens }) => tokens,
        other => panic!("{other:?}"),
    };
    let all = ["wedding_date", "ceremony_time", "venue_name", "reception_venue", "couple_names"];
    assert_eq!(
        (missing(Channel::Email), missing(Channel::Sms)),
        (all.map(Into::into).into(), all.map(Into::into).into())
    );
    let text = "{{ venue_name | upper }} {{ rsvp_link | default(\"-\") }} {% if rsvp_deadline is defined %}\
                {{ rsvp_deadline }}{% endif %}{% if not wedding_hashtag %}{{ couple_names }}{% endif %}";
    let error = slack(text, &Context::default()).unwrap_err();
    assert_eq!(error, TemplateError::MissingValues { tokens: vec!["venue_name".into(), "couple_names".into()] });
    assert!(error.to_string().contains("no value for venue_name, couple_names: "), "{error}");
}

#[test]
fn a_guests_own_values_go_before_those_of_all() {
    let shared =
        Context::new(&BTreeMap::from([("venue_name".into(), "Hall".into()), ("guest_name".into(), "x".into())]));
    let guest = Guest {
        name: "Bob".into(),
        custom: [("venue_name".to_owned(), "Garden".to_owned())].into(),
        ..Guest::default()
    };
    let own = shared.for_guest(&guest, &[("rsvp_link", "https://r.example/1")]);
    assert_eq!(
        slack("{{ guest_name }} {{ venue_name }} {{ rsvp_link }}", &own).unwrap(),
        "Bob Garden https://r.example/1"
    );
    assert_eq!(slack("{{ guest_name }} {{ venue_name }}", &shared).unwrap(), "x Hall");
}

#[test]
fn values_are_escaped_in_html_alone_and_cannot_break_the_subject() {
    let template = Template::compile(&TemplateBody {
        subject: "For {{ guest_name }}".into(),
        text: "{{ guest_name }}".into(),
        html: "<b>{{ guest_name }}</b>".into(),
        short: String::new(),
    })
    .unwrap();
    let guest = Guest { name: "<i>\"Eve\" & Co\r\nBcc: x@example.com".into(), ..Guest::default() };
    let parts = template.render(Channel::Email, &sample_context().for_guest(&guest, &[])).unwrap();
    assert_eq!(parts.subject, "For <i>\"Eve\" & Co Bcc: x@example.com");
    assert!(parts.text.starts_with("<i>\"Eve\" & Co"));
    assert!(parts.html.starts_with("<b>&lt;i&gt;&quot;Eve&quot; &amp; Co"), "{}", parts.html);
    assert!(!parts.html.contains("<i>"));
}

#[test]
fn values_are_not_templates() {
    let guest = Guest { name: "{{ postal_address }}{% if".into(), ..Guest::default() };
    assert_eq!(slack("{{ guest_name }}", &sample_context().for_guest(&guest, &[])).unwrap(), guest.name);
}

#[test]
fn an_email_can_always_be_unsubscribed_from() {
    let of = |text: &str, html: &str, context: &Context| {
        let html = html.to_owned();
        Template::compile(&TemplateBody { html, ..body(text) }).unwrap().render(Channel::Email, context)
    };
    let context = sample_context();
    let parts = of("Hi", "<html><body>Hi</body></html>", &context).unwrap();
    for part in [&parts.text, &parts.html] {
        assert!(part.contains("https:") && part.contains("rsvp.example") && part.contains("12 Garden Lane"), "{part}");
    }
    assert!(parts.html.ends_with("</p>\n</body></html>"));
    let parts = of("Hi {{ unsubscribe_link }} {{ postal_address }}", "", &context).unwrap();
    assert_eq!(parts.text, "Hi https://rsvp.example/u/a1b2c3 12 Garden Lane, Springfield, IL 62701");
    let error = of("Hi", "", &Context::default()).unwrap_err();
    assert_eq!(error, TemplateError::MissingValues { tokens: vec!["unsubscribe_link".into()] });
}

#[test]
fn footers_are_for_email_alone_and_short_text_for_phones() {
    let template = Template::compile(&TemplateBody { short: "Hi!".into(), ..body("Hello") }).unwrap();
    let text = |channel| template.render(channel, &sample_context()).unwrap().text;
    assert_eq!(
        (text(Channel::Sms), text(Channel::WhatsApp), text(Channel::Slack)),
        ("Hi!".into(), "Hi!".into(), "Hello".into())
    );
    assert_eq!(compile("Hello").unwrap().render(Channel::Sms, &sample_context()).unwrap().text, "Hello");
}

#[test]
fn work_and_length_are_bounded() {
    let long = compile(
        "{% for a in guest_name %}{% for b in guest_name %}{% for c in guest_name %}x{% endfor %}{% endfor %}{% endfor %}",
    );
    let guest = Guest { name: "n".repeat(400), ..Guest::default() };
    let context = sample_context().for_guest(&guest, &[]);
    assert!(long.unwrap().render(Channel::Slack, &context).is_err());
    assert!(matches!(compile(&"x".repeat(PART_MAX + 1)), Err(TemplateError::TooLong { .. })));
    assert!(matches!(compile(" "), Err(TemplateError::NoText)));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[{}% a-z_|\"\n]{0,60}|.{0,40}|(\\{\\{ guest_name \\}\\}|\\{%|\\{\\{|x){0,6}") {
        if let Ok(template) = compile(&text) {
            let _ = template.render(Channel::Email, &sample_context());
        }
    }
}
