//! The canonical form of a policy in HCL. It changes spaces, line breaks and commas;
//! never a word, a comment or what the policy means.

use super::error::{PolicyError, PolicyErrorKind};
use super::hcl::read_hcl;
use super::tree::{Comment, Element, Item, Node, NodeKind};
use crate::policy::parse::{is_json, parse};

const INDENT: &str = "  ";

/// The canonical form of a policy in HCL: one attribute on a line, two spaces of indent, one
/// empty line between rules and at most one within. Comments stay; one in the middle of an
/// item moves before it. The form of a form is itself, and it means what the text means.
///
/// # Errors
/// What [`parse`] refuses, and JSON.
pub fn fmt(text: &str) -> Result<String, PolicyError> {
    if is_json(text) {
        return Err(PolicyErrorKind::FormatsHcl.into());
    }
    parse(text)?;
    let (items, comments) = read_hcl(text)?;
    let mut printer = Printer {
        out: String::new(),
        depth: 0,
    };
    printer.items(&items, &comments);
    Ok(printer.out)
}

struct Printer {
    out: String,
    depth: usize,
}

impl Printer {
    fn line_start(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str(INDENT);
        }
    }

    fn comments(&mut self, comments: &[Comment], first: bool, apart: bool) {
        for (at, comment) in comments.iter().enumerate() {
            let begins = at == 0;
            if !(first && begins) && (comment.blank_before || apart && begins) {
                self.out.push('\n');
            }
            self.line_start();
            self.out.push_str(&comment.text);
            self.out.push('\n');
        }
    }

    /// Ends a line with the comments behind what stands on it.
    fn line_end(&mut self, behind: &[Comment]) {
        for comment in behind {
            self.out.push(' ');
            self.out.push_str(&comment.text);
        }
        self.out.push('\n');
    }

    fn items(&mut self, items: &[Item], comments: &[Comment]) {
        for (at, item) in items.iter().enumerate() {
            let (first, notes) = (at == 0, &item.notes);
            // Rules stand apart; within one, only what its writer set apart.
            let apart = self.depth == 0;
            self.comments(&notes.before, first, apart);
            let begins = notes.before.is_empty();
            if notes.blank_before && !(first && begins) || apart && begins && !first {
                self.out.push('\n');
            }
            self.line_start();
            self.item(item);
            self.line_end(&notes.behind);
        }
        self.comments(comments, items.is_empty(), self.depth == 0);
    }

    fn item(&mut self, item: &Item) {
        self.out.push_str(&item.key.raw);
        for label in &item.labels {
            self.out.push(' ');
            self.out.push_str(&label.raw);
        }
        // `a {}` and `a = {}` mean the same; without a label the second is written.
        let rule = !item.labels.is_empty();
        self.out.push_str(if rule { " " } else { " = " });
        self.node(&item.node);
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            // HCL has no null; a tree that was read from it has none.
            NodeKind::Null => {}
            NodeKind::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            NodeKind::Number(raw) => self.out.push_str(raw),
            NodeKind::Text(word) => self.out.push_str(&word.raw),
            NodeKind::List(elements, comments) => self.list(elements, comments),
            NodeKind::Object(items, comments) if items.is_empty() && comments.is_empty() => {
                self.out.push_str("{}");
            }
            NodeKind::Object(items, comments) => {
                self.out.push_str("{\n");
                self.depth += 1;
                self.items(items, comments);
                self.depth -= 1;
                self.line_start();
                self.out.push('}');
            }
        }
    }

    /// On one line, unless a comment stands in it.
    fn list(&mut self, elements: &[Element], comments: &[Comment]) {
        if comments.is_empty() && elements.iter().all(is_bare) {
            self.out.push('[');
            for (at, element) in elements.iter().enumerate() {
                self.out.push_str(if at == 0 { "" } else { ", " });
                self.node(&element.node);
            }
            self.out.push(']');
            return;
        }
        self.out.push_str("[\n");
        self.depth += 1;
        for (at, element) in elements.iter().enumerate() {
            let notes = &element.notes;
            self.comments(&notes.before, at == 0, false);
            self.line_start();
            self.node(&element.node);
            self.out.push(',');
            self.line_end(&notes.behind);
        }
        self.comments(comments, elements.is_empty(), false);
        self.depth -= 1;
        self.line_start();
        self.out.push(']');
    }
}

fn is_bare(element: &Element) -> bool {
    element.notes.before.is_empty() && element.notes.behind.is_empty()
}
