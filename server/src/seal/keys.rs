//! The keys of an unsealed node, in memory. They are zeroized when the node is sealed and
//! the last request that uses them has ended; they are never written or logged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tenure_core::{
    barrier::{
        Barrier, BarrierError, Keyring, RootKey,
        join::{Answer, JoinError, JoinKey},
    },
    policy::AclMemo,
    seal::{SealError, follow},
    state::{
        Keyrings, ReadError, RootKeys, SealConfig, SealConfigs, Store, StoreError, Stored,
        StoredRootKey, StoredRootKeys, key_of, read_plain,
    },
    types::{Secret, UnixMillis, limits::CHALLENGE_WINDOW_MS},
};
use tenure_raft::{
    node::{ChallengeSolver, JoinGate},
    state::Change,
};
use tokio::sync::Notify;

use crate::{pipeline::Ready, random::SystemRandom};

/// What an unsealed node knows.
pub struct Unsealed {
    /// Opens and seals values, hashes names.
    pub barrier: Arc<Barrier>,
    /// Policies that were compiled since.
    pub acls: AclMemo,
    /// Rate limits that were made ready.
    pub rates: Ready,
    join: Arc<JoinKey>,
    config: SealConfig,
    stored: Option<StoredRootKey>,
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
    /// The keys of the state can't be found.
    #[error(transparent)]
    Follow(#[from] SealError),
}

impl Unsealed {
    /// Whether the same shares open both.
    pub fn has_root_of(&self, other: &Self) -> bool {
        self.join.is_of_root_of(&other.join)
    }

    /// Makes the keys ready for use.
    ///
    /// # Errors
    /// The keyring holds a key that the ciphers refuse.
    pub fn new(
        root: &RootKey,
        keyring: &Keyring,
        config: SealConfig,
        stored: Option<StoredRootKey>,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            barrier: Arc::new(Barrier::new(keyring)?),
            acls: AclMemo::default(),
            rates: Ready::default(),
            join: Arc::new(JoinKey::derive(root)?),
            config,
            stored,
        })
    }

    /// The keys after an entry wrote these records, some of them keys or what belongs to them.
    fn after(&self, written: &dyn Store) -> Result<Self, KeysError> {
        let config = read_plain::<SealConfigs>(written, &()).map_err(SealError::from)?;
        let stored = read_plain::<StoredRootKeys>(written, &()).map_err(SealError::from)?;
        let config = config.unwrap_or(self.config);
        let stored = stored.or_else(|| self.stored.clone());
        let root = written.get(&key_of::<RootKeys>(&()));
        if root
            .map_err(ReadError::from)
            .map_err(SealError::from)?
            .is_none()
        {
            // The keys are what they were: of the recovery shares there is only the number.
            return Ok(Self {
                barrier: self.barrier.clone(),
                acls: AclMemo::default(),
                rates: Ready::default(),
                join: self.join.clone(),
                config,
                stored,
            });
        }
        let keys = follow(written, &self.barrier)?;
        Self::new(&keys.root, &keys.keyring, config, stored)
    }

    /// The keys of a whole state.
    fn in_state(&self, state: &dyn Store) -> Result<Self, KeysError> {
        let keys = follow(state, &self.barrier)?;
        let config = read_plain::<SealConfigs>(state, &()).map_err(SealError::from)?;
        let stored = read_plain::<StoredRootKeys>(state, &()).map_err(SealError::from)?;
        Self::new(
            &keys.root,
            &keys.keyring,
            config.unwrap_or(self.config),
            stored,
        )
    }
}

/// The place of the keys: empty while the node is sealed.
#[derive(Default)]
pub struct Keys {
    held: ArcSwapOption<Unsealed>,
    /// Revision of the newest change of keys that apply told of. Held by who changes them.
    changed: Mutex<u64>,
    /// Told when the keys were taken away because they can't follow.
    lost: Notify,
}

impl Keys {
    /// The keys; `None` while sealed.
    pub fn get(&self) -> Option<Arc<Unsealed>> {
        self.held.load_full()
    }

    /// Whether the node is sealed.
    pub fn is_sealed(&self) -> bool {
        self.held.load().is_none()
    }

    /// Puts the keys in place, which were made from the state of this revision. `false`: apply
    /// has changed keys since, and they have to be made from a newer state.
    pub fn open(&self, keys: Unsealed, revision: u64) -> bool {
        let changed = self.changed();
        let is_current = revision >= *changed;
        if is_current {
            // From here on apply changes them.
            self.held.store(Some(Arc::new(keys)));
        }
        is_current
    }

    /// Takes the keys away.
    pub fn close(&self) {
        let _one = self.changed();
        self.held.store(None);
    }

