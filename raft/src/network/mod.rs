//! openraft's network over gRPC: what this node asks of the others.
//!
//! Must never answer in a peer's place: whatever keeps a call from its target is an error,
//! above all for a pre-vote, where a made-up grant would let an isolated node disturb the
//! cluster.

use std::{future::Future, time::Duration};

use futures_util::Stream;
use openraft::{
    OptionalSend, RPCTypes, RaftNetworkFactory,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{
        Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    },
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use tenure_proto::internal::raft_service_client::RaftServiceClient;
use tonic::{Code, Request, Response, Status};

use crate::{
    peers::{Lane, PeerChannel, Peers},
    snapshot::SnapshotDir,
    types::{Member, NodeId, TypeConfig, Vote},
};

mod append;
mod snapshot;
pub(crate) mod wire;

/// Makes openraft's clients for the other nodes.
#[derive(Clone)]
pub struct NetworkFactory {
    peers: Peers,
}

impl NetworkFactory {
    /// Over the connections of `peers`.
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }

    fn client(&self, target: NodeId, node: &Member, append_lane: Lane) -> Network {
        Network {
            peers: self.peers.clone(),
            target,
            node: node.clone(),
            append_lane,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.client(target, node, Lane::Log)
    }

    /// Heartbeats have a short deadline and must not wait behind megabytes of entries.
    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.client(target, node, Lane::Calls)
    }
}

/// openraft's client for one node.
pub struct Network {
    peers: Peers,
    target: NodeId,
    node: Member,
    append_lane: Lane,
}

impl Network {
    fn client(
        &self,
        lane: Lane,
    ) -> Result<RaftServiceClient<PeerChannel>, Unreachable<TypeConfig>> {
        self.peers
            .raft_client_on(self.target, Some(&self.node), lane)
            .map_err(|e| Unreachable::new(&e))
    }

    /// One call with the deadline that openraft gives it.
    async fn unary<M, R, F>(
        &self,
        action: RPCTypes,
        message: M,
        option: &RPCOption,
        call: impl FnOnce(RaftServiceClient<PeerChannel>, Request<M>) -> F,
    ) -> Result<R, RPCError<TypeConfig>>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let limit = option.soft_ttl();
        let client = self.client(Lane::Calls)?;
        let mut request = Request::new(message);
        request.set_timeout(limit);
        match tokio::time::timeout(limit, call(client, request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failed(action, limit, &status)),
            Err(_) => Err(self.timed_out(action, limit).into()),
        }
    }

    fn timed_out(&self, action: RPCTypes, limit: Duration) -> Timeout<TypeConfig> {
        Timeout {
            action,
            id: self.peers.own_id().unwrap_or_default(),
            target: self.target,
            timeout: limit,
        }
    }

    /// What a status means to openraft: a network error is tried again at once, an
    /// unreachable node after a pause.
    fn failed(&self, action: RPCTypes, limit: Duration, status: &Status) -> RPCError<TypeConfig> {
        match status.code() {
            Code::DeadlineExceeded => self.timed_out(action, limit).into(),
            Code::Cancelled | Code::Aborted => NetworkError::new(status).into(),
            // No connection, a connection that broke, or a node that refuses: none of it
            // is over at once.
            _ => Unreachable::new(status).into(),
        }
    }
}

/// An answer that can't be understood.
fn malformed(error: &(impl std::error::Error + 'static)) -> RPCError<TypeConfig> {
    Unreachable::new(error).into()
}

impl NetBackoff<TypeConfig> for Network {
    /// The pause is an option (`options.rs`), not a property of the transport.
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<TypeConfig> for Network {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::vote_request_to_proto(&rpc);
        let response = self
            .unary(
                RPCTypes::Vote,
                request,
                &option,
                |mut client, request| async move { client.vote(request).await },
            )
            .await?;
        wire::vote_response_from_proto(&response).map_err(|e| malformed(&e))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::vote_request_to_proto(&rpc);
        let response = self
            .unary(
                RPCTypes::Vote,
                request,
                &option,
                |mut client, request| async move { client.pre_vote(request).await },
            )
            .await?;
        wire::vote_response_from_proto(&response).map_err(|e| malformed(&e))
    }
}

impl NetTransferLeader<TypeConfig> for Network {
    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::transfer_request_to_proto(&rpc);
        let response = self
            .unary(
                RPCTypes::TransferLeader,
                request,
                &option,
                |mut client, request| async move { client.transfer_leader(request).await },
            )
            .await?;
        Ok(wire::transfer_response_from_proto(&response, &rpc))
    }
}

impl NetStreamAppend<TypeConfig> for Network {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>,
            RPCError<TypeConfig>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(append::stream_append(self, input, option))
    }
}

impl NetSnapshot<TypeConfig> for Network {
    type SnapshotData = SnapshotDir;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotDir>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        snapshot::send(self, vote, snapshot, cancel).await
    }
}
