//! One node of the replicated store: what the server (and the crash tests) hold.
//!
//! **Leader and active are two things.** Raft elects a leader, sealed or not; the layer
//! above activates an unsealed one ([`Node::activate`]): its opening entry is applied, then
//! the sequencer takes transactions. A sealed leader proposes nothing of ours and hands
//! leadership to an unsealed voter.

mod duties;
mod hand_over;
mod join;
mod peer;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use openraft::{
    Instant as _, Raft, ServerState, async_runtime::watch::WatchReceiver, vote::RaftLeaderId as _,
};
use tenure_proto::internal as wire;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    duties::RemoveError,
    hand_over::HandOverError,
    join::{ChallengeSolver, JoinCredential, JoinError, JoinGate},
    status::{MemberStatus, NodeStatus},
};
use crate::{
    batch::{Sequencer, SubmitError, propose},
    clock::{ClusterClock, WallClock},
    identity::{IdentityError, NodeIdentity, NodeKey},
    limits::FORMAT,
    log::{LogError, LogStore},
    network::NetworkFactory,
    options::{Timing, raft_config},
    peer_server::{PeerHandler, serve},
    peers::{PeerChannel, PeerError, Peers},
    reads::{Consistency, ReadError, Reads, unreadable},
    state::{ApplyObserver, State, StateError, StateMachine},
    tls::PeerTlsOptions,
    txn::Txn,
    types::{LeaderId, Member, NodeId, Revision, TypeConfig},
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

/// Why a leader did not become active.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// This node is not the leader.
    #[error("this node is not the leader")]
    NotLeader,
    /// The opening entry was not committed.
    #[error("the opening entry was not committed")]
    NotCommitted,
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
    active: ArcSwapOption<Active>,
    /// One activation at a time. Holds the sequencer of the last one, which may still be
    /// proposing when it is no longer `active`.
    activating: tokio::sync::Mutex<Option<Sequencer>>,
    samples: Mutex<BTreeMap<NodeId, status::PeerSample>>,
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

/// One activation of this node.
struct Active {
    term: u64,
    sequencer: Sequencer,
}

impl Node {
    /// Opens the data folder, listens on the peer port and, if the node belongs to a
    /// cluster, starts raft. `extra` are services of the layer above for the peer port:
    /// only members reach them.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: NodeConfig,
        observer: Arc<dyn ApplyObserver>,
        gate: Arc<dyn JoinGate>,
        extra: tonic::service::Routes,
    ) -> Result<Self, StartError> {
        let key = Arc::new(NodeKey::open(&config.data_dir, &config.tls)?);
        let peers = Peers::new(Arc::clone(&key), config.tls.clone())
            .map_err(|error| StartError::Raft(error.to_string()))?;
        let listener = tokio::net::TcpListener::bind(config.peer_listen)
            .await
            .map_err(|source| StartError::Io {
                what: format!("listening for peers on {}", config.peer_listen),
                source,
            })?;
        let identity = NodeIdentity::load(&config.data_dir)?;
        let node = Self {
            shared: Arc::new(Shared {
                config,
                key,
                peers,
                gate,
                observer,
                core: OnceLock::new(),
                founding: tokio::sync::Mutex::default(),
                unsealed: AtomicBool::new(false),
                transferring: AtomicBool::new(false),
                active: ArcSwapOption::empty(),
                activating: tokio::sync::Mutex::default(),
                samples: Mutex::default(),
                leadership: watch::Sender::default(),
                stop: CancellationToken::new(),
            }),
        };
        if let Some(identity) = identity {
            node.start_core(identity).await?;
        }
        node.serve_peers(listener, extra);
        Ok(node)
    }

    async fn start_core(&self, identity: NodeIdentity) -> Result<(), StartError> {
        let shared = &self.shared;
        let dir = shared.config.data_dir.clone();
        let observer = Arc::clone(&shared.observer);
        let cluster_id = identity.cluster_id;
        let opened = tokio::task::spawn_blocking(move || {
            let log = LogStore::open(&dir)?;
            let state = State::open(&dir, cluster_id, observer)?;
            Ok::<_, StartError>((log, state))
        });
        let (log, state) = opened
            .await
            .map_err(|error| StartError::Raft(error.to_string()))??;
        shared.peers.set_cluster_id(cluster_id);
        let config = raft_config(shared.config.timing)
            .map_err(|error| StartError::Timing(error.to_string()))?;
        let clock = Arc::new(ClusterClock::new(
            Arc::clone(&shared.config.clock),
            state.applied().time_ms,
        ));
        let raft = Raft::new(
            identity.node_id,
            config,
            NetworkFactory::new(shared.peers.clone()),
            log.clone(),
            StateMachine::new(state.clone()),
        )
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
        let reads = Reads::start(
            raft.clone(),
            state.clone(),
            Arc::clone(&clock),
            shared.peers.clone(),
            shared.config.timing,
        );
        let core = Core {
            identity,
            raft,
            log,
            state,
            clock,
            reads,
            started: Instant::now(),
        };
        if shared.core.set(core).is_err() {
            return Err(StartError::Initialized);
        }
        self.trust_first_members();
        self.trust_members();
        self.start_duties();
        Ok(())
    }

    /// Whether the node belongs to a cluster.
    pub fn is_initialized(&self) -> bool {
        self.shared.core.get().is_some()
    }

    /// Makes this node the first member of a new cluster.
    ///
    /// # Errors
    /// It belongs to one already, or the disk fails.
    pub async fn bootstrap(&self) -> Result<(), StartError> {
        let _one_at_a_time = self.shared.founding.lock().await;
        let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
        match self.core() {
            // A crash may have come between the identity and the first membership.
            Some(core) if core.identity.node_id == FIRST_NODE_ID => {
                let begun = core.raft.is_initialized().await;
                if begun.map_err(|error| failed(&error))? {
                    return Err(StartError::Initialized);
                }
            }
            Some(_) => return Err(StartError::Initialized),
            None => {
                let mut cluster_id = [0; 16];
                aws_lc_rs::rand::fill(&mut cluster_id).map_err(|_| failed(&"no randomness"))?;
                let identity = NodeIdentity {
                    cluster_id,
                    node_id: FIRST_NODE_ID,
                    name: self.shared.config.name.clone(),
                };
                identity.save(&self.shared.config.data_dir)?;
                self.start_core(identity).await?;
            }
        }
        let members = BTreeMap::from([(FIRST_NODE_ID, self.shared.own_member())]);
        let core = self.core().ok_or(StartError::Initialized)?;
        core.raft
            .initialize(members)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;
        Ok(())
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

    /// Makes this leader active: commits its opening entry and starts the sequencer. After
    /// a sequencer ended, it may be called again in the same term.
    ///
    /// # Errors
    /// This node is not the leader, or no quorum took the entry.
    pub async fn activate(&self) -> Result<(), ActivateError> {
        let core = self.core().ok_or(ActivateError::NotLeader)?;
        let mut last = self.shared.activating.lock().await;
        let leader = core.leadership().ok_or(ActivateError::NotLeader)?;
        if self.is_active() {
            return Ok(());
        }
        if self.shared.transferring.load(Ordering::Acquire) {
            return Err(ActivateError::NotLeader);
        }
        if self.shared.transferring.load(Ordering::Acquire) {
            return Err(ActivateError::NotLeader);
        }
        self.deactivate();
        if let Some(last) = &*last {
            // Once it is quiet its entries precede the opening entry in the log, so that
            // waiting for that one is enough.
            last.abandon();
            tokio::time::timeout(OPENING_WAIT, last.quiet())
                .await
                .map_err(|_| ActivateError::NotCommitted)?;
        }
        // After a start nothing may be known of the others' clocks: what ended meanwhile must
        // not pass for a moment.
        if !self.correct_clock(core) {
            self.ask_peers(core).await;
        }
        let applied = core.state.applied();
        core.clock.anchor(applied.time_ms);
        let opening = wire::Command {
            format: FORMAT,
            time_ms: core.clock.now_ms(),
            first_revision: 0,
            transactions: Vec::new(),
        };
        let deadline = Instant::now() + OPENING_WAIT;
        loop {
            let outcome = propose(&core.raft, &leader, &opening)
                .await
                .ok_or(ActivateError::NotLeader)?;
            match tokio::time::timeout_at(deadline, outcome).await {
                Ok(true) => break,
                // Just after an election raft may refuse for a moment. The entry changes
                // nothing, so that a second one does no harm.
                Ok(false) if core.leadership() == Some(leader) && Instant::now() < deadline => {
                    tokio::time::sleep(OPENING_RETRY).await;
                }
                Ok(false) | Err(_) => return Err(ActivateError::NotCommitted),
            }
        }
        if core.leadership() != Some(leader)
            || !self.shared.unsealed.load(Ordering::Acquire)
            || self.shared.transferring.load(Ordering::Acquire)
        {
            return Err(ActivateError::NotLeader);
        }
        let sequencer = Sequencer::start(
            core.raft.clone(),
            leader,
            core.state.applied().revision,
            Arc::clone(&core.clock),
        );
        *last = Some(sequencer.clone());
        self.shared.active.store(Some(Arc::new(Active {
            term: leader.term,
            sequencer,
        })));
        Ok(())
    }

    /// Whether this node is active now: the leader of a term it was activated in, not
    /// handing over, and heard by a quorum lately.
    pub fn is_active(&self) -> bool {
        let Some(core) = self.core() else {
            return false;
        };
        let active = self.shared.active.load();
        let Some(active) = active.as_deref() else {
            return false;
        };
        !active.sequencer.is_stopped()
            && !self.shared.transferring.load(Ordering::Acquire)
            && core
                .leadership()
                .is_some_and(|leader| leader.term == active.term)
            && core.heard_by_quorum(self.shared.config.timing.lease() * 2)
    }

    /// Resolves when the current activation has ended; at once if there is none.
    pub async fn inactive(&self) {
        let active = self.shared.active.load_full();
        if let Some(active) = active {
            active.sequencer.ended().await;
        }
    }

    fn deactivate(&self) {
        if let Some(active) = self.shared.active.swap(None) {
            active.sequencer.abandon();
        }
    }

    /// Commits a transaction on the active node: returns when it is applied here.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, txn: Txn, deadline: Instant) -> Result<Revision, SubmitError> {
        let active = self.shared.active.load_full();
        match active {
            Some(active) => active.sequencer.submit(txn, deadline).await,
            None => Err(SubmitError::NotActive),
        }
    }

    /// This node's state as it stands, without proof that it is current.
    ///
    /// # Errors
    /// There is no state, or it can't be read.
    pub fn view(&self) -> Result<View, ReadError> {
        let core = self.core().ok_or(ReadError::NoLeader)?;
        core.state.view().map_err(unreadable)
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
}

impl Node {
    fn serve_peers(&self, listener: tokio::net::TcpListener, extra: tonic::service::Routes) {
        let handler: Arc<dyn PeerHandler> = Arc::new(self.clone());
        let peers = self.shared.peers.clone();
        let stop = self.shared.stop.clone();
        tokio::spawn(async move {
            let stopped = stop.clone().cancelled_owned();
            if let Err(error) = serve(listener, peers, handler, extra, stopped).await {
                tracing::error!(%error, "the peer listener ended");
                stop.cancel();
            }
        });
    }

    /// Resolves when the node has stopped: by [`Node::shutdown`], or because the peer
    /// listener or raft failed for good.
    pub async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }
}

