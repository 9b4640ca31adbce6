//! A text into a [`Policy`]: what a policy may say. Nothing is guessed: what isn't known is
//! refused, so that no constraint is lost by its spelling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::capability::{Capability, CapabilitySet};
use super::parameters::{Number, Value, ValuesByName};
use super::rule::{Grant, Policy, Rule};
use super::template::PathTemplate;
use super::text::{
    Item, Node, NodeKind, PolicyError, PolicyErrorKind as Kind, read_hcl, read_json,
};
use crate::types::limits::{
    POLICY_PARAMETERS_MAX, POLICY_PATH_BYTES_MAX, POLICY_PATHS_MAX, POLICY_TEXT_BYTES_MAX,
};
use crate::types::{PolicyName, Ttl, TtlError};

/// Reads a policy in HCL, or in JSON if it begins with `{`. A text without rules is a
/// policy that grants nothing.
///
/// # Errors
/// Anything unknown or over a bound, with the line and the path of the rule.
pub fn parse(text: &str) -> Result<Policy, PolicyError> {
    if text.len() > POLICY_TEXT_BYTES_MAX {
        return Err(Kind::TextTooLong.into());
    }
    let mut policy = Policy {
        name: None,
        root: false,
        rules: Vec::new(),
    };
    if is_json(text) {
        for item in read_json(text)? {
            match item.key.text.as_str() {
                "path" => json_paths(&item.node, &mut policy)?,
                _ => top_level(&item, &mut policy)?,
            }
        }
    } else {
        for item in read_hcl(text)?.0 {
            match (item.key.text.as_str(), item.labels.first()) {
                ("path", Some(path)) => add_rule(&path.text, &item.node, &mut policy)?,
                ("path", None) => {
                    let kind = Kind::Expected("a path in quotes and a block");
                    return Err(PolicyError::at(item.key.line, kind));
                }
                _ => top_level(&item, &mut policy)?,
            }
        }
    }
    Ok(policy)
}

/// The text in base64 (the standard alphabet, padded).
///
/// # Errors
/// Not base64, not UTF-8, or over the bound of a text.
pub fn decode_base64(text: &str) -> Result<String, PolicyError> {
    if text.len() > POLICY_TEXT_BYTES_MAX.div_ceil(3) * 4 {
        return Err(Kind::TextTooLong.into());
    }
    let bytes = STANDARD.decode(text.trim()).map_err(|_| Kind::Base64)?;
    String::from_utf8(bytes).map_err(|_| Kind::Base64.into())
}

/// [`parse`] of a text in base64.
///
/// # Errors
/// Those of [`decode_base64`] and of [`parse`].
pub fn parse_base64(text: &str) -> Result<Policy, PolicyError> {
    parse(&decode_base64(text)?)
}

pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn top_level(item: &Item, policy: &mut Policy) -> Result<(), PolicyError> {
    let line = item.key.line;
    if item.key.text != "name" {
        return Err(PolicyError::at(line, Kind::UnknownKey).word(&item.key.text));
    }
    if policy.name.is_some() {
        return Err(PolicyError::at(line, Kind::DuplicateKey).word("name"));
    }
    unlabelled(item)?;
    let name = PolicyName::parse(text(&item.node)?).map_err(|e| PolicyError::at(line, e))?;
    if name.is_root() {
        return Err(PolicyError::at(line, Kind::Root));
    }
    policy.name = Some(name);
    Ok(())
}

fn unlabelled(item: &Item) -> Result<(), PolicyError> {
    match item.labels.first() {
        None => Ok(()),
        Some(label) => Err(PolicyError::at(label.line, Kind::Expected("\"=\""))),
    }
}

/// `{"a": {…}, "b": [{…}, {…}]}`, or a list of such objects: what HCL makes of JSON.
fn json_paths(node: &Node, policy: &mut Policy) -> Result<(), PolicyError> {
    for (items, _) in objects(node)? {
        for item in items {
            for (_, rule) in objects(&item.node)? {
                add_rule(&item.key.text, rule, policy)?;
            }
        }
    }
    Ok(())
}

/// The items of an object, or of each of a list of objects, and where they are.
fn objects(node: &Node) -> Result<Vec<(&[Item], &Node)>, PolicyError> {
    fn object(node: &Node) -> Result<(&[Item], &Node), PolicyError> {
        match &node.kind {
            NodeKind::Object(items, _) => Ok((items, node)),
            _ => Err(PolicyError::at(node.line, Kind::Type("an object"))),
        }
    }
    match &node.kind {
        NodeKind::List(elements, _) => elements.iter().map(|one| object(&one.node)).collect(),
        _ => object(node).map(|one| vec![one]),
    }
}

fn add_rule(path: &str, node: &Node, policy: &mut Policy) -> Result<(), PolicyError> {
    if policy.rules.len() >= POLICY_PATHS_MAX {
        return Err(PolicyError::at(node.line, Kind::TooManyPaths));
    }
    if path.len() > POLICY_PATH_BYTES_MAX {
        return Err(PolicyError::at(node.line, Kind::PathTooLong));
    }
    let rule = || {
        let template = PathTemplate::parse(path).map_err(|e| PolicyError::at(node.line, e))?;
        let grant = grant(node)?;
        Ok(Rule {
            path: template,
            grant,
        })
    };
    policy
        .rules
        .push(rule().map_err(|e: PolicyError| e.in_path(path))?);
    Ok(())
}

