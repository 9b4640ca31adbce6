//! Passing a call on to the active node, as a typed message on the peer port, once
//! (hop ≤ 1). The token in it is the caller's only identity.
//!
//! **Invariant:** a write is sent at most once. If the answer is lost, the caller is told
//! that it may have been applied.

use std::{
    error::Error as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tenure_proto::internal::{
    ForwardRequest, ForwardResponse,
    forward_service_client::ForwardServiceClient,
    forward_service_server::{ForwardService, ForwardServiceServer},
};
use tenure_raft::{
    limits::{FORMAT, PEER_MESSAGE_BYTES_MAX},
    node::Node,
};
use tokio::time::Instant;
use tonic::{ConnectError, Request, Response, Status};
use tracing::Instrument;

use crate::{
    config::OpenCalls,
    error::Error,
    listen::Applied,
    pipeline::{Access, Context, Pipeline},
};

/// Sends a call to the leader and gives back its encoded answer.
///
/// # Errors
/// The leader's own error, or UNAVAILABLE with whether the call may have been applied.
pub async fn send(
    node: &Node,
    method: &'static str,
    access: Access,
    body: Bytes,
    context: &Context,
) -> Result<Bytes, Status> {
    let leader = node.leadership().borrow().leader;
    let leader = match leader {
        Some(id) if Some(id) != node.id() => id,
        _ => return Err(Error::no_active_node().into()),
    };
    let channel = node
        .peer_channel(leader)
        .map_err(|_| Status::from(Error::no_active_node()))?;
    let left = context.deadline.saturating_duration_since(Instant::now());
    let mut request = Request::new(ForwardRequest {
        format: FORMAT,
        method: method.to_owned(),
        body,
        token: context.token_bytes(),
        remote_address: context.remote.clone(),
        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        trace_id: context.trace_id.clone(),
        whole: context.manner.whole,
        open_rekey: context.open_calls.rekey,
        open_generate_root: context.open_calls.generate_root,
    });
    request.set_timeout(left);
    let mut client = ForwardServiceClient::new(channel)
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    match tokio::time::timeout(left, client.forward(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().body),
        // The leader decided: its word stands. Without details it was the transport's.
        Ok(Err(status)) if !status.details().is_empty() => Err(status),
        Ok(Err(status)) if never_sent(&status) => Err(Error::no_active_node().into()),
        Ok(Err(status)) => Err(lost(access, &status)),
        Err(_) => Err(Error::deadline(maybe(access)).into()),
    }
}

/// Whether the transport says that the call did not leave this node: there was no
/// connection, or it ended before it took the call.
fn never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        let unsent = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if unsent || error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn maybe(access: Access) -> Applied {
    match access {
        Access::Read | Access::Here => Applied::No,
        Access::Write => Applied::Maybe,
    }
}

fn lost(access: Access, status: &Status) -> Status {
    tracing::debug!(code = ?status.code(), "the active node did not answer a forwarded call");
    Error::active_node_lost(maybe(access)).into()
}

/// The receiving side, on the active node. The pipeline comes once it is made.
pub struct Receiver(pub Arc<OnceLock<Arc<Pipeline>>>);

impl Receiver {
    /// The service for the peer port.
    pub fn service(self) -> ForwardServiceServer<Self> {
        ForwardServiceServer::new(self)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl ForwardService for Receiver {
    async fn forward(
        &self,
        request: Request<ForwardRequest>,
    ) -> Result<Response<ForwardResponse>, Status> {
        let request = request.into_inner();
        if request.format > FORMAT {
            return Err(Error::internal("a newer node forwarded a call").into());
        }
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
        let context = Context::forwarded(
            &request.token,
            request.remote_address,
            request.trace_id,
            deadline,
            request.whole,
            OpenCalls {
                rekey: request.open_rekey,
                generate_root: request.open_generate_root,
            },
        )?;
        let pipeline = self.0.get().ok_or_else(Error::no_active_node)?;
        let span = tracing::info_span!(
            "forwarded",
            method = request.method,
            request_id = context.trace_id,
            peer = context.remote,
        );
        let call = pipeline.call_by_name(&request.method, request.body, context);
        let body = call.instrument(span).await?;
        Ok(Response::new(ForwardResponse { body }))
    }
}
