//! Nodes with a peer port, and without the rest.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use openraft::Raft;
use tempfile::TempDir;
use tenure_proto::internal::{
    ChallengeResponse, HandOverRequest, HandOverResponse, JoinRequest, JoinResponse,
    PeerStatusResponse, ReadIndexResponse,
};
use tenure_raft::{
    identity::NodeKey,
    log::LogStore,
    network::NetworkFactory,
    options::{ENTRIES_KEPT, Timing, raft_config},
    peer_server::{PeerHandler, RaftHandle, async_trait, serve},
    peers::Peers,
    state::{NoObserver, State, StateMachine},
    tls::PeerTlsOptions,
    types::{Member, NodeId},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tonic::{Status, service::Routes};

pub const CLUSTER: [u8; 16] = [42; 16];
/// Bound for everything that should happen soon.
pub const SOON: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not happen within {SOON:?}"),
    }
}

/// Waits until `condition` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub struct Handler {
    dir: TempDir,
    pub raft: OnceLock<RaftHandle>,
    pub cluster_id: Mutex<Option<[u8; 16]>>,
    pub votes_allowed: AtomicBool,
    pub joins: Mutex<Vec<(Bytes, Option<NodeId>)>>,
}

#[async_trait]
impl PeerHandler for Handler {
    fn raft(&self) -> Option<RaftHandle> {
        self.raft.get().cloned()
    }

    fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    fn cluster_id(&self) -> Option<[u8; 16]> {
        *self.cluster_id.lock().unwrap()
    }

    fn votes_allowed(&self) -> bool {
        self.votes_allowed.load(Ordering::SeqCst)
    }

    async fn read_index(&self) -> Result<ReadIndexResponse, Status> {
        Ok(ReadIndexResponse {
            index: 7,
            time_ms: 8,
        })
    }

    async fn status(&self) -> PeerStatusResponse {
        PeerStatusResponse {
            version: "test".into(),
            ..Default::default()
        }
    }

    async fn hand_over(
        &self,
        from: NodeId,
        request: HandOverRequest,
    ) -> Result<HandOverResponse, Status> {
        Ok(HandOverResponse {
            accepted: from == request.node_id,
        })
    }

    async fn challenge(&self, peer_key: Bytes) -> Result<ChallengeResponse, Status> {
        Ok(ChallengeResponse {
            cluster_id: Bytes::copy_from_slice(&CLUSTER),
            challenge: peer_key,
        })
    }

    async fn join(
        &self,
        peer_key: Bytes,
        from_member: Option<NodeId>,
        _request: JoinRequest,
    ) -> Result<JoinResponse, Status> {
        self.joins.lock().unwrap().push((peer_key, from_member));
        Ok(JoinResponse::default())
    }
}

pub struct TestNode {
    pub id: NodeId,
    pub key: Arc<NodeKey>,
    pub peers: Peers,
    pub address: SocketAddr,
    pub handler: Arc<Handler>,
    pub state: OnceLock<State>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl TestNode {
    pub async fn start(id: NodeId) -> Self {
        Self::start_with(id, PeerTlsOptions::default()).await
    }

    pub async fn start_with(id: NodeId, options: PeerTlsOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(NodeKey::open(dir.path(), &options).unwrap());
        let peers = Peers::new(key.clone(), options).unwrap();
        peers.set_cluster_id(CLUSTER);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = Arc::new(Handler {
            dir,
            raft: OnceLock::new(),
            cluster_id: Mutex::new(Some(CLUSTER)),
            votes_allowed: AtomicBool::new(true),
            joins: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(
            listener,
            peers.clone(),
            handler.clone(),
            Routes::default(),
            async {
                let _ = stopped.await;
            },
        );
        let server = tokio::spawn(async { serving.await.unwrap() });
        Self {
            id,
            key,
            peers,
            address,
            handler,
            state: OnceLock::new(),
            stop: Some(stop),
            server,
        }
    }

    pub fn member(&self) -> Member {
        Member {
            name: format!("node-{}", self.id),
            peer_address: self.address.to_string(),
            api_address: String::new(),
            public_key: self.key.public_key(),
        }
    }

    /// Starts raft over real stores. It never stands for election by itself.
    pub async fn start_raft(&self) -> RaftHandle {
        let dir = self.handler.dir.path();
        let log = LogStore::open(dir).unwrap();
        let state = State::open(dir, CLUSTER, Arc::new(NoObserver)).unwrap();
        let raft = Raft::new(
            self.id,
            raft_config(Timing::default(), ENTRIES_KEPT).unwrap(),
            NetworkFactory::new(self.peers.clone()),
            log,
            StateMachine::new(state.clone()),
        )
        .await
        .unwrap();
        self.state.set(state).ok().unwrap();
        self.handler.raft.set(raft.clone()).ok().unwrap();
        raft
    }

    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        soon("the peer port stops", &mut self.server).await.unwrap();
        if let Some(raft) = self.handler.raft.get() {
            raft.shutdown().await.unwrap();
        }
    }
}

/// A membership of these nodes.
pub fn members(nodes: &[&TestNode]) -> BTreeMap<NodeId, Member> {
    nodes.iter().map(|node| (node.id, node.member())).collect()
}

/// Makes these nodes trust one another.
pub fn acquaint(nodes: &[&TestNode]) {
    let members = members(nodes);
    for node in nodes {
        node.peers.update(&members);
    }
}
