//! The keys below the root key, and the root key itself. In memory they are zeroized when
//! dropped; outside they exist sealed alone.

use std::collections::BTreeMap;

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::{
    aead::{AeadKey, KEY_BYTES, NONCE_BYTES},
    sealed::{Layout, ROOT_TERM},
};
use crate::{
    random::{Random, array},
    types::{Secret, UnixMillis},
};

/// Version of the encoded keyring that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// What a sealed keyring is bound to, so that nothing else sealed by a root key passes
/// for one.
const KEYRING_CONTEXT: &[u8] = b"tenure keyring v1";

type Key = Secret<[u8; KEY_BYTES]>;

/// The key that the shares give. It seals the keyring, and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey(Key);

impl RootKey {
    /// A new root key.
    pub fn generate(random: &mut dyn Random) -> Self {
        Self(Secret::new(array(random)))
    }

    /// Takes a key back from combined shares or from its record; `None` for another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|key| Self(Secret::new(key)))
    }

    /// The key itself, to split it or to seal it under the barrier.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }
}

/// Why a sealed keyring could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The root key is not the one that sealed it: a share was wrong, or the record was
    /// changed. Which of them can't be told.
    #[error("the key does not open the keyring: at least one share is wrong")]
    WrongKey,
    /// A newer version wrote it.
    #[error("the keyring has format {0}, and this build reads up to {FORMAT}")]
    Newer(u32),
    /// It was opened, and is not a keyring.
    #[error("the keyring is malformed")]
    Malformed,
}

#[derive(Clone)]
struct BarrierKey {
    key: Key,
    created: UnixMillis,
    /// Revision of the state that it was made on.
    since: u64,
}

/// Barrier keys by term, and the keys that never rotate.
pub struct Keyring {
    barrier: BTreeMap<u32, BarrierKey>,
    pub(super) names: Key,
    pub(super) tokens: Key,
    pub(super) batch: Key,
    pub(super) audit: Key,
    pub(super) dedupe: Key,
}

impl Keyring {
    /// A new keyring, with the barrier key of term 1.
    pub fn generate(now: UnixMillis, random: &mut dyn Random) -> Self {
        let mut key = || Secret::new(array(random));
        let first = BarrierKey {
            key: key(),
            created: now,
            since: 0,
        };
        Self {
            names: key(),
            tokens: key(),
            batch: key(),
            audit: key(),
            dedupe: key(),
            barrier: BTreeMap::from([(1, first)]),
        }
    }

    /// The keyring with one more barrier key, which seals what comes after this revision.
    #[must_use]
    pub fn rotated(&self, now: UnixMillis, since: u64, random: &mut dyn Random) -> Self {
        let mut barrier = self.barrier.clone();
        let next = BarrierKey {
            key: Secret::new(array(random)),
            created: now,
            since,
        };
        barrier.insert(self.term().saturating_add(1), next);
        Self {
            barrier,
            names: self.names.clone(),
            tokens: self.tokens.clone(),
            batch: self.batch.clone(),
            audit: self.audit.clone(),
            dedupe: self.dedupe.clone(),
        }
    }

    /// The newest term: its key seals.
    pub fn term(&self) -> u32 {
        self.barrier
            .last_key_value()
            .map_or(ROOT_TERM, |(&term, _)| term)
    }

    /// When the newest barrier key was made.
    pub fn term_created(&self) -> UnixMillis {
        self.barrier
            .last_key_value()
            .map_or(UnixMillis::default(), |(_, key)| key.created)
    }

    /// Revision of the state that the newest barrier key was made on.
    pub fn term_since(&self) -> u64 {
        self.barrier
            .last_key_value()
            .map_or(0, |(_, key)| key.since)
    }

    /// The key of batch tokens.
    pub fn batch_key(&self) -> &Secret<[u8; KEY_BYTES]> {
        &self.batch
    }

    /// The key of hashes in audit records.
    pub fn audit_key(&self) -> &Secret<[u8; KEY_BYTES]> {
        &self.audit
    }

    pub(super) fn barrier_keys(&self) -> impl Iterator<Item = (u32, &Key)> {
        self.barrier.iter().map(|(&term, key)| (term, &key.key))
    }

    /// The keyring, sealed by the root key.
    pub fn seal(&self, root: &RootKey, random: &mut dyn Random) -> Result<Vec<u8>, KeyringError> {
        let bytes = |key: &Key| key.expose().to_vec();
        let plain = proto::Keyring {
            format: FORMAT,
            barrier: self
                .barrier
                .iter()
                .map(|(&term, key)| proto::BarrierKey {
                    term,
                    key: bytes(&key.key),
                    created_ms: key.created.get(),
                    since_revision: key.since,
                })
                .collect(),
            names_key: bytes(&self.names),
            token_key: bytes(&self.tokens),
            batch_key: bytes(&self.batch),
            audit_key: bytes(&self.audit),
            dedupe_key: bytes(&self.dedupe),
        };
        let plain = Zeroizing::new(plain.encode_to_vec());
        let nonce: [u8; NONCE_BYTES] = array(random);
        let mut out = Layout {
            term: ROOT_TERM,
            nonce: &nonce,
        }
        .start(plain.len());
        AeadKey::new(root.expose())
            .and_then(|key| key.seal(&nonce, KEYRING_CONTEXT, &plain, &mut out))
            .map_err(|_| KeyringError::Malformed)?;
        Ok(out)
    }

