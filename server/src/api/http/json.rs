//! JSON of strangers, read under bounds: depth, values and strings are counted while it is read, so
//! that a small body can't grow large in memory. Numbers keep their digits. Knows no field.

use crate::{
    error::Error,
    limits::{
        HTTP_JSON_DEPTH_MAX, HTTP_JSON_NUMBER_BYTES_MAX, HTTP_JSON_STRINGS_MAX,
        HTTP_JSON_VALUES_MAX,
    },
};

/// A JSON value. It has no `Debug`: what a client sends may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order of its keys' first appearance; of equal keys the last one counts.
    Object(Vec<(String, Json)>),
}

/// Reads one JSON text, all of it.
///
/// # Errors
/// It is broken, or beyond a bound. The message quotes nothing of it.
pub fn parse(text: &[u8]) -> Result<Json, Error> {
    let mut reader = Reader {
        text,
        at: 0,
        values_left: HTTP_JSON_VALUES_MAX,
        strings_left: HTTP_JSON_STRINGS_MAX,
    };
    let value = reader.value(HTTP_JSON_DEPTH_MAX)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(broken()),
    }
}

fn broken() -> Error {
    Error::invalid_argument("the body is not valid JSON")
}

fn beyond(what: &str, max: usize) -> Error {
    Error::invalid_argument(format!("the body has more than {max} {what}"))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    values_left: usize,
    strings_left: usize,
}

impl Reader<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes this byte if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth_left: usize) -> Result<Json, Error> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or_else(|| beyond("values", HTTP_JSON_VALUES_MAX))?;
        let deeper = || {
            let left = depth_left.checked_sub(1);
            left.ok_or_else(|| beyond("levels", HTTP_JSON_DEPTH_MAX))
        };
        match self.peek() {
            Some(b'{') => self.object(deeper()?),
            Some(b'[') => self.array(deeper()?),
            Some(b'"') => self.string().map(Json::String),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(broken()),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(broken());
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let of_number = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest
            .iter()
            .position(|b| !of_number(b))
            .unwrap_or(rest.len());
        let digits = rest.get(..length).unwrap_or_default();
        if length > HTTP_JSON_NUMBER_BYTES_MAX {
            return Err(beyond("bytes in a number", HTTP_JSON_NUMBER_BYTES_MAX));
        }
        if !is_number(digits) {
            return Err(broken());
        }
        self.at += length;
        Ok(Json::Number(String::from_utf8_lossy(digits).into_owned()))
    }

    fn string(&mut self) -> Result<String, Error> {
        let left = self.strings_left.checked_sub(1);
        self.strings_left = left.ok_or_else(|| beyond("strings", HTTP_JSON_STRINGS_MAX))?;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut end = 1;
        loop {
            match rest.get(end) {
                None => return Err(broken()),
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        let literal = rest.get(..=end).unwrap_or_default();
        self.at += literal.len();
        // Escapes, surrogates, UTF-8 and control characters are the library's.
        serde_json::from_slice(literal).map_err(|_| broken())
    }

    fn array(&mut self, depth_left: usize) -> Result<Json, Error> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth_left)?);
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(broken());
            }
        }
    }

    fn object(&mut self, depth_left: usize) -> Result<Json, Error> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(broken());
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(broken());
            }
            fields.push((key, self.value(depth_left)?));
            if self.take(b'}') {
                return Ok(Json::Object(last_of_equal(fields)));
            }
            if !self.take(b',') {
                return Err(broken());
            }
        }
    }
}

