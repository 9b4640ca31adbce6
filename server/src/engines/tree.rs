//! Objects in objects: merging them, and showing their names alone. A text is read once, however
//! deep it is nested; what isn't an object stays as it is written.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::{EngineError, seen::Reader};

/// The fields of an object. Of equal names the last counts.
type Fields<'a> = BTreeMap<String, Node<'a>>;

struct Node<'a> {
    text: &'a str,
    /// If it is an object.
    fields: Option<Fields<'a>>,
}

/// Applies a merge patch (RFC 7396), object to object.
pub(super) fn merge(target: &str, patch: &str) -> Result<Zeroizing<String>, EngineError> {
    let (fields, changes) = (read(target)?, read(patch)?);
    // It never grows beyond this, so that no copy is left behind.
    let mut out = Zeroizing::new(String::with_capacity(target.len() + patch.len()));
    merge_into(&mut out, Some(&fields), &changes);
    Ok(out)
}

/// The names of an object without their values, `depth` levels of them.
pub(super) fn shape(text: &str, depth: u64) -> Result<Zeroizing<String>, EngineError> {
    let mut out = Zeroizing::new(String::new());
    shape_into(&mut out, &read(text)?, depth);
    Ok(out)
}

fn read(text: &str) -> Result<Fields<'_>, EngineError> {
    fields(&mut Reader::new(text)).ok_or_else(|| EngineError::argument("data", "not a JSON object"))
}

fn fields<'a>(reader: &mut Reader<'a>) -> Option<Fields<'a>> {
    let mut fields = Fields::new();
    reader.object(|reader, name| {
        let text = reader.rest();
        let inner = match text.starts_with('{') {
            true => Some(self::fields(reader)?),
            false => {
                reader.skip()?;
                None
            }
        };
        let length = text.len().checked_sub(reader.rest().len())?;
        let text = text.get(..length)?.trim_end();
        let node = Node {
            text,
            fields: inner,
        };
        fields.insert(name, node);
        Some(())
    })?;
    Some(fields)
}

fn merge_into(out: &mut String, target: Option<&Fields<'_>>, patch: &Fields<'_>) {
    let old = |name: &String| target.and_then(|target| target.get(name));
    let names = target.into_iter().flat_map(Fields::keys);
    let names: BTreeSet<_> = names.chain(patch.keys()).collect();
    out.push('{');
    let mut first = true;
    for name in names {
        let new = patch.get(name);
        if new.is_some_and(|new| new.text == "null") {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        push_name(out, name);
        match new {
            None => out.push_str(old(name).map_or("null", |old| old.text)),
            Some(Node { text, fields: None }) => out.push_str(text),
            // Merged into what isn't an object, an object loses its nulls, too.
            Some(Node {
                fields: Some(new), ..
            }) => {
                merge_into(out, old(name).and_then(|old| old.fields.as_ref()), new);
            }
        }
    }
    out.push('}');
}

fn shape_into(out: &mut String, fields: &Fields<'_>, depth: u64) {
    out.push('{');
    for (index, (name, node)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_name(out, name);
        match &node.fields {
            Some(inner) if depth > 1 && !inner.is_empty() => shape_into(out, inner, depth - 1),
            _ => out.push_str("null"),
        }
    }
    out.push('}');
}

fn push_name(out: &mut String, name: &str) {
    out.push_str(&serde_json::Value::from(name).to_string());
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_merged_and_the_rest_stays_as_it_is_written() {
        for (target, patch, merged) in [
            ("{}", "{}", "{}"),
            (
                r#"{"a" : 1.50 , "b":[ 1 ]}"#,
                r#"{"b":null}"#,
                r#"{"a":1.50}"#,
            ),
            (
                r#"{"a":{"b":1, "c":2}}"#,
                r#"{"a":{"b":null}}"#,
                r#"{"a":{"c":2}}"#,
            ),
            (
                r#"{"a":[{"b":1}]}"#,
                r#"{"a":{"b":null,"c":0}}"#,
                r#"{"a":{"c":0}}"#,
            ),
            (r#"{"a":{"b":1}}"#, r#"{"a":[null]}"#, r#"{"a":[null]}"#),
            (
                r#"{"\u0061":1,"a":2}"#,
                r#"{"b":"]}\""}"#,
                r#"{"a":2,"b":"]}\""}"#,
            ),
        ] {
            let text = merge(target, patch).ok().unwrap();
            assert_eq!(*text, merged, "{target} {patch}");
        }
    }

    #[test]
    fn a_shape_holds_no_value() {
        let text = r#"{"a":{"b":{"c":"x"},"d":{ }},"e":[{"f":1}],"g":true}"#;
        let of = |depth| shape(text, depth).ok().unwrap().to_string();
        assert_eq!(of(1), r#"{"a":null,"e":null,"g":null}"#);
        assert_eq!(of(2), r#"{"a":{"b":null,"d":null},"e":null,"g":null}"#);
        assert_eq!(
            of(9),
            r#"{"a":{"b":{"c":null},"d":null},"e":null,"g":null}"#
        );
    }
}
