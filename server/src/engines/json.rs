//! JSON texts as engines see them: checked within bounds, taken apart without being copied,
//! never changed. Numbers stay as they are written, so that no digit is lost.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tenure_core::types::{
    Ttl, UnixMillis,
    limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX, KV_VERSIONS_MAX, SECRET_DATA_BYTES_MAX},
};

use super::EngineError;

/// The fields of an object, each as its text. Of equal names the last counts.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Checks the text of an object; no bytes at all are one without fields.
pub(super) fn object(data: &[u8]) -> Result<&str, EngineError> {
    if data.is_empty() {
        return Ok("{}");
    }
    if data.len() > SECRET_DATA_BYTES_MAX {
        return Err(EngineError::TooLarge);
    }
    let wrong = |problem| EngineError::argument("data", problem);
    let text = std::str::from_utf8(data).map_err(|_| wrong("not UTF-8"))?;
    if values(text) > JSON_VALUES_MAX {
        return Err(wrong("too many values"));
    }
    // serde_json's messages tell a place and no content, but "not JSON" says as much.
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| wrong("not JSON text"))?;
    if !is_object(text) {
        return Err(wrong("not a JSON object"));
    }
    if depth(text) > JSON_DEPTH_MAX {
        return Err(wrong("nested too deeply"));
    }
    Ok(text.trim())
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// The bytes of a text that lie outside of its strings.
fn structure(text: &str) -> impl Iterator<Item = u8> {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes().filter(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => return !in_string,
        }
        false
    })
}

/// The deepest nesting of a well-formed text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest): (usize, usize) = (0, 0);
    for byte in structure(text) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// How many values a text holds, at most: each follows a bracket or a comma.
fn values(text: &str) -> usize {
    structure(text)
        .filter(|byte| matches!(byte, b'{' | b'[' | b','))
        .count()
}

/// Takes a checked object apart.
pub(super) fn fields(text: &str) -> Result<Fields<'_>, EngineError> {
    serde_json::from_str(text).map_err(|_| EngineError::argument("data", "not a JSON object"))
}

/// Checks an object and takes it apart.
pub(super) fn parse(data: &[u8]) -> Result<Fields<'_>, EngineError> {
    fields(object(data)?)
}

/// Warns of what nobody asked for.
pub(super) fn ignored(fields: &Fields<'_>, known: &[&str]) -> Vec<String> {
    let unknown = fields.keys().filter(|name| !known.contains(&name.as_str()));
    // Names that a client made up may be long, or many.
    let count = unknown.count();
    match count {
        0 => Vec::new(),
        1 => vec!["a field that is unknown here was ignored".to_owned()],
        _ => vec![format!("{count} fields that are unknown here were ignored")],
    }
}

/// A field that is there and isn't null.
pub(super) fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    let text = fields.get(name)?.get();
    (text != "null").then_some(text)
}

/// A field that must be an object, if it is there.
pub(super) fn object_field<'a>(
    all: &Fields<'a>,
    name: &'static str,
) -> Result<Option<&'a str>, EngineError> {
    match field(all, name) {
        Some(text) if !is_object(text) => Err(EngineError::argument(name, "not an object")),
        other => Ok(other),
    }
}

/// The content of a string; `None` if it is something else. (Values are never read as the JSON
/// library's own `Value`: one name in an object makes that read the text beside it as JSON, beyond
/// all bounds.)
pub(super) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// A whole number, also written as text.
pub(super) fn number(all: &Fields<'_>, name: &'static str) -> Result<Option<u64>, EngineError> {
    let text = field(all, name);
    text.map(|text| whole(name, text)).transpose()
}

fn whole(name: &'static str, text: &str) -> Result<u64, EngineError> {
    let number = match string(text) {
        Some(text) => text.trim().parse(),
        None => text.parse(),
    };
    number.map_err(|_| EngineError::argument(name, "not a whole number from 0 on"))
}

/// A yes or no, also written as text.
pub(super) fn flag(all: &Fields<'_>, name: &'static str) -> Result<Option<bool>, EngineError> {
    let Some(text) = field(all, name) else {
        return Ok(None);
    };
    match string(text).as_deref().unwrap_or(text) {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(EngineError::argument(name, "neither true nor false")),
    }
}

/// A duration: seconds, or text such as "1h30m".
pub(super) fn duration(all: &Fields<'_>, name: &'static str) -> Result<Option<Ttl>, EngineError> {
    let Some(text) = field(all, name) else {
        return Ok(None);
    };
    let parsed = match string(text) {
        Some(text) => text.parse(),
        None if is_number(text) => text.parse(),
        None => return Err(EngineError::argument(name, "not a duration")),
    };
    parsed
        .map(Some)
        .map_err(|error: tenure_core::types::TtlError| EngineError::argument(name, error))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Numbers of versions, each once: a list of numbers or texts, or one text with commas.
pub(super) fn versions(all: &Fields<'_>) -> Result<Vec<u64>, EngineError> {
    const NAME: &str = "versions";
    let wrong = |problem| EngineError::argument(NAME, problem);
    let found: Result<Vec<_>, _> = match field(all, NAME) {
        None => Ok(Vec::new()),
        Some(text) if text.starts_with('[') => {
            let items = serde_json::from_str::<Vec<&RawValue>>(text);
            let items = items.map_err(|_| wrong("not a list of numbers"))?;
            items.iter().map(|item| whole(NAME, item.get())).collect()
        }
        Some(text) if is_number(text) => whole(NAME, text).map(|number| vec![number]),
        Some(text) => match string(text) {
            Some(text) => text.split(',').map(|item| whole(NAME, item)).collect(),
            None => Err(wrong("not a list of numbers")),
        },
    };
    let mut found = found?;
    found.sort_unstable();
    found.dedup();
    match found.len() {
        0 => Err(wrong("name at least one version")),
        many if many > KV_VERSIONS_MAX as usize => Err(wrong("too many versions")),
        _ => Ok(found),
    }
}

/// A moment as RFC 3339.
pub(super) fn time(at: UnixMillis) -> String {
    let ms = at.get();
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        // Below a thousand million by construction.
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
    }
    .to_string()
}

/// A duration as Go writes it, which clients read.
pub(super) fn go_duration(ttl: Option<Ttl>) -> String {
    let seconds = ttl.map_or(0, Ttl::as_seconds);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}
