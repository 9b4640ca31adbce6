//! HCL tokens into a tree. Its recursion is bounded by [`POLICY_NESTING_MAX`].

use super::error::{PolicyError, PolicyErrorKind as Kind};
use super::lexer::{Lexer, Token, TokenKind};
use super::tree::{Comment, Element, Item, Node, NodeKind, Notes, Word};
use crate::types::limits::POLICY_NESTING_MAX;

/// The items of a text, and the comments behind the last.
pub(in crate::policy) fn read_hcl(text: &str) -> Result<(Vec<Item>, Vec<Comment>), PolicyError> {
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let mut parser = Parser { lexer, token };
    let (items, comments) = parser.items(0)?;
    match parser.token.kind {
        TokenKind::End => Ok((items, comments)),
        _ => Err(parser.expected("a key")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    token: Token,
}

impl Parser<'_> {
    fn expected(&self, what: &'static str) -> PolicyError {
        PolicyError::at(self.token.line, Kind::Expected(what))
    }

    fn advance(&mut self) -> Result<Token, PolicyError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn at(&self, mark: char) -> bool {
        matches!(self.token.kind, TokenKind::Mark(found) if found == mark)
    }

    /// Comments that stand within an item go before it.
    fn gather(&mut self, notes: &mut Notes) {
        notes.before.append(&mut self.token.comments);
    }

    /// Items up to a `}` or the end, which stays.
    fn items(&mut self, depth: usize) -> Result<(Vec<Item>, Vec<Comment>), PolicyError> {
        let mut items: Vec<Item> = Vec::new();
        loop {
            let notes = self.begin(items.last_mut().map(|item| &mut item.notes));
            let key = match &self.token.kind {
                TokenKind::End | TokenKind::Mark('}') => return Ok((items, notes.before)),
                TokenKind::Ident(_) | TokenKind::Text(_) => self.word()?,
                _ => return Err(self.expected("a key")),
            };
            let mut item = self.item(key, notes, depth)?;
            if self.at(',') {
                self.comma(&mut item.notes)?;
            }
            items.push(item);
        }
    }

    /// What stands before the next thing: comments on the line of the last one are its own.
    fn begin(&mut self, last: Option<&mut Notes>) -> Notes {
        let mut before = std::mem::take(&mut self.token.comments);
        if let Some(last) = last {
            let split = before
                .iter()
                .take_while(|comment| comment.same_line)
                .count();
            before
                .drain(..split)
                .for_each(|comment| last.add_behind(comment));
        }
        Notes {
            before,
            behind: Vec::new(),
            blank_before: self.token.blank_before,
        }
    }

    fn comma(&mut self, notes: &mut Notes) -> Result<(), PolicyError> {
        let comma = self.advance()?;
        let comments = comma.comments.into_iter();
        comments.for_each(|comment| notes.add_behind(comment));
        Ok(())
    }

    fn word(&mut self) -> Result<Word, PolicyError> {
        match self.advance()?.kind {
            TokenKind::Ident(word) | TokenKind::Text(word) => Ok(word),
            _ => Err(self.expected("a key")),
        }
    }

    fn item(&mut self, key: Word, mut notes: Notes, depth: usize) -> Result<Item, PolicyError> {
        let mut labels = Vec::new();
        loop {
            self.gather(&mut notes);
            match &self.token.kind {
                TokenKind::Ident(_) | TokenKind::Text(_) if labels.is_empty() => {
                    labels.push(self.word()?);
                }
                TokenKind::Mark('=') if labels.is_empty() => break,
                TokenKind::Mark('{') => break,
                _ if labels.is_empty() => return Err(self.expected("\"=\" or \"{\"")),
                _ => return Err(self.expected("\"{\"")),
            }
        }
        if self.at('=') {
            self.advance()?;
            self.gather(&mut notes);
        }
        let node = self.node(depth)?;
        Ok(Item {
            key,
            labels,
            node,
            notes,
        })
    }

    fn node(&mut self, depth: usize) -> Result<Node, PolicyError> {
        let line = self.token.line;
        if depth >= POLICY_NESTING_MAX {
            return Err(PolicyError::at(line, Kind::TooDeep));
        }
        let kind = match &self.token.kind {
            TokenKind::Mark('{') => {
                self.advance()?;
                let (items, comments) = self.items(depth + 1)?;
                self.close('}', "\"}\"")?;
                NodeKind::Object(items, comments)
            }
            TokenKind::Mark('[') => self.list(depth)?,
            TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Ident(_) => self.scalar()?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Node { line, kind })
    }

    fn scalar(&mut self) -> Result<NodeKind, PolicyError> {
        let token = self.advance()?;
        match token.kind {
            TokenKind::Number(number) => Ok(NodeKind::Number(number)),
            TokenKind::Text(word) => Ok(NodeKind::Text(word)),
            TokenKind::Ident(word) if word.text == "true" => Ok(NodeKind::Bool(true)),
            TokenKind::Ident(word) if word.text == "false" => Ok(NodeKind::Bool(false)),
            _ => Err(PolicyError::at(token.line, Kind::Expected("a value"))),
        }
    }

    fn list(&mut self, depth: usize) -> Result<NodeKind, PolicyError> {
        self.advance()?;
        let mut elements: Vec<Element> = Vec::new();
        loop {
            let notes = self.begin(elements.last_mut().map(|element| &mut element.notes));
            if self.at(']') {
                self.advance()?;
                return Ok(NodeKind::List(elements, notes.before));
            }
            let node = self.node(depth + 1)?;
            let mut element = Element { node, notes };
            if self.at(',') {
                self.comma(&mut element.notes)?;
            } else if !self.at(']') {
                return Err(self.expected("\",\" or \"]\""));
            }
            elements.push(element);
        }
    }

    fn close(&mut self, mark: char, what: &'static str) -> Result<(), PolicyError> {
        if !self.at(mark) {
            return Err(self.expected(what));
        }
        self.advance()?;
        Ok(())
    }
}
