//! How a node begins: from what its data folder holds, or as the first member of a new cluster.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use arc_swap::ArcSwapOption;
use openraft::Raft;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Core, JoinGate, Node, NodeConfig, Shared, StartError, status::FREE_UNKNOWN};
use crate::{
    clock::ClusterClock,
    identity::{NodeIdentity, NodeKey},
    log::LogStore,
    network::NetworkFactory,
    options::raft_config,
    peer_server::{PeerHandler, serve},
    peers::Peers,
    reads::Reads,
    state::{ApplyObserver, State, StateMachine},
    types::NodeId,
};

/// The founder's id; the log allocates those after it.
const FIRST_NODE_ID: NodeId = 1;

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
                proposed: Arc::default(),
                activating: tokio::sync::Mutex::default(),
                membership: tokio::sync::Mutex::default(),
                restoring: Arc::default(),
                samples: Mutex::default(),
                disk_free: AtomicU64::new(FREE_UNKNOWN),
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

    pub(super) async fn start_core(&self, identity: NodeIdentity) -> Result<(), StartError> {
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
        let config = raft_config(shared.config.timing, shared.config.entries_kept)
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
}