impl Core {
    /// The committed leadership of this node, if it leads.
    fn leadership(&self) -> Option<LeaderId> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        (metrics.state == ServerState::Leader
            && metrics.current_leader == Some(self.identity.node_id)
            && metrics.vote.is_committed())
        .then(|| metrics.vote.leader_id().to_committed())
    }

    /// Whether a quorum has acknowledged this leader within `age`. A single voter is its own
    /// quorum, and nobody acknowledges it.
    fn heard_by_quorum(&self, age: Duration) -> bool {
        if self.is_single_voter() {
            return true;
        }
        let metrics = self.raft.data_metrics();
        let acked = metrics.borrow_watched().last_quorum_acked;
        acked.is_some_and(|at| at.elapsed() <= age)
    }
}

impl Core {
    fn voters(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.server_metrics();
        let stored = metrics.borrow_watched().membership_config.clone();
        stored.membership().voter_ids().collect()
    }

    /// Whether this node is the only voter.
    fn is_single_voter(&self) -> bool {
        self.voters().into_iter().eq([self.identity.node_id])
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

/// The founder's id; the log allocates those after it.
const FIRST_NODE_ID: NodeId = 1;
/// How long the opening entry may take to reach a quorum.
const OPENING_WAIT: Duration = Duration::from_secs(5);
/// How soon a refused opening entry is proposed again.
const OPENING_RETRY: Duration = Duration::from_millis(2);
