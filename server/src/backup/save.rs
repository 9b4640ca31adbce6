//! Saving: authorized like a read, from a state that shows every acknowledged write, streamed
//! while the node goes on. Memory stays small at any size.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tenure_proto::v1;
use tenure_raft::{
    backup::{self, SaveError},
    reads::Consistency,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tonic::{Code, Status};

use crate::{
    error::Error,
    limits::{SAVE_MS_MAX, SAVES_MAX},
    pipeline::{Context, Pipeline},
};

/// The bytes of a file, a frame at a time.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Snapshots that a node streams at a time: each pins old versions of the state.
#[derive(Clone, Debug)]
pub struct Saves(Arc<Semaphore>);

impl Default for Saves {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SAVES_MAX)))
    }
}

/// Streams a snapshot to a caller who may have it.
///
/// # Errors
/// The refusal that the caller sees.
pub async fn save(pipeline: &Pipeline, context: &Context) -> Result<Frames, Status> {
    pipeline.serve(v1::SaveSnapshotRequest {}, context).await?;
    let turn = Arc::clone(&pipeline.saves.0).try_acquire_owned();
    let turn = turn.map_err(|_| {
        let message = format!("this node streams {SAVES_MAX} snapshots already");
        Status::from(Error::new(Code::ResourceExhausted, "OVERLOADED", message))
    })?;
    let read = pipeline.node.read(Consistency::Lease, context.deadline);
    let (view, _) = read.await.map_err(Error::from)?;
    let cluster_id = pipeline.node.cluster_id();
    let cluster_id = cluster_id.ok_or_else(Error::not_initialized)?;
    tracing::info!(
        revision = view.revision(),
        remote = context.remote,
        request_id = context.trace_id,
        "a snapshot is saved"
    );
    let end = Instant::now() + Duration::from_millis(SAVE_MS_MAX);
    // The turn goes with the view: a receiver that looks away keeps neither.
    let frames = backup::save(view, cluster_id, turn).map(|frame| frame.map_err(broken_off));
    let late = stream::once(async move {
        sleep_until(end).await;
        let message = "saving the snapshot took too long";
        Err(Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).into())
    });
    let state = (frames, Box::pin(late), false);
    let bounded = stream::unfold(state, |(mut frames, mut late, over)| async move {
        if over {
            return None;
        }
        let (item, over) = tokio::select! {
            biased;
            item = frames.next() => (item?, false),
            item = late.next() => (item?, true),
        };
        let over = over || item.is_err();
        Some((item, (frames, late, over)))
    });
    Ok(Box::pin(bounded))
}

fn broken_off(error: SaveError) -> Status {
    tracing::warn!(%error, "saving a snapshot broke off");
    let message = "the snapshot broke off: the state was replaced or can't be read";
    Error::new(Code::Aborted, "SNAPSHOT_BROKEN_OFF", message).into()
}
