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

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;
    use serde_json::Value as Other;

    use super::*;

    fn as_seen(value: Other) -> Value<'static> {
        match value {
            Other::Null => Value::Null,
            Other::Bool(truth) => Value::Bool(truth),
            Other::Number(number) => Value::Number(Number::parse(&number.to_string()).unwrap()),
            Other::String(text) => Value::Text(text.into()),
            Other::Array(items) => Value::List(items.into_iter().map(as_seen).collect()),
            Other::Object(_) => Value::Map(BTreeMap::new()),
        }
    }

    /// Well-formed texts that were changed at random are read as another reader reads them, and
    /// passed by to their end.
    #[test]
    fn changed_texts_are_read_as_another_reader_reads_them() {
        const BYTES: &[u8] = b"{}[]:,\"\\ \n-+.0129eEnulltrfsu";
        let base: &[u8] = br#"[1,-2.5,"x\u00e4\\",{"b":null,"d":["\ud83d\ude00"]},true,[[],{}],0]"#;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let (mut good, mut unread) = (0, 0);
        for _ in 0..50_000 {
            let mut bytes = base.to_vec();
            for _ in 0..=next(3) {
                let (at, byte) = (next(bytes.len()), BYTES[next(BYTES.len())]);
                match next(3) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let text = String::from_utf8(bytes).unwrap();
            if serde_json::from_str::<IgnoredAny>(&text).is_err() {
                continue;
            }
            let mut reader = Reader::new(&text);
            let value = reader.value();
            match serde_json::from_str::<Other>(&text) {
                Ok(other) => {
                    assert!(value == Some(as_seen(other)), "{text}");
                    assert_eq!(reader.rest(), "", "{text}");
                    let mut reader = Reader::new(&text);
                    assert!(
                        reader.skip().is_some() && reader.rest().is_empty(),
                        "{text}"
                    );
                    good += 1;
                }
                Err(_) => {
                    assert!(value.is_none(), "{text}");
                    unread += 1;
                }
            }
        }
        assert!(
            good > 1_000 && unread > 10,
            "{good} {unread}: it proves little"
        );
    }
}
