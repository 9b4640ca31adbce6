//! Keyed hashes stand for names in storage keys: equal names in two places look
//! different, and nothing can be guessed without the key. It never keeps a name.

use std::fmt;

use aws_lc_rs::hmac;
use bytes::Bytes;

use crate::types::{Accessor, MountId, Secret, TokenId};

/// Each use of a key has its own first byte, so that no two uses give the same hash.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Domain {
    Name = 1,
    Token = 2,
    Accessor = 3,
    Request = 4,
    Fingerprint = 5,
    TokenLease = 6,
}

/// An HMAC-SHA256 key.
pub(super) struct HashKey(hmac::Key);

impl HashKey {
    pub(super) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The hash of `parts`, each preceded by its length: no two lists of parts give the
    /// same input.
    pub(super) fn hash(&self, domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[domain as u8]);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    pub(super) fn name(&self, parent: &NameHash, segment: &str) -> NameHash {
        let hash = self.hash(Domain::Name, &[&parent.0, segment.as_bytes()]);
        let mut name = [0; NameHash::BYTES];
        name.copy_from_slice(&hash[..NameHash::BYTES]);
        NameHash(name)
    }

    pub(super) fn token(&self, id: &TokenId) -> TokenHash {
        TokenHash(self.hash(Domain::Token, &[id.expose().as_bytes()]))
    }

    pub(super) fn token_lease(&self, token: &TokenHash) -> NameHash {
        let hash = self.hash(Domain::TokenLease, &[&token.0]);
        let mut name = [0; NameHash::BYTES];
        name.copy_from_slice(&hash[..NameHash::BYTES]);
        NameHash(name)
    }

    pub(super) fn accessor(&self, accessor: &Accessor) -> AccessorHash {
        AccessorHash(self.hash(Domain::Accessor, &[accessor.as_str().as_bytes()]))
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $bytes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) [u8; $bytes]);

        impl $name {
            /// Bytes of the hash.
            pub const BYTES: usize = $bytes;

            /// Takes a hash back from a storage key; `None` for another length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        /// The first bytes alone: enough to tell hashes apart.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}..)", stringify!($name), hex::encode(&self.0[..4]))
            }
        }
    };
}

hash_type!(
    /// Stands for a name below a parent.
    NameHash,
    16
);
hash_type!(
    /// Stands for a token id.
    TokenHash,
    32
);
hash_type!(
    /// Stands for an accessor.
    AccessorHash,
    32
);
hash_type!(
    /// Stands for a request id of one caller.
    RequestHash,
    32
);

/// A path as it is stored: the hash of each of its names, every one keyed by the hash before
/// it. A path that begins with another one has a chain that begins with the other's.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameChain(Bytes);

impl NameChain {
    /// Takes a chain back from a storage key; `None` if it isn't made of whole hashes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len().is_multiple_of(NameHash::BYTES);
        whole.then(|| Self(Bytes::copy_from_slice(bytes)))
    }

    pub(super) fn hash<'a>(key: &HashKey, names: impl Iterator<Item = &'a str>) -> Self {
        let (mut chain, mut parent) = (Vec::new(), NameHash::ROOT);
        for name in names {
            parent = key.name(&parent, name);
            chain.extend_from_slice(parent.as_bytes());
        }
        Self(chain.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it stands for no name at all: the prefix of everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All chains that it begins with, the shortest first, itself last; not the empty one.
    pub fn prefixes(&self) -> impl Iterator<Item = Self> {
        let ends = (NameHash::BYTES..=self.0.len()).step_by(NameHash::BYTES);
        ends.map(|end| Self(self.0.slice(..end)))
    }

    /// Whether `prefix` is one of them, or empty.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

/// The first bytes of the last hash alone.
impl fmt::Debug for NameChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.len() / NameHash::BYTES;
        let last = self.0.rchunks(NameHash::BYTES).next().unwrap_or_default();
        let shown = last.get(..4).unwrap_or_default();
        write!(f, "NameChain({names}: {}..)", hex::encode(shown))
    }
}

impl NameHash {
    /// The parent of names at the top.
    pub const ROOT: Self = Self([0; 16]);

    /// The parent of the names at the top of a mount: no two mounts have the same.
    pub fn of_mount(mount: &MountId) -> Self {
        Self(*mount.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_in_two_places_look_different() {
        let key = HashKey::new(&Secret::new([9; 32]));
        let a = key.name(&NameHash::ROOT, "a");
        let b = key.name(&NameHash::ROOT, "b");
        assert_ne!(key.name(&a, "x"), key.name(&b, "x"));
        assert_eq!(key.name(&a, "x"), key.name(&a, "x"));
        assert_ne!(
            HashKey::new(&Secret::new([8; 32])).name(&NameHash::ROOT, "a"),
            a
        );
    }

    #[test]
    fn chains_follow_whole_segments() {
        let key = HashKey::new(&Secret::new([9; 32]));
        let chain = |path: &str| NameChain::hash(&key, path.split('/'));
        let long = chain("a/b/c");
        assert!(long.starts_with(&chain("a/b")) && long.starts_with(&NameChain::default()));
        for other in ["a/b/cc", "b", "b/a", "a/b/c/d", "a/bb"] {
            assert!(!long.starts_with(&chain(other)), "{other}");
        }
        let prefixes: Vec<_> = long.prefixes().collect();
        assert_eq!(prefixes, [chain("a"), chain("a/b"), long.clone()]);
        assert_eq!(NameChain::default().prefixes().count(), 0);
        assert_eq!(NameChain::from_slice(long.as_bytes()), Some(long.clone()));
        assert_eq!(NameChain::from_slice(&long.as_bytes()[1..]), None);
        assert!(format!("{long:?}").starts_with("NameChain(3: "));
    }

    #[test]
    fn parts_do_not_run_together() {
        let key = HashKey::new(&Secret::new([9; 32]));
        let hash = |parts: &[&[u8]]| key.hash(Domain::Name, parts);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
        assert_ne!(
            key.hash(Domain::Token, &[b"x"]),
            key.hash(Domain::Accessor, &[b"x"])
        );
    }

    #[test]
    fn a_hash_is_frozen() {
        // What is on disk depends on it: this must never change.
        let key = HashKey::new(&Secret::new([0; 32]));
        let token = key.token(&TokenId::parse("hvs.test").unwrap());
        assert_eq!(
            hex::encode(token.as_bytes()),
            "4c46ed09778eb43fbb2415e08ac7066fbb793fc47b8b47311c0ff665c6c04f25"
        );
    }
}
