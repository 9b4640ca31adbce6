//! Passing a call on to the active node, as a typed message on the peer port, once
//! (hop ≤ 1). The token in it is the caller's only identity.
//!
//! **Invariant:** a write is sent at most once. If the answer is lost, the caller is told
//! that it may have been applied.

use std::{
    error::Error as _,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use prost::Message;
use tenure_proto::{
    internal::{
        ForwardRequest, ForwardResponse, ForwardRestoreRequest, forward_restore_request,
        forward_service_client::ForwardServiceClient,
        forward_service_server::{ForwardService, ForwardServiceServer},
    },
    v1,
};
use tenure_raft::{
    limits::{FORMAT, PEER_MESSAGE_BYTES_MAX},
    node::Node,
    peers::PeerChannel,
};
use tokio::time::Instant;
use tonic::{ConnectError, Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::{
    backup::{self, File},
    config::OpenCalls,
    error::Error,
    limits::{RESTORE_IDLE_MS, RESTORE_MS_MAX},
    listen::Applied,
    pipeline::{Access, Call, Context, Pipeline},
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
    let (channel, call) = to_leader(node, method, body, context)?;
    let left = Duration::from_millis(call.timeout_ms);
    let mut request = Request::new(call);
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

/// Passes a restore on to the leader, piece by piece.
///
/// # Errors
/// As [`send`].
pub async fn restore(
    node: &Node,
    options: v1::RestoreOptions,
    context: &Context,
    file: File,
) -> Result<v1::RestoreSnapshotResponse, Status> {
    let (channel, call) = to_leader(
        node,
        v1::RestoreOptions::METHOD,
        options.encode_to_vec().into(),
        context,
    )?;
    // What ends the stream here: the leader sees only that it ended.
    let broken: Arc<OnceLock<Status>> = Arc::default();
    let answered = send_file(channel, call, file, Arc::clone(&broken)).await;
    match answered {
        Ok(answer) => v1::RestoreSnapshotResponse::decode(answer.into_inner().body)
            .map_err(|_| Error::active_node_lost(Applied::Maybe).into()),
        Err(status) => match broken.get() {
            Some(own) => Err(own.clone()),
            None if !status.details().is_empty() => Err(status),
            None if never_sent(&status) => Err(Error::no_active_node().into()),
            None => Err(lost(Access::Write, &status)),
        },
    }
}

/// Sends a call and the file behind it. Why the file ended early, if it did, is left in `broken`.
fn send_file(
    channel: PeerChannel,
    call: ForwardRequest,
    file: File,
    broken: Arc<OnceLock<Status>>,
) -> BoxFuture<'static, Result<Response<ForwardResponse>, Status>> {
    use forward_restore_request::Part;
    let left = Duration::from_millis(call.timeout_ms);
    let data = file.scan((), move |(), piece| {
        std::future::ready(match piece {
            Ok(data) => Some(Part::Data(data)),
            Err(status) => {
                let _ = broken.set(status);
                None
            }
        })
    });
    let parts = stream::iter([Part::Call(call)]).chain(data);
    let parts = parts.map(|part| ForwardRestoreRequest { part: Some(part) });
    let mut request = Request::new(Parts(parts.boxed()));
    request.set_timeout(left);
    let mut client =
        ForwardServiceClient::new(channel).max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    Box::pin(async move { client.forward_restore(request).await })
}

/// A type of its own, or the compiler can't prove that the call is `Send`.
struct Parts(BoxStream<'static, ForwardRestoreRequest>);

impl Stream for Parts {
    type Item = ForwardRestoreRequest;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<ForwardRestoreRequest>> {
        self.0.poll_next_unpin(cx)
    }
}

/// A connection to the leader, and a call as it is passed on.
fn to_leader(
    node: &Node,
    method: &'static str,
    body: Bytes,
    context: &Context,
) -> Result<(PeerChannel, ForwardRequest), Status> {
    let leader = node.leadership().borrow().leader;
    let leader = match leader {
        Some(id) if Some(id) != node.id() => id,
        _ => return Err(Error::no_active_node().into()),
    };
    let channel = node
        .peer_channel(leader)
        .map_err(|_| Status::from(Error::no_active_node()))?;
    let left = context.deadline.saturating_duration_since(Instant::now());
    let call = ForwardRequest {
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
    };
    Ok((channel, call))
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
        let mut request = request.into_inner();
        let context = context_of(&mut request)?;
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

    async fn forward_restore(
        &self,
        request: Request<Streaming<ForwardRestoreRequest>>,
    ) -> Result<Response<ForwardResponse>, Status> {
        use forward_restore_request::Part;
        let mut parts = request.into_inner();
        let malformed = || Status::from(Error::invalid_argument("no restore was passed on"));
        let idle = Duration::from_millis(RESTORE_IDLE_MS);
        let first = tokio::time::timeout(idle, parts.message()).await;
        let first = first.map_err(|_| malformed())??;
        let Some(Part::Call(mut call)) = first.and_then(|first| first.part) else {
            return Err(malformed());
        };
        let context = context_of(&mut call)?;
        let options = v1::RestoreOptions::decode(call.body).map_err(|_| malformed())?;
        let pipeline = self.0.get().ok_or_else(Error::no_active_node)?;
        let file: File = Box::pin(parts.map(move |part| match part?.part {
            Some(Part::Data(data)) => Ok(data),
            _ => Err(malformed()),
        }));
        let span = tracing::info_span!(
            "forwarded",
            method = call.method,
            request_id = context.trace_id,
            peer = context.remote,
        );
        let restored = backup::restore_here(pipeline, options, &context, file);
        let body = restored.instrument(span).await?.encode_to_vec().into();
        Ok(Response::new(ForwardResponse { body }))
    }
}

/// Who made a call that was passed on, and until when it waits.
fn context_of(request: &mut ForwardRequest) -> Result<Context, Status> {
    if request.format > FORMAT {
        return Err(Error::internal("a newer node forwarded a call").into());
    }
    let left = Duration::from_millis(request.timeout_ms);
    // Beyond what any call may take, a node of ours sends nothing.
    let deadline = Instant::now() + left.min(Duration::from_millis(RESTORE_MS_MAX));
    let context = Context::forwarded(
        &request.token,
        std::mem::take(&mut request.remote_address),
        std::mem::take(&mut request.trace_id),
        deadline,
        request.whole,
        OpenCalls {
            rekey: request.open_rekey,
            generate_root: request.open_generate_root,
        },
    )?;
    Ok(context)
}
