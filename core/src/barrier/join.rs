//! The join exchange: a node proves that its operator holds the unseal quorum by opening
//! a challenge, and the cluster proves the same to the node. The challenge carries its own
//! state, so that strangers fill no memory; nothing of it is stored.
//!
//! It proves knowledge of the root key and nothing more: who may join is decided by the
//! caller, and the connection must already be bound to the joiner's public key.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    aead::{AeadKey, NONCE_BYTES},
    keyring::RootKey,
    sealed::{Layout, ROOT_TERM},
};
use crate::{
    random::{Random, array},
    types::{Secret, UnixMillis},
};

const JOIN_CONTEXT: &[u8] = b"tenure join v1";
const CHALLENGE_CONTEXT: &[u8] = b"tenure join challenge v1";
const PROOF_CONTEXT: &[u8] = b"tenure join proof v1";
/// Shorter than anything that is proven, and it never leaves the process.
const SAME_ROOT_CONTEXT: &[u8] = b"tenure same root v1";

/// Bytes of an answer.
pub const ANSWER_BYTES: usize = 32;
/// Bytes of the cluster's proof.
pub const PROOF_BYTES: usize = 32;

/// What only the one who opened a challenge knows.
pub type Answer = Secret<[u8; ANSWER_BYTES]>;

/// Why a join exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Not made for this key, by another cluster, or with other shares.
    #[error("the challenge could not be opened: the keys differ")]
    Challenge,
    /// Answered too late.
    #[error("the challenge has expired")]
    Expired,
    /// A wrong answer.
    #[error("the answer to the challenge is wrong")]
    Answer,
    /// The cluster couldn't prove that it holds the same root key.
    #[error("the cluster's proof is wrong")]
    Proof,
}

/// The keys of the join exchange, derived from the root key.
pub struct JoinKey {
    challenge: AeadKey,
    proof: hmac::Key,
}

impl JoinKey {
    /// Whether both come from one root key.
    pub fn is_of_root_of(&self, other: &Self) -> bool {
        let mark = |key: &Self| hmac::sign(&key.proof, SAME_ROOT_CONTEXT);
        mark(self).as_ref().ct_eq(mark(other).as_ref()).into()
    }

    /// Derives the keys.
    pub fn derive(root: &RootKey) -> Result<Self, JoinError> {
        let join = derive(root.expose(), JOIN_CONTEXT);
        let challenge = derive(&join, CHALLENGE_CONTEXT);
        let proof = derive(&join, PROOF_CONTEXT);
        Ok(Self {
            challenge: AeadKey::new(&challenge).map_err(|_| JoinError::Challenge)?,
            proof: hmac::Key::new(hmac::HMAC_SHA256, proof.as_slice()),
        })
    }

    /// A challenge for the node that holds `joiner_key` (its public key).
    pub fn challenge(
        &self,
        joiner_key: &[u8],
        expires: UnixMillis,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, JoinError> {
        let mut plain = Zeroizing::new([0; ANSWER_BYTES + 8]);
        random.fill(&mut plain[..ANSWER_BYTES]);
        plain[ANSWER_BYTES..].copy_from_slice(&expires.get().to_be_bytes());
        let nonce: [u8; NONCE_BYTES] = array(random);
        let mut out = Layout {
            term: ROOT_TERM,
            nonce: &nonce,
        }
        .start(plain.len());
        self.challenge
            .seal(&nonce, &associated(joiner_key), plain.as_slice(), &mut out)
            .map_err(|_| JoinError::Challenge)?;
        Ok(out)
    }

    /// The joiner's part: opens a challenge made for its own public key.
    pub fn answer(&self, joiner_key: &[u8], challenge: &[u8]) -> Result<Answer, JoinError> {
        Ok(self.open(joiner_key, challenge)?.0)
    }

    /// The cluster's part: the challenge was ours, is still fresh, and this answers it.
    pub fn verify(
        &self,
        joiner_key: &[u8],
        challenge: &[u8],
        answer: &[u8],
        now: UnixMillis,
    ) -> Result<Answer, JoinError> {
        let (expected, expires) = self.open(joiner_key, challenge)?;
        if now >= expires {
            return Err(JoinError::Expired);
        }
        if bool::from(expected.expose().as_slice().ct_eq(answer)) {
            Ok(expected)
        } else {
            Err(JoinError::Answer)
        }
    }

    /// The cluster's own proof: it holds the same root key, and this is its membership.
    pub fn prove(
        &self,
        answer: &Answer,
        cluster_id: &[u8],
        membership: &[u8],
    ) -> [u8; PROOF_BYTES] {
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(
            self.proof_context(answer, cluster_id, membership)
                .sign()
                .as_ref(),
        );
        proof
    }

    /// The joiner's check of that proof.
    pub fn verify_proof(
        &self,
        answer: &Answer,
        cluster_id: &[u8],
        membership: &[u8],
        proof: &[u8],
    ) -> Result<(), JoinError> {
        let expected = self.prove(answer, cluster_id, membership);
        if expected.as_slice().ct_eq(proof).into() {
            Ok(())
        } else {
            Err(JoinError::Proof)
        }
    }

    fn proof_context(
        &self,
        answer: &Answer,
        cluster_id: &[u8],
        membership: &[u8],
    ) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.proof);
        for part in [answer.expose().as_slice(), cluster_id, membership] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context
    }

    fn open(&self, joiner_key: &[u8], challenge: &[u8]) -> Result<(Answer, UnixMillis), JoinError> {
        let (layout, ciphertext) = Layout::parse_root(challenge).ok_or(JoinError::Challenge)?;
        let plain = self
            .challenge
            .open(layout.nonce, &associated(joiner_key), ciphertext)
            .map_err(|_| JoinError::Challenge)?;
        let (answer, expires) = plain
            .split_first_chunk::<ANSWER_BYTES>()
            .ok_or(JoinError::Challenge)?;
        let expires = expires.try_into().map_err(|_| JoinError::Challenge)?;
        Ok((
            Secret::new(*answer),
            UnixMillis::new(u64::from_be_bytes(expires)),
        ))
    }
}

