//! Sealed values: `[format u8][term be u32][nonce 24][ciphertext and tag]`, bound to the
//! storage key, so that a value can't be moved. It never sees what a value means.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{
    aead::{AeadKey, NONCE_BYTES, TAG_BYTES},
    batch::BatchKey,
    keyring::Keyring,
    names::{AccessorHash, Domain, HashKey, NameChain, NameHash, RequestHash, TokenHash},
};
use crate::{
    random::{Random, array},
    types::{Accessor, TokenId, limits::SEALED_VALUE_BYTES_MAX},
};

/// Version of the layout.
const FORMAT: u8 = 1;
/// The term that stands for the root key.
pub(super) const ROOT_TERM: u32 = 0;
const HEADER_BYTES: usize = 1 + 4 + NONCE_BYTES;

/// What precedes the ciphertext.
pub(super) struct Layout<'a> {
    pub(super) term: u32,
    pub(super) nonce: &'a [u8; NONCE_BYTES],
}

impl<'a> Layout<'a> {
    /// A buffer that begins with the header, with room for the rest.
    pub(super) fn start(&self, plaintext_bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + plaintext_bytes + TAG_BYTES);
        out.push(FORMAT);
        out.extend_from_slice(&self.term.to_be_bytes());
        out.extend_from_slice(self.nonce);
        out
    }

    /// Header and ciphertext; `None` for a layout that this build doesn't know.
    pub(super) fn parse(sealed: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&format, rest) = sealed.split_first()?;
        let (term, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        (format == FORMAT).then_some((
            Self {
                term: u32::from_be_bytes(*term),
                nonce,
            },
            ciphertext,
        ))
    }

    /// The same, for what the root key sealed: nothing in the header is left unchecked.
    pub(super) fn parse_root(sealed: &'a [u8]) -> Option<(Self, &'a [u8])> {
        Self::parse(sealed).filter(|(layout, _)| layout.term == ROOT_TERM)
    }
}

/// Why a value could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// Changed, moved, or sealed by someone else.
    #[error("the value could not be authenticated")]
    Forged,
    /// Not a sealed value of a format that this build reads.
    #[error("the value has a layout that this build does not read")]
    Layout,
    /// Sealed under a term that this keyring doesn't hold: the keyring is behind.
    #[error("the value is sealed under term {0}, which the keyring does not hold")]
    UnknownTerm(u32),
    /// Over the bound.
    #[error("a value has at most {SEALED_VALUE_BYTES_MAX} bytes")]
    TooLarge,
    /// A key was not accepted.
    #[error("a key of the keyring is not usable")]
    Key,
}

/// A keyring ready for use: seals, opens, hashes.
pub struct Barrier {
    keys: BTreeMap<u32, AeadKey>,
    term: u32,
    names: HashKey,
    tokens: HashKey,
    dedupe: HashKey,
    batch: BatchKey,
}

impl Barrier {
    /// Makes the keys of a keyring ready.
    pub fn new(keyring: &Keyring) -> Result<Self, BarrierError> {
        let mut keys = BTreeMap::new();
        for (term, key) in keyring.barrier_keys() {
            keys.insert(
                term,
                AeadKey::new(key.expose()).map_err(|_| BarrierError::Key)?,
            );
        }
        Ok(Self {
            keys,
            term: keyring.term(),
            names: HashKey::new(&keyring.names),
            tokens: HashKey::new(&keyring.tokens),
            dedupe: HashKey::new(&keyring.dedupe),
            batch: BatchKey::new(&keyring.batch).map_err(|_| BarrierError::Key)?,
        })
    }

    /// The term that seals.
    pub fn term(&self) -> u32 {
        self.term
    }

