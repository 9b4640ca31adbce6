//! The keys of an unsealed node, in memory. They are zeroized when the node is sealed and
//! the last request that uses them has ended; they are never written or logged.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tenure_core::{
    barrier::{
        Barrier, BarrierError, Keyring, RootKey,
        join::{Answer, JoinError, JoinKey},
    },
    policy::AclMemo,
    types::{Secret, UnixMillis, limits::CHALLENGE_WINDOW_MS},
};
use tenure_raft::node::{ChallengeSolver, JoinGate};
use tokio::sync::Notify;

use crate::{pipeline::Ready, random::SystemRandom};

/// What an unsealed node knows.
pub struct Unsealed {
    /// Opens and seals values, hashes names.
    pub barrier: Barrier,
    /// Policies that were compiled since.
    pub acls: AclMemo,
    /// Rate limits that were made ready.
    pub rates: Ready,
    join: JoinKey,
    shares: u8,
    threshold: u8,
}

/// Why keys could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The barrier refused the keyring.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// The join key could not be derived.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl Unsealed {
    /// Makes the keys ready for use.
    ///
    /// # Errors
    /// The keyring holds a key that the ciphers refuse.
    pub fn new(
        root: &RootKey,
        keyring: &Keyring,
        shares: u8,
        threshold: u8,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            barrier: Barrier::new(keyring)?,
            acls: AclMemo::default(),
            rates: Ready::default(),
            join: JoinKey::derive(root)?,
            shares,
            threshold,
        })
    }
}

/// The place of the keys: empty while the node is sealed.
#[derive(Default)]
pub struct Keys {
    place: ArcSwapOption<Unsealed>,
    lost: Notify,
}

impl Keys {
    /// The keys; `None` while sealed.
    pub fn get(&self) -> Option<Arc<Unsealed>> {
        self.place.load_full()
    }

    /// Whether the node is sealed.
    pub fn is_sealed(&self) -> bool {
        self.place.load().is_none()
    }

    /// Puts the keys in place.
    pub fn open(&self, keys: Unsealed) {
        self.place.store(Some(Arc::new(keys)));
    }

    /// Takes the keys away.
    pub fn close(&self) {
        self.place.store(None);
    }

    /// Takes the keys away because they don't open the state any more.
    pub fn lose(&self) {
        self.close();
        self.lost.notify_one();
    }

    /// Resolves when keys were lost since the last time.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }
}

fn answer_of(bytes: &[u8]) -> Option<Answer> {
    bytes.try_into().ok().map(Secret::new)
}

/// A challenge begins with the number of shares and the threshold, so that a new node knows
/// how many shares to collect.
pub fn split_challenge(challenge: &[u8]) -> Option<(u8, u8, &[u8])> {
    match challenge {
        [shares, threshold, rest @ ..] => Some((*shares, *threshold, rest)),
        _ => None,
    }
}

impl JoinGate for Keys {
    fn challenge(&self, public_key: &[u8], now_ms: u64) -> Option<Bytes> {
        let keys = self.get()?;
        let expires = UnixMillis::new(now_ms.saturating_add(CHALLENGE_WINDOW_MS));
        let challenge = keys
            .join
            .challenge(public_key, expires, &mut SystemRandom)
            .ok()?;
        let mut bytes = vec![keys.shares, keys.threshold];
        bytes.extend_from_slice(&challenge);
        Some(bytes.into())
    }

    fn verify(&self, public_key: &[u8], challenge: &[u8], answer: &[u8], now_ms: u64) -> bool {
        let (Some(keys), Some((_, _, challenge))) = (self.get(), split_challenge(challenge)) else {
            return false;
        };
        let now = UnixMillis::new(now_ms);
        keys.join.verify(public_key, challenge, answer, now).is_ok()
    }

    fn prove(&self, answer: &[u8], cluster_id: &[u8; 16], membership: &[u8]) -> Option<Bytes> {
        let keys = self.get()?;
        let answer = answer_of(answer)?;
        let proof = keys.join.prove(&answer, cluster_id, membership);
        Some(Bytes::copy_from_slice(&proof))
    }
}

/// The joining side: knows the root key that the shares gave.
pub struct Solver(JoinKey);

impl Solver {
    /// # Errors
    /// The join key could not be derived.
    pub fn new(root: &RootKey) -> Result<Self, JoinError> {
        JoinKey::derive(root).map(Self)
    }
}

impl ChallengeSolver for Solver {
    fn solve(&self, public_key: &[u8], challenge: &[u8]) -> Option<Bytes> {
        let (_, _, challenge) = split_challenge(challenge)?;
        let answer = self.0.answer(public_key, challenge).ok()?;
        Some(Bytes::copy_from_slice(answer.expose()))
    }

    fn check(&self, answer: &[u8], cluster_id: &[u8; 16], membership: &[u8], proof: &[u8]) -> bool {
        answer_of(answer).is_some_and(|answer| {
            self.0
                .verify_proof(&answer, cluster_id, membership, proof)
                .is_ok()
        })
    }
}
