//! What an HTTP request carries: captures, query and body fields, with the lenience of the peers
//! about types. Each field is taken once; what nobody took is told in a warning.

use std::collections::HashMap;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use prost_types::Duration;
use tenure_core::types::Ttl;
use tonic::{Code, Status, body::Body};

use super::{
    json::{self, Json},
    part::Part,
    route::percent_decode,
};
use crate::{
    error::Error,
    limits::{HTTP_QUERY_BYTES_MAX, HTTP_QUERY_PAIRS_MAX},
};

/// A request, ready to become a call. It has no `Debug`: it may hold secrets.
pub struct Input {
    /// The pattern of its route.
    pub pattern: &'static str,
    /// What the pattern captured.
    pub captures: Vec<String>,
    /// The query.
    pub query: Pairs,
    /// The fields of the body.
    pub fields: Fields,
    /// The body itself, for calls that take it as it is ([`super::HttpCall::TAKES_BYTES`]).
    pub bytes: Bytes,
    /// What the headers say that the body is.
    pub content_type: Option<HeaderValue>,
    /// The token in its headers, for calls that mean it when they name none.
    pub own_token: Option<String>,
    /// Whether the client asked not to wait for the end of it.
    pub is_async: bool,
    /// The part of a list that is asked for.
    pub part: Part,
}

impl Input {
    /// The first capture of the pattern.
    pub fn capture(&self) -> Option<&str> {
        self.captures.first().map(String::as_str)
    }

    /// A text of the path, or else of the body.
    ///
    /// # Errors
    /// The field is no text.
    pub fn capture_or_text(&mut self, field: &'static str) -> Result<String, Error> {
        // Taken in either case: it is a known field.
        let text = self.fields.text(field)?;
        Ok(self.capture().map_or(text, str::to_owned))
    }
}

/// Parameters of a query or a form, decoded.
#[derive(Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads a query.
    ///
    /// # Errors
    /// Too long, too many, or broken.
    pub fn of_query(query: &str) -> Result<Self, Error> {
        if query.len() > HTTP_QUERY_BYTES_MAX {
            let message = format!("the query has more than {HTTP_QUERY_BYTES_MAX} bytes");
            return Err(Error::invalid_argument(message));
        }
        let pairs = Self::parse(query, "the query is not valid")?;
        if pairs.0.len() > HTTP_QUERY_PAIRS_MAX {
            let message = format!("the query has more than {HTTP_QUERY_PAIRS_MAX} parameters");
            return Err(Error::invalid_argument(message));
        }
        Ok(pairs)
    }

    fn parse(text: &str, otherwise: &str) -> Result<Self, Error> {
        let decode = |text| percent_decode(text, true);
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(key)?, decode(value)?))
            })
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| Error::invalid_argument(otherwise))
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All parameters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether a parameter says yes.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| truth(value) == Some(true))
    }
}

/// Reads a body to its end. The edge bounds its size and its time.
///
/// # Errors
/// What the edge refused, or INVALID_ARGUMENT if it broke off.
pub async fn read(body: Body) -> Result<Bytes, Status> {
    match body.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(status) if !status.details().is_empty() => Err(status),
        Err(_) => Err(Error::invalid_argument("the body could not be read").into()),
    }
}

/// A body as the JSON text of an object: the very bytes, unless it is a form. Nothing, and `null`,
/// are no bytes at all. Whether it is one, who takes it finds out.
///
/// # Errors
/// A form that is broken or beyond a bound.
pub fn json_text(kind: Option<&HeaderValue>, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let bytes = bytes.trim_ascii();
    if !is_form(kind, bytes) {
        return Ok(if bytes == b"null" {
            Vec::new()
        } else {
            bytes.to_vec()
        });
    }
    let fields = Fields::of_form(bytes)?.0.into_iter();
    let fields = fields.map(|(key, value)| match value {
        Json::Array(items) => {
            let items = items.into_iter().filter_map(text);
            (key, items.collect::<Vec<_>>().into())
        }
        value => (key, text(value).into()),
    });
    let object: serde_json::Map<String, serde_json::Value> = fields.collect();
    Ok(serde_json::Value::from(object).to_string().into_bytes())
}

