//! What a quota covers: a path and all below it, by whole segments.

use std::fmt;

use crate::types::Path;

/// A path as it was written for a quota, and what it means.
#[derive(Clone, PartialEq, Eq)]
pub struct QuotaPath {
    written: String,
    path: Option<Path>,
}

impl QuotaPath {
    /// Reads it: `a/b`, `a/b/` and `a/b/*` are the same, and so are nothing and `*`, which cover
    /// everything.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_suffix('*').unwrap_or(text);
        if bare.contains(['*', '+']) {
            return Err("a * may stand for whole segments at the end alone".to_owned());
        }
        // `ab*` would cover a part of a segment.
        if bare.len() < text.len() && !bare.is_empty() && !bare.ends_with('/') {
            return Err("covers whole segments: write a/* for all below a".to_owned());
        }
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let path = match bare {
            "" => None,
            bare => Some(Path::parse(bare).map_err(|error| error.to_string())?),
        };
        Ok(Self {
            written: text.to_owned(),
            path,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Its segments; none: it covers everything.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.iter().flat_map(Path::segments)
    }

    /// Without a slash at its end; empty: it covers everything.
    pub fn bare(&self) -> &str {
        self.path.as_ref().map_or("", Path::as_str)
    }

    /// Whether it covers this path.
    pub fn covers(&self, path: &str) -> bool {
        let bare = self.bare();
        let Some(rest) = path.strip_prefix(bare) else {
            return false;
        };
        bare.is_empty() || rest.is_empty() || rest.starts_with('/')
    }

    /// Whether both mean the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl fmt::Debug for QuotaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuotaPath(..)")
    }
}
