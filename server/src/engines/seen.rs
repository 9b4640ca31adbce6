//! What policies see of a JSON text: the values as they are stored, read by this reader alone. No
//! name has a meaning of its own here, and no text is read as JSON again.

use std::collections::BTreeMap;

use tenure_core::policy::{Number, Parameters, Value};

use super::{EngineError, json};

/// What policies see of the data of a call. A name that occurs twice is there twice: what is
/// stored keeps both.
///
/// # Errors
/// Data that can't be wholly read so: it must not be acted on, whoever asks. (A number or a string
/// that one reader takes and another refuses would be hidden from the rules.)
pub(super) fn parameters(data: &[u8]) -> Result<Parameters<'static>, EngineError> {
    let mut reader = Reader {
        rest: json::object(data)?,
    };
    let mut parameters = Parameters::default();
    let fields = reader.object(|name, value| parameters.push(name, value));
    fields
        .ok_or_else(|| EngineError::argument("data", "a number or a string that can't be read"))?;
    Ok(parameters)
}

/// Reads a text that is known to be well-formed and not too deep. `None`: it holds a number that
/// is none of ours, or a string that is no text.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes what is next, if it is this.
    fn take(&mut self, what: &str) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix(what);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn value(&mut self) -> Option<Value<'static>> {
        self.rest = self.rest.trim_start();
        Some(match self.rest.bytes().next()? {
            b'{' => {
                // No policy can write a map, so none asks for what is in it. It is read all the
                // same: what can't be read isn't stored.
                self.object(|_, _| {})?;
                Value::Map(BTreeMap::new())
            }
            b'[' => Value::List(self.list()?),
            b'"' => Value::Text(self.string()?.into()),
            _ if self.take("null") => Value::Null,
            _ if self.take("true") => Value::Bool(true),
            _ if self.take("false") => Value::Bool(false),
            _ => Value::Number(self.number()?),
        })
    }

    fn object(&mut self, mut each: impl FnMut(String, Value<'static>)) -> Option<()> {
        self.take("{").then_some(())?;
        if self.take("}") {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(":").then_some(())?;
            each(name, self.value()?);
            if !self.take(",") {
                return self.take("}").then_some(());
            }
        }
    }

    fn list(&mut self) -> Option<Vec<Value<'static>>> {
        self.take("[").then_some(())?;
        let mut items = Vec::new();
        if self.take("]") {
            return Some(items);
        }
        loop {
            items.push(self.value()?);
            if !self.take(",") {
                return self.take("]").then_some(items);
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        json::string(self.split(end + 1)?)
    }

    /// By its digits: a whole number too large for a float's digits is still that one.
    fn number(&mut self) -> Option<Number> {
        let of_number = |c: char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest.find(|c| !of_number(c)).unwrap_or(self.rest.len());
        Number::parse(self.split(end)?)
    }

    fn split(&mut self, at: usize) -> Option<&'a str> {
        let (before, after) = self.rest.split_at_checked(at)?;
        self.rest = after;
        Some(before)
    }
}