fn grant(node: &Node) -> Result<Grant, PolicyError> {
    let NodeKind::Object(items, _) = &node.kind else {
        return Err(PolicyError::at(node.line, Kind::Type("a block")));
    };
    let mut grant = Grant::default();
    let mut seen: Vec<&str> = Vec::new();
    for item in items {
        let (line, key) = (item.key.line, item.key.text.as_str());
        if seen.contains(&key) {
            return Err(PolicyError::at(line, Kind::DuplicateKey).word(key));
        }
        unlabelled(item)?;
        match key {
            "capabilities" => {
                grant.capabilities = grant.capabilities.union(capabilities(&item.node)?);
            }
            "policy" => grant.capabilities = grant.capabilities.union(legacy(&item.node)?),
            "allowed_parameters" => grant.constraints.allowed = values_by_name(&item.node)?,
            "denied_parameters" => grant.constraints.denied = values_by_name(&item.node)?,
            "required_parameters" => grant.constraints.required = names(&item.node)?,
            "min_wrapping_ttl" => grant.wrapping.min = ttl(&item.node)?,
            "max_wrapping_ttl" => grant.wrapping.max = ttl(&item.node)?,
            _ => return Err(PolicyError::at(line, Kind::UnknownKey).word(key)),
        }
        seen.push(key);
    }
    if grant.wrapping.is_contradictory() {
        return Err(PolicyError::at(node.line, Kind::WrappingBounds));
    }
    Ok(grant)
}

fn capabilities(node: &Node) -> Result<CapabilitySet, PolicyError> {
    let one = |element: &Node| {
        let name = text(element)?;
        Capability::parse(name)
            .ok_or_else(|| PolicyError::at(element.line, Kind::UnknownCapability).word(name))
    };
    list(node)?.map(one).collect()
}

/// What the words of the first versions of the peers stand for.
fn legacy(node: &Node) -> Result<CapabilitySet, PolicyError> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    let word = text(node)?;
    let all: &[Capability] = match word {
        // Says nothing, as if it weren't there.
        "" => &[],
        "deny" => &[Deny],
        "read" => &[Read, List],
        "write" => &[Create, Read, Update, Delete, List],
        "sudo" => &[Create, Read, Update, Delete, List, Sudo],
        _ => return Err(PolicyError::at(node.line, Kind::UnknownLegacy).word(word)),
    };
    Ok(all.iter().copied().collect())
}

fn values_by_name(node: &Node) -> Result<ValuesByName, PolicyError> {
    let mut all = ValuesByName::new();
    for item in objects(node)?.into_iter().flat_map(|(items, _)| items) {
        unlabelled(item)?;
        let name = item.key.text.to_lowercase();
        bounded(all.len(), item.key.line)?;
        let values: Result<Vec<_>, _> = list(&item.node)?.map(value).collect();
        if all.insert(name, values?).is_some() {
            let error = PolicyError::at(item.key.line, Kind::DuplicateKey);
            return Err(error.word(&item.key.text));
        }
    }
    Ok(all)
}

fn value(node: &Node) -> Result<Value<'static>, PolicyError> {
    match &node.kind {
        NodeKind::Null => Ok(Value::Null),
        NodeKind::Bool(value) => Ok(Value::Bool(*value)),
        NodeKind::Number(number) => Number::parse(number)
            .map(Value::Number)
            .ok_or_else(|| PolicyError::at(node.line, Kind::Type("a decimal number"))),
        NodeKind::Text(word) => Ok(Value::Text(word.text.clone().into())),
        // No deeper than the text is.
        NodeKind::List(..) => list(node)?
            .map(value)
            .collect::<Result<_, _>>()
            .map(Value::List),
        NodeKind::Object(..) => {
            let kind = Kind::Type("a string, a number, a truth value or a list");
            Err(PolicyError::at(node.line, kind))
        }
    }
}

fn names(node: &Node) -> Result<Vec<String>, PolicyError> {
    let mut names = list(node)?
        .map(|element| text(element).map(str::to_lowercase))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// Zero is no bound, as with the peers.
fn ttl(node: &Node) -> Result<Option<Ttl>, PolicyError> {
    let ttl: Result<Ttl, TtlError> = match &node.kind {
        NodeKind::Text(word) if word.text.is_empty() => return Ok(None),
        NodeKind::Text(word) => word.text.parse(),
        NodeKind::Number(number) => number.parse(),
        _ => return Err(PolicyError::at(node.line, Kind::Type("a duration"))),
    };
    let ttl = ttl.map_err(|e| PolicyError::at(node.line, e))?;
    Ok((!ttl.is_zero()).then_some(ttl))
}

fn text(node: &Node) -> Result<&str, PolicyError> {
    match &node.kind {
        NodeKind::Text(word) => Ok(&word.text),
        _ => Err(PolicyError::at(node.line, Kind::Type("a string"))),
    }
}

fn list(node: &Node) -> Result<impl Iterator<Item = &Node>, PolicyError> {
    match &node.kind {
        NodeKind::List(elements, _) => {
            bounded(elements.len().saturating_sub(1), node.line)?;
            Ok(elements.iter().map(|element| &element.node))
        }
        _ => Err(PolicyError::at(node.line, Kind::Type("a list"))),
    }
}

/// Whether one more than `count` is within the bound.
fn bounded(count: usize, line: u32) -> Result<(), PolicyError> {
    if count < POLICY_PARAMETERS_MAX {
        Ok(())
    } else {
        Err(PolicyError::at(line, Kind::TooManyParameters))
    }
}
