//! Lease ids: the path that the lease lies under, and a last segment that is random, or for the
//! lease of a token "h" and a keyed hash.

use std::fmt;

use super::{
    Path, PathError,
    limits::{LEASE_ID_RANDOM_CHARS, TOKEN_LEASE_HASH_CHARS},
};
use crate::{
    barrier::NameHash,
    random::{Random, push_base62},
};

/// The id of a lease.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseId {
    path: Path,
    suffix: String,
}

/// Why a text can't be a lease id. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseIdError {
    /// The last segment isn't one that the server makes.
    #[error("a lease id ends with \"/\" and {LEASE_ID_RANDOM_CHARS} letters and digits")]
    Suffix,
    /// What comes before it isn't a path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl LeaseId {
    /// A new id under `path`.
    pub fn issue(path: Path, random: &mut dyn Random) -> Self {
        let mut suffix = String::with_capacity(LEASE_ID_RANDOM_CHARS);
        push_base62(random, LEASE_ID_RANDOM_CHARS, &mut suffix);
        Self { path, suffix }
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, LeaseIdError> {
        let (path, suffix) = text.rsplit_once('/').ok_or(LeaseIdError::Suffix)?;
        Self::of(Path::parse(path)?, suffix)
    }

    /// The id of a token's lease: under the path that made the token.
    pub fn of_token(path: Path, hash: &NameHash) -> Self {
        let suffix = format!("h{}", hex::encode(hash.as_bytes()));
        Self { path, suffix }
    }

    /// Whether it is the id of a token's lease.
    pub fn is_of_token(&self) -> bool {
        is_of_token(&self.suffix)
    }

    /// An id from its parts.
    pub fn of(path: Path, suffix: &str) -> Result<Self, LeaseIdError> {
        let fits = suffix.len() == LEASE_ID_RANDOM_CHARS
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits && !is_of_token(suffix) {
            return Err(LeaseIdError::Suffix);
        }
        Ok(Self {
            path,
            suffix: suffix.to_owned(),
        })
    }

    /// The path that the lease lies under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last segment.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// All segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.segments().chain([self.suffix.as_str()])
    }

    /// The whole id.
    pub fn text(&self) -> String {
        format!("{}/{}", self.path.as_str(), self.suffix)
    }
}

fn is_of_token(suffix: &str) -> bool {
    let hash = suffix.strip_prefix('h').unwrap_or_default();
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    hash.len() == TOKEN_LEASE_HASH_CHARS && hash.bytes().all(hex)
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn issued_ids_are_read_back() {
        let path = Path::parse("db/prod").unwrap();
        let id = LeaseId::issue(path, &mut TestRandom::new(1));
        assert!(id.text().starts_with("db/prod/"));
        assert_eq!(id.text().len(), "db/prod/".len() + 24);
        assert_eq!(LeaseId::parse(&id.text()), Ok(id.clone()));
        assert_eq!(id.segments().collect::<Vec<_>>().join("/"), id.text());
        assert_eq!(format!("{id:?}"), "LeaseId(..)");
    }

    #[test]
    fn leases_of_tokens_are_told_apart() {
        let path = Path::parse("auth/token/create").unwrap();
        let hash = NameHash::from_slice(&[0xab; 16]).unwrap();
        let id = LeaseId::of_token(path.clone(), &hash);
        assert_eq!(id.text(), format!("auth/token/create/h{}", "ab".repeat(16)));
        assert_eq!(LeaseId::parse(&id.text()), Ok(id.clone()));
        assert!(id.is_of_token());
        assert!(!LeaseId::issue(path, &mut TestRandom::new(1)).is_of_token());
        for suffix in ["h", &"ab".repeat(16), &format!("h{}", "AB".repeat(16))] {
            let text = format!("auth/{suffix}");
            assert_eq!(LeaseId::parse(&text), Err(LeaseIdError::Suffix), "{text}");
        }
    }

    #[test]
    fn what_the_server_does_not_make_is_refused() {
        let suffix = "a".repeat(24);
        for text in ["", "a", &suffix, &format!("a/{suffix}b"), "a/b", "a/short."] {
            assert_eq!(LeaseId::parse(text), Err(LeaseIdError::Suffix), "{text}");
        }
        for text in [
            format!("/{suffix}"),
            format!("a//{suffix}"),
            format!("../{suffix}"),
        ] {
            assert!(
                matches!(LeaseId::parse(&text), Err(LeaseIdError::Path(_))),
                "{text}"
            );
        }
    }
}