    /// Seals `plaintext` for the place `storage_key`.
    pub fn seal(
        &self,
        storage_key: &[u8],
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, BarrierError> {
        self.seal_under(self.term, storage_key, plaintext, random)
    }

    /// The same with the key of a term of before: for what nodes that are behind must read.
    pub fn seal_under(
        &self,
        term: u32,
        storage_key: &[u8],
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, BarrierError> {
        if plaintext.len() > SEALED_VALUE_BYTES_MAX {
            return Err(BarrierError::TooLarge);
        }
        let key = self.keys.get(&term);
        let key = key.ok_or(BarrierError::UnknownTerm(term))?;
        let nonce: [u8; NONCE_BYTES] = array(random);
        let mut out = Layout {
            term,
            nonce: &nonce,
        }
        .start(plaintext.len());
        key.seal(&nonce, storage_key, plaintext, &mut out)
            .map_err(|_| BarrierError::Key)?;
        Ok(out)
    }

    /// Opens what was sealed for the place `storage_key`.
    pub fn open(
        &self,
        storage_key: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BarrierError> {
        let (layout, ciphertext) = Layout::parse(sealed).ok_or(BarrierError::Layout)?;
        let key = self
            .keys
            .get(&layout.term)
            .ok_or(BarrierError::UnknownTerm(layout.term))?;
        key.open(layout.nonce, storage_key, ciphertext)
            .map_err(|_| BarrierError::Forged)
    }

    /// The hash of a name below its parent.
    pub fn name_hash(&self, parent: &NameHash, segment: &str) -> NameHash {
        self.names.name(parent, segment)
    }

    /// The hashes of names, each below the one before.
    pub fn name_chain<'n>(&self, names: impl Iterator<Item = &'n str>) -> NameChain {
        NameChain::hash(&self.names, names)
    }

    /// The hash of a token id.
    pub fn token_hash(&self, id: &TokenId) -> TokenHash {
        self.tokens.token(id)
    }

    /// The hash of an accessor.
    pub fn accessor_hash(&self, accessor: &Accessor) -> AccessorHash {
        self.tokens.accessor(accessor)
    }

    /// The key of batch tokens.
    pub fn batch(&self) -> &BatchKey {
        &self.batch
    }

    /// What the lease id of a token ends with: nobody computes it without the key, and it tells
    /// neither the token nor its accessor.
    pub fn token_lease_hash(&self, token: &TokenHash) -> NameHash {
        self.tokens.token_lease(token)
    }

    /// The hash of a request id.
    pub fn request_hash(&self, caller: &TokenHash, request_id: &str) -> RequestHash {
        RequestHash(
            self.dedupe
                .hash(Domain::Request, &[&caller.0, request_id.as_bytes()]),
        )
    }

    /// What a request id is bound to: the method, and the body as it was sent.
    pub fn request_fingerprint(&self, caller: &TokenHash, method: &str, body: &[u8]) -> [u8; 32] {
        self.dedupe
            .hash(Domain::Fingerprint, &[&caller.0, method.as_bytes(), body])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::TestRandom, types::UnixMillis};

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let mut random = TestRandom::new(1);
        let barrier = Barrier::new(&Keyring::generate(UnixMillis::new(0), &mut random)).unwrap();
        let sealed = barrier.seal(b"here", b"secret", &mut random).unwrap();
        assert_eq!(
            barrier.open(b"here", &sealed).unwrap().as_slice(),
            b"secret"
        );
        assert_eq!(barrier.open(b"there", &sealed), Err(BarrierError::Forged));
        assert_ne!(
            barrier.seal(b"here", b"secret", &mut random).unwrap(),
            sealed
        );
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(barrier.open(b"here", &forged).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(barrier.open(b"here", &sealed[..length]).is_err());
        }
    }

    #[test]
    fn older_terms_still_open() {
        let mut random = TestRandom::new(2);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        let before = Barrier::new(&keyring).unwrap();
        let after = Barrier::new(&keyring.rotated(UnixMillis::new(1), 1, &mut random)).unwrap();
        let old = before.seal(b"k", b"v", &mut random).unwrap();
        let new = after.seal(b"k", b"v", &mut random).unwrap();
        assert!(after.open(b"k", &old).is_ok());
        assert_eq!(before.open(b"k", &new), Err(BarrierError::UnknownTerm(2)));
        // A value can't pass for one of another term.
        let mut forged = old.clone();
        forged[4] = 2;
        assert_eq!(after.open(b"k", &forged), Err(BarrierError::Forged));
    }
}
