//! One node of the replicated store: what the server (and the crash tests) hold.
//!
//! **Leader and active are two things.** Raft elects a leader, sealed or not; the layer
//! above activates an unsealed one ([`Node::activate`]): its opening entry is applied, then
//! the sequencer takes transactions. A sealed leader proposes nothing of ours and hands
//! leadership to an unsealed voter.

mod active;
mod admit;
mod duties;
mod hand_over;
mod join;
mod join_token;
mod peer;
mod restore;
mod start;
mod status;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use openraft::Raft;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    active::ActivateError,
    duties::RemoveError,
    hand_over::HandOverError,
    join::{ChallengeSolver, JoinCredential, JoinError, JoinGate, TokensOnly},
    restore::{Restore, RestoreError, Verified},
    status::{MemberStatus, NodeStatus, SAMPLE_AGE_MAX},
};
use crate::{
    batch::{Proposed, Sequencer},
    clock::{ClusterClock, WallClock},
    identity::{IdentityError, NodeIdentity, NodeKey},
    log::{LogError, LogStore},
    options::Timing,
    peers::{PeerChannel, PeerError, Peers},
    reads::{Consistency, ReadError, Reads, unreadable},
    state::{AppliedInfo, ApplyObserver, State, StateError, StateMachine},
    tls::PeerTlsOptions,
    types::{Member, NodeId, TypeConfig},
    view::View,
};

/// How a node is run.
pub struct NodeConfig {
    /// Folder of everything that the node keeps.
    pub data_dir: PathBuf,
    /// Stable name, unique in the cluster (a pod's name).
    pub name: String,
    /// Where the peer listener listens.
    pub peer_listen: SocketAddr,
    /// `host:port` at which peers reach it.
    pub peer_address: String,
    /// URL at which clients reach this node.
    pub api_address: String,
    /// Raft's timing.
    pub timing: Timing,
    /// Bytes of log after which a snapshot is made.
    pub snapshot_log_bytes: u64,
    /// Log entries that stay behind a snapshot, for nodes that were away for a moment.
    pub entries_kept: u64,
    /// The machine's clocks.
    pub clock: Arc<dyn WallClock>,
    /// Certificates of the peer port.
    pub tls: PeerTlsOptions,
}

/// Why a node didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key pair or the identity can't be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log can't be opened, or came back shorter than it was.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state can't be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The timing is impossible.
    #[error("raft timing: {0}")]
    Timing(String),
    /// The peer port can't be listened on, or a folder not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// Raft refused.
    #[error("raft: {0}")]
    Raft(String),
    /// The node belongs to a cluster already.
    #[error("this node already belongs to a cluster")]
    Initialized,
}

/// Leadership as this node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Current term.
    pub term: u64,
    /// Leader of the term, if known.
    pub leader: Option<NodeId>,
    /// Whether this node is it.
    pub is_leader: bool,
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: NodeConfig,
    key: Arc<NodeKey>,
    peers: Peers,
    gate: Arc<dyn JoinGate>,
    observer: Arc<dyn ApplyObserver>,
    core: OnceLock<Core>,
    /// One bootstrap or join at a time.
    founding: tokio::sync::Mutex<()>,
    unsealed: AtomicBool,
    transferring: AtomicBool,
    active: ArcSwapOption<active::Active>,
    proposed: Proposed,
    /// One activation at a time. Holds the sequencer of the last one, which may still be
    /// proposing when it is no longer `active`.
    activating: tokio::sync::Mutex<Option<Sequencer>>,
    /// One change of membership at a time: each has two steps, and what finishes one that a
    /// lost leader left half done must not finish one that is under way.
    membership: tokio::sync::Mutex<()>,
    /// One restore at a time, its clean-up included.
    restoring: Arc<tokio::sync::Mutex<()>>,
    samples: Mutex<BTreeMap<NodeId, status::PeerSample>>,
    /// Bytes that were free on the disk at the last look, or [`status::FREE_UNKNOWN`].
    disk_free: AtomicU64,
    leadership: watch::Sender<Leadership>,
    stop: CancellationToken,
}

