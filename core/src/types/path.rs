//! Paths: where a lease lies. Always whole segments, so that no path reaches another one by
//! the way it is written. Names are sealed on disk: `Debug` doesn't show them.

use std::fmt;

use super::limits::{
    LOGICAL_PATH_BYTES_MAX, LOGICAL_PATH_SEGMENTS_MAX, PATH_BYTES_MAX, PATH_SEGMENT_BYTES_MAX,
    PATH_SEGMENTS_MAX,
};

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
    /// Empty, or a logical path over a bound.
    #[error(
        "a logical path has at least one segment, at most {LOGICAL_PATH_SEGMENTS_MAX}, and at most \
         {LOGICAL_PATH_BYTES_MAX} bytes"
    )]
    LogicalLength,
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
        Self::within(text, PATH_BYTES_MAX, PATH_SEGMENTS_MAX, PathError::Length)
    }

    /// Reads a logical path: that of a mount and what comes after it.
    pub fn parse_logical(text: &str) -> Result<Self, PathError> {
        Self::within(
            text,
            LOGICAL_PATH_BYTES_MAX,
            LOGICAL_PATH_SEGMENTS_MAX,
            PathError::LogicalLength,
        )
    }

    fn within(
        text: &str,
        bytes_max: usize,
        segments_max: usize,
        beyond: PathError,
    ) -> Result<Self, PathError> {
        if text.is_empty() || text.len() > bytes_max {
            return Err(beyond);
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
        if count > segments_max {
            return Err(beyond);
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
    fn a_logical_path_has_room_for_the_longest_mount_and_name() {
        let longest = [vec!["a".repeat(127); 4].join("/"), "b".to_owned()].concat();
        assert_eq!(longest.len(), PATH_BYTES_MAX);
        for (mount, name) in [
            (&*longest, &*longest),
            (&vec!["a"; 16].join("/"), &vec!["a"; 16].join("/")),
        ] {
            assert!(Path::parse(mount).is_ok() && Path::parse(name).is_ok());
            let path = format!("{mount}/undelete/{name}");
            assert!(Path::parse(&path).is_err() && Path::parse_logical(&path).is_ok());
            let refused = Path::parse_logical(&format!("{path}/{}", "a/".repeat(20)));
            assert!(refused.is_err());
        }
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
