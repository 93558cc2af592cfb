//! Templates: words with places for the guest's own, compiled once and rendered for each guest.
//!
//! Promises that a mistake is found when the template is written and not at the ten-thousandth guest: unknown tokens and
//! braces that are not closed are errors with their place. A token without a value is never printed as nothing. A
//! template reaches no file, no other template and no function, and its work for one guest is bounded by fuel. Values
//! are escaped in the HTML part and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Rest;
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior, Value};
use thiserror::Error;
use usher_common::model::{Channel, TOKENS, TemplateBody};

use super::context::{Context, Gaps, without_gap};
use crate::guests::nearest;

/// Most bytes that one part of a template may have.
const PART_MAX: usize = 256 * 1024;
/// Steps for one part and one guest; 64 bytes of output cost one, so this prints at least 6 MiB.
const FUEL: u64 = 100_000;

/// A template that is ready to render.
pub struct Template {
    environment: Environment<'static>,
    tokens: BTreeSet<String>,
    has_html: bool,
    has_short: bool,
}

/// What one guest gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Subject on one line, for e-mail; empty for other channels.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML part, for e-mail; empty for none.
    pub html: String,
}

/// Why a template cannot be used or rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A token that nothing stands for.
    #[error(
        "the {part}, line {line}, column {column}: there is no token `{token}`{}; known are {known}",
        .nearest.as_deref().map_or(String::new(), |token| format!(" (did you mean {token}?)"))
    )]
    UnknownToken {
        /// Part of the template.
        part: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// As it is written.
        token: String,
        /// The known one nearest to it.
        nearest: Option<String>,
        /// All of them.
        known: String,
    },
    /// Braces that open and do not close.
    #[error("the {part}, line {line}, column {column}: `{open}` is never closed: write `{close}` after the token")]
    Unclosed {
        /// Part of the template.
        part: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What opens.
        open: &'static str,
        /// What is missing.
        close: &'static str,
    },
    /// A token in single braces, which would be sent as it stands.
    #[error("the {part}, line {line}, column {column}: a token takes two braces: write {{{{ {token} }}}}")]
    SingleBraces {
        /// Part of the template.
        part: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The token.
        token: String,
    },
    /// Anything else that is not understood.
    #[error("the {part}, line {line}, is not understood: {why}")]
    Syntax {
        /// Part of the template.
        part: &'static str,
        /// Line, from 1.
        line: usize,
        /// What the template engine says.
        why: String,
    },
    /// A part that is too long.
    #[error("the {part} has {bytes} bytes and {PART_MAX} are the most: shorten it")]
    TooLong {
        /// Part of the template.
        part: &'static str,
        /// Its bytes.
        bytes: usize,
    },
    /// Neither text nor short text.
    #[error("the template has no text: write one; HTML alone cannot be read by everybody")]
    NoText,
    /// Tokens that have no value for this guest.
    #[error(
        "there is no value for {}: fill in what all guests share with --value TOKEN=… (or `values` of the \
         organisation), what each has of its own with a column of the guest list, or write \
         {{{{ {} | default(\"…\") }}}} in the template",
        .tokens.join(", "), .tokens.first().map_or("token", String::as_str)
    )]
    MissingValues {
        /// All of them, in the order in which the message needs them.
        tokens: Vec<String>,
    },
    /// More work than any message needs.
    #[error("the {part} takes too many steps to render: remove its loops")]
    TooMuchWork {
        /// Part of the template.
        part: &'static str,
    },
    /// Anything else that fails at render.
    #[error("the {part}, line {line}, cannot be rendered: {why}")]
    Render {
        /// Part of the template.
        part: &'static str,
        /// Line, from 1.
        line: usize,
        /// What the template engine says.
        why: String,
    },
}

const SUBJECT: &str = "subject";
const TEXT: &str = "text";
const HTML: &str = "HTML part";
const SHORT: &str = "short text";
/// The text as an e-mail carries it: with its footer.
const MAIL_TEXT: &str = "text of the e-mail";

impl Template {
    /// Compiles a template that uses only the tokens that every campaign has.
    pub fn compile(body: &TemplateBody) -> Result<Self, TemplateError> {
        Self::compile_with(body, &[])
    }

    /// Compiles a template that may use the columns of a list, too, by their keys.
    ///
    /// An e-mail's text and HTML get a line to unsubscribe and the postal address at their end, each unless that part
    /// names the token itself.
    pub fn compile_with(body: &TemplateBody, custom: &[String]) -> Result<Self, TemplateError> {
        if body.text.trim().is_empty() && body.short.trim().is_empty() {
            return Err(TemplateError::NoText);
        }
        let known: BTreeSet<&str> =
            TOKENS.iter().map(|(token, _)| *token).chain(custom.iter().map(String::as_str)).collect();
        let mut template = Self {
            environment: environment(),
            tokens: BTreeSet::new(),
            has_html: !body.html.trim().is_empty(),
            has_short: !body.short.trim().is_empty(),
        };
        let text = if body.text.trim().is_empty() { &body.short } else { &body.text };
        for (part, source) in [(SUBJECT, &body.subject), (TEXT, text), (HTML, &body.html), (SHORT, &body.short)] {
            template.add(part, source, &known)?;
        }
        let used = |part| template.used(part);
        let mail_text = format!("{}{}", text.trim_end(), text_footer(&used(TEXT)));
        let mail_html = with_html_footer(&body.html, &used(HTML));
        template.replace(MAIL_TEXT, mail_text)?;
        if template.has_html {
            template.replace(HTML, mail_html)?;
        }
        Ok(template)
    }

