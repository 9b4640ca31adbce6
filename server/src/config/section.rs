//! A stanza that is taken apart key by key; what is left at the end is an error. Knows the shapes
//! of values, not their meaning.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, Origin};
use super::source::{Entry, Value};
use super::units::parse_duration;

/// A value that was set, and where.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub value: T,
    pub origin: Origin,
}

/// What becomes of a key that Vault's users know and Tenure has no use for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Foreign {
    /// Does no harm when it does nothing: a warning.
    Ignored(&'static str),
    /// Would change what the operator relies on: an error.
    Refused(&'static str),
    /// `false` (the default) is what Tenure does anyway; anything else is an error.
    RefusedUnlessFalse(&'static str),
}

/// A table of such keys.
pub(super) type ForeignKeys = &'static [(&'static str, Foreign)];

/// One stanza, or the top level of a file.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<Path>,
    line: Option<usize>,
    /// `listener "tcp"`, or empty at the top level.
    name: String,
    entries: Vec<Entry>,
}

impl Section {
    pub fn top(file: Arc<Path>, entries: Vec<Entry>) -> Self {
        Self {
            file,
            line: None,
            name: String::new(),
            entries,
        }
    }

    fn at(&self, line: Option<usize>) -> Origin {
        Origin::File {
            path: self.file.clone(),
            line,
        }
    }

    pub fn origin(&self) -> Origin {
        self.at(self.line)
    }

    fn full_key(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}: {key}"),
        }
    }

    pub fn error_at(&self, origin: Origin, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Key {
            origin,
            key: self.full_key(key),
            problem: problem.into(),
        }
    }

    /// An error about the stanza as a whole.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        self.error_at(self.origin(), key, problem)
    }

    fn take_all(&mut self, key: &str) -> Vec<Entry> {
        let (taken, left) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|e| e.key == key);
        self.entries = left;
        taken
    }

    /// Takes a key that may stand once, and reads its value.
    pub fn parse<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<Set<T>>, ConfigError> {
        let mut found = self.take_all(key).into_iter();
        let Some(entry) = found.next() else {
            return Ok(None);
        };
        if let Some(again) = found.next() {
            return Err(self.error_at(self.at(again.line), key, "is set twice"));
        }
        let origin = self.at(entry.line);
        if matches!(entry.value, Value::Null) {
            return Ok(None);
        }
        match read(&entry.value) {
            Ok(value) => Ok(Some(Set { value, origin })),
            Err(problem) => Err(self.error_at(origin, key, problem)),
        }
    }

    /// Takes all stanzas of a name. Accepts `name "label" { }`, `name { }`, and the JSON forms
    /// `"name": {"label": {…}}`, `"name": [{"label": {…}}]`, `"name": {…}`.
    pub fn stanzas(
        &mut self,
        key: &str,
        labelled: bool,
    ) -> Result<Vec<(String, Section)>, ConfigError> {
        let mut out = Vec::new();
        for entry in self.take_all(key) {
            let values = match entry.value {
                Value::List(values) => values,
                value => vec![value],
            };
            for value in values {
                let Value::Block { labels, body } = value else {
                    return Err(self.error_at(self.at(entry.line), key, "must be a stanza: { … }"));
                };
                self.expand(key, labelled, entry.line, labels, body, &mut out)?;
            }
        }
        Ok(out)
    }

    fn expand(
        &self,
        key: &str,
        labelled: bool,
        line: Option<usize>,
        mut labels: Vec<String>,
        body: Vec<Entry>,
        out: &mut Vec<(String, Section)>,
    ) -> Result<(), ConfigError> {
        let section = |label: &str, body| {
            let name = if label.is_empty() {
                key.to_owned()
            } else {
                format!("{key} {label:?}")
            };
            let section = Section {
                file: self.file.clone(),
                line,
                name: self.full_key(&name),
                entries: body,
            };
            (label.to_owned(), section)
        };
        match (labelled, labels.len()) {
            (true, 1) => {
                let label = labels.remove(0);
                out.push(section(&label, body));
            }
            (false, 0) => out.push(section("", body)),
            (true, 0) => {
                // Without a label the body must consist of labels.
                for inner in body {
                    let bodies = match inner.value {
                        Value::List(values) => values,
                        value => vec![value],
                    };
                    for value in bodies {
                        let Value::Block { labels, body } = value else {
                            let problem = format!("needs a type, such as {key} \"…\" {{ … }}");
                            return Err(self.error_at(self.at(line), key, problem));
                        };
                        if !labels.is_empty() {
                            return Err(self.error_at(self.at(line), key, "has too many labels"));
                        }
                        out.push(section(&inner.key, body));
                    }
                }
            }
            _ => return Err(self.error_at(self.at(line), key, "has too many labels")),
        }
        Ok(())
    }

    /// Ends the stanza: keys of the table are warned about or refused, all others are unknown.
    pub fn finish(
        self,
        foreign: ForeignKeys,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        for entry in &self.entries {
            let origin = self.at(entry.line);
            let key = entry.key.as_str();
            match foreign
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, what)| *what)
            {
                Some(Foreign::Ignored(why)) => {
                    warnings.push(format!("{origin}: {}: ignored: {why}", self.full_key(key)));
                }
                Some(Foreign::RefusedUnlessFalse(_)) if as_bool(&entry.value) == Ok(false) => {}
                Some(Foreign::Refused(why) | Foreign::RefusedUnlessFalse(why)) => {
                    return Err(self.error_at(origin, key, format!("not supported: {why}")));
                }
                None => return Err(self.error_at(origin, key, "unknown key")),
            }
        }
        Ok(())
    }
}

