//! The peer port: what other nodes may ask of this one.
//!
//! Every call passes [`guard`](self::guard) first: a key that the membership doesn't hold
//! may join and nothing else. Must never learn who calls from anything but the TLS
//! connection.

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::Raft;
use tenure_proto::internal::{
    ChallengeResponse, HandOverRequest, HandOverResponse, JoinRequest, JoinResponse,
    PeerStatusResponse, ReadIndexResponse, join_service_server::JoinServiceServer,
    raft_service_server::RaftServiceServer,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::Server};

use crate::{
    limits,
    peers::{Peers, follow_refusals},
    state::StateMachine,
    types::{NodeId, TypeConfig},
};

pub use tonic::async_trait;

mod accept;
mod guard;
mod join_service;
mod raft_service;
mod receive;

/// Our instance of openraft.
pub type RaftHandle = Raft<TypeConfig, StateMachine>;

/// Who calls: in the extensions of every request that a member makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The member whose key the connection proved.
    pub node_id: NodeId,
}

/// The key that the caller's connection proved: in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerKey(
    /// DER SubjectPublicKeyInfo.
    pub Bytes,
);

/// The node behind the peer port.
#[async_trait]
pub trait PeerHandler: Send + Sync + 'static {
    /// openraft, once the node belongs to a cluster.
    fn raft(&self) -> Option<RaftHandle>;
    /// The data folder, for snapshots that come in.
    fn data_dir(&self) -> &Path;
    /// The cluster, once the node belongs to one.
    fn cluster_id(&self) -> Option<[u8; 16]>;
    /// False for one lease after a start: a restart forgets which leader this voter
    /// promised its lease to, so it must not help another one into office before that
    /// promise has run out.
    fn votes_allowed(&self) -> bool;
    /// An index that covers everything acknowledged by now, confirmed with a quorum.
    async fn read_index(&self) -> Result<ReadIndexResponse, Status>;
    /// How the node is.
    async fn status(&self) -> PeerStatusResponse;
    /// A member asks this node to let go of leadership.
    async fn hand_over(
        &self,
        from: NodeId,
        request: HandOverRequest,
    ) -> Result<HandOverResponse, Status>;
    /// A challenge for the node that holds `peer_key` and wants to join.
    async fn challenge(&self, peer_key: Bytes) -> Result<ChallengeResponse, Status>;
    /// A node that holds `peer_key` wants to join; or the member `from_member` passes such
    /// a call on, and the request holds the key of the caller.
    async fn join(
        &self,
        peer_key: Bytes,
        from_member: Option<NodeId>,
        request: JoinRequest,
    ) -> Result<JoinResponse, Status>;
}

/// Why the peer port stopped.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The listener can't be used.
    #[error("the listener of the peer port failed: {0}")]
    Listener(#[from] io::Error),
    /// HTTP/2 could not be served.
    #[error("the peer port failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the peer port until `shutdown` completes; then lets calls in progress end for a
/// moment, and cuts the rest. `extra` holds the services of the layer above, for members
/// only.
pub async fn serve(
    listener: TcpListener,
    peers: Peers,
    handler: Arc<dyn PeerHandler>,
    extra: Routes,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let raft = RaftServiceServer::new(raft_service::Service::new(handler.clone(), peers.clone()))
        .max_decoding_message_size(limits::PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::PEER_MESSAGE_BYTES_MAX);
    let join = JoinServiceServer::new(join_service::Service::new(handler.clone()))
        .max_decoding_message_size(limits::JOIN_MESSAGE_BYTES_MAX);

    let interval = Duration::from_millis(limits::PEER_KEEPALIVE_INTERVAL_MS);
    let stop = CancellationToken::new();
    let incoming = accept::incoming(listener, peers.clone(), stop.clone());
    let serving = Server::builder()
        .layer(guard::GuardLayer::new(peers.clone(), handler))
        .max_concurrent_streams(limits::PEER_STREAMS_MAX)
        .initial_stream_window_size(limits::PEER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::PEER_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(limits::PEER_HEADER_LIST_BYTES_MAX)
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(Duration::from_millis(
            limits::PEER_KEEPALIVE_TIMEOUT_MS,
        )))
        .add_routes(extra)
        .add_service(raft)
        .add_service(join)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());

    let ending = async {
        shutdown.await;
        stop.cancel();
        tokio::time::sleep(Duration::from_millis(limits::PEER_DRAIN_MS)).await;
        // Replication streams of other nodes never end by themselves.
        peers.inbound().cut_all();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served?,
        () = ending => {}
        () = follow_refusals(peers.clone()) => {}
    }
    Ok(())
}