    /// The tokens that its author wrote, sorted.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    /// The message as it goes out by `channel`: e-mail has subject, text and HTML; SMS and WhatsApp the short text where
    /// there is one; Slack the text.
    pub fn render(&self, channel: Channel, context: &Context) -> Result<Parts, TemplateError> {
        let mut parts = self.parts(channel).iter().map(|&part| self.part(part, channel, context));
        let mut next = || parts.next().unwrap_or_else(|| Ok(String::new()));
        if channel == Channel::Email {
            Ok(Parts { subject: one_line(&next()?), text: next()?, html: next()? })
        } else {
            Ok(Parts { text: next()?, ..Parts::default() })
        }
    }

    /// What a message by `channel` is made of: subject, text and HTML of an e-mail, one text of all others.
    fn parts(&self, channel: Channel) -> &'static [&'static str] {
        match channel {
            Channel::Email if self.has_html => &[SUBJECT, MAIL_TEXT, HTML],
            Channel::Email => &[SUBJECT, MAIL_TEXT],
            Channel::Sms | Channel::WhatsApp if self.has_short => &[SHORT],
            Channel::Sms | Channel::WhatsApp | Channel::Slack => &[TEXT],
        }
    }

    fn part(&self, part: &'static str, channel: Channel, context: &Context) -> Result<String, TemplateError> {
        let template = self.environment.get_template(part).expect("all parts were added when it was compiled");
        template.render(context.value()).map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => TemplateError::TooMuchWork { part },
            ErrorKind::UndefinedError => match self.missing(channel, context) {
                tokens if tokens.is_empty() => rendering(part, &error),
                tokens => TemplateError::MissingValues { tokens },
            },
            _ => rendering(part, &error),
        })
    }

    /// Every token that a message by `channel` would print and that has no value, so that an author fills in all of
    /// them at once. What only an `{% if %}` asks for, or what has a default, is not missing.
    fn missing(&self, channel: Channel, context: &Context) -> Vec<String> {
        let gaps = Gaps::default();
        for template in self.parts(channel).iter().filter_map(|part| self.environment.get_template(part).ok()) {
            // A part that fails has told of its gaps up to there.
            let _ = template.render(context.noting(&gaps));
        }
        gaps.tokens()
    }

    fn used(&self, part: &str) -> BTreeSet<String> {
        self.environment
            .get_template(part)
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default()
    }

    fn add(&mut self, part: &'static str, source: &str, known: &BTreeSet<&str>) -> Result<(), TemplateError> {
        if source.len() > PART_MAX {
            return Err(TemplateError::TooLong { part, bytes: source.len() });
        }
        if let Err(error) = self.environment.add_template_owned(part, source.to_owned()) {
            return Err(unclosed(part, source).unwrap_or_else(|| TemplateError::Syntax {
                part,
                line: error.line().unwrap_or(1),
                why: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            }));
        }
        if let Some(error) = single_braces(part, source, known) {
            return Err(error);
        }
        let used = self.used(part);
        if let Some(token) = used.iter().find(|token| !known.contains(token.as_str())) {
            let (line, column) = place(source, word_at(source, token).unwrap_or(0));
            return Err(TemplateError::UnknownToken {
                part,
                line,
                column,
                token: token.clone(),
                nearest: nearest(token, known.iter().copied()).map(str::to_owned),
                known: known.iter().copied().collect::<Vec<_>>().join(", "),
            });
        }
        self.tokens.extend(used);
        Ok(())
    }

    /// Adds a part with a footer of ours.
    fn replace(&mut self, part: &'static str, source: String) -> Result<(), TemplateError> {
        self.environment.add_template_owned(part, source).map_err(|error| TemplateError::Syntax {
            part,
            line: error.line().unwrap_or(1),
            why: error.to_string(),
        })
    }
}

/// An engine without functions, globals and other templates; with the few filters that words need.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    // Printing what has no value fails, asking whether there is one does not: `{% if parking_instructions %}`.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_debug(false);
    environment.set_auto_escape_callback(|part| if part == HTML { AutoEscape::Html } else { AutoEscape::None });
    environment.add_filter("default", |state: &State<'_, '_>, value: &Value, args: Rest<Value>| {
        minijinja::filters::default(state, &without_gap(value), args)
    });
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("title", minijinja::filters::title);
    environment.add_filter("capitalize", minijinja::filters::capitalize);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_test("defined", |value: &Value| minijinja::tests::is_defined(&without_gap(value)));
    environment.add_test("undefined", |value: &Value| minijinja::tests::is_undefined(&without_gap(value)));
    environment
}

