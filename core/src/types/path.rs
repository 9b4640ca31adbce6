//! Paths: where a lease lies. Always whole segments, so that no path reaches another one by
//! the way it is written. Names are sealed on disk: `Debug` doesn't show them.

use std::fmt;

use super::limits::{PATH_BYTES_MAX, PATH_SEGMENT_BYTES_MAX, PATH_SEGMENTS_MAX};

/// One or more segments with "/" between them.
#[derive(Clone, PartialEq, Eq)]
pub struct Path(String);

/// Why a text can't be a path. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty, or over a bound.
    #[error(
        "a path has at least one segment, at most {PATH_SEGMENTS_MAX}, and at most {PATH_BYTES_MAX} bytes"
    )]
    Length,
    /// A segment over the bound.
    #[error("a segment of a path has at most {PATH_SEGMENT_BYTES_MAX} bytes")]
    Segment,
    /// A slash at an end, or two in a row.
    #[error("a path has no empty segment: no slash at its ends, no two in a row")]
    EmptySegment,
    /// `.` or `..`.
    #[error("a segment of a path is neither \".\" nor \"..\"")]
    Dots,
    /// A control character.
    #[error("a path holds no control characters")]
    Characters,
}

impl Path {
    /// Reads a path. What isn't one is refused, never corrected.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() || text.len() > PATH_BYTES_MAX {
            return Err(PathError::Length);
        }
        let mut count = 0;
        for segment in text.split('/') {
            count += 1;
            match segment {
                "" => return Err(PathError::EmptySegment),
                "." | ".." => return Err(PathError::Dots),
                _ if segment.len() > PATH_SEGMENT_BYTES_MAX => return Err(PathError::Segment),
                _ if segment.chars().any(char::is_control) => return Err(PathError::Characters),
                _ => {}
            }
        }
        if count > PATH_SEGMENTS_MAX {
            return Err(PathError::Length);
        }
        Ok(Self(text.to_owned()))
    }

    /// The segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Path(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_whole_segments_within_bounds() {
        for good in ["a", "db/prod", "a/b.c/...", "ünï/code", "a b/%2e%2e", "*/+"] {
            assert_eq!(Path::parse(good).unwrap().as_str(), good);
        }
        let refused = |text: &str| Path::parse(text).unwrap_err();
        assert_eq!(refused(""), PathError::Length);
        for text in ["/", "/a", "a/", "a//b"] {
            assert_eq!(refused(text), PathError::EmptySegment, "{text}");
        }
        for text in [".", "..", "a/../b", "a/."] {
            assert_eq!(refused(text), PathError::Dots, "{text}");
        }
        for text in ["a\0", "a/\n", "\u{7f}", "a\u{85}b"] {
            assert_eq!(refused(text), PathError::Characters);
        }
        assert_eq!(refused(&"a".repeat(129)), PathError::Segment);
        assert_eq!(refused(&vec!["a"; 17].join("/")), PathError::Length);
        assert_eq!(refused(&"a/".repeat(300)), PathError::Length);
        assert!(Path::parse(&vec!["a"; 16].join("/")).is_ok());
    }

    #[test]
    fn debug_shows_nothing() {
        let path = Path::parse("canary").unwrap();
        assert_eq!(format!("{path:?}"), "Path(..)");
    }

    proptest! {
        #[test]
        fn a_path_is_its_segments(text in "[a-c./\\n]{0,12}") {
            if let Ok(path) = Path::parse(&text) {
                let segments: Vec<_> = path.segments().collect();
                prop_assert_eq!(segments.join("/"), text);
                prop_assert!(segments.iter().all(|s| !s.is_empty() && *s != "." && *s != ".."));
            }
        }
    }
}
