//! Sends a snapshot: header, files in chunks, end. Nothing of a file is read before the
//! transport has room for it, and never on the reactor (`crate::snapshot::export`).

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, future::BoxFuture, pin_mut, stream::BoxStream};
use openraft::{
    RPCTypes, StorageError,
    errors::{ErrorSource, ReplicationClosed, StreamingError},
    raft::SnapshotResponse,
    type_config::alias::{ErrorSourceOf, SnapshotOf},
};
use tenure_proto::internal::{self, SnapshotChunk};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic::{Response, Status};

use super::{Network, malformed, wire};
use crate::{
    limits::{SNAPSHOT_IDLE_MS, SNAPSHOT_INSTALL_MS},
    peers::Lane,
    snapshot::{SnapshotDir, export, header},
    types::{TypeConfig, Vote},
};

/// Sends `snapshot` and waits until the target has installed it, or has refused it for a
/// higher vote.
pub(super) async fn send(
    network: &Network,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, SnapshotDir>,
    cancel: impl Future<Output = ReplicationClosed> + Send,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let cluster_id = network.peers.cluster_id().unwrap_or_default();
    let header = header(&snapshot.snapshot, cluster_id, &vote);
    let (progress, watch_progress) = watch::channel(Progress::Sending(0));
    let read_error = Arc::new(Mutex::new(None));
    let chunks = Chunks {
        inner: Some(export(snapshot.snapshot, header).boxed()),
        sent: 0,
        progress,
        read_error: read_error.clone(),
    };
    let mut client = network.client(Lane::Snapshot)?;
    let outcome = {
        // Boxed with its lifetime said, or the compiler can't prove that it is `Send`.
        let mut call: BoxFuture<'static, Result<Response<internal::SnapshotResponse>, Status>> =
            Box::pin(async move { client.install_snapshot(chunks).await });
        pin_mut!(cancel);
        tokio::select! {
            closed = &mut cancel => Err(Outcome::Closed(closed)),
            answer = &mut call => answer.map_err(|status| Outcome::Failed(Box::new(status))),
            limit = stalled(watch_progress) => Err(Outcome::Stalled(limit)),
        }
    };
    // A file that can't be read ends the stream; the target's complaint about that is not
    // the cause.
    let read_error = read_error
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(error) = read_error {
        return Err(StorageError::read_snapshot(
            None,
            ErrorSourceOf::<TypeConfig>::from_error(&error),
        )
        .into());
    }
    conclude(network, outcome)
}

enum Outcome {
    Closed(ReplicationClosed),
    Failed(Box<Status>),
    Stalled(Duration),
}

fn conclude(
    network: &Network,
    outcome: Result<Response<internal::SnapshotResponse>, Outcome>,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    match outcome {
        Ok(response) => wire::snapshot_response_from_proto(&response.into_inner())
            .map_err(|e| malformed(&e).into()),
        Err(Outcome::Closed(closed)) => Err(closed.into()),
        Err(Outcome::Failed(status)) => {
            let limit = Duration::from_millis(SNAPSHOT_IDLE_MS);
            Err(network
                .failed(RPCTypes::InstallSnapshot, limit, &status)
                .into())
        }
        Err(Outcome::Stalled(limit)) => {
            Err(network.timed_out(RPCTypes::InstallSnapshot, limit).into())
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// So many chunks were taken by the transport.
    Sending(u64),
    /// All were; the target installs now.
    Sent,
}

/// Returns when nothing has moved for the time that the current phase allows.
async fn stalled(mut progress: watch::Receiver<Progress>) -> Duration {
    loop {
        let limit = Duration::from_millis(match *progress.borrow_and_update() {
            Progress::Sending(_) => SNAPSHOT_IDLE_MS,
            Progress::Sent => SNAPSHOT_INSTALL_MS,
        });
        let deadline = Instant::now() + limit;
        tokio::select! {
            () = sleep_until(deadline) => return limit,
            changed = progress.changed() => {
                if changed.is_err() {
                    // The transport let go of the stream: the call itself ends soon.
                    sleep_until(deadline).await;
                    return limit;
                }
            }
        }
    }
}

/// The exported chunks as the transport takes them.
struct Chunks {
    inner: Option<BoxStream<'static, io::Result<SnapshotChunk>>>,
    sent: u64,
    progress: watch::Sender<Progress>,
    read_error: Arc<Mutex<Option<io::Error>>>,
}

impl Stream for Chunks {
    type Item = SnapshotChunk;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SnapshotChunk>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_next_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(chunk))) => {
                self.sent += 1;
                self.progress.send_replace(Progress::Sending(self.sent));
                Poll::Ready(Some(chunk))
            }
            Poll::Ready(Some(Err(error))) => {
                *self
                    .read_error
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.inner = None;
                // The stream ends without its end mark: the target throws it away.
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.inner = None;
                self.progress.send_replace(Progress::Sent);
                Poll::Ready(None)
            }
        }
    }
}
