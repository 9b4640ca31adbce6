//! JSON into the same tree as HCL; a key that stands twice stays twice. Its recursion is
//! bounded by [`POLICY_NESTING_MAX`].

use super::error::{PolicyError, PolicyErrorKind as Kind};
use super::tree::{Element, Item, Node, NodeKind, Notes, Word};
use crate::types::limits::POLICY_NESTING_MAX;

/// The items of the object that a text is.
pub(in crate::policy) fn read_json(text: &str) -> Result<Vec<Item>, PolicyError> {
    let mut parser = Parser {
        rest: text,
        line: 1,
    };
    let node = parser.node(0)?;
    parser.skip_space();
    match node.kind {
        NodeKind::Object(items, _) if parser.rest.is_empty() => Ok(items),
        NodeKind::Object(..) => Err(parser.expected("the end")),
        _ => Err(parser.expected("an object")),
    }
}

struct Parser<'t> {
    rest: &'t str,
    line: u32,
}

impl<'t> Parser<'t> {
    fn expected(&self, what: &'static str) -> PolicyError {
        PolicyError::at(self.line, Kind::Expected(what))
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        let blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        let end = self.rest.find(|c| !blank(c)).unwrap_or(self.rest.len());
        let lines = self.take(end).bytes().filter(|b| *b == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
    }

    /// The next character that isn't space, without taking it.
    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.take(mark.len_utf8());
        }
        found
    }

    fn node(&mut self, depth: usize) -> Result<Node, PolicyError> {
        let first = self.peek();
        let line = self.line;
        if depth > POLICY_NESTING_MAX {
            return Err(PolicyError::at(line, Kind::TooDeep));
        }
        let kind = match first {
            Some('{') => NodeKind::Object(self.object(depth)?, Vec::new()),
            Some('[') => NodeKind::List(self.list(depth)?, Vec::new()),
            Some('"') => NodeKind::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.literal()?,
        };
        Ok(Node { line, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Item>, PolicyError> {
        self.take(1);
        let mut items = Vec::new();
        if self.eat('}') {
            return Ok(items);
        }
        loop {
            if self.peek() != Some('"') {
                return Err(self.expected("a key in quotes"));
            }
            let key = self.text()?;
            if !self.eat(':') {
                return Err(self.expected("\":\""));
            }
            let node = self.node(depth + 1)?;
            items.push(Item {
                key,
                labels: Vec::new(),
                node,
                notes: Notes::default(),
            });
            if self.eat('}') {
                return Ok(items);
            }
            if !self.eat(',') {
                return Err(self.expected("\",\" or \"}\""));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Element>, PolicyError> {
        self.take(1);
        let mut elements = Vec::new();
        if self.eat(']') {
            return Ok(elements);
        }
        loop {
            let node = self.node(depth + 1)?;
            let notes = Notes::default();
            elements.push(Element { node, notes });
            if self.eat(']') {
                return Ok(elements);
            }
            if !self.eat(',') {
                return Err(self.expected("\",\" or \"]\""));
            }
        }
    }

    fn number(&mut self) -> Result<NodeKind, PolicyError> {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let text = self.take(end);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let mut bytes = digits.bytes();
        let first_digit = bytes.next().is_some_and(|byte| byte.is_ascii_digit());
        let leading_zero =
            digits.starts_with('0') && bytes.next().is_some_and(|byte| byte.is_ascii_digit());
        if leading_zero || !first_digit {
            return Err(self.expected("a number"));
        }
        Ok(NodeKind::Number(text.to_owned()))
    }

    fn literal(&mut self) -> Result<NodeKind, PolicyError> {
        for (word, kind) in [
            ("true", NodeKind::Bool(true)),
            ("false", NodeKind::Bool(false)),
            ("null", NodeKind::Null),
        ] {
            if self.rest.starts_with(word) {
                self.take(word.len());
                return Ok(kind);
            }
        }
        Err(self.expected("a value"))
    }

    fn text(&mut self) -> Result<Word, PolicyError> {
        let start = self.rest;
        let unterminated = PolicyError::at(self.line, Kind::Unterminated("a string"));
        self.take(1);
        let mut text = String::new();
        loop {
            let Some(c) = self.rest.chars().next() else {
                return Err(unterminated);
            };
            self.take(c.len_utf8());
            match c {
                '"' => break,
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => return Err(PolicyError::at(self.line, Kind::Character)),
                _ => text.push(c),
            }
        }
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or(start);
        Ok(Word {
            text,
            raw: raw.to_owned(),
            line: self.line,
        })
    }

    fn escape(&mut self) -> Result<char, PolicyError> {
        let escaped = self.rest.chars().next();
        self.take(escaped.map_or(0, char::len_utf8));
        let found = match escaped {
            Some(c @ ('"' | '\\' | '/')) => Some(c),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => self.unicode(),
            _ => None,
        };
        found.ok_or_else(|| PolicyError::at(self.line, Kind::Escape))
    }

    /// Four hexadecimal digits, or two times four for what lies beyond them.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        let second = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.take(4);
        u32::from_str_radix(digits, 16).ok()
    }
}
