//! What HCL and JSON have in common: nested items with lines, and comments for the
//! formatter. No policy text shows in a `Debug`: there is none.

/// A comment as it was written, without spaces behind it.
pub(in crate::policy) struct Comment {
    pub text: String,
    /// It follows something on its line.
    pub same_line: bool,
    pub blank_before: bool,
}

/// A key, or a string: its content, and how it was written.
pub(in crate::policy) struct Word {
    pub text: String,
    pub raw: String,
    pub line: u32,
}

/// `key "label" value`
pub(in crate::policy) struct Item {
    pub key: Word,
    /// What stands between key and block, in HCL.
    pub labels: Vec<Word>,
    pub node: Node,
    pub notes: Notes,
}

/// A value and its line.
pub(in crate::policy) struct Node {
    pub line: u32,
    pub kind: NodeKind,
}

pub(in crate::policy) enum NodeKind {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(Word),
    List(Vec<Element>, Vec<Comment>),
    /// The items, and the comments behind the last.
    Object(Vec<Item>, Vec<Comment>),
}

/// An element of a list.
pub(in crate::policy) struct Element {
    pub node: Node,
    pub notes: Notes,
}

/// The comments of an item or an element.
#[derive(Default)]
pub(in crate::policy) struct Notes {
    pub before: Vec<Comment>,
    pub behind: Vec<Comment>,
    /// Whether an empty line stands between the comments before, or what was before, and it.
    pub blank_before: bool,
}

impl Notes {
    /// Adds a comment behind, or before where what is behind ends its line or the comment
    /// has a line of its own.
    pub fn add_behind(&mut self, comment: Comment) {
        let ends_line = |last: &Comment| !last.text.starts_with("/*");
        if comment.same_line && !self.behind.last().is_some_and(ends_line) {
            self.behind.push(comment);
        } else {
            self.before.push(comment);
        }
    }
}
