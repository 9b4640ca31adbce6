//! Reads HCL and JSON into one small tree. Knows syntax only, no key of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};

use super::error::{ConfigError, Origin};
use crate::limits::FILE_BYTES_MAX;

/// One `key = value` or one block.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: String,
    pub line: Option<usize>,
    pub value: Value,
}

/// A value as it was written.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Str(String),
    List(Vec<Value>),
    /// A block, or an object: `labels` are empty for an object.
    Block {
        labels: Vec<String>,
        body: Vec<Entry>,
    },
    /// Something that a configuration has no use for (templates, functions, fractions).
    Other(&'static str),
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Source {
    pub path: Arc<Path>,
    pub entries: Vec<Entry>,
}

/// The files that `path` stands for: itself, or the *.hcl and *.json files of a directory in the
/// order of their names.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if !std::fs::metadata(path).map_err(read)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        let hidden = file
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && Format::of(&file).is_some() && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(ConfigError::File {
            path: path.to_owned(),
            problem: "the directory holds no .hcl or .json file".into(),
        });
    }
    files.sort();
    Ok(files)
}

enum Format {
    Hcl,
    Json,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads and parses one file.
pub(super) fn read(path: &Path) -> Result<Source, ConfigError> {
    let Some(format) = Format::of(path) else {
        return Err(ConfigError::File {
            path: path.to_owned(),
            problem: "a configuration file ends in .hcl or .json".into(),
        });
    };
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
        return Err(ConfigError::File {
            path: path.to_owned(),
            problem: format!("is larger than {FILE_BYTES_MAX} bytes"),
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let path: Arc<Path> = path.into();
    let entries = match format {
        Format::Hcl => parse_hcl(&path, &text)?,
        Format::Json => parse_json(&path, &text)?,
    };
    Ok(Source { path, entries })
}

fn parse_hcl(path: &Arc<Path>, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let body = hcl_edit::parser::parse_body(text).map_err(|e| ConfigError::Syntax {
        origin: Origin::File {
            path: path.clone(),
            line: Some(e.location().line()),
        },
        message: format!("not valid HCL: {}", e.message()),
    })?;
    Ok(hcl_body(&body, &Lines::of(text)))
}

/// Byte offsets of line starts, to name lines in errors.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i + 1);
        Self(std::iter::once(0).chain(starts).collect())
    }

    fn at(&self, span: Option<std::ops::Range<usize>>) -> Option<usize> {
        span.map(|span| self.0.partition_point(|start| *start <= span.start))
    }
}

fn hcl_body(body: &Body, lines: &Lines) -> Vec<Entry> {
    let entry = |structure: &Structure| match structure {
        Structure::Attribute(attribute) => Entry {
            key: attribute.key.as_str().to_owned(),
            line: lines.at(attribute.key.span()),
            value: hcl_value(&attribute.value, lines),
        },
        Structure::Block(block) => Entry {
            key: block.ident.as_str().to_owned(),
            line: lines.at(block.ident.span()),
            value: Value::Block {
                labels: block.labels.iter().map(|l| l.as_str().to_owned()).collect(),
                body: hcl_body(&block.body, lines),
            },
        },
    };
    body.iter().map(entry).collect()
}

fn hcl_value(expression: &Expression, lines: &Lines) -> Value {
    match expression {
        Expression::Null(_) => Value::Null,
        Expression::Bool(b) => Value::Bool(*b.value()),
        Expression::Number(n) => match (n.value().as_i64(), n.value().as_u64()) {
            (Some(n), _) => Value::Int(n.into()),
            (None, Some(n)) => Value::Int(n.into()),
            (None, None) => Value::Other("a fraction"),
        },
        Expression::String(s) => Value::Str(s.value().clone()),
        Expression::HeredocTemplate(_) | Expression::StringTemplate(_) => {
            Value::Other("a template: write a plain string")
        }
        Expression::Parenthesis(inner) => hcl_value(inner.inner(), lines),
        // -5 is an operation on 5 in HCL; a negative number must be told as such.
        Expression::UnaryOp(_) => Value::Other("negative"),
        Expression::Array(items) => {
            Value::List(items.iter().map(|item| hcl_value(item, lines)).collect())
        }
        Expression::Object(object) => {
            let mut body = Vec::with_capacity(object.len());
            for (key, value) in object.iter() {
                let (name, span) = match key {
                    ObjectKey::Ident(ident) => (ident.as_str().to_owned(), ident.span()),
                    ObjectKey::Expression(Expression::String(s)) => (s.value().clone(), s.span()),
                    ObjectKey::Expression(_) => {
                        return Value::Other("an object with computed keys");
                    }
                };
                let value = hcl_value(value.expr(), lines);
                body.push(Entry {
                    key: name,
                    line: lines.at(span),
                    value,
                });
            }
            Value::Block {
                labels: Vec::new(),
                body,
            }
        }
        _ => Value::Other("an expression: write a plain value"),
    }
}

fn parse_json(path: &Arc<Path>, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let syntax = |line: Option<usize>, message: String| ConfigError::Syntax {
        origin: Origin::File {
            path: path.clone(),
            line,
        },
        message,
    };
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| syntax(Some(e.line()), format!("not valid JSON: {e}")))?;
    match value {
        serde_json::Value::Object(map) => Ok(json_body(map)),
        _ => Err(syntax(None, "a JSON configuration is one object".into())),
    }
}

fn json_body(map: serde_json::Map<String, serde_json::Value>) -> Vec<Entry> {
    map.into_iter()
        .map(|(key, value)| Entry {
            key,
            line: None,
            value: json_value(value),
        })
        .collect()
}

fn json_value(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Value::Int(n.into()),
            (None, Some(n)) => Value::Int(n.into()),
            (None, None) => Value::Other("a fraction"),
        },
        Json::String(s) => Value::Str(s),
        Json::Array(items) => Value::List(items.into_iter().map(json_value).collect()),
        Json::Object(map) => Value::Block {
            labels: Vec::new(),
            body: json_body(map),
        },
    }
}
