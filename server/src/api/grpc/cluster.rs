//! ClusterService. What each asks of policies, `core::token::Administer` says; Join is of a node that belongs to no cluster.

use std::time::Duration;

use tenure_core::{
    token::{Administer, authorize},
    types::UnixMillis,
};
use tenure_proto::v1;
use tenure_raft::node::{HandOverError, JoinCredential, JoinError, RemoveError};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Services,
    convert::{timestamp, ttl},
};
use crate::{
    error::Error,
    expiration::hold_of,
    listen::Applied,
    pipeline::{Access, Call, Pipeline, Planned, Scope, StateView},
    seal,
};

/// Lifetime of a join token for which none was asked.
const JOIN_TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// The longest lifetime of a join token.
const JOIN_TOKEN_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Most addresses that one join tries.
const JOIN_ADDRESSES_MAX: usize = 16;

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for Services {
    async fn get_cluster_status(
        &self,
        request: Request<v1::GetClusterStatusRequest>,
    ) -> Result<Response<v1::GetClusterStatusResponse>, Status> {
        self.pipeline.call(request).await
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        self.pipeline.call(request).await
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let call = request.into_inner();
        let addresses = match call.leader_api_address.as_str() {
            "" => call.peer_addresses,
            _ if self.pipeline.node.is_initialized() => {
                return Err(join_error(&JoinError::Initialized).into());
            }
            leader => vec![seal::peer_address_of(leader).await?],
        };
        let fits = (1..=JOIN_ADDRESSES_MAX).contains(&addresses.len())
            && addresses.iter().all(|a| (3..=255).contains(&a.len()));
        if !fits {
            let message = format!("peer_addresses: 1 to {JOIN_ADDRESSES_MAX} of host:port");
            return Err(Error::invalid_argument(message).into());
        }
        if call.join_token.is_empty() {
            self.sealer.join_by_quorum(addresses).await?;
            return Ok(Response::new(v1::JoinResponse { node_id: None }));
        }
        let token = JoinCredential::Token(Zeroizing::new(call.join_token).into());
        let joined = self.pipeline.node.join(&addresses, &token).await;
        joined.map_err(|error| Status::from(join_error(&error)))?;
        let node_id = self.pipeline.node.id();
        Ok(Response::new(v1::JoinResponse { node_id }))
    }

    async fn remove_peer(
        &self,
        request: Request<v1::RemovePeerRequest>,
    ) -> Result<Response<v1::RemovePeerResponse>, Status> {
        self.pipeline.call(request).await
    }

    async fn step_down(
        &self,
        request: Request<v1::StepDownRequest>,
    ) -> Result<Response<v1::StepDownResponse>, Status> {
        self.pipeline.call(request).await
    }

    async fn get_metrics(
        &self,
        request: Request<v1::GetMetricsRequest>,
    ) -> Result<Response<v1::GetMetricsResponse>, Status> {
        self.pipeline.call(request).await
    }
}

impl Call for v1::GetMetricsRequest {
    const METHOD: &'static str = "/tenure.v1.ClusterService/GetMetrics";
    const ACCESS: Access = Access::Here;
    type Answer = v1::GetMetricsResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        administer(scope, Administer::ShowMetrics)
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        _deadline: Instant,
        _answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        let text = pipeline.metrics.encode();
        let text = text.map_err(|_| Error::internal("the metrics can't be written"))?;
        Ok(v1::GetMetricsResponse { text })
    }
}

/// What a failed join says to its caller.
pub fn join_error(error: &JoinError) -> Error {
    let (code, reason) = match error {
        JoinError::Initialized => (Code::FailedPrecondition, "ALREADY_INITIALIZED"),
        JoinError::Malformed => (Code::InvalidArgument, "INVALID_JOIN_TOKEN"),
        JoinError::Unreachable(_) => (Code::Unavailable, "NO_MEMBER_REACHED"),
        JoinError::Refused(_) => (Code::PermissionDenied, "JOIN_REFUSED"),
        JoinError::WrongQuorum => (Code::InvalidArgument, "WRONG_SHARES"),
        JoinError::Start(_) => (Code::Internal, "JOIN_FAILED"),
    };
    Error::new(code, reason, error.to_string())
}

/// What is allowed here is done beside the state, and answered there.
fn administer<A: Default>(scope: &Scope<'_>, action: Administer) -> Result<Planned<A>, Error> {
    authorize(scope.context, scope.caller, action)?;
    Ok(Planned::answer(A::default()))
}