    /// Opens a sealed keyring. This is also how a root key is proven right.
    pub fn open(root: &RootKey, sealed: &[u8]) -> Result<Self, KeyringError> {
        let (layout, ciphertext) = Layout::parse_root(sealed).ok_or(KeyringError::Malformed)?;
        let plain = AeadKey::new(root.expose())
            .and_then(|key| key.open(layout.nonce, KEYRING_CONTEXT, ciphertext))
            .map_err(|_| KeyringError::WrongKey)?;
        let plain =
            proto::Keyring::decode(plain.as_slice()).map_err(|_| KeyringError::Malformed)?;
        if plain.format > FORMAT {
            return Err(KeyringError::Newer(plain.format));
        }
        Self::from_proto(&plain).ok_or(KeyringError::Malformed)
    }

    fn from_proto(plain: &proto::Keyring) -> Option<Self> {
        let key = |bytes: &[u8]| -> Option<Key> { bytes.try_into().ok().map(Secret::new) };
        let mut barrier = BTreeMap::new();
        for entry in &plain.barrier {
            let created = UnixMillis::new(entry.created_ms);
            let twice = barrier.insert(
                entry.term,
                BarrierKey {
                    key: key(&entry.key)?,
                    created,
                    since: entry.since_revision,
                },
            );
            if entry.term == ROOT_TERM || twice.is_some() {
                return None;
            }
        }
        if barrier.is_empty() {
            return None;
        }
        Some(Self {
            barrier,
            names: key(&plain.names_key)?,
            tokens: key(&plain.token_key)?,
            batch: key(&plain.batch_key)?,
            audit: key(&plain.audit_key)?,
            dedupe: key(&plain.dedupe_key)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn opens_with_its_root_key_alone() {
        let mut random = TestRandom::new(3);
        let root = RootKey::generate(&mut random);
        let keyring = Keyring::generate(UnixMillis::new(5), &mut random);
        let sealed = keyring.seal(&root, &mut random).unwrap();
        let opened = Keyring::open(&root, &sealed).unwrap();
        assert!(opened.names == keyring.names && opened.dedupe == keyring.dedupe);
        assert_eq!(
            (opened.term(), opened.term_created()),
            (1, UnixMillis::new(5))
        );

        let other = RootKey::generate(&mut random);
        assert_eq!(
            Keyring::open(&other, &sealed).err(),
            Some(KeyringError::WrongKey)
        );
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(Keyring::open(&root, &forged).is_err(), "bit {bit}");
        }
        assert_eq!(
            Keyring::open(&root, b"").err(),
            Some(KeyringError::Malformed)
        );
    }

    #[test]
    fn rotation_keeps_all_keys() {
        let mut random = TestRandom::new(4);
        let root = RootKey::generate(&mut random);
        let first = Keyring::generate(UnixMillis::new(1), &mut random);
        let second = first.rotated(UnixMillis::new(2), 7, &mut random);
        assert_eq!((first.term(), second.term()), (1, 2));
        assert!(second.names == first.names);
        let sealed = second.seal(&root, &mut random).unwrap();
        let opened = Keyring::open(&root, &sealed).unwrap();
        let keys = |keyring: &Keyring| -> Vec<_> {
            keyring
                .barrier_keys()
                .map(|(term, key)| (term, *key.expose()))
                .collect()
        };
        assert_eq!(keys(&opened), keys(&second));
        assert_eq!(keys(&opened)[0], keys(&first)[0]);
        assert_eq!((first.term_since(), opened.term_since()), (0, 7));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let mut random = TestRandom::new(5);
        let root = RootKey::generate(&mut random);
        let mut plain = proto::Keyring::default();
        plain.format = 2;
        let plain = plain.encode_to_vec();
        let nonce = [0; NONCE_BYTES];
        let mut sealed = Layout {
            term: ROOT_TERM,
            nonce: &nonce,
        }
        .start(plain.len());
        let key = AeadKey::new(root.expose()).unwrap();
        key.seal(&nonce, KEYRING_CONTEXT, &plain, &mut sealed)
            .unwrap();
        assert_eq!(
            Keyring::open(&root, &sealed).err(),
            Some(KeyringError::Newer(2))
        );
    }
}
