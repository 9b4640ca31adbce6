//! Metadata of a token: a small map of strings.

use std::collections::BTreeMap;

use super::limits::{META_ENTRIES_MAX, META_KEY_BYTES_MAX, META_VALUE_BYTES_MAX};

/// Free-form metadata, within bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta(BTreeMap<String, String>);

/// Why metadata was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Over the bound.
    #[error("metadata has at most {META_ENTRIES_MAX} entries")]
    TooMany,
    /// A key that is empty, too long or holds control characters.
    #[error("a metadata key has 1 to {META_KEY_BYTES_MAX} bytes, without control characters")]
    Key,
    /// A value over the bound.
    #[error("a metadata value has at most {META_VALUE_BYTES_MAX} bytes")]
    Value,
}

impl Meta {
    /// Checks and takes the entries; of equal keys the last one counts.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Result<Self, MetaError> {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            if key.is_empty() || key.len() > META_KEY_BYTES_MAX || key.chars().any(char::is_control)
            {
                return Err(MetaError::Key);
            }
            if value.len() > META_VALUE_BYTES_MAX {
                return Err(MetaError::Value);
            }
            map.insert(key, value);
            if map.len() > META_ENTRIES_MAX {
                return Err(MetaError::TooMany);
            }
        }
        Ok(Self(map))
    }

    /// The entries, in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Result<Meta, MetaError> {
        Meta::new([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn bounds_hold() {
        assert!(one("team", "payments\n").is_ok());
        assert_eq!(one("", "x"), Err(MetaError::Key));
        assert_eq!(one("a\nb", "x"), Err(MetaError::Key));
        assert_eq!(one(&"k".repeat(129), "x"), Err(MetaError::Key));
        assert_eq!(one("k", &"v".repeat(513)), Err(MetaError::Value));
        let many = (0..65).map(|n| (n.to_string(), String::new()));
        assert_eq!(Meta::new(many), Err(MetaError::TooMany));
    }
}