    /// Apply's side: what these changes made of the keys, before anyone sees the state after
    /// them. A node whose keys can't follow is sealed.
    pub fn applied(&self, changes: &[Change]) {
        let concern = [
            key_of::<Keyrings>(&()),
            key_of::<RootKeys>(&()),
            key_of::<SealConfigs>(&()),
            key_of::<StoredRootKeys>(&()),
        ];
        let newest = changes.iter().filter_map(|change| match change {
            Change::Put { key, revision, .. } if concern.contains(key) => Some(*revision),
            _ => None,
        });
        if let Some(revision) = newest.max() {
            self.follow(revision, &Written(changes), Unsealed::after);
        }
    }

    /// As [`Keys::applied`], for a state that came as a whole.
    pub fn replaced(&self, state: &dyn Store) {
        self.follow(state.revision(), state, Unsealed::in_state);
    }

    /// The keys that [`Keys::replaced`] would put in place; `None` where it would seal this node,
    /// or nothing can be said because it is sealed.
    pub fn followed(&self, state: &dyn Store) -> Option<Unsealed> {
        self.get().and_then(|keys| keys.in_state(state).ok())
    }

    fn follow(
        &self,
        revision: u64,
        store: &dyn Store,
        followed: fn(&Unsealed, &dyn Store) -> Result<Unsealed, KeysError>,
    ) {
        let mut changed = self.changed();
        *changed = revision;
        let Some(keys) = self.get() else { return };
        match followed(&keys, store) {
            Ok(followed) => self.held.store(Some(Arc::new(followed))),
            Err(error) => {
                tracing::error!(%error, "the keys of this node don't open the state: it is sealed");
                self.held.store(None);
                self.lost.notify_one();
            }
        }
    }

    fn changed(&self) -> MutexGuard<'_, u64> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the keys were taken away because they can't follow.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }
}

/// The records that one entry wrote. Changes of the root key and of the keyring come with each
/// other, so that nothing else is needed to follow them.
struct Written<'a>(&'a [Change]);

impl Store for Written<'_> {
    fn get(&self, wanted: &[u8]) -> Result<Option<Stored>, StoreError> {
        let found = self.0.iter().rev().find_map(|change| match change {
            Change::Put {
                key,
                value,
                revision,
                ..
            } if key == wanted => Some(Stored {
                value: value.clone(),
                create_revision: *revision,
                mod_revision: *revision,
            }),
            _ => None,
        });
        Ok(found)
    }

    fn scan(
        &self,
        _start: &[u8],
        _end: &[u8],
        _limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        Ok(Vec::new())
    }

    fn revision(&self) -> u64 {
        0
    }
}

fn answer_of(bytes: &[u8]) -> Option<Answer> {
    bytes.try_into().ok().map(Secret::new)
}

/// What a cluster asks of a node that wants to join, taken apart.
pub struct Challenge<'a> {
    /// What proves the quorum.
    pub proof: ProofOf,
    /// What has to be opened with the root key.
    sealed: &'a [u8],
}

/// How a node comes by the root key that it must prove to have.
pub enum ProofOf {
    /// By so many shares, of which so many are needed.
    Shares(u8, u8),
    /// By the provider that sealed this.
    Provider(StoredRootKey),
}

impl<'a> Challenge<'a> {
    /// A challenge begins with the number of shares and the threshold, so that a new node knows
    /// how many to collect; with zeros and the stored root key where a provider opens nodes.
    /// `None`: it is malformed.
    pub fn parse(challenge: &'a [u8]) -> Option<Self> {
        match challenge {
            [0, 0, rest @ ..] => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_be_bytes(*length));
                let (stored, sealed) = rest.split_at_checked(length)?;
                let proof = ProofOf::Provider(StoredRootKey::from_bytes(stored)?);
                Some(Self { proof, sealed })
            }
            [shares, threshold, sealed @ ..] => Some(Self {
                proof: ProofOf::Shares(*shares, *threshold),
                sealed,
            }),
            _ => None,
        }
    }

    fn start(keys: &Unsealed) -> Option<Vec<u8>> {
        let Some(stored) = &keys.stored else {
            return Some(vec![keys.config.shares, keys.config.threshold]);
        };
        let stored = stored.to_bytes();
        let mut bytes = vec![0, 0];
        bytes.extend_from_slice(&u16::try_from(stored.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(&stored);
        Some(bytes)
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
        let mut bytes = Challenge::start(&keys)?;
        bytes.extend_from_slice(&challenge);
        Some(bytes.into())
    }

    fn verify(&self, public_key: &[u8], challenge: &[u8], answer: &[u8], now_ms: u64) -> bool {
        let (Some(keys), Some(challenge)) = (self.get(), Challenge::parse(challenge)) else {
            return false;
        };
        let now = UnixMillis::new(now_ms);
        keys.join
            .verify(public_key, challenge.sealed, answer, now)
            .is_ok()
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
        let challenge = Challenge::parse(challenge)?;
        let answer = self.0.answer(public_key, challenge.sealed).ok()?;
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