impl Call for v1::GetClusterStatusRequest {
    const METHOD: &'static str = "/tenure.v1.ClusterService/GetClusterStatus";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetClusterStatusResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let look = match v1::ClusterLook::try_from(self.look) {
            Ok(v1::ClusterLook::Unspecified) => Administer::ShowMembers,
            Ok(v1::ClusterLook::Ha) => Administer::ShowHa,
            Ok(v1::ClusterLook::Health) => Administer::ShowHealth,
            Ok(v1::ClusterLook::Watch) => Administer::ShowWatch,
            Err(_) => return Err(Error::invalid_argument("look: unknown")),
        };
        administer(scope, look)
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        _deadline: Instant,
        _answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        let status = pipeline.node.status().ok_or_else(Error::not_initialized)?;
        let held = hold_of(&StateView(pipeline.node.view()?))?;
        let skew = status.clock_skew_ms;
        let members = status.members.into_iter().map(|known| v1::Member {
            node_id: known.id,
            name: known.member.name,
            peer_address: known.member.peer_address,
            api_address: known.member.api_address,
            role: if known.voter {
                v1::MemberRole::Voter.into()
            } else {
                v1::MemberRole::Learner.into()
            },
            leader: known.leader,
            active: known.leader && known.unsealed == Some(true),
            state: known.unsealed.map(|unsealed| v1::MemberState {
                sealed: !unsealed,
                applied_index: known.applied_index.unwrap_or(0),
                clock_skew: (known.id == status.id).then(|| prost_types::Duration {
                    seconds: skew / 1_000,
                    nanos: i32::try_from(skew % 1_000 * 1_000_000).unwrap_or(0),
                }),
                version: known.version.unwrap_or_default(),
            }),
        });
        Ok(v1::GetClusterStatusResponse {
            cluster_id: pipeline
                .node
                .cluster_id()
                .map_or_else(String::new, hex::encode),
            cluster_name: pipeline.cluster_name.clone(),
            members: members.collect(),
            term: status.term,
            committed_index: status.committed_index,
            cluster_time: Some(timestamp(UnixMillis::new(status.cluster_time_ms))),
            expiration_held_since: held.map(timestamp),
        })
    }
}

impl Call for v1::CreateJoinTokenRequest {
    const METHOD: &'static str = "/tenure.v1.ClusterService/CreateJoinToken";
    const ACCESS: Access = Access::Write;
    type Answer = v1::CreateJoinTokenResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        administer(scope, Administer::MintJoinToken)
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        deadline: Instant,
        _answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        let ttl = match ttl("ttl", self.ttl.as_ref())?.asked() {
            None => JOIN_TOKEN_TTL_DEFAULT,
            Some(asked) => Duration::from_secs(asked.as_seconds()),
        };
        if ttl > JOIN_TOKEN_TTL_MAX {
            return Err(Error::invalid_argument("ttl: at most 24 hours"));
        }
        let now = pipeline.node.cluster_time_ms();
        let token = pipeline.node.mint_join_token(ttl, deadline).await?;
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Ok(v1::CreateJoinTokenResponse {
            join_token: token.to_string(),
            expire_time: Some(timestamp(UnixMillis::new(now.saturating_add(ms)))),
        })
    }
}

impl Call for v1::RemovePeerRequest {
    const METHOD: &'static str = "/tenure.v1.ClusterService/RemovePeer";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RemovePeerResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        administer(scope, Administer::RemoveMember)
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        deadline: Instant,
        answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        use v1::remove_peer_request::Peer;
        let status = pipeline.node.status().ok_or_else(Error::not_initialized)?;
        let id = match &self.peer {
            None => return Err(Error::invalid_argument("peer: missing")),
            Some(Peer::NodeId(id)) => Some(*id),
            Some(Peer::Name(name)) => status
                .members
                .iter()
                .find(|known| known.member.name == *name)
                .map(|known| known.id),
        };
        let id = id.ok_or_else(|| remove_error(&RemoveError::Unknown))?;
        match tokio::time::timeout_at(deadline, pipeline.node.remove(id)).await {
            Ok(Ok(())) => Ok(answer),
            Ok(Err(error)) => Err(remove_error(&error)),
            Err(_) => Err(Error::deadline(Applied::Maybe)),
        }
    }
}

fn remove_error(error: &RemoveError) -> Error {
    let (code, reason) = match error {
        RemoveError::NotLeader => return Error::no_active_node(),
        RemoveError::Leader => (Code::FailedPrecondition, "LEADER"),
        RemoveError::Unknown => (Code::NotFound, "NO_SUCH_MEMBER"),
        RemoveError::Failed(_) => (Code::FailedPrecondition, "NOT_REMOVED"),
    };
    let mut refusal = Error::new(code, reason, error.to_string());
    if let RemoveError::Failed(_) = error {
        // The first of two steps may be committed.
        refusal.applied = Applied::Maybe;
    }
    refusal
}

impl Call for v1::StepDownRequest {
    const METHOD: &'static str = "/tenure.v1.ClusterService/StepDown";
    const ACCESS: Access = Access::Write;
    type Answer = v1::StepDownResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        administer(scope, Administer::StepDown)
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        _deadline: Instant,
        answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        // Nobody is there to hand over to, and nobody waits for it.
        if pipeline
            .node
            .status()
            .is_some_and(|status| status.members.len() == 1)
        {
            return Ok(answer);
        }
        // A task of its own: a hand-over isn't broken off when its caller goes.
        let node = pipeline.node.clone();
        let handed = tokio::spawn(async move { node.hand_over(None).await });
        let handed = handed.await.unwrap_or(Err(HandOverError::Failed));
        let (code, reason) = match &handed {
            Ok(_) => return Ok(answer),
            Err(HandOverError::NotLeader) => return Err(Error::no_active_node()),
            Err(HandOverError::NoTarget) => (Code::FailedPrecondition, "NO_TARGET"),
            Err(HandOverError::Busy) => (Code::FailedPrecondition, "HAND_OVER_UNDER_WAY"),
            Err(HandOverError::Failed) => (Code::Unavailable, "HAND_OVER_FAILED"),
        };
        let message = handed
            .err()
            .map_or_else(String::new, |error| error.to_string());
        Err(Error::new(code, reason, message))
    }
}