fn text_footer(used: &BTreeSet<String>) -> String {
    let mut footer = String::new();
    if !used.contains("unsubscribe_link") {
        footer.push_str("\nIf you would rather not hear from us: {{ unsubscribe_link }}");
    }
    if !used.contains("postal_address") {
        footer.push_str("{% if postal_address %}\n{{ postal_address }}{% endif %}");
    }
    if footer.is_empty() { footer } else { format!("\n\n-- {footer}\n") }
}

fn with_html_footer(html: &str, used: &BTreeSet<String>) -> String {
    let mut lines = Vec::new();
    if !used.contains("unsubscribe_link") {
        lines.push(
            "If you would rather not hear from us, <a href=\"{{ unsubscribe_link }}\" style=\"color:#6b6259\">\
             unsubscribe here</a>.",
        );
    }
    if !used.contains("postal_address") {
        lines.push("{% if postal_address %}{{ postal_address }}{% endif %}");
    }
    if lines.is_empty() {
        return html.to_owned();
    }
    let footer = format!(
        "<p style=\"margin:32px auto 0;max-width:560px;font:13px/1.5 Georgia,serif;color:#6b6259;text-align:center\">\
         {}</p>\n",
        lines.join("<br>\n")
    );
    let end = html.to_ascii_lowercase().rfind("</body>").unwrap_or(html.len());
    format!("{}{footer}{}", &html[..end], &html[end..])
}

/// A subject takes no line break, or it could carry headers of its own.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rendering(part: &'static str, error: &minijinja::Error) -> TemplateError {
    let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Render { part, line: error.line().unwrap_or(1), why }
}

/// Where a word stands within braces, in bytes.
fn word_at(source: &str, word: &str) -> Option<usize> {
    let bounded = |at: usize| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        !source[..at].ends_with(letter) && !source[at + word.len()..].starts_with(letter)
    };
    let in_braces = |at: usize| {
        let before = &source[..at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        open.is_some_and(|open| !before[open..].contains("}}") && !before[open..].contains("%}"))
    };
    source.match_indices(word).map(|(at, _)| at).find(|&at| bounded(at) && in_braces(at))
}

/// Line and column, from 1, of a byte.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The first braces that open and do not close before the next ones open.
fn unclosed(part: &'static str, source: &str) -> Option<TemplateError> {
    let mut from = 0;
    while let Some(at) = source[from..].find("{{").into_iter().chain(source[from..].find("{%")).min() {
        let begin = from + at;
        let (open, close) = if source[begin..].starts_with("{{") { ("{{", "}}") } else { ("{%", "%}") };
        let rest = &source[begin + 2..];
        let end = rest.find(close);
        let next = rest.find("{{").into_iter().chain(rest.find("{%")).min();
        match end {
            Some(end) if next.is_none_or(|next| end < next) => from = begin + 2 + end + 2,
            _ => {
                let (line, column) = place(source, begin);
                return Some(TemplateError::Unclosed { part, line, column, open, close });
            }
        }
    }
    None
}

/// A known token in single braces, which the engine takes for plain text.
fn single_braces(part: &'static str, source: &str, known: &BTreeSet<&str>) -> Option<TemplateError> {
    source.match_indices('{').find_map(|(at, _)| {
        let inner = source[at + 1..].split('}').next()?.trim();
        let alone = !source[..at].ends_with('{') && !source[at + 1..].starts_with('{');
        (alone && known.contains(inner)).then(|| {
            let (line, column) = place(source, at);
            TemplateError::SingleBraces { part, line, column, token: inner.to_owned() }
        })
    })
}

/// A context with a plausible value for every token, for previews before there are guests.
pub fn sample_context() -> Context {
    let sample = [
        ("guest_name", "Anna Miller"),
        ("wedding_date", "Saturday, 12 June 2027"),
        ("venue_name", "Rosewood Manor"),
        ("ceremony_time", "3 pm"),
        ("rsvp_deadline", "1 May 2027"),
        ("rsvp_link", "https://rsvp.example/a1b2c3"),
        ("couple_names", "Maya and Tom"),
        ("parking_instructions", "Park behind the chapel; the gate opens at two."),
        ("reception_venue", "The Orangery"),
        ("wedding_hashtag", "#MayaAndTom"),
        ("dietary_requirements", "vegetarian"),
        ("unsubscribe_link", "https://rsvp.example/u/a1b2c3"),
        ("postal_address", "12 Garden Lane, Springfield, IL 62701"),
    ];
    let values: BTreeMap<String, String> = sample.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Context::new(&values)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
