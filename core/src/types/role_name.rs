//! Names of token roles. They stand in paths: one segment, of few characters.

use std::fmt;

use super::limits::ROLE_NAME_BYTES_MAX;

/// The name of a token role. Case matters, as in paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleName(String);

/// Why a text can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {ROLE_NAME_BYTES_MAX} letters, digits, \"_\", \"-\" and \".\"; neither \"-\" nor \".\" at an end"
)]
pub struct RoleNameError;

impl RoleName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, RoleNameError> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let end = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let bytes = text.as_bytes();
        let fits = bytes.len() <= ROLE_NAME_BYTES_MAX
            && bytes.iter().copied().all(inner)
            && end(bytes.first())
            && end(bytes.last());
        fits.then(|| Self(text.to_owned())).ok_or(RoleNameError)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_plain_segment() {
        for good in [
            "a",
            "Build",
            "nightly-2.x_",
            "_",
            &"r".repeat(ROLE_NAME_BYTES_MAX),
        ] {
            assert_eq!(RoleName::parse(good).unwrap().as_str(), good);
        }
        let long = "r".repeat(ROLE_NAME_BYTES_MAX + 1);
        for bad in [
            "", ".", "..", "-a", "a-", "a/b", "a b", "a*", "+", "é", "a\0", &long,
        ] {
            assert_eq!(RoleName::parse(bad), Err(RoleNameError), "{bad}");
        }
    }
}
