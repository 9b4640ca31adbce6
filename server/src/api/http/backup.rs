//! `sys/storage/raft/snapshot`, streamed both ways, and `sys/expiration/resume`. The body is the
//! file itself, as over gRPC.

use std::sync::Arc;

use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use serde_json::json;
use tenure_proto::v1;
use tonic::{Status, body::Body};

use super::{
    Caller, HttpCall, Replying,
    body::Input,
    envelope::Reply,
    route::{Route, read, write},
    time,
};
use crate::{
    api::grpc::Services,
    backup::{self, File},
    error::Error,
    pipeline::Context,
};

const SNAPSHOT: &str = "/v1/sys/storage/raft/snapshot";
const FORCE: &str = "/v1/sys/storage/raft/snapshot-force";

/// What serves a route whose bodies are files.
pub type Streamed = fn(Arc<Services>, Caller, Body) -> Replying;

/// The routes whose bodies are files.
pub const STREAMED: [(Route, Streamed); 3] = [
    (read(SNAPSHOT), |services, caller, _| {
        Box::pin(save(services, caller))
    }),
    (write(SNAPSHOT), |services, caller, body| {
        Box::pin(restore(services, caller, body, false))
    }),
    (write(FORCE), |services, caller, body| {
        Box::pin(restore(services, caller, body, true))
    }),
];

async fn save(services: Arc<Services>, caller: Caller) -> Result<Reply, Status> {
    let request = caller.request(v1::SaveSnapshotRequest {});
    services.pipeline.admit(&request)?;
    let context = Context::of(&request, caller.manner())?;
    let frames = backup::save(&services.pipeline, &context).await?;
    let body = StreamBody::new(frames.map(|frame| frame.map(Frame::data)));
    Ok(Reply::file(Body::new(body)))
}

async fn restore(
    services: Arc<Services>,
    caller: Caller,
    body: Body,
    force: bool,
) -> Result<Reply, Status> {
    let options = v1::RestoreOptions { force };
    let request = caller.request(options);
    services.pipeline.admit(&request)?;
    let context = Context::of(&request, caller.manner())?;
    let frames = BodyStream::new(body.map_err(|error| match error.details() {
        [] => Error::invalid_argument("the snapshot could not be read").into(),
        _ => error,
    }));
    let data = frames.filter_map(|frame| async move {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(status) => Some(Err(status)),
        }
    });
    let file: File = Box::pin(data);
    backup::restore(&services.pipeline, options, &context, file).await?;
    Ok(Reply::done())
}

/// Its routes answer with a file.
impl HttpCall for v1::SaveSnapshotRequest {}

impl HttpCall for v1::ResumeExpirationRequest {
    /// Ours alone.
    const ROUTES: &'static [Route] = &[write("/v1/sys/expiration/resume")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data(json!({ "held_since": time(answer.held_since.as_ref()) }))
    }
}
