//! The path of a rule, ready to match: which of its characters are wildcards is settled.

/// A path with its wildcards. Two rules are about the same path when their patterns are
/// equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// Without the trailing `*`.
    text: String,
    /// Where the `+` stand in the text that are whole segments; ascending.
    plus: Vec<usize>,
    /// Whether a `*` follows the text.
    glob: bool,
}

impl Pattern {
    /// Of a text whose parts from the offsets `filled` on were filled in: a segment that was
    /// filled with `+` is no wildcard.
    pub fn new(text: String, glob: bool, filled: &[usize]) -> Self {
        let mut plus = Vec::new();
        let mut start = 0;
        for segment in text.split('/') {
            let end = start + segment.len();
            // "+{{x}}" isn't "+", and a value is never empty, so the start tells.
            let last_of_glob = glob && end == text.len();
            if segment == "+" && !last_of_glob && !filled.contains(&start) {
                plus.push(start);
            }
            start = end + 1;
        }
        Self { text, plus, glob }
    }

    pub fn is_exact(&self) -> bool {
        self.plus.is_empty() && !self.glob
    }

    /// All of it, if it is exact; else what stands before the first wildcard.
    pub fn head(&self) -> &str {
        let end = self.plus.first().copied().unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default()
    }

    /// Which of two patterns with the same head wins: the greater.
    pub fn precedence(&self) -> impl Ord + '_ {
        (
            !self.glob,
            std::cmp::Reverse(self.plus.len()),
            self.text.len(),
            self.text.as_str(),
        )
    }

    /// What follows the head.
    pub fn tail(&self) -> Tail {
        if self.plus.is_empty() {
            return Tail::Anything;
        }
        let head = self.head().len();
        let mut start = head;
        let rest = self.text.get(head..).unwrap_or_default();
        let segments = rest.split('/').map(|segment| {
            let wild = self.plus.binary_search(&start).is_ok();
            start += segment.len() + 1;
            (!wild).then(|| segment.into())
        });
        Tail::Segments {
            segments: segments.collect(),
            glob: self.glob,
        }
    }
}

/// A segment that no rule names.
const ANY: &str = "\u{10ffff}";
/// The same, one level further down.
const ANY_BELOW: &str = "/\u{10ffff}";

/// What follows the head of a pattern with wildcards.
pub(super) enum Tail {
    /// Whatever it is: the pattern is a prefix.
    Anything,
    /// Segments, `None` for any one; with `glob`, the last is the beginning of the rest.
    Segments {
        segments: Vec<Option<Box<str>>>,
        glob: bool,
    },
}

impl Tail {
    /// Paths at a folder or in it that a pattern with this head and tail matches: none, or some
    /// that stand for all of them. `folder` ends in a slash. Where the pattern leaves open what
    /// comes, they hold what no rule names.
    pub fn inside(&self, head: &str, folder: &str) -> Vec<String> {
        let open = |start: &str| {
            vec![
                [start, ANY].concat(),
                [start, ANY, &ANY_BELOW.repeat(8)].concat(),
            ]
        };
        let Self::Segments { segments, glob } = self else {
            let longer = if head.starts_with(folder) {
                head
            } else {
                folder
            };
            return open(longer);
        };
        let written = |start: &str, left: &[Option<Box<str>>]| {
            let left: Vec<&str> = left.iter().map(|s| s.as_deref().unwrap_or(ANY)).collect();
            let path = [start, &left.join("/")].concat();
            if *glob { open(&path) } else { vec![path] }
        };
        let Some(rest) = folder.strip_prefix(head).filter(|rest| !rest.is_empty()) else {
            return written(head, segments);
        };
        let mut left = segments.as_slice();
        for part in rest.trim_end_matches('/').split('/') {
            match left.split_first() {
                Some((Some(start), [])) if *glob => {
                    return match part.starts_with(&**start) {
                        true => open(folder),
                        false => Vec::new(),
                    };
                }
                Some((segment, after)) if segment.as_ref().is_none_or(|s| **s == *part) => {
                    left = after;
                }
                _ => return Vec::new(),
            }
        }
        match left {
            [] => vec![folder.trim_end_matches('/').to_owned()],
            left => written(folder, left),
        }
    }

    /// Whether the rest of a path, behind the head, matches.
    pub fn matches(&self, rest: &str) -> bool {
        let Self::Segments { segments, glob } = self else {
            return true;
        };
        let mut parts = rest.split('/');
        for (at, segment) in segments.iter().enumerate() {
            let Some(part) = parts.next() else {
                return false;
            };
            match segment {
                None => {}
                Some(start) if *glob && at + 1 == segments.len() => {
                    return part.starts_with(&**start);
                }
                Some(literal) if part == &**literal => {}
                Some(_) => return false,
            }
        }
        parts.next().is_none()
    }
}
