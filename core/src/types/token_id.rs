//! Token ids and accessors. An id is a bearer secret: it lives in a [`Secret`] and only
//! its keyed hash is ever stored.

use std::fmt;

use super::{
    Secret,
    limits::{
        ACCESSOR_CHARS, TOKEN_ID_BYTES_MAX, TOKEN_ID_CUSTOM_BYTES_MAX, TOKEN_ID_CUSTOM_BYTES_MIN,
        TOKEN_ID_RANDOM_CHARS,
    },
};
use crate::random::{Random, push_base62};

/// What an issued service token starts with. Clients must not parse it.
const SERVICE_PREFIX: &str = "hvs.";

/// The id of a token: whoever knows it, is the token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenId(Secret<String>);

/// Why a text can't be a token id. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenIdError {
    /// Empty, or over a bound.
    #[error("a token id has at most {TOKEN_ID_BYTES_MAX} characters, and at least one")]
    Length,
    /// Not printable ASCII, or with a space.
    #[error("a token id consists of printable ASCII characters without spaces")]
    Characters,
    /// A chosen id outside its bounds.
    #[error(
        "a chosen token id has {TOKEN_ID_CUSTOM_BYTES_MIN} to {TOKEN_ID_CUSTOM_BYTES_MAX} characters"
    )]
    CustomLength,
    /// A chosen id with a dot: dots mark ids that the server issues.
    #[error("a chosen token id must not contain a dot")]
    CustomDot,
}

impl TokenId {
    /// Characters of a service token id that the server issues.
    pub const ISSUED_CHARS: usize = SERVICE_PREFIX.len() + TOKEN_ID_RANDOM_CHARS;

    /// A new service token id.
    pub fn issue(random: &mut dyn Random) -> Self {
        // The whole length at once, so that no half-filled buffer is left behind.
        let mut text = String::with_capacity(SERVICE_PREFIX.len() + TOKEN_ID_RANDOM_CHARS);
        text.push_str(SERVICE_PREFIX);
        push_base62(random, TOKEN_ID_RANDOM_CHARS, &mut text);
        Self(Secret::new(text))
    }

    /// Reads an id that a caller presents, in whatever form it was issued.
    pub fn parse(text: &str) -> Result<Self, TokenIdError> {
        if text.is_empty() || text.len() > TOKEN_ID_BYTES_MAX {
            return Err(TokenIdError::Length);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenIdError::Characters);
        }
        Ok(Self(Secret::new(text.to_owned())))
    }

    /// Reads an id that a caller chooses for a new token.
    pub fn custom(text: &str) -> Result<Self, TokenIdError> {
        if !(TOKEN_ID_CUSTOM_BYTES_MIN..=TOKEN_ID_CUSTOM_BYTES_MAX).contains(&text.len()) {
            return Err(TokenIdError::CustomLength);
        }
        if text.contains('.') {
            return Err(TokenIdError::CustomDot);
        }
        Self::parse(text)
    }

    /// The id itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenId(..)")
    }
}

/// A handle on a token for those who may manage it without knowing its id.
#[derive(Clone, PartialEq, Eq)]
pub struct Accessor(String);

impl Accessor {
    /// A new accessor.
    pub fn issue(random: &mut dyn Random) -> Self {
        let mut text = String::with_capacity(ACCESSOR_CHARS);
        push_base62(random, ACCESSOR_CHARS, &mut text);
        Self(text)
    }

    /// Reads an accessor; `None` for a text that can't be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == ACCESSOR_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows nothing: an accessor lets those with the right revoke a token.
impl fmt::Debug for Accessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accessor(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn issued_ids_are_read_back() {
        let mut random = TestRandom::new(7);
        let id = TokenId::issue(&mut random);
        assert!(id.expose().starts_with("hvs."));
        assert_eq!(id.expose().len(), 32);
        assert_eq!(TokenId::parse(id.expose()), Ok(id.clone()));
        assert_ne!(TokenId::issue(&mut random), id);
        let accessor = Accessor::issue(&mut random);
        assert_eq!(Accessor::parse(accessor.as_str()), Some(accessor));
    }

    #[test]
    fn ids_of_the_peers_are_accepted() {
        for text in ["s.abc", "hvb.AAA_-=", "root", "x", &"a".repeat(4096)] {
            assert!(TokenId::parse(text).is_ok(), "{text}");
        }
        for text in ["a b", "a\n", "\u{7f}", "é", "a\0"] {
            assert_eq!(TokenId::parse(text), Err(TokenIdError::Characters));
        }
        assert_eq!(TokenId::parse(""), Err(TokenIdError::Length));
        assert_eq!(TokenId::parse(&"a".repeat(4097)), Err(TokenIdError::Length));
    }

    #[test]
    fn chosen_ids_are_bounded_and_have_no_dot() {
        assert!(TokenId::custom("root").is_ok());
        assert_eq!(TokenId::custom("hvs.mine"), Err(TokenIdError::CustomDot));
        assert_eq!(TokenId::custom("abc"), Err(TokenIdError::CustomLength));
        assert_eq!(
            TokenId::custom(&"a".repeat(257)),
            Err(TokenIdError::CustomLength)
        );
        assert_eq!(TokenId::custom("my token"), Err(TokenIdError::Characters));
    }

    #[test]
    fn debug_shows_nothing() {
        let id = TokenId::custom("canary").unwrap();
        assert_eq!(format!("{id:?}"), "TokenId(..)");
        let accessor = Accessor::issue(&mut TestRandom::new(1));
        assert_eq!(format!("{accessor:?}"), "Accessor(..)");
        assert_eq!(Accessor::parse("short"), None);
        assert_eq!(Accessor::parse("aaaaaaaaaaaaaaaaaaaaaaa."), None);
    }
}