/// Duplicate keys are accepted, as the peers do: the last value counts.
fn last_of_equal(fields: Vec<(String, Json)>) -> Vec<(String, Json)> {
    let mut at = std::collections::HashMap::with_capacity(fields.len());
    let mut kept: Vec<(String, Json)> = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        match at.get(&key).and_then(|at: &usize| kept.get_mut(*at)) {
            Some(earlier) => earlier.1 = value,
            None => {
                at.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

/// The grammar of RFC 8259: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = rest.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) {
        let unsigned = exponent
            .strip_prefix(b"+")
            .or(exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        let count = digits(unsigned);
        return count > 0 && count == unsigned.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(_) => panic!("accepted: {:.80}", text),
            Err(error) => error.message,
        }
    }

    fn number(text: &str) -> Option<String> {
        match parse(text.as_bytes()) {
            Ok(Json::Number(digits)) => Some(digits),
            _ => None,
        }
    }

    #[test]
    fn it_agrees_with_another_reader() {
        for text in [
            "null",
            " true ",
            "[]",
            "{}",
            "[1,2 , 3]",
            r#"{"a":{"b":[null,false,"x"]}}"#,
            r#""\u00e4\n\ud83d\ude00""#,
            "-0.5e+10",
            r#"{"a":"\"]}"}"#,
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{a:1}",
            "nul",
            "truex",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "--1",
            "1e+",
            r#"""#,
            r#""\"#,
            r#""\x""#,
            r#""\ud800""#,
            "\"\n\"",
            "{}{}",
            "[] x",
            "1 2",
            "NaN",
            "'a'",
            "// c\n1",
        ] {
            assert_eq!(refused(text), "the body is not valid JSON", "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err());
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    /// Texts that were changed at random are read, or refused, as another reader does.
    #[test]
    fn changed_texts_are_judged_as_another_reader_judges_them() {
        const BYTES: &[u8] = b"{}[]:,\"\\ \n-+.01289aeEnulltrfs\x00\x7f\xc3\xa4\xff";
        let base: &[u8] = br#"{"a":[1,-2.5,"x\u00e4\\",{"b":null}],"c":true,"d":{"e":[[]]},"f":0}"#;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let mut good = 0;
        for _ in 0..50_000 {
            let mut text = base.to_vec();
            for _ in 0..=next(3) {
                let (at, byte) = (next(text.len()), BYTES[next(BYTES.len())]);
                match next(3) {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            let other = serde_json::from_slice::<serde_json::Value>(&text);
            let shown = String::from_utf8_lossy(&text);
            assert_eq!(parse(&text).is_ok(), other.is_ok(), "{shown}");
            good += usize::from(other.is_ok());
        }
        assert!(
            good > 1_000,
            "only {good} were good: the test proves little"
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        for digits in [
            "12345678901234567890123",
            "9007199254740993",
            "-0",
            "0.10",
            "1E400",
        ] {
            assert_eq!(number(digits).as_deref(), Some(digits));
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        let one = parse(br#"{"b":0,"a":1,"a":"x","a":2}"#).ok().unwrap();
        let other = parse(br#"{"b":0,"a":2}"#).ok().unwrap();
        assert!(one == other);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(HTTP_JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(refused(&nested(HTTP_JSON_DEPTH_MAX + 1)).contains("levels"));
        assert!(refused(&"[".repeat(1 << 20)).contains("levels"));
        assert!(refused(&r#"{"a":"#.repeat(100_000)).contains("levels"));
    }

    /// Planted bug: values weren't counted. Caught.
    #[test]
    fn values_strings_and_digits_are_bounded() {
        let list = |n: usize, what: &str| format!("[{}]", vec![what; n].join(","));
        assert!(parse(list(HTTP_JSON_VALUES_MAX - 1, "[]").as_bytes()).is_ok());
        assert!(refused(&list(HTTP_JSON_VALUES_MAX, "[]")).contains("values"));
        assert!(parse(list(HTTP_JSON_STRINGS_MAX, "\"\"").as_bytes()).is_ok());
        assert!(refused(&list(HTTP_JSON_STRINGS_MAX + 1, "\"\"")).contains("strings"));
        let keys: Vec<String> = (0..=HTTP_JSON_STRINGS_MAX)
            .map(|n| format!("\"{n}\":0"))
            .collect();
        assert!(refused(&format!("{{{}}}", keys.join(","))).contains("strings"));
        assert!(number(&"1".repeat(HTTP_JSON_NUMBER_BYTES_MAX)).is_some());
        assert!(refused(&"1".repeat(HTTP_JSON_NUMBER_BYTES_MAX + 1)).contains("number"));
    }
}
