//! KeepAlive: each message of the stream is a call of its own, through the pipeline like any
//! other, one after the other. Between them the stream looks whether its token still lives.

use std::{sync::Arc, time::Duration};

use tenure_proto::v1;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Extensions, Request, Status, Streaming, metadata::MetadataMap};

use super::{Leaderless, Outlet};
use crate::{
    error::Error,
    limits::{KEEP_ALIVE_MESSAGE_MS_MAX, STREAM_CHECK_MS},
    listen::Deadline,
    pipeline::{Context, Manner, Pipeline},
};

/// What is sent on a keep-alive stream.
pub type KeepAliveStream = ReceiverStream<Result<v1::KeepAliveResponse, Status>>;

/// Starts a keep-alive stream.
///
/// # Errors
/// The node is sealed, the token isn't valid, or there are too many streams.
pub async fn keep_alive(
    pipeline: Arc<Pipeline>,
    request: Request<Streaming<v1::KeepAliveRequest>>,
) -> Result<KeepAliveStream, Status> {
    let (metadata, extensions, inbound) = request.into_parts();
    // Opening is a request, too: who guesses tokens by it is limited as by any other call.
    let nothing = v1::KeepAliveRequest::default();
    let opening = Request::from_parts(metadata.clone(), extensions.clone(), nothing);
    pipeline.admit(&opening)?;
    let context = Context::of(&opening, Manner::default())?;
    let token = pipeline.known(&context).await?;
    let slot = pipeline.streams.slots.enter(token)?;
    let (outlet, stream) = Outlet::new()?;
    tokio::spawn(async move {
        let ended = run(&pipeline, context, (metadata, extensions), inbound, &outlet).await;
        drop(slot);
        // A watch that ended before this found it open.
        if pipeline.streams.slots.is_empty() {
            pipeline.streams.shared.clear();
        }
        outlet.end(ended);
    });
    Ok(stream)
}

async fn run(
    pipeline: &Pipeline,
    context: Context,
    (metadata, mut extensions): (MetadataMap, Extensions),
    mut inbound: Streaming<v1::KeepAliveRequest>,
    outlet: &Outlet<v1::KeepAliveResponse>,
) -> Result<(), Status> {
    let mut leaderless = Leaderless(None);
    let check = Duration::from_millis(STREAM_CHECK_MS);
    loop {
        let message = tokio::select! {
            biased;
            () = pipeline.streams.stop.cancelled() => return Err(Error::stopping().into()),
            () = outlet.messages.closed() => return Ok(()),
            message = inbound.message() => message,
            () = sleep(check) => {
                pipeline.look(&context, Instant::now() + check, |_| Ok(())).await?;
                leaderless.check(pipeline)?;
                continue;
            }
        };
        // The client has said all it wanted, or is gone.
        let Some(message) = message.map_err(explained)? else {
            return Ok(());
        };
        // Each message is a request like any other, by the stream's token and connection.
        let by = Instant::now() + Duration::from_millis(KEEP_ALIVE_MESSAGE_MS_MAX);
        extensions.insert(Deadline(by));
        let request = Request::from_parts(metadata.clone(), extensions.clone(), message);
        let answer = pipeline.call(request).await?;
        if !outlet.send(answer.into_inner()).await? {
            return Ok(());
        }
    }
}

/// Gives a reason to what the library refuses by itself. The messages before were answered.
fn explained(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let message = "the message can't be decoded";
    Error::new(Code::InvalidArgument, "MALFORMED_MESSAGE", message).into()
}
