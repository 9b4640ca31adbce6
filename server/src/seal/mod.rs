//! The seal of this node: init, unseal with progress and nonce, seal, and the join of a node
//! whose operator holds the quorum. Shares are kept in memory alone, and only until there
//! are enough of them.
//!
//! **Invariant:** a wrong share is found out and reported without telling which it was, and
//! nothing here survives a restart.

mod attempts;
mod init;
mod join;
mod keys;
mod open;
mod open_itself;
mod pgp;
mod provider;
pub mod rotation;
mod share_rate;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenure_core::{
    barrier::shamir::Share,
    random::{self},
    state::{SealConfig, SealConfigs, read_plain},
    types::UnixMillis,
};
use tenure_raft::node::Node;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
};
use tonic::Code;

pub use self::{
    attempts::{
        Attempts, GenerateRootStatus, Generated, ProofStatus, RekeyPlan, RekeyStatus, Rekeyed,
    },
    init::{InitKeys, InitPlan},
    join::peer_address_of,
    keys::{Keys, Solver, Unsealed},
    provider::{Provider, provider_of},
    share_rate::{ShareRate, address_of},
};
use crate::{
    config::RetryJoin, error::Error, expiration::hold_of, pipeline::StateView, random::SystemRandom,
};

/// Bytes of an unsplit root key.
const ROOT_KEY_BYTES: usize = 32;
/// Calls of unseal at a time: nobody has to show a token for one.
const UNSEAL_CALLS_MAX: usize = 8;
/// How long a node that may reach a leader tries to catch up before it judges the shares.
const CATCH_UP_WAIT: Duration = Duration::from_secs(2);

/// The seal of one node.
pub struct Sealer {
    node: Node,
    keys: Arc<Keys>,
    cluster_name: String,
    retry_join: Vec<RetryJoin>,
    /// Who opens this node, if shares don't.
    provider: Option<Arc<dyn Provider>>,
    /// One init, unseal or reset at a time.
    attempt: tokio::sync::Mutex<Attempt>,
    /// What a status shows of the attempt, without waiting for it.
    shown: Mutex<Shown>,
    /// The cluster that this node is to join, once it has been asked.
    candidate: Mutex<Option<Candidate>>,
    /// Calls that wait for their turn to unseal.
    turns: Arc<Semaphore>,
    /// Judges again what opened this node before its state was known to be current.
    judging: Mutex<Option<AbortHandle>>,
}

/// Shares that were given so far.
#[derive(Default)]
struct Attempt {
    shares: Vec<Share>,
}

#[derive(Clone, Default)]
struct Shown {
    progress: u8,
    nonce: String,
}

/// A cluster that can be joined by proof of the quorum.
#[derive(Clone)]
struct Candidate {
    addresses: Vec<String>,
    shares: u8,
    threshold: u8,
}

/// What a status shows.
pub struct Status {
    /// Whether the cluster has been initialised.
    pub initialized: bool,
    /// Whether this node is sealed.
    pub sealed: bool,
    /// Number of shares; 0 until there are any.
    pub shares: u8,
    /// Shares needed; 0 until there are any.
    pub threshold: u8,
    /// Distinct shares given so far.
    pub progress: u8,
    /// Of the attempt under way; empty when none is.
    pub nonce: String,
    /// For people; shown by an unsealed node.
    pub cluster_name: String,
    /// Shown by an unsealed node.
    pub cluster_id: String,
    /// Kind of the provider that opens this node, if shares don't: theirs are recovery shares.
    pub provider: Option<&'static str>,
    /// Once the node belongs to a cluster.
    pub ha: Option<HaStatus>,
}

/// What a status shows of leadership.
pub struct HaStatus {
    /// Whether this node is active.
    pub active: bool,
    /// Since when it is, if it is.
    pub active_since: Option<UnixMillis>,
    /// Client address of the leader.
    pub leader_address: String,
    /// Peer address of the leader.
    pub leader_cluster_address: String,
    /// Last index known to be committed.
    pub committed_index: u64,
    /// Last index applied.
    pub applied_index: u64,
    /// Whether the expiration manager is held after a restore.
    pub expiration_held: bool,
}

impl Sealer {
    /// The seal of `node`.
    pub fn new(
        node: Node,
        keys: Arc<Keys>,
        cluster_name: String,
        retry_join: Vec<RetryJoin>,
        provider: Option<Arc<dyn Provider>>,
    ) -> Self {
        Self {
            node,
            keys,
            cluster_name,
            retry_join,
            provider,
            attempt: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
            candidate: Mutex::default(),
            turns: Arc::new(Semaphore::new(UNSEAL_CALLS_MAX)),
            judging: Mutex::default(),
        }
    }