/// Whether a body is a form: `curl -d` says so of everything.
fn is_form(kind: Option<&HeaderValue>, bytes: &[u8]) -> bool {
    let says_so = kind.is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"application/x-www-form-urlencoded")
    });
    says_so && !matches!(bytes.first(), None | Some(b'{' | b'['))
}

/// The fields of a body.
#[derive(Default)]
pub struct Fields(Vec<(String, Json)>);

impl Fields {
    /// Reads a body of this content type: JSON, or a form if it says so and doesn't look like JSON.
    ///
    /// # Errors
    /// Broken, beyond a bound, or no object.
    pub fn of_body(kind: Option<&HeaderValue>, bytes: &[u8]) -> Result<Self, Error> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if is_form(kind, bytes) {
            return Self::of_form(bytes);
        }
        match json::parse(bytes)? {
            Json::Null => Ok(Self::default()),
            Json::Object(fields) => Ok(Self(fields)),
            _ => Err(Error::invalid_argument("the body must be a JSON object")),
        }
    }

    fn of_form(bytes: &[u8]) -> Result<Self, Error> {
        let broken = "the form is not valid";
        let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid_argument(broken))?;
        let pairs = text.split('&').count();
        if pairs > crate::limits::HTTP_JSON_STRINGS_MAX / 2 {
            return Err(Error::invalid_argument("the form has too many fields"));
        }
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut at = HashMap::new();
        for (key, value) in Pairs::parse(text, broken)?.0 {
            let value = Json::String(value);
            // A field that is given more than once is a list.
            match at.get(&key).and_then(|at: &usize| fields.get_mut(*at)) {
                Some((_, Json::Array(items))) => items.push(value),
                Some((_, first)) => *first = Json::Array(vec![first.clone(), value]),
                None => {
                    at.insert(key.clone(), fields.len());
                    fields.push((key, value));
                }
            }
        }
        Ok(Self(fields))
    }

    /// Takes a field; `null` is as good as none.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.0.swap_remove(at);
        (!matches!(value, Json::Null)).then_some(value)
    }

    /// Whether a field is there, and not `null`.
    pub fn has(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.is_some_and(|(_, value)| !matches!(value, Json::Null))
    }

    /// Takes a field if it is this text, and says whether.
    pub fn take_text(&mut self, name: &str, text: &str) -> bool {
        let is_it = |(key, value): &(String, Json)| {
            key == name && matches!(value, Json::String(given) if given == text)
        };
        let at = self.0.iter().position(is_it);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }

    /// What nobody took, for a warning.
    pub fn left(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.0.iter().map(|(key, _)| key.as_str()).collect();
        names.sort_unstable();
        let names = names.join(", ");
        Some(format!(
            "these fields are not known and were ignored: {names}"
        ))
    }

    /// A text; numbers and truths become one. Empty if there is none.
    ///
    /// # Errors
    /// It is a list or an object.
    pub fn text(&mut self, name: &'static str) -> Result<String, Error> {
        self.take(name).map_or_else(
            || Ok(String::new()),
            |value| text(value).ok_or_else(|| wrong(name, "must be a string")),
        )
    }

    /// A text, where an empty one says something else than none.
    ///
    /// # Errors
    /// It is a list or an object.
    pub fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        let given = self.take(name);
        given
            .map(|value| text(value).ok_or_else(|| wrong(name, "must be a string")))
            .transpose()
    }

    /// A truth, also as a text or a number.
    ///
    /// # Errors
    /// It is none.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let flag = match value {
            Json::Bool(flag) => Some(flag),
            other => text(other).and_then(|text| truth(&text)),
        };
        flag.map(Some)
            .ok_or_else(|| wrong(name, "must be true or false"))
    }

    /// A whole number, also as a text.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn integer(&mut self, name: &'static str) -> Result<Option<i64>, Error> {
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Json::Number(digits) | Json::String(digits)) => digits.parse().ok(),
            Some(_) => None,
        };
        number
            .map(Some)
            .ok_or_else(|| wrong(name, "must be a whole number"))
    }

    /// A whole number that can't be negative.
    ///
    /// # Errors
    /// It is none, negative, or too large.
    pub fn count(&mut self, name: &'static str) -> Result<Option<u32>, Error> {
        let number = self.integer(name)?.map(u32::try_from).transpose();
        number.map_err(|_| wrong(name, "must be between 0 and 4294967295"))
    }

    /// A duration: seconds, or a text such as "90", "1h30m" or "2d".
    ///
    /// # Errors
    /// It is none, or negative.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, Error> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Json::Number(text) | Json::String(text)) => text,
            Some(_) => return Err(wrong(name, "must be a duration")),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let ttl: Ttl = text.parse().map_err(|error| wrong(name, error))?;
        Ok(Some(Duration {
            seconds: i64::try_from(ttl.as_seconds()).unwrap_or(i64::MAX),
            nanos: 0,
        }))
    }

    /// Texts, if the field is there.
    ///
    /// # Errors
    /// As [`Self::texts`].
    pub fn given_texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, Error> {
        if !self.0.iter().any(|(key, _)| key == name) {
            return Ok(None);
        }
        self.texts(name).map(Some)
    }

    /// Texts: a list, or one text, which is one item whatever it holds.
    ///
    /// # Errors
    /// Something in it is no text.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Error> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Json::Array(items)) => items,
            Some(one) => vec![one],
        };
        let texts: Option<Vec<String>> = items.into_iter().map(text).collect();
        texts.ok_or_else(|| wrong(name, "must be a list of strings"))
    }

    /// The fields of an object in the body.
    ///
    /// # Errors
    /// It is no object.
    pub fn fields(&mut self, name: &'static str) -> Result<Self, Error> {
        match self.take(name) {
            None => Ok(Self::default()),
            Some(Json::Object(fields)) => Ok(Self(fields)),
            Some(_) => Err(wrong(name, "must be an object")),
        }
    }

    /// Puts back what nobody took of an object in the body, to be told in the warning.
    pub fn leave(&mut self, name: &'static str, rest: Self) {
        let rest = rest.0.into_iter();
        self.0
            .extend(rest.map(|(key, value)| (format!("{name}.{key}"), value)));
    }

    /// Takes fields that mean nothing here, as long as they ask for nothing.
    pub fn ignore(&mut self, names: &[&str]) {
        self.0.retain(|(key, value)| {
            let asks = match value {
                Json::Null | Json::Bool(false) => false,
                Json::String(text) => !text.is_empty(),
                Json::Array(items) => !items.is_empty(),
                Json::Object(fields) => !fields.is_empty(),
                Json::Bool(true) | Json::Number(_) => true,
            };
            asks || !names.contains(&key.as_str())
        });
    }

    /// Named texts; numbers and truths become texts.
    ///
    /// # Errors
    /// It is no object, or something in it is no text.
    pub fn text_map(&mut self, name: &'static str) -> Result<Vec<(String, String)>, Error> {
        let fields = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Json::Object(fields)) => fields,
            Some(_) => return Err(wrong(name, "must be an object of strings")),
        };
        let texts: Option<Vec<_>> = fields
            .into_iter()
            .map(|(key, value)| Some((key, text(value)?)))
            .collect();
        texts.ok_or_else(|| wrong(name, "must be an object of strings"))
    }
}

fn wrong(field: &str, problem: impl std::fmt::Display) -> Error {
    Error::invalid_argument(format!("{field}: {problem}"))
}

/// Refuses a field that asks for what isn't built.
pub fn not_offered(what: &str) -> Error {
    let message = format!("{what} are not offered yet");
    Error::new(Code::Unimplemented, "NOT_OFFERED", message)
}

fn text(value: Json) -> Option<String> {
    match value {
        Json::String(text) | Json::Number(text) => Some(text),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null => Some(String::new()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
