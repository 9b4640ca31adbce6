//! The name under which a token shows up in listings and in the audit log.

use super::limits::DISPLAY_NAME_BYTES_MAX;

/// A display name: ASCII letters, digits and dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The name of a token that was asked for by `name`: `token-<name>`, everything but
    /// letters and digits turned into dashes; `token` alone for an empty name. `None` when
    /// the name is over its bound.
    pub fn for_token(name: &str) -> Option<Self> {
        if name.len() > DISPLAY_NAME_BYTES_MAX {
            return None;
        }
        let mut name: String = format!("token-{name}")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        if name.ends_with('-') {
            name.pop();
        }
        Some(Self(name))
    }

    /// The name of a root token that init or generate-root makes.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// Takes a name back from a record, as it was written.
    pub(crate) fn from_record(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_peers() {
        let name = |text: &str| DisplayName::for_token(text).unwrap().0;
        assert_eq!(name(""), "token");
        assert_eq!(name("ci"), "token-ci");
        assert_eq!(name("ci job/é"), "token-ci-job-");
        assert_eq!(name("a-b"), "token-a-b");
        assert_eq!(DisplayName::for_token(&"x".repeat(257)), None);
    }
}
