//! A pinned state as the frames of a backup. A thread that may block reads, and waits while the
//! receiver is slow: a frame or two are in memory at any size. It changes nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use tenure_proto::internal::{BackupHeader, BackupRecord};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::format::{Encoder, RECORDS_TAG};
use crate::{
    limits::{BACKUP_FRAME_BYTES, BACKUP_FRAMES_QUEUED, BACKUP_IDLE_MS},
    view::{View, ViewError},
};

/// Why a backup broke off.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The state can't be read, or was replaced meanwhile.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The receiver was too slow, or what reads failed.
    #[error("the backup broke off before its end")]
    BrokenOff,
}

type Frames = mpsc::Sender<Bytes>;

/// Streams the records of a pinned state as the bytes of a file, a frame at a time. Without its
/// last frame a file isn't whole, so that one that broke off is found out. `turn` is dropped with the
/// view, whether anybody still looks at the stream or not. Must be called on the runtime.
pub fn save<T: Send + 'static>(
    view: View,
    cluster_id: [u8; 16],
    turn: T,
) -> impl Stream<Item = Result<Bytes, SaveError>> + Send + Unpin + use<T> {
    save_within(
        Duration::from_millis(BACKUP_IDLE_MS),
        view,
        cluster_id,
        turn,
    )
}

/// The same for a receiver that may wait for so long before it takes the next frame.
pub(crate) fn save_within<T: Send + 'static>(
    idle: Duration,
    view: View,
    cluster_id: [u8; 16],
    turn: T,
) -> impl Stream<Item = Result<Bytes, SaveError>> + Send + Unpin + use<T> {
    let (frames, queue) = mpsc::channel(BACKUP_FRAMES_QUEUED);
    let runtime = Handle::current();
    let sending = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        send_all(&view, cluster_id, idle, &frames, &runtime)
    });
    // Behind the frames, and not among them: a queue that is full would lose it, and the stream end
    // as if it were whole.
    let ended = async move {
        match sending.await {
            Ok(Ok(())) => None,
            Ok(Err(Stopped::Failed(error))) => Some(Err(error)),
            Ok(Err(Stopped::Gone)) | Err(_) => Some(Err(SaveError::BrokenOff)),
        }
    };
    let ended = stream::once(Box::pin(ended)).filter_map(future::ready);
    ReceiverStream::new(queue).map(Ok).chain(ended)
}

enum Stopped {
    /// Nobody receives any more, or not in time.
    Gone,
    Failed(SaveError),
}

impl From<ViewError> for Stopped {
    fn from(error: ViewError) -> Self {
        Self::Failed(error.into())
    }
}

fn send_all(
    view: &View,
    cluster_id: [u8; 16],
    idle: Duration,
    frames: &Frames,
    runtime: &Handle,
) -> Result<(), Stopped> {
    let send = |frame: Bytes| {
        let sent = timeout(idle, frames.send(frame));
        match runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stopped::Gone),
        }
    };
    let header = BackupHeader {
        cluster_id: Bytes::copy_from_slice(&cluster_id),
        revision: view.revision(),
        time_ms: view.time_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (mut encoder, first) = Encoder::begin(&header);
    send(first)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    view.each(&[RECORDS_TAG], &[RECORDS_TAG + 1], |key, record| {
        bytes += key.len() + record.value.len();
        records.push(BackupRecord {
            key,
            value: record.value,
            create_revision: record.create_revision,
            mod_revision: record.mod_revision,
        });
        if bytes >= BACKUP_FRAME_BYTES {
            bytes = 0;
            send(encoder.records(std::mem::take(&mut records)))?;
        }
        Ok::<(), Stopped>(())
    })?;
    if !records.is_empty() {
        send(encoder.records(records))?;
    }
    send(encoder.end())
}
