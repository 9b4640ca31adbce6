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
    let mut reader = Reader::new(json::object(data)?);
    let mut parameters = Parameters::default();
    let fields = reader.object(|reader, name| {
        parameters.push(name, reader.value()?);
        Some(())
    });
    fields
        .ok_or_else(|| EngineError::argument("data", "a number or a string that can't be read"))?;
    Ok(parameters)
}

/// Reads a text that is known to be well-formed and not too deep. `None`: it holds a number that
/// is none of ours, or a string that is no text.
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What is still to be read, from the next value on.
    pub(super) fn rest(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    /// Takes what is next, if it is this.
    fn take(&mut self, what: &str) -> bool {
        let after = self.rest().strip_prefix(what);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn value(&mut self) -> Option<Value<'static>> {
        Some(match self.rest().bytes().next()? {
            b'{' => {
                // No policy can write a map, so none asks for what is in it. It is read all the
                // same: what can't be read isn't stored.
                self.object(|reader, _| reader.value().map(drop))?;
                Value::Map(BTreeMap::new())
            }
            b'[' => {
                let mut items = Vec::new();
                self.list(|reader| {
                    items.push(reader.value()?);
                    Some(())
                })?;
                Value::List(items)
            }
            b'"' => Value::Text(self.string()?.into()),
            _ if self.take("null") => Value::Null,
            _ if self.take("true") => Value::Bool(true),
            _ if self.take("false") => Value::Bool(false),
            _ => Value::Number(self.number()?),
        })
    }

    /// Reads an object; `field` is told each name, and reads the value.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, String) -> Option<()>,
    ) -> Option<()> {
        self.take("{").then_some(())?;
        if self.take("}") {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(":").then_some(())?;
            field(self, name)?;
            if !self.take(",") {
                return self.take("}").then_some(());
            }
        }
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take("[").then_some(())?;
        if self.take("]") {
            return Some(());
        }
        loop {
            item(self)?;
            if !self.take(",") {
                return self.take("]").then_some(());
            }
        }
    }

    /// Passes a value by.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.rest().bytes().next()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Self::skip),
            b'"' => self.literal().map(drop),
            _ => {
                let end = self.rest.find([',', '}', ']']).unwrap_or(self.rest.len());
                self.split(end).map(drop)
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        json::string(self.literal()?)
    }

    fn literal(&mut self) -> Option<&'a str> {
        let bytes = self.rest().as_bytes();
        let mut end = 1;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.split(end + 1)
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