    /// A place among those who unseal; `None` when there are too many.
    pub fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    /// Whether a share would change anything here.
    pub fn takes_shares(&self) -> bool {
        self.provider.is_none() && self.keys.is_sealed()
    }

    /// How the root key is split, as this node's state has it.
    fn config(&self) -> Result<Option<SealConfig>, Error> {
        if !self.node.is_initialized() {
            return Ok(None);
        }
        let state = StateView(self.node.view()?);
        Ok(read_plain::<SealConfigs>(&state, &())?)
    }

    fn candidate(&self) -> Option<Candidate> {
        self.candidate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shares and threshold: of the own state, or of the cluster that is to be joined.
    fn split(&self) -> Result<Option<(u8, u8)>, Error> {
        if let Some(config) = self.config()? {
            return Ok(Some((config.shares, config.threshold)));
        }
        Ok(self
            .candidate()
            .map(|candidate| (candidate.shares, candidate.threshold)))
    }

    /// Initialised or not, sealed or not, and how far unsealing is.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn status(&self) -> Result<Status, Error> {
        let split = self.split()?;
        let (shares, threshold) = split.unwrap_or_default();
        let sealed = self.keys.is_sealed();
        let shown = self.shown().clone();
        let held = match self.node.is_initialized() {
            true => hold_of(&StateView(self.node.view()?))?.is_some(),
            false => false,
        };
        let ha = self.node.status().map(|status| {
            let leader = status.members.iter().find(|member| member.leader);
            HaStatus {
                active: status.active,
                active_since: status.active_since_ms.map(UnixMillis::new),
                leader_address: leader
                    .map_or_else(String::new, |leader| leader.member.api_address.clone()),
                leader_cluster_address: leader
                    .map_or_else(String::new, |leader| leader.member.peer_address.clone()),
                committed_index: status.committed_index,
                applied_index: status.applied_index,
                expiration_held: held,
            }
        });
        let id = self.node.cluster_id().map_or_else(String::new, hex::encode);
        Ok(Status {
            initialized: split.is_some(),
            sealed,
            shares,
            threshold,
            progress: shown.progress,
            nonce: shown.nonce,
            cluster_name: if sealed {
                String::new()
            } else {
                self.cluster_name.clone()
            },
            cluster_id: if sealed { String::new() } else { id },
            provider: self.provider.as_ref().map(|provider| provider.kind()),
            ha,
        })
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, attempt: &Attempt) {
        let progress = u8::try_from(attempt.shares.len()).unwrap_or(u8::MAX);
        let mut shown = self.shown();
        if progress == 0 {
            shown.nonce.clear();
        } else if shown.nonce.is_empty() {
            shown.nonce = hex::encode(random::array::<16>(&mut SystemRandom));
        }
        shown.progress = progress;
    }

    /// Drops the shares that were given so far.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn reset(&self) -> Result<Status, Error> {
        let mut attempt = self.attempt.lock().await;
        attempt.shares.clear();
        self.show(&attempt);
        drop(attempt);
        self.status()
    }

    /// Takes one share. The one that completes the threshold opens the node.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what can't be a share, and for shares that don't give the key;
    /// FAILED_PRECONDITION on a node that has no cluster to open.
    pub async fn unseal(&self, share: Share) -> Result<Status, Error> {
        // Where a provider opens the node, shares are for the quorum and change nothing here.
        if self.provider.is_some() {
            return self.status();
        }
        let mut attempt = self.attempt.lock().await;
        if !self.keys.is_sealed() {
            return self.status();
        }
        let Some((_, threshold)) = self.split()? else {
            return Err(Error::new(
                Code::FailedPrecondition,
                "NOT_INITIALIZED",
                "this node is not initialized and has found no cluster to join",
            ));
        };
        attempts::check_length(&share, threshold)?;
        // The same share again is no progress.
        if !attempt.shares.contains(&share) {
            attempt.shares.push(share);
        }
        self.show(&attempt);
        if attempt.shares.len() >= usize::from(threshold) {
            let shares = std::mem::take(&mut attempt.shares);
            let opened = self.open(&shares).await;
            self.show(&attempt);
            opened?;
        }
        drop(attempt);
        self.status()
    }
}

fn wrong_shares() -> Error {
    Error::new(
        Code::InvalidArgument,
        "WRONG_SHARES",
        "the shares do not give the key; at least one of them is wrong. Give them all again",
    )
}

/// Closes a node: hands leadership over if it can, and forgets the keys.
pub async fn seal(node: &Node, keys: &Keys) {
    let _ = node.hand_over(None).await;
    keys.close();
    node.set_unsealed(false).await;
    tracing::info!("this node is sealed");
}
