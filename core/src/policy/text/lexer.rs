//! HCL into tokens, with the comments that stand before each. Never recursive.

use super::error::{PolicyError, PolicyErrorKind as Kind};
use super::tree::{Comment, Word};

pub(super) enum TokenKind {
    Ident(Word),
    Text(Word),
    Number(String),
    /// One of `{ } [ ] = ,`
    Mark(char),
    End,
}

pub(super) struct Token {
    pub kind: TokenKind,
    pub line: u32,
    pub comments: Vec<Comment>,
    pub blank_before: bool,
}

pub(super) struct Lexer<'t> {
    rest: &'t str,
    line: u32,
    /// The line on which the last token or comment ended; 0 before the first.
    ended: u32,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
            ended: 0,
        }
    }

    pub fn next(&mut self) -> Result<Token, PolicyError> {
        let mut comments: Vec<Comment> = Vec::new();
        loop {
            self.skip_space();
            match self.comment()? {
                Some(mut comment) => {
                    // Behind a comment that stands alone, nothing is behind a token.
                    comment.same_line &= comments.last().is_none_or(|last| last.same_line);
                    comments.push(comment);
                }
                None => break,
            }
        }
        let blank_before = self.blank_before();
        let line = self.line;
        let kind = self.kind()?;
        self.ended = self.line;
        Ok(Token {
            kind,
            line,
            comments,
            blank_before,
        })
    }

    fn blank_before(&self) -> bool {
        self.ended > 0 && self.line > self.ended + 1
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes this many bytes, which the caller has seen to be whole characters.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn skip_space(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn comment(&mut self) -> Result<Option<Comment>, PolicyError> {
        let (line, blank_before) = (self.line, self.blank_before());
        let text = if self.rest.starts_with('#') || self.rest.starts_with("//") {
            self.take_while(|c| c != '\n').trim_end()
        } else if self.rest.starts_with("/*") {
            let inside = self.rest.get(2..).unwrap_or_default();
            match inside.find("*/") {
                Some(end) => self.take(end + 4),
                None => return Err(PolicyError::at(line, Kind::Unterminated("a comment"))),
            }
        } else {
            return Ok(None);
        };
        let same_line = self.ended == line;
        self.ended = self.line;
        Ok(Some(Comment {
            text: text.to_owned(),
            same_line,
            blank_before,
        }))
    }

    fn kind(&mut self) -> Result<TokenKind, PolicyError> {
        let line = self.line;
        let Some(first) = self.peek() else {
            return Ok(TokenKind::End);
        };
        match first {
            '{' | '}' | '[' | ']' | '=' | ',' => {
                self.take(1);
                Ok(TokenKind::Mark(first))
            }
            '"' => self.text().map(TokenKind::Text),
            '-' | '0'..='9' => {
                let number =
                    self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
                Ok(TokenKind::Number(number.to_owned()))
            }
            c if c == '_' || c.is_alphabetic() => {
                let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
                Ok(TokenKind::Ident(Word {
                    text: word.to_owned(),
                    raw: word.to_owned(),
                    line,
                }))
            }
            '<' if self.rest.starts_with("<<") => Err(PolicyError::at(line, Kind::Heredoc)),
            _ => Err(PolicyError::at(line, Kind::Character)),
        }
    }

    /// A string in quotes, on one line.
    fn text(&mut self) -> Result<Word, PolicyError> {
        let line = self.line;
        let start = self.rest;
        let unterminated = || PolicyError::at(line, Kind::Unterminated("a string"));
        self.take(1);
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or_else(unterminated)?;
            if c == '\n' {
                return Err(unterminated());
            }
            self.take(c.len_utf8());
            match c {
                '"' => break,
                '\\' => text.push(self.escape()?),
                _ => text.push(c),
            }
        }
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or(start);
        Ok(Word {
            text,
            raw: raw.to_owned(),
            line,
        })
    }

    fn escape(&mut self) -> Result<char, PolicyError> {
        let bad = PolicyError::at(self.line, Kind::Escape);
        let Some(c) = self.peek() else {
            return Err(bad);
        };
        self.take(c.len_utf8());
        let digits = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            '"' | '\\' => return Ok(c),
            'u' => 4,
            'U' => 8,
            _ => return Err(bad),
        };
        let code = self
            .rest
            .get(..digits)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        self.take(digits);
        code.and_then(char::from_u32).ok_or(bad)
    }
}
