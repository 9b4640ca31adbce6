//! The parameters of a request, and what a rule demands of them. Values are secrets as
//! often as not: they are borrowed, compared, and never shown.

use std::{borrow::Cow, collections::BTreeMap, fmt};

/// A number, so that `1` and `1.0` are the same one.
#[derive(Clone, Copy, PartialEq)]
pub struct Number(Repr);

#[derive(Clone, Copy, PartialEq)]
enum Repr {
    Whole(i128),
    /// Finite, and not a whole number that `Whole` holds.
    Float(f64),
}

/// Up to here every whole number has an exact `f64`.
const EXACT_F64_MAX: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// From a whole number.
    pub const fn whole(value: i128) -> Self {
        Self(Repr::Whole(value))
    }

    /// From a float; `None` if it isn't finite.
    pub fn float(value: f64) -> Option<Self> {
        if !value.is_finite() {
            None
        } else if value.fract() == 0.0 && value.abs() <= EXACT_F64_MAX {
            Some(Self(Repr::Whole(value as i128)))
        } else {
            Some(Self(Repr::Float(value)))
        }
    }

    /// Reads a decimal number as HCL and JSON write it.
    pub fn parse(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(whole) => Some(Self::whole(whole)),
            Err(_) => text.parse().ok().and_then(Self::float),
        }
    }
}

/// A value like JSON's. It has no `Debug`.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Self>),
    /// A map. A policy can't write one, so it matches only where any value does.
    Map(BTreeMap<Cow<'a, str>, Self>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// The named parameters of a request, in order; a name may occur more than once, then each
/// of them is checked.
#[derive(Clone, Default)]
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Parameters<'a> {
    /// Adds one.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        self.0.push((name.into(), value));
    }

    /// Adds these.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a, N: Into<Cow<'a, str>>> FromIterator<(N, Value<'a>)> for Parameters<'a> {
    fn from_iter<I: IntoIterator<Item = (N, Value<'a>)>>(all: I) -> Self {
        Self(all.into_iter().map(|(n, v)| (n.into(), v)).collect())
    }
}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameters({})", self.0.len())
    }
}

/// Values by name: the name in lower case; no values stand for any value.
pub(super) type ValuesByName = BTreeMap<String, Vec<Value<'static>>>;

/// The name that stands for all names.
const ANY_NAME: &str = "*";

/// What a rule demands of parameters. Empty parts demand nothing.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Constraints {
    pub allowed: ValuesByName,
    pub denied: ValuesByName,
    /// Names in lower case, sorted, each once.
    pub required: Vec<String>,
}

impl Constraints {
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty() && self.required.is_empty()
    }

    /// Whether a request with these parameters may pass. Denied beats allowed.
    pub fn admit(&self, parameters: &Parameters<'_>) -> bool {
        // A required name counts only as it is written: engines read exactly that one.
        let present = |name: &String| parameters.0.iter().any(|(given, _)| given == name);
        if !self.required.iter().all(present) {
            return false;
        }
        if parameters.is_empty() {
            return true;
        }
        if self.denied.contains_key(ANY_NAME) {
            return false;
        }
        let any_name = self.allowed.is_empty() || self.allowed.contains_key(ANY_NAME);
        let only_any = self.allowed.len() == usize::from(self.allowed.contains_key(ANY_NAME));
        parameters.0.iter().all(|(name, value)| {
            let name = lower(name);
            let denied = self.denied.get(name.as_ref());
            if denied.is_some_and(|values| listed(value, values)) {
                return false;
            }
            match self.allowed.get(name.as_ref()) {
                _ if only_any => true,
                Some(values) => listed(value, values),
                None => any_name,
            }
        })
    }

    /// Takes those of another rule on the same path in: names and values come together, no
    /// values (any) win, and a rule without constraints doesn't lift those of another.
    pub fn merge(&mut self, other: &Self) {
        merge_values(&mut self.allowed, &other.allowed);
        merge_values(&mut self.denied, &other.denied);
        self.required.extend_from_slice(&other.required);
        self.required.sort();
        self.required.dedup();
    }
}

fn merge_values(into: &mut ValuesByName, other: &ValuesByName) {
    for (name, values) in other {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(existing) if existing.is_empty() || values.is_empty() => existing.clear(),
            Some(existing) => existing.extend_from_slice(values),
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_uppercase())
    {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.to_lowercase())
    }
}

fn listed(value: &Value<'_>, values: &[Value<'static>]) -> bool {
    values.is_empty() || values.iter().any(|pattern| matches(pattern, value))
}

fn matches(pattern: &Value<'static>, value: &Value<'_>) -> bool {
    match (pattern, value) {
        (Value::Text(pattern), Value::Text(text)) => glob(pattern, text),
        _ => pattern == value,
    }
}

/// A `*` at an end of a value stands for anything there, as with the peers; a lone one is
/// an ordinary character.
fn glob(pattern: &str, text: &str) -> bool {
    if pattern.len() < 2 {
        return pattern == text;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    }
}
