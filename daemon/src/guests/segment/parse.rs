//! The grammar of segments: words, then a descent bounded in depth, with the place of every mistake.

use super::super::header::Field;
use super::super::nearest;
use super::{DEPTH_MAX, Expression, LENGTH_MAX, SegmentError, Test, value_for};

const KEYWORDS: [&str; 7] = ["and", "or", "not", "in", "is", "empty", "contains"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word: a field, a keyword or a value.
    Word(String),
    /// A text in quotes: a field or a value, never a keyword.
    Quoted(String),
    Equal,
    NotEqual,
    Open,
    Close,
    Comma,
}

/// A word as it has to be written to be read back: bare where possible.
pub(super) fn quoted(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(is_bare) && !is_keyword(text);
    if bare { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "_-+.@:/'&*#".contains(c)
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

pub(super) fn parse(text: &str, known_custom: &[String]) -> Result<Expression, SegmentError> {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() > LENGTH_MAX {
        let message = format!("a segment has at most {LENGTH_MAX} bytes and this one has {}: shorten it", text.len());
        let expression = line.chars().take(60).chain(['…']).collect();
        return Err(SegmentError { message, expression, at: 0 });
    }
    let mut parser = Parser { line, tokens: Vec::new(), next: 0, depth: 0, known_custom };
    parser.tokens = parser.split()?;
    if parser.tokens.is_empty() {
        return Ok(Expression::Everyone);
    }
    let expression = parser.any()?;
    match parser.peek() {
        None => Ok(expression),
        Some(Token::Close) => Err(parser.error_here("this parenthesis closes none: remove it, or open one before it")),
        Some(_) => Err(parser.error_here("here the expression could end: write `and` or `or` to go on")),
    }
}

struct Parser<'a> {
    line: String,
    /// Each with the character at which it begins.
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
    known_custom: &'a [String],
}

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> SegmentError {
        SegmentError { message: message.into(), expression: self.line.clone(), at }
    }

    fn error_here(&self, message: impl Into<String>) -> SegmentError {
        self.error(self.at(), message)
    }

    /// The character at which the next token begins.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or_else(|| self.line.trim_end().chars().count(), |(_, at)| *at)
    }

    fn split(&self) -> Result<Vec<(Token, usize)>, SegmentError> {
        let chars: Vec<char> = self.line.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let begin = at;
            at += 1;
            let token = match c {
                c if c.is_whitespace() => continue,
                '(' => Token::Open,
                ')' => Token::Close,
                ',' => Token::Comma,
                '=' => {
                    at += usize::from(chars.get(at) == Some(&'='));
                    Token::Equal
                }
                '!' if chars.get(at) == Some(&'=') => {
                    at += 1;
                    Token::NotEqual
                }
                '"' => {
                    let mut text = String::new();
                    loop {
                        match chars.get(at) {
                            None => {
                                return Err(
                                    self.error(begin, "this quote is never closed: add a \" where the text ends")
                                );
                            }
                            Some('"') => break,
                            Some('\\') if matches!(chars.get(at + 1), Some('"' | '\\')) => {
                                text.push(chars[at + 1]);
                                at += 1;
                            }
                            Some(&c) => text.push(c),
                        }
                        at += 1;
                    }
                    at += 1;
                    Token::Quoted(text)
                }
                c if is_bare(c) => {
                    while chars.get(at).is_some_and(|&c| is_bare(c)) {
                        at += 1;
                    }
                    Token::Word(chars[begin..at].iter().collect())
                }
                _ => {
                    return Err(
                        self.error(begin, format!("`{c}` has no meaning here: put texts with it in double quotes"))
                    );
                }
            };
            tokens.push((token, begin));
        }
        Ok(tokens)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    /// Passes over a token if it is the next one.
    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Expression, SegmentError> {
        let mut parts = vec![self.all()?];
        while self.take_keyword("or") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, SegmentError> {
        let mut parts = vec![self.one()?];
        while self.take_keyword("and") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, SegmentError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error_here(format!("this nests deeper than {DEPTH_MAX} levels: write it flatter")));
        }
        self.depth += 1;
        let opened = self.at();
        let expression = if self.take_keyword("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.take(&Token::Open) {
            let inner = self.any()?;
            if !self.take(&Token::Close) {
                let end = self.next >= self.tokens.len();
                let place = if end { opened } else { self.at() };
                let message = if end {
                    "this parenthesis is never closed: add a )"
                } else {
                    "here a parenthesis must close, or `and` or `or` go on"
                };
                return Err(self.error(place, message));
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, SegmentError> {
        let at = self.at();
        let name = match self.peek() {
            Some(Token::Word(word)) if !is_keyword(word) => word.clone(),
            Some(Token::Quoted(text)) => text.clone(),
            _ => return Err(self.error_here("here a field must stand, such as rsvp, group or country")),
        };
        self.next += 1;
        let field = self.field(&name, at)?;
        let test = if self.take(&Token::Equal) {
            Test::Is(self.value(&field)?)
        } else if self.take(&Token::NotEqual) {
            Test::IsNot(self.value(&field)?)
        } else if self.take_keyword("in") {
            Test::In(self.values(&field)?)
        } else if self.take_keyword("contains") {
            if matches!(field, Field::Rsvp | Field::PlusOne | Field::Country) {
                let message = format!("{} has fixed values, so nothing is contained in it: use = or in", field.name());
                return Err(self.error(at, message));
            }
            Test::Contains(self.text()?)
        } else if self.take_keyword("is") {
            let not = self.take_keyword("not");
            if !self.take_keyword("empty") {
                return Err(self.error_here("after `is` goes `empty` or `not empty`; values are compared with ="));
            }
            if not { Test::NotEmpty } else { Test::Empty }
        } else {
            let message = format!("after {name} goes =, !=, in (…), contains, is empty or is not empty");
            return Err(self.error_here(message));
        };
        Ok(Expression::Test { field, test })
    }

    fn field(&self, name: &str, at: usize) -> Result<Field, SegmentError> {
        match Field::of(name) {
            Field::Custom(key) if self.known_custom.contains(&key) => Ok(Field::Custom(key)),
            Field::Custom(_) | Field::FirstName | Field::LastName | Field::Source | Field::VouchedBy => {
                let fields = ["rsvp", "diet", "plus_one", "group", "country", "locale", "timezone", "name", "email"];
                let more = ["phone", "slack", "preferred"];
                let known: Vec<&str> =
                    fields.into_iter().chain(more).chain(self.known_custom.iter().map(String::as_str)).collect();
                let hint = nearest(name, known.iter().copied())
                    .map_or(String::new(), |field| format!(", did you mean {field}?"));
                Err(self.error(at, format!("`{name}` is no field{hint} Fields are {}", known.join(", "))))
            }
            field => Ok(field),
        }
    }

    fn text(&mut self) -> Result<String, SegmentError> {
        let text = match self.peek() {
            Some(Token::Word(word)) if !is_keyword(word) => word.clone(),
            Some(Token::Quoted(text)) => text.clone(),
            Some(Token::Word(word)) => {
                return Err(self.error_here(format!("here a value must stand; as a value, write \"{word}\" in quotes")));
            }
            _ => return Err(self.error_here("here a value must stand, in double quotes if it has spaces")),
        };
        self.next += 1;
        Ok(text)
    }

    fn value(&mut self, field: &Field) -> Result<String, SegmentError> {
        let at = self.at();
        let text = self.text()?;
        value_for(field, &text).map_err(|known| {
            let such = if *field == Field::Country { "a two-letter country code, such as" } else { "one of" };
            let hint = nearest(&text, known.iter().copied())
                .filter(|_| *field != Field::Country)
                .map_or(String::new(), |value| format!(", did you mean {value}?"));
            self.error(at, format!("`{text}` is no value of {}{hint} It is {such} {}", field.name(), known.join(", ")))
        })
    }

    fn values(&mut self, field: &Field) -> Result<Vec<String>, SegmentError> {
        if !self.take(&Token::Open) {
            return Err(self.error_here("after `in` goes a list in parentheses, such as (family, friends)"));
        }
        let mut values = vec![self.value(field)?];
        while self.take(&Token::Comma) {
            values.push(self.value(field)?);
        }
        if self.take(&Token::Close) {
            return Ok(values);
        }
        Err(self.error_here("here a comma or the closing parenthesis of the list must stand"))
    }
}

/// Joins parts; one alone stays as it is.
fn joined(mut parts: Vec<Expression>, all: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { all(parts) }
}
