//! The door for nodes that are not members yet. Whether they may come in is for the handler
//! to say; here is only what keeps the door from being blocked.

use std::sync::Arc;

use bytes::Bytes;
use tenure_proto::internal::{
    ChallengeRequest, ChallengeResponse, JoinRequest, JoinResponse,
    join_service_server::JoinService,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Extensions, Request, Response, Status};

use super::{PeerHandler, PeerIdentity, PeerKey};
use crate::limits::{FORMAT, JOIN_CALLS_MAX};

pub(super) struct Service {
    handler: Arc<dyn PeerHandler>,
    calls: Semaphore,
}

impl Service {
    pub(super) fn new(handler: Arc<dyn PeerHandler>) -> Self {
        Self {
            handler,
            calls: Semaphore::new(JOIN_CALLS_MAX),
        }
    }

    fn enter(&self) -> Result<SemaphorePermit<'_>, Status> {
        self.calls
            .try_acquire()
            .map_err(|_| Status::resource_exhausted("too many nodes want to join: try again"))
    }
}

fn key_of(extensions: &Extensions) -> Result<Bytes, Status> {
    match extensions.get::<PeerKey>() {
        Some(PeerKey(key)) => Ok(key.clone()),
        None => Err(Status::unauthenticated("the connection has no proven key")),
    }
}

#[tonic::async_trait]
impl JoinService for Service {
    async fn challenge(
        &self,
        request: Request<ChallengeRequest>,
    ) -> Result<Response<ChallengeResponse>, Status> {
        let _entered = self.enter()?;
        let challenge = self
            .handler
            .challenge(key_of(request.extensions())?)
            .await?;
        Ok(Response::new(challenge))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let _entered = self.enter()?;
        let key = key_of(request.extensions())?;
        let member = request
            .extensions()
            .get::<PeerIdentity>()
            .map(|identity| identity.node_id);
        let request = request.into_inner();
        if request.format == 0 || request.format > FORMAT {
            return Err(Status::failed_precondition(format!(
                "the joining node has format {}, this node reads 1 to {FORMAT}: \
                 upgrade the older of the two",
                request.format
            )));
        }
        // Only a member may speak for another key.
        if member.is_none() && !request.forwarded_public_key.is_empty() {
            return Err(Status::permission_denied(
                "only a member passes on the wish of another node to join",
            ));
        }
        let joined = self.handler.join(key, member, request).await?;
        Ok(Response::new(joined))
    }
}