fn associated(joiner_key: &[u8]) -> Vec<u8> {
    [CHALLENGE_CONTEXT, joiner_key].concat()
}

/// HMAC-SHA256 as a key derivation: the input is a full-strength key already.
fn derive(key: &[u8; 32], context: &[u8]) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(hmac::sign(&key, context).as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    const NOW: UnixMillis = UnixMillis::new(1_000);
    const END: UnixMillis = UnixMillis::new(2_000);

    #[test]
    fn both_sides_prove_the_root_key() {
        let mut random = TestRandom::new(1);
        let root = RootKey::generate(&mut random);
        let (cluster, joiner) = (
            JoinKey::derive(&root).unwrap(),
            JoinKey::derive(&root).unwrap(),
        );
        let challenge = cluster.challenge(b"joiner", END, &mut random).unwrap();
        let answer = joiner.answer(b"joiner", &challenge).unwrap();
        let seen = cluster
            .verify(b"joiner", &challenge, answer.expose(), NOW)
            .unwrap();
        let proof = cluster.prove(&seen, b"cluster", b"members");
        assert_eq!(
            joiner.verify_proof(&answer, b"cluster", b"members", &proof),
            Ok(())
        );
        assert_eq!(
            joiner.verify_proof(&answer, b"other", b"members", &proof),
            Err(JoinError::Proof)
        );
        assert_eq!(
            joiner.verify_proof(&answer, b"cluster", b"more", &proof),
            Err(JoinError::Proof)
        );
        assert_eq!(
            joiner.verify_proof(&answer, b"clusterm", b"embers", &proof),
            Err(JoinError::Proof)
        );
    }

    #[test]
    fn strangers_fail() {
        let mut random = TestRandom::new(2);
        let cluster = JoinKey::derive(&RootKey::generate(&mut random)).unwrap();
        let stranger = JoinKey::derive(&RootKey::generate(&mut random)).unwrap();
        let challenge = cluster.challenge(b"joiner", END, &mut random).unwrap();
        assert_eq!(
            stranger.answer(b"joiner", &challenge).err(),
            Some(JoinError::Challenge)
        );
        assert_eq!(
            cluster.answer(b"another", &challenge).err(),
            Some(JoinError::Challenge)
        );
        let answer = cluster.answer(b"joiner", &challenge).unwrap();
        let verify =
            |key: &[u8], answer: &[u8], now| cluster.verify(key, &challenge, answer, now).err();
        assert_eq!(verify(b"joiner", &[0; 32], NOW), Some(JoinError::Answer));
        assert_eq!(verify(b"joiner", b"", NOW), Some(JoinError::Answer));
        assert_eq!(
            verify(b"another", answer.expose(), NOW),
            Some(JoinError::Challenge)
        );
        assert_eq!(
            verify(b"joiner", answer.expose(), END),
            Some(JoinError::Expired)
        );
        assert_eq!(verify(b"joiner", answer.expose(), NOW), None);
    }
}