fn mismatch(wanted: &str, got: &Value) -> String {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) => "a number",
        Value::Str(_) => "a string",
        Value::List(_) => "a list",
        Value::Block { .. } => "a stanza",
        Value::Other(what) => what,
    };
    format!("must be {wanted}; this is {got}")
}

/// A string that is not empty.
pub(super) fn as_string(value: &Value) -> Result<String, String> {
    match value {
        Value::Str(s) if s.is_empty() => Err("is empty".into()),
        Value::Str(s) if s.contains('\0') => Err("holds a NUL character".into()),
        Value::Str(s) => Ok(s.clone()),
        other => Err(mismatch("a string", other)),
    }
}

/// `true`, `false`, and what Vault takes for them: "true", 1, "1", …
pub(super) fn as_bool(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(b) => Ok(*b),
        Value::Int(1) => Ok(true),
        Value::Int(0) => Ok(false),
        Value::Str(s) if matches!(s.as_str(), "true" | "1") => Ok(true),
        Value::Str(s) if matches!(s.as_str(), "false" | "0") => Ok(false),
        Value::Str(_) | Value::Int(_) => Err("must be true or false".into()),
        other => Err(mismatch("true or false", other)),
    }
}

/// A whole number between two bounds, both included; quoted too, as Vault takes it.
pub(super) fn as_number(value: &Value, min: u64, max: u64) -> Result<u64, String> {
    let n: i128 = match value {
        Value::Int(n) => *n,
        Value::Str(s) => s
            .parse()
            .map_err(|_| format!("{s:?} is not a whole number"))?,
        other => return Err(mismatch("a whole number", other)),
    };
    match u64::try_from(n) {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(format!("{n} is not between {min} and {max}")),
    }
}

/// A duration between two bounds, both included.
pub(super) fn as_duration(value: &Value, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = match value {
        Value::Int(n) => parse_duration(&n.to_string())?,
        Value::Str(s) => parse_duration(s)?,
        other => return Err(mismatch("a duration", other)),
    };
    if duration < min || duration > max {
        return Err(format!("{duration:?} is not between {min:?} and {max:?}"));
    }
    Ok(duration)
}
