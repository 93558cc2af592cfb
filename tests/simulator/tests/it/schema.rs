//! A JSON Schema validator of just what the vendors' specifications use.
//! Promises: a keyword or a pattern with a meaning that it does not know ends the test; it is shown to refuse.

use serde_json::{Map, Value, json};

/// Whether a value is as the schema wants it; `at` is where it stands.
pub(crate) fn check(spec: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = spec.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return check(spec, target, value, at);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        let fine = match keyword.as_str() {
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, property) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(spec, property, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            // A list for each place, in the older kind of schema: it is used once, for what is no list at all.
            "items" if rule.is_array() => !value.is_array(),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(spec, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "additionalProperties" => {
                let rule = if *rule == json!(false) { &json!({ "enum": [] }) } else { rule };
                let known = schema["properties"].as_object();
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        check(spec, rule, inner, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "oneOf" => rule.as_array().unwrap().iter().filter(|one| check(spec, one, value, at).is_ok()).count() == 1,
            "allOf" => {
                for one in rule.as_array().unwrap() {
                    check(spec, one, value, at)?;
                }
                true
            }
            "uniqueItems" => {
                let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
                *rule == json!(false) || (1..all.len()).all(|index| !all[..index].contains(&all[index]))
            }
            "maxProperties" => value.as_object().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| fits(rule.as_str().unwrap(), text)),
            "description" | "example" | "format" | "nullable" | "title" | "x-twilio" | "examples" | "default"
            | "discriminator" => true,
            other => panic!("the validator does not know `{other}`"),
        };
        if !fine {
            return Err(format!("{at}: `{keyword}` {rule} does not hold for {value}"));
        }
    }
    Ok(())
}

/// Whether a text fits a pattern: between `^` and `$`, sets and single characters, each with how often, and a choice of
/// beginnings in parentheses.
fn fits(pattern: &str, text: &str) -> bool {
    let unknown = format!("the validator does not know the pattern {pattern}");
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect(&unknown);
    if let Some((choices, rest)) = inner.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        return choices.split('|').any(|choice| fits(&format!("^{choice}{rest}$"), text));
    }
    let (mut rest, mut text) = (inner, text.chars().peekable());
    while let Some(first) = rest.chars().next() {
        let set;
        (set, rest) = match first {
            '[' => rest[1..].split_once(']').expect(&unknown),
            '\\' if rest.starts_with("\\d") => ("0-9", &rest[2..]),
            '\\' => (&rest[1..2], &rest[2..]),
            '(' | '|' | '*' | '?' | '+' | '.' => panic!("{unknown}"),
            other => rest.split_at(other.len_utf8()),
        };
        let (least, most);
        (least, most, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            None if rest.starts_with('+') => (1, usize::MAX, &rest[1..]),
            None => (1, 1, rest),
            Some((times, rest)) => match times.split_once(',') {
                None => (times.parse().unwrap(), times.parse().unwrap(), rest),
                Some((least, most)) => (least.parse().unwrap(), most.parse().unwrap_or(usize::MAX), rest),
            },
        };
        let mut taken = 0;
        while taken < most && text.next_if(|c| within(set, *c)).is_some() {
            taken += 1;
        }
        if taken < least {
            return false;
        }
    }
    text.next().is_none()
}

/// Whether a character is in a set like `A-Za-z_`.
fn within(set: &str, c: char) -> bool {
    let all: Vec<char> = set.chars().collect();
    let ranges = all.windows(3).filter(|three| three[1] == '-');
    all.contains(&c) || ranges.into_iter().any(|three| (three[0]..=three[2]).contains(&c))
}

/// The schema with all that its `allOf` brings drawn into one: taken literally, what closes one part of it against further
/// properties would shut out those of the others.
pub(crate) fn merged(spec: &Value, schema: &Value) -> Value {
    let schema = schema["$ref"].as_str().map_or(schema, |reference| spec.pointer(&reference[1..]).unwrap());
    let mut whole = schema.as_object().unwrap().clone();
    let Some(Value::Array(parts)) = whole.remove("allOf") else { return schema.clone() };
    for part in &parts {
        let part = merged(spec, part);
        for (keyword, rule) in part.as_object().unwrap() {
            match (whole.get_mut(keyword), rule) {
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more.iter().cloned()),
                (Some(Value::Object(known)), Value::Object(more)) => join(known, more),
                _ => drop(whole.insert(keyword.clone(), rule.clone())),
            }
        }
    }
    whole.into()
}

fn join(known: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, rule) in more {
        known.insert(name.clone(), rule.clone());
    }
}

/// Valid, and with no property that the schema of an object does not list.
pub(crate) fn check_exact(spec: &Value, schema: &Value, value: &Value) {
    check(spec, schema, value, "$").unwrap();
    let schema = schema["$ref"].as_str().map_or(schema, |reference| spec.pointer(&reference[1..]).unwrap());
    for name in value.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "the specification has no `{name}`");
    }
}

#[test]
fn the_validator_refuses() {
    let spec = json!({ "a": { "type": "string", "pattern": "^(SM|MM)[0-9a-fA-F]{32}$" } });
    let schema = json!({ "type": "object", "required": ["x"], "properties": {
        "x": { "$ref": "#/a" }, "y": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "maxItems": 1 }] },
    }});
    let sid = format!("MM{}", "0".repeat(32));
    check(&spec, &schema, &json!({ "x": sid, "y": ["a"] }), "$").unwrap();
    for wrong in [
        json!([]),
        json!({}),
        json!({ "x": 1 }),
        json!({ "x": "XX" }),
        json!({ "x": sid, "y": ["a", "b"] }),
        json!({ "x": sid, "y": [1] }),
    ] {
        check(&spec, &schema, &wrong, "$").unwrap_err();
    }
}

#[test]
fn patterns_are_told_apart() {
    for (pattern, right, wrong) in [
        ("^[CGD][A-Z0-9]{8,}$", "C123ABC456", "C123abc456"),
        ("^[CGD][A-Z0-9]{8,}$", "D00000001", "D0000001"),
        ("^\\d{10}\\.\\d{6}$", "1793000000.000247", "1793000000x000247"),
        ("^v[0-9]+\\.[0-9]+$", "v23.0", "v23"),
    ] {
        assert!(fits(pattern, right), "{pattern} {right}");
        assert!(!fits(pattern, wrong), "{pattern} {wrong}");
    }
}

#[test]
fn parts_are_merged_before_they_are_closed() {
    let spec =
        json!({ "base": { "type": "object", "required": ["to"], "properties": { "to": { "type": "string" } } } });
    let part =
        json!({ "type": "object", "additionalProperties": false, "properties": { "text": { "type": "string" } } });
    let schema = merged(&spec, &json!({ "allOf": [{ "$ref": "#/base" }, part] }));
    check(&spec, &schema, &json!({ "to": "a", "text": "b" }), "$").unwrap();
    for wrong in [json!({ "text": "b" }), json!({ "to": "a", "more": 1 })] {
        check(&spec, &schema, &wrong, "$").unwrap_err();
    }
}
