//! Rules with wildcards, found by what stands before the first one. Built once, searched
//! without an allocation.

use super::pattern::{Pattern, Tail};

/// Rules by their heads.
///
/// A rule can match only where its head begins the path, and a longer head wins. The heads
/// that begin a path form a chain: each is the longest proper beginning of the next. Its
/// end is an ancestor of the greatest head that isn't greater than the path, because all
/// texts between a beginning of the path and the path have that beginning too.
#[derive(Default)]
pub(super) struct HeadIndex {
    /// Sorted by text.
    heads: Vec<Head>,
}

struct Head {
    text: Box<str>,
    /// The longest other head that begins this one.
    parent: Option<usize>,
    /// The rules of this head, by falling precedence.
    rules: Vec<(Tail, usize)>,
}

impl HeadIndex {
    /// Of patterns that aren't exact, each with the number of its rule.
    pub fn new(mut patterns: Vec<(&Pattern, usize)>) -> Self {
        patterns.sort_by(|(a, _), (b, _)| {
            let same_head = || b.precedence().cmp(&a.precedence());
            a.head().cmp(b.head()).then_with(same_head)
        });
        let mut heads: Vec<Head> = Vec::new();
        for (pattern, rule) in patterns {
            let text = pattern.head();
            if let Some(last) = heads.last_mut()
                && &*last.text == text
            {
                last.rules.push((pattern.tail(), rule));
                continue;
            }
            let mut parent = heads.len().checked_sub(1);
            while let Some(head) = parent.and_then(|at| heads.get(at)) {
                if text.starts_with(&*head.text) {
                    break;
                }
                parent = head.parent;
            }
            heads.push(Head {
                text: text.into(),
                parent,
                rules: vec![(pattern.tail(), rule)],
            });
        }
        Self { heads }
    }

    /// The rules that may match something at a folder or in it, each with such paths. `folder` ends
    /// in a slash.
    pub fn inside<'s>(
        &'s self,
        folder: &'s str,
    ) -> impl Iterator<Item = (usize, Vec<String>)> + 's {
        let from = self.heads.partition_point(|head| &*head.text < folder);
        let below = self.heads.get(from..).unwrap_or_default().iter();
        let below = below.take_while(move |head| head.text.starts_with(folder));
        let mut at = from.checked_sub(1);
        let above = std::iter::from_fn(move || {
            loop {
                let head = self.heads.get(at?)?;
                at = head.parent;
                if folder.starts_with(&*head.text) {
                    return Some(head);
                }
            }
        });
        above.chain(below).flat_map(move |head| {
            let rules = head.rules.iter();
            rules.map(move |(tail, rule)| (*rule, tail.inside(&head.text, folder)))
        })
    }

    /// The rule that decides on a path for which there is no exact one.
    pub fn find(&self, path: &str) -> Option<usize> {
        let above = self.heads.partition_point(|head| &*head.text <= path);
        let mut at = above.checked_sub(1);
        while let Some(head) = at.and_then(|at| self.heads.get(at)) {
            if let Some(rest) = path.strip_prefix(&*head.text) {
                let matching = head.rules.iter().find(|(tail, _)| tail.matches(rest));
                if let Some((_, rule)) = matching {
                    return Some(*rule);
                }
            }
            at = head.parent;
        }
        None
    }
}
