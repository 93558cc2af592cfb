//! Looking into JSON that others wrote: what is not there, or of another kind, is not there.

use serde_json::Value;
use usher_common::model::Timestamp;

/// The text at a pointer (RFC 6901); empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Text or number at a pointer, as text.
pub(super) fn word(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The list at a pointer; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A time in seconds since 1970, as a number or as digits.
pub(super) fn seconds(value: &Value, pointer: &str) -> Option<Timestamp> {
    let seconds: i64 = word(value, pointer).parse().ok()?;
    seconds.checked_mul(1000).map(Timestamp)
}

/// A time as RFC 3339 writes it.
pub(super) fn rfc3339(value: &Value, pointer: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text(value, pointer).parse().ok()?;
    Some(Timestamp(time.as_millisecond()))
}
