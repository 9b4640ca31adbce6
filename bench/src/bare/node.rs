//! One node of the bare stack: a process of this same program.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tenure_raft::{
    clock::SystemClock,
    node::{JoinCredential, Node, NodeConfig, TokensOnly},
    options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES, Timing},
    reads::Consistency,
    state::NoObserver,
    tls::PeerTlsOptions,
    txn::{Op, Txn},
    types::NodeId,
};
use tokio::time::Instant;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};

use super::proto::{
    BootstrapRequest, BootstrapResponse, EchoRequest, EchoResponse, GetRequest, GetResponse,
    GetStatusRequest, GetStatusResponse, JoinRequest, JoinResponse, MintJoinTokenRequest,
    MintJoinTokenResponse, PutRequest, PutResponse,
    bare_service_client::BareServiceClient,
    bare_service_server::{BareService, BareServiceServer},
};

const CALL_BOUND: Duration = Duration::from_secs(10);
const TOKEN_TTL: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a bare node runs.
#[derive(Debug, clap::Args)]
pub struct NodeArguments {
    /// Data folder
    #[arg(long)]
    data: PathBuf,
    /// Stable name
    #[arg(long)]
    name: String,
    /// Address of the peer port
    #[arg(long)]
    peer: SocketAddr,
    /// Address for clients
    #[arg(long)]
    api: SocketAddr,
}

/// Runs until it is killed.
pub async fn run(arguments: NodeArguments) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("warn,openraft=error")
        .with_writer(std::io::stderr)
        .init();
    let config = NodeConfig {
        data_dir: arguments.data,
        name: arguments.name,
        peer_listen: arguments.peer,
        peer_address: arguments.peer.to_string(),
        api_address: format!("http://{}", arguments.api),
        timing: Timing::default(),
        snapshot_log_bytes: SNAPSHOT_LOG_BYTES,
        entries_kept: ENTRIES_KEPT,
        clock: Arc::new(SystemClock),
        tls: PeerTlsOptions::default(),
    };
    let routes = tonic::service::Routes::default();
    let node = Node::start(config, Arc::new(NoObserver), Arc::new(TokensOnly), routes).await;
    let node = match node {
        Ok(node) => node,
        Err(error) => {
            eprintln!("start: {error}");
            return ExitCode::FAILURE;
        }
    };
    node.set_unsealed(true).await;
    tokio::spawn(lead(node.clone()));
    let service = Service {
        node,
        active: Mutex::default(),
    };
    let server = Server::builder().tcp_nodelay(true);
    let served = { server }
        .add_service(BareServiceServer::new(service))
        .serve(arguments.api)
        .await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Activates the node whenever it leads.
async fn lead(node: Node) {
    let mut leadership = node.leadership();
    loop {
        let leads = leadership.borrow_and_update().is_leader;
        if leads && !node.is_active() {
            let _ = node.activate().await;
        }
        let _ = tokio::time::timeout(LOOK_EVERY, leadership.changed()).await;
    }
}

struct Service {
    node: Node,
    /// Channel to the active node, by its id.
    active: Mutex<Option<(NodeId, Channel)>>,
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn deadline() -> Instant {
    Instant::now() + CALL_BOUND
}

impl Service {
    fn active_node(&self) -> Result<BareServiceClient<Channel>, Status> {
        let leader = self.node.leadership().borrow().leader;
        let leader = leader.ok_or_else(|| failed("no leader"))?;
        let mut known = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, channel)) = known.as_ref()
            && *of == leader
        {
            return Ok(BareServiceClient::new(channel.clone()));
        }
        let status = self.node.status().ok_or_else(|| failed("no cluster"))?;
        let mut members = status.members.into_iter();
        let member = members.find(|member| member.id == leader);
        let address = member
            .ok_or_else(|| failed("no leader"))?
            .member
            .api_address;
        let endpoint = Endpoint::from_shared(address).map_err(failed)?;
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        *known = Some((leader, channel.clone()));
        Ok(BareServiceClient::new(channel))
    }
}

#[tonic::async_trait]
impl BareService for Service {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let payload = request.into_inner().payload;
        Ok(Response::new(EchoResponse { payload }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        if !self.node.is_active() {
            return self.active_node()?.put(request.into_inner()).await;
        }
        let ops = request.into_inner().pairs.into_iter().map(|pair| Op::Put {
            key: pair.key,
            value: pair.value,
            create_revision: None,
        });
        let txn = Txn {
            ops: ops.collect(),
            ..Txn::default()
        };
        let revision = self.node.submit(txn, deadline()).await.map_err(failed)?;
        Ok(Response::new(PutResponse { revision }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let read = self.node.read(Consistency::Lease, deadline()).await;
        let (view, _) = read.map_err(failed)?;
        let found = view.get(&request.into_inner().key).map_err(failed)?;
        let value = found.map(|record| record.value).unwrap_or_default();
        Ok(Response::new(GetResponse { value }))
    }

    async fn bootstrap(
        &self,
        _request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapResponse>, Status> {
        self.node.bootstrap().await.map_err(failed)?;
        self.node.set_unsealed(true).await;
        Ok(Response::new(BootstrapResponse {}))
    }

    async fn mint_join_token(
        &self,
        _request: Request<MintJoinTokenRequest>,
    ) -> Result<Response<MintJoinTokenResponse>, Status> {
        let token = self.node.mint_join_token(TOKEN_TTL, deadline()).await;
        let token = token.map_err(failed)?.to_string();
        Ok(Response::new(MintJoinTokenResponse { token }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        let credential = JoinCredential::Token(Arc::new(request.token.into()));
        let joined = self.node.join(&[request.peer_address], &credential).await;
        joined.map_err(failed)?;
        self.node.set_unsealed(true).await;
        Ok(Response::new(JoinResponse {}))
    }

    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let voters = self.node.status().map_or(0, |status| {
            status.members.iter().filter(|member| member.voter).count()
        });
        Ok(Response::new(GetStatusResponse {
            active: self.node.is_active(),
            voters: u32::try_from(voters).unwrap_or(u32::MAX),
        }))
    }
}