/// What exists once the node belongs to a cluster.
pub(crate) struct Core {
    identity: NodeIdentity,
    raft: Raft<TypeConfig, StateMachine>,
    log: LogStore,
    state: State,
    clock: Arc<ClusterClock>,
    reads: Reads,
    started: Instant,
}

impl Node {
    /// Whether the node belongs to a cluster.
    pub fn is_initialized(&self) -> bool {
        self.shared.core.get().is_some()
    }

    fn core(&self) -> Option<&Core> {
        self.shared.core.get()
    }

    /// Id of this node.
    pub fn id(&self) -> Option<NodeId> {
        self.core().map(|core| core.identity.node_id)
    }

    /// Id of the cluster.
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        self.core().map(|core| core.identity.cluster_id)
    }

    /// Public key of this node (DER SubjectPublicKeyInfo).
    pub fn public_key(&self) -> bytes::Bytes {
        self.shared.key.public_key()
    }

    /// Tells whether the layer above can serve: an unsealed node stands for election.
    pub async fn set_unsealed(&self, unsealed: bool) {
        self.shared.unsealed.store(unsealed, Ordering::Release);
        if !unsealed {
            self.deactivate();
        }
        self.stand_if_allowed().await;
    }

    /// Leadership as this node sees it, and its changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// This node's state as it stands, without proof that it is current.
    ///
    /// # Errors
    /// There is no state, or it can't be read.
    pub fn view(&self) -> Result<View, ReadError> {
        let core = self.core().ok_or(ReadError::NoLeader)?;
        core.state.view().map_err(unreadable)
    }

    /// How far this node's state is, and its changes.
    ///
    /// # Errors
    /// There is no state.
    pub fn watch_applied(&self) -> Result<watch::Receiver<AppliedInfo>, ReadError> {
        let core = self.core().ok_or(ReadError::NoLeader)?;
        Ok(core.state.watch_applied())
    }

    /// A view that shows every write acknowledged before the call, and cluster time in
    /// milliseconds since the epoch. On any node.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(View, u64), ReadError> {
        let core = self.core().ok_or(ReadError::NoLeader)?;
        core.reads.read(consistency, deadline).await
    }

    /// Cluster time as this node knows it, milliseconds since the epoch.
    pub fn cluster_time_ms(&self) -> u64 {
        self.core().map_or(0, |core| core.clock.now_ms())
    }

    /// A real, small read of the disk, for deep health checks. Blocks.
    ///
    /// # Errors
    /// The disk doesn't answer.
    pub fn probe_disk(&self) -> Result<(), StateError> {
        self.core().map_or(Ok(()), |core| core.state.probe())
    }

    /// A connection to a member's peer port, for services of the layer above.
    ///
    /// # Errors
    /// No such member.
    pub fn peer_channel(&self, id: NodeId) -> Result<PeerChannel, PeerError> {
        self.shared.peers.channel(id)
    }

    /// Number of the state's generation: it grows when a snapshot is installed.
    pub fn generation(&self) -> u64 {
        self.core().map_or(0, |core| core.state.generation())
    }

    /// Asks for a snapshot now, without waiting for it.
    pub async fn snapshot(&self) {
        if let Some(core) = self.core() {
            core.log.reset_bytes();
            let _ = core.raft.trigger().snapshot().await;
        }
    }

    /// Stops the node: no more duties, raft ends, the stores close.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.deactivate();
        if let Some(core) = self.core() {
            let _ = core.raft.shutdown().await;
            let state = core.state.clone();
            let _ = tokio::task::spawn_blocking(move || state.flush()).await;
        }
    }

    /// Resolves when the node has stopped: by [`Node::shutdown`], or because the peer
    /// listener or raft failed for good.
    pub async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }
}

impl Shared {
    fn own_member(&self) -> Member {
        Member {
            name: self.config.name.clone(),
            peer_address: self.config.peer_address.clone(),
            api_address: self.config.api_address.clone(),
            public_key: self.key.public_key(),
        }
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, status::PeerSample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
