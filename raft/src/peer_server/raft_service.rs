//! `RaftService`: hands what members send to openraft.
//!
//! A member speaks for itself alone: votes and leaderships in a message must be the
//! caller's own.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use openraft::{async_runtime::WatchReceiver, raft::AppendEntriesRequest};
use tenure_proto::internal::{
    AppendRequest, AppendResponse, HandOverRequest, HandOverResponse, PeerStatusRequest,
    PeerStatusResponse, ReadIndexRequest, ReadIndexResponse, SnapshotChunk, SnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    raft_service_server::RaftService,
};
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::{PeerHandler, PeerIdentity, PeerKey, RaftHandle, receive::Receiver};
use crate::{
    codec::{CodecError, stored_membership_to_proto},
    network::wire,
    peers::Peers,
    types::{NodeId, TypeConfig, Vote},
};

pub(super) struct Service {
    handler: Arc<dyn PeerHandler>,
    peers: Peers,
    receiver: Receiver,
}

/// The caller of one request or stream; asked again for each message of a stream.
#[derive(Clone)]
pub(super) struct Caller {
    peers: Peers,
    key: PeerKey,
    pub(super) node_id: NodeId,
}

impl Caller {
    /// Fails once the caller's key has left the membership.
    pub(super) fn check(&self) -> Result<(), Status> {
        if self.peers.member_by_key(&self.key.0) == Some(self.node_id) {
            Ok(())
        } else {
            Err(Status::permission_denied(
                "this key belongs to no member of the cluster any more",
            ))
        }
    }

    /// Fails for a vote of somebody else.
    pub(super) fn owns(&self, vote: &Vote) -> Result<(), Status> {
        if vote.leader_id.voted_for == self.node_id {
            Ok(())
        } else {
            Err(Status::permission_denied(format!(
                "node {} can't speak for node {}",
                self.node_id, vote.leader_id.voted_for
            )))
        }
    }
}

impl Service {
    pub(super) fn new(handler: Arc<dyn PeerHandler>, peers: Peers) -> Self {
        Self {
            handler,
            peers,
            receiver: Receiver::default(),
        }
    }

    fn caller(&self, extensions: &Extensions) -> Result<Caller, Status> {
        // The guard let the request through, so both are there.
        match (
            extensions.get::<PeerIdentity>(),
            extensions.get::<PeerKey>(),
        ) {
            (Some(identity), Some(key)) => Ok(Caller {
                peers: self.peers.clone(),
                key: key.clone(),
                node_id: identity.node_id,
            }),
            _ => Err(Status::unauthenticated("the caller is not known")),
        }
    }

    fn raft(&self) -> Result<RaftHandle, Status> {
        self.handler
            .raft()
            .ok_or_else(|| Status::unavailable("this node belongs to no cluster yet"))
    }

    fn vote_request(
        &self,
        request: &Request<VoteRequest>,
    ) -> Result<openraft::raft::VoteRequest<TypeConfig>, Status> {
        if !self.handler.votes_allowed() {
            return Err(Status::unavailable(
                "this node has just started and doesn't vote yet",
            ));
        }
        let rpc = wire::vote_request_from_proto(request.get_ref()).map_err(invalid)?;
        self.caller(request.extensions())?.owns(&rpc.vote)?;
        Ok(rpc)
    }
}

/// A message that can't be understood.
pub(super) fn invalid(error: CodecError) -> Status {
    match error {
        CodecError::NewerFormat { .. } => Status::failed_precondition(error.to_string()),
        _ => Status::invalid_argument(error.to_string()),
    }
}

/// openraft has stopped.
pub(super) fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped on this node: {error}"))
}

/// The requests of an append stream up to the first that can't be accepted; why that is, is
/// left in `failure`.
fn accepted_requests(
    inbound: Streaming<AppendRequest>,
    caller: Caller,
    failure: tokio::sync::oneshot::Sender<Status>,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    stream::unfold(Some((inbound, caller, failure)), |state| async move {
        let (mut inbound, caller, failure) = state?;
        let accept = |message: AppendRequest| {
            caller.check()?;
            let rpc = wire::append_request_from_proto(message).map_err(invalid)?;
            caller.owns(&rpc.vote)?;
            if !rpc.vote.committed {
                return Err(Status::invalid_argument("only a leader appends"));
            }
            Ok(rpc)
        };
        let next = match inbound.message().await {
            Ok(Some(message)) => accept(message),
            Ok(None) => return None,
            Err(status) => Err(status),
        };
        match next {
            Ok(rpc) => Some((rpc, Some((inbound, caller, failure)))),
            Err(status) => {
                // When nobody waits for the reason, the caller has gone.
                let _ = failure.send(status);
                None
            }
        }
    })
}

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let raft = self.raft()?;
        let caller = self.caller(request.extensions())?;
        let (failure, failed) = tokio::sync::oneshot::channel();
        let requests = accepted_requests(request.into_inner(), caller, failure);
        let answers = raft.stream_append(requests).map(|result| match result {
            Ok(result) => Ok(wire::append_response_to_proto(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        // After the answers to all that was accepted: why the rest wasn't.
        let reason = stream::once(failed).filter_map(async |status| status.ok().map(Err));
        Ok(Response::new(Box::pin(answers.chain(reason))))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let rpc = self.vote_request(&request)?;
        let response = self.raft()?.vote(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response_to_proto(&response)))
    }

    async fn pre_vote(
        &self,
        request: Request<VoteRequest>,
    ) -> Result<Response<VoteResponse>, Status> {
        let rpc = self.vote_request(&request)?;
        let response = self.raft()?.pre_vote(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response_to_proto(&response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let rpc = wire::transfer_request_from_proto(request.get_ref()).map_err(invalid)?;
        self.caller(request.extensions())?.owns(rpc.from_leader())?;
        let response = self
            .raft()?
            .handle_transfer_leader(rpc)
            .await
            .map_err(stopped)?;
        Ok(Response::new(wire::transfer_response_to_proto(&response)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        let raft = self.raft()?;
        let caller = self.caller(request.extensions())?;
        let cluster_id = self
            .handler
            .cluster_id()
            .ok_or_else(|| Status::unavailable("this node belongs to no cluster yet"))?;
        let vote = self
            .receiver
            .receive(
                &raft,
                self.handler.data_dir(),
                cluster_id,
                &caller,
                request.into_inner(),
            )
            .await?;
        Ok(Response::new(wire::snapshot_response_to_proto(&vote)))
    }

    async fn read_index(
        &self,
        _request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexResponse>, Status> {
        self.handler.read_index().await.map(Response::new)
    }

    async fn status(
        &self,
        _request: Request<PeerStatusRequest>,
    ) -> Result<Response<PeerStatusResponse>, Status> {
        let mut status = self.handler.status().await;
        // For members whose own log is behind: they may not know the leader yet.
        status.membership = self.handler.raft().map(|raft| {
            let metrics = raft.server_metrics();
            let stored = metrics.borrow_watched().membership_config.clone();
            stored_membership_to_proto(&stored)
        });
        Ok(Response::new(status))
    }

    async fn request_hand_over(
        &self,
        request: Request<HandOverRequest>,
    ) -> Result<Response<HandOverResponse>, Status> {
        let from = self.caller(request.extensions())?.node_id;
        let response = self.handler.hand_over(from, request.into_inner()).await?;
        Ok(Response::new(response))
    }
}
